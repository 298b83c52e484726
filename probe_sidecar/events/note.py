"""Differences between two statuses as Notes for Events: one Note for each reason, for any number of addresses. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

Status = Mapping[str, Any]

LONGEST: Final = 1_024
"""Characters of an Event's note (events.k8s.io/v1)."""

_ROOM: Final = LONGEST - len("; and 1000 more")


class Note(NamedTuple):
    """One Event. `reason` is a CamelCase word, `action` what the prober was doing, `text` the evidence.

    `once` becomes part of the Event's name, so that another replica does not write the same one again.
    """

    reason: str
    action: str
    text: str
    warning: bool = False
    once: str = ""


ENDED: Final = {
    "FailOpen": Note("FailOpenEnded", "Publishing", "only healthy addresses are published as ready again"),
    "ProbesDelayed": Note("ProbesInTime", "Probing", "probes run on time again"),
    "SuspectedOutage": Note("SuspectedOutageEnded", "Probing", "probed addresses respond again"),
}
"""Conditions that are True while something is wrong, and the Event when they end."""


def notes(before: object, after: object) -> list[Note]:
    """The transitions from one status, as read, to the next. Wrong shapes say nothing."""
    old, new = _fields(before), _fields(after)
    before, after = _by(old, "addresses", "ip"), _by(new, "addresses", "ip")
    return [*_of_addresses(before, after), *_of_names(before, after), *_of_conditions(old, new)]


def _of_addresses(old: Mapping[str, Status], new: Mapping[str, Status]) -> Iterator[Note]:
    risen, fallen = [], []
    for ip, state in new.items():
        was = old.get(ip, {})
        line = f"{ip}: {state.get('message')}"
        if state.get("reason") == "ProbeSucceeded" and was.get("ready") is not True:
            risen.append(line)
        elif state.get("reason") == "ProbeFailed" and was.get("reason") != "ProbeFailed":
            fallen.append(line)
    if fallen:
        yield Note("AddressNotReady", "Probing", _joined(fallen), warning=True)
    if risen:
        yield Note("AddressReady", "Probing", _joined(risen))


def _of_names(old: Mapping[str, Status], new: Mapping[str, Status]) -> Iterator[Note]:
    """Of a name that had addresses before and has some now: that a name comes or goes is its author's own doing."""
    before, after = _by_name(old), _by_name(new)
    changed = []
    for name in before.keys() & after.keys():
        come = [f"+{ip}" for ip in after[name] if ip not in old]
        gone = [f"-{ip}" for ip in before[name] if ip not in new]
        if come or gone:
            changed.append(f"{name}: {' '.join((*come, *gone))}")
    if changed:
        yield Note("AddressesChanged", "Resolving", _joined(sorted(changed)))


def _by_name(addresses: Mapping[str, Status]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ip, state in addresses.items():
        if isinstance(name := state.get("hostname"), str):
            found.setdefault(name, []).append(ip)
    return found


def _of_conditions(old: Status, new: Status) -> Iterator[Note]:
    before, after = _by(old, "conditions", "type"), _by(new, "conditions", "type")
    for kind, ended in ENDED.items():
        was, now = _true(before, kind), _true(after, kind)
        if now and not was:
            yield Note(kind, ended.action, _cut(str(after[kind].get("message"))), warning=True)
        elif was and not now:
            yield ended
    missed, missing = _child_missing(before), _child_missing(after)
    if missing and missing != missed:
        yield Note("ChildMissing", "Publishing", _cut(missing), warning=True)
    elif missed and not missing:
        yield Note("ChildRecovered", "Publishing", "the Service and its endpoints are owned by this ExternalService")
    for kind, action in (("Accepted", "Accepting"), ("Resolved", "Resolving")):
        yield from _of_trouble(kind, action, before.get(kind, {}), after.get(kind, {}))


def _of_trouble(kind: str, action: str, was: Status, now: Status) -> Iterator[Note]:
    """Of a condition that is True while all is well: each new trouble, and the end of it."""
    if now.get("status") == "False" and now.get("message") != was.get("message"):
        yield Note(str(now.get("reason")), action, _cut(str(now.get("message"))), warning=True)
    elif was.get("status") == "False" and now.get("status") == "True":
        yield Note(kind, action, _cut(str(now.get("message"))))


def _child_missing(conditions: Mapping[str, Status]) -> str:
    """The message of Ready while a child is missing, else empty."""
    ready = conditions.get("Ready", {})
    return str(ready.get("message")) if ready.get("reason") == "ChildMissing" else ""


def _true(conditions: Mapping[str, Status], kind: str) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _joined(lines: Iterable[str]) -> str:
    """As many lines as there is room for, and how many are left."""
    shown: list[str] = []
    room, left = _ROOM, 0
    for line in lines:
        if left or len(line) > room:
            left += 1
        else:
            shown.append(line)
            room -= len(line) + 2
    if not shown:
        return f"{left} addresses, see status.addresses"
    return "; ".join(shown) + (f"; and {left} more" if left else "")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def _fields(status: object) -> Status:
    return status if isinstance(status, dict) else {}


def _by(status: Status, field: str, key: str) -> dict[str, Status]:
    entries = status.get(field)
    if not isinstance(entries, list):
        return {}
    return {str(entry.get(key)): entry for entry in entries if isinstance(entry, dict)}
