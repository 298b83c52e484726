"""Which addresses may be published and probed at all: one pure function for hook and sidecar.

An IPv6 address that carries an IPv4 address is judged as both.

The built-in refusals are those of the API server (kubernetes:pkg/apis/core/validation ValidateEndpointIP), which
would otherwise refuse the whole Endpoints object for one bad address.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

PRESETS: dict[str, tuple[Network, ...]] = {
    "metadata": (
        IPv4Network("100.100.100.200"),  # Alibaba Cloud
        IPv4Network("168.63.129.16"),  # Azure
        IPv4Network("192.0.0.192"),  # Oracle Cloud, classic
        IPv6Network("fd00:ec2::254"),  # AWS
        IPv6Network("fd20:ce::254"),  # Google Cloud
        IPv6Network("fd00:42::42"),  # Scaleway
    )
}
"""Ranges to deny by name. Metadata services hand out credentials; most have link-local addresses, refused anyway."""

IN_DENIED_RANGE = "lies in a range that this cluster's operator denies"
OUTSIDE_ALLOWED_RANGES = "lies outside the ranges that this cluster's operator allows"
"""Behind an address; the ValidatingAdmissionPolicy says the same (helm: files/address-policy.yaml)."""

BROADCAST = IPv4Address("255.255.255.255")

EMBEDDING: dict[str, IPv6Network] = {
    "IPv4-compatible": IPv6Network("::/96"),
    "IPv4-translated": IPv6Network("::ffff:0:0:0/96"),
    "NAT64": IPv6Network("64:ff9b::/96"),
    "6to4": IPv6Network("2002::/16"),
}
"""Ranges whose addresses carry an IPv4 address right behind the prefix (RFC 4291, 7915, 6052, 3056). A packet to one of
them can arrive at that IPv4 address. `embedded` handles more forms, which no prefix describes."""

SPECIAL_IPV4 = ("0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32")
SITE_LOCAL = IPv6Network("fec0::/10")

_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


@dataclass(frozen=True)
class AddressPolicy:
    """`allow` empty means everything; `deny` wins over it. `loopback` is for one's own machine, never a cluster."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    loopback: bool = False

    @cached_property
    def refusal(self) -> Callable[[str], str | None]:
        """Why an address may be neither published nor probed, with what to write instead; None when it may."""
        return lru_cache(maxsize=4_096)(lambda ip: form_refusal(ip) or self._range_refusal(ip_address(ip)))

    def _range_refusal(self, address: IPv4Address | IPv6Address) -> str | None:
        problem = _own_refusal(address, self)
        if problem or isinstance(address, IPv4Address) or address.is_loopback:
            return problem
        carried = replace(self, allow=())
        problems = (_own_refusal(inner, carried) for inner in embedded(address))
        return next((f"{address} carries an IPv4 address: {found}" for found in problems if found), None)


def form_refusal(ip: str) -> str | None:
    """Why `ip` is not an address in the required form, whatever its range; None when it is."""
    try:
        address = ip_address(ip)
    except ValueError:
        return f'"{ip}" is not an IP address: write one like 10.0.100.10 or 2001:db8::10'
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return f"{ip} carries a zone: write it without %{address.scope_id}"
        if address.ipv4_mapped:
            return f"{ip} is an IPv4-mapped IPv6 address: write {address.ipv4_mapped}"
    if str(address) != ip:
        return f"{ip} is not in canonical form: write {address}"
    return None


def embedding(prefix: IPv6Network, network: IPv4Network) -> IPv6Network:
    """The part of one of EMBEDDING whose addresses carry an IPv4 address of `network`."""
    length = prefix.prefixlen + network.prefixlen
    bits = int(network.network_address) << (96 - prefix.prefixlen)
    return IPv6Network((int(prefix.network_address) | bits, length))


def embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that it carries. Local NAT64 (RFC 8215) is read as /48 and /96, Teredo has two (RFC 4380)."""
    octets = address.packed
    for prefix in EMBEDDING.values():
        if address in prefix:
            start = prefix.prefixlen // 8
            yield IPv4Address(octets[start : start + 4])
    if address in _LOCAL_NAT64:
        yield IPv4Address(octets[12:] if any(octets[11:]) else octets[6:8] + octets[9:11])
    yield from address.teredo or ()
    if octets[8:12] in _ISATAP:
        yield IPv4Address(octets[12:])


def _own_refusal(address: IPv4Address | IPv6Address, policy: AddressPolicy) -> str | None:
    if address.is_loopback:
        return None if policy.loopback else f"{address} is a loopback address: write one that the cluster's nodes reach"
    for refused, kind in (
        (address.is_unspecified, "the unspecified address"),
        (address.is_link_local, "a link-local address"),
        (address in SITE_LOCAL, "a site-local address"),
        (address.is_multicast, "a multicast address"),
        (address == BROADCAST, "the broadcast address"),
    ):
        if refused:
            return f"{address} is {kind}: write one that the cluster's nodes reach"
    if any(address in network for network in policy.deny):
        return f"{address} {IN_DENIED_RANGE}"
    if policy.allow and not any(address in network for network in policy.allow):
        return f"{address} {OUTSIDE_ALLOWED_RANGES}"
    return None
