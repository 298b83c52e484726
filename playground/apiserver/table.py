"""Tables for `kubectl get` (meta.k8s.io/v1 Table): our printer columns and those of the built-in kinds. Pure.

Cells follow kubernetes:pkg/printers/internalversion/printers.go and apiextensions' tableconvertor.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from external_service.kind import host_port
from playground.apiserver.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    INGRESSES,
    LEASES,
    NAMESPACES,
    SERVICES,
    Resource,
)

Object = Mapping[str, Any]
Cells = Callable[[Object, datetime], list[Any]]
Column = dict[str, Any]


def table(resource: Resource, items: Sequence[Object], *, now: datetime, include: str) -> dict[str, Any]:
    """One Table of all items. `include` is the includeObject parameter: None, Metadata or Object."""
    columns, cells = _custom(resource) if resource.custom else _BUILTIN.get(resource.key, _PLAIN)
    rows = [{"cells": cells(item, now), "object": _row_object(item, include)} for item in items]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": items[0]["metadata"].get("resourceVersion", "")} if items else {},
        "columnDefinitions": columns,
        "rows": rows,
    }


def _row_object(item: Object, include: str) -> Object | None:
    if include == "None":
        return None
    if include == "Object":
        return item
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR = 365 * _DAY
_SPANS = (  # below this many seconds: the unit shown, and the smaller one beside it
    (2 * _MINUTE, (1, "s"), None),
    (10 * _MINUTE, (_MINUTE, "m"), (1, "s")),
    (3 * _HOUR, (_MINUTE, "m"), None),
    (8 * _HOUR, (_HOUR, "h"), (_MINUTE, "m")),
    (2 * _DAY, (_HOUR, "h"), None),
    (8 * _DAY, (_DAY, "d"), (_HOUR, "h")),
    (2 * _YEAR, (_DAY, "d"), None),
    (8 * _YEAR, (_YEAR, "y"), (_DAY, "d")),
)


def human_duration(seconds: float) -> str:
    """k8s.io/apimachinery pkg/util/duration HumanDuration."""
    whole = int(seconds)
    if whole < 0:
        return "0s" if whole >= -1 else "<invalid>"
    for limit, (size, unit), below in _SPANS:
        if whole < limit:
            rest = whole % size // below[0] if below else 0
            return f"{whole // size}{unit}" + (f"{rest}{below[1]}" if below and rest else "")
    return f"{whole // _YEAR}y"


def _since(text: str | None, now: datetime) -> str:
    return human_duration((now - datetime.fromisoformat(text)).total_seconds()) if text else "<unknown>"


def _column(name: str, kind: str = "string", priority: int = 0, description: str = "") -> Column:
    format_ = "name" if name == "Name" else ""
    return {"name": name, "type": kind, "format": format_, "description": description, "priority": priority}


def _custom(resource: Resource) -> tuple[list[Column], Cells]:
    own = [
        _column(one["name"], one["type"], one.get("priority", 0), one.get("description", ""))
        for one in resource.columns
    ]

    def cells(item: Object, now: datetime) -> list[Any]:
        return [item["metadata"]["name"], *(_custom_cell(item, one, now) for one in resource.columns)]

    return [_column("Name"), *own], cells


def _custom_cell(item: Object, column: Object, now: datetime) -> Any:
    """The first value at the path, as by the real converter: a list or map in a string column is shown as JSON."""
    value, kind = next(iter(_values(item, column["jsonPath"])), None), column["type"]
    if value is None:
        return None
    if kind == "date":
        return _since(value, now)
    if kind == "string":
        return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
    return value


def _values(item: Object, path: str) -> list[Any]:
    """All values at a JSONPath of names and unions of names, such as `.spec.probe['http','tcp'].port`."""
    found: list[Any] = [item]
    for name, union in re.findall(r"\.([^.\[]+)|\[([^]]+)\]", path):
        names = [name] if name else re.findall(r"'([^']+)'", union)
        found = [one[key] for one in found for key in names if isinstance(one, Mapping) and key in one]
    return found


def _age(item: Object, now: datetime) -> str:
    return _since(item["metadata"].get("creationTimestamp"), now)


def _more(words: list[str], most: int = 3) -> str:
    shown = ",".join(words[:most])
    return f"{shown} + {len(words) - most} more..." if len(words) > most else shown


def _service(item: Object) -> list[Any]:
    spec = item.get("spec", {})
    ports = ",".join(f"{port['port']}/{port['protocol']}" for port in spec.get("ports") or ())
    addresses, ip = ",".join(spec.get("externalIPs") or ()), (spec.get("clusterIPs") or ["<none>"])[0]
    return [spec.get("type"), ip, addresses or "<none>", ports or "<none>"]


def _service_selector(item: Object) -> str:
    selector = item.get("spec", {}).get("selector") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "<none>"


def _endpoints(item: Object) -> list[Any]:
    words = [
        host_port(address["ip"], port["port"])
        for subset in item.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    return [_more(words) if item.get("subsets") else "<none>"]


def _ingress(item: Object) -> list[Any]:
    spec = item.get("spec", {})
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [spec.get("ingressClassName", "<none>"), _more(hosts) or "*", "", "80, 443" if spec.get("tls") else "80"]


def _slice(item: Object) -> list[Any]:
    ports = ",".join(str(port.get("port")) for port in item.get("ports") or ())
    words = [ip for endpoint in item.get("endpoints") or () for ip in endpoint["addresses"]]
    return [item.get("addressType"), ports or "<unset>", _more(words) or "<unset>"]


def _event(item: Object, now: datetime) -> list[Any]:
    about = item.get("involvedObject") or {}
    occurred = item.get("eventTime") or item["metadata"].get("creationTimestamp")
    last, first = (_since(item.get(name) or occurred, now) for name in ("lastTimestamp", "firstTimestamp"))
    target = "/".join(filter(None, (about.get("kind", "").lower(), about.get("name"))))
    source = (item.get("source") or {}).get("component") or item.get("reportingComponent", "")
    cells = [last, item.get("type"), item.get("reason"), target, about.get("fieldPath", ""), source]
    return [*cells, item.get("message", ""), first, item.get("count") or 1, item["metadata"]["name"]]


def _named(
    names: Sequence[str],
    middle: Callable[[Object], list[Any]],
    wide: Mapping[str, Callable[[Object], Any]] | None = None,
) -> tuple[list[Column], Cells]:
    """Name and age with columns between them, and columns that only `-o wide` shows after them."""
    columns = [
        *(_column(name) for name in ("Name", *names, "Age")),
        *(_column(name, priority=1) for name in wide or ()),
    ]

    def cells(item: Object, now: datetime) -> list[Any]:
        more = [cell(item) for cell in (wide or {}).values()]
        return [item["metadata"]["name"], *middle(item), _age(item, now), *more]

    return columns, cells


_PLAIN = _named((), lambda _item: [])
_EVENT_COLUMNS = [
    *(_column(name) for name in ("Last Seen", "Type", "Reason", "Object")),
    *(_column(name, priority=1) for name in ("Subobject", "Source")),
    _column("Message"),
    *(_column(name, priority=1) for name in ("First Seen", "Count", "Name")),
]
_BUILTIN: dict[tuple[str, str], tuple[list[Column], Cells]] = {
    SERVICES.key: _named(("Type", "Cluster-IP", "External-IP", "Port(s)"), _service, {"Selector": _service_selector}),
    ENDPOINTS.key: _named(("Endpoints",), _endpoints),
    INGRESSES.key: _named(("Class", "Hosts", "Address", "Ports"), _ingress),
    ENDPOINT_SLICES.key: _named(("AddressType", "Ports", "Endpoints"), _slice),
    EVENTS.key: (_EVENT_COLUMNS, _event),
    NAMESPACES.key: _named(("Status",), lambda item: [(item.get("status") or {}).get("phase")]),
    LEASES.key: _named(("Holder",), lambda item: [item.get("spec", {}).get("holderIdentity")]),
}
