"""The transition rule at the root of our CRD, in Python: health can only move forward (design R1). Pure.

The real one is CEL and is evaluated by the real API server; both stand under the same scenarios.
"""

from collections.abc import Mapping
from typing import Any

from playground.apiserver.errors import Cause, invalid_value


def stale_status(old: Mapping[str, Any], new: Mapping[str, Any]) -> Cause | None:
    """The refusal of a write in which `status.revision` goes back or vanishes, or the addresses change without it."""
    before, after = old.get("status") or {}, new.get("status") or {}
    seen, given = before.get("revision", 0), after.get("revision", 0)
    if given > seen or (given == seen and before.get("addresses") == after.get("addresses")):
        return None
    text = f"stale status refused: status.revision {given} is not newer than {seen}; read again and retry"
    return invalid_value("status.revision", "object", f"{text} (this heals itself)")
