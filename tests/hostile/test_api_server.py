"""Hostile API objects and responses: an object that cannot be read is named, and never hides another one."""

import asyncio
import gc
import json
import ssl
import tracemalloc
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from probe_sidecar.kube.client import MOST_BYTES, PAGE_BYTES, KubeClient, Resource, Selection
from probe_sidecar.kube.errors import ApiError
from probe_sidecar.kube.reflector import Reflector
from probe_sidecar.sidecar import Sidecar
from probe_sidecar.status.patch import older
from tests.unit.probe_sidecar.sidecars import SETTINGS
from tests.until import beside, until

CRS = Resource("eso.crowdfox.com", "v1alpha1", "externalservices")


def cr(name: str, **metadata: Any) -> dict[str, Any]:
    """An object as it is stored."""
    known = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "5"}
    return {"metadata": {key: value for key, value in (known | metadata).items() if value is not None}}


def nested(levels: int) -> str:
    """A list in a list in a list."""
    return "[" * levels + "]" * levels


def with_fields(name: str, managed: str) -> str:
    """An object with these managedFields, as JSON."""
    return json.dumps(cr(name, managedFields="HERE")).replace('"HERE"', managed)


GOOD = json.dumps(cr("good"))
DEEP = json.dumps(cr("deep") | {"spec": "HERE"})

ROWS: Mapping[str, tuple[str, set[str], set[str]]] = {
    "managedFields of 1,100 levels": (with_fields("deep", nested(1_100)), {"deep"}, set()),
    "managedFields of 100,000 levels": (with_fields("deep", nested(100_000)), {"deep"}, set()),
    "managedFields of maps": (with_fields("deep", '{"a":' * 2_000 + "1" + "}" * 2_000), {"deep"}, set()),
    "managedFields of 1.3 MB": (with_fields("large", json.dumps([{"f": "x" * 130_000}] * 10)), {"large"}, set()),
    "managedFields with brackets in texts": (with_fields("odd", '[{"a":"]}\\"[{\\\\"}]'), {"odd"}, set()),
    "a spec of 900 levels": (DEEP.replace('"HERE"', nested(900)), set(), {"shop/deep"}),
    "a spec of 1,100 levels": (DEEP.replace('"HERE"', nested(1_100)), set(), {"shop/deep"}),
    "a spec of 65 levels": (DEEP.replace('"HERE"', nested(65)), set(), {"shop/deep"}),
    "no uid": (json.dumps(cr("odd", uid=None)), set(), {"shop/odd"}),
    "a uid that is a number": (json.dumps(cr("odd", uid=7)), set(), {"shop/odd"}),
    "an empty uid": (json.dumps(cr("odd", uid="")), set(), {"shop/odd"}),
    "no version": (json.dumps(cr("odd", resourceVersion=None)), set(), {"shop/odd"}),
    "a name of 5,000 letters": (json.dumps(cr("x" * 5_000, uid=None)), set(), {"shop/" + "x" * 253}),
    "a number of 5,000 digits": (DEEP.replace('"HERE"', "9" * 5_000), set(), {"shop/deep"}),
    "annotations that are a list": (json.dumps(cr("odd", annotations=[1])), {"odd"}, set()),
}


class Api:
    """Answers LISTs with a page, then holds watches."""

    def __init__(self, *pages: bytes | Exception) -> None:
        self.pages = list(pages)
        self.requests: list[str] = []
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.handle), base_url="http://api")
        self.client = KubeClient(http)
        self.seen: set[str] = set()
        self.reflector = Reflector(
            self.client, Selection(CRS), lambda objects, *_: self.seen.update(objects), random=lambda: 0.0
        )

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.query.decode())
        if "watch=true" in self.requests[-1]:
            raise httpx.ConnectError("over")
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return httpx.Response(200, content=page)

    async def listed(self) -> None:
        """Run until a LIST has come through."""
        async with beside(self.reflector.run()):
            await until(lambda: self.reflector.synced)


