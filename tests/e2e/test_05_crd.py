"""The real API server accepts the CRD, agrees with the models about tests/contract/crs, and guards the status."""

import copy
import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from external_service.crd import custom_resource_definition
from external_service.v1alpha1 import STALE_STATUS, ExternalService
from tests.contract.test_crd import corpus
from tests.e2e import status_policy
from tests.e2e.controlplane.cluster import ControlPlane
from tests.until import wait

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "metacontroller" / "samples").glob("*.yaml"))
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "eso.crowdfox.com"
FRESH, UPGRADED = OTHER_GROUPS = ("fresh.example", "older.example")
NAMESPACE = "crd-check"
SAMPLES_NAMESPACE = "external-service"
UNCHECKED = "<nil>"  # where the API server adds that it skipped rules because of other errors
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def path_of(group: str, name: str = "") -> str:
    return f"/apis/{group}/v1alpha1/namespaces/{NAMESPACE}/externalservices" + (f"/{name}" if name else "")


def custom_resource(name: str, spec: Any, group: str = GROUP) -> dict[str, Any]:
    return {
        "apiVersion": f"{group}/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def causes(response: httpx.Response) -> list[tuple[str, str]]:
    """(field, message) of each cause of a refusal."""
    assert response.status_code == 422, response.text
    return [
        (cause["field"], as_newest(cause["message"]))
        for cause in response.json()["details"]["causes"]
        if cause["field"] != UNCHECKED
    ]


def as_newest(message: str) -> str:
    """A message of an older API server in the words of the newest."""
    message = message.replace('Invalid value: "object": ', "Invalid value: ").replace("map[string]interface {}", "")
    return re.sub(r"may not be longer than ([0-9]+)$", r"may not be more than \1 bytes", message)


def serve(admin: httpx.Client, definition: dict[str, Any]) -> None:
    """Creates or replaces the definition, and returns when the API server serves it."""
    name, group = definition["metadata"]["name"], definition["spec"]["group"]
    stored = admin.get(f"{DEFINITIONS}/{name}")
    if stored.is_success:
        definition = copy.deepcopy(definition)
        definition["metadata"]["resourceVersion"] = stored.json()["metadata"]["resourceVersion"]
        admin.put(f"{DEFINITIONS}/{name}", json=definition).raise_for_status()
    else:
        admin.post(DEFINITIONS, json=definition).raise_for_status()
    guarded = "x-kubernetes-validations" in definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    probe = custom_resource("1-is-no-service-name", {"port": 80}, group)
    wanted = 422 if guarded else 201
    wait(lambda: admin.post(f"{path_of(group)}?dryRun=All", json=probe).status_code == wanted, f"{name} is served")


def definition_of(group: str) -> dict[str, Any]:
    """Our definition in another group, beside the installed one."""
    definition = copy.deepcopy(custom_resource_definition())
    definition["metadata"]["name"] = f"externalservices.{group}"
    definition["spec"]["group"] = group
    definition["spec"]["names"]["shortNames"] = []
    return definition


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Iterator[httpx.Client]:
    client = control_plane.admin
    for namespace in (NAMESPACE, SAMPLES_NAMESPACE):
        client.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    serve(client, custom_resource_definition())
    status_policy.use(client, False)
    yield client
    clear(client)
    control_plane.kubectl("delete", "namespace", NAMESPACE, SAMPLES_NAMESPACE, "--ignore-not-found")


def clear(admin: httpx.Client) -> None:
    """All tests of the run share the control plane: the sidecars of later tests would probe what remains here."""
    for group in OTHER_GROUPS:
        admin.delete(f"{DEFINITIONS}/externalservices.{group}")
    for one in admin.get(f"/apis/{GROUP}/v1alpha1/externalservices").raise_for_status().json()["items"]:
        namespace, name = one["metadata"]["namespace"], one["metadata"]["name"]
        admin.delete(f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/externalservices/{name}").raise_for_status()


class Stored:
    """One stored ExternalService, written to by Metacontroller and by the sidecar."""

    def __init__(self, admin: httpx.Client, name: str, spec: dict[str, Any], group: str = GROUP) -> None:
        self.admin, self.path = admin, path_of(group, name)
        admin.delete(self.path)
        admin.post(path_of(group), json=custom_resource(name, spec, group)).raise_for_status()

    def replace_status(self, status: dict[str, Any] | None) -> httpx.Response:
        """GET, then PUT the whole status, as Metacontroller does."""
        live = self.admin.get(self.path).json()
        live.pop("status", None)
        return self.admin.put(f"{self.path}/status", json=live if status is None else {**live, "status": status})

    def merge(self, part: dict[str, Any]) -> httpx.Response:
        return self.admin.patch(self.path, content=json.dumps(part), headers=MERGE)

    def patch_status(self, *operations: dict[str, Any]) -> httpx.Response:
        return self.admin.patch(f"{self.path}/status", content=json.dumps(operations), headers=JSON_PATCH)


def result(ip: str, *, ready: bool = True) -> dict[str, Any]:
    reason = "ProbeSucceeded" if ready else "ProbeFailed"
    return {"ip": ip, "ready": ready, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}


A, B = "10.0.100.10", "10.0.100.11"
UP = [result(A), result(B)]
HALF = [result(A), result(B, ready=False)]
THOUSAND = [str(ip_address("10.0.0.1") + index) for index in range(1_000)]


@pytest.fixture
def seven(admin: httpx.Client) -> Iterator[Stored]:
    """One with revision 7 in its status, and both addresses ready."""
    stored = Stored(admin, "guarded", {"port": 80, "ips": [A, B]})
    stored.replace_status({"revision": 7, "ready": "2/2", "addresses": UP}).raise_for_status()
    yield stored
    admin.delete(stored.path)


@pytest.mark.kubernetes("CRD")
def test_crd_is_established_without_warnings(admin: httpx.Client) -> None:
    definition = definition_of(FRESH)
    created = admin.post(DEFINITIONS, json=definition)
    assert created.status_code == 201, created.text
    assert created.headers.get_list("warning") == []
    path = f"{DEFINITIONS}/{definition['metadata']['name']}"

    def established() -> bool:
        status = admin.get(path).raise_for_status().json().get("status", {})
        found = {one["type"]: one["status"] for one in status.get("conditions") or []}
        return found == {"NamesAccepted": "True", "Established": "True"}

    wait(established, "the definition is established")


@pytest.mark.kubernetes("good objects")
@pytest.mark.parametrize("case", corpus("good"))
def test_valid_objects_are_stored_as_read(admin: httpx.Client, case: dict[str, Any]) -> None:
    one = custom_resource(case.get("name", "sample"), case["spec"])
    one["metadata"] |= case.get("metadata", {})
    response = admin.post(f"{path_of(GROUP)}?dryRun=All", json=one)
    assert response.status_code == 201, response.text
    sent, stored = ExternalService.model_validate(one), ExternalService.model_validate(response.json())
    assert (stored.spec, stored.metadata.labels, stored.metadata.annotations) == (
        sent.spec,
        sent.metadata.labels,
        sent.metadata.annotations,
    )


@pytest.mark.kubernetes("bad objects")
@pytest.mark.parametrize("case", corpus("bad"))
def test_invalid_objects_are_refused_with_field_and_message(admin: httpx.Client, case: dict[str, Any]) -> None:
    refused = causes(
        admin.post(f"{path_of(GROUP)}?dryRun=All", json=custom_resource(case.get("name", "sample"), case["spec"]))
    )
    assert {field for field, _ in refused} == {case["at"]}
    assert [message for _, message in refused if message.endswith(case["says"])] != [], refused


@pytest.mark.kubernetes("good objects")
def test_longest_lists_stay_within_the_cel_cost_budget(admin: httpx.Client) -> None:
    """The API server accepted the estimated cost of the rules with the CRD; this is the cost when they run."""
    host = "a." * 120 + "example"
    ips = [str(ip_address("2001:db8:1111:1111:1111:1111:1111:1") + index) for index in range(1_000)]
    spec = {
        "port": 80,
        "ips": ips,
        "disabledIPs": ips[-250:],
        "hosts": [{"host": host, "path": "/" + "a" * 1_023, "pathType": "Exact"} for _ in range(256)],
        "httpRoute": {"parentRefs": [{"name": host, "namespace": "a" * 63, "sectionName": host}] * 16},
        "ingress": {
            "tls": [{"hosts": [host] * 64, "secretName": host}] * 16,
            "annotations": {f"{host}/{'a' * 55}{index}": "x" * 1_000 for index in range(64)},
        },
    }
    response = admin.post(f"{path_of(GROUP)}?dryRun=All", json=custom_resource("longest", spec))
    assert response.status_code == 201, response.text[:1_000]


CHILD = {"kind": "Service", "name": "a", "problem": "taken"}


@pytest.mark.kubernetes("status guard")
@pytest.mark.parametrize(
    ("status", "refused"),
    [
        pytest.param({"revision": 7, "ready": "2/2", "addresses": UP}, False, id="nothing new"),
        pytest.param({"revision": 7, "addresses": UP, "observedGeneration": 2}, False, id="Metacontroller's own field"),
        pytest.param({"revision": 7, "addresses": UP, "children": [CHILD]}, False, id="the hook's own field"),
        pytest.param({"revision": 8, "addresses": HALF}, False, id="the next results"),
        pytest.param({"revision": 9}, False, id="all addresses gone, reported as new"),
        pytest.param({"revision": 7, "addresses": HALF}, True, id="other results under the same revision"),
        pytest.param({"revision": 7}, True, id="results lost"),
        pytest.param({"revision": 7, "addresses": []}, True, id="results emptied"),
        pytest.param({"revision": 6, "addresses": UP}, True, id="an older revision"),
        pytest.param({"addresses": UP}, True, id="no revision"),
        pytest.param({"observedGeneration": 1}, True, id="Metacontroller's echo of null"),
        pytest.param(None, True, id="no status at all"),
    ],
)
def test_status_revision_only_increases(seven: Stored, status: dict[str, Any] | None, refused: bool) -> None:
    response = seven.replace_status(status)
    if refused:
        assert causes(response) == [("status.revision", f"Invalid value: {STALE_STATUS}")]
    else:
        assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"revision": 6, "addresses": HALF, "observedGeneration": 9}, id="an older revision"),
        pytest.param({"observedGeneration": 1}, id="no revision"),
        pytest.param(None, id="no status"),
    ],
)
def test_stale_status_changes_nothing_under_the_policy(
    admin: httpx.Client, seven: Stored, status: dict[str, Any] | None
) -> None:
    if not status_policy.use(admin, True):
        pytest.skip("this API server does not serve MutatingAdmissionPolicies: Kubernetes 1.36 does")
    try:
        before = admin.get(seven.path).json()
        after = seven.replace_status(status).raise_for_status().json()
        assert without_managed_fields(after) == without_managed_fields(before)
        assert seven.replace_status(status).raise_for_status().json() == after, "a second write is stored"
        other = {"revision": 7, "addresses": HALF}
        assert seven.replace_status(other).status_code == 422, "not stale, and refused all the same"
        newer = {"revision": 8, "addresses": HALF}
        assert seven.replace_status(newer).json()["status"] == newer
    finally:
        status_policy.use(admin, False)


