"""The recorder against the stand-in API server, in time that only moves on request."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from playground.apiserver.builtin import shown
from playground.apiserver.resources import NEW_EVENTS
from probe_sidecar.events import BURST, MOST_WAITING, EventRecorder, Note
from probe_sidecar.kube.client import KubeClient, connect
from probe_sidecar.kube.credentials import plain_url
from tests.faults import Fault, FaultyServer
from tests.parents import raw_parent
from tests.until import beside, until

DOWN = Note("AddressNotReady", "Probing", "10.0.0.1: connection refused", warning=True)
UP = Note("AddressReady", "Probing", "10.0.0.1: HTTP 200")
WEB = raw_parent(metadata={"name": "web", "uid": "uid-1", "resourceVersion": "7"})


class Rig:
    """A recorder with its API server and a clock that the test moves."""

    def __init__(self, client: KubeClient, server: FaultyServer) -> None:
        self.server = server
        self.now = 1_000.0
        self.slept: list[float] = []
        self.made = 0
        self.recorder = EventRecorder(
            client,
            "prober-1",
            clock=lambda: self.now,
            now=lambda: f"2026-01-01T00:00:00.{int(self.now):06d}Z",
            sleep=self.sleep,
            identity=self.identity,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def identity(self) -> str:
        self.made += 1
        return f"id{self.made}"

    def events(self) -> list[dict[str, Any]]:
        """Stored objects in the order of creation, without the fields that the server adds."""
        stored = [shown(NEW_EVENTS, one) for one in self.server.storage.items(NEW_EVENTS.key, "shop")]
        return [
            {**event, "metadata": {key: event["metadata"][key] for key in ("name", "namespace")}}
            for event in sorted(stored, key=lambda event: int(event["metadata"]["name"].removeprefix("web.id")))
        ]

    async def written(self, count: int) -> None:
        await until(lambda: self.recorder.counters.written == count, f"{count} written")


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with FaultyServer() as server:
        server.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        client = connect(plain_url(server.url))
        rig = Rig(client, server)
        async with beside(rig.recorder.run()):
            yield rig
        await client.close()


async def test_event_manifest(rig: Rig) -> None:
    rig.recorder.record(WEB, [DOWN])
    await rig.written(1)
    assert rig.events() == [
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "web.id1", "namespace": "shop"},
            "eventTime": "2026-01-01T00:00:00.001000Z",
            "reportingController": "eso.crowdfox.com/prober",
            "reportingInstance": "prober-1",
            "action": "Probing",
            "reason": "AddressNotReady",
            "type": "Warning",
            "note": "10.0.0.1: connection refused",
            "regarding": {"apiVersion": WEB["apiVersion"], "kind": WEB["kind"], **WEB["metadata"]},
        }
    ]


async def test_event_of_another_replica_is_not_written_again(rig: Rig) -> None:
    once = DOWN._replace(once="id0")
    rig.recorder.record(WEB, [once])
    await rig.written(1)
    rig.recorder.record(WEB, [once._replace(text="in other words"), UP])
    await rig.written(2)
    assert [event["note"] for event in rig.events()] == [DOWN.text, UP.text]
    assert rig.recorder.counters.failed == 0


async def test_queued_event_is_written_once(rig: Rig) -> None:
    for _ in range(4):
        rig.recorder.record(WEB, [DOWN])
    await rig.written(1)
    (event,) = rig.events()
    assert event["note"] == DOWN.text


async def test_many_events_are_limited_and_dropped_ones_counted(rig: Rig) -> None:
    rig.recorder.record(WEB, [DOWN._replace(text=str(number)) for number in range(MOST_WAITING + 7)])
    assert rig.recorder.counters.dropped == 7
    await rig.written(BURST + 20)
    assert rig.slept[:3] == [pytest.approx(0.2)] * 3


async def test_events_of_one_namespace_do_not_delay_another(rig: Rig) -> None:
    hostile = {**WEB, "metadata": {**WEB["metadata"], "namespace": "default"}}
    rig.recorder.record(hostile, [DOWN._replace(text=str(number)) for number in range(MOST_WAITING + 7)])
    rig.recorder.record(WEB, [DOWN])
    await rig.written(2)
    assert [event["note"] for event in rig.events()] == [DOWN.text]
    assert rig.recorder.counters.dropped == 8


async def test_refused_event_is_counted_and_not_retried(rig: Rig) -> None:
    refuse = rig.server.faults.add(Fault(code=403))
    rig.recorder.record(WEB, [DOWN])
    await until(lambda: rig.recorder.counters.failed == 1)
    refuse.lift()
    rig.recorder.record(WEB, [UP])
    await rig.written(1)
    assert [event["reason"] for event in rig.events()] == ["AddressReady"]
