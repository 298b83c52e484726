"""Which live replica owns which ExternalService: Leases, and rendezvous hashing among those who hold one (ADR 10).

A replica owns something only while its own watch proves that the others can see it alive: the newest renewal that the
watch has shown must have been SENT less than two thirds of the Lease's time ago. So it stops before another may take
over, and never acts on a view of the others that is older than that; one proof for both.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from random import random as uniform
from typing import Any, NamedTuple
from uuid import uuid4

from probe_sidecar.kube.client import KubeClient, Resource, Selection, micro_time
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.errors import GARBAGE, ApiError, Backoff
from probe_sidecar.kube.reflector import Reflector
from probe_sidecar.settings import LONGEST_LEASE

log = logging.getLogger(__name__)

LEASES = Resource("coordination.k8s.io", "v1", "leases")

NAME_PREFIX = "probe-sidecar-"
GROUP_LABEL = "eso.crowdfox.com/prober-group"
"""Replicas with the same value share the work."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One Lease as read. `holder` is the process that wrote it, empty when it was given back."""

    uid: str
    name: str
    version: str
    holder: str
    seconds: int
    renewed: str


def lease_name(pod: str) -> str:
    """The name of a Pod's Lease."""
    return f"{NAME_PREFIX}{pod}"


def read(raw: Mapping[str, Any]) -> Lease:
    """A stored Lease; raises ApiError if it is not one. One that was emptied by hand counts as released. One that is
    longer than the setting may be, also by hand, would keep its share of the work for years.
    """
    metadata, found = raw.get("metadata"), raw.get("spec")
    if not isinstance(metadata, dict) or not all(metadata.get(field) for field in ("uid", "name", "resourceVersion")):
        raise ApiError(200, GARBAGE, "the response is not a Lease with uid, name and resourceVersion")
    told = found if isinstance(found, dict) else {}
    seconds = told.get("leaseDurationSeconds")
    return Lease(
        uid=metadata["uid"],
        name=metadata["name"],
        version=metadata["resourceVersion"],
        holder=str(told.get("holderIdentity") or ""),
        seconds=min(seconds, LONGEST_LEASE) if type(seconds) is int and seconds > 0 else 0,
        renewed=str(told.get("renewTime") or ""),
    )


class LeaseView:
    """The Leases of one group, each with when it last changed before our eyes. `now` is monotonic seconds.

    As in client-go (tools/leaderelection), times in Leases are never compared with the local clock: a Lease lives for
    its duration from when WE saw it change, so the clocks of different machines may differ as they like.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Lease, float]] = {}

    def observe(self, leases: Mapping[str, Mapping[str, Any]], changed: frozenset[str], now: float) -> None:
        """Take in what a watch shows: the whole set by uid, and the uids that came, changed or went."""
        for uid in changed:
            raw = leases.get(uid)
            if raw is None:
                self._seen.pop(uid, None)
            else:
                self._seen[uid] = read(raw), now

    def named(self, name: str) -> Lease | None:
        """The Lease of that name."""
        return next((lease for lease, _ in self._seen.values() if lease.name == name), None)

    def live(self, now: float) -> frozenset[str]:
        """The names of the Leases that are held and have not expired."""
        return frozenset(
            lease.name for lease, since in self._seen.values() if lease.holder and now < _end(lease, since)
        )

    def next_expiry(self, now: float) -> float | None:
        """When the next of the live ones expires unless it is renewed."""
        ends = (_end(lease, since) for lease, since in self._seen.values() if lease.holder)
        return min((end for end in ends if end > now), default=None)

    def dead(self, now: float, seconds: float) -> list[Lease]:
        """Those that have not changed for `seconds` beyond their end."""
        return [lease for lease, since in self._seen.values() if now >= _end(lease, since) + seconds]


def _end(lease: Lease, since: float) -> float:
    return since + lease.seconds


STOPPED = "probing and publishing stop until it is renewed"
"""The log of a replica, behind its problem."""

TRUSTED = 2 / 3
"""Of the Lease's time; the rest is for clocks that run at different speeds and slow responses."""

RENEWALS = 5
"""In the Lease's time. Three may fail before the work is put down."""

