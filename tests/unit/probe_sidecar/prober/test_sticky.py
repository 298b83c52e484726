"""A reason that is reported once, for as long as it lasts; in virtual time."""

import asyncio

from probe_sidecar.prober.sticky import StickyReason
from tests.virtual_time import in_virtual_time

SECONDS = 60.0


class Watched:
    """A reason and each of its texts as it changed. Must be made in a running loop."""

    def __init__(self) -> None:
        self.reported: list[str] = []
        self.reason = StickyReason(asyncio.get_running_loop(), SECONDS, self.report)

    def report(self) -> None:
        if self.reason.text not in self.reported[-1:]:
            self.reported.append(self.reason.text)


@in_virtual_time
async def test_reason_is_reported_at_once_and_stays_after_its_end() -> None:
    watched = Watched()
    reason, reported = watched.reason, watched.reported
    reason.begin("one")
    assert reported == ["one"]
    await asyncio.sleep(10 * SECONDS)
    reason.end()
    await asyncio.sleep(SECONDS * 0.99)
    assert (reported, reason.text) == (["one"], "one")
    await asyncio.sleep(SECONDS * 0.02)
    assert (reported, reason.text) == (["one", ""], "")
    reason.begin("two")
    assert reported == ["one", "", "two"]


@in_virtual_time
async def test_noted_reason_ends_after_the_last_note() -> None:
    watched = Watched()
    reason, reported = watched.reason, watched.reported
    for number in range(100):
        reason.note(f"note {number}")
        await asyncio.sleep(SECONDS / 10)
    assert (reported, reason.text) == (["note 0"], "note 0")
    await asyncio.sleep(SECONDS * 0.89)
    assert reason.text == "note 0"
    await asyncio.sleep(SECONDS * 0.02)
    assert (reported, reason.text) == (["note 0", ""], "")