def without_managed_fields(stored: dict[str, Any]) -> dict[str, Any]:
    """An object without what a no-op changes: its managedFields.

    The API server updates these before it evaluates the policy.
    """
    metadata = {k: v for k, v in stored["metadata"].items() if k not in ("managedFields", "resourceVersion")}
    return {**stored, "metadata": metadata}


@pytest.mark.kubernetes("status guard")
def test_first_status_needs_a_revision(admin: httpx.Client) -> None:
    stored = Stored(admin, "first", {"port": 80, "ips": [A, B]})
    assert stored.replace_status({"observedGeneration": 1}).status_code == 200
    assert [field for field, _ in causes(stored.replace_status({"addresses": UP}))] == ["status.revision"]
    assert stored.replace_status({"revision": 1, "addresses": UP}).status_code == 200


@pytest.mark.kubernetes("status guard")
def test_status_guard_covers_1000_addresses(admin: httpx.Client) -> None:
    stored = Stored(admin, "thousand", {"port": 80, "ips": THOUSAND})
    stored.replace_status({"revision": 1, "addresses": [result(ip) for ip in THOUSAND]}).raise_for_status()
    last = {"op": "replace", "path": "/status/addresses/999/ready", "value": False}
    assert [field for field, _ in causes(stored.patch_status(last))] == ["status.revision"]
    assert stored.patch_status(last, {"op": "replace", "path": "/status/revision", "value": 2}).status_code == 200


