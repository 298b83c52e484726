"""The addresses of the playground: the loopback address that each one is mapped to, and those that names resolve to.

Pure functions, so that all processes have the same result without communication. No packet goes to the address itself.
"""

import socket
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from ipaddress import ip_address
from typing import Any

from playground.dns_server import Record

CLAIM_PORT = 46431


def dial(ip: str, shift: int = 0) -> str:
    """The loopback address that `ip` is mapped to: 10.0.100.10 -> 127.128.100.10; a loopback address to itself.

    IPv4 keeps its last two octets behind 127.128 to 127.254; IPv6 is hashed into 127.64.0.0/10. Neither is in
    127.0.0.0/10, where users' own servers listen. `shift` (0 to 63) is different for each playground on one machine.
    ValueError for what is not an IP address.
    """
    address = ip_address(ip)
    if address.is_loopback:
        return ip
    if address.version == 4:
        a, b, c, d = address.packed
        return f"127.{128 + ((a ^ b ^ 10) + shift) % 127}.{c}.{d}"
    a, b, c = blake2b(address.packed, digest_size=3).digest()
    return f"127.{64 + (a + shift) % 64}.{b}.{1 + c % 254}"


def shared(ips: Iterable[str]) -> dict[str, list[str]]:
    """The loopback addresses that several of these addresses are mapped to, with those addresses."""
    found: dict[str, list[str]] = {}
    for ip in dict.fromkeys(ips):
        found.setdefault(dial(ip), []).append(ip)
    return {there: several for there, several in found.items() if len(several) > 1}


def claim(most: int = 64) -> tuple[int, socket.socket]:
    """The first free shift on this machine, claimed until the socket is closed; OSError if all are taken."""
    for shift in range(most):
        mark = socket.socket()
        try:
            mark.bind((f"127.{64 + shift}.255.255", CLAIM_PORT))
        except OSError:
            mark.close()
        else:
            return shift, mark
    raise OSError(f"{most} playgrounds run on this machine already")


def stand_ins(name: str) -> tuple[str, ...]:
    """The addresses of a name: two of 10.30.0.0/16 and one of IPv6, made from a hash of the name."""
    high, low = blake2b(name.encode(), digest_size=2).digest()
    return f"10.30.{high}.{low & 254}", f"10.30.{high}.{low | 1}", f"2001:db8::30:{high * 256 + low:x}"


def resolved(spec: Mapping[str, Any]) -> list[str]:
    """The addresses of the hostnames of a spec, in its address families."""
    families = spec.get("addressFamilies") or ("IPv4", "IPv6")
    found = (ip for name in spec.get("hostnames") or () for ip in stand_ins(name))
    return [ip for ip in found if ("IPv6" if ":" in ip else "IPv4") in families]


def hostnames(parents: Iterable[Mapping[str, Any]]) -> list[str]:
    """The hostnames in the specs of some ExternalServices, each once."""
    return list(dict.fromkeys(name for parent in parents for name in parent["spec"].get("hostnames") or ()))


def records(parents: Iterable[Mapping[str, Any]]) -> dict[str, Record]:
    """The records of a DNS server for their hostnames."""
    return {name: Record(stand_ins(name), ttl=5) for name in hostnames(parents)}
