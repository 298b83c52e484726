"""Which addresses may be published and probed, and the messages for the others."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from external_service.policy import PRESETS, AddressPolicy, Network, embedded
from tests.cases import cases

ANYTHING = AddressPolicy()
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


NO_ADDRESS = "is not an IP address: write one like 10.0.100.10 or 2001:db8::10"
CANONICAL = "is not in canonical form: write"
MAPPED = "is an IPv4-mapped IPv6 address: write 10.0.0.1"
REACHED = "address: write one that the cluster's nodes reach"


@cases(
    "ips text",
    ("no address", ["", "www.example.com", "10.0.0.1:80", "10.0.0.0/24", "010.0.0.1", "10.0.0.1\n"], NO_ADDRESS),
    ("a zone", ["fe80::1%eth0"], "carries a zone: write it without %eth0"),
    ("IPv4-mapped", ["::ffff:10.0.0.1", "::ffff:a00:1"], MAPPED),
    ("upper case, too long", ["2001:DB8::1", "2001:db8:0::1"], f"{CANONICAL} 2001:db8::1"),
    ("unspecified", ["0.0.0.0", "::"], f"is the unspecified {REACHED}"),
    ("loopback", ["127.0.0.1", "::1"], f"is a loopback {REACHED}"),
    ("link-local", ["169.254.169.254", "fe80::1"], f"is a link-local {REACHED}"),
    ("broadcast", ["255.255.255.255"], f"is the broadcast {REACHED}"),
    ("multicast", ["224.0.0.1", "ff02::1"], f"is a multicast {REACHED}"),
    ("site-local", ["fec0::1"], f"is a site-local {REACHED}"),
)
def test_refused_address_has_a_message(ips: list[str], text: str) -> None:
    for ip in ips:
        assert ANYTHING.refusal(ip) == (f'"{ip}" {text}' if text is NO_ADDRESS else f"{ip} {text}")


TEN, CLUSTER, LOCAL = ip_network("10.0.0.0/8"), ip_network("10.96.0.0/12"), ip_network("fd00::/8")
DENIED = "lies in a range that this cluster's operator denies"
OUTSIDE = "lies outside the ranges that this cluster's operator allows"


@cases(
    "policy refused accepted",
    ("denied", AddressPolicy(deny=(CLUSTER, LOCAL)), {"10.96.0.1": DENIED, "fd00::1": DENIED}, "10.112.0.0"),
    ("allowed", AddressPolicy(allow=(TEN,)), {"11.0.0.0": OUTSIDE, "2001:db8::1": OUTSIDE}, "10.255.255.255"),
    ("both", AddressPolicy(allow=(TEN,), deny=(CLUSTER,)), {"10.96.0.1": DENIED}, "10.0.0.1"),
)
def test_policy_denies_before_it_allows(policy: AddressPolicy, refused: dict[str, str], accepted: str) -> None:
    assert {ip: policy.refusal(ip) for ip in refused} == {ip: f"{ip} {text}" for ip, text in refused.items()}
    assert policy.refusal(accepted) is None


def test_special_addresses_in_an_allowed_range_are_refused() -> None:
    assert AddressPolicy(allow=(ip_network("0.0.0.0/0"),)).refusal("169.254.169.254") is not None


@cases(
    "ip inner",
    ("compatible", "::7f00:1", "127.0.0.1"),
    ("translated", "::ffff:0:7f00:1", "127.0.0.1"),
    ("NAT64", "64:ff9b::a9fe:a9fe", "169.254.169.254"),
    ("local NAT64", "64:ff9b:1::7f00:1", "127.0.0.1"),
    ("local NAT64 of 48 bits", "64:ff9b:1:7f00:0:100::", "127.0.0.1"),
    ("6to4", "2002:a9fe:a9fe::1", "169.254.169.254"),
    ("Teredo server", "2001:0:7f00:1::", "127.0.0.1"),
    ("Teredo client", "2001:0:a00:1::80ff:fffe", "127.0.0.1"),
    ("ISATAP", "2001:db8::5efe:7f00:1", "127.0.0.1"),
    ("multicast", "64:ff9b::e000:1", "224.0.0.1"),
    ("broadcast", "64:ff9b::ffff:ffff", "255.255.255.255"),
    ("unspecified", "64:ff9b::", "0.0.0.0"),
)
def test_embedded_ipv4_address_is_evaluated(ip: str, inner: str) -> None:
    problem = ANYTHING.refusal(inner)
    assert problem is not None
    assert ANYTHING.refusal(ip) == f"{ip} carries an IPv4 address: {problem}"


def test_denied_ipv4_range_is_denied_inside_ipv6() -> None:
    policy = AddressPolicy(deny=(ip_network("10.96.0.0/12"), ip_network("fd00::/8")))
    for ip in ("::a60:1", "64:ff9b::a60:1", "2002:a60:1::1", "2001:0:a60:1::", "2001:db8::5efe:a60:1"):
        text = f"{ip} carries an IPv4 address: 10.96.0.1 lies in a range that this cluster's operator denies"
        assert policy.refusal(ip) == text
    assert policy.refusal("64:ff9b::a70:1") is None
    assert AddressPolicy(allow=(ip_network("64:ff9b::/96"),)).refusal("64:ff9b::a60:1") is None


@given(addresses)
def test_only_special_addresses_are_refused(address: IPv4Address | IPv6Address) -> None:
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    broadcast = address == IPv4Address("255.255.255.255")
    kinds = (address.is_loopback, address.is_unspecified, address.is_link_local, address.is_multicast, broadcast)
    special = mapped or any(kinds) or (isinstance(address, IPv6Address) and (address.is_site_local or _inner(address)))
    assert (ANYTHING.refusal(str(address)) is not None) == special


def _inner(address: IPv6Address) -> bool:
    """Whether the address carries a refused IPv4 address."""
    return any(ANYTHING.refusal(str(one)) is not None for one in embedded(address))


@pytest.mark.parametrize("network", [one for preset in PRESETS.values() for one in preset], ids=str)
def test_preset_denies_its_addresses(network: Network) -> None:
    address = str(network.network_address)
    assert AddressPolicy().refusal(address) is None, "else the preset would do nothing"
    assert AddressPolicy(deny=PRESETS["metadata"]).refusal(address) is not None
