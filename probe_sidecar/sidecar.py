"""The sidecar as a whole: watch -> probe -> publish what is ours, wired together and given a life.

Reads no environment and no command line; that is `__main__`.
"""

import asyncio
import logging
import platform
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic import ValidationError

from external_service.invalid import explain
from external_service.kind import GROUP, PLURAL, VERSION
from external_service.policy import refusal
from external_service.v1alpha1 import ExternalService
from probe_sidecar.ca_bundles import CABundles, Reference, reference
from probe_sidecar.events.note import notes
from probe_sidecar.events.recorder import EventRecorder
from probe_sidecar.exposition import CONTENT_TYPE, exposition
from probe_sidecar.hostnames.answer import Reply
from probe_sidecar.hostnames.cache import Lookup, NameCache
from probe_sidecar.hostnames.directory import Directory
from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.kube.reflectors import Reflectors
from probe_sidecar.metrics import MetricSources, registry
from probe_sidecar.prober.canary import Canary
from probe_sidecar.prober.delays import Delays
from probe_sidecar.prober.manager import ProberManager
from probe_sidecar.prober.outage import OutageGuard
from probe_sidecar.prober.results import Results
from probe_sidecar.prober.suspicion import Suspicion
from probe_sidecar.prober.ticker import Ticker
from probe_sidecar.probes.engine import ProbeEngine, default_limit
from probe_sidecar.replicas.alone import Alone
from probe_sidecar.replicas.replica import Replica
from probe_sidecar.settings import DNSServer, Settings
from probe_sidecar.status.children import ChildReports
from probe_sidecar.status.conditions import Finding
from probe_sidecar.status.desired import desired_status, rejected_status
from probe_sidecar.status.known import known_addresses, seen_delay, seen_doubt, seen_names
from probe_sidecar.status.publisher import StatusPublisher
from probe_sidecar.status_page import rows, status_page
from probe_sidecar.web import Page, PageServer, Query, health
from runtime.logs import about

log = logging.getLogger(__name__)

Object = dict[str, Any]

EXTERNAL_SERVICES = Resource(GROUP, VERSION, PLURAL)

TAKEN_AT_ONCE = 5
"""ExternalServices of the first LIST, or of a takeover, that are begun before others get their turn: each takes some
0.7 ms with ten addresses."""

CLOSING_SECONDS = 0.5
"""For what is ready to be published at the end; with the Lease's release and the pages it stays below a second."""

STALLED_SECONDS = 60.0
"""A schedule so far behind means that the event loop is stuck: the liveness probe asks for a restart."""


def rfc3339() -> str:
    """The wall clock as Kubernetes writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one version of an ExternalService's spec says: the parsed parent, or why it cannot be read."""

    generation: object
    parent: ExternalService | None
    problem: str = ""


