"""The wanted `.status.conditions`: Ready, Accepted, where they apply FailOpen and Resolved, the prober's own. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from external_service.kind import MAX_CONDITIONS
from external_service.v1alpha1 import AddressStatus, ChildProblem, ExternalServiceSpec
from probe_sidecar.kube.documents import Object
from probe_sidecar.probes.message import MORE_PROBES
from probe_sidecar.status.stored import StoredStatus

OURS = ("Ready", "Accepted", "FailOpen", "Resolved", "ProbesDelayed", "SuspectedOutage")
MOST_NAMED = 8
"""Denied addresses that the Accepted condition names; each has its reason in `.status.addresses` anyway."""

CHILD_MISSING = "ChildMissing"
"""Reason of Ready while an object that traffic needs is missing or owned by someone else."""

LONGEST_PROBLEM = 4_096
"""Characters of the InvalidSpec message; the API takes 32,768."""


ALLOWED = "every address is allowed"
NO_ADDRESSES = "spec.ips is empty, or every entry is denied or disabled"
NO_RESOLVED = "spec.ips and spec.hostnames give no address, or every address is denied or disabled"


class Delay(NamedTuple):
    """A reason of ProbesDelayed, as the column STATUS and as the condition name it."""

    summary: str
    message: str


DELAYED = {
    "NoPlaceLeft": Delay(
        "probes delayed",
        "the limit of concurrent probes is reached, so addresses are probed less often than periodSeconds: "
        f"{MORE_PROBES}",
    ),
    "ProberFault": Delay(
        "probes delayed: prober fault",
        "probes fail in the prober itself, so the addresses keep their state; the prober's log has the cause",
    ),
}
"""By the reason. No figure in it: it would move, and each move would be a write."""


class Finding(NamedTuple):
    """A condition without its times."""

    type: str
    status: bool
    reason: str
    message: str


class ReferenceProblem(NamedTuple):
    """A CA or a Secret that cannot be used: which, what is wrong in a few words, and all of it with advice.

    `reason` is that of the condition Accepted.
    """

    reason: str
    name: str
    what: str
    message: str


@dataclass(frozen=True, slots=True)
class Problems:
    """Problems of one ExternalService beside its addresses. The default: nothing.

    `children` are the hook's reports of children that are not as wanted. `reference` is a CA or Secret that cannot be
    used. `delay` is the reason of ProbesDelayed, if there is one. `outage` says why the prober suspects its own
    network, if it does. `resolution` is what to report of spec.hostnames; None: nothing new. `shortened_timeout` is the
    timeout in seconds that counts instead of a longer timeoutSeconds; 0: that of the spec does.
    """

    children: Sequence[ChildProblem] = ()
    reference: ReferenceProblem | None = None
    delay: str = ""
    outage: str = ""
    resolution: Finding | None = None
    shortened_timeout: int = 0


NO_PROBLEMS = Problems()


def wanted_conditions(
    spec: ExternalServiceSpec,
    addresses: Mapping[str, AddressStatus],
    problems: Problems,
    stored: StoredStatus,
    now: str,
    *,
    missing: str,
    failing_open: bool,
) -> list[Object]:
    """Ours first, then those of others as they were read (conditions are a map by type, by API convention).

    `missing` names the children without which no traffic reaches the addresses, if any are missing. With nothing new
    to report of the hostnames, the stored condition stays: a restart changes nothing (R6).
    """
    seen, lacking = stored.conditions, problems.reference
    findings = [
        _ready(spec, addresses, missing, failing_open=failing_open),
        Finding("Accepted", False, lacking.reason, lacking.message) if lacking else _accepted(addresses, problems),
    ]
    if spec.minReady != 0:
        findings.append(_fail_open(spec, addresses, failing_open=failing_open))
    if problems.resolution is not None:
        findings.append(problems.resolution)
    if spec.readinessProbe is not None:
        findings += _of_the_prober(seen, problems)
    ours = [_condition(finding, seen.get(finding.type), stored.generation, now) for finding in findings]
    if spec.hostnames and problems.resolution is None and "Resolved" in seen:
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


def rejected_conditions(stored: StoredStatus, problem: str, now: str) -> list[Object]:
    """A spec that cannot be read changes one condition; the rest still describes the last one that could."""
    text = problem if len(problem) <= LONGEST_PROBLEM else f"{problem[:LONGEST_PROBLEM]} ..."
    seen = stored.conditions
    accepted = _condition(Finding("Accepted", False, "InvalidSpec", text), seen.get("Accepted"), stored.generation, now)
    return list((dict(seen) | {"Accepted": accepted}).values())[:MAX_CONDITIONS]


def ready_column(spec: ExternalServiceSpec, addresses: Mapping[str, AddressStatus]) -> str:
    """Healthy addresses / addresses that are not drained; one that is denied counts as one that is missing."""
    return f"{_healthy(addresses.values())}/{len(_enabled(spec, addresses))}"


def _ready(
    spec: ExternalServiceSpec, addresses: Mapping[str, AddressStatus], missing: str, *, failing_open: bool
) -> Finding:
    if missing:
        text = f"{missing}: no traffic reaches the addresses, see status.children"
        return Finding("Ready", False, CHILD_MISSING, text)
    enabled = _enabled(spec, addresses)
    healthy = _healthy(enabled)
    text = f"{healthy} of {len(enabled)} enabled addresses are ready"
    if all(address.reason == "Denied" for address in enabled):
        return Finding("Ready", False, "NoAddresses", NO_RESOLVED if spec.hostnames else NO_ADDRESSES)
    if failing_open:
        return Finding("Ready", True, "FailingOpen", f"{text}: all are published as ready because of minReady")
    if healthy == len(enabled):
        return Finding("Ready", True, "AllAddressesReady", text)
    return Finding("Ready", healthy > 0, "SomeAddressesReady" if healthy else "NoAddressReady", text)


def _accepted(addresses: Mapping[str, AddressStatus], problems: Problems) -> Finding:
    limit = problems.shortened_timeout
    note = f"; readinessProbe.timeoutSeconds counts as {limit} (ESO_LONGEST_TIMEOUT_SECONDS)" if limit else ""
    denied = [address.message for address in addresses.values() if address.reason == "Denied"]
    if not denied:
        return Finding("Accepted", True, "Accepted", f"{ALLOWED}{note}")
    named = "; ".join(denied[:MOST_NAMED])
    more = f"; and {len(denied) - MOST_NAMED} more, see status.addresses" if len(denied) > MOST_NAMED else ""
    text = f"{len(denied)} of {len(addresses)} addresses are left out: {named}{more}{note}"
    return Finding("Accepted", False, "AddressDenied", text)


def _fail_open(spec: ExternalServiceSpec, addresses: Mapping[str, AddressStatus], *, failing_open: bool) -> Finding:
    healthy = _healthy(addresses.values())
    if failing_open:
        text = f"{healthy} ready, fewer than minReady {spec.minReady}: all enabled addresses are published as ready"
        return Finding("FailOpen", True, "TooFewReady", text)
    return Finding("FailOpen", False, "EnoughReady", f"{healthy} ready, minReady is {spec.minReady}")


def _of_the_prober(seen: Mapping[str, Object], problems: Problems) -> Iterator[Finding]:
    """Absent until they are true for the first time, because most clusters never see them; then they stay."""
    if problems.delay in DELAYED:
        yield Finding("ProbesDelayed", True, problems.delay, DELAYED[problems.delay].message)
    elif "ProbesDelayed" in seen:
        yield Finding("ProbesDelayed", False, "ProbesInTime", "probes run on time")
    if problems.outage:
        yield Finding("SuspectedOutage", True, "NoResponse", problems.outage)
    elif "SuspectedOutage" in seen:
        yield Finding("SuspectedOutage", False, "ResponseReceived", "probed addresses respond")


def _healthy(addresses: Iterable[AddressStatus]) -> int:
    return sum(address.ready for address in addresses)


def _enabled(spec: ExternalServiceSpec, addresses: Mapping[str, AddressStatus]) -> list[AddressStatus]:
    return [address for ip, address in addresses.items() if ip not in spec.disabled]


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
