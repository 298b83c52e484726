"""Dependents follow their owner, as kube-controller-manager sees to it."""

from typing import Any

import pytest

from playground.apiserver import FakeApiServer
from playground.client import EXTERNAL_SERVICES as ES
from playground.client import ApiClient, Refused
from tests.parents import raw_parent
from tests.until import until


def parent_and_child(server: FakeApiServer) -> dict[str, Any]:
    parent = server.create(raw_parent(metadata={"name": "web", "namespace": "default"}))
    owner = {"apiVersion": ES.api_version, "kind": ES.kind, "name": "web", "uid": parent["metadata"]["uid"]}
    meta = {"name": "web", "namespace": "default", "ownerReferences": [owner]}
    server.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta})
    return parent


async def test_child_is_deleted_after_its_owner(server: FakeApiServer, client: ApiClient) -> None:
    parent_and_child(server)
    await client.delete(ES.path("default", "web"))
    assert server.get("Endpoints", "default", "web") is not None
    await until(lambda: server.get("Endpoints", "default", "web") is None)


@pytest.mark.parametrize("policy", ["Orphan", "Foreground"])
async def test_other_propagation_policies_are_refused(server: FakeApiServer, client: ApiClient, policy: str) -> None:
    parent_and_child(server)
    with pytest.raises(Refused, match="deletes in the background only"):
        await client.delete(ES.path("default", "web"), {"propagationPolicy": policy})


async def test_namespace_deletion_deletes_its_objects(server: FakeApiServer, client: ApiClient) -> None:
    server.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "shop"}})
    await client.delete("/api/v1/namespaces/shop")
    await until(lambda: server.get("Service", "shop", "a") is None)
