"""What the environment says."""

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from app.api.policy import AddressPolicy
from probe_sidecar.settings import Settings


def test_defaults_are_for_a_cluster() -> None:
    settings = Settings()
    assert settings.policy == AddressPolicy()
    assert (settings.health_host, settings.health_port, settings.tick_milliseconds) == ("0.0.0.0", 8081, 10)


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_DENIED_CIDRS", "10.96.0.0/12, fd00::/8")
    monkeypatch.setenv("ESO_ALLOWED_CIDRS", "10.0.0.0/8")
    monkeypatch.setenv("ESO_ALLOW_LOOPBACK", "true")
    assert Settings().policy == AddressPolicy(
        allow=(ip_network("10.0.0.0/8"),), deny=(ip_network("10.96.0.0/12"), ip_network("fd00::/8")), loopback=True
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("ESO_DENIED_CIDRS", "10.96.0.1/12", id="host-bits-set"),
        pytest.param("ESO_HEALTH_PORT", "http", id="port-by-name"),
        pytest.param("ESO_CONCURRENT_PROBES", "0", id="no-probes-at-all"),
        pytest.param("ESO_LOG_LEVEL", "loud", id="unknown-level"),
    ],
)
def test_a_bad_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("ESO_").lower()):
        Settings()
