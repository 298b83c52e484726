"""The manifests agree with the code; tests/e2e/test_06_rights.py tests their RBAC rules."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.render import here
from app.settings import Settings as HookSettings
from app.sync import SyncOptions, desired_children
from external_service import kind
from external_service.invalid import admission_problems, unknown_fields
from external_service.manifest import external_services
from probe_sidecar.settings import Settings as SidecarSettings
from runtime.http_server import SHUTDOWN_SECONDS
from runtime.settings import hints

MANIFESTS = Path(__file__).resolve().parents[2] / "metacontroller"
SAMPLES = sorted((MANIFESTS / "samples").glob("*.yaml"))
PLURALS = {
    "Service": "services",
    "Endpoints": "endpoints",
    "EndpointSlice": "endpointslices",
    "Ingress": "ingresses",
}
OUR_NAME = "external-service-operator"

PREDECESSOR = Path(__file__).parent / "crs" / "predecessor.yaml"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text()))


def one(name: str, kind: str, called: str = OUR_NAME) -> dict[str, Any]:
    (found,) = (item for item in documents(name) if (item["kind"], item["metadata"]["name"]) == (kind, called))
    return found


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    spec: dict[str, Any] = one("deployment.yaml", "Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module")
def composite() -> dict[str, Any]:
    spec: dict[str, Any] = one("composite-controller.yaml", "CompositeController")["spec"]
    return spec


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (item for item in pod["containers"] if item["name"] == name)
    result: dict[str, Any] = found
    return result


def test_composite_controller_lists_exactly_the_hooks_kinds(composite: dict[str, Any]) -> None:
    """HTTPRoutes are in a component: a kind that the cluster does not know would stop the whole CompositeController."""
    options = here(SyncOptions(form="Both"))
    parents = [one.parent for path in SAMPLES for one in external_services(path.read_text()).documents]
    made = [child for parent in parents for child in desired_children(parent, options).children]
    wanted = {(child["apiVersion"], child["kind"]) for child in made if child["kind"] != "HTTPRoute"}
    managed = {(rule["apiVersion"], rule["resource"]) for rule in composite["childResources"]}
    assert managed == {(version, PLURALS[kind]) for version, kind in wanted}


def test_children_are_updated_in_place(composite: dict[str, Any]) -> None:
    methods = {rule["resource"]: rule.get("updateStrategy") for rule in composite["childResources"]}
    assert methods == {plural: {"method": "InPlace"} for plural in PLURALS.values()}


def test_composite_controller_watches_status_changes(composite: dict[str, Any]) -> None:
    assert composite["parentResource"] == {"apiVersion": kind.API_VERSION, "resource": kind.PLURAL}
    assert composite["generateSelector"] is True
    assert set(composite["hooks"]) == {"sync"}, "a finalize hook would make deletions wait for us"


def test_webhook_url_reaches_the_hook(composite: dict[str, Any], pod: dict[str, Any]) -> None:
    assert composite["hooks"]["sync"]["version"] == "v2"
    webhook = composite["hooks"]["sync"]["webhook"]
    service = one("service.yaml", "Service")
    assert (webhook["service"]["name"], webhook["service"]["namespace"]) == (OUR_NAME, service["metadata"]["namespace"])
    (port,) = service["spec"]["ports"]
    assert webhook["service"]["port"] == port["port"]
    assert {"name": port["targetPort"], "containerPort": 8080} in container(pod, "hook")["ports"]
    labels = one("deployment.yaml", "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_pod_name_and_namespace_are_injected(pod: dict[str, Any]) -> None:
    env = {item["name"]: item["valueFrom"]["fieldRef"]["fieldPath"] for item in container(pod, "sidecar")["env"]}
    assert env == {"ESO_POD_NAME": "metadata.name", "ESO_LEASE_NAMESPACE": "metadata.namespace"}
    assert {name.removeprefix("ESO_").lower() for name in env} <= set(hints(SidecarSettings))


def test_rollout_keeps_a_ready_replica() -> None:
    spec = one("deployment.yaml", "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    budget = one("disruption.yaml", "PodDisruptionBudget")["spec"]
    assert budget == {"maxUnavailable": 1, "selector": spec["selector"]}


def test_termination_grace_period_covers_draining(pod: dict[str, Any]) -> None:
    drain = float(one("settings.yaml", "ConfigMap")["data"]["ESO_DRAIN_SECONDS"])
    assert 0 < drain + SHUTDOWN_SECONDS < pod["terminationGracePeriodSeconds"]


def test_only_the_sidecar_mounts_the_api_token(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert one("rbac.yaml", "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == OUR_NAME
    assert "volumeMounts" not in container(pod, "hook")
    assert container(pod, "sidecar")["volumeMounts"] == [
        {"name": "api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    ]
    (volume,) = pod["volumes"]
    paths = {source.get("serviceAccountToken", {}).get("path") for source in volume["projected"]["sources"]}
    assert "token" in paths


@pytest.mark.parametrize("name", ["hook", "sidecar"])
def test_containers_have_a_restricted_security_context(pod: dict[str, Any], name: str) -> None:
    assert container(pod, name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_container_ports_and_probes_equal_the_settings(pod: dict[str, Any]) -> None:
    metrics = {one["name"]: one["value"] for one in container(pod, "hook")["env"]}["ESO_METRICS_LISTEN_PORT"]
    assert {
        one["name"]: {port["name"]: port["containerPort"] for port in one["ports"]} for one in pod["containers"]
    } == {
        "hook": {"hook": HookSettings().listen_port, "hook-metrics": int(metrics)},
        "sidecar": {"health": SidecarSettings().health_listen_port},
    }
    for one, port in (("hook", "hook-metrics"), ("sidecar", "health")):
        asked = {kind: container(pod, one)[kind]["httpGet"] for kind in ("readinessProbe", "livenessProbe")}
        assert asked == {
            "readinessProbe": {"path": "/readyz", "port": port},
            "livenessProbe": {"path": "/healthz", "port": port},
        }


def test_config_map_contains_only_known_settings() -> None:
    known = {f"ESO_{name.upper()}" for settings in (HookSettings, SidecarSettings) for name in hints(settings)}
    assert set(one("settings.yaml", "ConfigMap")["data"]) <= known


def test_both_containers_read_the_same_config_map(pod: dict[str, Any]) -> None:
    sources = [item["envFrom"] for item in pod["containers"]]
    assert sources == [[{"configMapRef": {"name": OUR_NAME}}]] * 2


def test_kustomization_lists_every_file() -> None:
    (kustomization,) = documents("kustomization.yaml")
    there = {path.name for path in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == there


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_valid_without_unknown_fields(path: Path) -> None:
    (sample,) = yaml.safe_load_all(path.read_text())
    assert admission_problems(sample) == []
    assert unknown_fields(sample) == []


def test_predecessor_example_is_unchanged() -> None:
    written = yaml.safe_load(PREDECESSOR.read_text())[0]["manifest"]
    assert yaml.safe_load((MANIFESTS / "samples" / "complex-example.yaml").read_text()) == written


@pytest.mark.parametrize(
    "path", [path for path in SAMPLES if path.stem != "complex-example"], ids=lambda path: path.stem
)
def test_samples_begin_with_a_comment(path: Path) -> None:
    assert path.read_text().startswith("# ")
