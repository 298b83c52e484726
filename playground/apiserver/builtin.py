"""Defaults of the built-in kinds that are children of an ExternalService, and warnings about what is not done.

After kubernetes:pkg/apis/{core,networking,discovery} defaults.go at 1.36. Pure. Nothing is validated: what a real API
server refuses is tested on a real one (tests/e2e).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from playground.apiserver.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    INGRESSES,
    NAMESPACES,
    NEW_EVENTS,
    SERVICES,
    STORED,
    Resource,
)
from playground.values import Object

SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"

CORE_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
NEW_NAMES = {core: new for new, core in CORE_NAMES.items()}
CORE_ALWAYS: Object = {"source": {}, "firstTimestamp": None, "lastTimestamp": None}
"""Fields that core/v1 shows of an Event even if they were not set."""


def fill(resource: Resource, obj: Object, allocate: Callable[[], str]) -> None:
    """Fills the defaults in place; `allocate` returns the next free cluster IP."""
    if resource is SERVICES:
        _fill_service(obj, allocate)
    elif resource is ENDPOINTS:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port.setdefault("protocol", "TCP")
    elif resource is ENDPOINT_SLICES:
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")
    elif resource is INGRESSES:
        obj.setdefault("status", {"loadBalancer": {}})
    elif resource is NAMESPACES:
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj.setdefault("status", {"phase": "Active"})
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]


def warnings(resource: Resource, obj: Object, *, validated: bool) -> Iterator[str]:
    """Changes of a real API server or its controllers. `validated`: the client asked to check the fields."""
    if validated and STORED not in resource.warnings:
        yield "the playground does not check the fields of this kind"
    if resource is ENDPOINTS and SKIP_MIRROR not in (obj["metadata"].get("labels") or {}):
        yield "the playground does not mirror Endpoints into EndpointSlices"


def _fill_service(obj: Object, allocate: Callable[[], str]) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    spec["clusterIP"] = spec.get("clusterIP") or allocate()
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    dual = spec["clusterIP"] == "None" and not spec.get("selector")  # headless and without a selector
    spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if dual else ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if dual else "SingleStack")
    obj.setdefault("status", {"loadBalancer": {}})


def stored(resource: Resource, obj: Mapping[str, Any]) -> Object:
    """The object as it is stored. Events are stored as in core/v1, and served by events.k8s.io/v1 too
    (kubernetes:pkg/apis/events/v1/conversion.go).
    """
    if resource is not NEW_EVENTS:
        return dict(obj)
    return {**CORE_ALWAYS, **_renamed(obj, CORE_NAMES), "apiVersion": "v1"}


def shown(resource: Resource, obj: Object) -> Object:
    """A stored object as the resource serves it."""
    if resource is not NEW_EVENTS:
        return obj
    set_fields = {name: value for name, value in obj.items() if name not in CORE_ALWAYS or value}
    return _renamed(set_fields, NEW_NAMES) | {"apiVersion": NEW_EVENTS.api_version}


def _renamed(obj: Mapping[str, Any], names: Mapping[str, str]) -> Object:
    return {names.get(name, name): value for name, value in obj.items()}
