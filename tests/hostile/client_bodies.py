"""Bodies of sync requests that take the most memory or time for each byte, near the limit of 3 MiB or beyond it."""

import json
from collections.abc import Callable
from typing import Any

from tests.parents import raw_parent

PARENT = raw_parent(ips=["10.0.0.1"])
SIZE = 3 * 1024 * 1024 - 10_000
MANY = 250_000
NAMES = [f"k{number}" for number in range(MANY)]


def sync(**changes: Any) -> bytes:
    """A request whose parent has these fields in place of its own."""
    return _json({"parent": {**PARENT, **changes}})


def plain(children: Any = None, **spec: Any) -> bytes:
    """A request that is as it should be, but for these fields of the spec and these children."""
    return _json({"parent": {**PARENT, "spec": {**PARENT["spec"], **spec}}, "children": children or {}})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def repeated(part: str, size: int = SIZE) -> str:
    """A JSON list of `part` of about `size` bytes."""
    return f"[{','.join([part] * (size // (len(part) + 1)))}]"


def _filled(field: str, value: str) -> bytes:
    """A request with the JSON `value` in status.addresses, status.unknown or spec.hosts."""
    parent = _json(PARENT).decode()
    outer, _, inner = field.partition(".")
    if outer == "spec":
        return f'{{"parent":{parent[:-2]},"{inner}":{value}}}}}}}'.encode()
    return f'{{"parent":{parent[:-1]},"{outer}":{{"{inner}":{value}}}}}}}'.encode()


def _routes(listeners: int) -> bytes:
    """A small body that asks for HTTPRoutes with 256 KiB of annotations each, for 256 paths and these listeners."""
    references = [{"name": "gateway", "sectionName": f"l{number}"} for number in range(listeners)]
    annotations = {f"a{number}": "x" * 4_000 for number in range(64)}
    hosts = [{"host": f"h{number}.io", "path": f"/{number}"} for number in range(256)]
    return plain(hosts=hosts, httpRoute={"parentRefs": references, "annotations": annotations})


def _entries(wrong: Any) -> dict[str, Any]:
    return dict.fromkeys(NAMES[:200_000], wrong)


def _largest() -> bytes:
    """Largest real ExternalService: 1,000 addresses, long messages, all children observed."""
    ips = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(1_000)]
    result = {"ready": True, "reason": "ProbeSucceeded", "message": "m" * 512}
    addresses = [{"ip": ip, **result, "lastTransitionTime": "2026-01-01T00:00:00Z"} for ip in ips]
    conditions = {"ready": True, "serving": True, "terminating": False}
    endpoints = [{"addresses": [ip], "conditions": conditions} for ip in ips]
    slices = {
        f"shop/api-ipv4-{number}": {
            "metadata": {"name": f"api-ipv4-{number}", "annotations": {"last": json.dumps(endpoints[:100])}},
            "endpoints": endpoints[number * 100 : number * 100 + 100],
        }
        for number in range(10)
    }
    managed: dict[str, Any] = {"managedFields": [{"fieldsV1": {"f:spec": {"f:ips": {f'v:"{ip}"': {} for ip in ips}}}}]}
    parent = {**PARENT, "metadata": {**PARENT["metadata"], **managed}, "spec": {"port": 80, "ips": ips}}
    stored = {"metadata": {"labels": {}}, "subsets": [{"addresses": [{"ip": ip} for ip in ips]}]}
    children = {"Endpoints.v1": {"shop/api": stored}, "EndpointSlice.discovery.k8s.io/v1": slices}
    status = {"addresses": addresses}
    return _json({"parent": {**parent, "status": status}, "children": {"Service.v1": {}, **children}})


def worst() -> dict[str, Callable[[], bytes]]:
    """Maker of each body by its description: the largest take seconds to make."""
    return {
        "the largest real request": _largest,
        "numbers in status.addresses, 3 MB": lambda: _filled("status.addresses", repeated("1")),
        "numbers in status.addresses, 7 MB": lambda: _filled("status.addresses", repeated("1", 7_000_000)),
        "{} in status.addresses, 3 MB": lambda: _filled("status.addresses", repeated("{}")),
        "{} in status.addresses, 16 MB": lambda: _filled("status.addresses", repeated("{}", 16_000_000)),
        "{} in spec.hosts, as many as are decoded": lambda: _filled("spec.hosts", repeated("{}", 98_000 * 3)),
        "objects of one field, as many as are decoded": lambda: _filled(
            "status.unknown", repeated('{"":0}', 98_000 * 7)
        ),
        "objects in objects": lambda: _filled("status.unknown", repeated('{"":' * 200 + "0" + "}" * 200)),
        "numbers, as many as are decoded": lambda: _filled("status.unknown", repeated("1.5", 393_000 * 4)),
        "labels with wrong values": lambda: sync(metadata={**PARENT["metadata"], "labels": _entries(1)}),
        "annotations with wrong values": lambda: sync(metadata={**PARENT["metadata"], "annotations": _entries([])}),
        "200,000 good annotations": lambda: sync(metadata={**PARENT["metadata"], "annotations": _entries("")}),
        "service annotations with wrong values": lambda: plain(service={"annotations": _entries(1)}),
        "children that are numbers": lambda: plain(children={"Service.v1": _entries(1)}),
        "80,000 Services": lambda: plain(children={"Service.v1": {name: {"metadata": {}} for name in NAMES[:80_000]}}),
        "kinds without children": lambda: plain(children={name: {} for name in NAMES[:90_000]}),
        "one text of 3 MB": lambda: sync(metadata={**PARENT["metadata"], "name": "x" * SIZE}),
        "one key of 3 MB": lambda: sync(metadata={**PARENT["metadata"], "annotations": {"x" * SIZE: 1}}),
        "4,096 HTTPRoutes": lambda: _routes(16),
        "256 HTTPRoutes with 256 KiB each": lambda: _routes(1),
        "escapes in one text": lambda: b'"' + b"\\u00e9" * (SIZE // 6) + b'"',
        "no JSON, 3 MB": lambda: b"[" + b" " * SIZE,
    }