def page(*items: str, last: str = "") -> bytes:
    """A page of a LIST, its metadata behind its items as the API server has them for custom resources."""
    metadata = {"resourceVersion": "9"} | ({"continue": last} if last else {})
    text = f'{{"apiVersion":"v1","items":[{",".join(items)}],"kind":"L","metadata":{json.dumps(metadata)}}}'
    return text.encode()


@pytest.mark.parametrize(("odd", "read", "unreadable"), ROWS.values(), ids=ROWS)
async def test_invalid_object_does_not_hide_others(odd: str, read: set[str], unreadable: set[str]) -> None:
    api = Api(page(GOOD, odd, GOOD.replace("good", "last")))
    await api.listed()
    assert (api.seen - {"good", "last"}, set(api.reflector.unreadable)) == (read, unreadable)
    assert {"good", "last"} <= api.seen


@pytest.mark.parametrize("odd", [odd for odd, read, _ in ROWS.values() if read])
async def test_odd_object_is_read_alone_as_in_a_list(odd: str) -> None:
    found = await Api(odd.encode()).client.get(CRS, "shop", "odd")
    assert found["metadata"]["namespace"] == "shop"


@pytest.mark.parametrize(("odd", "read", "unreadable"), ROWS.values(), ids=ROWS)
async def test_invalid_event_does_not_end_the_watch(odd: str, read: set[str], unreadable: set[str]) -> None:
    api = Api(page())
    await api.listed()
    await api.reflector._receive(f'{{"type":"ADDED","object":{odd}}}'.encode())
    assert (api.seen, set(api.reflector.unreadable)) == (read, unreadable)


@pytest.mark.parametrize("watched", [True, False], ids=["watch", "list"])
async def test_unreadable_objects_do_not_keep_their_responses(watched: bool) -> None:
    """Of 2 MB only what the messages say is kept."""
    odd = [json.dumps(cr(f"odd-{number}", uid=None, labels={"a": "x" * 100_000})) for number in range(20)]
    api = Api(page() if watched else page(*odd))
    tracemalloc.start()
    try:
        await api.listed()
        for one in odd if watched else ():
            await api.reflector._receive(f'{{"type":"ADDED","object":{one}}}'.encode())
        gc.collect()
        assert len(api.reflector.unreadable) == 20
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


async def test_unreadable_object_keeps_its_state() -> None:
    broken = json.dumps(cr("good", resourceVersion="6") | {"spec": "HERE"}).replace('"HERE"', nested(2_000))
    api = Api(page(GOOD), page(broken))
    await api.listed()
    api.reflector._version = None
    api.reflector.synced = False
    await api.listed()
    assert api.reflector.objects["good"]["metadata"]["resourceVersion"] == "5"
    assert set(api.reflector.unreadable) == {"shop/good"}


