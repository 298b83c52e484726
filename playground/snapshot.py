"""The state of the playground at one moment: as plain values, and in lines of text."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground.apiserver.resources import EXTERNAL_SERVICES
from playground.client import CONTROLLER, SIDECAR, readiness
from playground.stack import SIDECAR_AGENT, Playground
from playground.values import Object

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

    @property
    def state(self) -> str:
        """`ready` in words."""
        return "ready" if self.ready else "not ready"

    @property
    def evidence(self) -> str:
        """The last probe in words."""
        if self.last_probe is None:
            return "none yet"
        milliseconds, seconds = self.last_probe["durationSeconds"] * 1000, self.last_probe["ageSeconds"]
        return f"{self.last_probe['message']}, {milliseconds:.1f} ms, {seconds:.0f} s ago"


@dataclass(frozen=True, slots=True)
class ParentRow:
    """One ExternalService: how many addresses are ready, its summary, and a description of each child by kind."""

    name: str
    ready: int
    addresses: int
    summary: str
    children: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`writes` are accepted writes by actor; `calm_seconds` is the time since the last one."""

    parents: tuple[ParentRow, ...]
    addresses: tuple[AddressRow, ...]
    writes: Mapping[str, int]
    calm_seconds: float
    probes: int
    syncs: int
    problems: tuple[str, ...]

    @property
    def totals(self) -> str:
        """Writes, probes and syncs in words."""
        writes = ", ".join(f"{actor} {count}" for actor, count in self.writes.items())
        calm = f"; none for {self.calm_seconds:.0f} s" if sum(self.writes.values()) else ""
        return f"API writes so far: {writes}{calm}.  Probes: {self.probes}.  Calls of the hook: {self.syncs}."

    def lines(self) -> list[str]:
        """One line for each ExternalService and address, then problems and totals."""
        lines = []
        for parent in self.parents:
            children = "; ".join(f"{kind}: {word}" for kind, word in parent.children.items())
            lines.append(f"{parent.name}  {parent.ready}/{parent.addresses} ready  {parent.summary}  {children}")
            lines += [
                f"  {row.ip} -> {row.connects_to} ({row.backend})  {row.state}  {row.reason}: {row.message}  "
                f"last probe: {row.evidence}  failures: {row.failures}  Endpoints: {row.published}"
                for row in self.addresses
                if row.parent == parent.name
            ]
        return [*lines, *self.problems, self.totals]


async def snapshot(playground: Playground) -> Snapshot:
    """Reads all of it; while the sidecar is down, without its results."""
    probed = {(one["namespace"], one["name"], one["ip"]): one for one in await playground.addresses()}
    parents = playground.api.storage.items(EXTERNAL_SERVICES.key)
    writes, last = _writes(playground)
    return Snapshot(
        tuple(_parent(playground, parent) for parent in parents),
        tuple(row for parent in parents for row in _addresses(playground, parent, probed)),
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
    playground: Playground, parent: Object, probed: Mapping[tuple[str, str, str], Object]
) -> list[AddressRow]:
    meta = parent["metadata"]
    endpoints = playground.api.get("Endpoints", meta["namespace"], meta["name"])
    published = {ip: "ready" if ready else "not ready" for ip, ready in readiness(endpoints or {}).items()}
    statuses = {one["ip"]: one for one in (parent.get("status") or {}).get("addresses") or ()}
    resolved = (ip for ip, status in statuses.items() if status.get("hostname"))
    rows = []
    for ip in dict.fromkeys((*(parent["spec"].get("ips") or ()), *resolved)):
        probe, status = probed.get((meta["namespace"], meta["name"], ip), {}), statuses.get(ip, {})
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
                last_probe=probe.get("lastProbe"),
                failures=probe.get("consecutiveFailures", 0),
                published=published.get(ip, "-"),
            )
        )
    return rows


def _writes(playground: Playground) -> tuple[dict[str, int], float]:
    found = [request for request in playground.api.audit.requests if request.write]
    by_actor = {SIDECAR: 0, CONTROLLER: 0}
    for request in found:
        actor = SIDECAR if request.actor == SIDECAR_AGENT else request.actor
        by_actor[actor] = by_actor.get(actor, 0) + 1
    return by_actor, found[-1].at if found else time.time()
