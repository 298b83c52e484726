"""The census of ExternalServices: the oldest first, told at once, and in a burst no more often than it is cheap."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from probe_sidecar.census import Census
from tests.virtual_time import VirtualLoop, virtually

Object = dict[str, Any]


def made(uid: str, created: str) -> Object:
    return {"metadata": {"uid": uid, "creationTimestamp": created}}


class World:
    """Objects that come and go, and what was told of them; telling takes `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.seconds = seconds
        self.objects: dict[str, Object] = {}
        self.told: list[tuple[list[str], list[str]]] = []
        self.census = Census(self.loop, self.tell)

    def tell(self, uids: Sequence[str], born: Iterable[str]) -> None:
        self.told.append((list(uids), list(born)))
        self.loop.pass_time(self.seconds)

    def come(self, *objects: Object, first: bool = False) -> None:
        fresh = {one["metadata"]["uid"]: one for one in objects}
        self.objects |= fresh
        self.census.observe(self.objects, fresh, first)

    def go(self, uid: str) -> None:
        del self.objects[uid]
        self.census.observe(self.objects, [uid], False)


def test_the_oldest_come_first_and_of_one_second_the_lesser_uid() -> None:
    async def run() -> None:
        world, late = World(), "2026-01-02T00:00:00Z"
        world.come(made("b", late), made("z", "2026-01-01T00:00:00Z"), made("a", late))
        assert [uids for uids, _ in world.told] == [["z", "a", "b"]]

    virtually(run())


def test_what_the_first_list_of_a_namespace_shows_was_not_born_under_our_eyes() -> None:
    async def run() -> None:
        world = World()
        world.come(made("a", "2026-01-01T00:00:00Z"), first=True)
        shop = {"b": made("b", "2026-01-02T00:00:00Z")}
        world.census.observe(shop, shop, first=True)
        world.census.observe(shop | {"c": made("c", "2026-01-03T00:00:00Z")}, ["c"], first=False)
        assert world.told == [(["a"], []), (["a", "b"], []), (["a", "b", "c"], ["c"])]

    virtually(run())


def test_an_edit_is_nothing_new() -> None:
    async def run() -> None:
        world = World()
        world.come(made("a", "2026-01-01T00:00:00Z"))
        world.come(made("a", "2026-01-01T00:00:00Z"))
        assert len(world.told) == 1

    virtually(run())


def test_what_comes_and_goes_is_told_at_once() -> None:
    async def run() -> None:
        world = World()
        world.come(made("a", "2026-01-01T00:00:00Z"))
        world.come(made("b", "2026-01-02T00:00:00Z"))
        world.go("a")
        assert world.told[1:] == [(["a", "b"], ["b"]), (["b"], [])]

    virtually(run())


def test_a_burst_costs_a_tenth_of_the_loop() -> None:
    """And the last of it is told, together with all that came while it rested."""

    async def run() -> None:
        world = World(seconds=0.01)
        for number in range(200):
            world.come(made(f"{number:03}", "2026-01-01T00:00:00Z"))
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert len(world.told) == 3
        assert world.told[-1][0] == sorted(world.objects)
        assert sorted(uid for _, born in world.told for uid in born) == sorted(world.objects), "each is born once"

    virtually(run())


def test_what_has_come_and_gone_while_it_rested_is_not_told_of() -> None:
    async def run() -> None:
        world = World(seconds=0.01)
        world.come(made("a", "2026-01-01T00:00:00Z"))
        world.come(made("b", "2026-01-01T00:00:00Z"))
        world.go("b")
        await asyncio.sleep(1)
        assert world.told == [(["a"], ["a"]), (["a"], [])]

    virtually(run())


def test_one_that_is_closed_tells_nothing_more() -> None:
    async def run() -> None:
        world = World(seconds=0.01)
        world.come(made("a", "2026-01-01T00:00:00Z"))
        world.come(made("b", "2026-01-01T00:00:00Z"))
        world.census.close()
        await asyncio.sleep(1)
        assert len(world.told) == 1

    virtually(run())
