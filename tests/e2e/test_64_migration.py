"""The words of migration.md hand the predecessor's children over as they stand: none is deleted, none made anew.

The predecessor itself runs on no supported cluster; its ExternalService, its children and its Deployment are written
here as it wrote them, but for the Ingress, whose version is gone.
"""

import json
from pathlib import Path

import pytest
import yaml

from playground.cluster import ENDPOINTS, EXTERNAL_SERVICES, INGRESSES, SERVICES
from playground.until import until
from tests.docs.commands import commands
from tests.e2e.manifests import sample
from tests.e2e.terminal import ROOT, Terminal
from tests.e2e.world import World, ready

pytestmark = pytest.mark.parametrize("world", [pytest.param("real", marks=pytest.mark.e2e)], indirect=True)

SAMPLE = sample("complex-example")
NAME, NAMESPACE, IPS = SAMPLE["metadata"]["name"], SAMPLE["metadata"]["namespace"], SAMPLE["spec"]["ips"]
KINDS = (SERVICES, ENDPOINTS, INGRESSES)

PREDECESSOR = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: external-service-operator, namespace: operators}
spec:
  selector: {matchLabels: {name: external-service-operator}}
  template:
    metadata: {labels: {name: external-service-operator}}
    spec: {containers: [{name: operator, image: predecessor}]}
"""

CHILDREN = """
apiVersion: v1
kind: Service
spec: {clusterIP: None, ports: [{port: 80, protocol: TCP, targetPort: 80}], type: ClusterIP}
---
apiVersion: v1
kind: Endpoints
subsets:
- addresses: [{ip: 10.0.100.11}]
  notReadyAddresses: [{ip: 10.0.100.10}]
  ports: [{port: 80, protocol: TCP}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
spec:
  rules:
  - host: www.mydomain.com
    http:
      paths: [{pathType: ImplementationSpecific, backend: {service: {name: complex-example, port: {number: 80}}}}]
"""


async def uids(world: World) -> list[str]:
    found = [await world.get(NAME, kind=kind, namespace=NAMESPACE) for kind in KINDS]
    return [one["metadata"]["uid"] if one else "gone" for one in found]


async def left_by_the_predecessor(world: World, terminal: Terminal, folder: Path) -> None:
    """Its ExternalService, the children that it owns, its Deployment."""
    world.hosts.set(world.places(SAMPLE))
    (folder / "deployment.yaml").write_text(PREDECESSOR)
    (folder / "parent.yaml").write_text(yaml.safe_dump(SAMPLE))
    await terminal.type("kubectl create namespace operators && kubectl apply -f deployment.yaml")
    await terminal.type(f"kubectl create namespace {NAMESPACE} && kubectl apply -f parent.yaml")
    parent = await world.get(NAME, namespace=NAMESPACE)
    assert parent is not None
    owner = {
        "apiVersion": EXTERNAL_SERVICES.api_version,
        "kind": EXTERNAL_SERVICES.kind,
        "name": NAME,
        "uid": parent["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    meta = {
        "name": NAME,
        "namespace": NAMESPACE,
        "labels": {"app": NAME, "serviceType": "external"},
        "ownerReferences": [owner],
    }
    children = [one | {"metadata": meta} for one in yaml.safe_load_all(CHILDREN)]
    (folder / "children.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": children}))
    await terminal.type("kubectl create -f children.json")


async def test_the_words_of_migration_hand_the_children_over(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    terminal = Terminal(world, folder)
    await world.composite.stop()  # as before the installation
    await world.sidecar.stop()
    await left_by_the_predecessor(world, terminal, folder)
    before = await uids(world)
    *until_installed, watch, describe = commands(ROOT / "docs" / "migration.md")
    try:
        for command in until_installed:
            await terminal.type(command)
        scaled = await terminal.type("kubectl -n operators get deployment -o jsonpath='{.items[*].spec.replicas}'")
        assert scaled == "0"
        await world.sidecar.start()
        await world.composite.start()
        await world.until_published(NAME, ready(IPS), namespace=NAMESPACE, seconds=60)

        async def whole() -> bool:
            ingress = await world.get(NAME, kind=INGRESSES, namespace=NAMESPACE)
            return ingress is not None and len(ingress["spec"]["rules"]) == len(SAMPLE["spec"]["hosts"])

        await until(whole, "the Ingress has the rules of all hosts", seconds=30)
        assert await uids(world) == before
        assert "children" not in await world.status(NAME, NAMESPACE)
        assert f"{NAMESPACE}" in await terminal.type(watch)
        assert "taken" not in await terminal.type(describe)
    finally:
        await terminal.type(f"kubectl delete --ignore-not-found -n {NAMESPACE} externalservice {NAME}")
        await terminal.type(f"kubectl delete --ignore-not-found namespace {NAMESPACE} operators")