@pytest.mark.kubernetes("CRD")
def test_cluster_ip_is_immutable(admin: httpx.Client) -> None:
    stored = Stored(admin, "cluster-ip", {"port": 80})
    assert stored.merge({"spec": {"service": {"clusterIP": "None"}}}).status_code == 200
    assert stored.merge({"spec": {"service": None}}).status_code == 200
    ((field, message),) = causes(stored.merge({"spec": {"service": {"clusterIP": "Auto"}}}))
    assert (field, message) == (
        "spec.service.clusterIP",
        "Invalid value: the cluster IP of a Service cannot change: delete this ExternalService and create it again",
    )


@pytest.mark.kubernetes("samples")
@pytest.mark.parametrize("case", corpus("predecessor"))
def test_predecessor_manifests_apply_unchanged(
    control_plane: ControlPlane, admin: httpx.Client, case: dict[str, Any]
) -> None:
    """By `kubectl apply`, whose strict validation refuses unknown fields; a second one changes nothing."""
    manifest = case["manifest"]
    name, text = manifest["metadata"]["name"], yaml.safe_dump(manifest)
    path = f"/apis/{GROUP}/v1alpha1/namespaces/{SAMPLES_NAMESPACE}/externalservices/{name}"
    admin.delete(path)
    assert control_plane.kubectl("apply", "-f", "-", stdin=text).split()[-1] == "created"
    first = admin.get(path).raise_for_status().json()
    control_plane.kubectl("apply", "-f", "-", stdin=text)
    assert admin.get(path).json() == first
    admin.delete(path)
    kept = case.get("stored", manifest["spec"])
    assert without_defaults(first["spec"], kept) == kept


