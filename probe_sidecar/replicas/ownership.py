"""Which replica owns a key: rendezvous hashing (Thaler and Ravishankar, 1998). Pure, the same on every machine.

Every replica ranks every key by a hash of both; the highest rank wins. A replica that leaves hands over only its own
keys, and one that joins takes only the keys that it wins. ADR 10 says how much the shares vary.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

PRIME = 2**61 - 1
"""Products modulo a prime scatter evenly, and cost a tenth of a hash for each pair of key and replica."""


def weights(replicas: Iterable[str]) -> dict[str, int]:
    """The weight of each replica, to be computed once for many calls of `owner`."""
    return {replica: _weight(replica) for replica in replicas}


def owner(key: str, replicas: Mapping[str, int]) -> str:
    """The replica that owns `key`; `replicas` are at least one with their weights, in any order."""
    weight = _weight(key)
    return max(replicas, key=lambda replica: (weight * replicas[replica] % PRIME, replica))


def _weight(name: str) -> int:
    """1 to PRIME - 1; the same on any machine and in any Python (`hash` is not)."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) % (PRIME - 1) + 1
