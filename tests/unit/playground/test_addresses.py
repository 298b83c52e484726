"""Each address maps to one on loopback, the same in every process, and apart from addresses that local servers use."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from playground.addresses import claim, dial, shared

LOOPBACK = IPv4Network("127.0.0.0/8")
PEOPLES = IPv4Network("127.0.0.0/10")


def test_address_mapping_examples() -> None:
    assert dial("10.0.100.10") == "127.128.100.10"
    assert dial("192.168.1.5") == "127.226.1.5"
    assert dial("127.0.0.1") == "127.0.0.1"
    assert dial("::1") == "::1"
    assert dial("2001:db8::10") == dial("2001:0db8::0010")


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 63))
def test_mapped_addresses_are_loopback(address: IPv4Address | IPv6Address, shift: int) -> None:
    there = dial(str(address), shift)
    if not address.is_loopback:
        assert IPv4Address(there) in LOOPBACK
        assert IPv4Address(there) not in PEOPLES
        assert there != "127.255.255.255"


def test_colliding_addresses_are_reported() -> None:
    ips = ["10.0.1.1", "10.127.1.1", "10.0.1.2"]
    assert shared(ips) == {"127.128.1.1": ["10.0.1.1", "10.127.1.1"]}
    assert shared(["10.0.1.1", "10.0.1.1"]) == {}


def test_concurrent_playgrounds_use_different_addresses() -> None:
    first, mark = claim()
    second, other = claim()
    mark.close()
    third, again = claim()
    other.close()
    again.close()
    assert (second > first, third) == (True, first)
    assert dial("10.0.100.10", 1) == "127.129.100.10"