class Sidecar:
    """One prober process. `dial` maps an address to the one really connected to (identity but in the playground).

    `leases` is a client with connections of its own (default: `client`), so that no outage, however many writes it
    brings, holds up the renewal of the Lease. Both are closed at the end. `on_settled` is told when all that came to us
    at once, by the first LIST or in a takeover, has been begun.
    """

    def __init__(
        self,
        client: KubeClient,
        settings: Settings,
        *,
        leases: KubeClient | None = None,
        dial: Callable[[str], str] = str,
        on_settled: Callable[[], None] = lambda: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._client = client
        self._leases = leases or client
        self._gained: deque[str] = deque()
        self._taking = False
        self._taking_since = 0.0
        self._on_settled = on_settled
        self._policy = settings.policy
        self._readings: dict[str, Reading] = {}
        self.replicas = replica_of(self._leases, settings)
        self.replicas.listen(self._reassign)
        self.results = Results()
        self.engine = ProbeEngine(
            loop, limit=settings.concurrent_probes or default_limit(len(settings.scope.namespaces))
        )
        self.ca_bundles = CABundles(
            client,
            self._references,
            self._retrust,
            kinds=settings.ca_sources,
            refresh=settings.ca_refresh_seconds,
        )
        self.delays = Delays(loop, lambda uid: self.publisher.wake(uid))  # noqa: PLW0108 - the publisher comes later
        self.manager = ProberManager(
            self.engine,
            self.results,
            clock=loop.time,
            now=rfc3339,
            policy=self._policy,
            grid=settings.tick_milliseconds / 1_000,
            dial=dial,
            trust=self.ca_bundles.context,
            on_due=lambda: self.ticker.arm(),  # noqa: PLW0108 - the ticker comes next
            on_delay=self.delays.note,
            guard=OutageGuard(settings.outage_hold_seconds),
            canary=canary(settings, dial, loop.time()),
            on_doubt=self._doubt,
        )
        self.suspicion = Suspicion(loop, settings.outage_hold_seconds, self._tell_doubt)
        self.hostnames = NameCache(
            late_lookup(settings.dns_servers),
            lambda name: self.directory.answered(name),  # noqa: PLW0108 - the directory comes next
            clock=loop.time,
        )
        self.directory = Directory(loop, self.hostnames, self._serves, self._renamed)
        self.ticker = Ticker(loop, self.manager, self.replicas.check)
        self.events = EventRecorder(client, platform.node()) if settings.events else None
        self.publisher = StatusPublisher(
            client,
            EXTERNAL_SERVICES,
            self._wanted,
            limit=settings.concurrent_writes,
            probing=self.manager.probing,
            on_news=self._tell,
            on_rival=self._give_way,
        )
        self.child_reports = ChildReports(loop, self.publisher.wake)
        scope = settings.scope
        self.reflectors = Reflectors(
            client, EXTERNAL_SERVICES, self._observe, namespaces=scope.namespaces, labels=scope.selector
        )
        self.pages = PageServer(
            {
                "/healthz": health(self._stalled),
                "/readyz": health(self._unready),
                "/metrics": self._metrics,
                "/status": self._status,
                "/status.txt": lambda query: self._status({"format": "text", **query}),
            },
            host=settings.health_listen_host,
            port=settings.health_listen_port,
        )
        sources = MetricSources(
            clients=(client,) if leases is None else (client, leases),
            reflectors=self.reflectors.each,
            manager=self.manager,
            engine=self.engine,
            delays=self.delays,
            publisher=self.publisher,
            events=self.events,
            replicas=self.replicas,
            hostnames=self.hostnames,
        )
        self._registry = registry(sources, addresses=settings.address_metrics)
        self.results.listen(self.directory.heed)  # before the publisher: who comes and who goes is one write
        self.results.listen(self.publisher.wake)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then hand over what is known. A crash of any part ends the whole."""
        self.pages.start()
        self.ticker.arm()
        log.info("probing; health on port %d", self.pages.port)
        try:
            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(self.publisher.run(), name="publisher")
                watching = group.create_task(self.reflectors.run(), name="reflectors")
                telling = group.create_task(self.events.run(), name="events") if self.events else None
                trusting = group.create_task(self.ca_bundles.run(), name="trust")
                naming = group.create_task(self.hostnames.run(), name="names")
                belonging = group.create_task(self.replicas.run(), name="membership")
                await stop.wait()
                watching.cancel()
                trusting.cancel()
                naming.cancel()
                self.ticker.close()
                await self.publisher.close(CLOSING_SECONDS)
                await publishing
                belonging.cancel()
                if telling is not None:
                    telling.cancel()
        finally:
            self.ticker.close()
            self.engine.close()
            # After the last write and probe, for the others begin as soon as they see it.
            await self.replicas.release()
            await self.pages.stop()
            await self._client.close()
            await self._leases.close()

    def _observe(self, objects: Mapping[str, Object], changed: frozenset[str], first: bool = False) -> None:
        if first:
            self._gained.extend(changed)
            self._take_over_soon()
            return
        for uid in changed:
            raw = objects.get(uid)
            if raw is None or not self.replicas.owns(uid):
                self._drop(uid)
            else:
                self._work_for(uid, raw)

    def _reassign(self) -> None:
        """`owns` may have changed: put down at once what is not ours any more, begin with the rest bit by bit."""
        for uid in [uid for uid in self._readings if not self.replicas.owns(uid)]:
            self._drop(uid)
        self._gained = deque(uid for uid in self.reflectors.uids() if uid not in self._readings)
        self._take_over_soon()

    def _take_over_soon(self) -> None:
        if self._gained and not self._taking:
            self._taking, self._taking_since = True, self._loop.time()
            self._take_over()

    def _take_over(self) -> None:
        for _ in range(min(TAKEN_AT_ONCE, len(self._gained))):
            uid = self._gained.popleft()
            raw = self.reflectors.get(uid)
            if raw is not None and uid not in self._readings and self.replicas.owns(uid):
                self._work_for(uid, raw, spread_since=self._taking_since)
        self._taking = bool(self._gained)
        if self._taking:
            self._loop.call_soon(self._take_over)
        else:
            self._on_settled()

    def _work_for(self, uid: str, raw: Object, *, spread_since: float | None = None) -> None:
        reading = self._read(uid, raw)
        if reading.parent is None:
            self.manager.release(uid)
            self.directory.forget(uid)
            self.publisher.observe(uid, raw)
            return
        shown = seen_names(raw) if reading.parent.spec.hostnames else {}
        self.directory.follow(uid, reading.parent.spec, shown, hurry=spread_since is None)
        names = self.directory.names(uid)
        if self.manager.manages(uid):
            self.manager.follow(uid, known_addresses(raw))
            self.manager.apply(reading.parent, {}, names=names)
        else:
            if told := seen_delay(raw):  # by the owner before, or by us before a restart: it ends as it would have
                self.delays.note(uid, told)
            self.manager.apply(reading.parent, known_addresses(raw), spread_since=spread_since, names=names)
        self.publisher.observe(uid, raw)

    def _drop(self, uid: str) -> None:
        self._readings.pop(uid, None)
        self.delays.forget(uid)
        self.child_reports.forget(uid)
        self.manager.release(uid)
        self.directory.forget(uid)
        self.publisher.observe(uid, None)

    def _read(self, uid: str, raw: Object) -> Reading:
        """The spec, parsed once for each generation of it."""
        generation = raw["metadata"].get("generation")
        held = self._readings.get(uid)
        if held is None or held.generation != generation:
            held = self._readings[uid] = read(raw)
            if held.parent is None:
                owner = f"{raw['metadata'].get('namespace')}/{raw['metadata']['name']}"
                log.warning("%s: not probed: %s", owner, held.problem, extra=about(owner))
        return held

    def _wanted(self, raw: Object) -> Object | None:
        uid = raw["metadata"]["uid"]
        reading = self._readings.get(uid)
        if reading is None or reading.generation != raw["metadata"].get("generation"):
            return None  # a newer version than the watch has shown: its own event is on the way
        if not self.replicas.owns(uid):
            return None
        if reading.parent is None:
            return rejected_status(raw, reading.problem, rfc3339())
        self.manager.follow(uid, known_addresses(raw))
        results = self.results.get(uid)
        spec, namespace = reading.parent.spec, reading.parent.metadata.namespace
        problem = self.ca_bundles.problem(namespace, spec.readinessProbe)
        told = self.directory.report(uid)
        return desired_status(
            raw,
            spec,
            results,
            self._policy,
            rfc3339(),
            children=self.child_reports.lasting(uid, raw),
            problem=problem,
            delayed=self.delays.reason(uid),
            doubt=self.suspicion.text if self.manager.guard.degraded or seen_doubt(raw) else "",
            names=self.directory.names(uid),
            resolution=None if told is None else Finding("Resolved", *told),
        )

    def _give_way(self, raw: Object) -> None:
        """A status that another owner has written, or a hand, after all that we know of."""
        self.manager.give_way(raw["metadata"]["uid"], known_addresses(raw))

    def _serves(self, uid: str, ip: str) -> bool:
        """Whether an address is published as ready, fail open aside."""
        parent = self._readings[uid].parent
        if parent is None or ip in parent.spec.disabledIPs or refusal(ip, self._policy) is not None:
            return False
        state = self.results.get(uid).get(ip)
        return parent.spec.readinessProbe is None or (state is not None and state.healthy)

    def _renamed(self, uid: str) -> None:
        """Other addresses by the same names, or something else to tell of these."""
        parent = self._readings[uid].parent
        if parent is not None and self.manager.manages(uid):
            self.manager.apply(parent, {}, names=self.directory.names(uid))
            self.publisher.wake(uid)

    def _references(self) -> Iterator[Reference]:
        for uid, reading in self._readings.items():
            if reading.parent is not None and self.manager.manages(uid):
                found = reference(reading.parent.metadata.namespace, reading.parent.spec.readinessProbe)
                if found is not None:
                    yield found

    def _retrust(self, changed: Reference) -> None:
        for uid, reading in self._readings.items():
            parent = reading.parent
            if parent is not None and reference(parent.metadata.namespace, parent.spec.readinessProbe) == changed:
                self.manager.renew(uid)
                self.publisher.wake(uid)

    def _doubt(self) -> None:
        """The guard has begun to doubt our own network, or ceased to."""
        guard, where = self.manager.guard, platform.node()
        if guard.degraded:
            text = suspicion(where, rfc3339(), guard.hold)
            log.warning("%s", text)
            self.suspicion.begin(text)
        else:
            log.info("something answers %s again: it trusts its own network", where)
            self.suspicion.end()

    def _tell_doubt(self) -> None:
        for uid in self._readings:
            self.publisher.wake(uid)

    def _tell(self, before: Object, after: Object) -> None:
        if self.events is not None:
            self.events.tell(after, notes(before.get("status"), after.get("status")))

    def _status(self, query: Query) -> Page:
        parents = (reading.parent for uid, reading in self._readings.items() if self.manager.manages(uid))
        shown = rows(filter(None, parents), self.manager.targets(), self._policy, self.directory.names)
        probes = {"limit": self.engine.limit, "inFlight": self.engine.in_flight, "waiting": self.engine.waiting}
        probes |= {"delayed": self.engine.delayed, "delayedExternalServices": len(self.delays)}
        process = {"replica": self.replicas.shown(), "probes": probes, "guard": self._guard()}
        return Page(*status_page(shown, query, at=rfc3339(), now=self._loop.time(), process=process))

    def _guard(self) -> Object:
        guard, canary = self.manager.guard, self.manager.canary
        shown: Object = {"degraded": guard.degraded, "held": guard.held, "holdSeconds": guard.hold}
        if guard.degraded:
            shown["message"] = self.suspicion.text
        if canary is not None:
            shown["canary"] = {"ip": canary.ip, "answers": canary.answers, "message": canary.said}
        return shown

    def _metrics(self, _query: Query) -> Page:
        return Page(200, exposition(self._registry.collect()), CONTENT_TYPE)

    def _stalled(self) -> str | None:
        behind = self.ticker.overdue()
        return None if behind < STALLED_SECONDS else f"the schedule is {behind:.0f} s behind"

    def _unready(self) -> str | None:
        """Ready once it works, and from then on: an API outage must not take the hook, in the same Pod, with it."""
        if unlisted := self.reflectors.unlisted:
            return f"the first list of ExternalServices has not arrived yet: {unlisted}"
        return None if self.replicas.joined else self.replicas.problem


def replica_of(client: KubeClient, settings: Settings) -> Alone | Replica:
    """With a Pod name one of many replicas, without one the only one."""
    if not settings.pod_name:
        return Alone()
    return Replica(
        client,
        pod=settings.pod_name,
        namespace=settings.lease_namespace,
        group=settings.scope.group,
        seconds=settings.lease_seconds,
    )


def late_lookup(servers: Sequence[DNSServer]) -> Lookup:
    """Asks `servers` for a name. What DNS needs is loaded for the first one: 7 MB, and 0.2 s beside the event loop."""

    @cache
    def resolver() -> Lookup:
        from probe_sidecar.hostnames.resolver import Resolver  # noqa: PLC0415 - see above

        return Resolver(servers).lookup

    async def lookup(name: str) -> tuple[Reply, Reply]:
        return await (await asyncio.to_thread(resolver))(name)

    return lookup


def canary(settings: Settings, dial: Callable[[str], str], now: float) -> Canary | None:
    """What ESO_CANARY names. The address policy has no say in it: it is the operator's own word."""
    if settings.canary_probe is None:
        return None
    ip, probe = settings.canary_probe
    return Canary(probe, ip, dial(ip), now)


def suspicion(prober: str, since: str, hold: float) -> str:
    """What the condition ProberDegraded says: the same for as long as it stands, for a new text is a write (R3)."""
    return (
        f"since {since} nothing that {prober} probes answers at all: it suspects its own network, and an address that "
        f"should become not ready is kept for {hold:g} s (ESO_OUTAGE_HOLD_SECONDS), or until something answers, and "
        f"this is told for {hold:g} s more"
    )


def read(raw: Object) -> Reading:
    """Parse the spec and what names the object. The status is read elsewhere, leniently."""
    metadata = raw["metadata"]
    generation = metadata.get("generation")
    named = {field: metadata[field] for field in ("name", "namespace", "uid", "generation") if field in metadata}
    try:
        parent = ExternalService.model_validate({**raw, "metadata": named, "status": {}})
    except ValidationError as error:
        return Reading(generation, None, "; ".join(explain(error)))
    return Reading(generation, parent)


async def run(sidecar: Sidecar, stop: asyncio.Event) -> None:
    """`Sidecar.run`, with the cancellation of the stopped watch kept inside."""
    with suppress(asyncio.CancelledError):
        await sidecar.run(stop)
