"""Defaults and validation of the built-in kinds that are children of an ExternalService, as far as they tell.

Rules by kubernetes:pkg/apis/{core,networking,discovery} (defaults.go, validation.go) at 1.36. Pure, in place.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Any

from playground.apiserver.errors import Cause, invalid_value, required, unsupported_value
from playground.apiserver.resources import ENDPOINT_SLICES, ENDPOINTS, INGRESSES, NAMESPACES, SERVICES, Resource

Object = dict[str, Any]

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")


def fill(resource: Resource, obj: Object, allocate: Callable[[], str]) -> None:
    """Fills the defaults; `allocate` gives the next free cluster IP."""
    if resource is SERVICES:
        _fill_service(obj, allocate)
    elif resource is ENDPOINTS:
        for port in _endpoints_ports(obj):
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


def problems(resource: Resource, obj: Object, *, loopback: bool) -> list[Cause]:
    """What the API server would refuse; `loopback` lets 127.0.0.0/8 and ::1 pass, which a real one never does."""
    if resource is SERVICES:
        return list(_service_problems(obj))
    if resource is ENDPOINTS:
        return list(_endpoints_problems(obj, loopback))
    if resource is ENDPOINT_SLICES:
        return list(_slice_problems(obj, loopback))
    if resource is INGRESSES:
        return list(_ingress_problems(obj))
    return []


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
    bare = spec["clusterIP"] == "None" and not spec.get("selector")  # headless and selector-less: dual by default
    spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if bare else ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if bare else "SingleStack")
    obj.setdefault("status", {"loadBalancer": {}})


def _service_problems(obj: Object) -> Iterator[Cause]:
    if len(obj["metadata"].get("name", "")) > 63 or not _LABEL.match(obj["metadata"].get("name", "")):
        yield invalid_value("metadata.name", obj["metadata"].get("name"), "a DNS-1035 label must be used as the name")
    spec = obj.get("spec", {})
    if not spec.get("ports") and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    yield from _port_problems(spec.get("ports") or (), "spec.ports")


def _port_problems(ports: Iterable[Object], path: str) -> Iterator[Cause]:
    for index, port in enumerate(ports):
        number = port.get("port")
        if not isinstance(number, int) or not 1 <= number <= 65535:
            yield invalid_value(f"{path}[{index}].port", number, "must be between 1 and 65535, inclusive")
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            yield unsupported_value(f"{path}[{index}].protocol", port.get("protocol"), ["SCTP", "TCP", "UDP"])


def _endpoints_ports(obj: Object) -> Iterator[Object]:
    for subset in obj.get("subsets") or ():
        yield from subset.get("ports") or ()


def _endpoints_problems(obj: Object, loopback: bool) -> Iterator[Cause]:
    for number, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{number}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for index, address in enumerate(subset.get(field) or ()):
                yield from _ip_problems(f"{path}.{field}[{index}].ip", address.get("ip", ""), loopback)
        yield from _port_problems(subset.get("ports") or (), f"{path}.ports")


def _slice_problems(obj: Object, loopback: bool) -> Iterator[Cause]:
    if obj.get("addressType") not in ("IPv4", "IPv6", "FQDN"):
        yield unsupported_value("addressType", obj.get("addressType"), ["FQDN", "IPv4", "IPv6"])
    if len(obj.get("endpoints") or ()) > 1000:
        yield Cause("endpoints", "FieldValueTooMany", "Too many: must have at most 1000 items")
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        path = f"endpoints[{index}].addresses"
        if not endpoint.get("addresses"):
            yield required(path, "must contain at least 1 address")
        for number, ip in enumerate(endpoint.get("addresses") or ()):
            yield from _ip_problems(f"{path}[{number}]", ip, loopback)
    yield from _port_problems(obj.get("ports") or (), "ports")


def _ip_problems(path: str, ip: str, loopback: bool) -> Iterator[Cause]:
    try:
        address = ip_address(ip)
    except ValueError:
        yield invalid_value(path, ip, "must be a valid IP address")
        return
    if address.is_unspecified:
        yield invalid_value(path, ip, f"may not be unspecified ({ip})")
    if address.is_loopback and not loopback:
        yield invalid_value(path, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield invalid_value(path, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address.is_multicast:
        yield invalid_value(path, ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def _ingress_problems(obj: Object) -> Iterator[Cause]:
    spec = obj.get("spec", {})
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield invalid_value("spec", {}, "either `defaultBackend` or `rules` must be specified")
    for number, rule in enumerate(spec.get("rules") or ()):
        paths = (rule.get("http") or {}).get("paths") or ()
        if "http" in rule and not paths:
            yield required(f"spec.rules[{number}].http.paths")
        for index, entry in enumerate(paths):
            yield from _path_problems(f"spec.rules[{number}].http.paths[{index}]", entry)


def _path_problems(path: str, entry: Object) -> Iterator[Cause]:
    kind, text = entry.get("pathType"), entry.get("path", "")
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
    elif kind not in ("Exact", "Prefix", "ImplementationSpecific"):
        allowed = ["Exact", "ImplementationSpecific", "Prefix"]
        yield unsupported_value(f"{path}.pathType", kind, allowed)
    if (kind in ("Exact", "Prefix") or text) and not text.startswith("/"):
        yield invalid_value(f"{path}.path", text, "must be an absolute path")
    if not (entry.get("backend") or {}).get("service") and not (entry.get("backend") or {}).get("resource"):
        yield required(f"{path}.backend", "backend is required")
