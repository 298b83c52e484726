"""The wanted `.status.addresses`: pure, from the spec, the probes' results and what the status says now.

A thousand addresses are judged at each transition of one of them, between two probes: what already stands is recognised
as read, and only an entry that changes is made anew, none is validated.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from external_service.kind import Reason
from external_service.policy import AddressPolicy, judge
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec
from probe_sidecar.status.known import Object, is_time

NOT_PROBED = "not probed yet"
NO_PROBE = "no readinessProbe: always ready"

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class Verdict(NamedTuple):
    """What is to be said of one address; `since` (RFC 3339) is when a probe found it, empty where none did.

    `hostname` is the name that it was resolved from, if it was.
    """

    ready: bool
    serving: bool | None
    reason: Reason
    message: str
    since: str = ""
    hostname: str = ""

    @property
    def healthy(self) -> bool:
        """What the probe says, drained or not."""
        return self.ready if self.serving is None else self.serving


def verdicts(
    spec: ExternalServiceSpec,
    results: Mapping[str, AddressStatus],
    policy: AddressPolicy,
    names: Mapping[str, str] = _NO_NAMES,
) -> dict[str, Verdict]:
    """The verdict on each address in spec order, duplicates dropped; then on those of `names` (address -> name)."""
    disabled, refusal = frozenset(spec.disabledIPs), judge(policy)
    found = {
        ip: _verdict(spec, results.get(ip), refusal(ip), drained=ip in disabled)
        for ip in dict.fromkeys((*spec.ips, *names))
    }
    return found | {ip: found[ip]._replace(hostname=name) for ip, name in names.items()}


def wanted_addresses(wanted: Mapping[str, Verdict], seen: Mapping[str, Any], now: str) -> Iterator[Object]:
    """The entries that say so: those of `seen` (raw, by address) where they do already, the very same objects."""
    for ip, verdict in wanted.items():
        entry = seen.get(ip)
        if entry is not None and _stands(ip, entry, verdict, now):
            yield entry
        else:
            yield _entry(ip, verdict, _since(verdict, entry, now))


def _entry(ip: str, verdict: Verdict, since: str) -> Object:
    entry: Object = {
        "ip": ip,
        "ready": verdict.ready,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": since,
    }
    if verdict.serving is not None:
        entry["serving"] = verdict.serving
    if verdict.hostname:
        entry["hostname"] = verdict.hostname
    return entry


def _stands(ip: str, entry: Mapping[str, Any], verdict: Verdict, now: str) -> bool:
    """Whether making the entry anew would make the same: it says nothing else, at a time that it would keep."""
    if entry.get("ready") is not verdict.ready or entry.get("serving") is not verdict.serving:
        return False  # by identity: in Python 1 == True
    since: Any = entry.get("lastTransitionTime")
    kept = since == verdict.since or (is_time(since) and (not verdict.since or verdict.since <= since <= now))
    return kept and entry == _entry(ip, verdict, since)


def _verdict(spec: ExternalServiceSpec, result: AddressStatus | None, refused: str | None, *, drained: bool) -> Verdict:
    if refused is not None:
        return Verdict(False, None, "Denied", refused)
    health = _health(spec, result)
    if not drained:
        return health
    unknown = health.reason == "Pending" and not health.ready
    return Verdict(False, None if unknown else health.ready, "Disabled", health.message)


def _health(spec: ExternalServiceSpec, result: AddressStatus | None) -> Verdict:
    if spec.readinessProbe is None:
        return Verdict(True, None, "NoProbe", NO_PROBE)
    if result is None:
        return Verdict(False, None, "Pending", NOT_PROBED)
    if result.reason in ("ProbeSucceeded", "ProbeFailed"):
        return Verdict(result.ready, None, result.reason, result.message, result.lastTransitionTime)
    # Ready without evidence: a probe was just added to a CR that had none, and a probe edit flips nothing (R6).
    return Verdict(result.healthy and result.reason != "Denied", None, "Pending", NOT_PROBED)


def _since(verdict: Verdict, seen: Mapping[str, Any] | None, now: str) -> str:
    """When `ready` last changed. The probe's own time, unless the change came later, from the spec (a drain).

    RFC 3339 in UTC with whole seconds, so that texts compare as times.
    """
    ready, since = (seen.get("ready"), seen.get("lastTransitionTime")) if seen is not None else (None, None)
    if type(ready) is not bool or not is_time(since):
        return verdict.since or now
    if ready is not verdict.ready:
        return verdict.since if verdict.since > since else now
    if verdict.since and since > now:  # a hand: we know better
        return verdict.since
    return max(since, verdict.since)  # one in our future is of a replica whose clock runs ahead, and stays
