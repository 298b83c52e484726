"""The commands that a page tells its readers to type: the lines of its `sh` blocks, and those after a "$" elsewhere."""

import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"\s+# .*$")
PROMPT = "$ "


def commands(page: Path, heading: str = "") -> list[str]:
    """In their order; `heading` is the text of the one section to look at."""
    text = page.read_text()
    if heading:
        text = re.split(rf"^#+ {re.escape(heading)}\n", text, flags=re.MULTILINE)[1].split("\n## ")[0]
    return [command for kind, block in blocks(text) for command in _commands(kind, block)]


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    for indent, kind, block in BLOCK.findall(text):
        yield kind, textwrap.dedent(block) if indent else block


def _commands(kind: str, block: str) -> Iterator[str]:
    if kind == "sh":
        yield from _whole(block.splitlines())
    else:
        yield from (line.removeprefix(PROMPT) for line in block.splitlines() if line.startswith(PROMPT))


def _whole(lines: list[str]) -> Iterator[str]:
    """Lines joined until the shell takes them for complete."""
    begun = ""
    for line in lines:
        begun = f"{begun}\n{line}" if begun else COMMENT.sub("", line)
        if begun and not begun.startswith("#") and _complete(begun):
            yield begun
            begun = ""
        begun = "" if begun.startswith("#") else begun
    assert not begun, f"the shell does not take this for complete: {begun}"


def _complete(text: str) -> bool:
    parsed = subprocess.run(["bash", "-n"], input=text + "\n", capture_output=True, text=True, check=False)
    return parsed.returncode == 0 and not parsed.stderr and not text.endswith("\\")
