"""The documents against the code: every link leads somewhere, every setting is explained as it is."""

import re
from pathlib import Path

import pytest

from app.settings import Settings as HookSettings
from probe_sidecar.settings import Settings as SidecarSettings
from runtime.settings import CommonSettings, hints

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)")
ADR = re.compile(r"^\| \[(\d+)\]\((\d{4}-\S+\.md)\) \| (.*) \|$", re.MULTILINE)
ROW = re.compile(r"^\| `(ESO_[A-Z_]+)` \| (both|hook|sidecar) \| .* \| (.*) \|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_setting_is_explained_as_it_is() -> None:
    said = hints(HookSettings) | hints(SidecarSettings)
    expected = {f"ESO_{name.upper()}": (_whose(name), wish) for name, wish in said.items()}
    table = ROW.findall((ROOT / "docs" / "install.md").read_text())
    assert {name: (whose, text) for name, whose, text in table} == expected


def _whose(name: str) -> str:
    if name in hints(CommonSettings):
        return "both"
    return "hook" if name in hints(HookSettings) else "sidecar"


def test_the_index_of_decisions_names_them_as_they_are() -> None:
    folder = ROOT / "docs" / "adr"
    rows = ADR.findall((folder / "README.md").read_text())
    titles = {path.name: path.read_text().splitlines()[0] for path in folder.glob("0*.md")}
    assert [file for _, file, _ in rows] == sorted(titles)
    assert [
        (file, f"# {number}. {title}") for number, file, title in rows if titles[file] != f"# {number}. {title}"
    ] == []
