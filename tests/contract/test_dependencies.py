"""The licenses of the locked packages are permitted, and one that is not is found."""

from email.message import Message
from importlib.metadata import Distribution, distributions
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


class Described(Distribution):
    """A package with nothing but these headers."""

    def __init__(self, name: str, *headers: tuple[str, str]) -> None:
        self._message = Message()
        for key, value in (("Name", name), ("Version", "1.0"), *headers):
            self._message[key] = value

    def read_text(self, filename: str) -> str | None:
        return self._message.as_string() if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        raise FileNotFoundError(path)


def classifier(text: str) -> tuple[str, str]:
    return "Classifier", f"License :: OSI Approved :: {text}"


def test_unlisted_license_is_refused() -> None:
    packages = [
        Described("good", ("License-Expression", "MIT")),
        Described("older", classifier("Apache Software License"), classifier("MIT License")),
        Described("copyleft", classifier("GNU General Public License v3 (GPLv3)")),
        Described("strict", ("License-Expression", "AGPL-3.0-only")),
        Described("nameless"),
    ]
    assert [line.split()[0] for line in refused(packages)] == ["copyleft", "strict", "nameless"]


def test_locked_packages_have_permitted_licenses() -> None:
    wanted = locked((ROOT / "requirements-dev.lock").read_text())
    assert {"fastapi", "pytest"} <= wanted
    names = {one: one.metadata["Name"].lower().replace("_", "-") for one in distributions()}
    assert refused(one for one, name in names.items() if name in wanted) == []
