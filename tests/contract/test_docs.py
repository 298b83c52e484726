"""Documents against the code: links, anchors, tables, and the description of each setting."""

import re
from pathlib import Path

from hack.configuration import fields, written

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)")
ANCHOR = re.compile(r"\[[^\]]+\]\(([^)#:]*)#([^)]*)\)")
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"\b(?:ADR|[Rr]ecord) \d+\b(?!\.\d)")
SOURCES = ("py", "md", "yaml", "pml", "toml")


def test_links_have_existing_targets() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [(str(page), link) for page, link in links if not (page.parent / link).exists()] == []


def test_anchors_have_existing_headings() -> None:
    found = [(page, page.parent / path if path else page, anchor) for page in PAGES for path, anchor in _anchors(page)]
    assert found
    missing = [(page.name, to.name, anchor) for page, to, anchor in found if anchor not in _headings(to)]
    assert missing == []


def test_table_rows_have_the_columns_of_their_header() -> None:
    """An empty line cuts a row off from its table: it is then shown as text."""
    bad = [(page.name, line) for page in PAGES for line in _broken_rows(page.read_text())]
    assert bad == []


def _anchors(page: Path) -> list[tuple[str, str]]:
    return ANCHOR.findall(FENCE.sub("", page.read_text()))


def _headings(page: Path) -> set[str]:
    """The anchors of a page as GitHub makes them."""
    texts = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text).lower() for text in texts)
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in plain}


def _broken_rows(text: str) -> list[str]:
    bad, width = [], 0
    lines = FENCE.sub("", text).splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith("|"):
            width = 0
        elif not width and not re.fullmatch(r"[|:\- ]+", following):
            bad.append(line)
        else:
            width = width or _cells(line)
            if _cells(line) != width:
                bad.append(line)
    return bad


def _cells(line: str) -> int:
    return len(re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line)))


def test_configuration_files_equal_what_the_settings_generate() -> None:
    assert [path.name for path, text in written() if path.read_text() != text] == [], "run `make manifests`"


def test_each_setting_has_a_description_and_says_what_to_write() -> None:
    assert [name for name, field in fields().items() if not (field.title and field.description)] == []


def test_adr_index_lists_every_adr() -> None:
    folder = ROOT / "docs" / "adr"
    links = LINK.findall((folder / "README.md").read_text())
    assert sorted(set(links) & {path.name for path in folder.glob("*.md")}) == sorted(
        path.name for path in folder.glob("0*.md")
    )


def test_adr_references_exist() -> None:
    """Written as `ADR 7`, without leading zeros."""
    adrs = {f"ADR {int(path.name[:4])}" for path in (ROOT / "docs" / "adr").glob("0*.md")}
    files = [path for suffix in SOURCES for path in [*ROOT.glob(f"*.{suffix}"), *ROOT.glob(f"[!.]*/**/*.{suffix}")]]
    found = [(str(path.relative_to(ROOT)), text) for path in files for text in REFERENCE.findall(path.read_text())]
    assert len(found) > len(adrs)
    assert [(path, text) for path, text in found if text not in adrs] == []
