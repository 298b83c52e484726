"""The Helm chart accepts every setting and the usual values, and refuses invalid ones."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings as HookSettings
from external_service.scope import canonical
from hack.values_table import CHART, README, explained, renewed
from probe_sidecar.settings import Settings as SidecarSettings
from runtime import VERSION
from runtime.settings import hints
from tests.cases import cases
from tests.chart.rendering import (
    API,
    MUTATING_POLICIES,
    NAME,
    VARIANTS,
    Object,
    Refused,
    Rendered,
    identity,
    render,
    rights,
    run,
)

TEST_POD = {"app.kubernetes.io/name": f"{NAME}-test", "app.kubernetes.io/instance": NAME}

Render = Callable[..., Rendered]

CIDRS = {"podCIDRs": ["10.0.0.0/16"], "serviceCIDRs": ["fd00::/108"], "deniedCIDRs": ["192.0.2.0/24"]}
DERIVED: dict[str, tuple[dict[str, Any], str]] = {
    "ESO_DENIED_CIDRS": ({"addressPolicy": CIDRS}, "10.0.0.0/16,fd00::/108,192.0.2.0/24"),
    "ESO_LOG_LEVEL": ({"log": {"level": "debug"}}, "debug"),
    "ESO_LOG_FORMAT": ({"log": {"format": "text"}}, "text"),
    "ESO_DENIED_PRESETS": ({"addressPolicy": {"denyMetadata": False}}, ""),
    "ESO_ALLOWED_CIDRS": ({"addressPolicy": {"allowedCIDRs": ["10.0.0.0/8"]}}, "10.0.0.0/8"),
    "ESO_NAMESPACES": ({"scope": {"namespaces": ["shop", "bank"]}}, "bank,shop"),
    "ESO_LABEL_SELECTOR": ({"scope": {"labelSelector": {"matchLabels": {"shard": "a"}}}}, "shard=a"),
    "ESO_TLS_CERT_FILE": ({"webhook": {"tls": {"mode": "certManager"}}}, "/etc/eso/tls/tls.crt"),
    "ESO_TLS_KEY_FILE": ({"webhook": {"tls": {"mode": "certManager"}}}, "/etc/eso/tls/tls.key"),
    "ESO_TLS_CLIENT_CA_FILE": (
        {"webhook": {"tls": {"mode": "certManager", "client": {"caSecretName": "ca"}}}},
        "/etc/eso/client-ca/ca.crt",
    ),
    "ESO_PROBE_SECRETS": ({"probeSecrets": {"enabled": True}}, "true"),
    "ESO_TOKEN_FILE": ({"webhook": {"token": {"mode": "generated"}}}, "/etc/eso/token/tokens"),
}
"""Settings that the chart writes from other values: those values, and what comes of them."""

GIVEN = {"ESO_POD_NAME", "ESO_LEASE_NAMESPACE"}
"""Settings that the Deployment takes from the Pod."""


@pytest.fixture
def rendered(helm: Path, tmp_path: Path) -> Render:
    return lambda values=None, **options: render(helm, tmp_path, values, **options)


def test_config_null_removes_a_default(rendered: Render) -> None:
    assert "ESO_DRAIN_SECONDS" in rendered().settings()
    assert "ESO_DRAIN_SECONDS" not in rendered({"config": {"ESO_DRAIN_SECONDS": None}}).settings()


def all_settings() -> set[str]:
    fields = hints(HookSettings) | hints(SidecarSettings)
    return {f"ESO_{name.upper()}" for name in fields}


def test_config_accepts_every_setting(rendered: Render) -> None:
    free = sorted(all_settings() - DERIVED.keys() - GIVEN)
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]["properties"]
    config = {name: str(known[name].get("enum", [f"value of {name}"])[-2:][0]) for name in free}
    config |= {name: str(9000 + place) for place, name in enumerate(free) if name.endswith("_PORT")}
    settings = rendered({"config": config}).settings()
    assert {name: settings[name] for name in free} == config


@pytest.mark.parametrize("name", DERIVED)
def test_settings_derived_from_values_are_rejected_in_config(rendered: Render, name: str) -> None:
    values, expected = DERIVED[name]
    assert rendered(values).settings()[name] == expected
    with pytest.raises(Refused, match=rf"config\.{name}: write [a-zA-Z.]+ instead"):
        rendered({"config": {name: expected or "x"}})


def test_listen_port_settings_set_the_container_ports(rendered: Render) -> None:
    ports = {"ESO_LISTEN_PORT": 9001, "ESO_METRICS_LISTEN_PORT": 9002, "ESO_HEALTH_LISTEN_PORT": 9003}
    chart = rendered({"config": ports, "serviceMonitor": {"enabled": True}})
    pod = chart.one("Deployment")["spec"]["template"]["spec"]
    shown = {port["name"]: port["containerPort"] for one in pod["containers"] for port in one["ports"]}
    assert shown == {"hook": 9001, "hook-metrics": 9002, "health": 9003}
    assert {port["port"] for port in chart.one("Service", f"{NAME}-metrics")["spec"]["ports"]} == {9002, 9003}


def test_label_selector_is_equal_in_settings_and_controller(rendered: Render) -> None:
    selector = {
        "matchLabels": {"example.com/shard": "a"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["gold", "silver"]},
            {"key": "zone", "operator": "NotIn", "values": ["x"]},
            {"key": "team", "operator": "Exists"},
            {"key": "legacy", "operator": "DoesNotExist"},
        ],
    }
    chart = rendered({"scope": {"labelSelector": selector}, "addressPolicy": {"admission": {"enabled": True}}})
    text = "!legacy,example.com/shard=a,team,tier in (gold,silver),zone notin (x)"
    assert canonical(chart.settings()["ESO_LABEL_SELECTOR"]) == text
    assert chart.one("CompositeController")["spec"]["parentResource"]["labelSelector"] == selector
    (binding,) = chart.all("ValidatingAdmissionPolicyBinding")
    assert binding["spec"]["matchResources"] == {"objectSelector": selector}


def test_status_policy_depends_on_the_served_api(rendered: Render) -> None:
    kinds = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
    served = f"{API},{MUTATING_POLICIES}"
    assert [one["kind"] for one in rendered(api=served).all(*kinds)] == list(kinds)
    assert not rendered().all(*kinds)
    assert not rendered({"statusPolicy": {"enabled": False}}, api=served).all(*kinds)


def test_scope_namespaces_replace_cluster_roles_by_roles(rendered: Render) -> None:
    chart = rendered({"scope": {"namespaces": ["bank", "shop"]}})
    everywhere = rights(rendered().one("ClusterRole")) | rights(rendered().one("ClusterRole", f"{NAME}-metacontroller"))
    for namespace in ("bank", "shop"):
        roles = [one for one in chart.all("Role") if one["metadata"]["namespace"] == namespace]
        clusterwide = chart.all("ClusterRole")
        assert set.union(*map(rights, (*roles, *clusterwide))) == everywhere
    assert {verb for role in chart.all("ClusterRole") for *_, verb in rights(role)} == {"get", "list", "watch"}
    assert [one["metadata"]["name"] for one in chart.all("ClusterRole")] == [f"{NAME}-metacontroller"]


NO_TOKEN = {"token": {"mode": "none"}}
IN_A_SECRET = {"mode": "secret", "secretName": "tls"}


@cases(
    "values",
    ("token", {"token": {"mode": "generated"}}),
    ("ca-in-a-secret", {**NO_TOKEN, "tls": IN_A_SECRET}),
    ("cert-manager", {**NO_TOKEN, "tls": {"mode": "certManager"}}),
    ("mutual", {**NO_TOKEN, "tls": {**IN_A_SECRET, "caBundle": "CA", "client": {"secretName": "mine"}}}),
)
def test_metacontroller_may_read_referenced_secrets(rendered: Render, values: Object) -> None:
    chart = rendered({"webhook": values})
    assert ("", "secrets", "get") in rights(chart.one("ClusterRole", f"{NAME}-metacontroller"))
    webhook = chart.one("CompositeController")["spec"]["hooks"]["sync"]["webhook"]
    assert "secretRef" in json.dumps(webhook)


@pytest.mark.parametrize("values", [{"enabled": False}, {"enabled": True, "rbac": False}])
def test_prober_may_read_secrets_where_asked_alone(rendered: Render, values: Object) -> None:
    names = ("ClusterRole", NAME), ("Role", f"{NAME}-sidecar")
    for (kind, name), scope in zip(names, ([], ["shop"]), strict=True):
        chart = {"scope": {"namespaces": scope}}
        assert ("", "secrets", "get") not in rights(rendered({**chart, "probeSecrets": values}).one(kind, name))
        granted = rights(rendered({**chart, "probeSecrets": {"enabled": True}}).one(kind, name))
        assert {verb for _, resource, verb in granted if resource == "secrets"} == {"get"}


def test_inline_ca_bundle_needs_no_secret_access(rendered: Render) -> None:
    chart = rendered(file=CHART / "ci" / "given-tls-values.yaml")
    assert "inline" in chart.one("CompositeController")["spec"]["hooks"]["sync"]["webhook"]["caBundle"]
    assert not [one for one in chart.all("ClusterRole", "Role") if ("", "secrets", "get") in rights(one)]


def test_defaults_restrict_the_hook_to_metacontroller(rendered: Render) -> None:
    chart = rendered()
    token = base64.b64decode(chart.one("Secret", f"{NAME}-token")["data"]["token"]).decode()
    assert re.fullmatch(r"[0-9A-Za-z]{43}", token)
    assert rendered().one("Secret", f"{NAME}-token") != chart.one("Secret", f"{NAME}-token"), (
        "a constant would be no secret"
    )
    webhook = chart.one("CompositeController")["spec"]["hooks"]["sync"]["webhook"]
    reference = {"name": f"{NAME}-token", "namespace": NAME, "key": "token"}
    assert webhook["authorization"] == {"type": "Bearer", "secretRef": reference}
    assert chart.settings()["ESO_TOKEN_FILE"] == "/etc/eso/token/tokens"
    assert chart.one("NetworkPolicy")["spec"]["ingress"] == [
        {
            "from": [namespaced("metacontroller"), {"podSelector": {"matchLabels": TEST_POD}}],
            "ports": [{"port": "hook"}],
        },
        {"from": [namespaced("monitoring")], "ports": [{"port": "hook-metrics"}, {"port": "health"}]},
    ]


def test_network_policy_sources_come_from_the_values(rendered: Render) -> None:
    nodes = {"ipBlock": {"cidr": "192.168.0.0/24"}}
    values = {"hookFrom": [namespaced("controllers")], "metricsFrom": [namespaced("watch")], "healthFrom": [nodes]}
    chart = rendered({"networkPolicy": values, "tests": {"enabled": False}})
    pages = [{"port": "hook-metrics"}, {"port": "health"}]
    assert chart.one("NetworkPolicy")["spec"]["ingress"] == [
        {"from": [namespaced("controllers")], "ports": [{"port": "hook"}]},
        {"from": [namespaced("watch"), nodes], "ports": pages},
    ]
    none = rendered({"networkPolicy": {"metricsFrom": []}}).one("NetworkPolicy")["spec"]["ingress"]
    assert [rule["ports"] for rule in none] == [[{"port": "hook"}]]


def namespaced(name: str) -> Object:
    """A NetworkPolicyPeer: the Pods of a namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def test_volume_mounts_contain_the_configured_files(rendered: Render) -> None:
    chart = rendered(file=CHART / "ci" / "cert-manager-values.yaml")
    pod = chart.one("Deployment")["spec"]["template"]["spec"]
    hook, _sidecar = pod["containers"]
    volumes = {one["name"]: one["secret"]["items"] for one in pod["volumes"] if "secret" in one}
    mounted = {
        f"{mount['mountPath']}/{item['path']}" for mount in hook["volumeMounts"] for item in volumes[mount["name"]]
    }
    files = {value for name, value in chart.settings().items() if name.endswith("_FILE")}
    assert files == mounted
    assert len(files) == 4


