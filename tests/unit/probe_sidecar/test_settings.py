"""What the environment says to the sidecar."""

from ipaddress import ip_network

import pytest

from app.api.environment import InvalidSettings, load
from app.api.policy import PRESETS, AddressPolicy
from app.api.scope import Scope
from probe_sidecar.settings import Settings


def test_defaults_are_for_a_cluster() -> None:
    settings = load(Settings)
    assert settings.policy == AddressPolicy(deny=PRESETS["metadata"])
    assert (settings.health_listen_host, settings.health_listen_port) == ("0.0.0.0", 8081)
    assert (settings.tick_milliseconds, settings.concurrent_probes, settings.scope) == (10, None, Scope())
    assert (settings.pod_name, settings.lease_namespace, settings.lease_seconds) == ("", "", 15)
    assert (settings.api_qps, settings.api_burst) == (200, 400)


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_DENIED_CIDRS", "10.96.0.0/12, fd00::/8")
    monkeypatch.setenv("ESO_ALLOWED_CIDRS", "10.0.0.0/8")
    monkeypatch.setenv("ESO_ALLOW_LOOPBACK", "true")
    assert load(Settings).policy == AddressPolicy(
        allow=(ip_network("10.0.0.0/8"),),
        deny=(ip_network("10.96.0.0/12"), ip_network("fd00::/8"), *PRESETS["metadata"]),
        loopback=True,
    )


@pytest.mark.parametrize(
    ("name", "value", "wish"),
    [
        pytest.param(
            "ESO_DENIED_CIDRS", "10.96.0.1/12", "networks such as 10.96.0.0/12, with commas between", id="net"
        ),
        pytest.param(
            "ESO_HEALTH_LISTEN_PORT", "http", "a port number from 0 to 65535 (0: any free one)", id="port-by-name"
        ),
        pytest.param("ESO_CONCURRENT_PROBES", "0", "a number, 1 or more", id="no-probes-at-all"),
        pytest.param(
            "ESO_CA_SOURCES",
            "Secrets",
            "where CAs may be read from: ConfigMap, Secret, or both with a comma between",
            id="no-such-kind",
        ),
        pytest.param("ESO_LEASE_SECONDS", "1", "seconds from 3 to 300", id="a-lease-too-short"),
        pytest.param("ESO_API_QPS", "0", "requests a second, such as 200", id="no-requests-at-all"),
        pytest.param(
            "ESO_POD_NAME",
            "pod-1",
            "the name of the Pod, where ESO_LEASE_NAMESPACE is set, and only there",
            id="a-name-without-a-namespace",
        ),
        pytest.param(
            "ESO_POD_NAME",
            "Pod_1",
            "the name of the Pod, where ESO_LEASE_NAMESPACE is set, and only there",
            id="no-name-for-a-lease",
        ),
        pytest.param("ESO_LEASE_NAMESPACE", "a.b", "the namespace of the Leases, its own", id="no-namespace"),
        pytest.param(
            "ESO_NAMESPACES",
            "shop,Bank",
            "the namespaces to work in, with commas between, or nothing for all of them",
            id="no-name-of-a-namespace",
        ),
        pytest.param(
            "ESO_LABEL_SELECTOR",
            "shard=a,tier in gold",
            "a label selector such as eso.example.com/shard=a or tier in (gold,silver),!legacy; nothing: all",
            id="no-selector",
        ),
        pytest.param("ESO_LOG_LEVEL", "loud", "debug, info, warning or error", id="unknown-level"),
    ],
)
def test_a_bad_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, wish: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as refused:
        load(Settings)
    assert str(refused.value).startswith(f"{name}: write {wish} (got ")


def test_cas_come_from_config_maps_unless_secrets_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(Settings).ca_sources == ("ConfigMap",)
    monkeypatch.setenv("ESO_CA_SOURCES", "ConfigMap, Secret")
    assert load(Settings).ca_sources == ("ConfigMap", "Secret")
    monkeypatch.setenv("ESO_CA_SOURCES", "")
    assert load(Settings).ca_sources == ()


def test_a_replica_has_a_name_and_a_place_for_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_LEASE_NAMESPACE", "operator")
    with pytest.raises(InvalidSettings, match=r"^ESO_POD_NAME: write the name of the Pod, where ESO_LEASE_NAMESPACE"):
        load(Settings)
    monkeypatch.setenv("ESO_POD_NAME", "external-service-operator-5d8c9f7b6-x2x4z")
    settings = load(Settings)
    assert (settings.pod_name, settings.lease_namespace) == ("external-service-operator-5d8c9f7b6-x2x4z", "operator")


def test_namespaces_and_a_selector_make_the_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_NAMESPACES", "shop, bank,shop")
    monkeypatch.setenv("ESO_LABEL_SELECTOR", "shard==a, tier in (silver, gold)")
    assert load(Settings).scope == Scope(("bank", "shop"), "shard=a,tier in (gold,silver)")


def test_the_old_name_for_one_namespace_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_NAMESPACE", "shop")
    assert load(Settings).scope == Scope(("shop",))
    monkeypatch.setenv("ESO_NAMESPACES", "shop")
    assert load(Settings).scope == Scope(("shop",))
    monkeypatch.setenv("ESO_NAMESPACES", "shop,bank")
    with pytest.raises(InvalidSettings, match=r"^ESO_NAMESPACE: write nothing: it is the old name of ESO_NAMESPACES "):
        load(Settings)
