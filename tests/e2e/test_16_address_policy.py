"""The ValidatingAdmissionPolicy refuses what the operator's settings deny, as the hook does, and nothing else.

The chart and the kustomize component have the same policy: tests/contract/test_components.py.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
import yaml

from external_service.policy import IN_DENIED_RANGE, OUTSIDE_ALLOWED_RANGES, PRESETS, AddressPolicy
from tests.e2e.accounts import SHIPPED
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.manifests import external_service
from tests.until import wait

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes("address policy")]

POLICY = SHIPPED / "components" / "admission-policy" / "policy.yaml"
NAMESPACE = "address-policy"
OPERATOR = "external-service-operator"
PATH = f"/apis/eso.crowdfox.com/v1alpha1/namespaces/{NAMESPACE}/externalservices"
MERGE = {"Content-Type": "application/merge-patch+json"}
ALLOWED = "10.0.100.10"

DENIED_RANGES = ("10.244.0.0/16", "10.96.0.0/12", "fd00:10:96::/112", "192.0.2.7/32")
ALLOWED_RANGES = ("10.0.0.0/8", "192.0.2.0/24", "fd00::/8", "100.64.0.0/10")
ADDRESSES = (
    *("10.0.100.10", "10.243.255.255", "10.244.0.0", "10.244.255.255", "10.245.0.0", "10.95.255.255", "10.96.0.1"),
    *("10.111.255.255", "10.112.0.0", "192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.3.1", "203.0.113.9"),
    *("fd00:10:96::1", "fd00:10:96::1:0", "fd00::1", "2001:db8::10", "::a00:1", "64:ff9b::a00:1"),
    *("::af4:1", "::ffff:0:af4:1", "64:ff9b::af4:1", "2002:af4:1::1"),
    *("100.100.100.200", "100.100.100.201", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    *("fd00:42::42", "127.0.0.1", "::1", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::"),
    *("255.255.255.255", "010.0.0.1", "::ffff:10.0.0.1", "2001:DB8::1", "2001:db8:0::1", "www.example.com", ""),
    *("10.0.0.1:80", "10.0.0.0/24", "fe80::1%eth0"),
)
DENIED, ALLOWED_ONLY = (tuple(map(ip_network, ranges)) for ranges in (DENIED_RANGES, ALLOWED_RANGES))
MANY = tuple(ip_network(f"10.{number}.0.0/16") for number in range(200, 250))
POLICIES: dict[str, tuple[dict[str, str], AddressPolicy]] = {
    "defaults": ({}, AddressPolicy(deny=PRESETS["metadata"])),
    "denied": ({"ESO_DENIED_CIDRS": ", ".join(DENIED_RANGES)}, AddressPolicy(deny=DENIED + PRESETS["metadata"])),
    "denied-and-allowed": (
        {
            "ESO_DENIED_CIDRS": ",".join(DENIED_RANGES),
            "ESO_ALLOWED_CIDRS": ",".join(ALLOWED_RANGES),
            "ESO_DENIED_PRESETS": "",
        },
        AddressPolicy(deny=DENIED, allow=ALLOWED_ONLY),
    ),
    "many": (
        {"ESO_DENIED_CIDRS": ",".join(map(str, MANY))},
        AddressPolicy(deny=MANY + PRESETS["metadata"]),
    ),
}
"""The operator's settings, and the policy of hook and sidecar with them."""

Configure = Callable[[str], AddressPolicy]

TELLING = ("10.244.0.0", "168.63.129.16", "203.0.113.9")
"""Addresses by which the policies differ."""


def manifest(name: str, *ips: str) -> dict[str, Any]:
    made = external_service(name, ips)
    made["metadata"]["namespace"] = NAMESPACE
    return made


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Iterator[httpx.Client]:
    """With the policy; it is removed at the end, because other tests use the same API server."""
    client = control_plane.admin
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(SHIPPED / "crd.yaml"))
    for namespace in (NAMESPACE, OPERATOR):
        client.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    control_plane.kubectl("apply", "-f", str(POLICY))
    yield client
    control_plane.kubectl("delete", "-f", str(POLICY))
    control_plane.kubectl("delete", "-n", OPERATOR, "configmap", OPERATOR)
    wait(lambda: apply(client, "168.63.129.16").is_success, "the policy is gone")
    control_plane.kubectl("delete", "namespace", NAMESPACE)


