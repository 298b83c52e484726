"""The chart installs, upgrades and uninstalls as documented; its Deployment publishes healthy endpoints."""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from external_service.policy import IN_DENIED_RANGE, PRESETS, AddressPolicy
from hack.values_table import CHART
from playground.manifests import spots
from playground.processes import Component
from tests.chart.binaries import Missing, helm
from tests.chart.rendering import NAME, VARIANTS
from tests.e2e import accounts, process
from tests.e2e.api import write_kubeconfig
from tests.e2e.backends import Mode, Place
from tests.e2e.controlplane.build import Binaries
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.controlplane.pki import Pki
from tests.e2e.hosts import Hosts
from tests.e2e.manifests import external_service, sample
from tests.e2e.pod import Pod, of_deployment
from tests.e2e.reader import Reader
from tests.e2e.world import real_metacontroller
from tests.required import cannot_run

pytestmark = pytest.mark.e2e

ROOT = CHART.parents[1]
SECONDS = 60.0
API_VERSION = "metacontroller.k8s.io/v1alpha1/CompositeController"
PREVIOUS = "0.0.1"
LATER_FIELD = "minReady"
"""A field of the spec that the CRD of an invented previous chart does not have."""

NAMES = {"localhost": "127.0.0.1", f"{NAME}.{NAME}": "127.0.0.1"}
"""There is no cluster DNS: the hook's Service resolves to this machine."""

Object = dict[str, Any]

FOREIGN = {
    "monitoring.coreos.com": ("v1", ("ServiceMonitor", "PrometheusRule")),
    "cert-manager.io": ("v1", ("Issuer", "Certificate")),
    "metacontroller.k8s.io": ("v1alpha1", ("CompositeController",)),
}
"""Foreign kinds in the chart. Their stand-ins accept any object; Metacontroller's own are used if given."""
CLUSTER_SCOPED = ("CompositeController",)


