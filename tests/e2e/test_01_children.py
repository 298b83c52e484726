"""Children are stored as `render` prints them, and each kind of failure leaves and returns within the bound."""

import asyncio
import copy
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import yaml

from app.render import render
from app.settings import TOOL_ANNOTATIONS
from app.sync import SyncOptions
from playground.cluster import ENDPOINTS, INGRESSES, SERVICES
from playground.composite.dynamic_apply import LAST_APPLIED
from playground.scenarios.bounds import bounds_of
from playground.timeline import Follower, Timeline
from playground.until import until
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service, sample, samples
from tests.e2e.world import World, ready

Object = dict[str, Any]

KINDS = {kind.kind: kind for kind in (SERVICES, ENDPOINTS, INGRESSES)}
OPTIONS = SyncOptions(uncopied_annotations=TOOL_ANNOTATIONS)
METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences")
"""Metadata that only a stored object has."""
ALLOCATED = ("clusterIP", "clusterIPs", "ipFamilyPolicy")
"""What a Service with `clusterIP: Auto` gets from the cluster, as no hook can know it."""
FOREIGN = {"gateway"}
"""Samples that need kinds which are not Kubernetes' own."""
UNTRUSTED = {"https-verified"}
"""Samples whose probe refuses the certificates that the test hosts make for themselves."""


def as_rendered(stored: Object) -> Object:
    """A stored child without what Metacontroller and the API server add to it."""
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
    return found


async def test_every_sample_becomes_what_render_prints(world: World, figures: Callable[..., None]) -> None:
    created = [await world.apply(sample(name)) for name in samples() if name not in FOREIGN]
    for one in created:
        if text := (one["spec"].get("readinessProbe") or {}).get("httpGet", {}).get("bodyContains"):
            world.behave(one, body=text)
    start = time.monotonic()
    for one in created:
        meta = one["metadata"]
        down = one["spec"]["ips"] if meta["name"] in UNTRUSTED else one["spec"].get("disabledIPs", ())
        wanted = ready(one["spec"]["ips"], but=down)
        await world.until_published(meta["name"], wanted, namespace=meta["namespace"])
    figures(samples=len(created), **{"all ready after seconds": time.monotonic() - start})
    for one in created:
        meta = one["metadata"]
        live = await world.get(meta["name"], namespace=meta["namespace"])
        printed = list(yaml.safe_load_all(render(yaml.safe_dump(live), OPTIONS, "yaml").text))
        found = [
            await world.get(child["metadata"]["name"], kind=KINDS[child["kind"]], namespace=meta["namespace"])
            for child in printed
        ]
        assert [as_rendered(child) for child in found if child] == printed
        assert len(printed) == (3 if one["spec"].get("hosts") else 2)


@dataclass(frozen=True, slots=True)
class Failure:
    """How an address fails, and what the status then says of it; `probe` instead of the usual HTTP one."""

    name: str
    change: dict[str, Any]
    evidence: str
    probe: dict[str, Any] | None = None


WEB = {"port": 8080, "path": "/healthcheck", "host": "www.mydomain.com"}
TLS = {**WEB, "port": 8443, "scheme": "HTTPS"}
FAILURES = (
    Failure("refuse", {"mode": Mode.REFUSE}, "connection refused"),
    Failure("error", {"mode": Mode.ERROR}, "HTTP 500"),
    Failure("stall", {"mode": Mode.STALL}, "timed out after 1 s"),
    Failure("slow", {"mode": Mode.SLOW}, "timed out after 1 s"),
    Failure("wrong-host", {"host": "other.mydomain.com"}, "HTTP 404"),
    Failure("wrong-sni", {"host": "other.mydomain.com"}, "TLS", {"httpGet": TLS}),
    Failure("tls-refused", {"mode": Mode.REFUSE}, "connection refused", {"httpGet": TLS}),
    Failure("tcp", {"mode": Mode.REFUSE}, "connection refused", {"tcpSocket": {"port": 5432}}),
    Failure("grpc", {"mode": Mode.ERROR}, "NOT_SERVING", {"grpc": {"port": 9000, "service": "shop.Cart"}}),
    Failure("grpc-stall", {"mode": Mode.STALL}, "timed out after 1 s", {"grpc": {"port": 9000}}),
)
DROPPED = Failure("drop", {"mode": Mode.DROP}, "timed out after 1 s")
DROPPED_V6 = Failure("drop-v6", {"mode": Mode.DROP}, "timed out after 1 s")
HEALTHY = {"mode": Mode.HEALTHY, "host": "www.mydomain.com"}


async def test_each_failure_leaves_and_returns_in_time(world: World, figures: Callable[..., None]) -> None:
    failures = (*FAILURES, DROPPED, DROPPED_V6) if world.hosts.apart else FAILURES
    async with AsyncExitStack() as stack:
        cases = []
        for number, failure in enumerate(failures):
            case = Case(world, failure, number)
            case.timeline = await stack.enter_async_context(case.follower)
            cases.append(case)
        measured = dict(
            zip([one.name for one in failures], await asyncio.gather(*(one.run() for one in cases)), strict=True)
        )
    bounds = cases[0].bounds
    left = {name: seconds for name, (seconds, _, _) in measured.items()}
    back = {name: seconds for name, (_, seconds, _) in measured.items()}
    figures(
        **{"slowest leaves after seconds": max(left.values()), "allowed": bounds.leaves},
        **{"slowest returns after seconds": max(back.values()), "allowed to return": bounds.returns},
    )
    assert {name: seconds for name, seconds in left.items() if seconds > bounds.leaves} == {}
    assert {name: seconds for name, seconds in back.items() if seconds > bounds.returns} == {}
    assert {one.name: message for one in failures if one.evidence not in (message := measured[one.name][2])} == {}


class Case:
    """One ExternalService with two addresses, of which the second fails and recovers."""

    def __init__(self, world: World, failure: Failure, number: int) -> None:
        self.failure = failure
        self.ips = [f"10.0.101.{2 * number}", f"10.0.101.{2 * number + 1}"]
        if failure is DROPPED_V6:
            self.ips = ["2001:db8::100", "2001:db8::101"]
        self.manifest = external_service(failure.name, self.ips)
        handler = failure.probe or {"httpGet": WEB}
        times = {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2, "successThreshold": 2}
        self.manifest["spec"]["readinessProbe"] = handler | times
        self.bounds = bounds_of(times)
        self.world = world
        self.follower = Follower(world.client, world.namespace, failure.name)
        self.timeline: Timeline

    async def run(self) -> tuple[float, float, str]:
        """Seconds until it has left, seconds until it is back, and what the status said in between."""
        await self.world.apply(self.manifest)
        self.world.behave(self.manifest, host="www.mydomain.com")
        await until(lambda: self.timeline.ready == ready(self.ips), f"{self.failure.name} ready", seconds=30)
        left = await self._switched(self.failure.change, published=False)
        message = self.timeline.status[self.ips[1]][1]
        back = await self._switched(HEALTHY, published=True)
        assert all(moment.ready[self.ips[0]] for moment in self.timeline.published[-2:]), "its neighbour moved"
        return left, back, message

    async def _switched(self, change: dict[str, Any], *, published: bool) -> float:
        victim = self.ips[1]
        start = time.monotonic()
        self.world.hosts.switch(victim, **change)
        words = f"{self.failure.name}: {victim} {'back' if published else 'out'}"
        await until(lambda: self.timeline.ready.get(victim) is published, words, seconds=15, every=0.005)
        return next(moment.at for moment in self.timeline.since(start) if moment.ready[victim] is published) - start
