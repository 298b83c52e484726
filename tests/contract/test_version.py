"""pyproject.toml declares the version; everything else that names it agrees."""

import subprocess

import pytest

from app.server import create_app
from app.settings import Settings
from hack.version import PLACES, ROOT, project_version, versions
from runtime import VERSION

OTHERS = "*.lock", "*go.mod", "*go.sum", "CHANGELOG.md", "pyproject.toml"


def test_installed_package_has_the_project_version() -> None:
    assert project_version() == VERSION
    assert create_app(Settings()).openapi()["info"]["version"] == VERSION


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]}: {place[1]}")
def test_file_names_the_project_version(place: tuple[str, str]) -> None:
    assert versions()[place] == [project_version()], "run `make manifests`"


def test_no_other_file_names_the_version() -> None:
    listed = subprocess.run(
        ["git", "grep", "-lwF", project_version(), "--", *(f":!{one}" for one in OTHERS), ":!tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert {*listed.stdout.split()} <= {name for name, _ in PLACES}


def test_changelog_has_the_project_version() -> None:
    assert f"\n## {project_version()}" in (ROOT / "CHANGELOG.md").read_text()
