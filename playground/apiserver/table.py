"""Tables, as kubectl asks for them (meta.k8s.io/v1 Table): our printer columns and those of the built-in kinds. Pure.

Cells follow kubernetes:pkg/printers/internalversion/printers.go and apiextensions' tableconvertor.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from external_service.kind import host_port
from playground.apiserver import jsonpath
from playground.apiserver.definition import Definition
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


def table(
    resource: Resource, found: Definition | None, items: Sequence[Object], *, now: datetime, include: str
) -> dict[str, Any]:
    """One Table of all items. `include` is the includeObject parameter: None, Metadata or Object."""
    columns, cells = _custom(found) if found else _BUILTIN.get(resource.key, _PLAIN)
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


def _custom(found: Definition) -> tuple[list[Column], Cells]:
    own = [
        _column(one["name"], one["type"], one.get("priority", 0), one.get("description", "")) for one in found.columns
    ]
    columns = [_column("Name"), *own]

    def cells(item: Object, now: datetime) -> list[Any]:
        return [item["metadata"]["name"], *(_custom_cell(item, one, now) for one in found.columns)]

    return columns, cells


def _custom_cell(item: Object, column: Object, now: datetime) -> Any:
    """The first value at the path, as the real converter has it: a list or map in a string column is shown as JSON."""
    values = jsonpath.find(item, column["jsonPath"])
    if not values:
        return None
    value, kind = values[0], column["type"]
    if kind == "date":
        return _since(value, now)
    if kind == "string":
        return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _age(item: Object, now: datetime) -> str:
    return _since(item["metadata"].get("creationTimestamp"), now)


def _service(item: Object, now: datetime) -> list[Any]:
    spec = item.get("spec", {})
    ports = ",".join(f"{port['port']}/{port['protocol']}" for port in spec.get("ports") or ())
    addresses = ",".join(spec.get("externalIPs") or ())
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    name, ip = item["metadata"]["name"], (spec.get("clusterIPs") or ["<none>"])[0]
    return [name, spec.get("type"), ip, addresses or "<none>", ports or "<none>", _age(item, now), selector or "<none>"]


def _more(words: list[str], most: int = 3) -> str:
    shown = ",".join(words[:most])
    return f"{shown} + {len(words) - most} more..." if len(words) > most else shown


def _endpoints(item: Object, now: datetime) -> list[Any]:
    words = [
        host_port(address["ip"], port["port"])
        for subset in item.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    return [item["metadata"]["name"], _more(words) if item.get("subsets") else "<none>", _age(item, now)]


def _ingress(item: Object, now: datetime) -> list[Any]:
    spec = item.get("spec", {})
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    ports = "80, 443" if spec.get("tls") else "80"
    name = item["metadata"]["name"]
    return [name, spec.get("ingressClassName", "<none>"), _more(hosts) or "*", "", ports, _age(item, now)]


def _slice(item: Object, now: datetime) -> list[Any]:
    ports = ",".join(str(port.get("port")) for port in item.get("ports") or ())
    words = [ip for endpoint in item.get("endpoints") or () for ip in endpoint["addresses"]]
    name, family = item["metadata"]["name"], item.get("addressType")
    return [name, family, ports or "<unset>", _more(words) or "<unset>", _age(item, now)]


def _event(item: Object, now: datetime) -> list[Any]:
    about = item.get("involvedObject") or {}
    last = item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    first = item.get("firstTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    target = "/".join(filter(None, (about.get("kind", "").lower(), about.get("name"))))
    source = (item.get("source") or {}).get("component") or item.get("reportingComponent", "")
    shown = [_since(last, now), item.get("type"), item.get("reason"), target, about.get("fieldPath", ""), source]
    return [*shown, item.get("message", ""), _since(first, now), item.get("count") or 1, item["metadata"]["name"]]


_NAME, _AGE = _column("Name"), _column("Age")
_PLAIN: tuple[list[Column], Cells] = ([_NAME, _AGE], lambda item, now: [item["metadata"]["name"], _age(item, now)])
_EVENT_COLUMNS = [
    *(_column(name) for name in ("Last Seen", "Type", "Reason", "Object")),
    *(_column(name, priority=1) for name in ("Subobject", "Source")),
    _column("Message"),
    *(_column(name, priority=1) for name in ("First Seen", "Count", "Name")),
]
_BUILTIN: dict[tuple[str, str], tuple[list[Column], Cells]] = {
    SERVICES.key: (
        [
            _NAME,
            *(_column(name) for name in ("Type", "Cluster-IP", "External-IP", "Port(s)")),
            _AGE,
            _column("Selector", priority=1),
        ],
        _service,
    ),
    ENDPOINTS.key: ([_NAME, _column("Endpoints"), _AGE], _endpoints),
    INGRESSES.key: ([_NAME, *(_column(name) for name in ("Class", "Hosts", "Address", "Ports")), _AGE], _ingress),
    ENDPOINT_SLICES.key: ([_NAME, *(_column(name) for name in ("AddressType", "Ports", "Endpoints")), _AGE], _slice),
    EVENTS.key: (_EVENT_COLUMNS, _event),
    NAMESPACES.key: (
        [_NAME, _column("Status"), _AGE],
        lambda item, now: [item["metadata"]["name"], (item.get("status") or {}).get("phase"), _age(item, now)],
    ),
    LEASES.key: (
        [_NAME, _column("Holder"), _AGE],
        lambda item, now: [item["metadata"]["name"], item.get("spec", {}).get("holderIdentity"), _age(item, now)],
    ),
}
