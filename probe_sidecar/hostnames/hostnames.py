"""The addresses of the hostnames of one ExternalService: what DNS says, what was there before, and when one may go."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from external_service.kind import FAMILIES, MAX_ADDRESSES, family_of
from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.hostnames.cache import MOST_ADDRESSES, Entry, NameCache, ResolvedAddress, next_review, resolve

RESOLVED = "every name is resolved"
LAST_KEPT = "its last addresses are kept"
NONE_KNOWN = "it has no addresses"
CREATE_RECORD = "create the record, or correct spec.hostnames"

RECORDS = {"IPv4": "A", "IPv6": "AAAA"}


class Report(NamedTuple):
    """The condition Resolved: whether all is well, why in one word, and for people.

    The words are the same each time, whatever counts move: a message that changed with every lookup would be a write
    with every lookup (R3).
    """

    fine: bool
    reason: str
    message: str


def report(
    entries: Mapping[str, Entry], standing: Collection[str], *, crowded: bool, families: Collection[str] = FAMILIES
) -> Report | None:
    """`entries` by name, `standing` the names that have addresses now; None while nothing is certain.

    `crowded`: there was no room for all of them in the status.
    """
    records = " or ".join(RECORDS[family] for family in families)
    problems = list(_problems(entries, standing, records))
    if crowded:
        problems.append(("TooManyAddresses", "more than 1000 addresses in all: those beyond are left out"))
    if problems:
        return Report(False, problems[0][0], "; ".join(text for _, text in problems))
    if any(entry.reported is None for entry in entries.values()):
        return None
    return Report(True, "Resolved", RESOLVED)


def _problems(entries: Mapping[str, Entry], standing: Collection[str], records: str) -> Iterator[tuple[str, str]]:
    for name, entry in entries.items():
        outlook = LAST_KEPT if name in standing else NONE_KNOWN
        if entry.reported == "nxdomain":
            yield "NameNotFound", f"{name}: DNS knows no such name; {outlook}: {CREATE_RECORD}"
        elif entry.reported == "no_data":
            yield "NoAddresses", f"{name}: DNS has no {records} record of it; {outlook}: create one"
        elif entry.reported == "failed":
            yield "LookupFailed", f"{name}: {entry.problem}; {outlook}: see to the DNS servers, or to ESO_DNS_SERVERS"
        elif entry.excessive:
            few = f"only the lowest {MOST_ADDRESSES} are used"
            yield "TooManyAddresses", f"{name}: more than {MOST_ADDRESSES} addresses: {few}"


class Hostnames:
    """`addresses` are address -> name, in the order of the names and then numerically; those in spec.ips too.

    `serves(ip)` says whether an address is published as ready. `on_change` is called when there are other addresses, or
    there is something else to report of the names; never inside a call of `apply` or `readiness_changed`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cache: NameCache,
        serves: Callable[[str], bool],
        on_change: Callable[[], None],
        *,
        namespace: str = "",
    ) -> None:
        self.namespace = namespace
        self.addresses: Mapping[str, str] = {}
        self._loop = loop
        self._cache = cache
        self._serves = serves
        self._on_change = on_change
        self._spec: ExternalServiceSpec | None = None  # None while there are no hostnames
        self._resolved: Mapping[str, ResolvedAddress] = {}
        self._review_soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def apply(self, spec: ExternalServiceSpec, stored: Mapping[str, str], *, hurry: bool) -> None:
        """Resolve the hostnames of `spec` from now on. `stored` (address -> name) is what the status says of them.

        It counts for the first spec, and for names without a result yet (R6).
        """
        if not spec.hostnames:
            self.close()
            return
        before = self._spec
        self._use(before, spec, hurry=hurry or before is not None)
        self._spec = spec
        inherited = {
            ip: ResolvedAddress(name) for ip, name in stored.items() if before is None or self._unanswered(name)
        }
        merged = inherited | dict(self._resolved)
        self._resolved = {
            ip: one for ip, one in merged.items() if one.hostname in spec.hostnames and family_of(ip) in spec.families
        }
        if before is None:
            self.addresses = _within_limits(spec, self._resolved)
            self._review_soon = self._loop.call_soon(self._review)
        else:
            self._update(spec)

    def report(self) -> Report | None:
        """Condition for the names; None without names, or before the first result."""
        if self._spec is None:
            return None
        families = self._spec.families
        entries = {name: self._cache.entry(name, families) for name in self._spec.hostnames}
        crowded = len(self.addresses) < len(self._resolved)
        return report(entries, self.addresses.values(), crowded=crowded, families=families)

    def readiness_changed(self) -> None:
        """The readiness of an address has changed: an address that waits for that may go."""
        if self._timer is not None:
            self._review_soon = self._loop.call_soon(self._review)

    def answered(self) -> None:
        """The cache has a new result for one of the names."""
        if self._spec is not None:
            self._update(self._spec)
            self._on_change()

    def close(self) -> None:
        """It is gone, owned by another replica, or without hostnames."""
        if self._spec is not None:
            self._use(self._spec, None, hurry=False)
        self._spec, self._resolved, self.addresses = None, {}, {}
        self._stop_timer()
        if self._review_soon is not None:
            self._review_soon.cancel()

    def _unanswered(self, name: str) -> bool:
        answer = self._cache.entry(name, self._spec.families if self._spec else FAMILIES).answer
        return answer.ipv4 is None or answer.ipv6 is None

    def _use(self, before: ExternalServiceSpec | None, after: ExternalServiceSpec | None, *, hurry: bool) -> None:
        wanted = {(name, after.families): None for name in after.hostnames} if after else {}
        for name, families in wanted:
            self._cache.want(name, self, hurry=hurry, families=families)
        for name in before.hostnames if before else ():
            if before and (name, before.families) not in wanted:
                self._cache.drop(name, self, families=before.families)

    def _review(self) -> None:
        if self._spec is not None:
            before = self.addresses
            self._update(self._spec)
            if list(before.items()) != list(self.addresses.items()):
                self._on_change()

    def _update(self, spec: ExternalServiceSpec) -> None:
        answers = {name: self._cache.entry(name, spec.families).answer for name in spec.hostnames}
        self._resolved = resolve(spec.hostnames, answers, self._resolved, self._serves, self._loop.time())
        self.addresses = _within_limits(spec, self._resolved)
        self._stop_timer()
        due = next_review(self._resolved.values())
        if due is not None:
            self._timer = self._loop.call_at(due, self._review)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _within_limits(spec: ExternalServiceSpec, found: Mapping[str, ResolvedAddress]) -> dict[str, str]:
    """As many as there is room for in the status, beside spec.ips."""
    given = frozenset(spec.ips)
    beside = [ip for ip in found if ip not in given][: MAX_ADDRESSES - len(given)]
    shown = given.union(beside)
    return {ip: one.hostname for ip, one in found.items() if ip in shown}