def test_chart_renders_without_a_cluster(rendered: Render) -> None:
    assert rendered(api="").all("CompositeController")
    assert not rendered({"compositeController": {"enabled": False}}, api="").all("CompositeController")


POD = "spec.template.spec"
IMAGE = f"{POD}.containers.0.image"
LIVENESS_PERIOD = f"{POD}.containers.0.livenessProbe.periodSeconds"
PROBE = {"tcpSocket": {"port": 8080}, "periodSeconds": 3}
DNS = {"nameservers": ["10.0.0.53"], "options": [{"name": "ndots", "value": "1"}]}
DIGEST = f"sha256:{'0' * 64}"
INLINE = {"tls": {"mode": "secret", "secretName": "s", "caBundle": "c"}}
PORT = "spec.ports.0.port"
ANNOTATIONS = {"reloader.example.com/auto": "true"}
GIVEN_LABELS = {"app.kubernetes.io/name": "x", "app.kubernetes.io/managed-by": "x", "app.kubernetes.io/part-of": "shop"}
LABELS = {
    "app.kubernetes.io/instance": NAME,
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/name": NAME,
    "app.kubernetes.io/part-of": "shop",
    "app.kubernetes.io/version": VERSION,
    "helm.sh/chart": f"{NAME}-{VERSION}",
}
HONOR = "spec.endpoints.0.honorLabels"


