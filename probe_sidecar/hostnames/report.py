"""Condition Resolved of one ExternalService: pure. The words are the same each time, whatever counts move.

A message that changed with every lookup would be a write with every lookup (R3).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from external_service.kind import FAMILIES
from probe_sidecar.hostnames.answer import MOST_ADDRESSES
from probe_sidecar.hostnames.cache import Entry

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
    return Report(True, "Resolved", "every name is resolved")


def _problems(entries: Mapping[str, Entry], standing: Collection[str], records: str) -> Iterator[tuple[str, str]]:
    for name, entry in entries.items():
        outlook = "its last addresses are kept" if name in standing else "it has no addresses"
        if entry.reported == "nxdomain":
            yield (
                "NameNotFound",
                f"{name}: DNS knows no such name; {outlook}: create the record, or correct spec.hostnames",
            )
        elif entry.reported == "no_data":
            yield "NoAddresses", f"{name}: DNS has no {records} record of it; {outlook}: create one"
        elif entry.reported == "failed":
            yield "LookupFailed", f"{name}: {entry.problem}; {outlook}: see to the DNS servers, or to ESO_DNS_SERVERS"
        elif entry.excessive:
            text = f"{name}: more than {MOST_ADDRESSES} addresses: only the lowest {MOST_ADDRESSES} are used"
            yield "TooManyAddresses", text
