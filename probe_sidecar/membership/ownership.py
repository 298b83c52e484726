"""Who of the members owns a key: rendezvous hashing (Thaler and Ravishankar, 1998). Pure, the same on every machine.

Every member ranks every key by a hash of both; the highest wins. A member that leaves hands on only its own keys, and
one that joins takes only what it wins, in equal shares from all. How shares are kept even: `division`, ADR 0066.
"""

from collections.abc import Collection, Sequence
from hashlib import blake2b

PRIME = 2**61 - 1
"""Products modulo a prime scatter evenly, and cost a tenth of a hash for each pair of key and member."""


def owner(key: str, members: Collection[str]) -> str:
    """The member that owns `key`; `members` holds at least one, in any order."""
    ranked = sorted(members)
    scores = ranks(weight(key), [weight(member) for member in ranked])
    return ranked[scores.index(max(scores))]


def weight(name: str) -> int:
    """1 to PRIME - 1; any machine and any Python computes it alike (`hash` would not)."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) % (PRIME - 1) + 1


def ranks(key: int, members: Sequence[int]) -> list[int]:
    """How the members rank a key, both by their weights."""
    return [key * member % PRIME for member in members]
