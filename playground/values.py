"""JSON values compared and read as the API machinery does it. Pure."""

from typing import Any

import orjson


def same(left: Any, right: Any) -> bool:
    """Equality as typed JSON: true is not 1, and 1.0 is not 1."""
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(right, option=orjson.OPT_SORT_KEYS)
