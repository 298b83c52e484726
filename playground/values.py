"""JSON values: objects, and their equality as the API machinery sees it. Pure."""

from typing import Any

import orjson

Object = dict[str, Any]


def same(left: Any, right: Any) -> bool:
    """Equality as typed JSON: true is not 1, and 1.0 is not 1."""
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(right, option=orjson.OPT_SORT_KEYS)
