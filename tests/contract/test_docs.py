"""The documents against the code: every link leads somewhere, every setting is explained as it is."""

import re
from pathlib import Path

from app.settings import Settings as HookSettings
from probe_sidecar.settings import Settings as SidecarSettings
from runtime.settings import CommonSettings, hints

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)")
REFERENCE = re.compile(r"\b(?:ADR|[Rr]ecord) \d+\b(?!\.\d)")
SOURCES = ("py", "md", "yaml", "pml", "toml")
ROW = re.compile(r"^\| `(ESO_[A-Z_]+)` \| (both|hook|sidecar) \| .* \| (.*) \|$", re.MULTILINE)


def test_links_lead_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [(str(page), link) for page, link in links if not (page.parent / link).exists()] == []


def test_every_setting_is_explained_as_it_is() -> None:
    said = hints(HookSettings) | hints(SidecarSettings)
    expected = {f"ESO_{name.upper()}": (_whose(name), wish) for name, wish in said.items()}
    table = ROW.findall((ROOT / "docs" / "install.md").read_text())
    assert {name: (whose, text) for name, whose, text in table} == expected


def _whose(name: str) -> str:
    if name in hints(CommonSettings):
        return "both"
    return "hook" if name in hints(HookSettings) else "sidecar"


def test_the_index_of_decisions_has_each_of_them() -> None:
    folder = ROOT / "docs" / "adr"
    links = LINK.findall((folder / "README.md").read_text())
    assert sorted(set(links) & {path.name for path in folder.glob("*.md")}) == sorted(
        path.name for path in folder.glob("0*.md")
    )


def test_references_lead_to_an_adr() -> None:
    """Written as `ADR 7`, without leading zeros."""
    adrs = {f"ADR {int(path.name[:4])}" for path in (ROOT / "docs" / "adr").glob("0*.md")}
    files = [path for suffix in SOURCES for path in [*ROOT.glob(f"*.{suffix}"), *ROOT.glob(f"[!.]*/**/*.{suffix}")]]
    found = [(str(path.relative_to(ROOT)), text) for path in files for text in REFERENCE.findall(path.read_text())]
    assert len(found) > len(adrs)
    assert [(path, text) for path, text in found if text not in adrs] == []
