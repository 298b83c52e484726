"""Results speak only when they change."""

from external_service.v1alpha1 import AddressStatus
from probe_sidecar.prober.results import Results


def address(ready: bool) -> AddressStatus:
    return AddressStatus(
        ip="10.0.100.10", ready=ready, reason="ProbeSucceeded", lastTransitionTime="2026-01-01T00:00:00Z"
    )


def heard() -> tuple[Results, list[str]]:
    results, calls = Results(), list[str]()
    results.listen(calls.append)
    return results, calls


def test_a_change_is_told_and_a_repetition_is_not() -> None:
    results, calls = heard()
    for ready in (True, True, False):
        results.put("u", address(ready))
    assert calls == ["u", "u"]
    assert results.get("u") == {"10.0.100.10": address(False)}


def test_an_address_that_leaves_is_told_once() -> None:
    results, calls = heard()
    results.put("u", address(True))
    results.drop("u", "10.0.100.10")
    results.drop("u", "10.0.100.10")
    assert calls == ["u", "u"]
    assert results.get("u") == {}


def test_a_forgotten_parent_is_silent() -> None:
    results, calls = heard()
    results.put("u", address(True))
    results.forget("u")
    assert (calls, results.get("u")) == (["u"], {})
