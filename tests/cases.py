"""Tables of cases: the first entry of a row is its name."""

from typing import Any

import pytest


def cases(names: str, *rows: Any) -> pytest.MarkDecorator:
    """Parametrizes a test: `names` are its arguments, and each row is `(id, value, ...)`, or a `pytest.param`."""
    made = [
        pytest.param(*row[1:], id=row[0]) if isinstance(row, tuple) and isinstance(row[0], str) else row for row in rows
    ]
    return pytest.mark.parametrize(names.split(), made)
