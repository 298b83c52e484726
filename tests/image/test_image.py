"""The image does both jobs as number 65532, on a read-only root, without a capability, a shell or any other tool."""

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from app.render import sync_request
from cli.__main__ import PROGRAM
from external_service.manifest import external_services
from playground.apiserver import FakeApiServer
from playground.backends import Protocol
from tests.e2e import namespace
from tests.e2e.backends import Mode, Place
from tests.e2e.hosts import Hosts
from tests.image.build import REVISION, VERSION, Built
from tests.image.bundle import Container, Mounted
from tests.until import until

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "metacontroller" / "samples" / "complex-example.yaml"
OURS = ("app", "cli", "external_service", "probe_sidecar", "runtime")

MOST_ADDED_MB = 60
"""Files that we may add to the base. It was 46 MB; a library that doubles it shall be noticed."""

Make = Callable[..., Container]

pytestmark = pytest.mark.image


def test_image_labels_and_configuration(image: Built) -> None:
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in image.config["Labels"].items()}
    labels.pop("io.buildah.version", None)
    assert labels == {
        "title": "external-service-operator",
        "description": "Health-checked Service, Endpoints and Ingress for addresses outside the cluster",
        "licenses": "Apache-2.0",
        "version": VERSION,
        "revision": REVISION,
    }
    assert image.config["User"] == "65532:65532"  # a number: runAsNonRoot can only judge numbers
    assert image.config["StopSignal"] == "SIGTERM"
    assert sorted(image.config["ExposedPorts"]) == ["8080/tcp", "8081/tcp", "8082/tcp"]
    assert image.config["Cmd"][0] == PROGRAM  # no shell stands between the signal and the process
    assert not image.config["Entrypoint"]


