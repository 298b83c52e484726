"""CEL rules of the CRD: what JSON Schema cannot say, or can say only in words no user should have to read.

A rule's message says what to write instead. The API server evaluates them; nothing here does.
"""

from collections.abc import Callable
from typing import Any

Extra = Callable[[dict[str, Any]], None]

DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


def rule(
    expression: str, message: str, *, shown: str = "", field: str = "", at_creation_only: bool = False
) -> dict[str, Any]:
    """One entry of x-kubernetes-validations.

    shown: a CEL expression for the message; where it fails to evaluate the API server falls back on `message`.
    field: the path below this node that the error names, such as ".path".
    at_creation_only: for what may not lock an object that was stored before the rule existed: `oldSelf` is optional.
    """
    entry: dict[str, Any] = {"rule": expression, "message": message}
    if shown:
        entry["messageExpression"] = shown
    if field:
        entry["fieldPath"] = field
    if at_creation_only:
        entry["rule"] = f"oldSelf.hasValue() || {expression}"
        entry["optionalOldSelf"] = True
    return entry


def rules(*given: dict[str, Any]) -> Extra:
    """A `json_schema_extra` that adds `given`, which replace `pattern`."""

    def add(schema: dict[str, Any]) -> None:
        schema.pop("pattern", None)
        schema["x-kubernetes-validations"] = [*given]

    return add


def quoted(pattern: str) -> str:
    """A regular expression as a CEL string literal that matches from end to end."""
    escaped = f"^{pattern}$".replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
