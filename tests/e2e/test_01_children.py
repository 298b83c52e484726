"""Children are stored as `render` prints them, and each kind of failure leaves and returns within the bound."""

import asyncio
import copy
import time
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from app.render import here
from app.settings import TOOL_ANNOTATIONS
from app.sync import SyncOptions, desired_children
from external_service.kind import EndpointsForm
from external_service.manifest import external_services
from playground.addresses import resolved
from playground.client import ENDPOINT_SLICES, ENDPOINTS, INGRESSES, SERVICES
from playground.composite.dynamic_apply import LAST_APPLIED
from probe_sidecar.probes.message import timed_out
from tests.e2e.backends import Conduct, Mode
from tests.e2e.manifests import external_service, sample, samples
from tests.e2e.world import World, ready
from tests.scenarios import bounds
from tests.scenarios.machine import Machine, watched
from tests.scenarios.timeline import Timeline, followed
from tests.until import until, until_equal

Object = dict[str, Any]

KINDS = {kind.kind: kind for kind in (SERVICES, ENDPOINTS, ENDPOINT_SLICES, INGRESSES)}
STORED_SECONDS = 30.0
METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences")
"""Metadata that only a stored object has."""
ALLOCATED = ("clusterIP", "clusterIPs", "ipFamilyPolicy")
"""Fields of a Service with `clusterIP: Auto` that the cluster sets."""
FORMS: dict[EndpointsForm, set[str]] = {
    "Endpoints": {"Service", "Endpoints"},
    "Both": {"Service", "Endpoints", "EndpointSlice"},
}
FOREIGN = {"gateway"}
"""Samples with kinds that Kubernetes itself does not have: see test_32_http_route."""
UNTRUSTED = {"grpc-tls", "https-verified", "probe-secrets"}
"""Samples whose probe refuses the self-signed certificates of the test hosts, or whose Secrets do not exist."""


def as_rendered(stored: Object) -> Object:
    """A stored child without the fields that Metacontroller and the API server add."""
    found = copy.deepcopy(stored)
    found.pop("status", None)
    meta = found["metadata"]
    for name in METADATA:
        meta.pop(name, None)
    meta["labels"].pop("controller-uid")
    meta.get("annotations", {}).pop(LAST_APPLIED, None)
    if not meta.get("annotations", True):
        del meta["annotations"]
    if found["kind"] == "Service":
        given = found["spec"].get("clusterIP") == "None"
        for name in ("ipFamilies", *(() if given else ALLOCATED)):
            found["spec"].pop(name, None)
        for port in found["spec"]["ports"]:
            port.pop("nodePort", None)
    return found


@pytest.mark.kubernetes("loop")
@pytest.mark.world(settings={"ESO_PROBE_SECRETS": "true"})
async def test_stored_children_equal_the_rendered_sample(world: World) -> None:
    created = [await world.apply(sample(name)) for name in samples() if name not in FOREIGN]
    for one in created:
        if text := (one["spec"].get("readinessProbe") or {}).get("httpGet", {}).get("bodyContains"):
            world.hosts.set(world.places(one), Conduct(body=text))
    for one in created:
        meta = one["metadata"]
        ips = [*one["spec"].get("ips", ()), *resolved(one["spec"])]
        down = ips if meta["name"] in UNTRUSTED else one["spec"].get("disabledIPs", ())
        wanted = ready(ips, but=down)
        await world.until_published(meta["name"], wanted, namespace=meta["namespace"])
    for one in created:
        await until_stored_as_rendered(world, one, "Both")
    await world.hook.restart_with({"ESO_ENDPOINTS": "Endpoints"})
    for one in created:
        meta = one["metadata"]
        await world.patch(meta["name"], {"metadata": {"labels": {"team": "a"}}}, namespace=meta["namespace"])
    for one in created:
        await until_stored_as_rendered(world, one, "Endpoints")


