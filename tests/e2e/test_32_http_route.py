"""HTTPRoutes are made where the CompositeController lists them, and stored as rendered.

Where it does not, this is reported: tests/unit/app/test_sync.py.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import yaml

from app.children import http_route
from app.render import here
from app.settings import TOOL_ANNOTATIONS
from app.sync import SyncOptions, desired_children
from external_service.manifest import external_services
from playground.client import INGRESSES, Kind
from tests.e2e.controlplane.build import Binaries
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.manifests import external_service, sample
from tests.e2e.process import gateway_patches
from tests.e2e.real_api import RealApi
from tests.e2e.test_01_children import as_rendered
from tests.e2e.world import World
from tests.until import until_equal

IPS = ("10.20.50.10",)
HTTP_ROUTES = Kind("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute", namespaced=True)
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/external-service-operator-metacontroller"
HOSTS = [{"host": "a.example.com"}, {"host": "b.example.com", "path": "/x", "pathType": "Exact"}]
PARENTS = [{"name": "public", "sectionName": "http"}, {"name": "public", "sectionName": "https"}]


def routed(**spec: Any) -> dict[str, Any]:
    return external_service("web", IPS, hosts=HOSTS, httpRoute={"parentRefs": PARENTS}, **spec)


@contextlib.contextmanager
def gateway_definitions(plane: ControlPlane | None, binaries: Binaries) -> Iterator[None]:
    """With the CRDs that the Gateway API publishes, before a world begins."""
    if plane is None:
        pytest.skip("this test needs a control plane of its own: unset KUBECONFIG_E2E to run it")
    file = str(binaries.traefik.with_name("gateway-api.yaml"))
    plane.kubectl("apply", "--server-side", "-f", file)
    plane.kubectl("wait", "--for=condition=Established", "-f", file)
    yield
    plane.kubectl("delete", "-f", file)


@contextlib.asynccontextmanager
async def granted(world: World) -> AsyncIterator[None]:
    """With the right that components/gateway-api grants."""
    grant = [{"op": "add", "path": "/rules/-", "value": gateway_patches()["ClusterRole"]}]
    rules = (await world.client.get(ROLE))["rules"]
    await world.client.patch(ROLE, grant, "application/json-patch+json")
    try:
        yield
    finally:
        await world.client.patch(ROLE, {"rules": rules})


@pytest.fixture(scope="module")
def gateway_api(real_api: RealApi, binaries: Binaries) -> Iterator[None]:
    with gateway_definitions(real_api.control_plane, binaries):
        yield


@pytest.mark.world(gateway=True, resync=1)
async def test_http_routes_are_stored_as_rendered(gateway_api: None, world: World) -> None:
    async def hosts() -> dict[str, Any]:
        found = await world.client.get(HTTP_ROUTES.path(world.namespace))
        return {one["metadata"]["name"]: one["spec"]["hostnames"] for one in found["items"]}

    async with granted(world):
        await stored_as_rendered(world, sample("gateway"))
        await world.apply(routed(ingress={"enabled": False}))
        a, b = ["a.example.com"], ["b.example.com"]
        await until_equal(hosts, {"web": a, "web.1": a, "web.2": b, "web.3": b}, every=0.1)
        assert not await world.has("web", INGRESSES)
        assert "children" not in await world.status("web")
        await world.until_calm()
        await world.until_synced()
        references = [{"name": "public"}, {"name": "private", "sectionName": "https"}]
        change = {"hosts": [{"host": "c.example.com"}], "httpRoute": {"parentRefs": references}}
        await world.patch("web", {"spec": change})
        await until_equal(hosts, {"web": ["c.example.com"]}, every=0.1)
        stored = (await world.get("web", kind=HTTP_ROUTES) or {})["spec"]["parentRefs"]
        assert [reference["name"] for reference in stored] == ["public", "private"]
        await world.until_calm()
        await world.until_synced()
        await world.patch("web", {"spec": {"httpRoute": None}})
        await until_equal(hosts, {}, every=0.1)


async def stored_as_rendered(world: World, parent: dict[str, Any]) -> None:
    meta = parent["metadata"]
    live = await world.apply(parent)
    options = SyncOptions(uncopied_annotations=TOOL_ANNOTATIONS)
    (document,) = external_services(yaml.safe_dump(live)).documents
    printed = desired_children(document.parent, here(options)).children
    (route,) = [one for one in printed if one["kind"] == http_route.KIND]

    async def stored() -> object:
        found = await world.get(meta["name"], kind=HTTP_ROUTES, namespace=meta["namespace"])
        return found and as_rendered(found)

    await until_equal(stored, route, every=0.1)
    await world.delete(meta["name"], namespace=meta["namespace"])
