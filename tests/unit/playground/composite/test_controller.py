"""The stand-in behaves as Metacontroller 4.17.2 does.

The hook is a small ASGI application whose response the test sets; the API server is the stand-in, on a real socket.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from external_service.v1alpha1 import STALE_STATUS
from playground.apiserver import FakeApiServer
from playground.client import EXTERNAL_SERVICES as ES
from playground.client import SERVICES, ApiClient
from playground.composite.config import composite_config
from playground.composite.controller import CompositeController
from tests.cases import cases
from tests.parents import raw_parent
from tests.until import beside, until

Object = dict[str, Any]

WEB = ES.path("default", "web")
STATUS = ES.path("default", "web", "status")

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"clusterIP": "None", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]},
}
CHILD_RESOURCES = [
    {"apiVersion": "v1", "resource": kind, "updateStrategy": {"method": "InPlace"}}
    for kind in ("services", "endpoints")
]
MANIFEST = {
    "metadata": {"name": "eso"},
    "spec": {
        "generateSelector": True,
        "parentResource": {"apiVersion": "eso.crowdfox.com/v1alpha1", "resource": "externalservices"},
        "childResources": CHILD_RESOURCES,
        "hooks": {"sync": {"version": "v2", "webhook": {"path": "/sync"}}},
    },
}


class Hook:
    """Responds as configured; by default it echoes the status and wants one Service."""

    def __init__(self) -> None:
        self.requests: list[Object] = []
        self.children: list[Object] = [SERVICE]
        self.answer: Callable[[Object], Object | Response] = self.echo
        self.open = asyncio.Event()
        self.open.set()

    def echo(self, request: Object) -> Object:
        return {"status": request["parent"].get("status"), "children": self.children}

    async def handle(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        self.requests.append(body)
        answer = self.answer(body)
        await self.open.wait()
        return answer if isinstance(answer, Response) else Response(orjson.dumps(answer))

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/sync", self.handle, methods=["POST"])])


@pytest.fixture
def hook() -> Hook:
    return Hook()


@asynccontextmanager
async def running(server: FakeApiServer, hook: Hook, **options: Any) -> AsyncIterator[CompositeController]:
    spec = MANIFEST["spec"] | options.pop("spec", {})
    async with (
        httpx.AsyncClient(base_url=server.url) as api,
        httpx.AsyncClient(transport=httpx.ASGITransport(hook.app), base_url="http://hook") as to_hook,
    ):
        controller = CompositeController(composite_config({**MANIFEST, "spec": spec}), api, to_hook, **options)
        async with beside(controller.run()):
            yield controller


def web(server: FakeApiServer, **metadata: Any) -> Object:
    meta = {"name": "web", "namespace": "default"} | metadata
    return server.create(raw_parent(metadata=meta, ips=["10.0.0.1"]))


def service(server: FakeApiServer) -> Object:
    found = server.get("Service", "default", "web")
    assert found is not None
    return found


def status(server: FakeApiServer) -> Any:
    found = server.get("ExternalService", "default", "web")
    return found.get("status") if found else None


async def settled(controller: CompositeController) -> None:
    """Waits until nothing has been queued for a moment."""
    calm = 0

    def idle() -> bool:
        nonlocal calm
        calm = calm + 1 if controller.queue.idle else 0
        return calm > 10

    await until(idle, "a calm queue", every=0.01)


@asynccontextmanager
async def synced(server: FakeApiServer, hook: Hook) -> AsyncIterator[CompositeController]:
    """A controller that has made the children of a new `web`, and rests."""
    web(server)
    async with running(server, hook) as controller:
        await until(lambda: status(server) is not None)
        await settled(controller)
        yield controller


async def test_children_are_created_by_group_version_kind(server: FakeApiServer, hook: Hook) -> None:
    """Neither the order of childResources counts nor that of the answer."""
    meta = {"name": "web"}
    slices = {"apiVersion": "discovery.k8s.io/v1", "resource": "endpointslices"}
    hook.children = [
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, "addressType": "IPv4"},
        SERVICE,
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta},
    ]
    web(server)
    async with running(server, hook, spec={"childResources": [slices, *CHILD_RESOURCES]}):
        await until(lambda: status(server) is not None)
    made = {kind: server.get(kind, "default", "web") or {} for kind in ("EndpointSlice", "Service", "Endpoints")}
    order = sorted(made, key=lambda kind: int(made[kind]["metadata"]["resourceVersion"]))
    assert order == ["Endpoints", "Service", "EndpointSlice"]


async def test_failed_hook_changes_nothing_and_is_an_event(
    server: FakeApiServer, hook: Hook, client: ApiClient
) -> None:
    async with synced(server, hook) as controller:
        before, old = service(server), status(server)
        hook.answer = lambda request: Response("spec.port: write a number", 422)
        await client.patch(WEB, {"spec": {"port": 81}})
        await until(lambda: bool(server.storage.items(("", "events"))))
        assert (service(server), status(server)) == (before, old)
        event = server.storage.items(("", "events"))[0]
        assert (event["reason"], event["type"], event["involvedObject"]["name"]) == ("SyncError", "Warning", "web")
        text = "Sync error: sync hook failed (version=v2): unsupported status code: 422 body: spec.port: write a number"
        assert event["message"] == text
        errors = controller.counts.errors
        await until(lambda: controller.counts.errors > errors + 2, "retries")


@cases(
    "answer text",
    ("unknown field", {"status": {}, "children": [], "colour": "red"}, "unknown field 'colour'"),
    ("no JSON", Response("<html>"), "can't unmarshal webhookResponse"),
    ("nameless child", {"children": [{"kind": "Service"}]}, "children a list of named objects"),
)
async def test_v2_response_is_parsed_strictly(server: FakeApiServer, hook: Hook, answer: Any, text: str) -> None:
    web(server)
    hook.answer = lambda request: answer
    async with running(server, hook):
        await until(lambda: bool(server.storage.items(("", "events"))))
    assert text in server.storage.items(("", "events"))[0]["message"]
    assert status(server) is None


async def test_child_is_reverted_until_it_is_unwanted(server: FakeApiServer, hook: Hook, client: ApiClient) -> None:
    web(server)
    async with running(server, hook) as controller:
        await until(lambda: server.get("Service", "default", "web") is not None)
        await settled(controller)
        await client.patch(SERVICES.path("default", "web"), {"metadata": {"labels": {"app": "stolen", "own": "1"}}})
        await until(lambda: service(server)["metadata"]["labels"].get("app") == "web")
        assert service(server)["metadata"]["labels"]["own"] == "1"
        await client.delete(SERVICES.path("default", "web"))
        await until(lambda: server.get("Service", "default", "web") is not None)
        hook.children = []
        await client.patch(WEB, {"spec": {"port": 81}})
        await until(lambda: server.get("Service", "default", "web") is None)


async def test_taken_name_is_skipped(server: FakeApiServer, hook: Hook) -> None:
    stranger = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 1}]}}
    foreign = server.create({**stranger, "metadata": {"name": "web", "namespace": "default"}})
    async with synced(server, hook) as controller:
        assert controller.counts.errors == 0
    assert service(server) == foreign
    assert hook.requests[-1]["children"]["Service.v1"] == {}


async def test_labelled_orphan_is_adopted_unlabelled_released(
    server: FakeApiServer, hook: Hook, client: ApiClient
) -> None:
    parent = web(server)
    label = {"controller-uid": parent["metadata"]["uid"]}
    server.create({**SERVICE, "metadata": {"name": "web", "namespace": "default", "labels": label}})
    async with running(server, hook) as controller:
        await until(lambda: "ownerReferences" in service(server)["metadata"])
        await settled(controller)
        await client.patch(SERVICES.path("default", "web"), {"metadata": {"labels": {"controller-uid": None}}})
        await until(lambda: not service(server)["metadata"].get("ownerReferences"))


async def test_guard_refuses_stale_status_and_next_sync_is_quiet(
    server: FakeApiServer, hook: Hook, client: ApiClient
) -> None:
    async with synced(server, hook) as controller:
        hook.open.clear()
        await client.patch(STATUS, {"status": {"revision": 1}})
        await until(lambda: hook.requests[-1]["parent"]["status"].get("revision") == 1)
        await client.patch(STATUS, {"status": {"revision": 2}})
        hook.open.set()
        await until(lambda: controller.counts.stale == 1)
        await settled(controller)
        assert status(server) == {"revision": 2, "observedGeneration": 1}
        assert controller.counts.stale == 1
        await until(lambda: bool(server.storage.items(("", "events"))))
    message = server.storage.items(("", "events"))[0]["message"]
    assert message.startswith("Sync error: can't update status for ExternalService default/web: ExternalService.eso")
    assert STALE_STATUS in message


async def test_stale_status_under_the_policy_is_retried(server: FakeApiServer, hook: Hook, client: ApiClient) -> None:
    server.registry.status_policy = True
    async with synced(server, hook) as controller:
        await client.patch(WEB, {"spec": {"port": 82}})
        await until(lambda: (status(server) or {}).get("observedGeneration") == 2)
        await settled(controller)
        hook.open.clear()
        await client.patch(WEB, {"spec": {"port": 83}})
        await until(lambda: hook.requests[-1]["parent"]["metadata"]["generation"] == 3)
        await client.patch(STATUS, {"status": {"revision": 2}})
        hook.open.set()
        await settled(controller)
        assert status(server) == {"revision": 2, "observedGeneration": 3}
    assert (controller.counts.stale, controller.counts.errors) == (0, 0)
    assert not server.storage.items(("", "events"))


async def test_controller_survives_an_api_server_outage(server: FakeApiServer, hook: Hook, client: ApiClient) -> None:
    async with synced(server, hook):
        await server.stop()
        await server.start()
        async with httpx.AsyncClient(base_url=server.url) as http:
            await ApiClient(http, "me").patch(WEB, {"spec": {"port": 81}})
        await until(lambda: (status(server) or {}).get("observedGeneration") == 2)
