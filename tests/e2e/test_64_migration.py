"""The commands of migration.md hand over the predecessor's children: none is deleted or created again.

The predecessor runs on no supported cluster; its definition, children and Deployment (predecessor/) and ExternalService
are as it wrote them, but for the Ingress, whose API version no longer exists.
"""

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from playground.client import ENDPOINTS, EXTERNAL_SERVICES, INGRESSES, SERVICES, Kind
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.manifests import sample
from tests.e2e.reader import Reader
from tests.e2e.terminal import Terminal
from tests.e2e.world import World, ready
from tests.until import until_equal

SAMPLE = sample("complex-example")
NAME, NAMESPACE, IPS = SAMPLE["metadata"]["name"], SAMPLE["metadata"]["namespace"], SAMPLE["spec"]["ips"]
KINDS = (SERVICES, ENDPOINTS, INGRESSES)
DEFINITIONS = Kind("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
PREDECESSOR = Path(__file__).resolve().parent / "predecessor"
DEFINITION_NAME = "externalservices.eso.crowdfox.com"


async def uids(world: World) -> list[str]:
    return [(await world.client.get(kind.path(NAMESPACE, NAME)))["metadata"]["uid"] for kind in KINDS]


async def definition(world: World) -> dict[str, Any]:
    spec: dict[str, Any] = (await world.client.get(DEFINITIONS.path(name=DEFINITION_NAME)))["spec"]
    return spec


def write_as_v1beta1_left_it(plane: ControlPlane) -> None:
    """Writes to etcd that its objects are not pruned, then the default; no API server accepts this today."""
    key = b64encode(f"/registry/apiextensions.k8s.io/{DEFINITIONS.plural}/{DEFINITION_NAME}".encode()).decode()
    (found,) = plane.admin.post(f"{plane.etcd_url}/v3/kv/range", json={"key": key}).raise_for_status().json()["kvs"]
    stored = json.loads(b64decode(found["value"]))
    stored["spec"]["preserveUnknownFields"] = True
    value = b64encode(json.dumps(stored).encode()).decode()
    plane.admin.post(f"{plane.etcd_url}/v3/kv/put", json={"key": key, "value": value}).raise_for_status()


async def defined_by_the_predecessor(world: World, terminal: Terminal, folder: Path) -> None:
    """The predecessor's definition instead of ours."""
    (folder / "predecessor").symlink_to(PREDECESSOR)
    await terminal.type("kubectl replace -f predecessor/definition.yaml")
    if world.api.control_plane is not None:
        write_as_v1beta1_left_it(world.api.control_plane)

        async def unpruned() -> object:
            return (await definition(world)).get("preserveUnknownFields")

        await until_equal(unpruned, wanted=True)


async def left_by_the_predecessor(world: World, terminal: Terminal, folder: Path) -> None:
    """The predecessor's ExternalService, the owned children, and its Deployment."""
    world.hosts.set(world.places(SAMPLE))
    (folder / "parent.yaml").write_text(yaml.safe_dump(SAMPLE))
    await terminal.type("kubectl create namespace operators && kubectl apply -f predecessor/deployment.yaml")
    await terminal.type(f"kubectl create namespace {NAMESPACE} && kubectl apply -f parent.yaml")
    uid = (await world.client.get(EXTERNAL_SERVICES.path(NAMESPACE, NAME)))["metadata"]["uid"]
    owner = {"apiVersion": EXTERNAL_SERVICES.api_version, "kind": EXTERNAL_SERVICES.kind, "name": NAME, "uid": uid}
    owner |= {"controller": True, "blockOwnerDeletion": True}
    labels = {"app": NAME, "serviceType": "external"}
    meta = {"name": NAME, "namespace": NAMESPACE, "labels": labels, "ownerReferences": [owner]}
    children = [one | {"metadata": meta} for one in yaml.safe_load_all((PREDECESSOR / "children.yaml").read_text())]
    (folder / "children.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": children}))
    await terminal.type("kubectl create -f children.json")


@pytest.mark.types("docs/migration.md")
async def test_migration_page_hands_over_the_children(
    world: World, terminal: Terminal, reader: Reader, tmp_path: Path
) -> None:
    await world.composite.stop()  # as before the installation
    await world.sidecar.stop()
    ours = await definition(world)
    try:
        await defined_by_the_predecessor(world, terminal, tmp_path / "reader")
        await left_by_the_predecessor(world, terminal, tmp_path / "reader")
        before = await uids(world)
        for command in reader.until("kubectl get externalservices -A -o go-template"):
            await terminal.type(command)
        scaled = await terminal.type("kubectl -n operators get deployment -o jsonpath='{.items[*].spec.replicas}'")
        assert scaled == "0"
        assert await definition(world) == ours
        await terminal.type("kubectl apply -f metacontroller/crd.yaml")  # as the installation does
        assert await definition(world) == ours
        await terminal.type(reader.take("kubectl get externalservices -A -o go-template"))
        for command in reader.until("kubectl get externalservices -A"):
            await terminal.type(command)
        await world.sidecar.start()
        await world.composite.start()
        await world.until_published(NAME, ready(IPS), namespace=NAMESPACE, seconds=60)

        async def rules() -> int:
            return len((await world.client.get(INGRESSES.path(NAMESPACE, NAME)))["spec"]["rules"])

        await until_equal(rules, len(SAMPLE["spec"]["hosts"]))
        assert await uids(world) == before
        assert "children" not in await world.status(NAME, NAMESPACE)
        assert f"{NAMESPACE}" in await terminal.type(reader.take("kubectl get externalservices -A"))
        assert "taken" not in await terminal.type(reader.take(f"kubectl -n {NAMESPACE} describe"))
    finally:
        await terminal.type("kubectl replace -f metacontroller/crd.yaml")
        await terminal.type(f"kubectl delete --ignore-not-found -n {NAMESPACE} externalservice {NAME}")
        await terminal.type(f"kubectl delete --ignore-not-found namespace {NAMESPACE} operators")