@pytest.mark.parametrize(
    ("values", "kind", "path", "expected"),
    [
        ({"image": {"registry": "m.example.com:50"}}, "Deployment", IMAGE, f"m.example.com:50/{NAME}:{VERSION}"),
        ({"image": {"registry": "m.io/", "repository": "a/b", "tag": "1"}}, "Deployment", IMAGE, "m.io/a/b:1"),
        ({"image": {"registry": "m.io", "digest": DIGEST}}, "Deployment", IMAGE, f"m.io/{NAME}@{DIGEST}"),
        ({"image": {"repository": "r.example.com/a"}}, "Deployment", IMAGE, f"r.example.com/a:{VERSION}"),
        ({"hook": {"readinessProbe": PROBE}}, "Deployment", f"{POD}.containers.0.readinessProbe", PROBE),
        ({"sidecar": {"livenessProbe": PROBE}}, "Deployment", f"{POD}.containers.1.livenessProbe", PROBE),
        ({"hook": {"livenessProbe": {"periodSeconds": 3}}}, "Deployment", LIVENESS_PERIOD, 3),
        ({"deploymentAnnotations": ANNOTATIONS}, "Deployment", "metadata.annotations", ANNOTATIONS),
        ({}, "Deployment", "metadata.annotations", None),
        ({"commonLabels": GIVEN_LABELS}, "Deployment", "metadata.labels", LABELS),
        ({"podLabels": GIVEN_LABELS}, "Deployment", "spec.template.metadata.labels", LABELS),
        ({"revisionHistoryLimit": 0}, "Deployment", "spec.revisionHistoryLimit", 0),
        ({"dnsConfig": DNS}, "Deployment", f"{POD}.dnsConfig", DNS),
        ({"dnsPolicy": "None"}, "Deployment", f"{POD}.dnsPolicy", "None"),
        ({}, "Deployment", f"{POD}.dnsPolicy", None),
        ({}, "Service", PORT, 80),
        ({"webhook": INLINE}, "Service", PORT, 443),
        ({"service": {"port": 8443}}, "Service", PORT, 8443),
        ({"serviceMonitor": {"enabled": True, "honorLabels": True}}, "ServiceMonitor", HONOR, True),
        ({"serviceMonitor": {"enabled": True, "honorLabels": False}}, "ServiceMonitor", HONOR, False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_value_is_rendered(rendered: Render, values: Object, kind: str, path: str, expected: object) -> None:
    """The value at a path of the object of this kind; None without one."""
    found: Any = rendered(values).one(kind)
    for part in path.split("."):
        found = found[int(part)] if part.isdigit() else (found or {}).get(part)
    assert found == expected


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"service": {"port": 0}}, "minimum: got 0, want 1"),
        ({"replicas": 3}, "additional properties 'replicas' not allowed"),
        ({"webhook": {"tls": {"mode": "yes"}}}, "must be one of 'none', 'secret', 'certManager'"),
        ({"addressPolicy": {"podCIDRs": ["10.0.0.0"]}}, "'10.0.0.0' does not match pattern"),
        ({"scope": {"namespaces": ["Shop"]}}, "'Shop' does not match pattern"),
        ({"config": {"ESO_EVENT": "false"}}, "additional properties 'ESO_EVENT' not allowed"),
        ({"config": {"ESO_ENDPOINTS": "Slices"}}, "must be one of 'Endpoints', 'EndpointSlice', 'Both'"),
        ({"log": {"level": "verbose"}}, "must be one of 'debug', 'info', 'warning', 'error'"),
        ({"webhook": {"token": {"mode": "secret"}}}, "webhook.token.secretName: write the name of your Secret"),
        ({"webhook": {"tls": {"mode": "secret"}}}, "webhook.tls.secretName: write the name of your Secret"),
    ],
)
def test_bad_values_are_refused(rendered: Render, values: Object, complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        rendered(values)
    assert complaint in str(refused.value)


def test_names_of_digits_stay_text(rendered: Render) -> None:
    values = {
        "fullnameOverride": "eso",
        "serviceAccount": {"name": "3"},
        "global": {"imagePullSecrets": [{"name": "4"}]},
    }
    made = rendered(values, release="1", namespace="2")
    assert {one["metadata"].get("namespace", "2") for one in made.manifests} == {"2"}
    assert {one["metadata"]["labels"]["app.kubernetes.io/instance"] for one in made.manifests} == {"1"}
    for spec in (made.one("Pod", "eso-test")["spec"], made.one("Deployment", "eso")["spec"]["template"]["spec"]):
        assert (spec.get("serviceAccountName", "3"), spec["imagePullSecrets"]) == ("3", [{"name": "4"}])


@pytest.mark.parametrize("file", VARIANTS, ids=[path.stem for path in VARIANTS])
def test_variants_are_linted_and_render(helm: Path, rendered: Render, tmp_path: Path, file: Path) -> None:
    run(helm, "lint", "--strict", "--quiet", str(CHART), f"--values={file}", home=tmp_path)
    manifests = rendered(file=file, release="eso", namespace="infra").manifests
    assert len({identity(one) for one in manifests}) == len(manifests)
    assert {one["metadata"]["labels"]["app.kubernetes.io/instance"] for one in manifests if labelled(one)} == {"eso"}


def labelled(manifest: Object) -> bool:
    """Labels that select the Pods of another component."""
    return not manifest["metadata"]["name"].endswith("-extra")


def test_readme_describes_every_value() -> None:
    source = (CHART / "values.yaml").read_text()
    assert README.read_text() == renewed(README.read_text(), source), "run `python -m hack.values_table`"
    told = {path for path, _ in explained(source)}
    assert [path for path in leaves(yaml.safe_load(source)) if not covered(path, told)] == []


def leaves(values: Object, before: str = "") -> list[str]:
    return [
        leaf
        for key, value in values.items()
        for leaf in (leaves(value, f"{before}{key}.") if isinstance(value, dict) and value else [f"{before}{key}"])
    ]


def covered(path: str, told: set[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in told)


def test_schema_contains_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) == set(values)
    for key, value in (values | {"config": schema["properties"]["config"]["properties"]}).items():
        known = schema["properties"][key].get("properties")
        if known is not None:
            assert set(known) == set(value), key
