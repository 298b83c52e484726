"""Refusals in the API server's own form: one exception that knows its meta/v1 Status.

Texts follow k8s.io/apimachinery pkg/api/errors, since kubectl and our own code show them to people.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One bad field: `reason` is a StatusCause type such as FieldValueRequired, `message` stands without the field."""

    field: str
    reason: str
    message: str


class ApiError(Exception):
    """A request that is refused: HTTP `code`, `reason` as in meta/v1, and where it helps `retry_after` in seconds."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def status(self) -> dict[str, Any]:
        """The body of the answer."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        details = dict(self.details or {})
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        if details:
            status["details"] = details
        return status


def qualified(plural: str, group: str) -> str:
    """`services`, or `externalservices.eso.crowdfox.com`."""
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404 for one object."""
    text = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", text, details={"name": name, "group": group, "kind": plural})


def no_such_path() -> ApiError:
    """404 for a path that serves nothing."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409 on create."""
    text = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", text, details={"name": name, "group": group, "kind": plural})


def conflict(plural: str, group: str, name: str, why: str | None = None) -> ApiError:
    """409 on a stale resourceVersion or a uid of another object."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    text = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", text, details={"name": name, "group": group, "kind": plural})


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422 with one cause a field."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = {
        "name": name,
        "group": group,
        "kind": kind,
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes],
    }
    return ApiError(422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {joined}', details=details)


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unpatchable() -> ApiError:
    """422 for a JSON Patch that does not apply: a failed `test` and a missing parent get this same text."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})


def expired(message: str) -> ApiError:
    """410: the revision asked for is compacted."""
    return ApiError(410, "Expired", message)


def required(field: str, detail: str = "") -> Cause:
    """A field that is missing."""
    return Cause(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: object, detail: str) -> Cause:
    """A field with a value that breaks a rule."""
    return Cause(field, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {detail}")


def type_invalid(field: str, value: object, detail: str) -> Cause:
    """A field of the wrong JSON type."""
    return Cause(field, "FieldValueTypeInvalid", f"Invalid value: {json.dumps(value)}: {detail}")


def unsupported_value(field: str, value: object, allowed: Sequence[object]) -> Cause:
    """A field outside its enum."""
    words = ", ".join(json.dumps(one) for one in allowed)
    text = f"Unsupported value: {json.dumps(value)}: supported values: {words}"
    return Cause(field, "FieldValueNotSupported", text)