async def test_oversized_page_is_requested_with_a_lower_limit() -> None:
    filler = json.dumps(cr("filler") | {"spec": "x" * 1_400_000})
    api = Api(
        page(*[filler] * (MOST_BYTES // 1_400_000 + 1)), page(filler, last="t"), page(filler, last="u"), page(GOOD)
    )
    await api.listed()
    limits = [query.split("limit=")[1].split("&")[0] for query in api.requests[:4]]
    assert limits == ["50", "5", str(5 * PAGE_BYTES // len(page(filler, last="t"))), "10"]
    assert api.seen == {"filler", "good"}


@pytest.mark.parametrize("odd", [row[0] for row in ROWS.values() if row[2] == {"shop/deep"}])
async def test_deleted_unreadable_object_is_removed(odd: str) -> None:
    api = Api(page(GOOD, GOOD.replace("good", "deep")))
    await api.listed()
    for kind, left in (("MODIFIED", {"good", "deep"}), ("DELETED", {"good"})):
        await api.reflector._receive(f'{{"type":"{kind}","object":{odd}}}'.encode())
        assert set(api.reflector.objects) == left
    assert api.reflector.unreadable == {}


DEEP_SPEC = {
    "undecodable": (
        "[" * 1_100 + "]" * 1_100,
        "spec.readinessProbe cannot be decoded (depth limit exceeded): replace it",
    ),
    "65 levels": (nested(65), "spec is nested more than 64 levels deep: write values that are nested less deeply"),
}


@pytest.mark.parametrize(("probe", "problem"), DEEP_SPEC.values(), ids=DEEP_SPEC)
async def test_unreadable_object_has_one_event_a_generation(probe: str, problem: str) -> None:
    def deep(generation: int, version: int) -> str:
        odd = cr("deep", generation=generation, resourceVersion=str(version)) | {"spec": {"readinessProbe": "HERE"}}
        return json.dumps(odd).replace('"HERE"', probe)

    versions = (1, 10), (1, 11), (2, 12), (2, 13), (3, 14)
    watches = iter([f'{{"type":"MODIFIED","object":{deep(*one)}}}\n' for one in versions])
    events: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            events.append(json.loads(request.content))
        if "watch=true" in request.url.query.decode():
            return httpx.Response(200, content=next(watches, ""))
        return httpx.Response(200, content=page(GOOD, deep(1, 5)) if request.method == "GET" else b"{}")

    stop = asyncio.Event()
    sidecar = Sidecar(
        KubeClient(httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://api")), SETTINGS
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(sidecar.run(stop))
        await until(
            lambda: len(events) > 2 and bool(sidecar.services) and sidecar.reflectors.each[0].watches > len(versions)
        )
        shown = sidecar._process()["unreadable"]
        stop.set()
    regarding = [one["regarding"] for one in events]
    assert [(one["namespace"], one["name"], one["resourceVersion"]) for one in regarding] == [
        ("shop", "deep", version) for version in ("5", "12", "14")
    ]
    assert {(one["reason"], one["type"]) for one in events} == {("Unreadable", "Warning")}
    names = ["deep.033b244b878809f1", "deep.06f33d7632d46d89", "deep.14c365bd36c9e91d"]
    assert [one["metadata"]["name"] for one in events] == names, (
        "the same from every replica, so a takeover repeats none"
    )
    assert {one["note"].startswith(problem) and one["note"].endswith("are not probed") for one in events} == {True}
    assert [(one["namespace"], one["name"]) for one in shown] == [("shop", "deep")]
    assert list(sidecar.services) == ["good"]


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLError("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
        OSError("odd"),
        ValueError("odd"),
        RuntimeError("odd"),
        httpx.RemoteProtocolError("odd"),
        httpx.DecodingError("odd"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "odd"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_connection_faults_are_retried(error: Exception) -> None:
    api = Api(error, page(GOOD))
    await api.listed()
    assert (api.seen, api.client.requests["GET", 0] >= 1) == ({"good"}, True)


@pytest.mark.parametrize("version", ["9" * 5_000, "0", "-1", "\u0665"])
async def test_odd_version_is_compared_without_an_error(version: str) -> None:
    odd, good = cr("odd", resourceVersion=version), cr("odd")
    assert [older(good, odd), older(odd, good)].count(True) <= 1
    assert older(cr("a", resourceVersion="9"), cr("a", resourceVersion="10"))


async def test_list_that_repeats_a_page_is_refused() -> None:
    api = Api(*[page(GOOD, last="same")] * 3)
    with pytest.raises(ApiError, match="repeats a page"):
        await api.client.list(Selection(CRS))
    assert len(api.requests) == 2


async def test_cookies_are_not_kept() -> None:
    sent = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append("cookie" in request.headers)
        return httpx.Response(200, headers={"Set-Cookie": f"c{len(sent)}=x"}, content=page(GOOD))

    client = KubeClient(httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://api.example"))
    for _ in range(2):
        await client.list(Selection(CRS))
    assert sent == [False, False]


async def test_endless_response_is_refused() -> None:
    async def endless() -> Any:
        while True:
            yield b"x" * 1_000_000

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=endless())

    client = KubeClient(httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://api"))
    with pytest.raises(ApiError, match="more than"):
        await client.get(CRS, "shop", "web")
