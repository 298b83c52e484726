"""Condition Resolved."""

from probe_sidecar.hostnames.answer import Answer
from probe_sidecar.hostnames.cache import Entry
from probe_sidecar.hostnames.hostnames import Report, report
from tests.cases import cases

GOOD = Entry(reported="ok", answer=Answer(("10.0.0.1",), ()))
FAILING = Entry(reported="failed", problem="SERVFAIL")
GONE = "db.io: DNS knows no such name; it has no addresses: create the record, or correct spec.hostnames"
EMPTY = "lb.io: DNS has no A or AAAA record of it; its last addresses are kept: create one"
MANY = Entry(reported="ok", answer=Answer(tuple(f"10.0.0.{n}" for n in range(65)), ()))


@cases(
    "entries expected",
    ("fine", {"db.io": GOOD, "lb.io": GOOD}, Report(True, "Resolved", "every name is resolved")),
    ("one not known yet", {"db.io": GOOD, "lb.io": Entry()}, None),
    ("gone", {"db.io": Entry(reported="nxdomain"), "x": Entry()}, Report(False, "NameNotFound", GONE)),
    ("empty", {"lb.io": Entry(reported="no_data")}, Report(False, "NoAddresses", EMPTY)),
    (
        "two problems",
        {"db.io": FAILING, "lb.io": Entry(reported="no_data")},
        Report(
            False,
            "LookupFailed",
            f"db.io: SERVFAIL; it has no addresses: see to the DNS servers, or to ESO_DNS_SERVERS; {EMPTY}",
        ),
    ),
    (
        "a flood",
        {"db.io": MANY},
        Report(False, "TooManyAddresses", "db.io: more than 64 addresses: only the lowest 64 are used"),
    ),
)
def test_resolved_condition(entries: dict[str, Entry], expected: Report | None) -> None:
    assert report(entries, ["lb.io"], crowded=False) == expected


def test_resolved_condition_with_too_many_addresses() -> None:
    crowded = Report(False, "TooManyAddresses", "more than 1000 addresses in all: those beyond are left out")
    assert report({"db.io": GOOD}, ["db.io"], crowded=True) == crowded
