"""Which transitions are reported as Events, and their messages."""

from typing import Any

import pytest

from probe_sidecar.events import LONGEST, Note, notes
from tests.cases import cases

STATES = {
    "up": (True, "ProbeSucceeded", "HTTP 200"),
    "down": (False, "ProbeFailed", "connection refused"),
    "new": (False, "Pending", "m"),
    "edited": (True, "Pending", "m"),
    "drained": (False, "Disabled", "drained"),
    "denied": (False, "Denied", "lies in a denied range"),
    "unprobed": (True, "NoProbe", "no probe"),
}


def status(condition: str = "", **addresses: str) -> dict[str, Any]:
    """`a="up"` is the address 10.0.0.a; a condition is its type, status, reason and message."""
    fields = ("ready", "reason", "message")
    return {
        "addresses": [
            {"ip": f"10.0.0.{ip}", **dict(zip(fields, STATES[state], strict=True))} for ip, state in addresses.items()
        ],
        "conditions": [dict(zip(("type", "status", "reason", "message"), condition.split(" ", 3), strict=False))],
    }


UP = Note("AddressReady", "Probing", "10.0.0.a: HTTP 200")
DOWN = Note("AddressNotReady", "Probing", "10.0.0.a: connection refused", warning=True)


@cases(
    "before after noted",
    ("first success", "new", "up", [UP]),
    ("first result of a dead one", "new", "down", [DOWN]),
    ("it dies", "up", "down", [DOWN]),
    ("it was ready all the while", "edited", "up", []),
    ("still down", "down", "down", []),
    ("a drain is the user's own doing", "up", "drained", []),
)
def test_event_note_of_one_address(before: str, after: str, noted: list[Note]) -> None:
    assert notes(status(a=before), status(a=after)) == noted


@pytest.mark.parametrize("count", [29, 30, 31, 1_000])
def test_note_of_1000_addresses_fits(count: int) -> None:
    after = status(**{str(number): "down" for number in range(count)})
    (only,) = notes({}, after)
    shown = only.text.split("; ")
    assert len(only.text) <= LONGEST
    left = int(shown[-1].split()[1]) if shown[-1].startswith("and ") else 0
    assert len(shown) - (left > 0) + left == count


def test_long_message_leaves_room_for_the_count() -> None:
    after = {"addresses": [{"ip": "10.0.0.1", "reason": "ProbeFailed", "message": "x" * 2_000}]}
    assert notes({}, after)[0].text == "1 addresses, see status.addresses"


def note(text: str) -> Note:
    """Its type, reason, action and text."""
    kind, reason, action, words = text.split(" ", 3)
    return Note(reason, action, words, warning=kind == "Warning")


OPEN, CLOSED = "FailOpen True TooFewReady few", "FailOpen False EnoughReady m"
DENIED, TAKEN = "Accepted False AddressDenied why", "Ready False ChildMissing taken"
OURS = "the Service and its endpoints are owned by this ExternalService"
CLOSES = "only healthy addresses are published as ready again"


@cases(
    "before after noted",
    ("fails open", CLOSED, OPEN, "Warning FailOpen Publishing few"),
    ("enough again", OPEN, CLOSED, f"Normal FailOpenEnded Publishing {CLOSES}"),
    ("denied", "", DENIED, "Warning AddressDenied Accepting why"),
    ("another problem", DENIED, "Accepted False InvalidSpec two", "Warning InvalidSpec Accepting two"),
    ("the same problem", DENIED, DENIED, ""),
    ("fixed", DENIED, "Accepted True Accepted n", "Normal Accepted Accepting n"),
    ("accepted from the start", "", "Accepted True Accepted m", ""),
    ("the Service is taken", "Ready True AllAddressesReady 1", TAKEN, "Warning ChildMissing Publishing taken"),
    ("the Service is still taken", TAKEN, TAKEN, ""),
    ("the Service is ours", TAKEN, "Ready False NoAddressReady 0", f"Normal ChildRecovered Publishing {OURS}"),
    ("addresses have Events of their own", "Ready True AllAddressesReady m", "Ready False NoAddressReady m", ""),
    ("prober at its limit", "", "ProbesDelayed True NoPlaceLeft why", "Warning ProbesDelayed Probing why"),
    ("suspected outage", "", "SuspectedOutage True NoResponse why", "Warning SuspectedOutage Probing why"),
    ("a name is gone", "Resolved True Resolved m", "Resolved False NameNotFound n", "Warning NameNotFound Resolving n"),
)
def test_event_notes_of_conditions(before: str, after: str, noted: str) -> None:
    assert notes(status(before), status(after)) == ([note(noted)] if noted else [])


@pytest.mark.parametrize(
    "odd", [None, [], "words", {"addresses": 1}, {"addresses": ["x", None]}, {"conditions": {"a": 1}}], ids=str
)
def test_malformed_statuses_have_no_notes(odd: object) -> None:
    assert notes(odd, odd) == notes({}, odd) == notes(odd, {}) == []


def test_long_messages_are_shortened() -> None:
    (only,) = notes({}, status("SuspectedOutage True NoResponse " + "x" * 5_000))
    assert (only.reason, only.warning, len(only.text), only.text[-5:]) == ("SuspectedOutage", True, LONGEST, "x ...")


def named(**addresses: str) -> dict[str, Any]:
    """`a="db.io"` is the address 10.0.0.a of that name; an empty name is none."""
    entries = status(**dict.fromkeys(addresses, "up"))["addresses"]
    for entry, name in zip(entries, addresses.values(), strict=True):
        entry.update({"hostname": name} if name else {})
    return {"addresses": entries}


@cases(
    "before after noted",
    ("nothing", named(a="db.io"), named(a="db.io"), []),
    ("a name that is new", named(), named(a="db.io"), []),
    ("a name that is gone", named(a="db.io", b="lb.io"), named(b="lb.io"), []),
    ("an address that gets a name", named(a=""), named(a="db.io"), []),
    (
        "other addresses",
        named(a="db.io", b="lb.io", c="lb.io"),
        named(d="db.io", c="lb.io"),
        ["db.io: +10.0.0.d -10.0.0.a; lb.io: -10.0.0.b"],
    ),
)
def test_changed_addresses_of_a_hostname_are_noted(before: Any, after: Any, noted: list[str]) -> None:
    found = [one.text for one in notes(before, after) if one.reason == "AddressesChanged"]
    assert found == noted
