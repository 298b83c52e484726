"""Real kubectl against the stand-in: what a user sees. Skipped where there is no kubectl."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from playground.apiserver import FakeApiServer
from playground.manifests import FOLDER

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(
    KUBECTL is None, reason="kubectl is not installed: what it shows of the API is untested"
)

Run = Callable[..., Awaitable[str]]

WEB = """
apiVersion: eso.crowdfox.com/v1alpha1
kind: ExternalService
metadata: {name: web}
spec:
  port: 80
  ips: [10.0.0.1, 10.0.0.2]
  hosts: [{host: www.example.com}, {host: shop.example.com}]
  readinessProbe: {httpGet: {port: 8080}}
"""


@pytest.fixture
def kubectl(server: FakeApiServer, tmp_path: Path) -> Run:
    config = server.kubeconfig(tmp_path / "kubeconfig")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "KUBECONFIG": str(config),
        "KUBECACHEDIR": str(tmp_path / "cache"),
    }

    async def run(*arguments: str, stdin: str = "", fails: bool = False) -> str:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(30):
            output, _ = await process.communicate(stdin.encode())
        assert (process.returncode != 0) is fails, output.decode()
        return output.decode()

    return run


async def test_kubectl_apply_get_and_delete(kubectl: Run, server: FakeApiServer) -> None:
    assert await kubectl("apply", "-f", "-", stdin=WEB) == "externalservice.eso.crowdfox.com/web created\n"
    assert server.get("ExternalService", "default", "web") is not None
    header, row = (await kubectl("get", "externalservices")).splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "HOSTS", "AGE"]
    assert row.split()[0] == "web"
    assert "80" in (await kubectl("get", "extsvc", "-o", "wide")).splitlines()[1].split()
    assert "failureThreshold: 3" in await kubectl("get", "extsvc", "web", "-o", "yaml")
    changed = WEB.replace("port: 80\n", "port: 81\n")
    assert await kubectl("apply", "-f", "-", stdin=changed) == "externalservice.eso.crowdfox.com/web configured\n"
    web = server.get("ExternalService", "default", "web")
    assert web is not None
    assert (web["spec"]["port"], web["metadata"]["generation"]) == (81, 2)
    assert (await kubectl("delete", "extsvc", "web")).startswith('externalservice.eso.crowdfox.com "web" deleted')
    assert server.get("ExternalService", "default", "web") is None


async def test_kubectl_explain_and_built_in_kinds(kubectl: Run) -> None:
    assert "numeric" in (text := await kubectl("explain", "extsvc.spec.port")) or "number" in text
    await kubectl("apply", "-f", "-", stdin=WEB)
    assert "Kind:         ExternalService" in await kubectl("describe", "extsvc", "web")
    await kubectl("create", "namespace", "shop")
    assert "shop" in await kubectl("get", "namespaces")
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: None, ports: [{port: 80}]}\n"
    warning = "Warning: the playground does not check the fields of this kind\n"
    assert await kubectl("apply", "-f", "-", stdin=service) == f"{warning}service/a created\n"
    assert (await kubectl("apply", "-f", "-", stdin=service)).endswith("service/a unchanged\n")
    assert (await kubectl("get", "services")).splitlines()[1].split()[:5] == [
        "a",
        "ClusterIP",
        "None",
        "<none>",
        "80/TCP",
    ]


async def test_apply_of_the_shipped_manifests_stores_all(kubectl: Run, server: FakeApiServer) -> None:
    shown = await kubectl("apply", "-k", str(FOLDER))
    assert "deployment.apps/external-service-operator created" in shown
    assert "the playground stores this object and does nothing with it" in shown
    assert server.get("CompositeController", "", "external-service-operator") is not None
    assert "created" not in await kubectl("apply", "-k", str(FOLDER))
    job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec: {}\n"
    assert 'no matches for kind "Job" in version "batch/v1"' in await kubectl("apply", "-f", "-", stdin=job, fails=True)
