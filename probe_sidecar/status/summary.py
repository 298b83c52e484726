"""The texts of the printer columns STATUS, HOSTS and IPS: `.status.summary`, `.status.hosts` and `.status.ips`. Pure.

Each follows from the spec and from what the rest of the status says, without counters and times, so it changes only
with a transition (R3). A printer column prints an array as JSON or only its first entry, hence texts.
"""

from collections.abc import Iterable, Mapping, Sequence

from external_service.kind import MAX_SUMMARY, NOT_PROBED
from external_service.v1alpha1 import AddressStatus, ChildProblem, ExternalServiceSpec
from probe_sidecar.status.conditions import DELAYED, Finding, Problems

SHOWN_IPS = 3
"""Addresses that the column IPS names; the rest is a number."""

BACKING = ("Service", "Endpoints", "EndpointSlice")
"""Kinds without which no traffic reaches the addresses."""

SUSPECTED_OUTAGE = "suspected outage: no probed address responds"


def summary(
    spec: ExternalServiceSpec,
    addresses: Mapping[str, AddressStatus],
    problems: Problems,
    resolution: Finding | None,
    *,
    failing_open: bool,
) -> str:
    """The most important thing about this ExternalService in at most MAX_SUMMARY characters; `OK` if nothing is wrong.

    The first that applies, in the order of docs/status.md. `addresses` are all of spec.ips and spec.hostnames,
    `resolution` is the condition Resolved as it will be written.
    """
    probed = spec.readinessProbe is not None
    unresolved = _unresolved(resolution)
    found = (
        _first(problems.children, BACKING)
        or (f"{problems.reference.name} {problems.reference.what}" if problems.reference else "")
        or _without_addresses(spec, addresses, unresolved)
        or (SUSPECTED_OUTAGE if problems.outage and probed else "")
        or _not_ready(spec, addresses, failing_open=failing_open)
        or unresolved
        or _denied(addresses)
        or _first(problems.children)
        or (DELAYED[problems.delay].summary if probed and problems.delay in DELAYED else "")
        or _ok(spec, addresses)
    )
    return _line(found)


def invalid(problem: str) -> str:
    """The summary of an ExternalService whose spec cannot be read."""
    return _line(f"invalid: {problem}")


def child_summary(child: ChildProblem) -> str:
    """One child that could not be made as wanted."""
    if child.reason == "NotListed":
        return f"{child.kind} is not in childResources"
    if child.reason == "Edited":
        return f"{child.kind} was edited"
    return f"{child.kind} name is taken" if child.kind in BACKING else f"{child.kind} is missing"


def missing_children(children: Iterable[ChildProblem]) -> str:
    """The problems of children without which no traffic reaches the addresses; empty if there are none.

    Without EndpointSlices in childResources the hook publishes Endpoints instead.
    """
    missing = [one for one in children if one.kind in BACKING and one.reason == "Absent"]
    missing += [one for one in children if one.kind in ("Service", "Endpoints") and one.reason == "NotListed"]
    return ", ".join(dict.fromkeys(map(child_summary, missing)))


def hosts_text(spec: ExternalServiceSpec) -> str:
    """The first of spec.hosts and how many more there are."""
    return _and_more(list(dict.fromkeys(host.host for host in spec.hosts)), 1)


def ips_text(addresses: Iterable[str]) -> str:
    """The first addresses, and how many more there are."""
    return _and_more(list(addresses), SHOWN_IPS)


def _first(children: Sequence[ChildProblem], kinds: Sequence[str] = ()) -> str:
    of_interest = [child for child in children if not kinds or child.kind in kinds]
    return child_summary(of_interest[0]) if of_interest else ""


def _without_addresses(spec: ExternalServiceSpec, addresses: Mapping[str, AddressStatus], unresolved: str) -> str:
    if any(one.reason not in ("Denied", "Disabled") for one in addresses.values()):
        return ""
    if unresolved or (denied := _denied(addresses)):
        return unresolved or denied
    if addresses:
        return "all addresses are drained"
    return "hostnames not resolved yet" if spec.hostnames else "no addresses"


def _not_ready(spec: ExternalServiceSpec, addresses: Mapping[str, AddressStatus], *, failing_open: bool) -> str:
    """Nothing while only denied addresses are not ready: that is another problem."""
    enabled = {ip: one for ip, one in addresses.items() if ip not in spec.disabled}
    lacking = {ip: one for ip, one in enabled.items() if not one.ready}
    if failing_open:
        return f"failing open: {len(enabled) - len(lacking)} of {len(enabled)} healthy"
    if all(one.reason == "Denied" for one in lacking.values()):
        return ""
    if len(lacking) == 1:
        ((ip, one),) = lacking.items()
        return f"{ip}: {one.message}"
    state = NOT_PROBED if all(one.reason == "Pending" for one in lacking.values()) else "not ready"
    return f"{len(lacking)} of {len(enabled)} {state}"


def _unresolved(resolution: Finding | None) -> str:
    """The first of the names that has a problem, without the advice that follows."""
    return resolution.message.partition(";")[0] if resolution is not None and not resolution.status else ""


def _denied(addresses: Mapping[str, AddressStatus]) -> str:
    denied = [ip for ip, one in addresses.items() if one.reason == "Denied"]
    return f"denied: {_and_more(denied, 1)}" if denied else ""


def _ok(spec: ExternalServiceSpec, addresses: Mapping[str, AddressStatus]) -> str:
    drained = len(addresses.keys() & spec.disabled)
    return f"OK, {drained} drained" if drained else "OK"


def _and_more(entries: Sequence[str], shown: int) -> str:
    more = f" +{len(entries) - shown}" if len(entries) > shown else ""
    return ",".join(entries[:shown]) + more


def _line(text: str) -> str:
    """One line of printable characters, not longer than the API takes."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= MAX_SUMMARY else f"{line[: MAX_SUMMARY - 4]} ..."
