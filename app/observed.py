"""Fields of the observed children that the hook reads. A child of another shape is refused.

The API server stores no such child, but the hook also receives what a client, a proxy or a changed annotation sends.
"""

from typing import (
    Annotated,
    Any,
    Required,  # pydantic needs them in Python 3.11
)

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from external_service.core import Texts

KINDS = ("Service.v1", "Endpoints.v1", "EndpointSlice.discovery.k8s.io/v1")
"""Kinds whose content is read; of others only the names are."""


class _Metadata(TypedDict, total=False):
    labels: Texts | None
    annotations: Texts | None


class _Port(TypedDict, total=False):
    port: Required[int]
    protocol: str


class _Spec(TypedDict, total=False):
    ports: Annotated[list[_Port], Field(fail_fast=True)]


class _Endpoint(TypedDict, total=False):
    addresses: Required[Annotated[list[str], Field(fail_fast=True)]]


class _Child(TypedDict, total=False):
    metadata: Required[_Metadata]
    spec: _Spec | None
    endpoints: Annotated[list[_Endpoint], Field(fail_fast=True)] | None


_CHILD: TypeAdapter[Any] = TypeAdapter(_Child)


def misshapen(child: object) -> str | None:
    """The first field of a Service, Endpoints or EndpointSlice that is not of the API's shape; None when all are."""
    try:
        _CHILD.validate_python(child, strict=True)
    except ValidationError as error:
        loc = error.errors(include_url=False, include_input=False, include_context=False)[0]["loc"]
        return ".".join(map(str, loc)) or "it"
    return None