def stand_in(group: str, version: str, kind: str) -> Object:
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in"},
        },
        "spec": {
            "group": group,
            "scope": "Cluster" if kind in CLUSTER_SCOPED else "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }


def foreign_definitions() -> list[Object]:
    made = [stand_in(group, version, kind) for group, (version, kinds) in FOREIGN.items() for kind in kinds]
    if real_metacontroller() is None:
        return made
    given = yaml.safe_load_all(Path(os.environ["METACONTROLLER_CRDS"]).read_text())
    return [one for one in made if "metacontroller" not in one["metadata"]["name"]] + [one for one in given if one]


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

    def get(self, path: str) -> Object | None:
        answer = self.plane.admin.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: Object = answer.raise_for_status().json()
        return found

    def labelled(self, instance: str) -> list[str]:
        """Everything of a release, in all kinds and namespaces."""
        kinds = self.plane.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        known = ",".join(kind for kind in kinds if kind not in ("componentstatuses", "endpoints"))
        selector = f"--selector=app.kubernetes.io/instance={instance}"
        return self.plane.kubectl("get", known, "--all-namespaces", selector, "-o", "name").split()


def until(found: Callable[[], object], what: str, seconds: float = SECONDS) -> float:
    """Waits; returns the seconds."""
    began = time.monotonic()
    while not found():
        assert time.monotonic() < began + seconds, f"not in {seconds:.0f} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began


def served(cluster: Cluster, namespace: str) -> bool:
    """Whether the API server serves ExternalServices; for a moment it responds with 404, then 429."""
    path = f"/apis/eso.crowdfox.com/v1alpha1/namespaces/{namespace}/externalservices"
    return cluster.plane.admin.get(path).is_success


@pytest.fixture
def cluster(
    binaries: Binaries, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """A control plane for each test: the chart installs our CRD, and nothing of another test remains."""
    try:
        binary = helm()
    except Missing as why:
        cannot_run(why)
    request.getfixturevalue("sealed_network")
    with ControlPlane(binaries, tmp_path_factory.mktemp("chart-plane")) as plane:
        made = Cluster(plane, binary, tmp_path_factory.mktemp("home"))
        made.apply(*accounts.metacontroller(), *foreign_definitions())
        for name in ("infra", "shop", "bank"):
            made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        until(
            lambda: all(
                plane.admin.get(f"/apis/{group}/{version}/{kind.lower()}s").is_success
                for group, (version, kinds) in FOREIGN.items()
                for kind in kinds
            ),
            "the kinds of others served",
        )
        yield made


@pytest.fixture
def installed(cluster: Cluster) -> Iterator[Callable[..., None]]:
    """`installed(*arguments)` is `helm install` in a namespace of the release's name; all is gone afterwards."""

    def install(*arguments: str) -> None:
        cluster.helm("install", NAME, str(CHART), f"--namespace={NAME}", "--create-namespace", *arguments)

    yield install
    cluster.shell(f"helm uninstall {NAME} --namespace {NAME} --ignore-not-found --wait")
    cluster.shell(
        "crd=externalservices.eso.crowdfox.com\n"
        "kubectl delete crd $crd --ignore-not-found --timeout=60s || {\n"
        "  kubectl get crd $crd -o jsonpath='{.status.conditions}'\n"  # which objects does it wait for?
        "  kubectl get externalservices --all-namespaces -o jsonpath='{.items[*].metadata}'; exit 1; }\n"
        f"kubectl delete namespace {NAME}"
    )


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
    definition = yaml.safe_load((chart / "files" / "crd.yaml").read_text())
    del spec_of(definition)["properties"][LATER_FIELD]
    (chart / "files" / "crd.yaml").write_text(yaml.safe_dump(definition))
    return chart


def spec_of(definition: Object) -> Object:
    schema: Object = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def definition_of(cluster: Cluster) -> Object | None:
    return cluster.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/externalservices.eso.crowdfox.com")


def secrets(cluster: Cluster) -> dict[str, Object]:
    items = (cluster.get(f"/api/v1/namespaces/{NAME}/secrets") or {"items": []})["items"]
    return {one["metadata"]["name"]: one["data"] for one in items if one["type"] != "helm.sh/release.v1"}


@pytest.mark.types("README.md", helm=True)
def test_upgrade_and_uninstall_keep_crd_and_token(
    cluster: Cluster, tmp_path: Path, installed: Callable[..., None], reader: Reader
) -> None:
    closed = ("--set=addressPolicy.admission.enabled=true",)
    cluster.helm("package", str(previous_chart(tmp_path)), f"--destination={tmp_path}")
    package = tmp_path / f"{NAME}-{PREVIOUS}.tgz"
    where = (f"--namespace={NAME}", "--create-namespace")
    notes = cluster.helm("install", NAME, str(package), *where, *closed)
    assert all(flag in notes for flag in ("--client-go-qps", "--apply-strategy", "--leader-election"))
    cluster.shell(f"helm get manifest {NAME} --namespace {NAME} | kubectl get --filename=- --output=name")
    before = secrets(cluster)
    assert set(before) == {f"{NAME}-token"}
    assert "WARNING: a user who may write an ExternalService" in notes
    older = definition_of(cluster)
    assert older is not None
    assert LATER_FIELD not in spec_of(older)["properties"]
    users = external_service("kept", ["10.0.100.10"])
    users["metadata"]["namespace"] = "shop"
    until(lambda: served(cluster, "shop"), "ExternalServices served")
    cluster.apply(users)

    notes = cluster.helm("upgrade", NAME, str(CHART), f"--namespace={NAME}", *closed, "--set=addressPolicy.open=true")
    assert "WARNING: a user" not in notes
    assert secrets(cluster) == before, "a new token, which Metacontroller would not notice"
    newer = definition_of(cluster)
    assert newer is not None
    assert LATER_FIELD in spec_of(newer)["properties"]
    assert newer["metadata"]["uid"] == older["metadata"]["uid"]
    deployment = cluster.get(f"/apis/apps/v1/namespaces/{NAME}/deployments/{NAME}") or {}
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert deployment["metadata"]["labels"]["helm.sh/chart"] == f"{NAME}-{version}"

    cluster.helm("uninstall", NAME, f"--namespace={NAME}", "--wait")
    left = [f"customresourcedefinition.apiextensions.k8s.io/{newer['metadata']['name']}"]
    until(lambda: cluster.labelled(NAME) == left, "nothing left but the definition")
    assert cluster.get("/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices/kept") is not None
    cluster.shell(reader.take("helm install"))  # with the CRD that remained
    cluster.plane.kubectl("delete", "externalservice", "kept", "--namespace=shop")


@pytest.mark.types("docs/install.md", helm=True)
def test_documented_upgrade_and_uninstall_keep_the_crd(
    cluster: Cluster, installed: Callable[..., None], reader: Reader
) -> None:
    installed("--set=replicaCount=3")
    cluster.shell(reader.take("helm upgrade"))
    deployment = cluster.get(f"/apis/apps/v1/namespaces/{NAME}/deployments/{NAME}") or {}
    assert deployment["spec"]["replicas"] == 3
    cluster.shell(reader.take("helm uninstall"))
    assert definition_of(cluster) is not None


def test_existing_crd_is_adopted_with_take_ownership(cluster: Cluster, installed: Callable[..., None]) -> None:
    """As in docs/migration.md, after the commands that replace the predecessor."""
    crd = "metacontroller/crd.yaml"
    established = f"kubectl wait --for=condition=Established --timeout=30s -f {crd}"  # until then its status is written
    cluster.shell(f"kubectl create -f {crd} && {established} && kubectl replace -f {crd}")
    with pytest.raises(AssertionError, match="invalid ownership metadata"):
        installed()
    installed("--take-ownership")
    found = definition_of(cluster)
    assert found is not None
    assert found["metadata"]["annotations"]["meta.helm.sh/release-name"] == NAME


DENIED = ("10.244.0.0/16", "10.96.0.0/12", "fd00:10:96::/112", "192.0.2.7/32")
ALLOWED = ("10.0.0.0/8", "192.0.2.0/24", "fd00::/8", "100.64.0.0/10")
ADDRESSES = (
    *("10.0.100.10", "10.243.255.255", "10.244.0.0", "10.244.255.255", "10.245.0.0", "10.95.255.255", "10.96.0.1"),
    *("10.111.255.255", "10.112.0.0", "192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.3.1", "203.0.113.9"),
    *("fd00:10:96::1", "fd00:10:96::1:0", "fd00::1", "2001:db8::10", "::a00:1", "64:ff9b::a00:1"),
    *("100.100.100.200", "100.100.100.201", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    *("fd00:42::42", "127.0.0.1", "::1", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::"),
    *("255.255.255.255", "010.0.0.1", "::ffff:10.0.0.1", "2001:DB8::1", "2001:db8:0::1", "www.example.com", ""),
    *("10.0.0.1:80", "10.0.0.0/24", "fe80::1%eth0"),
)


def verdict(cluster: Cluster, ips: Sequence[str], name: str = "judged") -> httpx.Response:
    """The response to an ExternalService with these addresses, as a dry run."""
    made = external_service(name, ips)
    path = "/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices"
    return cluster.plane.admin.post(path, params={"dryRun": "All"}, json=made)


def policies() -> Iterator[tuple[str, str, AddressPolicy]]:
    """Values of the chart, and the policy of hook and sidecar with them."""
    denied, allowed = ("{" + ",".join(ranges) + "}" for ranges in (DENIED, ALLOWED))
    networks = tuple(ip_network(one) for one in DENIED)
    metadata = PRESETS["metadata"]
    yield "defaults", "", AddressPolicy(deny=metadata)
    yield (
        "denied",
        f"--set=addressPolicy.podCIDRs={denied}",
        AddressPolicy(deny=networks + metadata),
    )
    yield (
        "denied-and-allowed",
        f"--set=addressPolicy.deniedCIDRs={denied},addressPolicy.allowedCIDRs={allowed},addressPolicy.denyMetadata=false",
        AddressPolicy(deny=networks, allow=tuple(ip_network(one) for one in ALLOWED)),
    )


@pytest.mark.parametrize(("values", "policy"), [pytest.param(*rest, id=name) for name, *rest in policies()])
def test_admission_policy_agrees_with_the_hook(
    cluster: Cluster, installed: Callable[..., None], values: str, policy: AddressPolicy
) -> None:
    installed("--set=addressPolicy.admission.enabled=true", *filter(None, [values]))
    known = next(ip for ip in ADDRESSES if (policy.refusal(ip) or "").endswith(("denies", "allows")))
    until(
        lambda: verdict(cluster, [known]).status_code == 422, f"the policy in force: {verdict(cluster, [known]).text}"
    )
    good = verdict(cluster, ["10.0.100.10"])
    assert good.is_success, good.text
    disagreed = [ip for ip in ADDRESSES if verdict(cluster, [ip]).is_success is not (policy.refusal(ip) is None)]
    assert disagreed == []
    for ip in ADDRESSES:
        said = policy.refusal(ip) or ""
        if said.endswith(("denies", "allows")):
            assert f"spec.ips: {said}" in verdict(cluster, ["10.0.100.10", ip]).json()["message"]


def test_admission_policy_blocks_no_other_change(cluster: Cluster, installed: Callable[..., None]) -> None:
    """Older objects can be changed, get a status, and be deleted; a thousand addresses are evaluated by many ranges."""
    ranges = ",".join(f"10.{number}.0.0/16" for number in range(200, 250))
    installed("--set=addressPolicy.admission.enabled=false")
    path = "/apis/eso.crowdfox.com/v1alpha1/namespaces/shop/externalservices"
    until(lambda: served(cluster, "shop"), "ExternalServices served")
    made = external_service("older", ["10.0.100.10", "10.210.0.1"])
    made["metadata"] |= {"namespace": "shop"}
    cluster.apply(made)
    values = f"--set=addressPolicy.admission.enabled=true,addressPolicy.deniedCIDRs={{{ranges}}}"
    cluster.helm("upgrade", NAME, str(CHART), f"--namespace={NAME}", values)
    until(lambda: verdict(cluster, ["10.210.0.1"]).status_code == 422, "the policy in force")

    admin, merge = cluster.plane.admin, {"Content-Type": "application/merge-patch+json"}
    admin.patch(f"{path}/older", json={"spec": {"port": 81}}, headers=merge).raise_for_status()
    admin.patch(f"{path}/older", json={"spec": {"ips": ["10.210.0.1"]}}, headers=merge).raise_for_status()
    worse = admin.patch(f"{path}/older", json={"spec": {"ips": ["10.210.0.1", "10.211.0.1"]}}, headers=merge)
    assert f"10.211.0.1 {IN_DENIED_RANGE}" in worse.json()["message"]
    status = {"status": {"revision": 1}}
    admin.patch(f"{path}/older/status", json=status, headers=merge).raise_for_status()
    held = {"metadata": {"finalizers": ["example.com/wait"]}}
    admin.patch(f"{path}/older", json=held, headers=merge).raise_for_status()
    try:
        admin.delete(f"{path}/older").raise_for_status()
    finally:  # else the definition could not be deleted either
        admin.patch(f"{path}/older", json={"metadata": {"finalizers": None}}, headers=merge).raise_for_status()
    until(lambda: cluster.get(f"{path}/older") is None, "deleted")

    many = [f"10.{number // 250}.{number % 250}.1" for number in range(1_000)]
    assert verdict(cluster, many).is_success, verdict(cluster, many).text
    assert verdict(cluster, [*many[:999], "10.249.0.1"]).status_code == 422


@pytest.fixture
def hosts(real_hosts: Hosts) -> Iterator[Hosts]:
    """The hosts of the session, since a network can have one set only; without backends afterwards."""
    yield real_hosts
    real_hosts.clear()


def composite_controller(cluster: Cluster, directory: Path, url: str) -> Component:
    """The real Metacontroller with the rights of the chart, or its stand-in; the hook is at NAME.NAMESPACE."""
    namespace, name = accounts.CONTROLLER_ACCOUNT
    token = cluster.plane.service_account_token(namespace, name, 3_600)
    access = {"server": cluster.plane.url, "certificate-authority": str(cluster.plane.ca_file)}
    kubeconfig = write_kubeconfig(directory, access, accounts.CONTROLLER_ACCOUNT, token)
    real = real_metacontroller()
    if real is None:
        manifest = cluster.get(f"/apis/metacontroller.k8s.io/v1alpha1/compositecontrollers/{NAME}") or {}
        made = process.stand_in(directory, kubeconfig, url, manifest, qps=200, burst=400, window=0)
    else:
        made = process.metacontroller(directory, kubeconfig, real.binary, strategy=real.strategy, qps=200, burst=400)
    file = directory / "hosts.txt"
    file.write_text("".join(f"{address} {known}\n" for known, address in NAMES.items()))
    script = f'set -e; mount --make-rprivate /; mount --bind {file} /etc/hosts; exec "$@"'
    made.component.command = ("unshare", "--mount", "--", "sh", "-c", script, "sh", *made.component.command)
    return made.component


def published(cluster: Cluster, namespace: str, name: str) -> set[str]:
    found = cluster.get(f"/api/v1/namespaces/{namespace}/endpoints/{name}") or {}
    return {one["ip"] for subset in found.get("subsets", ()) for one in subset.get("addresses", ())}


@pytest.mark.types("helm/external-service-operator/README.md", helm=True)
@pytest.mark.metacontroller
def test_chart_readme_leads_to_a_healthy_endpoint(
    cluster: Cluster,
    hosts: Hosts,
    tmp_path: Path,
    installed: Callable[..., None],
    reader: Reader,
    figures: Callable[..., None],
) -> None:
    """With the chart's token; with the real Metacontroller also by TLS, which its stand-in does not have.

    The Service's port is the container's, since there is no kube-proxy.
    """
    real = real_metacontroller() is not None
    tls = "webhook.tls.mode=secret,webhook.tls.secretName=hook-tls," if real else ""
    began = time.monotonic()
    cluster.shell(f"{reader.take('helm install')} --set {tls}service.port=8080")
    cluster.apply(tls_secret(tmp_path))
    until(lambda: cluster.get(f"/api/v1/namespaces/{NAME}/configmaps/kube-root-ca.crt"), "the cluster's CA published")
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
        until(lambda: published(cluster, namespace, name) == set(example["spec"]["ips"]), "healthy endpoints", 90)
        figures(**{"helm install to all endpoints healthy, seconds": time.monotonic() - began})

        lost, left = example["spec"]["ips"]
        hosts.switch(lost, Mode.REFUSE)
        until(lambda: published(cluster, namespace, name) == {left}, "a dead one left", 90)
        leases = cluster.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAME}/leases") or {}
        assert [one["metadata"]["name"] for one in leases["items"]] == [f"probe-sidecar-{NAME}-5d8c9f7b6-x2x4z"]
        assert helm_test(cluster, tmp_path).startswith("the hook makes Service Endpoints")
        stranger = httpx.post(
            f"http{'s' if real else ''}://127.0.0.1:8080/sync", json={}, verify=False, trust_env=False
        )
        assert stranger.status_code == httpx.codes.UNAUTHORIZED, stranger.text
    finally:
        cluster.plane.kubectl("delete", "externalservices", "--all", "--all-namespaces", "--wait=false")
        composite.stop()
        pod.stop()


def tls_secret(directory: Path) -> Object:
    """A certificate for the name that Metacontroller connects to, with its CA."""
    pki = Pki(directory / "pki")
    certificate, key = pki.issue("hook", common_name=NAME, hosts=[f"{NAME}.{NAME}"])
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hook-tls", "namespace": NAME},
        "type": "kubernetes.io/tls",
        "stringData": {
            "ca.crt": pki.ca_file.read_text(),
            "tls.crt": certificate.read_text(),
            "tls.key": key.read_text(),
        },
    }


def helm_test(cluster: Cluster, directory: Path) -> str:
    """The output of the Pod of `helm test`, run as in its manifest."""
    made = yaml.safe_load(cluster.shell(f"helm get hooks {NAME} --namespace {NAME}"))
    return Pod(cluster.plane, made["metadata"], made["spec"], directory, NAMES).once("ask")
