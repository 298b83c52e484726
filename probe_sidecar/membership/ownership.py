"""Who of the members owns a key: rendezvous hashing (Thaler and Ravishankar, 1998). Pure, the same on every machine.

Every member ranks every key by a hash of both; the highest wins. A member that leaves hands on only its own keys, and
one that joins takes only what it wins, in equal shares from all. ADR 0061 tells how evenly.
"""

from collections.abc import Collection
from hashlib import blake2b


def owner(key: str, members: Collection[str]) -> str:
    """The member that owns `key`; `members` holds at least one, in any order."""
    return max(members, key=lambda member: (_score(key, member), member))


def _score(key: str, member: str) -> bytes:
    """64 bits that any machine and any Python computes alike (`hash` would not)."""
    return blake2b(f"{member}\n{key}".encode(), digest_size=8).digest()
