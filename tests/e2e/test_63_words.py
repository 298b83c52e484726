"""The commands of README.md, install.md and operations.md lead from an empty cluster to a healthy endpoint, and back.

Each command is typed as written. There is no kubelet, so hook and sidecars are the processes of the world; the
Deployment is compared, not run.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import yaml

from tests.docs.commands import mentioned, readme_block
from tests.e2e.manifests import metacontroller_definition, sample
from tests.e2e.reader import Reader
from tests.e2e.terminal import Terminal
from tests.e2e.world import World, ready
from tests.until import until_equal

pytestmark = pytest.mark.world(replicas=2)

SAMPLE = sample("complex-example")
NAME, NAMESPACE, IPS = SAMPLE["metadata"]["name"], SAMPLE["metadata"]["namespace"], SAMPLE["spec"]["ips"]


@pytest.fixture
async def bare(world: World, terminal: Terminal) -> AsyncIterator[None]:
    """With Metacontroller's kind and healthy backends; at the end all is as before."""
    if world.metacontroller is not None:
        pytest.skip("the shipped CompositeController names a Service, behind which nothing runs here")
    definition = yaml.safe_dump(metacontroller_definition())
    await terminal.type(f"cat > definition.yaml << 'END'\n{definition}END")
    await terminal.type("kubectl apply --server-side -f definition.yaml")
    await terminal.type("kubectl wait --for=condition=Established -f definition.yaml")
    world.hosts.set(world.places(SAMPLE))
    yield
    await terminal.type("kubectl delete --ignore-not-found -f definition.yaml")
    await terminal.type("kubectl -n external-service-operator delete --ignore-not-found secret hook-token")
    await asyncio.to_thread(world.api.install)
    await terminal.type(f"kubectl delete --ignore-not-found namespace {NAMESPACE}")


@pytest.mark.types("README.md")
async def test_readme_commands_lead_to_a_healthy_endpoint(
    world: World, terminal: Terminal, bare: None, reader: Reader
) -> None:
    show = reader.take("kubectl get extsvc")  # at the top of the page, of the object that the page begins with
    while reader.left:
        await terminal.type(reader.take())
    await world.until_published(NAME, ready(IPS), namespace=NAMESPACE, seconds=60)
    own = yaml.safe_load(readme_block("kind: ExternalService"))
    await world.apply(own)
    await world.until_published("static", ready(own["spec"]["ips"]), namespace="shop")
    header, row = (await terminal.type(show)).splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "HOSTS", "AGE"]
    assert row.split()[:3] == ["static", "2/2", "OK"]
    await terminal.type(f"kubectl -n {NAMESPACE} delete externalservice {NAME}")


async def test_kubectl_commands_in_sentences_work(world: World, terminal: Terminal, bare: None) -> None:
    """A command in a sentence, about an ExternalService that is called NAME there."""
    await world.apply({**SAMPLE, "metadata": {"name": NAME}})
    await world.until_published(NAME, ready(IPS), seconds=60)
    for command in mentioned():
        place = "" if " -k " in command or " -A" in command else f" -n {world.namespace}"
        assert await terminal.type(command.replace("NAME", NAME) + place), command


@pytest.mark.types("docs/install.md")
async def test_install_page_installs_and_uninstalls(
    world: World, terminal: Terminal, bare: None, reader: Reader
) -> None:
    image = reader.take("IMAGE=")
    await terminal.type(image)
    for command in reader.until("kubectl create namespace"):
        await terminal.type(command)
    path = "{.items[*].spec.template.spec.containers[*].image}"
    named = f"kubectl -n external-service-operator get deployment -o jsonpath='{path}'"
    assert set((await terminal.type(named)).split()) == {image.removeprefix("IMAGE=")}
    for command in reader.until("kubectl delete"):  # the upgrade applies the same overlay again
        await terminal.type(command)
    assert set((await terminal.type(named)).split()) == {image.removeprefix("IMAGE=")}
    assert "networkpolicy" in await terminal.type("kubectl -n external-service-operator get networkpolicy -o name")
    await world.until_published(NAME, ready(IPS), namespace=NAMESPACE, seconds=60)
    await terminal.type(reader.take("kubectl delete externalservices"))

    children = f"kubectl -n {NAMESPACE} get services,ingresses -o name"
    await until_equal(lambda: terminal.type(children), "", every=0.5)
    await terminal.type(reader.take("kubectl delete crd"))
    await terminal.type(reader.take("kubectl delete --ignore-not-found -k"))
    left = await terminal.type("kubectl get crd,clusterrole,clusterrolebinding,flowschema,namespace -o name")
    assert [one for one in left.splitlines() if "external-service-operator" in one or "crowdfox" in one] == []


@pytest.mark.types("docs/operations.md")
async def test_operations_page_shows_a_lease_for_each_replica(world: World, terminal: Terminal, reader: Reader) -> None:
    shown = await terminal.type(reader.take())
    assert len(shown.splitlines()) == 1 + len(world.replicas)
