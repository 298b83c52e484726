"""The sidecar as a whole: watch -> probe -> publish for the owned ExternalServices: construction and life cycle.

Reads no environment and no command line; that is `__main__`.
"""

import asyncio
import logging
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from external_service.kind import GROUP, KIND, VERSION
from probe_sidecar.events import EventRecorder, Note
from probe_sidecar.fair_queue import FairQueue
from probe_sidecar.hostnames.cache import Families, Lookup, NameCache, Reply
from probe_sidecar.kube.client import EXTERNAL_SERVICES, KubeClient
from probe_sidecar.kube.documents import Object, Unreadable
from probe_sidecar.kube.reflector import Reflectors
from probe_sidecar.metrics import Metrics
from probe_sidecar.prober.outage import Canary, SuspectedOutage
from probe_sidecar.prober.prober import Prober
from probe_sidecar.prober.targets import Surroundings
from probe_sidecar.probes.engine import TURN_SECONDS, ProbeEngine, default_limit
from probe_sidecar.references import References
from probe_sidecar.replicas import Alone, LeaseOptions, Replica
from probe_sidecar.service import Service, Shared
from probe_sidecar.settings import DNSServer, Settings
from probe_sidecar.status.patch import place
from probe_sidecar.status.publisher import StatusPublisher
from probe_sidecar.status_pages import Snapshot, overview, status_page
from probe_sidecar.web import Page, PageServer, health, page_files
from runtime.logs import about

log = logging.getLogger(__name__)

REST_SHARE = 9
"""Times the time that took: the pause after versions of objects were taken in, which is thus a tenth of the time. One
with 1,000 addresses takes 3 ms, and its author may write it a hundred times a second (design R10)."""

CLOSING_SECONDS = 0.5
"""For what is ready to be published at the end; with the Lease's release and the pages it stays below a second."""

MOST_UNREADABLE = 100
"""Objects that cannot be read, on the pages."""

STALLED_SECONDS = 60.0
"""A schedule so far behind means that the event loop is stuck: the liveness probe fails, for a restart."""


