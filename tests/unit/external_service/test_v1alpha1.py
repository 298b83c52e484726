"""ExternalService as the models read it. Cases of the corpus in tests/contract/crs are not repeated here."""

from typing import Any

import pytest
from pydantic import ValidationError

from external_service.v1alpha1 import AddressStatus, ExternalService, ExternalServiceSpec, ExternalServiceStatus, Host

TIME = "2026-01-01T00:00:00Z"


def parent(**parts: Any) -> dict[str, Any]:
    return {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": "sample"},
        "spec": {"port": 80},
        **parts,
    }


def paths(value: Any) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        ExternalService.model_validate(value)
    return [".".join(map(str, error["loc"])) for error in refused.value.errors()]


def test_spec_needs_only_a_port() -> None:
    read = ExternalService.model_validate(parent())
    assert read.spec == ExternalServiceSpec(
        port=80, ips=(), hosts=(), readinessProbe=None, ingress=None, service=None, disabledIPs=(), minReady=0
    )
    assert read.status == ExternalServiceStatus(
        revision=0, ready="", addresses=(), conditions=(), children=(), observedGeneration=0
    )


@pytest.mark.parametrize("ip", ["127.0.0.1", "no address", "::ffff:10.0.0.1", ""])
def test_invalid_address_keeps_the_rest_readable(ip: str) -> None:
    read = ExternalService.model_validate(parent(spec={"port": 80, "ips": ["10.0.100.10", ip, "10.0.100.10"]}))
    assert read.spec.ips == ("10.0.100.10", ip, "10.0.100.10")


@pytest.mark.parametrize("host", ["https://www.example.com", "WWW.example.com", "10.0.0.1", ""])
def test_invalid_host_keeps_the_rest_readable(host: str) -> None:
    assert ExternalService.model_validate(parent(spec={"port": 80, "hosts": [{"host": host}]})).spec.hosts == (
        Host(host=host, path="", pathType="ImplementationSpecific"),
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param({"apiVersion": "eso.crowdfox.com/v1"}, ["apiVersion"], id="another version"),
        pytest.param({"kind": "Service"}, ["kind"], id="another kind"),
        pytest.param({"metadata": {}}, ["metadata.name"], id="no name"),
        pytest.param({"spec": None}, ["spec"], id="no spec"),
    ],
)
def test_other_objects_are_refused(changed: dict[str, Any], expected: list[str]) -> None:
    assert paths(parent(**changed)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param("up", ["status"], id="text"),
        pytest.param({"revision": -1}, ["status.revision"], id="a negative revision"),
        pytest.param({"addresses": {"10.0.100.10": True}}, ["status.addresses"], id="a map of addresses"),
        pytest.param(
            {"addresses": [{"ip": "10.0.100.10"}]},
            [f"status.addresses.0.{name}" for name in ("ready", "reason", "lastTransitionTime")],
            id="an address without a result",
        ),
        pytest.param(
            {"addresses": [{"ip": "a", "ready": True, "reason": "Luck", "lastTransitionTime": TIME}]},
            ["status.addresses.0.reason"],
            id="an unknown reason",
        ),
    ],
)
def test_malformed_status_is_reported(status: object, expected: list[str]) -> None:
    assert paths(parent(status=status)) == expected


@pytest.mark.parametrize(
    ("ready", "serving", "healthy"),
    [
        pytest.param(True, None, True, id="ready"),
        pytest.param(False, None, False, id="not ready"),
        pytest.param(False, True, True, id="drained, the probe succeeds"),
        pytest.param(False, False, False, id="drained, the probe fails"),
    ],
)
def test_health_of_drained_addresses_is_the_probe_result(ready: bool, serving: bool | None, healthy: bool) -> None:
    state = AddressStatus(ip="10.0.100.10", ready=ready, reason="Disabled", lastTransitionTime=TIME, serving=serving)
    assert state.healthy is healthy


def test_nulls_are_ignored_at_any_depth() -> None:
    written = parent(spec={"port": 80, "ips": None, "ingress": {"tls": None, "labels": None}}, status=None)
    plain = parent(spec={"port": 80, "ingress": {}})
    assert ExternalService.model_validate(written) == ExternalService.model_validate(plain)
