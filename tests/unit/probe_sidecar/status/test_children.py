"""Reports of the hook that end by themselves change nothing; those that last are acted on, also after a restart."""

import asyncio
from typing import Any

from external_service.v1alpha1 import ChildProblem
from probe_sidecar.service import CHILD_SECONDS, ChildReports
from probe_sidecar.status.stored import StoredStatus
from probe_sidecar.status.summary import child_summary
from tests.virtual_time import in_virtual_time

SERVICE = {"kind": "Service", "name": "web", "problem": "taken", "reason": "Absent"}
INGRESS = {"kind": "Ingress", "name": "web", "problem": "taken"}


class Watched:
    """Must be made in a running loop."""

    def __init__(self) -> None:
        self.woken = 0
        self.reports = ChildReports(asyncio.get_running_loop(), self.wake)

    def wake(self) -> None:
        self.woken += 1

    def kinds(self, *reports: Any, **status: Any) -> list[str]:
        raw = {"status": {"children": list(reports), **status}}
        return [one.kind for one in self.reports.lasting(StoredStatus.read(raw))]


@in_virtual_time
async def test_lasting_report_is_used_until_it_ends() -> None:
    watched = Watched()
    assert watched.kinds(SERVICE) == []
    await asyncio.sleep(CHILD_SECONDS / 2)
    assert watched.kinds(SERVICE) == []
    await asyncio.sleep(CHILD_SECONDS)
    assert watched.woken == 1
    assert watched.kinds(SERVICE) == ["Service"]
    assert watched.kinds(SERVICE, INGRESS) == ["Service"], "the new one has not lasted yet"
    assert watched.kinds() == []
    assert watched.kinds(SERVICE) == [], "it is a new one"


@in_virtual_time
async def test_short_report_changes_nothing() -> None:
    watched = Watched()
    assert (watched.kinds(SERVICE), watched.kinds()) == ([], [])
    assert watched.kinds(INGRESS, "no report") == []
    watched.reports.close()
    await asyncio.sleep(2 * CHILD_SECONDS)
    assert watched.woken == 0


@in_virtual_time
async def test_report_in_the_stored_summary_is_used_at_once() -> None:
    assert Watched().kinds(SERVICE, summary=child_summary(ChildProblem.model_validate(SERVICE))) == ["Service"]
    assert Watched().kinds(SERVICE, summary="OK") == []
