"""Endpoints, EndpointSlices or both: the children of each form; no switch leaves a gap or revives a dead address."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from app.children import endpoint_slice, endpoints
from app.children.publishing import HANDOVER, RETIRING, Observed, publish
from external_service.kind import EndpointsForm
from external_service.readiness import PublishedAddress
from tests.cases import cases
from tests.examples import examples
from tests.parents import parent

PARENT = parent()
READY, DEAD, DRAINED = frozenset({"10.0.0.1", "10.0.0.2", "2001:db8::1"}), "10.0.0.3", "10.0.0.4"
ADDRESSES = (
    *(PublishedAddress(ip, True, True, False) for ip in sorted(READY)),
    PublishedAddress(DEAD, False, False, False),
    PublishedAddress(DRAINED, False, True, True),
)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLAIN = endpoints.desired(PARENT, ADDRESSES, mirrored=True)
UNMIRRORED = endpoints.desired(PARENT, ADDRESSES, mirrored=False)
EARLIER = {**UNMIRRORED, "metadata": PLAIN["metadata"]}
"""As earlier hooks made them: mirrored, with the addresses that are not ready."""
SLICES = endpoint_slice.desired(PARENT, ADDRESSES, {})
ALL_SLICES = {one["metadata"]["name"]: one for one in SLICES}
ONE_SLICE = {"api-ipv4-0": SLICES[0]}


def observed(shown: Mapping[str, Any] | None, slices: Mapping[str, Any], now: datetime = NOW) -> Observed:
    return Observed({} if shown is None else {"api": shown}, slices, now)


def stamped(since: str, slices: Mapping[str, Any] = ALL_SLICES) -> dict[str, Any]:
    return {
        name: {**one, "metadata": {**one["metadata"], "annotations": {RETIRING: since}}} for name, one in slices.items()
    }


@cases(
    "form shown slices children",
    ("Endpoints, new", "Endpoints", None, {}, [PLAIN]),
    ("EndpointSlice, new", "EndpointSlice", None, {}, SLICES),
    ("Both, new: never mirrored", "Both", None, {}, [UNMIRRORED, *SLICES]),
    ("Endpoints, settled", "Endpoints", PLAIN, {}, [PLAIN]),
    ("earlier Endpoints: not-ready addresses leave", "Endpoints", EARLIER, {}, [PLAIN]),
    ("earlier Endpoints, to Both", "Both", EARLIER, {}, [PLAIN, *SLICES]),
    ("EndpointSlice, settled", "EndpointSlice", None, ALL_SLICES, SLICES),
    ("Both, settled", "Both", UNMIRRORED, ALL_SLICES, [UNMIRRORED, *SLICES]),
    ("to EndpointSlice: Endpoints stay", "EndpointSlice", PLAIN, {}, [PLAIN, *SLICES]),
    ("until each slice is seen", "EndpointSlice", PLAIN, ONE_SLICE, [PLAIN, *SLICES]),
    ("and go then", "EndpointSlice", PLAIN, ALL_SLICES, SLICES),
    ("to Both: mirrored until each slice is seen", "Both", PLAIN, ONE_SLICE, [PLAIN, *SLICES]),
    ("and no longer then", "Both", PLAIN, ALL_SLICES, [UNMIRRORED, *SLICES]),
    ("one more slice does not mirror again", "Both", UNMIRRORED, ONE_SLICE, [UNMIRRORED, *SLICES]),
    ("from Both to EndpointSlice at once", "EndpointSlice", UNMIRRORED, ONE_SLICE, SLICES),
    ("from Both: slices stay", "Endpoints", UNMIRRORED, ALL_SLICES, [PLAIN, *SLICES]),
    ("from EndpointSlice: slices stay", "Endpoints", None, ALL_SLICES, [PLAIN, *SLICES]),
    ("but no new ones are made", "Endpoints", UNMIRRORED, ONE_SLICE, [PLAIN, SLICES[0]]),
)
def test_endpoints_form_and_observed_children_decide(
    form: EndpointsForm, shown: Any, slices: Any, children: list[Any]
) -> None:
    assert publish(PARENT, ADDRESSES, form, observed(shown, slices)) == (children, None)


@cases(
    "form shown slices children",
    ("no slice", "EndpointSlice", None, {}, []),
    ("Endpoints alone", "Both", None, {}, [UNMIRRORED]),
    ("and they stay mirrored", "Both", PLAIN, {}, [PLAIN]),
    ("a slice that exists stays", "Both", UNMIRRORED, ONE_SLICE, [UNMIRRORED, SLICES[0]]),
)
def test_slices_are_not_created_without_a_service(
    form: EndpointsForm, shown: Any, slices: Any, children: list[Any]
) -> None:
    there = replace(observed(shown, slices), service=False)
    assert publish(PARENT, ADDRESSES, form, there) == (children, None)


SINCE = NOW.isoformat()


@cases(
    "slices seconds since again",
    ("the time begins to run", ALL_SLICES, 0, SINCE, 60.0),
    ("it runs", stamped(SINCE), 10, SINCE, 50.0),
    ("the youngest counts", stamped(SINCE, ONE_SLICE) | {"api-ipv6-0": SLICES[1]}, 10, None, 60.0),
    ("a hand wrote no time", stamped("soon"), 10, None, 60.0),
    ("a hand wrote a time without a zone", stamped("2026-01-01T12:00:00"), 10, None, 60.0),
    ("a hand wrote a time to come", stamped("2099-01-01T00:00:00+00:00"), 10, None, 60.0),
)
def test_slices_remain_after_the_switch_to_endpoints(
    slices: Any, seconds: int, since: str | None, again: float
) -> None:
    now = NOW + timedelta(seconds=seconds)
    given = publish(PARENT, ADDRESSES, "Endpoints", observed(PLAIN, slices, now))
    assert given == ([PLAIN, *stamped(since or now.isoformat()).values()], again)


def test_slices_are_removed_after_the_retirement_time() -> None:
    later = observed(PLAIN, stamped(SINCE), NOW + HANDOVER)
    assert publish(PARENT, ADDRESSES, "Endpoints", later) == ([PLAIN], None)


class Cluster:
    """The store, Metacontroller's two caches that lag apart, and a mirroring controller that takes its time."""

    def __init__(self, random: Random, form: EndpointsForm) -> None:
        self.random = random
        self.now = NOW
        self.store: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self.history = [dict(self.store)]
        self.seen = {"Endpoints": 0, "EndpointSlice": 0}
        self.mirrored: dict[str, bool] = {}
        """Address -> ready, of the slices that the mirroring controller made."""
        self.begun = False
        self.settle(form)
        self.begun = True

    def with_earlier_endpoints(self) -> None:
        """Replaces the Endpoints by those of an earlier hook, and mirrors them."""
        version, _ = self.store["Endpoints", "api"]
        self.store["Endpoints", "api"] = (version, EARLIER)
        self.history[-1] = dict(self.store)
        self.mirrored = self.copied()

    def settle(self, form: EndpointsForm) -> None:
        """Syncs until nothing is left to do."""
        while self.fresh_sync(form) or self.mirror():
            pass
        self.now += HANDOVER
        while self.fresh_sync(form) or self.mirror():
            pass

    def fresh_sync(self, form: EndpointsForm) -> int:
        self.seen = dict.fromkeys(self.seen, len(self.history) - 1)
        return self.sync(form)

    def sync(self, form: EndpointsForm) -> int:
        """One sync by the caches: deletions first, then the rest in any order; updates are locked."""
        caches = {kind: self.history[self.look(kind)] for kind in self.seen}
        cache = {key: caches[key[0]][key] for kind in caches for key in caches[kind] if key[0] == kind}
        shown = {kind: {key[1]: one for key, (_, one) in cache.items() if key[0] == kind} for kind in caches}
        there = Observed(shown["Endpoints"], shown["EndpointSlice"], self.now)
        children = publish(PARENT, ADDRESSES, form, there).children
        desired = {(child["kind"], child["metadata"]["name"]): child for child in children}
        writes = sum(self.delete(key) for key in self.shuffled(cache.keys() - desired.keys()))
        return writes + sum(self.write(key, desired[key], cache) for key in self.shuffled(desired.keys()))

    def shuffled(self, keys: Any) -> list[tuple[str, str]]:
        return self.random.sample(sorted(keys), len(keys))

    def look(self, kind: str) -> int:
        self.seen[kind] = self.random.randint(self.seen[kind], len(self.history) - 1)
        return self.seen[kind]

    def delete(self, key: tuple[str, str]) -> bool:
        return self.store.pop(key, None) is not None and self.accepted()

    def write(self, key: tuple[str, str], child: dict[str, Any], cache: Mapping[tuple[str, str], Any]) -> bool:
        there, known = self.store.get(key), cache.get(key)
        if known == there and (known is None or known[1] != child):
            self.store[key] = (len(self.history), json.loads(json.dumps(child)))
            return self.accepted()
        return False

    def accepted(self) -> bool:
        self.history.append(dict(self.store))
        if self.random.random() < 0.5:
            self.mirror()
        self.check()
        return True

    def mirror(self) -> bool:
        before, self.mirrored = self.mirrored, self.copied()
        self.check()
        return before != self.mirrored

    def copied(self) -> dict[str, bool]:
        """Slices of the mirroring controller for the Endpoints: ready or not, and nothing else."""
        _, one = self.store.get(("Endpoints", "api"), (0, None))
        if one is None or endpoints.SKIP_MIRROR in one["metadata"]["labels"]:
            return {}
        lists = ((subset.get(name, ()), name == "addresses") for subset in one.get("subsets", ()) for name in LISTS)
        return {address["ip"]: is_ready for addresses, is_ready in lists for address in addresses}

    def ours(self, condition: str) -> set[str]:
        """The addresses of our slices with this condition."""
        slices = [one for (kind, _), (_, one) in self.store.items() if kind == "EndpointSlice"]
        found = [endpoint for one in slices for endpoint in one["endpoints"] if endpoint["conditions"][condition]]
        return {ip for endpoint in found for ip in endpoint["addresses"]}

    def check(self) -> None:
        mirrored = {ip for ip, is_ready in self.mirrored.items() if is_ready}
        assert not self.begun or self.ours("ready") | mirrored == READY, "a ready address is in no slice"

    def served_by_traefik(self) -> set[str]:
        """Traefik reads `serving` alone, and its absence as true."""
        return self.ours("serving") | {*self.mirrored}