SILENCE, PAUSE = 1 / 3, 1 / 15
"""Of the Lease's time: the longest quiet watch (a renewal of our own is always due by then), and the longest
pause before the LIST after it. With the way from renewal to renewal they are less than TRUSTED: LISTs alone will do."""

JITTER = 0.1
FIRST_PAUSE = 0.1
RESOLUTION = 0.001
RELEASE_SECONDS = 0.3
GARBAGE_SECONDS = 60.0
"""A Lease that ended this long ago is no restart under way: its Pod is gone. Also the pause after a failed removal."""

PRIME = 2**61 - 1
"""Products modulo a prime scatter evenly, and cost a tenth of a hash for each pair of key and replica."""


def weights(replicas: Iterable[str]) -> dict[str, int]:
    """The weight of each replica, to be computed once for many calls of `owner`."""
    return {replica: _weight(replica) for replica in replicas}


def owner(key: str, replicas: Mapping[str, int]) -> str:
    """The replica that owns `key`; `replicas` are at least one with their weights, in any order.

    Rendezvous hashing (Thaler and Ravishankar, 1998), the same on every machine: each replica ranks each key by a hash
    of both, and the highest rank wins. A replica that leaves hands over only its own keys, and one that joins takes
    only the keys that it wins. ADR 10 says how much the shares vary.
    """
    weight = _weight(key)
    return max(replicas, key=lambda replica: (weight * replicas[replica] % PRIME, replica))


def _weight(name: str) -> int:
    """1 to PRIME - 1; the same on any machine and in any Python (`hash` is not)."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) % (PRIME - 1) + 1


def boot_clock() -> float:
    """Monotonic seconds that continue while the machine sleeps: a Lease runs out meanwhile."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseOptions(NamedTuple):
    """Which Lease a replica keeps: `pod` names it, in a namespace, for `seconds` at a time.

    `group` is a label value: the replicas of one group share the work (`Scope.group`).
    """

    pod: str
    namespace: str
    group: str
    seconds: int = 15


def not_acquired(lease: str) -> str:
    """`lease` is namespace/name."""
    return f"the Lease {lease} has not been acquired yet"


def not_renewed(lease: str) -> str:
    """`lease` is namespace/name."""
    return f"the Lease {lease} could not be renewed in time"


