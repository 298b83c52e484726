"""Condition Resolved of one ExternalService: pure. The words are the same each time, whatever counts move.

A message that changed with every lookup would be a write with every lookup (R3).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from external_service.kind import FAMILIES
from probe_sidecar.hostnames.answer import MOST_ADDRESSES
from probe_sidecar.hostnames.cache import Entry

RESOLVED = "every name is resolved"
LAST_KEPT = "its last addresses are kept"
NONE_KNOWN = "it has no addresses"
CREATE_RECORD = "create the record, or correct spec.hostnames"

RECORDS = {"IPv4": "A", "IPv6": "AAAA"}


class Report(NamedTuple):
    """Whether all is well, why in one word, and for people."""

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
            yield "NameNotFound", not_found(name, outlook)
        elif entry.reported == "no_data":
            yield "NoAddresses", no_records(name, records, outlook)
        elif entry.reported == "failed":
            yield "LookupFailed", f"{name}: {entry.problem}; {outlook}: see to the DNS servers, or to ESO_DNS_SERVERS"
        elif entry.excessive:
            yield "TooManyAddresses", too_many_addresses(name)


def not_found(name: str, outlook: str) -> str:
    """`outlook` is LAST_KEPT or NONE_KNOWN."""
    return f"{name}: DNS knows no such name; {outlook}: {CREATE_RECORD}"


def no_records(name: str, records: str, outlook: str) -> str:
    """`records` are those looked for, such as "A or AAAA"."""
    return f"{name}: DNS has no {records} record of it; {outlook}: create one"


def too_many_addresses(name: str) -> str:
    """`name` has more addresses than are used."""
    return f"{name}: more than {MOST_ADDRESSES} addresses: only the lowest {MOST_ADDRESSES} are used"
