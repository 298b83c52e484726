"""Which addresses are published, and how."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from external_service.core import Probe, TCPSocketAction
from external_service.kind import Reason
from external_service.policy import AddressPolicy
from external_service.readiness import Publication, PublishedAddress, publication, resolved_by
from external_service.v1alpha1 import AddressStatus, ExternalServiceSpec
from tests.cases import cases

TIME = "2026-01-01T00:00:00Z"
PROBE = Probe(tcpSocket=TCPSocketAction(port=80))
POLICY = AddressPolicy()
A, B, C = "10.0.100.10", "10.0.100.11", "10.0.100.12"
RESULTS: dict[str, tuple[bool, Reason, bool | None]] = {
    "+": (True, "ProbeSucceeded", None),
    "-": (False, "ProbeFailed", None),
    "?": (False, "Pending", None),
    "~+": (False, "Disabled", True),
    "~-": (False, "Disabled", False),
}
PUBLISHED = {
    "+": (True, True, False),
    "-": (False, False, False),
    "~+": (False, True, True),
    "~-": (False, False, True),
}
"""A drained address ("~") is healthy or not."""


def status(ip: str, mark: str) -> AddressStatus:
    ready, reason, serving = RESULTS[mark]
    return AddressStatus(ip=ip, ready=ready, reason=reason, lastTransitionTime=TIME, serving=serving)


def address(ip: str, mark: str) -> PublishedAddress:
    return PublishedAddress(ip, *PUBLISHED[mark])


def marks(text: str) -> list[tuple[str, str]]:
    """`a+ c~-` are A and C, each with its mark."""
    return [({"a": A, "b": B, "c": C}[one[0]], one[1:]) for one in text.split()]


def known(text: str) -> dict[str, AddressStatus]:
    return {ip: status(ip, mark) for ip, mark in marks(text)}


def published(text: str, *, failing_open: bool = False) -> Publication:
    return Publication(tuple(address(*one) for one in marks(text)), failing_open)


def spec(
    *ips: str, disabled: tuple[str, ...] = (), min_ready: int | str = 0, probe: Probe | None = PROBE
) -> ExternalServiceSpec:
    return ExternalServiceSpec(port=80, ips=ips, readinessProbe=probe, disabledIPs=disabled, minReady=min_ready)


@cases(
    "wish states addresses failing_open",
    ("no addresses", spec(), "", "", False),
    ("no probe: all ready", spec(A, B, probe=None), "", "a+ b+", False),
    ("no probe: an old result counts no more", spec(A, probe=None), "a-", "a+", False),
    ("nothing known yet: not ready", spec(A, B), "", "a- b-", False),
    ("as the probe says", spec(A, B), "a+ b-", "a+ b-", False),
    ("in the order of the spec", spec(B, A), "a+ b-", "b- a+", False),
    ("a duplicate once", spec(A, B, A), "a+ b+", "a+ b+", False),
    ("refused ones are left out", spec(A, "127.0.0.1", "x"), "a+", "a+", False),
    ("drained and healthy: a last resort", spec(A, B, disabled=(B,)), "a+ b~+", "a+ b~+", False),
    ("drained and dead: none", spec(A, B, disabled=(B,)), "a+ b~-", "a+ b~-", False),
    ("drained just now", spec(A, B, disabled=(B,)), "a+ b+", "a+ b~+", False),
    ("drained without a probe", spec(A, disabled=(A,), probe=None), "", "a~+", False),
    ("enabled again: its health counts at once", spec(A), "a~+", "a+", False),
    ("by default fail closed", spec(A, B), "a- b-", "a- b-", False),
    ("fewer than asked: fail open", spec(A, B, min_ready=1), "a- b-", "a+ b+", True),
    ("as many as asked", spec(A, B, min_ready=1), "a+ b-", "a+ b-", False),
    ("a share, rounded up", spec(A, B, min_ready="51%"), "a+ b-", "a+ b+", True),
    ("one without a result does not open the gate", spec(A, B, min_ready=2), "a+ b?", "a+ b-", False),
    ("nor does it close it", spec(A, B, C, min_ready=2), "a- b- c?", "a+ b+ c+", True),
    ("not more than are enabled", spec(A, B, C, disabled=(C,), min_ready=3), "a+ b+ c~+", "a+ b+ c~+", False),
    ("failing open leaves drained ones", spec(A, B, disabled=(B,), min_ready=1), "a- b~+", "a+ b~+", True),
    ("all drained: nothing to open", spec(A, disabled=(A,), min_ready=1), "a~+", "a~+", False),
)
def test_published_addresses(wish: ExternalServiceSpec, states: str, addresses: str, failing_open: bool) -> None:
    assert publication(wish, known(states), POLICY) == published(addresses, failing_open=failing_open)


def test_resolved_addresses_follow_those_of_the_spec() -> None:
    states = known("a- b+ c?")
    assert publication(spec(A, disabled=(C,)), states, POLICY, (C, B, A)) == published("a- c~- b+")
    assert publication(spec(A, min_ready=2), states, POLICY, (B,)).failing_open
    assert publication(spec(probe=None), {}, POLICY, (B, "127.0.0.1")) == published("b+")


def test_removed_hostname_or_family_removes_its_addresses() -> None:
    told = [status(A, "+"), replace(status(B, "+"), hostname="old.example"), replace(status(C, "+"), hostname="db.io")]
    assert resolved_by(spec(A).model_copy(update={"hostnames": ("db.io",)}), told) == {C: "db.io"}
    assert resolved_by(spec(A), told) == {}
    told = [replace(status(one, "+"), hostname="db.io") for one in (A, "2001:db8::1")]
    wanted = spec().model_copy(update={"hostnames": ("db.io",), "addressFamilies": ("IPv6",)})
    assert resolved_by(wanted, told) == {"2001:db8::1": "db.io"}


ips = st.sampled_from([A, B, C, "2001:db8::10", "127.0.0.1", "no address"])
verdicts = st.dictionaries(ips, st.sampled_from("+-?"))
shares = st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda share: f"{share}%"))


@given(st.lists(ips), st.lists(ips), shares, verdicts)
def test_publication_invariants(
    wanted: list[str], disabled: list[str], min_ready: int | str, told: dict[str, str]
) -> None:
    states = {ip: status(ip, mark) for ip, mark in told.items()}
    wish = spec(*wanted, disabled=tuple(disabled), min_ready=min_ready)
    result = publication(wish, states, POLICY)
    names = [one.ip for one in result.addresses]
    assert names == [ip for ip in dict.fromkeys(wanted) if ip not in ("127.0.0.1", "no address")]
    for one in result.addresses:
        well = told.get(one.ip) == "+"
        drained, health = "~" if one.ip in disabled else "", "+" if well else "-"
        assert one == address(one.ip, drained + ("+" if result.failing_open and not drained else health))
    assert not (result.failing_open and min_ready in (0, "0%"))