@pytest.fixture
def configure(control_plane: ControlPlane, admin: httpx.Client) -> Configure:
    """Changes the operator's settings, returns the policy of hook and sidecar when that of admission is the same."""

    def configured(name: str) -> AddressPolicy:
        settings, policy = POLICIES[name]
        metadata = {"name": OPERATOR, "namespace": OPERATOR}
        stored = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings}
        control_plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(stored))
        wanted = [policy.refusal(ip) is None for ip in TELLING]
        wait(lambda: [apply(admin, ip).is_success for ip in TELLING] == wanted, "the policy is in force")
        return policy

    return configured


def apply(admin: httpx.Client, *ips: str) -> httpx.Response:
    return admin.post(f"{PATH}?dryRun=All", json=manifest("web", *ips))


@pytest.mark.parametrize("name", ["defaults", "denied", "denied-and-allowed"])
def test_admission_policy_agrees_with_the_hook(admin: httpx.Client, configure: Configure, name: str) -> None:
    policy = configure(name)
    disagreed = [ip for ip in ADDRESSES if apply(admin, ip).is_success is not (policy.refusal(ip) is None)]
    assert disagreed == []
    for ip in ADDRESSES:
        if (policy.refusal(ip) or "").endswith(("denies", "allows")):
            message = apply(admin, ALLOWED, ip).json()["message"]
            assert any(f"spec.ips: {ip} {why}" in message for why in (IN_DENIED_RANGE, OUTSIDE_ALLOWED_RANGES)), message


SECRET: dict[str, Any] = {"secretKeyRef": {"name": "a", "key": "b"}}
MUTUAL = {"port": 80, "scheme": "HTTPS", "tls": {"clientCertificateSecret": {"name": "a"}}}


@pytest.mark.parametrize(
    ("handler", "refused"),
    [
        pytest.param({"httpGet": {"port": 80, "httpHeaders": [{"name": "X", "value": "y"}]}}, False, id="no Secret"),
        pytest.param({"httpGet": {"port": 80, "httpHeaders": [{"name": "X", "valueFrom": SECRET}]}}, True, id="header"),
        pytest.param({"grpc": {"port": 80, "tls": {"caConfigMap": {"name": "a"}}}}, False, id="ConfigMap"),
        pytest.param({"grpc": {"port": 80, "tls": {"caSecret": {"name": "a"}}}}, True, id="CA"),
        pytest.param({"httpGet": MUTUAL}, True, id="client certificate"),
    ],
)
def test_secret_in_a_probe_is_refused(
    admin: httpx.Client, configure: Configure, handler: dict[str, Any], refused: bool
) -> None:
    configure("defaults")
    one = manifest("web", ALLOWED)
    one["spec"]["readinessProbe"] = handler
    response = admin.post(f"{PATH}?dryRun=All", json=one)
    assert response.status_code == (422 if refused else 201), response.text
    assert ("ESO_PROBE_SECRETS=true" in response.text) == refused


def test_admission_policy_blocks_no_other_change(admin: httpx.Client, configure: Configure) -> None:
    """Older objects can be changed, get a status, and be deleted; a thousand addresses are evaluated by many ranges."""
    configure("defaults")
    admin.post(PATH, json=manifest("older", ALLOWED, "10.244.0.1")).raise_for_status()
    configure("many")

    def merge(change: dict[str, Any], subresource: str = "") -> httpx.Response:
        return admin.patch(f"{PATH}/older{subresource}", json=change, headers=MERGE)

    merge({"spec": {"port": 81}}).raise_for_status()
    merge({"spec": {"ips": ["10.244.0.1"]}}).raise_for_status()
    worse = merge({"spec": {"ips": ["10.244.0.1", "10.211.0.1"]}})
    assert f"10.211.0.1 {IN_DENIED_RANGE}" in worse.json()["message"]
    merge({"status": {"revision": 1}}, "/status").raise_for_status()
    merge({"metadata": {"finalizers": ["example.com/wait"]}}).raise_for_status()
    admin.delete(f"{PATH}/older").raise_for_status()
    merge({"metadata": {"finalizers": None}}).raise_for_status()
    wait(lambda: admin.get(f"{PATH}/older").status_code == 404, "deleted")

    many = [f"10.{number // 250}.{number % 250}.1" for number in range(1_000)]
    assert apply(admin, *many).is_success
    assert apply(admin, *many[:999], "10.249.0.1").status_code == 422
