"""How even the shares of the replicas are, what moves when replicas or objects come and go, and what it costs.

    python -m bench.division [--objects 1000] [--groups 20]

The figures of ADR 0066. Each row is a number of replicas; the groups and the objects are random but for the seed.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from statistics import mean, median
from time import process_time
from uuid import UUID

from tabulate import tabulate

from probe_sidecar.membership.division import Division, bounds
from probe_sidecar.membership.ownership import owner

REPLICAS = (2, 3, 4, 5, 8, 12, 16)
BEHIND = 10
"""Deletions that one replica has seen and another has not: so many objects would have two owners, or none."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.division", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--objects", type=int, default=1_000)
    parser.add_argument("--groups", type=int, default=20)
    options = parser.parse_args()
    rows = [row(count, options.objects, options.groups) for count in REPLICAS]
    print(tabulate(rows, headers="keys", floatfmt=".1f"))
    print()
    print(tabulate([costs(objects, 16) for objects in (1_000, 10_000)], headers="keys", floatfmt=".1f"))


def row(count: int, objects: int, groups: int) -> dict[str, float]:
    """The means of all groups of so many replicas, but for the deviations: median and largest."""
    found = [figures(count, objects, Random(f"{count} {seed}")) for seed in range(groups)]
    plain, even = [one.pop("plain") for one in found], [one.pop("even") for one in found]
    return {
        "replicas": count,
        "plain %": median(plain),
        "max": max(plain),
        "bounded %": median(even),
        "max ": max(even),
        **{name: mean(one[name] for one in found) for name in found[0]},
    }


def figures(count: int, objects: int, random: Random) -> dict[str, float]:
    """Of one group. join, leave: objects moved beyond the joiner's and the leaver's own; the rest: objects moved."""
    top = bounds(objects, count).most
    members = [f"probe-sidecar-eso-5d8c9f7b6-{random.getrandbits(25):07x}" for _ in range(count + 1)]
    keys = [str(UUID(int=random.getrandbits(128), version=4)) for _ in range(top + 1)]
    whole, group = keys[:objects], members[:-1]
    before, joined, left = (divided(whole, some) for some in (group, members, group[:-1]))
    under, at, over = (divided(keys[:number], group) for number in (top - 1, top, top + 1))
    deleted = set(random.sample(whole, BEHIND))
    return {
        "plain": deviation({key: owner(key, group) for key in whole}, group),
        "even": deviation(before, group),
        "join": sum(joined[key] != members[-1] for key in moved(before, joined)),
        "leave": sum(before[key] != group[-1] for key in moved(before, left)),
        "creation": len(moved(under, at)),
        "grade": len(moved(at, over)),
        "deletion": len(moved(before, divided(whole[:500] + whole[501:], group))),
        "10 deletions": len(moved(before, divided([key for key in whole if key not in deleted], group))),
    }


def divided(keys: Sequence[str], members: Collection[str]) -> dict[str, str | None]:
    """Who owns each key."""
    division = Division()
    division.of(keys)
    division.among(members)
    return {key: division.owner(key) for key in keys}


def moved(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> list[str]:
    """Of the keys that are in both."""
    return [key for key in before if key in after and before[key] != after[key]]


def deviation(owners: Mapping[str, str | None], members: Iterable[str]) -> float:
    """The largest of all shares, in percent of the mean."""
    shares, group = Counter(owners.values()), list(members)
    even = len(owners) / len(group)
    return max(abs(shares[member] / even - 1) for member in group) * 100


def costs(objects: int, count: int) -> dict[str, float]:
    """CPU of what happens, in ms, the least of five."""
    random = Random(objects)
    members = [f"probe-sidecar-eso-5d8c9f7b6-{random.getrandbits(25):07x}" for _ in range(count)]
    keys = [str(UUID(int=random.getrandbits(128), version=4)) for _ in range(objects)]
    joins, deletions = [], []
    for _ in range(5):
        division = Division()
        division.of(keys)
        division.among(members[1:])
        joins.append(cpu(partial(division.among, members)))
        deletions.append(cpu(partial(division.of, keys[1:])))
    return {"objects": objects, "replicas": count, "a join, ms": min(joins), "a deletion, ms": min(deletions)}


def cpu(step: Callable[[], None]) -> float:
    """Milliseconds of this process."""
    began = process_time()
    step()
    return (process_time() - began) * 1e3


if __name__ == "__main__":
    main()
