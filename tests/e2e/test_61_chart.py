"""The chart installs, upgrades and uninstalls as documented; its Deployment publishes healthy endpoints."""

import shlex
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hack.values_table import CHART
from playground.manifests import spots
from playground.processes import Component
from tests.chart.rendering import NAME, VARIANTS
from tests.e2e import accounts, process, traefik
from tests.e2e.backends import Mode, Place
from tests.e2e.conftest import metacontroller_definitions
from tests.e2e.controlplane.build import Binaries
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.controlplane.pki import Pki
from tests.e2e.hosts import Hosts
from tests.e2e.manifests import definition, external_service, metacontroller_definition, sample
from tests.e2e.pod import Pod, of_deployment
from tests.e2e.reader import Reader
from tests.e2e.real_api import write_kubeconfig
from tests.e2e.world import real_metacontroller
from tests.until import wait

pytestmark = pytest.mark.e2e

ROOT = CHART.parents[1]
API_VERSION = "metacontroller.k8s.io/v1alpha1/CompositeController"
PREVIOUS = "0.0.1"
DEFINITION = "externalservices.eso.crowdfox.com"
USERS = "/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices"
LATER_FIELD = "minReady"
"""A field of the spec that the CRD of an invented previous chart does not have."""

NAMES = {"localhost": "127.0.0.1", f"{NAME}.{NAME}": "127.0.0.1"}
"""There is no cluster DNS: the hook's Service resolves to this machine."""

Object = dict[str, Any]

FOREIGN = {
    "monitoring.coreos.com": ("v1", ("ServiceMonitor", "PrometheusRule")),
    "cert-manager.io": ("v1", ("Issuer", "Certificate")),
}
"""Foreign kinds in the chart, beside Metacontroller's."""


def foreign_definitions() -> list[Object]:
    given = metacontroller_definitions() or [metacontroller_definition()]
    others = [definition(group, version, kind) for group, (version, kinds) in FOREIGN.items() for kind in kinds]
    return [*given, *others]


