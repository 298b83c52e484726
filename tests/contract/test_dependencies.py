"""The licenses of the locked packages are permitted, and one that is not is found."""

from importlib.metadata import PathDistribution, distributions
from pathlib import Path

import pytest

from hack.dependencies import ROOT, locked, permitted, refused


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("MIT AND (GPL-2.0-only OR AGPL-3.0-only)", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("", False),
        ("MIT MIT", False),
        ("True", False),
        ("MIT OR", False),
    ],
)
def test_license_expression_is_permitted_if_satisfiable(expression: str, expected: bool) -> None:
    assert permitted(expression) is expected


PACKAGES = {
    "good": "License-Expression: MIT",
    "older": "Classifier: License :: OSI Approved :: Apache Software License",
    "copyleft": "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
    "strict": "License-Expression: AGPL-3.0-only",
    "nameless": "",
}
"""The headers about its license of each package."""


def test_unlisted_license_is_refused(tmp_path: Path) -> None:
    for name, license_headers in PACKAGES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n{license_headers}\n")
    packages = [PathDistribution(tmp_path / name) for name in PACKAGES]
    assert [line.split()[0] for line in refused(packages)] == ["copyleft", "strict", "nameless"]


def test_locked_packages_have_permitted_licenses() -> None:
    wanted = locked((ROOT / "requirements-dev.lock").read_text())
    assert {"fastapi", "pytest"} <= wanted
    names = {one: one.metadata["Name"].lower().replace("_", "-") for one in distributions()}
    assert refused(one for one, name in names.items() if name in wanted) == []
