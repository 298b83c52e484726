"""Dependents follow their owner, as kube-controller-manager sees to it."""

import asyncio
from typing import Any

from playground.apiserver import FakeApiServer
from playground.client import EXTERNAL_SERVICES as ES
from playground.client import ApiClient
from tests.until import until


def parent_and_child(server: FakeApiServer) -> dict[str, Any]:
    body = {"apiVersion": "eso.crowdfox.com/v1alpha1", "kind": "ExternalService", "spec": {"port": 80}}
    parent = server.create({**body, "metadata": {"name": "web", "namespace": "default"}})
    owner = {
        "apiVersion": parent["apiVersion"],
        "kind": parent["kind"],
        "name": "web",
        "uid": parent["metadata"]["uid"],
    }
    meta = {"name": "web", "namespace": "default", "ownerReferences": [owner]}
    server.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta})
    return parent


async def test_child_is_deleted_after_its_owner(server: FakeApiServer, client: ApiClient) -> None:
    parent_and_child(server)
    server.api.gc_seconds = 0.05
    await client.delete(ES.path("default", "web"))
    assert server.get("Endpoints", "default", "web") is not None
    await until(lambda: server.get("Endpoints", "default", "web") is None)


async def test_child_stays_without_a_collector(server: FakeApiServer, client: ApiClient) -> None:
    parent_and_child(server)
    server.api.gc_seconds = None
    await client.delete(ES.path("default", "web"))
    await asyncio.sleep(0.1)
    assert server.get("Endpoints", "default", "web") is not None


async def test_orphan_deletion_removes_the_owner_reference(server: FakeApiServer, client: ApiClient) -> None:
    parent_and_child(server)
    await client.delete(ES.path("default", "web"), {"propagationPolicy": "Orphan"})
    await asyncio.sleep(0.1)
    child = server.get("Endpoints", "default", "web")
    assert child is not None
    assert "ownerReferences" not in child["metadata"]


async def test_foreground_deletion_waits_for_children(server: FakeApiServer, client: ApiClient) -> None:
    parent_and_child(server)
    waiting = await client.delete(ES.path("default", "web"), {"propagationPolicy": "Foreground"})
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await until(lambda: server.get("ExternalService", "default", "web") is None)
    assert server.get("Endpoints", "default", "web") is None


async def test_namespace_deletion_deletes_its_objects(server: FakeApiServer, client: ApiClient) -> None:
    server.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "shop"}, "spec": {"ports": []}}
        | {"spec": {"clusterIP": "None"}}
    )
    await client.delete("/api/v1/namespaces/shop")
    await until(lambda: server.get("Service", "shop", "a") is None)