class Cluster:
    """The control plane with the foreign kinds, helm and kubectl."""

    def __init__(self, plane: ControlPlane, helm_binary: Path, home: Path) -> None:
        self.plane = plane
        self._home = home
        self._tools = home / "bin"
        self._tools.mkdir()
        for name, path in (("helm", helm_binary), ("kubectl", plane.binaries.kubectl)):
            (self._tools / name).symlink_to(path)

    def shell(self, script: str) -> str:
        """The output of a script with helm and kubectl for this cluster; a failure has its stderr."""
        environment = {
            "PATH": f"{self._tools}:/usr/bin:/bin",
            "HOME": str(self._home),
            "KUBECONFIG": str(self.plane.admin_kubeconfig),
        }
        done = subprocess.run(
            ("bash", "-euc", script),
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        assert "arning" not in done.stderr, done.stderr
        return done.stdout

    def helm(self, *arguments: str) -> str:
        return self.shell(shlex.join(("helm", *arguments)))

    def apply(self, *manifests: Object) -> None:
        self.plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def get(self, path: str) -> Object:
        """The object; empty if there is none."""
        response = self.plane.admin.get(path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return {}
        found: Object = response.raise_for_status().json()
        return found

    def labelled(self, instance: str) -> list[str]:
        """Everything of a release, in all kinds and namespaces."""
        kinds = self.plane.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        known = ",".join(kind for kind in kinds if kind not in ("componentstatuses", "endpoints"))
        selector = f"--selector=app.kubernetes.io/instance={instance}"
        return self.plane.kubectl("get", known, "--all-namespaces", selector, "-o", "name").split()


@pytest.fixture(scope="module")
def cluster(
    helm: Path, binaries: Binaries, sealed_network: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A control plane without our CRD, which the chart installs."""
    with ControlPlane(binaries, tmp_path_factory.mktemp("chart-plane")) as plane:
        made = Cluster(plane, helm, tmp_path_factory.mktemp("home"))
        definitions = foreign_definitions()
        made.apply(*accounts.metacontroller(), *definitions)
        names = [one["metadata"]["name"] for one in definitions]
        plane.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", *names)
        for name in ("infra", "shop", "bank"):
            made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield made


@pytest.fixture
def cleared(cluster: Cluster) -> Iterator[None]:
    """The release, its namespace and the CRD are gone afterwards."""
    yield
    cluster.shell(f"helm uninstall {NAME} --namespace {NAME} --ignore-not-found --wait")
    cluster.shell(f"kubectl delete crd {DEFINITION} --ignore-not-found --timeout=60s; kubectl delete namespace {NAME}")


@pytest.mark.parametrize("file", [None, *VARIANTS], ids=lambda path: path.stem if path else "defaults")
def test_api_server_accepts_every_chart_variant(cluster: Cluster, file: Path | None) -> None:
    """Every field of every object exists in its kind and has a valid value."""
    values = f"--values={file}" if file else ""
    checked = cluster.shell(
        f"helm template eso {CHART} --namespace infra {values} --api-versions {API_VERSION} "
        "| kubectl apply --dry-run=server --validate=strict --filename=-"
    )
    assert checked.count("dry run") > 10


def previous_chart(directory: Path) -> Path:
    """The package of an earlier version: none is released yet, so it is this one with an older CRD."""
    chart = directory / NAME
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about | {"version": PREVIOUS, "appVersion": PREVIOUS}))
    older = yaml.safe_load((chart / "files" / "crd.yaml").read_text())
    del spec_of(older)["properties"][LATER_FIELD]
    (chart / "files" / "crd.yaml").write_text(yaml.safe_dump(older))
    return chart


def spec_of(crd: Object) -> Object:
    schema: Object = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def definition_of(cluster: Cluster) -> Object:
    return cluster.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{DEFINITION}")


def secrets(cluster: Cluster) -> dict[str, Object]:
    items = cluster.get(f"/api/v1/namespaces/{NAME}/secrets")["items"]
    return {one["metadata"]["name"]: one["data"] for one in items if one["type"] != "helm.sh/release.v1"}


@pytest.mark.types("docs/install.md", helm=True)
def test_upgrade_and_uninstall_keep_crd_and_token(
    cluster: Cluster, tmp_path: Path, cleared: None, reader: Reader
) -> None:
    cluster.helm("package", str(previous_chart(tmp_path)), f"--destination={tmp_path}")
    package = tmp_path / f"{NAME}-{PREVIOUS}.tgz"
    options = ("--create-namespace", "--set=replicaCount=3", "--set=addressPolicy.admission.enabled=true")
    notes = cluster.helm("install", NAME, str(package), f"--namespace={NAME}", *options)
    assert all(flag in notes for flag in ("--client-go-qps", "--apply-strategy", "--leader-election"))
    assert "WARNING: a user who may write an ExternalService" in notes
    cluster.shell(f"helm get manifest {NAME} --namespace {NAME} | kubectl get --filename=- --output=name")
    before = secrets(cluster)
    assert set(before) == {f"{NAME}-token"}
    older = definition_of(cluster)
    assert LATER_FIELD not in spec_of(older)["properties"]
    users = external_service("kept", ["10.0.100.10"])
    users["metadata"]["namespace"] = "shop"
    wait(lambda: cluster.plane.admin.get(USERS).is_success, "ExternalServices served")
    cluster.apply(users)

    notes = cluster.shell(f"{reader.take('helm upgrade')} --set addressPolicy.open=true")
    assert "WARNING: a user" not in notes
    assert secrets(cluster) == before, "a new token, which Metacontroller would not notice"
    newer = definition_of(cluster)
    assert LATER_FIELD in spec_of(newer)["properties"]
    assert newer["metadata"]["uid"] == older["metadata"]["uid"]
    deployment = cluster.get(f"/apis/apps/v1/namespaces/{NAME}/deployments/{NAME}")
    assert deployment["spec"]["replicas"] == 3
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert deployment["metadata"]["labels"]["helm.sh/chart"] == f"{NAME}-{version}"

    cluster.shell(reader.take("helm uninstall"))
    left = [f"customresourcedefinition.apiextensions.k8s.io/{newer['metadata']['name']}"]
    wait(lambda: cluster.labelled(NAME) == left, "nothing left but the definition")
    assert cluster.get(f"{USERS}/kept")
    cluster.plane.kubectl("delete", "externalservice", "kept", "--namespace=shop")


@pytest.mark.types("README.md", helm=True)
def test_existing_crd_is_adopted_with_take_ownership(cluster: Cluster, cleared: None, reader: Reader) -> None:
    """As in docs/migration.md, after the commands that replace the predecessor."""
    crd = "metacontroller/crd.yaml"
    established = f"kubectl wait --for=condition=Established --timeout=30s -f {crd}"  # until then its status is written
    cluster.shell(f"kubectl create -f {crd} && {established} && kubectl replace -f {crd}")
    install = reader.take("helm install")
    with pytest.raises(AssertionError, match="invalid ownership metadata"):
        cluster.shell(install)
    cluster.shell(f"{install} --take-ownership")
    annotations = definition_of(cluster)["metadata"]["annotations"]
    assert annotations["meta.helm.sh/release-name"] == NAME
    cluster.shell(f"helm uninstall {NAME} --namespace {NAME} --wait")
    cluster.shell(install)  # with the CRD that remained


@pytest.fixture
def hosts(real_hosts: Hosts) -> Iterator[Hosts]:
    """The hosts of the session, since a network can have one set only; without backends afterwards."""
    yield real_hosts
    real_hosts.clear()


def composite_controller(cluster: Cluster, directory: Path, url: str) -> Component:
    """The real Metacontroller with the rights of the chart, or its stand-in; the hook is at NAME.NAMESPACE."""
    token = accounts.token(cluster.plane.admin, accounts.CONTROLLER_ACCOUNT)
    access = {"server": cluster.plane.url, "certificate-authority": str(cluster.plane.ca_file)}
    kubeconfig = write_kubeconfig(directory, access, accounts.CONTROLLER_ACCOUNT, token)
    real = real_metacontroller()
    if real is None:
        manifest = cluster.get(f"/apis/metacontroller.k8s.io/v1alpha1/compositecontrollers/{NAME}")
        made = process.stand_in(directory, kubeconfig, url, manifest, qps=200, burst=400)
    else:
        made = process.metacontroller(directory, kubeconfig, real.binary, strategy=real.strategy, qps=200, burst=400)
    file = directory / "hosts.txt"
    file.write_text("".join(f"{address} {known}\n" for known, address in NAMES.items()))
    script = f'set -e; mount --make-rprivate /; mount --bind {file} /etc/hosts; exec "$@"'
    made.component.command = ("unshare", "--mount", "--", "sh", "-c", script, "sh", *made.component.command)
    return made.component


def published(cluster: Cluster, namespace: str, name: str) -> set[str]:
    found = cluster.get(f"/api/v1/namespaces/{namespace}/endpoints/{name}")
    return {one["ip"] for subset in found.get("subsets", ()) for one in subset.get("addresses", ())}


@pytest.mark.types("helm/external-service-operator/README.md", helm=True)
@pytest.mark.metacontroller
def test_chart_readme_leads_to_a_healthy_endpoint(
    cluster: Cluster,
    hosts: Hosts,
    tmp_path: Path,
    cleared: None,
    reader: Reader,
) -> None:
    """With the chart's token; with the real Metacontroller also by TLS, which its stand-in does not have.

    The Service's port is the container's, since there is no kube-proxy.
    """
    real = real_metacontroller() is not None
    tls = "webhook.tls.mode=secret,webhook.tls.secretName=hook-tls," if real else ""
    cluster.shell(f"{reader.take('helm install')} --set {tls}service.port=8080")
    cluster.apply(tls_secret(tmp_path))
    wait(lambda: cluster.get(f"/api/v1/namespaces/{NAME}/configmaps/kube-root-ca.crt"), "the cluster's CA published")
    pod = of_deployment(cluster.plane, NAME, NAME, tmp_path, NAMES)
    composite = composite_controller(cluster, tmp_path, f"http://{NAME}.{NAME}:8080")
    try:
        pod.start()
        composite.start()
        example = sample("complex-example")
        namespace, name = example["metadata"]["namespace"], example["metadata"]["name"]
        hosts.set([Place(spot.ip, spot.port, spot.protocol) for spot in spots(example)])
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        cluster.shell("kubectl apply -f metacontroller/samples/complex-example.yaml")
        wait(
            lambda: published(cluster, namespace, name) == set(example["spec"]["ips"]), "healthy endpoints", seconds=90
        )

        lost, left = example["spec"]["ips"]
        hosts.switch(lost, Mode.REFUSE)
        wait(lambda: published(cluster, namespace, name) == {left}, "a dead one left", seconds=90)
        leases = cluster.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAME}/leases")
        assert [one["metadata"]["name"] for one in leases["items"]] == [f"probe-sidecar-{NAME}-5d8c9f7b6-x2x4z"]
        assert helm_test(cluster, tmp_path).startswith("the hook makes Service Endpoints")
        outsider = httpx.post(
            f"http{'s' if real else ''}://127.0.0.1:8080/sync", json={}, verify=False, trust_env=False
        )
        assert outsider.status_code == httpx.codes.UNAUTHORIZED, outsider.text
    finally:
        cluster.plane.kubectl("delete", "externalservices", "--all", "--all-namespaces", "--wait=false")
        composite.stop()
        pod.stop()


def tls_secret(directory: Path) -> Object:
    """A certificate for the name that Metacontroller connects to, with its CA."""
    pki = Pki(directory / "pki")
    secret = traefik.tls_secret(pki, "hook-tls", [f"{NAME}.{NAME}"], NAME)
    secret["data"]["ca.crt"] = b64encode(pki.ca_file.read_bytes()).decode()
    return secret


def helm_test(cluster: Cluster, directory: Path) -> str:
    """The output of the Pod of `helm test`, run as in its manifest."""
    made = yaml.safe_load(cluster.shell(f"helm get hooks {NAME} --namespace {NAME}"))
    return Pod(cluster.plane, made["metadata"], made["spec"], directory, NAMES).once("ask")
