"""Refusals in the API server's own form: one exception that becomes a meta/v1 Status.

The texts follow k8s.io/apimachinery pkg/api/errors, because kubectl and our own code show them to people.
"""

import json
from dataclasses import dataclass
from typing import Any

from playground.apiserver.resources import Resource


@dataclass(frozen=True, slots=True)
class Cause:
    """One invalid field: `reason` is a StatusCause type such as FieldValueInvalid, `message` is without the field."""

    field: str
    reason: str
    message: str


class ApiError(Exception):
    """A refused request: HTTP `code`, `reason` as in meta/v1; `retry_after` is in seconds."""

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
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def status(self) -> dict[str, Any]:
        """The body of the response."""
        status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"message": self.message, "reason": self.reason, "code": self.code}
        return status | ({"details": self.details} if self.details else {})


def about(resource: Resource, name: str) -> dict[str, Any]:
    """The details of a Status about one object."""
    return {"name": name, "group": resource.group, "kind": resource.plural}


def not_found(resource: Resource, name: str) -> ApiError:
    """404 for one object."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', details=about(resource, name))


def no_such_path() -> ApiError:
    """404 for a path that serves nothing."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> ApiError:
    """409 on create."""
    text = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", text, details=about(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    """409 on an old resourceVersion or a uid of another object."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    text = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", text, details=about(resource, name))


def invalid(kind: str, group: str, name: str, *causes: Cause) -> ApiError:
    """422 with one cause a field. `kind` may be one of parameters, such as PatchOptions."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    details = {"name": name, "group": group, "kind": kind, "causes": listed}
    qualified = f"{kind}.{group}" if group else kind
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {joined}', details=details)


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def required(field: str, detail: str) -> Cause:
    """A missing field."""
    return Cause(field, "FieldValueRequired", f"Required value: {detail}")


def forbidden(field: str, detail: str) -> Cause:
    """A field that may not be set here."""
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def invalid_value(field: str, value: object, detail: str) -> Cause:
    """A field with a value that breaks a rule."""
    return Cause(field, "FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {detail}")
