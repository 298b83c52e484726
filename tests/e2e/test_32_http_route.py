"""HTTPRoutes are made where the CompositeController lists them, stored as rendered, and reported where it does not."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from app.children import http_route
from app.render import children
from app.settings import TOOL_ANNOTATIONS
from app.sync import UNLISTED, SyncOptions
from external_service.manifest import external_services
from playground.client import EXTERNAL_SERVICES, INGRESSES, Kind, Refused
from tests.e2e.manifests import external_service, sample
from tests.e2e.process import gateway_patches
from tests.e2e.test_01_children import as_rendered
from tests.e2e.test_30_endpoint_slices import comes_to_rest
from tests.e2e.world import World
from tests.until import until

IPS = ("10.20.50.10",)
HTTP_ROUTES = Kind("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute", namespaced=True)
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/external-service-operator-metacontroller"
HOSTS = [{"host": "a.example.com"}, {"host": "b.example.com", "path": "/x", "pathType": "Exact"}]
PARENTS = [{"name": "public", "sectionName": "http"}, {"name": "public", "sectionName": "https"}]


def routed(**spec: Any) -> dict[str, Any]:
    return external_service("web", IPS, hosts=HOSTS, httpRoute={"parentRefs": PARENTS}, **spec)


def text(default: str | None = None) -> dict[str, Any]:
    return {"type": "string"} if default is None else {"type": "string", "default": default}


def items(properties: dict[str, Any], default: Any = None) -> dict[str, Any]:
    node = {"type": "array", "items": {"type": "object", "properties": properties}}
    return node if default is None else node | {"default": default}


def definition() -> dict[str, Any]:
    """HTTPRoute as far as an ExternalService goes, with the defaults of the Gateway API's own definition (1.5)."""
    path = {"type": "object", "properties": {"type": text("PathPrefix"), "value": text("/")}}
    number = {"type": "integer", "default": 1}
    backend = {"group": text(""), "kind": text("Service"), "name": text(), "port": {"type": "integer"}}
    anything = [{"path": {"type": "PathPrefix", "value": "/"}}]
    parent = {"group": text("gateway.networking.k8s.io"), "kind": text("Gateway"), "name": text()}
    spec = {
        "hostnames": {"type": "array", "items": text(), "maxItems": 16},
        "parentRefs": items({**parent, "namespace": text(), "sectionName": text()}),
        "rules": items(
            {"backendRefs": items({**backend, "weight": number}), "matches": items({"path": path}, anything)}
        ),
    }
    root = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": root}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "httproutes.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test's own"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io",
            "names": {
                "kind": "HTTPRoute",
                "listKind": "HTTPRouteList",
                "plural": "httproutes",
                "singular": "httproute",
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


@contextlib.asynccontextmanager
async def gateway_api(world: World) -> AsyncIterator[None]:
    """With HTTPRoutes in the cluster, its own or ours, and the right that components/gateway-api grants."""
    created = True
    try:
        await world.client.create(DEFINITIONS, definition())
    except Refused as refusal:
        if refusal.reason != "AlreadyExists":
            raise
        created = False
    grant = [{"op": "add", "path": "/rules/-", "value": gateway_patches()["ClusterRole"]}]
    rules = (await world.client.get(ROLE))["rules"]
    await world.client.patch(ROLE, grant, "application/json-patch+json")
    try:
        yield
    finally:
        await world.client.patch(ROLE, {"rules": rules})
        if created:
            await world.client.delete(f"{DEFINITIONS}/httproutes.gateway.networking.k8s.io")


@pytest.mark.world(gateway=True, resync=1)
async def test_http_routes_are_stored_as_rendered(world: World) -> None:
    async with gateway_api(world):
        await stored_as_rendered(world, sample("gateway"))
        await world.apply(routed(ingress={"enabled": False}))

        async def hosts() -> dict[str, Any]:
            try:
                found = await world.client.get(HTTP_ROUTES.path(world.namespace))
            except Refused:
                return {}
            return {one["metadata"]["name"]: one["spec"]["hostnames"] for one in found["items"]}

        async def four() -> bool:
            a, b = ["a.example.com"], ["b.example.com"]
            return await hosts() == {"web": a, "web.1": a, "web.2": b, "web.3": b}

        await until(four, "a route for each path and listener", seconds=60, every=0.1)
        assert await world.get("web", kind=INGRESSES) is None
        assert "children" not in await world.status("web")
        await settled(world)
        await comes_to_rest(world)
        references = [{"name": "public"}, {"name": "private", "sectionName": "https"}]
        change = {"hosts": [{"host": "c.example.com"}], "httpRoute": {"parentRefs": references}}
        await world.patch("web", {"spec": change})

        async def one() -> bool:
            return await hosts() == {"web": ["c.example.com"]}

        await until(one, "one route left", seconds=60, every=0.1)
        stored = (await world.get("web", kind=HTTP_ROUTES) or {})["spec"]["parentRefs"]
        assert [reference["name"] for reference in stored] == ["public", "private"]
        await settled(world)
        await comes_to_rest(world)
        await world.patch("web", {"spec": {"httpRoute": None}})

        async def none() -> bool:
            return await hosts() == {}

        await until(none, "no route left", seconds=60, every=0.1)


async def stored_as_rendered(world: World, parent: dict[str, Any]) -> None:
    meta = parent["metadata"]
    live = await world.apply(parent)
    options = SyncOptions(uncopied_annotations=TOOL_ANNOTATIONS)
    printed = children(external_services(yaml.safe_dump(live)), options).children
    (route,) = [one for one in printed if one["kind"] == http_route.KIND]

    async def there() -> bool:
        return await world.get(meta["name"], kind=HTTP_ROUTES, namespace=meta["namespace"]) is not None

    await until(there, "the sample's route", seconds=60, every=0.1)
    stored = await world.get(meta["name"], kind=HTTP_ROUTES, namespace=meta["namespace"])
    assert stored is not None
    assert as_rendered(stored) == route
    await world.delete(meta["name"], namespace=meta["namespace"])


async def settled(world: World) -> None:
    async def ready() -> bool:
        status = await world.status("web")
        return bool(status.get("ready") == "1/1" and status.get("observedGeneration"))

    await until(ready, "ready", seconds=60, every=0.1)


async def test_unlisted_http_route_is_reported(world: World) -> None:
    await world.apply(routed())

    async def reported() -> bool:
        return (await world.status("web")).get("children") == [
            {
                "kind": http_route.KIND,
                "name": "web",
                "problem": UNLISTED.format(kind=http_route.KIND, api_version=http_route.API_VERSION),
                "reason": "NotListed",
            }
        ]

    await until(reported, "the report", seconds=60, every=0.1)
    assert await world.get("web", kind=INGRESSES) is not None
    shown = await world.client.get(EXTERNAL_SERVICES.path(world.namespace, "web"))
    assert shown["spec"]["httpRoute"]["parentRefs"] == PARENTS
