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


_ManagedLabels = TypedDict("_ManagedLabels", {"f:labels": dict[str, Any]}, total=False)
_ManagedPorts = TypedDict("_ManagedPorts", {"f:ports": dict[str, Any]}, total=False)
_Managed = TypedDict("_Managed", {"f:metadata": _ManagedLabels, "f:spec": _ManagedPorts}, total=False)


class _Manager(TypedDict, total=False):
    fieldsV1: _Managed | None


class _Metadata(TypedDict, total=False):
    labels: Texts | None
    annotations: Texts | None
    managedFields: Annotated[list[_Manager], Field(fail_fast=True)] | None


class _Port(TypedDict, total=False):
    port: Required[int]
    protocol: str


class _Spec(TypedDict, total=False):
    ports: Annotated[list[_Port], Field(fail_fast=True)]
    selector: dict[str, str] | None


class _Subset(TypedDict, total=False):
    ports: list[dict[str, Any]] | None


class _Endpoint(TypedDict, total=False):
    addresses: Required[Annotated[list[str], Field(fail_fast=True)]]


class _Child(TypedDict, total=False):
    metadata: Required[_Metadata]
    spec: _Spec | None
    subsets: Annotated[list[_Subset], Field(fail_fast=True)] | None
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
