"""Where the playground really connects to: every address that is not loopback has a stand-in on 127.0.0.0/8. Pure.

A function of the address and one number, so that all processes agree without talking, also on addresses they have never
reached: no packet ever goes to the address itself.
"""

import socket
from collections.abc import Iterable
from hashlib import blake2b
from ipaddress import ip_address

CLAIM_PORT = 46431


def dial(ip: str, shift: int = 0) -> str:
    """The loopback address that represents `ip`: 10.0.100.10 -> 127.128.100.10; loopback addresses stay themselves.

    IPv4 keeps its last two octets behind 127.128 to 127.254; IPv6 is hashed into 127.64.0.0/10. Neither meets
    127.0.0.0/10, where people's own servers listen. `shift` (0 to 63) moves them, so that several playgrounds on one
    machine keep out of each other's way. ValueError for what is no IP address.
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
    """The stand-ins that more than one of these addresses has, with those addresses: they live and die together."""
    found: dict[str, list[str]] = {}
    for ip in dict.fromkeys(ips):
        found.setdefault(dial(ip), []).append(ip)
    return {there: several for there, several in found.items() if len(several) > 1}


def claim(most: int = 64) -> tuple[int, socket.socket]:
    """The first shift that no playground here has, held while the socket is open; OSError if all are taken."""
    for shift in range(most):
        mark = socket.socket()
        try:
            mark.bind((f"127.{64 + shift}.255.255", CLAIM_PORT))
        except OSError:
            mark.close()
        else:
            return shift, mark
    raise OSError(f"{most} playgrounds run on this machine already")
