"""The ExternalService "shop/api", as the tests of the models and of the hook begin with it."""

from collections.abc import Mapping
from typing import Any

from external_service.v1alpha1 import ExternalService


def hosts(*entries: str) -> list[dict[str, str]]:
    """`a.io /x Exact` is an entry of spec.hosts: its host, and the path and its type if there are any."""
    return [dict(zip(("host", "path", "pathType"), entry.split(), strict=False)) for entry in entries]


def raw_parent(*, metadata: Mapping[str, Any] | None = None, status: Any = None, **spec: Any) -> dict[str, Any]:
    """As Metacontroller sends it: with these fields of metadata and spec, on port 80 unless `spec` names another."""
    raw = {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": "api", "namespace": "shop", **(metadata or {})},
        "spec": {"port": 80, **spec},
    }
    return raw if status is None else {**raw, "status": status}


def parent(**fields: Any) -> ExternalService:
    """`raw_parent`, parsed."""
    return ExternalService.model_validate(raw_parent(**fields))
