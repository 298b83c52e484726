"""Metadata that all children share: the name, namespace and labels of their ExternalService.

Owner references and the label `controller-uid` are Metacontroller's to add.
"""

from collections.abc import Mapping
from typing import Any

from external_service.v1alpha1 import ExternalService, ServicePort

Manifest = dict[str, Any]

MANAGED_BY = "external-service-operator"
COMPONENT = "external-service"


def own_labels(name: str) -> dict[str, str]:
    """The predecessor's two labels and the recommended set, as far as it says something true of every child.

    `app.kubernetes.io/instance` is left out on purpose: Argo CD tracks its own applications by it.
    """
    return {
        "app": name,
        "app.kubernetes.io/component": COMPONENT,
        "app.kubernetes.io/managed-by": MANAGED_BY,
        "app.kubernetes.io/name": name,
        "serviceType": "external",
    }


def object_meta(
    parent: ExternalService,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    *,
    name: str = "",
) -> Manifest:
    """The child's metadata; `labels` never override our own, no annotations means no such field.

    `name` is for kinds of which there may be several; else a child is called as its parent.
    """
    metadata: Manifest = {
        "name": name or parent.metadata.name,
        "namespace": parent.metadata.namespace,
        "labels": {**(labels or {}), **own_labels(parent.metadata.name)},
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return metadata


def named(port: ServicePort, numbers: Manifest) -> Manifest:
    """`numbers` with the name and appProtocol of `port`, as far as it has them."""
    name = {"name": port.name} if port.name else {}
    return {**name, **numbers, **({"appProtocol": port.appProtocol} if port.appProtocol else {})}


def endpoint_port(port: ServicePort) -> Manifest:
    """One port of Endpoints or of an EndpointSlice: that of the addresses."""
    return named(port, {"port": port.target, "protocol": port.protocol})
