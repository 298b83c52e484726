"""EndpointSlices: places that stay whatever comes and goes, however old the view of them is.

The whole object is in tests/contract/golden.
"""

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.children.endpoint_slice import MAX_ENDPOINTS, desired, place
from external_service.readiness import PublishedAddress
from tests.cases import cases
from tests.examples import examples
from tests.parents import parent

PARENT = parent(metadata={"annotations": {"of": "the parent"}}, port=8080)
CONDITIONS = ("ready", "serving", "terminating")


def up(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, True, True, False)


def test_conditions_tell_healthy_dead_and_drained_apart() -> None:
    dead, drained = PublishedAddress("10.0.0.10", False, False, False), PublishedAddress("10.0.0.1", False, True, True)
    (one,) = desired(PARENT, [up("10.0.0.9"), dead, drained], {})
    assert [(*end["addresses"], *map(end["conditions"].get, CONDITIONS)) for end in one["endpoints"]] == [
        ("10.0.0.1", False, True, True),
        ("10.0.0.10", False, False, False),
        ("10.0.0.9", True, True, False),
    ]


def test_annotations_are_on_every_slice() -> None:
    (one,) = desired(PARENT, [up("10.0.0.1")], {}, {"a": "b"})
    assert one["metadata"]["annotations"] == {"a": "b"}


def seen(*names: str, ips: Iterable[str] = (), **metadata: Any) -> dict[str, Any]:
    endpoints = [{"addresses": [ip]} for ip in ips] or None
    return {name: {"metadata": {"name": name, **metadata}, "endpoints": endpoints} for name in names}


DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
FOREIGN = ("api-ipv4-00", "api-ipv4-x", "other-ipv4-0", "api-ipv6-")


@cases(
    "observed names",
    ("it stays where it is seen", seen("api-ipv4-7", ips=["10.0.0.1"]), ["api-ipv4-7"]),
    ("an empty one is left to be deleted, its number too", seen("api-ipv4-0"), ["api-ipv4-1"]),
    ("one that is being deleted holds nothing", seen("api-ipv4-0", ips=["10.0.0.1"], **DELETED), ["api-ipv4-1"]),
    ("another address goes, this one comes", seen("api-ipv4-0", ips=["10.0.0.9"]), ["api-ipv4-0"]),
    ("names that are none of ours", seen(*FOREIGN, ips=["10.0.0.1"]), ["api-ipv4-0"]),
    ("the last of a family is emptied", seen("api-ipv6-0", ips=["2001:db8::9"]), ["api-ipv4-0", "api-ipv6-0"]),
)
def test_observed_slices_decide_the_placement(observed: dict[str, Any], names: list[str]) -> None:
    slices = desired(PARENT, [up("10.0.0.1")], observed)
    assert [one["metadata"]["name"] for one in slices] == names
    assert [endpoint["addresses"] for one in slices for endpoint in one["endpoints"]] == [["10.0.0.1"]]


def ips(*numbers: int) -> list[str]:
    return [f"10.0.{number // 250}.{number % 250}" for number in numbers]


THOUSAND = ips(*range(1_000))


def test_thousand_addresses_fill_ten_slices() -> None:
    placed = place(THOUSAND, {})
    assert {number: len(held) for number, held in placed.items()} == dict.fromkeys(range(10), MAX_ENDPOINTS)
    assert sorted(ip for held in placed.values() for ip in held) == sorted(THOUSAND)


@given(seed=st.integers(0, 2**32), kept=st.integers(0, 1_000))
@settings(max_examples=examples(5), deadline=None)
def test_replaced_addresses_do_not_move_others(seed: int, kept: int) -> None:
    random = Random(seed)
    before = place(random.sample(THOUSAND, kept), {})
    for _ in range(20):
        wanted = set(random.sample(THOUSAND, random.randint(0, 1_000)))
        after = place(wanted, before)
        stay = {ip: number for number, held in before.items() for ip in held if ip in wanted}
        assert {ip: number for number, held in after.items() for ip in held if ip in stay} == stay
        assert sorted(ip for held in after.values() for ip in held) == sorted(wanted)
        assert all(held == sorted(held) and len(held) <= MAX_ENDPOINTS for held in after.values())
        before = after