async def until_stored_as_rendered(world: World, parent: Object, form: EndpointsForm) -> None:
    """Each child that `render` prints for the parent is stored as printed."""
    meta = parent["metadata"]
    live = await world.get(meta["name"], namespace=meta["namespace"])
    options = SyncOptions(uncopied_annotations=TOOL_ANNOTATIONS, form=form)
    (document,) = external_services(yaml.safe_dump(live)).documents
    printed = desired_children(document.parent, here(options)).children

    async def stored() -> list[Object | None]:
        places = [(child["metadata"]["name"], KINDS[child["kind"]]) for child in printed]
        found = [await world.get(name, kind=kind, namespace=meta["namespace"]) for name, kind in places]
        return [as_rendered(child) if child else None for child in found]

    await until_equal(stored, [*printed], seconds=STORED_SECONDS, every=0.1)
    assert {child["kind"] for child in printed} == FORMS[form] | ({"Ingress"} if parent["spec"].get("hosts") else set())


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of an address, and its message in the status. `probe` replaces the HTTP probe; `six`: IPv6."""

    name: str
    change: dict[str, Any]
    evidence: str
    probe: dict[str, Any] | None = None
    six: bool = False


WEB = {"port": 8080, "path": "/healthcheck", "host": "www.mydomain.com"}
TLS = {**WEB, "port": 8443, "scheme": "HTTPS"}
TIMED_OUT = timed_out(1, "").removesuffix(" ()")
FAILURES = (
    Failure("refuse", {"mode": Mode.REFUSE}, "connection refused"),
    Failure("error", {"mode": Mode.ERROR}, "HTTP 500"),
    Failure("stall", {"mode": Mode.STALL}, TIMED_OUT),
    Failure("slow", {"mode": Mode.SLOW}, TIMED_OUT),
    Failure("wrong-host", {"host": "other.mydomain.com"}, "HTTP 404"),
    Failure("wrong-sni", {"host": "other.mydomain.com"}, "TLS", {"httpGet": TLS}),
    Failure("tls-refused", {"mode": Mode.REFUSE}, "connection refused", {"httpGet": TLS}),
    Failure("tcp", {"mode": Mode.REFUSE}, "connection refused", {"tcpSocket": {"port": 5432}}),
    Failure("grpc", {"mode": Mode.ERROR}, "NOT_SERVING", {"grpc": {"port": 9000, "service": "shop.Cart"}}),
    Failure("grpc-stall", {"mode": Mode.STALL}, TIMED_OUT, {"grpc": {"port": 9000}}),
    Failure("grpc-tls", {"mode": Mode.ERROR}, "NOT_SERVING", {"grpc": {"port": 50051, "tls": {}}}),
    Failure("status", {"status": 206}, "HTTP 206", {"httpGet": {**WEB, "expectedStatuses": ["200-204"]}}),
    Failure("redirect", {"status": 302}, "HTTP 302", {"httpGet": {**WEB, "redirects": "Fail"}}),
    Failure("body", {"body": "nothing"}, "body", {"httpGet": {**WEB, "bodyContains": "ok"}}),
    Failure(
        "http2", {"mode": Mode.ERROR}, "HTTP 500", {"httpGet": {"port": 8081, "protocol": "HTTP2", "method": "HEAD"}}
    ),
    Failure("drop", {"mode": Mode.DROP}, TIMED_OUT),
    Failure("drop-v6", {"mode": Mode.DROP}, TIMED_OUT, six=True),
    Failure("refuse-v6", {"mode": Mode.REFUSE}, "connection refused", six=True),
    Failure("wrong-sni-v6", {"host": "other.mydomain.com"}, "TLS", {"httpGet": TLS}, six=True),
    Failure("grpc-v6", {"mode": Mode.ERROR}, "NOT_SERVING", {"grpc": {"port": 9000}}, six=True),
    Failure(
        "sooner", {"mode": Mode.ERROR}, "HTTP 500", {"httpGet": WEB, "periodSeconds": 5, "notReadyPeriodSeconds": 1}
    ),
)
HEALTHY: dict[str, Any] = {"mode": Mode.HEALTHY, "status": 200, "body": "ok\n"}


@pytest.mark.kubernetes("loop")
async def test_failed_address_leaves_and_returns_in_time(world: World) -> None:
    async with watched() as machine, asyncio.TaskGroup() as group:
        cases = [Case(world, machine, failure, number) for number, failure in enumerate(FAILURES)]
        for one in cases:
            group.create_task(one.run())
    assert {case.failure.name: case.late for case in cases if case.late} == {}
    assert {one.failure.name: one.message for one in cases if one.failure.evidence not in one.message} == {}


TIMES = {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2, "successThreshold": 2}
RETURNS = bounds.returns(TIMES)
"""Each is probed once a second while it is not ready."""


class Case:
    """One ExternalService with two addresses, of which the second fails and recovers."""

    def __init__(self, world: World, machine: Machine, failure: Failure, number: int) -> None:
        self.world, self.machine, self.failure = world, machine, failure
        network = "2001:db8::" if failure.six else "10.0.101."
        self.ips = [f"{network}{2 * number + 10}", f"{network}{2 * number + 11}"]
        self.manifest = external_service(failure.name, self.ips)
        self.manifest["spec"]["readinessProbe"] = probe = TIMES | (failure.probe or {"httpGet": WEB})
        self.leaves = bounds.leaves(probe)
        self.healthy = HEALTHY | {"host": "" if "grpc" in probe else WEB["host"]}
        self.late: list[float] = []
        """Seconds until the second address has left, or is back, where that is too many."""
        self.message = ""
        """Of the second address in the status meanwhile."""

    async def run(self) -> None:
        async with followed(self.world.client, self.world.namespace, self.failure.name) as timeline:
            await self.world.apply(self.manifest)
            self.world.hosts.set(self.world.places(self.manifest), Conduct(**self.healthy))
            await until(lambda: timeline.ready == ready(self.ips), f"{self.failure.name} ready", seconds=30)
            await self._switched(timeline, self.failure.change, published=False, within=self.leaves)
            await until(
                lambda: not timeline.status.get(self.ips[1], (True, ""))[0], "the status, by another watch", seconds=30
            )
            self.message = timeline.status[self.ips[1]][1]
            await self._switched(timeline, self.healthy, published=True, within=RETURNS)
            assert all(moment.ready[self.ips[0]] for moment in timeline.published[-2:]), "its neighbour moved"

    async def _switched(self, timeline: Timeline, change: Object, *, published: bool, within: float) -> None:
        victim, start = self.ips[1], time.monotonic()
        self.world.hosts.switch(victim, **change)
        words = f"{self.failure.name}: {victim} {'back' if published else 'out'}"
        await until(lambda: timeline.ready.get(victim) is published, words, seconds=30, every=0.05)
        seen = next(moment.at for moment in timeline.since(start) if moment.ready[victim] is published)
        if seen - start > within + self.machine.withheld(start, seen):
            self.late.append(seen - start)
