"""`python -m hack.prose`: words that the documents avoid, with what to write instead. Exit status 1 if there are any.

Looks at Markdown outside code; in Python at comments, strings of several words and the names of tests; elsewhere at
comments. `make lint` runs it.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {
    "LICENSE",
    "hack/prose.py",  # the words themselves
    "app/swagger_ui",  # not written here
}
"""Paths below which nothing is read."""

AVOID = {
    r"told|telling|tells? of|tells? (?:us|them|you)": "report, publish, notify",
    r"whoever|somebody|anybody|nobody": "the caller, a client, no replica",
    r"who may ask the hook": "webhook authentication",
    r"mends?|mended|mending|put right": "fix, correct",
    r"stands there twice": "Duplicate value",
    r"as it stands|as they stand|stands? on|stands? for|still stands": "unchanged, is, stays",
    r"strangers?(?:'s?)?": "an unknown client; objects not owned by the ExternalService",
    r"flips?|flipped|flipping": "change, transition",
    r"held against": "counted against, changes no readiness",
    r"counts? for nothing": "does not count",
    r"stands? there|what stands|stands? beside": "is, exists",
    r"hears?|heard|answers? nothing": "received a response, no response",
    r"silence|silent": "no response",
    r"holds? back|held back": "delays the transition, pending",
    r"anew|for ever|lately": "again, permanently, recently",
    r"turned over|turns? over": "change",
    r"verdicts?": "result",
    r"suspects? itself|doubts? (?:itself|its)": "suspected outage",
    r"¶ (?:What|Who|Whose|Whoever|Whatever|That which)": "the noun that the docstring describes, as its subject",
}
"""Patterns, without regard to case, and what to write instead. `¶` is the beginning of a docstring."""

FOUND = re.compile("|".join(rf"((?<!\w)(?:{pattern})\b)" for pattern in AVOID), re.IGNORECASE)
COMMENT = re.compile(r"(?:^|\s)(?:#|//|\*) .*")
CODE = re.compile(r"^( *)```.*?^\1```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def found(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, what is written, and what to write instead."""
    for match in FOUND.finditer(text):
        instead = list(AVOID.values())[(match.lastindex or 1) - 1]
        yield text.count("\n", 0, match.start()) + 1, match[0], instead


def markdown(text: str) -> str:
    """The prose of a page: code is blanked, and lines stay where they are."""
    return CODE.sub(lambda match: "\n" * match[0].count("\n"), text)


def python(text: str) -> str:
    """Comments and strings of a module, on the lines where they are."""
    lines = [""] * (text.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] += token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines[node.lineno - 1] += " ¶"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            lines[node.lineno - 1] += node.name.replace("_", " ")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isidentifier():
            for offset, line in enumerate(node.value.split("\n")):
                lines[min(node.lineno - 1 + offset, len(lines) - 1)] += f" {CODE.sub('', line)}"
    return "\n".join(lines)


def comments(text: str) -> str:
    """The comments of YAML, shell and the like, on the lines where they are."""
    return "\n".join(match[0] if (match := COMMENT.search(line)) else "" for line in text.split("\n"))


READERS = {
    ".md": markdown,
    ".py": python,
    **dict.fromkeys((".yaml", ".yml", ".tpl", ".toml", ".sh", ".c", ".go", ".mod", ""), comments),
}
"""Reader of a file, by the end of its name."""


def main() -> int:
    """Print each place; 1 if there is one."""
    listed = subprocess.run(("git", "ls-files"), cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    bad = 0
    for name in sorted(filter(None, listed)):
        path = ROOT / name
        if path.suffix in READERS and path.is_file() and not any(name.startswith(one) for one in LEFT_OUT):
            for line, written, instead in found(READERS[path.suffix](path.read_text(encoding="utf-8"))):
                bad += 1
                print(f"{name}:{line}: {written!r}: write {instead}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
