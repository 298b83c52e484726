"""docs/reference.md is what the models say, and every decision is in the index."""

import re

from tests.docs.commands import ROOT
from tests.docs.reference import reference


def test_the_reference_is_made_from_the_models() -> None:
    assert (ROOT / "docs" / "reference.md").read_text() == reference(), "make crd"


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    titles = {
        path.name: path.read_text().splitlines()[0].removeprefix("# ").split(". ", 1)[1]
        for path in folder.glob("0*.md")
    }
    rows = re.findall(r"^\| \[\d+\]\((\d{4}-\S+\.md)\) \| (.*) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert dict(rows) == titles
    assert [name for name, _ in rows] == sorted(titles)
