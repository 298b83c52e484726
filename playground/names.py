"""What names come to in the playground: addresses made of the name itself, so that all processes agree. Pure."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from playground.dns_server import Record


def stand_ins(name: str) -> tuple[str, ...]:
    """Two IPv4 addresses of 10.30.0.0/16 and one of IPv6, the same each time."""
    high, low = blake2b(name.encode(), digest_size=2).digest()
    return f"10.30.{high}.{low & 254}", f"10.30.{high}.{low | 1}", f"2001:db8::30:{high * 256 + low:x}"


def resolved(spec: Mapping[str, Any]) -> list[str]:
    """What the names of a spec come to, in the address families that it asks for."""
    families = spec.get("addressFamilies") or ("IPv4", "IPv6")
    found = (ip for name in spec.get("hostnames") or () for ip in stand_ins(name))
    return [ip for ip in found if ("IPv6" if ":" in ip else "IPv4") in families]


def hostnames(parents: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names in the specs of some ExternalServices, each once."""
    return list(dict.fromkeys(name for parent in parents for name in parent["spec"].get("hostnames") or ()))


def records(parents: Iterable[Mapping[str, Any]]) -> dict[str, Record]:
    """What a DNS server has to know of them."""
    return {name: Record(stand_ins(name), ttl=5) for name in hostnames(parents)}