def rfc3339() -> str:
    """The wall clock as Kubernetes writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Sidecar:
    """One prober process. `services` are the ExternalServices that it works for, by uid.

    `dial` maps an address to the one really connected to (identity but in the playground). `leases` is a client with
    connections of its own (default: `client`), so that no outage, however many writes it brings, delays the renewal of
    the Lease. Both are closed at the end. `on_settled` is called when all ExternalServices of the first LIST or of a
    takeover have been started.
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
        self.services: dict[str, Service] = {}
        self._loop = loop
        self._client = client
        self._leases = leases or client
        self._incoming: FairQueue[str] = FairQueue()  # uids of objects whose newest version is to be taken in
        self._gained = set[str]()  # those among them that the first LIST or a takeover has brought ...
        self._gained_since = 0.0  # ... which began then
        self._intake: asyncio.TimerHandle | None = None
        self._rest_until = 0.0
        self._unreadable: list[Unreadable] = []
        self._reported: dict[str, object] = {}  # the generation of unreadable objects that have an Event, by name
        self._on_settled = on_settled
        self._policy = settings.policy
        self.replicas = replica_of(self._leases, settings, self._reassign)
        self.reflectors = Reflectors(
            client,
            EXTERNAL_SERVICES,
            self._observe,
            namespaces=settings.scope.namespaces,
            labels=settings.scope.selector,
        )
        self.engine = ProbeEngine(
            loop, limit=settings.concurrent_probes or default_limit(len(settings.scope.namespaces))
        )
        self.outage = SuspectedOutage(
            loop,
            self.engine,
            self.services.values(),
            hold=settings.outage_hold_seconds,
            canary=canary(settings, dial, loop.time()),
            now=rfc3339,
            on_change=self._wake_all,
        )
        self.prober = Prober(
            loop,
            self.engine,
            self.outage,
            grid=settings.tick_milliseconds / 1_000,
            before_tick=self.replicas.check,
        )
        self.names = NameCache(late_lookup(settings.dns_servers), clock=loop.time)
        self.references = References(client, refresh=settings.refresh_seconds)
        self.events = EventRecorder(client, platform.node()) if settings.events else None
        self.publisher = StatusPublisher(loop, client, EXTERNAL_SERVICES, limit=settings.concurrent_writes)
        self._shared = Shared(
            loop=loop,
            surroundings=Surroundings(
                self.prober, loop.time, rfc3339, settings.policy, dial, settings.longest_timeout_seconds
            ),
            outage=self.outage,
            names=self.names,
            references=self.references,
            publisher=self.publisher,
            events=self.events,
            owns=self.replicas.owns,
            features=settings.features,
        )
        metrics = Metrics(
            services=self.services.values(),
            clients=(client,) if leases is None else (client, leases),
            reflectors=self.reflectors.each,
            prober=self.prober,
            engine=self.engine,
            publisher=self.publisher,
            events=self.events,
            replicas=self.replicas,
            names=self.names,
            addresses=settings.address_metrics,
        )
        self.pages = PageServer(
            {
                **page_files(),
                "/overview": lambda query: overview(self._snapshot(), query),
                "/healthz": health(self._stalled),
                "/readyz": health(self._unready),
                "/metrics": lambda _query: Page(200, metrics.exposition(), CONTENT_TYPE_PLAIN_0_0_4),
                "/status": lambda query: status_page(self._snapshot(), query),
                "/status.txt": lambda query: status_page(self._snapshot(), {"format": "text", **query}),
            },
            host=settings.health_listen_host,
            port=settings.health_listen_port,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then hand over what is known. A crash of any part ends the whole."""
        self.pages.start()
        self.prober.arm()
        log.info("probing; health on port %d", self.pages.port)
        try:
            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(self.publisher.run(), name="publisher")
                inputs = [
                    group.create_task(self.reflectors.run(), name="reflectors"),
                    group.create_task(self.references.run(), name="references"),
                    group.create_task(self.names.run(), name="names"),
                ]
                needed_to_publish = [group.create_task(self.replicas.run(), name="leases")]
                if self.events is not None:
                    needed_to_publish.append(group.create_task(self.events.run(), name="events"))
                await stop.wait()
                for task in inputs:
                    task.cancel()
                self._incoming.clear()
                self.prober.close()
                await self.publisher.close(CLOSING_SECONDS)
                await publishing
                for task in needed_to_publish:
                    task.cancel()
        except asyncio.CancelledError:
            pass  # of the stopped watch
        finally:
            self.prober.close()
            self.engine.close()
            # After the last write and probe, for the others begin as soon as they see it.
            await self.replicas.release()
            await self.pages.stop()
            await self._client.close()
            await self._leases.close()

    def _observe(self, objects: Mapping[str, Object], changed: frozenset[str], first: bool) -> None:
        self._report_unreadable()
        if first:
            self._start_all(changed)
        for uid in () if first else changed:
            raw = objects.get(uid)
            if raw is None or not self.replicas.owns(uid):
                self._drop(uid)
            else:
                self._incoming.push(uid, place(raw))
        self._take_in_soon()

    def _start_all(self, uids: Iterable[str]) -> None:
        """Of the first LIST, or of a takeover."""
        if not self._gained:
            self._gained_since = self._loop.time()
        for uid in uids:
            if uid not in self.services and (raw := self.reflectors.get(uid)) is not None:
                self._gained.add(uid)
                self._incoming.push(uid, place(raw))

    def _take_in_soon(self) -> None:
        if self._incoming and self._intake is None:
            self._intake = self._loop.call_at(self._rest_until, self._take_in)

    def _take_in(self) -> None:
        """Newest versions of objects, in turn, for TURN_SECONDS; then a pause, if only changed ones are left."""
        began = now = self._loop.time()
        starting = bool(self._gained)
        while now < began + TURN_SECONDS and (uid := self._incoming.pop()) is not None:
            raw, since = self.reflectors.get(uid), self._gained_since if uid in self._gained else None
            self._gained.discard(uid)
            if raw is not None and self.replicas.owns(uid):
                self._work_for(uid, raw, since)
            now = self._loop.time()
        self._rest_until = now if self._gained else now + REST_SHARE * (now - began)
        self._intake = None
        self._take_in_soon()
        if starting and not self._gained:
            self._on_settled()

    def _report_unreadable(self) -> None:
        """One Event for each generation of an object that cannot be read, whichever replica owns it."""
        if self._unreadable == (unreadable := self.reflectors.unreadable):
            return
        self._unreadable = unreadable
        mine = [one for one in unreadable if self.replicas.owns(one.identity["uid"])]
        before, self._reported = self._reported, {one.name: one.generation for one in mine}
        for one in mine:
            if self.events is not None and (one.name not in before or before[one.name] != one.generation):
                used = one.identity["uid"] in self.services
                kept = "its last readable version is used" if used else "its addresses are not probed"
                about = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": one.identity}
                once = blake2b(f"{one.identity['uid']}/{one.generation}".encode(), digest_size=8).hexdigest()
                note = Note("Unreadable", "Reading", f"{one.problem}; {kept}", warning=True, once=once)
                self.events.record(about, [note])

    def _work_for(self, uid: str, raw: Object, spread_since: float | None) -> None:
        """One object that nothing here foresaw must not end the work for the others (R8)."""
        try:
            if uid in self.services:
                self.services[uid].observe(raw)
            else:
                self.services[uid] = Service(self._shared, raw, spread_since=spread_since)
        except Exception:
            name = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
            log.exception("%s: internal error: this version of the object is skipped", name, extra=about(name))

    def _reassign(self) -> None:
        """`owns` may have changed: drop at once the ExternalServices of other replicas, start the new ones in steps."""
        for uid in [uid for uid in self.services if not self.replicas.owns(uid)]:
            self._drop(uid)
        self._unreadable = []
        self._report_unreadable()
        self._start_all(self.reflectors.uids())
        self._take_in_soon()

    def _drop(self, uid: str) -> None:
        service = self.services.pop(uid, None)
        if service is not None:
            service.close()
            self.outage.end_if_idle()

    def _wake_all(self) -> None:
        for service in self.services.values():
            service.wake()

    def _snapshot(self) -> Snapshot:
        return Snapshot(self.services.values(), self._policy, rfc3339(), self._loop.time(), self._process())

    def _process(self) -> Object:
        """State of the prober for the pages."""
        delayed = sum(bool(service.delay.text) for service in self.services.values())
        probes = {"limit": self.engine.limit, "inFlight": self.engine.in_flight, "waiting": self.engine.waiting}
        probes |= {"delayed": self.engine.delayed, "delayedExternalServices": delayed}
        unreadable = [
            {"namespace": one.identity["namespace"], "name": one.identity["name"], "problem": one.problem}
            for one in self.reflectors.unreadable[:MOST_UNREADABLE]
        ]
        return {
            "replica": self.replicas.shown(),
            "probes": probes,
            "outage": self._outage(),
            "unreadable": unreadable,
        }

    def _outage(self) -> Object:
        outage, canary = self.outage, self.outage.canary
        shown: Object = {
            "suspected": outage.guard.suspected,
            "pendingTransitions": outage.guard.pending,
            "holdSeconds": outage.guard.hold,
        }
        if outage.guard.suspected:
            shown["message"] = outage.text
        if canary is not None:
            shown["canary"] = {"ip": canary.ip, "responds": canary.responds, "message": canary.message}
        return shown

    def _stalled(self) -> str | None:
        behind = self.prober.overdue()
        return None if behind < STALLED_SECONDS else f"the schedule is {behind:.0f} s behind"

    def _unready(self) -> str | None:
        """Ready once it works, and from then on: an API outage must not take the hook, in the same Pod, with it.

        An API server that refuses the LIST is no outage.
        """
        if unlisted := self.reflectors.unlisted:
            return f"the first list of ExternalServices has not arrived yet: {unlisted}"
        if failing := self.reflectors.failing:
            return f"the list of ExternalServices cannot be read: {failing}"
        return None if self.replicas.joined else self.replicas.problem


def replica_of(client: KubeClient, settings: Settings, on_change: Callable[[], None]) -> Alone | Replica:
    """With a Pod name one of many replicas, without one the only one."""
    if not settings.pod_name:
        return Alone()
    group, seconds = settings.scope.group, settings.lease_seconds
    return Replica(client, LeaseOptions(settings.pod_name, settings.lease_namespace, group, seconds), on_change)


def late_lookup(servers: Sequence[DNSServer]) -> Lookup:
    """Asks `servers` for a name. The DNS library is loaded for the first one: 7 MB, and 0.2 s in a thread."""

    @cache
    def resolver() -> Lookup:
        from probe_sidecar.hostnames.resolver import Resolver  # noqa: PLC0415 - see above

        return Resolver(servers).lookup

    async def lookup(name: str, families: Families) -> tuple[Reply, Reply]:
        return await (await asyncio.to_thread(resolver))(name, families)

    return lookup


def canary(settings: Settings, dial: Callable[[str], str], now: float) -> Canary | None:
    """The canary of ESO_CANARY. The address policy does not apply to it: the operator of the cluster chose it."""
    if settings.canary is None:
        return None
    ip, probe = settings.canary
    return Canary(probe, ip, dial(ip), now)