def test_image_contains_the_deployments_commands(image: Built) -> None:
    pod = yaml.safe_load((ROOT / "metacontroller" / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    commands = {one["name"]: one["command"] for one in pod["containers"]}
    assert commands == {"hook": image.config["Cmd"], "sidecar": [PROGRAM, "prober"]}
    assert pod["securityContext"]["runAsUser"] == int(image.config["User"].split(":")[0])


def ours(image: Built) -> Iterator[Path]:
    return (image.root / "opt" / "eso").rglob("*")


def files(folder: Path, *, relative_to: Path) -> set[Path]:
    """All files but compiled modules."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(relative_to) for path in found}


def test_image_files_are_not_writable_by_its_user(image: Built) -> None:
    found = [(path, path.lstat()) for path in ours(image) if not path.is_symlink()]
    assert [str(path) for path, status in found if status.st_uid != 0 or status.st_mode & stat.S_IWOTH] == []
    assert [str(path) for path, status in found if status.st_mode & (stat.S_ISUID | stat.S_ISGID)] == []


def test_image_contains_only_runtime_packages(image: Built) -> None:
    (packages,) = (image.root / "opt" / "eso" / "lib").glob("python3*/site-packages")
    wanted = {path for one in OURS for path in files(ROOT / one, relative_to=ROOT)}
    assert {path for one in OURS for path in files(packages / one, relative_to=packages)} == wanted
    assert not (packages / "playground").exists()
    assert not (packages / "pip").exists()
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    installed = {path.name.split("-")[0].lower().replace("_", "-") for path in packages.glob("*.dist-info")}
    assert installed - locked == {"external-service-operator"}
    assert "uvloop" in installed


def test_image_additions_are_small(image: Built) -> None:
    files = {path.lstat().st_ino: path.lstat().st_size for path in ours(image)}
    assert sum(files.values()) / 1e6 < MOST_ADDED_MB


def test_commands_run_without_a_shell_on_a_read_only_root(container: Make) -> None:
    tries = """
import os, pathlib, shutil
print(os.getuid(), os.getgid(), os.getgroups())
print([tool for tool in ("sh", "bash", "dash", "ls", "cat", "apt-get") if shutil.which(tool)])
print([line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")])
for place in ("/opt/eso/x", "/tmp/x", "/x"):
    try:
        pathlib.Path(place).write_text("x")
    except OSError as error:
        print(place, error.strerror)
"""
    status, output = container(["python", "-c", tries]).run()
    assert output.splitlines() == [
        "65532 65532 []",
        "[]",
        "['CapEff:\\t0000000000000000']",
        "/opt/eso/x Read-only file system",
        "/tmp/x Read-only file system",
        "/x Read-only file system",
    ]
    assert status == 0


async def test_hook_responds_and_ends_on_sigterm(container: Make) -> None:
    hook = container(
        environment={"ESO_LISTEN_HOST": "127.0.0.1", "ESO_METRICS_LISTEN_PORT": "0", "ESO_LOG_FORMAT": "json"},
        command=[PROGRAM, "hook", "--host", "127.0.0.1", "--port", "0"],
    )
    hook.start()
    await until(lambda: "health and metrics" in hook.log.read_text(), f"the hook listens: {hook.log}", seconds=30)
    lines = [json.loads(line) for line in hook.log.read_text().splitlines()]
    door, pages = (re.search(r"http://\S+", line["message"]) for line in lines)
    assert door
    assert pages
    sync = sync_request(external_services(SAMPLE.read_text()).documents)
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{door[0]}/sync", content=sync)
        kinds = [child["kind"] for child in response.json()["children"]]
        assert kinds == ["Service", "Endpoints", "EndpointSlice", "Ingress"]
        port = pages[0].rsplit(":", 1)[1]
        assert 'eso_syncs_total{outcome="ok"} 1.0' in (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    hook.signal("TERM")
    assert hook.wait() == 0
    assert len(hook.log.read_text().splitlines()) == 2  # nothing to say while all is well


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Addresses outside, in a network that this test and its containers have for themselves."""
    with namespace.sealed():
        hosts = Hosts(tmp_path)
        hosts.start()
        yield hosts
        hosts.stop()


async def test_sidecar_probes_and_ends_on_sigterm(container: Make, hosts: Hosts, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    manifest = yaml.safe_load(SAMPLE.read_text())
    probe = manifest["spec"]["readinessProbe"]
    probe |= {"periodSeconds": 1, "failureThreshold": 1, "successThreshold": 1}
    hosts.set(Place(ip, probe["httpGet"]["port"], Protocol.HTTP) for ip in manifest["spec"]["ips"])
    async with FakeApiServer() as api:
        api.kubeconfig(config / "kubeconfig").chmod(0o644)
        api.create(manifest)
        sidecar = container(
            [PROGRAM, "prober", "--kubeconfig", "/etc/eso/kubeconfig"],
            environment={"ESO_HEALTH_LISTEN_PORT": "0"},
            mounts=[Mounted(config, "/etc/eso")],
        )
        sidecar.start()

        def ready() -> str | None:
            found = api.get("ExternalService", manifest["metadata"]["namespace"], manifest["metadata"]["name"])
            return ((found or {}).get("status") or {}).get("ready")

        await until(lambda: ready() == "2/2", f"the addresses are ready: {sidecar.log}", seconds=30)
        hosts.switch("10.0.100.10", Mode.REFUSE)
        await until(lambda: ready() == "1/2", "one is not ready", seconds=30)
        sidecar.signal("TERM")
        assert sidecar.wait() == 0


def test_render_and_check_explain_errors(container: Make, tmp_path: Path) -> None:
    folder = tmp_path / "crs"
    folder.mkdir()
    (folder / "bad.yaml").write_text(SAMPLE.read_text().replace("port: 80\n", "port: eighty\n"))
    (folder / "good.yaml").write_text(SAMPLE.read_text())
    mounts = [Mounted(folder, "/crs")]
    status, output = container([PROGRAM, "render", "/crs/good.yaml"], mounts=mounts).run()
    assert (status, [one["kind"] for one in yaml.safe_load_all(output)]) == (
        0,
        ["Service", "Endpoints", "EndpointSlice", "Ingress"],
    )
    for command in ("render", "check"):
        status, output = container([PROGRAM, command, "/crs/bad.yaml"], mounts=mounts).run()
        assert status == 2
        assert "spec.port" in output
