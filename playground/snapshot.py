"""The state of the playground at one moment, as plain values for whatever shows it."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from playground.client import CONTROLLER, SIDECAR, readiness
from playground.stack import ADMINISTRATOR, SIDECAR_AGENT, Playground

Object = dict[str, Any]

CHILDREN = ("Service", "Endpoints", "Ingress")


@dataclass(frozen=True, slots=True)
class AddressRow:
    """One address of one ExternalService.

    `published`: ready, not ready, or absent ("-") from the Endpoints. `last_probe` is as in the sidecar's page /status.
    """

    parent: str
    ip: str
    connects_to: str
    backend: str
    ready: bool
    reason: str
    message: str
    last_probe: Mapping[str, Any] | None
    failures: int
    published: str


@dataclass(frozen=True, slots=True)
class ParentRow:
    """One ExternalService: how many addresses are ready, its summary, and its children with a word on each."""

    name: str
    ready: int
    addresses: int
    summary: str
    children: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it. `writes` are accepted writes by actor; `calm_seconds` is how long ago the last one was."""

    parents: tuple[ParentRow, ...]
    addresses: tuple[AddressRow, ...]
    writes: Mapping[str, int]
    calm_seconds: float
    probes: int
    syncs: int
    problems: tuple[str, ...]

    def as_json(self) -> Object:
        """One JSON object."""
        return asdict(self)


async def snapshot(playground: Playground) -> Snapshot:
    """Reads all of it; of a sidecar that is down, nothing is known."""
    known = {(one["namespace"], one["name"], one["ip"]): one for one in await playground.addresses()}
    parents = playground.parents()
    rows = tuple(row for parent in parents for row in _addresses(playground, parent, known))
    writes, last = _writes(playground)
    return Snapshot(
        tuple(_parent(playground, parent) for parent in parents),
        rows,
        writes,
        time.time() - last,
        await playground.probes(),
        playground.controller.counts.syncs,
        tuple(playground.backends.problems.values()),
    )


def _parent(playground: Playground, parent: Object) -> ParentRow:
    meta = parent["metadata"]
    children = {kind: _child(playground.api.get(kind, meta["namespace"], meta["name"])) for kind in CHILDREN}
    status = parent.get("status") or {}
    addresses = status.get("addresses") or ()
    ready = sum(one["ready"] for one in addresses)
    return ParentRow(f"{meta['namespace']}/{meta['name']}", ready, len(addresses), status.get("summary", ""), children)


def _child(child: Object | None) -> str:
    if child is None:
        return "-"
    if child["kind"] == "Endpoints":
        found = readiness(child)
        return f"{sum(found.values())} of {len(found)} ready"
    if child["kind"] == "Ingress":
        return ", ".join(rule["host"] for rule in child["spec"].get("rules") or ())
    port = ", ".join(str(port["port"]) for port in child["spec"].get("ports") or ())
    return f"{'headless' if child['spec'].get('clusterIP') == 'None' else child['spec'].get('clusterIP')}, port {port}"


def _addresses(
    playground: Playground, parent: Object, known: Mapping[tuple[str, str, str], Object]
) -> list[AddressRow]:
    meta = parent["metadata"]
    endpoints = playground.api.get("Endpoints", meta["namespace"], meta["name"])
    published = readiness(endpoints) if endpoints else {}
    told = {one["ip"]: one for one in (parent.get("status") or {}).get("addresses") or ()}
    rows = []
    for ip in dict.fromkeys((*(parent["spec"].get("ips") or ()), *(ip for ip in told if told[ip].get("hostname")))):
        shown, status = known.get((meta["namespace"], meta["name"], ip), {}), told.get(ip, {})
        backends = playground.backends.at(ip)
        rows.append(
            AddressRow(
                parent=f"{meta['namespace']}/{meta['name']}",
                ip=ip,
                connects_to=playground.dial(ip),
                backend=str(backends[0].mode) if backends else "yours" if playground.dial(ip) == ip else "none",
                ready=status.get("ready", False),
                reason=status.get("reason", ""),
                message=status.get("message", ""),
                last_probe=shown.get("lastProbe"),
                failures=shown.get("consecutiveFailures", 0),
                published={True: "ready", False: "not ready"}.get(published.get(ip), "-"),  # type: ignore[arg-type] # None is for the default
            )
        )
    return rows


def _writes(playground: Playground) -> tuple[dict[str, int], float]:
    found = playground.api.audit.writes(ignore={ADMINISTRATOR})
    by_actor = {SIDECAR: 0, CONTROLLER: 0}
    for request in found:
        actor = SIDECAR if request.actor == SIDECAR_AGENT else request.actor
        by_actor[actor] = by_actor.get(actor, 0) + 1
    return by_actor, found[-1].at if found else time.time()
