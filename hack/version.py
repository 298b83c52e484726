"""`python -m hack.version`: writes the version of pyproject.toml to every other file that names it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = (
    ("Dockerfile", r"(?m)^ARG VERSION=(.*)$"),
    ("docs/install.md", r"(?m)^IMAGE=.*:(.*)$"),
    ("helm/external-service-operator/Chart.yaml", r"(?m)^version: (.*)$"),
    ("helm/external-service-operator/Chart.yaml", r"(?m)^appVersion: (.*)$"),
    ("metacontroller/kustomization.yaml", r"(?m)^ *newTag: (.*)$"),
)
"""File, and a pattern whose only group is the version."""


def project_version() -> str:
    """The version that pyproject.toml declares."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def versions() -> dict[tuple[str, str], list[str]]:
    """Version that each place names."""
    return {(name, pattern): re.findall(pattern, (ROOT / name).read_text()) for name, pattern in PLACES}


def main() -> None:
    """Write them all."""
    version = project_version()
    for name, pattern in PLACES:
        path = ROOT / name
        path.write_text(re.sub(pattern, lambda match: match[0].replace(match[1], version), path.read_text()))


if __name__ == "__main__":
    main()