LISTS = ("addresses", "notReadyAddresses")
FORMS: tuple[EndpointsForm, ...] = get_args(EndpointsForm)


@given(
    seed=st.integers(0, 2**32),
    forms=st.lists(st.sampled_from(FORMS), min_size=2, max_size=5),
    upgraded=st.booleans(),
)
@settings(max_examples=examples(100), deadline=None)
def test_switching_always_publishes_ready_addresses(seed: int, forms: list[EndpointsForm], upgraded: bool) -> None:
    """While a rollout lasts, hooks of both settings answer; the mirroring controller is up to 59 s behind.

    `upgraded`: an earlier hook made the first Endpoints.
    """
    random = Random(seed)
    cluster = Cluster(random, forms[0])
    if upgraded and forms[0] == "Endpoints":
        cluster.with_earlier_endpoints()
        assert DEAD in cluster.served_by_traefik()
    for old, new in pairwise(forms):
        for _ in range(random.randint(0, 12)):
            cluster.sync(random.choice([old, new]))
            cluster.now += timedelta(seconds=random.random())
        for _ in range(random.randint(1, 12)):
            cluster.sync(new)
            cluster.now += timedelta(seconds=random.choice([0.01, 3]))
        cluster.mirror()
        assert DEAD not in cluster.served_by_traefik(), "a dead address is served after the first syncs"
        cluster.settle(new)
        assert DEAD not in cluster.served_by_traefik()
    kinds = {"Endpoints": {"Endpoints"}, "EndpointSlice": {"EndpointSlice"}, "Both": {"Endpoints", "EndpointSlice"}}
    assert {kind for kind, _ in cluster.store} == kinds[forms[-1]]
    assert not cluster.fresh_sync(forms[-1])
