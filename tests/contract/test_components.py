"""metacontroller/ and its kustomize components equal what the chart renders with the same options."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.chart_manifests import COMPONENTS, NAME, written
from runtime import VERSION
from tests.chart.rendering import API, MUTATING_POLICIES, Object, identity, render, rights
from tests.required import cannot_run

DEFAULT = yaml.safe_load((COMPONENTS.parent / "kustomization.yaml").read_text())["components"]
"""Components of metacontroller/ itself, as paths below it."""
ALL = sorted(path.name for path in COMPONENTS.iterdir() if f"components/{path.name}" not in DEFAULT)

BASE: Object = {"webhook": {"token": {"mode": "secret", "secretName": "hook-token"}}, "tests": {"enabled": False}}
"""Values with which the chart says what metacontroller/ says: its Secret has another name."""

VALUES: dict[str, Object] = {
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "tls": {"webhook": BASE["webhook"] | {"tls": {"mode": "certManager"}}},
    "gateway-api": {"compositeController": {"gatewayAPI": True}},
    "admission-policy": {"addressPolicy": {"admission": {"enabled": True}}},
    "probe-secrets": {"probeSecrets": {"enabled": True}},
    "status-policy": {"statusPolicy": {"enabled": True}},
}
"""Values of the chart that switch on the same."""

Build = Callable[..., list[Object]]


@pytest.fixture(scope="session")
def kubectl() -> str:
    found = shutil.which("kubectl")
    if found is None:
        cannot_run("no `kubectl` in PATH to build with")
    return found


@pytest.fixture
def build(kubectl: str, tmp_path: Path) -> Build:
    """`kubectl kustomize` of an overlay of metacontroller/ with components."""

    def built(*components: str) -> list[Object]:
        def relative(path: Path) -> str:
            return os.path.relpath(path, tmp_path)

        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [relative(COMPONENTS.parent)],
            "components": [relative(COMPONENTS / name) for name in components],
        }
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        done = subprocess.run(
            (kubectl, "kustomize", str(tmp_path)), check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    return built


@pytest.fixture
def chart(helm: Path, tmp_path: Path) -> Callable[[Object], list[Object]]:
    newest = f"{API},{MUTATING_POLICIES}"
    return lambda values: list(
        render(helm, tmp_path, values, api=newest if "statusPolicy" in values else API).manifests
    )


def test_each_component_has_an_equivalent_in_the_chart() -> None:
    assert set(VALUES) == set(ALL)
    assert DEFAULT == ["components/networkpolicy", "components/token"]


def content(manifest: Object) -> Any:
    """The content of an object without what only the chart adds: release name, image, checksum."""
    said = plain({key: manifest.get(key) for key in ("spec", "data", "roleRef", "subjects")})
    if "rules" in manifest:
        said["rules"] = rights(manifest)
    if manifest["kind"] == "Service":
        said["spec"].setdefault("type", "ClusterIP")
    if manifest["kind"] == "Deployment":
        said["spec"]["template"].pop("metadata")
        pod = said["spec"]["template"]["spec"]
        pod["volumes"].sort(key=lambda volume: volume["name"])
        for container in pod["containers"]:
            assert container.pop("image").endswith(f"{NAME}:{VERSION}")
            container.pop("imagePullPolicy", None)
            container["command"] = container["command"][:2]  # the chart's settings have host and port
    return said


def plain(value: Any) -> Any:
    """Selectors without the name of the release."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key != "app.kubernetes.io/instance"}
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["", *ALL], ids=lambda name: name or "base")
def test_manifests_equal_the_chart_rendering(build: Build, chart: Callable[[Object], list[Object]], name: str) -> None:
    theirs = {identity(one): content(one) for one in build(*filter(None, [name])) if one["kind"] != "Namespace"}
    ours = {identity(one): content(one) for one in chart(BASE | VALUES.get(name, {}))}
    assert theirs == ours


def test_all_components_combine(build: Build) -> None:
    kinds = {one["kind"] for one in build(*ALL)}
    assert {"NetworkPolicy", "ServiceMonitor", "PrometheusRule", "Certificate"} <= kinds
    assert {"ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"} <= kinds
    (settings,) = (one["data"] for one in build(*ALL) if one["kind"] == "ConfigMap" and one["metadata"]["name"] == NAME)
    assert {"ESO_TOKEN_FILE", "ESO_TLS_CERT_FILE", "ESO_TLS_KEY_FILE"} <= settings.keys()


def test_shared_files_are_generated() -> None:
    assert [path.name for path, text in written() if path.read_text() != text] == [], "run `make manifests`"
