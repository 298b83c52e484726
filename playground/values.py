"""JSON values compared and read as the API machinery does it. Pure."""

from typing import Any

import orjson


def same(left: Any, right: Any) -> bool:
    """Equality as typed JSON: true is not 1, and 1.0 is not 1."""
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(right, option=orjson.OPT_SORT_KEYS)


def integral(value: Any) -> Any:
    """Floats without a fraction become integers, as they do on their way through the API server's JSON."""
    if isinstance(value, dict):
        return {name: integral(item) for name, item in value.items()}
    if isinstance(value, list):
        return [integral(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
