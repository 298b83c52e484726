"""What a terminal sends, as keys."""

import pytest

from playground.keys import tokens


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        pytest.param("k", ["k"], id="a letter"),
        pytest.param("\x1b[A", ["up"], id="an arrow"),
        pytest.param("\x1b[B\x1b[Be", ["down", "down", "e"], id="several at once"),
        pytest.param("\x1b[3~q", ["q"], id="a key we do not know"),
    ],
)
def test_tokens(text: str, keys: list[str]) -> None:
    assert tokens(text) == keys
