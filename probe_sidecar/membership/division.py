"""All keys divided among the members: by rendezvous hashing, within bounds that keep the shares even (ADR 0066). Pure.

The oldest key chooses first, so that a new one moves none of those that are there.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from probe_sidecar.membership.ownership import ranks, weight

TOLERANCE = 15
"""Percent of the mean that a share may differ from it."""

FEW = 4
"""Keys that a share may differ from the mean in any case: of few keys, none is moved for the sake of balance."""

GRADES = 32
"""Bounds follow the number of keys in steps of one part in so many, or each new key would move others."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What each share may be while there are `fewest` to `most` keys in all: `least` to `greatest`."""

    fewest: int
    most: int
    least: int
    greatest: int


def bounds(keys: int, members: int) -> Bounds:
    """The bounds for so many keys among so many members, at least one of each."""
    fewest = 1
    while (step := fewest + max(1, fewest // GRADES)) <= keys:
        fewest = step
    most = step - 1
    least = min(_ceil((100 - TOLERANCE) * most, 100 * members), _ceil(most, members) - FEW)
    greatest = max((100 + TOLERANCE) * fewest // (100 * members), fewest // members + FEW)
    return Bounds(fewest, most, max(least, 0), greatest)


class Division:
    """Who owns which key. What it says depends on its members and keys alone, never on how they came to be."""

    def __init__(self) -> None:
        self._members: list[str] = []
        self._weights: dict[str, int] = {}
        self._favourites: dict[str, int] = {}
        self._owners: dict[str, str] = {}

    def owner(self, key: str) -> str | None:
        """None for a key that is not among those divided, or where there is no member."""
        return self._owners.get(key)

    def among(self, members: Collection[str]) -> None:
        """Divide the same keys among these."""
        self._members, self._favourites = sorted(members), {}
        self._divide(list(self._weights))

    def of(self, keys: Sequence[str]) -> None:
        """Divide these, the oldest first, among the same members."""
        held = self._weights
        self._weights = {key: held.get(key) or weight(key) for key in keys}
        self._divide(keys)

    def _divide(self, keys: Sequence[str]) -> None:
        if not self._members or not keys:
            self._owners, self._favourites = {}, {}
            return
        members = [weight(member) for member in self._members]
        places = _Places(bounds(len(keys), len(members)), [0] * len(members))
        favourites, self._favourites = self._favourites, {}
        self._owners = {}
        for key in keys:
            place = favourites.get(key)
            if place is None:
                scores = ranks(self._weights[key], members)
                place = scores.index(max(scores))
            self._favourites[key] = place
            if not places.take(place):
                place = next(filter(places.take, _by_rank(ranks(self._weights[key], members))))
            self._owners[key] = self._members[place]


@dataclass(slots=True)
class _Places:
    """Each member has `least` places of its own; what the first `fewest` keys may take beyond is a common `spare`."""

    bounds: Bounds
    taken: list[int]
    spare: int = field(init=False)
    keys: int = 0

    def __post_init__(self) -> None:
        self.spare = self.bounds.fewest - len(self.taken) * self.bounds.least

    def take(self, place: int) -> bool:
        """Whether the next key finds a place there. It finds one somewhere."""
        own = self.taken[place] < self.bounds.least
        late = self.keys >= self.bounds.fewest  # the oldest have seen to it that nobody has too little
        if not own and (self.taken[place] == self.bounds.greatest or (not late and self.spare == 0)):
            return False
        self.spare -= not own and not late
        self.taken[place] += 1
        self.keys += 1
        return True


def _by_rank(scores: Sequence[int]) -> Iterator[int]:
    return iter(sorted(range(len(scores)), key=scores.__getitem__, reverse=True))


def _ceil(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
