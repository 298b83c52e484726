"""The control plane keeps its own promises: without these, a green scenario would prove nothing."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.controlplane.build import GoMissing, build
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.controlplane.component import Component, NotReady

pytestmark = pytest.mark.e2e

NAMESPACE = "self-check"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
SECONDS = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    try:
        binaries = build()
    except GoMissing as problem:
        pytest.skip(str(problem))
    with ControlPlane(
        binaries, tmp_path_factory.mktemp("control-plane"), audited_namespaces=[NAMESPACE], min_request_timeout=1
    ) as control_plane:
        control_plane.admin.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}}).raise_for_status()
        eventually(lambda: control_plane.kubectl("get", "serviceaccounts", "-n", NAMESPACE, "-o", "name") != "")
        yield control_plane


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {SECONDS:.0f} s"
        time.sleep(0.05)


def create_config_map(cluster: ControlPlane, name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    metadata = {"name": name, "ownerReferences": [owner] if owner else []}
    created: dict[str, Any] = cluster.admin.post(CONFIG_MAPS, json={"metadata": metadata}).raise_for_status().json()
    return created


def as_account(cluster: ControlPlane, token: str, method: str, path: str) -> int:
    """The status code of a request with a bearer token."""
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=cluster.url, verify=cluster.trust(), trust_env=False, headers=bearer) as client:
        return client.request(method, path).status_code


def test_all_parts_are_of_the_release_that_go_mod_names(cluster: ControlPlane) -> None:
    version = cluster.admin.get("/version").json()
    major, minor = cluster.binaries.release[1:].split(".")[:2]
    assert (version["gitVersion"], version["major"], version["minor"]) == (cluster.binaries.release, major, minor)
    assert cluster.kubectl("version").splitlines()[0] == f"Client Version: {cluster.binaries.release}"
    assert subprocess.check_output((cluster.binaries.kube_proxy, "--version"), text=True) == (
        f"Kubernetes {cluster.binaries.release}\n"
    )


def test_processes_talk_to_loopback_only(cluster: ControlPlane) -> None:
    loopback, anywhere = "0100007F", "00000000"  # as the kernel prints them; the far end of a listener is the latter
    pairs = {pair for part in cluster.components for pair in sockets(part.pid)}
    assert pairs == {(loopback, loopback), (loopback, anywhere)}


def sockets(pid: int) -> list[tuple[str, str]]:
    """Local and remote address of each internet socket of a process, in hexadecimal."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").rstrip("]"))
    rows = [
        line.split()
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return [(row[1].partition(":")[0], row[2].partition(":")[0]) for row in rows if row[9] in inodes]


def test_writes_are_audited_with_their_author(cluster: ControlPlane) -> None:
    start = cluster.audit_position()
    create_config_map(cluster, "audited")
    assert cluster.admin.get(f"{CONFIG_MAPS}/audited").is_success
    wanted = ("admin", "create", "audited", 201)
    eventually(lambda: wanted in [audited(event) for event in cluster.audit_events(start)])
    assert ("admin", "get", "audited", 200) not in [audited(event) for event in cluster.audit_events(start)]


def audited(event: dict[str, Any]) -> tuple[str, str, str, int]:
    target = event.get("objectRef", {}).get("name", "")
    return event["user"]["username"], event["verb"], target, event["responseStatus"]["code"]


def test_a_service_account_may_do_nothing_ungranted_and_its_reads_are_audited(cluster: ControlPlane) -> None:
    start = cluster.audit_position()
    token = cluster.service_account_token(NAMESPACE, "default", 600)
    assert as_account(cluster, token, "GET", f"{CONFIG_MAPS}/anything") == 403
    wanted = (f"system:serviceaccount:{NAMESPACE}:default", "get", "anything", 403)
    eventually(lambda: wanted in [audited(event) for event in cluster.audit_events(start)])


@pytest.mark.parametrize(
    ("lifetime", "status"), [pytest.param(60, 403, id="still valid"), pytest.param(-60, 401, id="expired")]
)
def test_tokens_shorter_than_the_api_grants(cluster: ControlPlane, lifetime: int, status: int) -> None:
    token = cluster.short_lived_token(NAMESPACE, "default", lifetime)
    assert as_account(cluster, token, "GET", CONFIG_MAPS) == status


@pytest.mark.parametrize("restarted", [pytest.param(False, id="running"), pytest.param(True, id="restarted")])
def test_garbage_collector_removes_what_its_owner_leaves(cluster: ControlPlane, restarted: bool) -> None:
    if restarted:
        cluster.controller_manager.restart()
    owner = create_config_map(cluster, f"owner-{restarted}".lower())["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["name"], "uid": owner["uid"]}
    dependent = create_config_map(cluster, f"dependent-{restarted}".lower(), reference)["metadata"]["name"]
    bystander = create_config_map(cluster, f"bystander-{restarted}".lower())["metadata"]["name"]
    cluster.admin.delete(f"{CONFIG_MAPS}/{owner['name']}").raise_for_status()
    eventually(lambda: cluster.admin.get(f"{CONFIG_MAPS}/{dependent}").status_code == 404)
    assert cluster.admin.get(f"{CONFIG_MAPS}/{bystander}").is_success


def test_endpoints_are_mirrored_into_a_slice(cluster: ControlPlane) -> None:
    ports = [{"port": 80, "protocol": "TCP"}]
    service = {"metadata": {"name": "mirrored"}, "spec": {"clusterIP": "None", "ports": ports}}
    ready, not_ready = {"ip": "10.0.100.10"}, {"ip": "10.0.100.11"}
    subset = {"addresses": [ready], "notReadyAddresses": [not_ready], "ports": ports}
    endpoints = {"metadata": {"name": "mirrored"}, "subsets": [subset]}
    for kind, manifest in (("services", service), ("endpoints", endpoints)):
        cluster.admin.post(f"/api/v1/namespaces/{NAMESPACE}/{kind}", json=manifest).raise_for_status()

    def mirrored() -> set[tuple[str, bool]]:
        wanted = {"labelSelector": "kubernetes.io/service-name=mirrored"}
        slices = cluster.admin.get(SLICES, params=wanted).raise_for_status().json()["items"]
        found = (endpoint for each in slices for endpoint in each["endpoints"])
        return {(endpoint["addresses"][0], endpoint["conditions"]["ready"]) for endpoint in found}

    eventually(lambda: mirrored() == {("10.0.100.10", True), ("10.0.100.11", False)})


def test_killed_etcd_and_api_server_come_back_with_everything(cluster: ControlPlane) -> None:
    stored = create_config_map(cluster, "kept")
    for component in (cluster.api_server, cluster.etcd):
        former = component.pid
        component.kill()
        assert not component.running
        component.start()
        assert component.pid != former
    cluster.api_server.wait_ready()
    assert cluster.admin.get(f"{CONFIG_MAPS}/kept").raise_for_status().json() == stored


def test_a_paused_api_server_is_silent_and_goes_on(cluster: ControlPlane) -> None:
    cluster.api_server.pause()
    try:
        with pytest.raises(httpx.TimeoutException):
            cluster.admin.get("/version", timeout=0.5)
    finally:
        cluster.api_server.resume()
    assert cluster.admin.get("/version").is_success


def test_min_request_timeout_cuts_watches(cluster: ControlPlane) -> None:
    started = time.monotonic()
    assert cluster.admin.get(CONFIG_MAPS, params={"watch": "true", "resourceVersion": "0"}).is_success
    assert time.monotonic() - started < SECONDS


def test_compacted_revisions_are_gone(cluster: ControlPlane) -> None:
    old = create_config_map(cluster, "old")["metadata"]["resourceVersion"]
    create_config_map(cluster, "new")
    cluster.api_server.restart()  # forgets what it had cached
    then = {"resourceVersion": old, "resourceVersionMatch": "Exact", "limit": "1"}
    assert cluster.admin.get(CONFIG_MAPS, params=then).status_code == 200
    cluster.compact()
    assert cluster.admin.get(CONFIG_MAPS, params=then).status_code == 410
    watch = cluster.admin.get(CONFIG_MAPS, params={"watch": "true", "resourceVersion": old})
    assert watch.json()["object"]["code"] == 410


def test_a_process_that_ends_by_itself_is_reported_with_its_log(tmp_path: Path) -> None:
    broken = Component("broken", ["sh", "-c", "echo no such flag; exit 3"], log=tmp_path / "log", ready=lambda: False)
    with pytest.raises(NotReady, match=r"(?s)broken ended by itself.*no such flag"):
        broken.start()
    broken.stop()


def test_a_component_dies_with_the_tests_even_if_they_are_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.e2e.controlplane.component import Component;"
        "c = Component('sleep', ['sleep', '1000'], log=Path(sys.argv[1]), ready=lambda: True); c.start();"
        "print(c.pid, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        (sys.executable, "-c", script, tmp_path / "log"), stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as tests:
        assert tests.stdout is not None
        pid = int(tests.stdout.readline())
        os.kill(pid, 0)
        tests.send_signal(signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text())


def test_without_go_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GoMissing, match=r"Go 1\.\S+ or newer is needed .*: no `go` in PATH"):
        build(tmp_path)
