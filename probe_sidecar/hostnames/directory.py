"""For each ExternalService the addresses of its hostnames: what DNS says, what stood before, and when one may go."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from external_service.kind import MAX_ADDRESSES
from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.hostnames.cache import NameCache
from probe_sidecar.hostnames.members import Member, members, next_review
from probe_sidecar.hostnames.report import Report, report

TOLD_AT_ONCE = 5
"""ExternalServices that hear of an answer before the probes get their turn. One with 10 new addresses takes half a
millisecond of CPU: 1,000 of them at once would hold the probes up for half a second."""


@dataclass(slots=True, eq=False)
class _Listed:
    """One ExternalService that has hostnames."""

    spec: ExternalServiceSpec
    members: Mapping[str, Member] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class Directory:
    """`serves(uid, ip)` says whether an address is published as ready; `on_change(uid)` hears of other addresses, and
    of what is to be told of the names. Nothing happens inside a call of `follow` or `heed`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cache: NameCache,
        serves: Callable[[str, str], bool],
        on_change: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._cache = cache
        self._serves = serves
        self._on_change = on_change
        self._listed: dict[str, _Listed] = {}
        self._users: dict[str, dict[str, None]] = {}  # name -> uids
        self._unheard: dict[str, None] = {}  # uids that have to be told of an answer

    def follow(self, uid: str, spec: ExternalServiceSpec, shown: Mapping[str, str], *, hurry: bool) -> None:
        """Resolve the hostnames of `spec` from now on. `shown` (address -> name) is what the status says of them.

        It counts for a uid seen for the first time, and for names that DNS has not answered for yet (R6).
        """
        if not spec.hostnames:
            self.forget(uid)
            return
        held = self._listed.get(uid)
        first = held is None
        if held is None:
            held = self._listed[uid] = _Listed(spec)
        self._use(uid, held.spec.hostnames if not first else (), spec.hostnames, hurry=hurry or not first)
        held.spec = spec
        told = {ip: Member(name) for ip, name in shown.items() if first or self._unanswered(name)}
        held.members = {ip: member for ip, member in (told | dict(held.members)).items() if _named(member, spec)}
        if first:
            held.names = _within_limits(spec, held.members)
            self._loop.call_soon(self._review, uid)
        else:
            self._fold(uid, held)

    def names(self, uid: str) -> Mapping[str, str]:
        """Address -> name, in the order of the names and then numerically; those that stand in spec.ips too."""
        held = self._listed.get(uid)
        return held.names if held is not None else {}

    def report(self, uid: str) -> Report | None:
        """What to tell of the names; None without names, or while nothing is certain."""
        held = self._listed.get(uid)
        if held is None:
            return None
        entries = {name: self._cache.entry(name) for name in held.spec.hostnames}
        return report(entries, held.names.values(), crowded=len(held.names) < len(held.members))

    def heed(self, uid: str) -> None:
        """What serves has changed: an address that waits for that may go."""
        held = self._listed.get(uid)
        if held is not None and held.timer is not None:
            self._loop.call_soon(self._review, uid)

    def answered(self, name: str) -> None:
        """The cache knows something new of `name`: whoever uses it hears of that, a few at a time."""
        idle = not self._unheard
        self._unheard |= self._users.get(name, {})
        if idle:
            self._spread_news()

    def forget(self, uid: str) -> None:
        """It is gone, not ours any more, or has no hostnames any more."""
        held = self._listed.pop(uid, None)
        if held is not None:
            self._use(uid, held.spec.hostnames, (), hurry=False)
            _stop(held)

    def _spread_news(self) -> None:
        for uid in list(islice(self._unheard, TOLD_AT_ONCE)):
            del self._unheard[uid]
            held = self._listed.get(uid)
            if held is not None:
                self._fold(uid, held)
                self._on_change(uid)
        if self._unheard:
            self._loop.call_soon(self._spread_news)

    def _unanswered(self, name: str) -> bool:
        answer = self._cache.entry(name).answer
        return answer.ipv4 is None or answer.ipv6 is None

    def _use(self, uid: str, before: Iterable[str], after: Iterable[str], *, hurry: bool) -> None:
        for name in after:
            self._users.setdefault(name, {})[uid] = None
        self._cache.want(after, hurry=hurry)
        for name in set(before) - set(after):
            users = self._users[name]
            del users[uid]
            if not users:
                del self._users[name]
                self._cache.drop(name)

    def _review(self, uid: str) -> None:
        held = self._listed.get(uid)
        if held is not None:
            before = held.names
            self._fold(uid, held)
            if list(before.items()) != list(held.names.items()):
                self._on_change(uid)

    def _fold(self, uid: str, held: _Listed) -> None:
        answers = {name: self._cache.entry(name).answer for name in held.spec.hostnames}
        serves = partial(self._serves, uid)
        held.members = members(held.spec.hostnames, answers, held.members, serves, self._loop.time())
        held.names = _within_limits(held.spec, held.members)
        _stop(held)
        due = next_review(held.members.values())
        if due is not None:
            held.timer = self._loop.call_at(due, self._review, uid)


def _named(member: Member, spec: ExternalServiceSpec) -> bool:
    return member.hostname in spec.hostnames


def _within_limits(spec: ExternalServiceSpec, found: Mapping[str, Member]) -> dict[str, str]:
    """As many as there is room for in the status, beside spec.ips."""
    given = frozenset(spec.ips)
    beside = [ip for ip in found if ip not in given][: MAX_ADDRESSES - len(given)]
    shown = given.union(beside)
    return {ip: member.hostname for ip, member in found.items() if ip in shown}


def _stop(held: _Listed) -> None:
    if held.timer is not None:
        held.timer.cancel()
        held.timer = None
