"""Which addresses are published, and how."""

from collections.abc import Callable
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


def known(ip: str, *, ready: bool, reason: Reason, serving: bool | None = None) -> AddressStatus:
    return AddressStatus(ip=ip, ready=ready, reason=reason, lastTransitionTime=TIME, serving=serving)


def up(ip: str) -> AddressStatus:
    return known(ip, ready=True, reason="ProbeSucceeded")


def down(ip: str) -> AddressStatus:
    return known(ip, ready=False, reason="ProbeFailed")


def pending(ip: str) -> AddressStatus:
    return known(ip, ready=False, reason="Pending")


def spec(
    *ips: str, disabled: tuple[str, ...] = (), min_ready: int | str = 0, probe: Probe | None = PROBE
) -> ExternalServiceSpec:
    return ExternalServiceSpec(port=80, ips=ips, readinessProbe=probe, disabledIPs=disabled, minReady=min_ready)


def published(wish: ExternalServiceSpec, *states: AddressStatus) -> Publication:
    return publication(wish, {state.ip: state for state in states}, POLICY)


def healthy(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, True, True, False)


def unhealthy(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, False, False, False)


def drained(ip: str, *, serving: bool) -> PublishedAddress:
    return PublishedAddress(ip, False, serving, True)


@cases(
    "wish states addresses failing_open",
    ("no addresses", spec(), (), (), False),
    ("no probe: all ready", spec(A, B, probe=None), (), (healthy(A), healthy(B)), False),
    ("no probe: an old result counts no more", spec(A, probe=None), (down(A),), (healthy(A),), False),
    ("nothing known yet: not ready", spec(A, B), (), (unhealthy(A), unhealthy(B)), False),
    ("as the probe says", spec(A, B), (up(A), down(B)), (healthy(A), unhealthy(B)), False),
    ("in the order of the spec", spec(B, A), (up(A), down(B)), (unhealthy(B), healthy(A)), False),
    ("a duplicate once", spec(A, B, A), (up(A), up(B)), (healthy(A), healthy(B)), False),
    ("refused ones are left out", spec(A, "127.0.0.1", "x"), (up(A),), (healthy(A),), False),
    (
        "drained and healthy: a last resort",
        spec(A, B, disabled=(B,)),
        (up(A), known(B, ready=False, reason="Disabled", serving=True)),
        (healthy(A), drained(B, serving=True)),
        False,
    ),
    (
        "drained and dead: none",
        spec(A, B, disabled=(B,)),
        (up(A), known(B, ready=False, reason="Disabled", serving=False)),
        (healthy(A), drained(B, serving=False)),
        False,
    ),
    ("drained just now", spec(A, B, disabled=(B,)), (up(A), up(B)), (healthy(A), drained(B, serving=True)), False),
    ("drained without a probe", spec(A, disabled=(A,), probe=None), (), (drained(A, serving=True),), False),
    (
        "enabled again: its health counts at once",
        spec(A),
        (known(A, ready=False, reason="Disabled", serving=True),),
        (healthy(A),),
        False,
    ),
    ("by default fail closed", spec(A, B), (down(A), down(B)), (unhealthy(A), unhealthy(B)), False),
    ("fewer than asked: fail open", spec(A, B, min_ready=1), (down(A), down(B)), (healthy(A), healthy(B)), True),
    ("as many as asked", spec(A, B, min_ready=1), (up(A), down(B)), (healthy(A), unhealthy(B)), False),
    ("a share, rounded up", spec(A, B, min_ready="51%"), (up(A), down(B)), (healthy(A), healthy(B)), True),
    (
        "one without a result does not open the gate",
        spec(A, B, min_ready=2),
        (up(A), pending(B)),
        (healthy(A), unhealthy(B)),
        False,
    ),
    (
        "nor does it close it",
        spec(A, B, C, min_ready=2),
        (down(A), down(B), pending(C)),
        (healthy(A), healthy(B), healthy(C)),
        True,
    ),
    (
        "more than there are enabled asks for all of these",
        spec(A, B, C, disabled=(C,), min_ready=3),
        (up(A), up(B), known(C, ready=False, reason="Disabled", serving=True)),
        (healthy(A), healthy(B), drained(C, serving=True)),
        False,
    ),
    (
        "failing open leaves drained ones drained",
        spec(A, B, disabled=(B,), min_ready=1),
        (down(A), known(B, ready=False, reason="Disabled", serving=True)),
        (healthy(A), drained(B, serving=True)),
        True,
    ),
    (
        "all drained: nothing to open",
        spec(A, disabled=(A,), min_ready=1),
        (known(A, ready=False, reason="Disabled", serving=True),),
        (drained(A, serving=True),),
        False,
    ),
)
def test_published_addresses(
    wish: ExternalServiceSpec,
    states: tuple[AddressStatus, ...],
    addresses: tuple[PublishedAddress, ...],
    failing_open: bool,
) -> None:
    assert published(wish, *states) == Publication(addresses, failing_open)


def test_resolved_addresses_follow_those_of_the_spec() -> None:
    states = {A: down(A), B: up(B), C: pending(C)}
    wish = spec(A, disabled=(C,))
    assert publication(wish, states, POLICY, (C, B, A)) == Publication(
        (unhealthy(A), drained(C, serving=False), healthy(B)), False
    )
    assert publication(spec(A, min_ready=2), states, POLICY, (B,)).failing_open
    assert publication(spec(probe=None), {}, POLICY, (B, "127.0.0.1")).addresses == (healthy(B),)


def test_removed_hostname_or_family_removes_its_addresses() -> None:
    told = [up(A), replace(up(B), hostname="old.example"), replace(up(C), hostname="db.io")]
    assert resolved_by(spec(A).model_copy(update={"hostnames": ("db.io",)}), told) == {C: "db.io"}
    assert resolved_by(spec(A), told) == {}
    told = [replace(up(one), hostname="db.io") for one in (A, "2001:db8::1")]
    wanted = spec().model_copy(update={"hostnames": ("db.io",), "addressFamilies": ("IPv6",)})
    assert resolved_by(wanted, told) == {"2001:db8::1": "db.io"}


ips = st.sampled_from([A, B, C, "2001:db8::10", "127.0.0.1", "no address"])
verdicts = st.dictionaries(ips, st.sampled_from([up, down, pending]))
shares = st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda share: f"{share}%"))


@given(st.lists(ips), st.lists(ips), shares, verdicts)
def test_publication_invariants(
    wanted: list[str], disabled: list[str], min_ready: int | str, told: dict[str, Callable[[str], AddressStatus]]
) -> None:
    states = {ip: verdict(ip) for ip, verdict in told.items()}
    wish = spec(*wanted, disabled=tuple(disabled), min_ready=min_ready)
    result = publication(wish, states, POLICY)
    names = [address.ip for address in result.addresses]
    assert names == [ip for ip in dict.fromkeys(wanted) if ip not in ("127.0.0.1", "no address")]
    for address in result.addresses:
        well = address.ip in states and states[address.ip].ready
        if address.ip in disabled:
            assert address == drained(address.ip, serving=well)
        else:
            assert address == (healthy(address.ip) if well or result.failing_open else unhealthy(address.ip))
    assert not (result.failing_open and min_ready in (0, "0%"))