def without_defaults(stored: Any, written: Any) -> Any:
    """`stored` without the fields of a probe that `written` leaves out; other additional fields stay."""
    if not isinstance(written, dict):
        return stored
    seconds = ("periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold")
    defaulted = ("path", "scheme", "redirects", "method", "protocol", *seconds)
    return {
        name: without_defaults(value, written[name]) if name in written else value
        for name, value in stored.items()
        if name in written or name not in defaulted
    }


@pytest.mark.kubernetes("CRD")
def test_crd_upgrade_keeps_stored_objects(admin: httpx.Client) -> None:
    """Each is readable with the new defaults; its status is unchanged, and is guarded from now on. An invalid one of
    the predecessor can be changed, and have a status, which reports what is wrong.

    API servers before 1.33 evaluate the rules of unchanged fields for a write of the status, and for no other write.
    """
    definition = definition_of(UPGRADED)
    lax = copy.deepcopy(definition)
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    lax["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = anything
    serve(admin, lax)
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 5}
    spec = {"port": 80, "ips": [A, B], "hosts": [{"host": "a.example"}], "readinessProbe": probe}
    kept = Stored(admin, "kept", spec, UPGRADED)
    status = {"revision": 7, "ready": "1/2", "addresses": HALF, "observedGeneration": 1}
    kept.replace_status(status).raise_for_status()
    invalid = {"port": 80, "ips": ["127.0.0.1", A, A], "hosts": [{"host": "https://x", "path": "y"}]}
    old = Stored(admin, "1.old", invalid, UPGRADED)
    serve(admin, definition)

    after = admin.get(kept.path).raise_for_status().json()
    assert after["spec"]["readinessProbe"]["httpGet"]["redirects"] == "Follow"
    assert (without_defaults(after["spec"], spec), after["status"]) == (spec, status)
    change = {"op": "replace", "path": "/status/addresses/1/ready", "value": True}
    assert [field for field, _ in causes(kept.patch_status(change))] == ["status.revision"]
    kept.patch_status(change, {"op": "replace", "path": "/status/revision", "value": 8}).raise_for_status()

    first = {"revision": 1, "addresses": [result(A)]}
    response = old.replace_status(first)
    if int(admin.get("/version").raise_for_status().json()["minor"]) < 33:
        assert {field for field, _ in causes(response)} == {"spec.hosts[0].host", "spec.hosts[0].path", "spec.ips[0]"}
    else:
        assert response.status_code == 200, response.text
    old.merge({"spec": {"port": 81}}).raise_for_status()
    assert old.merge({"spec": {"ips": ["127.0.0.1", A, A, "127.0.0.2"]}}).status_code == 422
    old.merge({"spec": {"ips": [A], "hosts": [{"host": "x.example", "path": "/y"}]}}).raise_for_status()
    old.replace_status(first).raise_for_status()


@pytest.mark.kubernetes("samples")
def test_applying_samples_twice_changes_nothing(control_plane: ControlPlane, admin: httpx.Client) -> None:
    files = [argument for path in SAMPLES for argument in ("-f", str(path))]
    control_plane.kubectl("apply", *files)
    again = control_plane.kubectl("apply", *files).splitlines()
    assert [line.rpartition(" ")[2] for line in again] == ["unchanged"] * len(SAMPLES)
