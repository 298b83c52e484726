"""The wanted `.status.conditions`: Ready, Accepted, where they apply FailOpen and Resolved, the prober's own. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from external_service.kind import MAX_CONDITIONS
from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.status.addresses import Verdict

Object = dict[str, Any]

OURS = ("Ready", "Accepted", "FailOpen", "Resolved", "ProbesDelayed", "ProberDegraded")
MOST_NAMED = 8
"""Denied addresses that the Accepted condition names; each stands with its reason in `.status.addresses` anyway."""

CHILD_MISSING = "ChildMissing"
"""Reason of Ready while an object that traffic needs is missing or owned by someone else."""

LONGEST_PROBLEM = 4_096
"""Characters of the InvalidSpec message; the API takes 32,768."""


NO_ADDRESSES = "spec.ips is empty, or every entry is denied or disabled"
NO_RESOLVED = "spec.ips and spec.hostnames come to no address, or each one is denied or disabled"

DELAYED = {
    "NoPlaceLeft": "all places for probes are taken, so addresses are probed less often than periodSeconds asks for: "
    "raise the prober's limit of open files, ESO_CONCURRENT_PROBES, or the number of replicas",
    "ProberFault": "probes fail in the prober itself, which says nothing of the addresses: they keep the state they "
    "had; the prober's log has the reason",
}
"""By the reason. No figure in it: it would move, and each move would be a write."""


class Finding(NamedTuple):
    """A condition without its times."""

    type: str
    status: bool
    reason: str
    message: str


class CAProblem(NamedTuple):
    """A CA that cannot be read: which (`namespace/name`), what is wrong in a few words, and all of it with advice."""

    reference: str
    what: str
    message: str


def wanted_conditions(
    spec: ExternalServiceSpec,
    addresses: Mapping[str, Verdict],
    seen: Mapping[str, Object],
    *,
    generation: int,
    now: str,
    failing_open: bool,
    missing: str = "",
    problem: str = "",
    delayed: str = "",
    doubt: str = "",
    resolution: Finding | None = None,
) -> list[Object]:
    """Ours first, then those of others as they were read (conditions are a map by type, by API convention).

    `missing` names the children without which no traffic reaches the addresses, if any are missing.

    Where nothing new is to be told of the hostnames, what was told of them stands: a restart has nothing to say (R6).
    """
    findings = [
        *_findings(spec, addresses, missing, problem, resolution, failing_open=failing_open),
        *_delays(spec, delayed, told="ProbesDelayed" in seen),
        *_doubts(spec, doubt, told="ProberDegraded" in seen),
    ]
    ours = [_condition(finding, seen.get(finding.type), generation, now) for finding in findings]
    if spec.hostnames and resolution is None and "Resolved" in seen:
        ours.append(seen["Resolved"])
        ours.sort(key=lambda one: OURS.index(one["type"]))
    others = [condition for kind, condition in seen.items() if kind not in OURS]
    return ours + others[: MAX_CONDITIONS - len(OURS)]


def resolved(spec: ExternalServiceSpec, seen: Mapping[str, Object], resolution: Finding | None) -> Finding | None:
    """The condition Resolved that will be in the status: the new one, else the one that is there."""
    stored = seen.get("Resolved")
    if resolution is not None or stored is None or not spec.hostnames:
        return resolution
    return Finding("Resolved", stored["status"] == "True", stored["reason"], stored.get("message", ""))


def rejected_conditions(seen: Mapping[str, Object], problem: str, *, generation: int, now: str) -> list[Object]:
    """A spec that cannot be read changes one condition; the rest still tells of the last one that could."""
    text = problem if len(problem) <= LONGEST_PROBLEM else f"{problem[:LONGEST_PROBLEM]} ..."
    accepted = _condition(Finding("Accepted", False, "InvalidSpec", text), seen.get("Accepted"), generation, now)
    return list((dict(seen) | {"Accepted": accepted}).values())[:MAX_CONDITIONS]


def ready_column(spec: ExternalServiceSpec, addresses: Mapping[str, Verdict]) -> str:
    """Healthy addresses / addresses that are not drained; one that is denied counts as one that is missing."""
    return f"{_healthy(addresses.values())}/{len(_enabled(spec, addresses))}"


def _findings(
    spec: ExternalServiceSpec,
    addresses: Mapping[str, Verdict],
    missing: str,
    problem: str,
    resolution: Finding | None,
    *,
    failing_open: bool,
) -> Iterator[Finding]:
    if missing:
        yield Finding(
            "Ready", False, CHILD_MISSING, f"{missing}: no traffic reaches the addresses, see status.children"
        )
    else:
        yield _ready(spec, _enabled(spec, addresses), failing_open=failing_open)
    yield Finding("Accepted", False, "CAUnavailable", problem) if problem else _accepted(addresses)
    if spec.minReady != 0:
        yield _fail_open(spec, addresses, failing_open=failing_open)
    if resolution is not None:
        yield resolution


def _ready(spec: ExternalServiceSpec, enabled: Sequence[Verdict], *, failing_open: bool) -> Finding:
    healthy = _healthy(enabled)
    text = f"{healthy} of {len(enabled)} enabled addresses are ready"
    if all(address.reason == "Denied" for address in enabled):
        return Finding("Ready", False, "NoAddresses", NO_RESOLVED if spec.hostnames else NO_ADDRESSES)
    if failing_open:
        return Finding("Ready", True, "FailingOpen", f"{text}: all are published as ready, as minReady asks")
    if healthy == len(enabled):
        return Finding("Ready", True, "AllAddressesReady", text)
    return Finding("Ready", healthy > 0, "SomeAddressesReady" if healthy else "NoAddressReady", text)


def _accepted(addresses: Mapping[str, Verdict]) -> Finding:
    denied = [address.message for address in addresses.values() if address.reason == "Denied"]
    if not denied:
        return Finding("Accepted", True, "Accepted", "every address may be published")
    named = "; ".join(denied[:MOST_NAMED])
    more = f"; and {len(denied) - MOST_NAMED} more, see status.addresses" if len(denied) > MOST_NAMED else ""
    text = f"{len(denied)} of {len(addresses)} addresses are left out: {named}{more}"
    return Finding("Accepted", False, "AddressDenied", text)


def _fail_open(spec: ExternalServiceSpec, addresses: Mapping[str, Verdict], *, failing_open: bool) -> Finding:
    healthy = _healthy(addresses.values())
    if failing_open:
        text = f"{healthy} ready, fewer than minReady {spec.minReady}: all enabled addresses are published as ready"
        return Finding("FailOpen", True, "TooFewReady", text)
    return Finding("FailOpen", False, "EnoughReady", f"{healthy} ready, minReady is {spec.minReady}")


def _delays(spec: ExternalServiceSpec, reason: str, *, told: bool) -> Iterator[Finding]:
    """Absent until it is true for the first time: most clusters never see it."""
    if spec.readinessProbe is None:
        return
    if reason in DELAYED:
        yield Finding("ProbesDelayed", True, reason, DELAYED[reason])
    elif told:
        yield Finding("ProbesDelayed", False, "ProbesInTime", "probes are made when they are due")


def _doubts(spec: ExternalServiceSpec, doubt: str, *, told: bool) -> Iterator[Finding]:
    """It stands from the first doubt on, and says afterwards when that ended."""
    if spec.readinessProbe is None:
        return
    if doubt:
        yield Finding("ProberDegraded", True, "NobodyAnswers", doubt)
    elif told:
        yield Finding("ProberDegraded", False, "Answered", "the prober hears from addresses that it probes")


def _healthy(addresses: Iterable[Verdict]) -> int:
    return sum(address.ready for address in addresses)


def _enabled(spec: ExternalServiceSpec, addresses: Mapping[str, Verdict]) -> list[Verdict]:
    disabled = frozenset(spec.disabledIPs)
    return [address for ip, address in addresses.items() if ip not in disabled]


def _condition(finding: Finding, seen: Object | None, generation: int, now: str) -> Object:
    status = str(finding.status)
    kept = seen is not None and seen["status"] == status
    return {
        "type": finding.type,
        "status": status,
        "reason": finding.reason,
        "message": finding.message,
        "lastTransitionTime": seen["lastTransitionTime"] if seen is not None and kept else now,
        "observedGeneration": generation,
    }