class Replica:
    """Needs `run` running. `client` should have connections of its own, so that nothing else delays a renewal.

    `on_change` is called whenever `owns` may have changed for anything. `clock` is monotonic seconds.
    """

    def __init__(
        self,
        client: KubeClient,
        options: LeaseOptions,
        on_change: Callable[[], None],
        *,
        clock: Callable[[], float] = boot_clock,
        wall: Callable[[], str] = micro_time,
        random: Callable[[], float] = uniform,
    ) -> None:
        pod, namespace, group, seconds = options
        self.name = lease_name(pod)
        self.identity = f"{pod}_{uuid4().hex[:8]}"
        self._client = client
        self._namespace = namespace
        self._labels = {"app.kubernetes.io/name": "external-service-operator", GROUP_LABEL: group}
        self._seconds = seconds
        self._clock = clock
        self._wall = wall
        self._random = random
        # A longer Retry-After would cost the Lease: an API server under load asks for up to 32 s.
        self._errors = Backoff(FIRST_PAUSE, seconds / RENEWALS, random, seconds / RENEWALS)
        self._leases = LeaseView()
        self._reflector = Reflector(
            client,
            Selection(LEASES, namespace, f"{GROUP_LABEL}={group}"),
            self._observe,
            idle=seconds * SILENCE,
            longest_pause=seconds * PAUSE,
            longest_retry_after=seconds * PAUSE,
            random=random,
        )
        self._stored: Lease | None = None  # our Lease in the last response
        self._doubtful = False  # ... which another client has changed since
        self._acquired = ""
        self._sent: dict[str, float] = {}  # renewTime -> when it was sent
        self._proof: float | None = None  # when the newest renewal that the watch has shown was sent
        self._working = False
        self._view: frozenset[str] = frozenset()
        self._weights: dict[str, int] = {}
        self._released = False
        self._check_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._nudge = asyncio.Event()
        self._garbage_at = 0.0
        self._on_change = on_change
        self.joined = False  # at least once
        self.renewals = 0
        self.failures = 0

    def owns(self, key: str) -> bool:
        """Whether this replica owns `key` at this moment."""
        return self._proven(self._clock()) and owner(key, self._weights) == self.name

    @property
    def problem(self) -> str | None:
        """Why nothing is owned, if that is so."""
        if self._proven(self._clock()):
            return None
        if not self.joined:
            return not_acquired(f"{self._namespace}/{self.name}")
        return not_renewed(f"{self._namespace}/{self.name}")

    @property
    def replicas(self) -> int:
        """Number of live replicas, as far as this one can see."""
        return len(self._leases.live(self._clock()))

    def shown(self) -> dict[str, Any]:
        """For the status page: who works, and how long ago our own renewal was proven."""
        now = self._clock()
        return {
            "name": self.name,
            "working": self._proven(now),
            "replicas": sorted(self._leases.live(now)),
            "provenSecondsAgo": None if self._proof is None else round(now - self._proof, 3),
        }

    async def run(self) -> None:
        """Join, and stay until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reflector.run(), name="leases")
                group.create_task(self._keep(), name="lease")
        finally:
            self._disarm()

    async def release(self) -> None:
        """Own nothing any more and delete the Lease, so that the others need not wait. To be called after `run`."""
        self._released = True
        self._proof = None
        self._disarm()
        if self._stored is None:
            return
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._give_back(self._stored)
        except (ApiError, TimeoutError) as problem:
            log.warning("Lease %s not released, it will expire: %s", self.name, str(problem) or "no response in time")

    def check(self) -> None:
        """Notice what time alone has changed: by a timer, and before probes are started, for timers come late."""
        now = self._clock()
        if now >= self._check_at:
            self._review(now)

    # -- what is seen -------------------------------------------------------------------------------------------------

    def _observe(self, leases: Mapping[str, Object], changed: frozenset[str], _first: bool) -> None:
        now = self._clock()
        self._leases.observe(leases, changed, now)
        mine = self._leases.named(self.name)
        if mine is None or mine.holder != self.identity:
            self._taken_away(mine)
        elif mine.renewed in self._sent:
            self._proof = self._sent[mine.renewed]
            self._sent = {stamp: sent for stamp, sent in self._sent.items() if sent > self._proof}
        self._review(now)

    def _taken_away(self, mine: Lease | None) -> None:
        """Others see the same and take over at once, so this one owns nothing any more; get it back without waiting."""
        if self._proof is not None:
            log.warning("Lease %s was taken away: it is %s", self.name, f"held by {mine.holder}" if mine else "deleted")
            self._proof, self._doubtful = None, True
            self._nudge.set()

    def _proven(self, now: float) -> bool:
        return self._proof is not None and now < self._proof + self._seconds * TRUSTED and not self._released

    def _review(self, now: float) -> None:
        working = self._proven(now)
        replicas = self._leases.live(now) | {self.name} if working else self._view
        before = self._working, self._view
        self._working, self._view = working, replicas
        if replicas != before[1]:
            self._weights = weights(replicas)
        self._arm(now)
        if before != (working, replicas):
            self._report(before[0])
            self._on_change()

    def _report(self, worked: bool) -> None:
        if not self._working:
            log.warning("%s: %s", self.problem, STOPPED)
            return
        self.joined = True
        text = "joined; the work is shared by %s" if not worked else "work is shared by %s"
        log.info(text, ", ".join(sorted(self._view)))

    def _arm(self, now: float) -> None:
        self._disarm()
        proven_until = inf if self._proof is None or not self._working else self._proof + self._seconds * TRUSTED
        self._check_at = min(self._leases.next_expiry(now) or inf, proven_until)
        if self._check_at < inf:
            self._timer = asyncio.get_running_loop().call_later(max(self._check_at - now, RESOLUTION), self._on_time)

    def _on_time(self) -> None:
        now = self._clock()
        if now < self._check_at:
            self._arm(now)  # the loop's clock is another one, and runs ahead
        else:
            self._review(now)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what is written ----------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            self._nudge.clear()
            pause = await self._attempt()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._nudge.wait()

    async def _attempt(self) -> float:
        """One renewal; returns the seconds until the next, without adding the delay of a slow response."""
        begun = self._clock()
        try:
            await self._renew()
            await self._collect_garbage()
        except ApiError as error:
            return self._failed(error)
        self._errors.reset()
        due = begun + self._seconds / RENEWALS * (1 - JITTER + 2 * JITTER * self._random())
        return max(due - self._clock(), 0.0)

    async def _renew(self) -> None:
        if self._doubtful:
            self._stored = read(await self._client.get(LEASES, self._namespace, self.name))
            self._doubtful = False
        stored = self._stored
        if stored is not None and self._is_anothers(stored):
            return
        stamp, now = self._wall(), self._clock()
        self._sent = {one: sent for one, sent in self._sent.items() if sent > now - self._seconds} | {stamp: now}
        spec: Object = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._seconds,
            "renewTime": stamp,
            "acquireTime": self._acquired or stamp,
        }
        if stored is None:
            metadata = {"name": self.name, "labels": self._labels}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            response = await self._client.create(LEASES, self._namespace, lease)
        else:
            # A PUT would not do: the API server creates the Lease that a late one finds missing.
            changes: list[Object] = [
                {"op": "replace", "path": "/metadata/resourceVersion", "value": stored.version},
                {"op": "add", "path": "/metadata/labels", "value": self._labels},
                {"op": "add", "path": "/spec", "value": spec},
            ]
            response = await self._client.patch(LEASES, self._namespace, self.name, changes)
        self._stored = read(response)
        self._acquired = self._acquired or stamp
        self.renewals += 1

    def _is_anothers(self, stored: Lease) -> bool:
        """Whether a living process of the same name holds it. At our start there is none: it was our predecessor."""
        if stored.holder == self.identity or not self._acquired:
            return False
        alive = self.name in self._leases.live(self._clock())
        if alive:
            log.warning(
                "Lease %s is held by %s: each replica needs an ESO_POD_NAME of its own", self.name, stored.holder
            )
            self._doubtful = True
        return alive

    def _failed(self, error: ApiError) -> float:
        """409: another client wrote it, or a response was lost. 404: it was deleted. Both once more, at once."""
        gone = error.status == 404 and self._stored is not None
        if gone:
            self._stored, self._doubtful = None, False
        elif error.status == 409:
            self._doubtful = True
        pause = self._errors.pause(error.retry_after)
        if (gone or error.status == 409) and self._errors.attempts == 1:
            return 0.0
        self.failures += 1
        log.warning("Lease %s not renewed: %s; retrying in %.1f s", self.name, error, pause)
        return pause

    async def _give_back(self, stored: Lease) -> None:
        """After a renewal whose response was lost our version is older: read it once, and delete it if it is ours."""
        for _ in range(2):
            try:
                await self._client.delete(LEASES, self._namespace, self.name, stored.version)
                return
            except ApiError as error:
                if error.status == 404:
                    return
                if error.status != 409:
                    raise
            stored = read(await self._client.get(LEASES, self._namespace, self.name))
            if stored.holder != self.identity:
                return

    async def _collect_garbage(self) -> None:
        """Delete the Leases of Pods that are long gone, until half the time to the next renewal is over; each falls to
        one of us.
        """
        now = self._clock()
        if now < self._garbage_at or not self._proven(now):
            return
        for dead in self._leases.dead(now, GARBAGE_SECONDS):
            if self._clock() > now + self._seconds / RENEWALS / 2:
                return
            if owner(dead.name, self._weights) == self.name:
                try:
                    await self._client.delete(LEASES, self._namespace, dead.name, dead.version)
                except ApiError as error:
                    self._garbage_at = now + GARBAGE_SECONDS
                    if error.status not in (404, 409):
                        log.warning("stale Lease %s not deleted: %s", dead.name, error)
                    return
                log.info("stale Lease %s deleted: its Pod has been gone for more than a minute", dead.name)


class Alone:
    """The only replica, without Leases, where no Pod name is given: owns everything, always."""

    joined = True
    problem: str | None = None
    replicas = 1
    renewals = 0
    failures = 0

    def owns(self, key: str) -> bool:
        """Always."""
        return bool(key)

    def check(self) -> None:
        """Nothing depends on time."""

    async def run(self) -> None:
        """Nothing to do until cancelled."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """No other replica waits for it."""

    def shown(self) -> dict[str, Any]:
        """For the status page."""
        return {"working": True}