class LaggingController:
    """Metacontroller as far as it matters: it decides by a cache that is behind, updates are locked, deletions are not.

    `store` is number -> (identity, version, addresses). The cache is one of the earlier states of the store, never
    older than the one before: all slices come by one watch. `safe` are the addresses that may not be gone for a moment:
    those wanted ever since a state that the cache has reached. (One that is taken out and put back within the lag may
    be gone until the cache has caught up: hypothesis found how.)
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.store: dict[int, tuple[int, int, tuple[str, ...]]] = {}
        self.history = [dict(self.store)]
        self.seen = 0
        self.clock = 0
        self.safe: set[str] = set()
        self.wanted_since: dict[str, int] = {}

    def want(self, wanted: set[str]) -> None:
        self.wanted_since = {ip: self.wanted_since.get(ip, len(self.history) - 1) for ip in sorted(wanted)}
        self.safe &= wanted

    def sync(self, *, fresh: bool = False) -> int:
        """One sync by the cache; returns how many writes were accepted."""
        last = len(self.history) - 1
        self.seen = last if fresh else self.random.randint(self.seen, last)
        cache = self.history[self.seen]
        desired = place(self.wanted_since, {number: held for number, (_, _, held) in cache.items()})
        writes = sum(self.delete(number, cache) for number in self.shuffled(cache.keys() - desired.keys()))
        writes += sum(self.write(number, tuple(desired[number]), cache) for number in self.shuffled(desired))
        self.safe = {ip for ip in self.published() if self.wanted_since.get(ip, self.clock + 1) <= self.seen}
        return writes

    def shuffled(self, numbers: Iterable[int]) -> list[int]:
        return self.random.sample(sorted(numbers), len(list(numbers)))

    def delete(self, number: int, cache: Mapping[int, Any]) -> bool:
        if number not in self.store or self.store[number][0] != cache[number][0]:
            return False
        del self.store[number]
        return self.accepted()

    def write(self, number: int, held: tuple[str, ...], cache: Mapping[int, Any]) -> bool:
        assert len(held) <= MAX_ENDPOINTS
        if number not in cache:
            if number in self.store:  # already exists: skipped without a message
                return False
            self.store[number] = (self.clock, self.clock, held)
            return self.accepted()
        identity, version, before = cache[number]
        if before == held or self.store.get(number, (None, None))[:2] != (identity, version):
            return False
        self.store[number] = (identity, self.clock, held)
        return self.accepted()

    def accepted(self) -> bool:
        self.clock += 1
        self.history.append(dict(self.store))
        assert self.safe <= self.published(), "an address that was not removed is gone"
        return True

    def published(self) -> set[str]:
        return {ip for _, _, held in self.store.values() for ip in held}


@given(seed=st.integers(0, 2**32))
@settings(max_examples=examples(25), deadline=None)
def test_stale_observation_loses_no_address(seed: int) -> None:
    random = Random(seed)
    pool = THOUSAND[: random.choice([3, 110, 330])]
    controller = LaggingController(random)
    wanted: set[str] = set()
    for _ in range(60):
        if random.random() < 0.4:
            change = set(random.sample(pool, random.choice([1, len(pool) // 3, len(pool)])))
            wanted = random.choice([wanted | change, wanted - change, wanted ^ change])
            controller.want(wanted)
        controller.sync()
    for _ in range(4):
        controller.sync(fresh=True)
    assert controller.sync(fresh=True) == 0
    assert sorted(ip for _, _, held in controller.store.values() for ip in held) == sorted(wanted)
    assert all(held for _, _, held in controller.store.values()), "an empty slice is left"
