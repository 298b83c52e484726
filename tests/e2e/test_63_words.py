"""The words of README.md, install.md and operations.md lead from a bare cluster to a healthy endpoint, and away again.

Each command is typed as it stands. There is no kubelet, so hook and sidecars are the world's own processes; the
Deployment is looked at, not run.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from playground.until import until
from tests.docs.commands import commands
from tests.e2e.manifests import metacontroller_definition
from tests.e2e.real_api import RealApi
from tests.e2e.terminal import ROOT, Terminal
from tests.e2e.world import World, ready

pytestmark = [
    pytest.mark.parametrize("world", [pytest.param("real", marks=pytest.mark.e2e)], indirect=True),
    pytest.mark.world(replicas=2),
]

SAMPLE = yaml.safe_load((ROOT / "metacontroller" / "samples" / "complex-example.yaml").read_text())
NAME, NAMESPACE, IPS = SAMPLE["metadata"]["name"], SAMPLE["metadata"]["namespace"], SAMPLE["spec"]["ips"]
INSTALL = ROOT / "docs" / "install.md"


@pytest.fixture
async def terminal(world: World, tmp_path: Path) -> AsyncIterator[Terminal]:
    """Where Metacontroller's kind is known and the backends are healthy; in the end all is as it was."""
    if world.metacontroller is not None:
        pytest.skip("the shipped CompositeController names a Service, behind which nothing runs here")
    folder = tmp_path / "reader"
    folder.mkdir()
    reader = Terminal(world, folder)
    (folder / "definition.yaml").write_text(yaml.safe_dump(metacontroller_definition()))
    await reader.type("kubectl apply --server-side -f definition.yaml")
    await reader.type("kubectl wait --for=condition=Established -f definition.yaml")
    world.hosts.set(world.places(SAMPLE))
    yield reader
    await reader.type("kubectl delete --ignore-not-found -f definition.yaml")
    assert isinstance(world.api, RealApi)
    await asyncio.to_thread(world.api.install)
    await reader.type(f"kubectl delete --ignore-not-found namespace {NAMESPACE}")


async def test_the_readmes_words_lead_to_a_healthy_endpoint(
    world: World, terminal: Terminal, figures: Callable[..., None]
) -> None:
    for command in commands(ROOT / "README.md", "Deploy"):
        if not command.startswith("helm"):  # instead of the first, see tests/e2e/test_61_chart.py
            await terminal.type(command)
    figures(seconds=await world.until_published(NAME, ready(IPS), namespace=NAMESPACE, seconds=60))
    (command,) = commands(ROOT / "README.md", "Read the status")
    header, row = (await terminal.type(f"{command} -n {NAMESPACE}")).splitlines()
    assert header.split() == ["NAME", "PORT", "READY", "HOSTS", "AGE"]
    assert row.split()[:3] == [NAME, "80", "2/2"]
    (leases,) = commands(ROOT / "docs" / "operations.md", "How many replicas")
    assert len((await terminal.type(leases)).splitlines()) == 1 + len(world.replicas)
    await terminal.type(f"kubectl -n {NAMESPACE} delete externalservice {NAME}")


async def test_the_words_of_install_lead_there_and_away_again(world: World, terminal: Terminal) -> None:
    image, _docker, apply, *first, delete, remove = commands(INSTALL)
    await terminal.type(f"{image}\n{apply}")
    path = "{.items[*].spec.template.spec.containers[*].image}"
    named = f"kubectl -n external-service-operator get deployment -o jsonpath='{path}'"
    assert set((await terminal.type(named)).split()) == {image.removeprefix("IMAGE=")}
    for command in first:
        await terminal.type(command)
    await world.until_published(NAME, ready(IPS), namespace=NAMESPACE, seconds=60)
    await terminal.type(delete)

    async def gone() -> bool:
        return not (await terminal.type(f"kubectl -n {NAMESPACE} get services,ingresses -o name")).strip()

    await until(gone, "the children gone", seconds=60, every=0.5)
    await terminal.type(remove)
    left = await terminal.type("kubectl get crd,clusterrole,clusterrolebinding,namespace -o name")
    assert [one for one in left.splitlines() if "external-service-operator" in one or "crowdfox" in one] == []
