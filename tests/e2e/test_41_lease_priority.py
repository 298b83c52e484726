"""With optional/lease-priority.yaml the API server serves Leases before the status writes of an outage."""

import httpx
import pytest
import yaml

from playground.client import EXTERNAL_SERVICES
from tests.e2e import accounts
from tests.e2e.world import LEASES, World
from tests.until import until_equal

FLOW_SCHEMAS = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"


@pytest.mark.any_metacontroller
async def test_lease_priority_precedes_status_writes(world: World) -> None:
    (schema,) = yaml.safe_load_all((accounts.SHIPPED / "optional" / "lease-priority.yaml").read_text())
    leases, parents = LEASES.path(accounts.NAMESPACE), EXTERNAL_SERVICES.path(world.namespace)
    async with world.api.http() as admin:
        before = await flow(admin, parents)
        assert await flow(admin, leases) == before, "one flow of all that a sidecar asks"
        created = await world.client.create(FLOW_SCHEMAS, schema)
        try:
            await until_equal(lambda: flow(admin, leases), created["metadata"]["uid"])
            assert await flow(admin, parents) == before
        finally:
            await world.client.delete(f"{FLOW_SCHEMAS}/{schema['metadata']['name']}")


async def flow(admin: httpx.AsyncClient, path: str) -> str:
    """The uid of the FlowSchema of a sidecar's request."""
    sidecar = {"Impersonate-User": accounts.username(accounts.SIDECAR_ACCOUNT)}
    response = await admin.get(path, headers=sidecar)
    return str(response.raise_for_status().headers["X-Kubernetes-PF-FlowSchema-UID"])
