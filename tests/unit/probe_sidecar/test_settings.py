"""Settings of the sidecar from the environment."""

import pytest

from external_service.core import Probe
from external_service.scope import Scope
from probe_sidecar.settings import Settings
from runtime.settings import LISTEN_PORT, InvalidSettings, load
from tests.cases import cases

CANARY = "an address to ask, without names: 10.0.0.1:443, [2001:db8::1]:443 or http://10.0.0.1:8080/healthz"


POD_NAME = "the name of the Pod, where ESO_LEASE_NAMESPACE is set, and only there"
NAMESPACES = "the namespaces to work in, with commas between, or nothing for all of them"
SELECTOR = "a label selector such as eso.example.com/shard=a or tier in (gold,silver),!legacy; nothing: all"
SERVERS = "addresses such as 10.0.0.53 or [fd00::53]:5353, with commas between; none: resolv.conf"


@cases(
    "name value wish",
    ("port-by-name", "ESO_HEALTH_LISTEN_PORT", "http", LISTEN_PORT),
    ("no-probes-at-all", "ESO_CONCURRENT_PROBES", "0", "a number, 1 or more"),
    ("a-lease-too-short", "ESO_LEASE_SECONDS", "1", "seconds from 3 to 300"),
    ("a-name-without-a-namespace", "ESO_POD_NAME", "pod-1", POD_NAME),
    ("no-name-for-a-lease", "ESO_POD_NAME", "Pod_1", POD_NAME),
    ("canary-a-name", "ESO_CANARY", "gateway.example.com:80", CANARY),
    ("canary-a-name-in-a-url", "ESO_CANARY", "http://gateway.example.com/", CANARY),
    ("canary-no-port", "ESO_CANARY", "10.0.0.1", CANARY),
    ("canary-no-such-port", "ESO_CANARY", "10.0.0.1:70000", CANARY),
    ("canary-port-0", "ESO_CANARY", "10.0.0.1:0", CANARY),
    ("canary-more-than-an-address", "ESO_CANARY", "10.0.0.1:80/path", CANARY),
    ("canary-bare-v6", "ESO_CANARY", "2001:db8::1", CANARY),
    ("canary-another-scheme", "ESO_CANARY", "ftp://10.0.0.1/", CANARY),
    ("canary-a-user", "ESO_CANARY", "http://me:secret@10.0.0.1/", CANARY),
    ("a-negative-hold", "ESO_OUTAGE_HOLD_SECONDS", "-1", "seconds from 0 (no guard) to 3600"),
    ("no-namespace", "ESO_LEASE_NAMESPACE", "a.b", "the namespace of the Leases, its own"),
    ("no-name-of-a-namespace", "ESO_NAMESPACES", "shop,Bank", NAMESPACES),
    ("no-selector", "ESO_LABEL_SELECTOR", "shard=a,tier in gold", SELECTOR),
    ("dns-a-name", "ESO_DNS_SERVERS", "dns.example.com", SERVERS),
    ("dns-port-0", "ESO_DNS_SERVERS", "10.0.0.53:0", SERVERS),
    ("dns-port-by-name", "ESO_DNS_SERVERS", "10.0.0.53:dns", SERVERS),
    ("dns-port-too-high", "ESO_DNS_SERVERS", "10.0.0.53:65536", SERVERS),
    ("dns-open-bracket", "ESO_DNS_SERVERS", "[10.0.0.53", SERVERS),
)
def test_invalid_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, wish: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as refused:
        load(Settings)
    assert str(refused.value).startswith(f"{name}: write {wish} (got ")


def test_pod_name_and_lease_namespace_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_LEASE_NAMESPACE", "operator")
    with pytest.raises(InvalidSettings, match=r"^ESO_POD_NAME: write the name of the Pod, where ESO_LEASE_NAMESPACE"):
        load(Settings)
    monkeypatch.setenv("ESO_POD_NAME", "external-service-operator-5d8c9f7b6-x2x4z")
    settings = load(Settings)
    assert (settings.pod_name, settings.lease_namespace) == ("external-service-operator-5d8c9f7b6-x2x4z", "operator")


def test_namespaces_and_selector_form_the_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_NAMESPACES", "shop, bank,shop")
    monkeypatch.setenv("ESO_LABEL_SELECTOR", "shard==a, tier in (silver, gold)")
    assert load(Settings).scope == Scope(("bank", "shop"), "shard=a,tier in (gold,silver)")


IN_FULL = {"httpGet": {"port": 8443, "path": "/live?full=1", "scheme": "HTTPS"}}


@cases(
    "text ip probe",
    ("v4", "10.0.0.1:443", "10.0.0.1", {"tcpSocket": {"port": 443}}),
    ("v6", "[2001:db8::1]:53", "2001:db8::1", {"tcpSocket": {"port": 53}}),
    ("url", "http://10.0.0.1", "10.0.0.1", {"httpGet": {"port": 80, "path": "/"}}),
    ("url-in-full", "https://[2001:db8::1]:8443/live?full=1", "2001:db8::1", IN_FULL),
)
def test_canary_is_parsed_into_address_and_probe(
    monkeypatch: pytest.MonkeyPatch, text: str, ip: str, probe: dict[str, object]
) -> None:
    monkeypatch.setenv("ESO_CANARY", text)
    assert load(Settings).canary == (ip, Probe.model_validate(probe))


def test_dns_servers_can_have_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(Settings).dns_servers == ()
    monkeypatch.setenv("ESO_DNS_SERVERS", "10.0.0.53, 127.0.0.1:5353,fd00::53,[fd00::54]:5353")
    assert load(Settings).dns_servers == (
        ("10.0.0.53", 53),
        ("127.0.0.1", 5353),
        ("fd00::53", 53),
        ("fd00::54", 5353),
    )
