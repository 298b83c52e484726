"""The table of values in the chart's README, from the comments in values.yaml: `python -m hack.values_table`.

A comment `# -- text` explains the value below it; lines of comment that follow continue the text.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[1] / "helm" / "external-service-operator"
README = CHART / "README.md"
BEGIN, END = "<!-- values -->", "<!-- end of values -->"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z0-9_]+):")
WIDE = 60


def explained(source: str) -> Iterator[tuple[str, str]]:
    """(path with dots, text) of each value that has an explanation, in their order."""
    parents: list[str] = []
    text: str | None = None
    for line in source.splitlines():
        bare = line.strip()
        if bare.startswith("# -- "):
            text = bare.removeprefix("# -- ")
        elif bare.startswith("#"):
            text = f"{text} {bare.removeprefix('#').strip()}" if text is not None else None
        elif found := KEY.match(line):
            depth = len(found["indent"]) // 2
            parents = [*parents[:depth], found["key"]]
            if text is not None:
                yield ".".join(parents), text
            text = None
        else:
            text = None


def table(source: str) -> str:
    """In Markdown."""
    values = yaml.safe_load(source)
    rows = [f"| `{path}` | {_default(values, path)} | {text} |" for path, text in explained(source)]
    return "\n".join(["| value | default | what it is |", "|---|---|---|", *rows])


def _default(values: Any, path: str) -> str:
    for key in path.split("."):
        values = values[key]
    shown = json.dumps(values)
    return f"`{shown}`" if len(shown) <= WIDE else "see values.yaml"


def renewed(readme: str, source: str) -> str:
    """The README with the table of `source`."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(source)}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(), (CHART / "values.yaml").read_text()))
    sys.stdout.write(f"{README}\n")
