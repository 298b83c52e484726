"""The ValidatingAdmissionPolicy refuses addresses that the operator's settings deny, when they are applied."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from external_service.policy import IN_DENIED_RANGE, OUTSIDE_ALLOWED_RANGES
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.manifests import external_service

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes("address policy")]

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "metacontroller" / "components" / "admission-policy" / "policy.yaml"
DEFINITION = ROOT / "metacontroller" / "crd.yaml"
NAMESPACE = "address-policy"
OPERATOR = "external-service-operator"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
PATH = f"/apis/eso.crowdfox.com/v1alpha1/namespaces/{NAMESPACE}/externalservices"
ALLOWED, DENIED, OUTSIDE, METADATA = "10.8.0.1", "10.9.0.1", "192.0.2.1", "168.63.129.16"
SETTINGS = {"ESO_DENIED_CIDRS": "10.9.0.0/16, 2001:db8:9::/48", "ESO_ALLOWED_CIDRS": "10.0.0.0/8,2001:db8::/32"}
SECONDS = 60.0


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Iterator[httpx.Client]:
    """With the policy installed; it is removed at the end, because other tests use the same API server."""
    client = control_plane.admin
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(DEFINITION))
    for namespace in (NAMESPACE, OPERATOR):
        client.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    settings = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": OPERATOR}, "data": SETTINGS}
    settings["metadata"] = {"name": OPERATOR, "namespace": OPERATOR}
    manifests = yaml.safe_dump(settings) + "---\n" + POLICY.read_text()
    control_plane.kubectl("apply", "-f", "-", stdin=manifests)
    until(client, DENIED, 422)
    yield client
    control_plane.kubectl("delete", "-f", "-", stdin=manifests)
    until(client, DENIED, 201)
    control_plane.kubectl("delete", "namespace", NAMESPACE)


def until(admin: httpx.Client, ip: str, status: int) -> None:
    """Waits until an ExternalService with this address gets this response."""
    deadline = time.monotonic() + SECONDS
    while (answer := apply(admin, ip)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


def apply(admin: httpx.Client, *ips: str) -> httpx.Response:
    return admin.post(f"{PATH}?dryRun=All", json=manifest("web", *ips))


def manifest(name: str, *ips: str) -> dict[str, Any]:
    made = external_service(name, ips)
    made["metadata"]["namespace"] = NAMESPACE
    return made


@pytest.mark.parametrize(
    ("ips", "problem"),
    [
        pytest.param([ALLOWED, "2001:db8::1"], None, id="allowed"),
        pytest.param([ALLOWED, DENIED], f"{DENIED} {IN_DENIED_RANGE}", id="denied"),
        pytest.param(["2001:db8:9::1"], f"2001:db8:9::1 {IN_DENIED_RANGE}", id="IPv6"),
        pytest.param([METADATA], f"{METADATA} {IN_DENIED_RANGE}", id="metadata"),
        pytest.param(["::a09:1"], f"::a09:1 {IN_DENIED_RANGE}", id="compatible"),
        pytest.param(["::ffff:0:a09:1"], f"::ffff:0:a09:1 {IN_DENIED_RANGE}", id="translated"),
        pytest.param(["64:ff9b::a09:1"], f"64:ff9b::a09:1 {IN_DENIED_RANGE}", id="NAT64"),
        pytest.param(["2002:a09:1::1"], f"2002:a09:1::1 {IN_DENIED_RANGE}", id="6to4"),
        pytest.param([OUTSIDE], f"{OUTSIDE} {OUTSIDE_ALLOWED_RANGES}", id="outside"),
        pytest.param([DENIED, "10.9.0.2"], f"{DENIED} {IN_DENIED_RANGE} (and 1 more)", id="two"),
    ],
)
def test_denied_address_is_refused(admin: httpx.Client, ips: list[str], problem: str | None) -> None:
    answer = apply(admin, *ips)
    if problem is None:
        assert answer.status_code == 201, answer.text
        return
    assert answer.status_code == 422, answer.text
    assert f"spec.ips: {problem}" in answer.json()["message"]


SECRET: dict[str, Any] = {"secretKeyRef": {"name": "a", "key": "b"}}


@pytest.mark.parametrize(
    ("handler", "refused"),
    [
        pytest.param({"httpGet": {"port": 80, "httpHeaders": [{"name": "X", "value": "y"}]}}, False, id="no Secret"),
        pytest.param({"httpGet": {"port": 80, "httpHeaders": [{"name": "X", "valueFrom": SECRET}]}}, True, id="header"),
        pytest.param({"grpc": {"port": 80, "tls": {"caConfigMap": {"name": "a"}}}}, False, id="ConfigMap"),
        pytest.param({"grpc": {"port": 80, "tls": {"caSecret": {"name": "a"}}}}, True, id="CA"),
        pytest.param(
            {"httpGet": {"port": 80, "scheme": "HTTPS", "tls": {"clientCertificateSecret": {"name": "a"}}}},
            True,
            id="client certificate",
        ),
    ],
)
def test_secret_in_a_probe_is_refused(admin: httpx.Client, handler: dict[str, Any], refused: bool) -> None:
    one = manifest("web", ALLOWED)
    one["spec"]["readinessProbe"] = handler
    answer = admin.post(f"{PATH}?dryRun=All", json=one)
    assert answer.status_code == (422 if refused else 201), answer.text
    assert ("ESO_PROBE_SECRETS=true" in answer.text) == refused


def test_stored_denied_address_stays_and_a_new_one_is_refused(control_plane: ControlPlane, admin: httpx.Client) -> None:
    """The status and other fields of an object from before the policy can still be written."""
    path = f"{PATH}/older"
    binding = f"{BINDINGS}/external-service-operator-addresses"
    kept = admin.get(binding).raise_for_status().json()
    admin.delete(binding).raise_for_status()
    until(admin, DENIED, 201)
    admin.post(PATH, json=manifest("older", DENIED)).raise_for_status()
    kept["metadata"] = {name: kept["metadata"][name] for name in ("name", "labels")}
    admin.post(BINDINGS, json=kept).raise_for_status()
    until(admin, DENIED, 422)

    status = {"status": {"revision": 1}}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert admin.patch(f"{path}/status", json=status, headers=merge).status_code == 200
    assert admin.patch(path, json={"spec": {"port": 81}}, headers=merge).status_code == 200
    assert admin.patch(path, json={"spec": {"ips": [DENIED, "10.9.0.2"]}}, headers=merge).status_code == 422
    assert admin.patch(path, json={"spec": {"ips": [ALLOWED]}}, headers=merge).status_code == 200
    admin.delete(path).raise_for_status()
