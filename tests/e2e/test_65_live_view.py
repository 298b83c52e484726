"""The live view of a sidecar is read through the API server, with the commands of status.md.

No kubelet is needed: the API server connects to the address of the Pod, on which a sidecar listens here.
"""

import re

import pytest
import yaml

from playground.client import Kind
from tests.docs.commands import ROOT, blocks
from tests.e2e import accounts, namespace
from tests.e2e.backends import Mode
from tests.e2e.reader import Reader
from tests.e2e.terminal import Terminal
from tests.e2e.world import World, ready
from tests.until import until

pytestmark = pytest.mark.world(replicas=1)

PODS = Kind("v1", "pods", "Pod", namespaced=True)
HOST = namespace.NEAR[0]  # the API server refuses to connect to a loopback address
DEPLOYMENT = yaml.safe_load((ROOT / "metacontroller" / "deployment.yaml").read_text())
EXAMPLE = next(
    yaml.safe_load(text) for kind, text in blocks((ROOT / "README.md").read_text()) if kind == "yaml" and "kind" in text
)


async def pod_of(world: World, letter: str) -> None:
    """The Pod of a replica, as of the Deployment, with the status that a kubelet would write."""
    name, template = world.pod(letter), DEPLOYMENT["spec"]["template"]
    metadata = {"name": name, "namespace": accounts.NAMESPACE, "labels": template["metadata"]["labels"]}
    await world.client.create(PODS.path(accounts.NAMESPACE), {"metadata": metadata, "spec": template["spec"]})
    status = {"phase": "Running", "podIP": HOST, "podIPs": [{"ip": HOST}]}
    await world.client.patch(PODS.path(accounts.NAMESPACE, name, "status"), {"status": status})


@pytest.mark.types("docs/status.md")
async def test_live_view_equals_the_status_page(world: World, terminal: Terminal, reader: Reader) -> None:
    if world.api.control_plane is None:
        pytest.skip("a given cluster's API server does not reach this machine: unset KUBECONFIG_E2E to run this")
    await world.sidecar.stop()
    replica = world.replica("a", host=HOST, settings={"ESO_HEALTH_LISTEN_PORT": "8081"})
    await replica.start()
    await pod_of(world, "a")
    try:
        name, place = EXAMPLE["metadata"]["name"], EXAMPLE["metadata"]["namespace"]
        healthy, dying = EXAMPLE["spec"]["ips"]
        await world.apply(EXAMPLE)
        await world.until_published(name, ready([healthy, dying]), namespace=place)
        world.hosts.switch(dying, Mode.REFUSE)
        await terminal.type(reader.take("POD="))
        ask = reader.take("kubectl get --raw")

        async def failing() -> bool:
            return "connection refused" in await terminal.type(ask)

        await until(failing, "the live view shows a failed probe", seconds=60, every=1)
        header, *rows = (await terminal.type(ask)).splitlines()
        shown = next(text for _, text in blocks((ROOT / "docs" / "status.md").read_text()) if "$ POD=" in text)
        assert header.split() == shown.splitlines()[2].split()
        assert [row.split()[:3] for row in rows] == [[place, name, healthy], [place, name, dying]]
        assert re.search(r"yes +ProbeSucceeded +\d+ ok +HTTP 200 ", rows[0])
        assert re.search(r" [123]/3 failed +connection refused ", rows[1])

        text = await terminal.type(f"kubectl extsvc status {place}/{name}")  # the plugin, from .venv/bin
        assert text.startswith(f"{place}/{name}: ")
        live = text.partition(f"Live, from {world.pod('a')}:\n")[2].splitlines()
        assert [row.split()[0] for row in live] == ["ADDRESS", healthy, dying]
        assert re.search(r"\d failed +connection refused ", live[2])
    finally:
        await world.delete(world.pod("a"), kind=PODS, namespace=accounts.NAMESPACE)
        await replica.stop()
