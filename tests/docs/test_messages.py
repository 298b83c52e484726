"""The messages that the documents quote are messages of the product."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.commands import BLOCK, PAGES, ROOT

PRODUCT = ("app", "external_service", "probe_sidecar", "runtime")
SPAN = re.compile(r"`([^`\n]+)`")
WORDS = re.compile(r"(?<![\w./-])[a-z]+(?: [a-z]+)+(?![\w/=(_-])")
"""Two or more plain words beside one another: what a message has between its names, addresses and numbers."""
COMMAND = re.compile(
    r"([A-Z_0-9]+=\S* )*(\S*/)?(curl|docker|external-service|gh|helm|kind|kubectl|make|pip|python|source) "
)
OF_OTHERS = frozenset({'secret "hook-token" not found'})
"""Of Kubernetes."""


def texts() -> Iterator[str]:
    """The string literals of the product, each part of an f-string alone."""
    for package in PRODUCT:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def quotes() -> Iterator[tuple[Path, str]]:
    """Code spans with some plain words in them that are no commands."""
    for page in PAGES:
        for span in dict.fromkeys(SPAN.findall(BLOCK.sub("", page.read_text()))):
            if WORDS.search(span) and not COMMAND.match(span) and span not in OF_OTHERS:
                yield page, span


@pytest.fixture(scope="module")
def product() -> str:
    return "\n".join(texts())


@pytest.mark.parametrize(("page", "quote"), [pytest.param(*one, id=f"{one[0].name}: {one[1]}") for one in quotes()])
def test_quoted_message_is_in_the_product(product: str, page: Path, quote: str) -> None:
    unknown = [words for words in WORDS.findall(quote) if words not in product]
    assert not unknown, f"{page.name} quotes {quote!r}: the product has no such text as {unknown}"
