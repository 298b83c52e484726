"""Where the playground really connects to: every address that is not loopback has a stand-in on 127.0.0.0/8. Pure.

A function of the address alone, so that all processes agree without talking, also on addresses they have never heard
of: no packet ever goes to the address itself.
"""

from collections.abc import Iterable
from hashlib import blake2b
from ipaddress import ip_address


def dial(ip: str) -> str:
    """The loopback address that stands for `ip`: 10.0.100.10 -> 127.128.100.10; loopback addresses stay themselves.

    IPv4 keeps its last two octets behind 127.128 to 127.254; IPv6 is hashed into 127.64.0.0/10. Neither meets
    127.0.0.0/16, where people's own servers listen. ValueError for what is no IP address.
    """
    address = ip_address(ip)
    if address.is_loopback:
        return ip
    if address.version == 4:
        a, b, c, d = address.packed
        return f"127.{128 + (a ^ b ^ 10) % 127}.{c}.{d}"
    a, b, c = blake2b(address.packed, digest_size=3).digest()
    return f"127.{64 + a % 64}.{b}.{1 + c % 254}"


def shared(ips: Iterable[str]) -> dict[str, list[str]]:
    """The stand-ins that more than one of these addresses has, with those addresses: they live and die together."""
    found: dict[str, list[str]] = {}
    for ip in dict.fromkeys(ips):
        found.setdefault(dial(ip), []).append(ip)
    return {there: several for there, several in found.items() if len(several) > 1}
