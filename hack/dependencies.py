"""`make dependencies`: the licenses of the installed packages against those permitted, and newer versions.

Exit status 1 for a license that is not permitted, or for a package that names none. Newer versions are only reported.
They come from the package index that `uv` uses; where it does not respond, the report says so.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120

PERMITTED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense"}
)
"""SPDX identifiers. All permit to distribute the image; MPL-2.0 requires the sources, which the index has."""

CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Trove classifiers of packages without a license expression, as SPDX. That of BSD does not distinguish variants; both
are permitted. Several classifiers mean any of them."""

NAMED_IN_A_FILE = {"axe-playwright-python": "MIT", "protobuf": "BSD-3-Clause", "python-dotenv": "BSD-3-Clause"}
"""Packages with neither expression nor classifier, and the license in their files."""


def license_of(package: Distribution) -> str:
    """An SPDX expression; "" if the package names none that is known here."""
    metadata = package.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = (one.split(" :: ")[-1] for one in metadata.get_all("Classifier") or [] if one.startswith("License"))
    names = [CLASSIFIERS.get(one, one) for one in classifiers if one != "OSI Approved"]
    return " OR ".join(f'"{one}"' if " " in one else one for one in names) or NAMED_IN_A_FILE.get(_name(package), "")


def permitted(expression: str) -> bool:
    """Whether PERMITTED satisfies an SPDX expression. An exception (`WITH`) is part of its license's name."""
    whole = re.sub(r'"([^"]*)"', lambda match: match[1].replace(" ", "-"), expression)
    whole = re.sub(r"\s+WITH\s+", "-WITH-", whole)
    python = re.sub(
        r"[^\s()]+",
        lambda match: match[0].lower() if match[0] in ("AND", "OR") else str(match[0] in PERMITTED),
        whole,
    )
    try:
        return _holds(ast.parse(python, mode="eval").body)
    except (SyntaxError, ValueError):
        return False


def _holds(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=bool(value)):
            return value
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_holds(one) for one in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_holds(one) for one in values)
    raise ValueError("no SPDX expression")


def _name(package: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def locked(text: str) -> set[str]:
    """Names in a lock file."""
    return set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))


def refused(packages: Iterable[Distribution]) -> list[str]:
    """A line for each package whose license is not permitted."""
    licenses = ((package, license_of(package)) for package in packages)
    return [
        f"{_name(package)} {package.version}: {found or 'no license'} is not permitted (hack/dependencies.py)"
        for package, found in licenses
        if not permitted(found)
    ]


def _behind(wanted: set[str]) -> list[str]:
    """A line for each of these packages with a newer version."""
    command = (sys.executable, "-m", "uv", "pip", "list", "--python", sys.executable, "--outdated", "--format", "json")
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as problem:
        return [f"newer versions are unknown: {getattr(problem, 'stderr', '') or problem}".strip()]
    return [
        f"{one['name']} {one['version']}: {one['latest_version']} is available"
        for one in found
        if one["name"] in wanted
    ]


def main() -> int:
    """Prints both reports."""
    image = locked((ROOT / "requirements.lock").read_text())
    wanted = image | locked((ROOT / "requirements-dev.lock").read_text())
    packages = sorted((one for one in distributions() if _name(one) in wanted), key=_name)
    for package in packages:
        place = "image" if _name(package) in image else "development"
        print(f"{_name(package)} {package.version} {place} {license_of(package)}")
    problems = refused(packages)
    print(*_behind(wanted), *problems, sep="\n")
    print(f"{len(packages)} packages, {len(problems)} with a license that is not permitted")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
