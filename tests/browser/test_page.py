"""The prober's page for people in a real browser, with a whole sidecar, or a document of one that is hard to make."""

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Route, expect

from playground.apiserver.server import FakeApiServer
from probe_sidecar.sidecar import Sidecar
from tests.browser.conftest import Open
from tests.unit.probe_sidecar.sidecars import backend, external_service, running
from tests.until import until

Object = dict[str, Any]

FAILED = re.compile(r"^Last \d+ results: \d+ succeeded, [1-9]\d* failed; slowest about ")

Shop = tuple[Sidecar, Callable[[], Awaitable[None]]]

WEB, DYING = ("127.0.9.1", "127.0.9.2", "127.0.9.3"), "127.0.9.3"


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A prober with three ExternalServices, and what ends the backend of DYING."""
    async with AsyncExitStack() as stack, FakeApiServer(loopback=True) as server:
        port = await stack.enter_async_context(backend(WEB[0]))
        await stack.enter_async_context(backend(WEB[1], port))
        dying = await stack.enter_async_context(AsyncExitStack())
        await dying.enter_async_context(backend(DYING, port))
        web = external_service(port, *WEB)
        web["spec"]["readinessProbe"]["failureThreshold"] = 5
        payment = external_service(port, WEB[0], WEB[1], disabledIPs=[WEB[1]])
        payment["metadata"] = {"name": "payment", "namespace": "bank"}
        static = {**web, "metadata": {"name": "static", "namespace": "shop"}, "spec": {"port": 80, "ips": ["10.0.0.1"]}}
        for manifest in (web, payment, static):
            server.create(manifest)
        async with serving(server) as sidecar:
            yield sidecar, dying.aclose


@asynccontextmanager
async def serving(server: FakeApiServer) -> AsyncIterator[Sidecar]:
    """A prober whose pages can be read."""
    async with running(server) as sidecar:

        async def listening() -> bool:
            return sidecar.pages.port != 0

        await until(listening, "the prober serves its pages")
        yield sidecar


def url(sidecar: Sidecar) -> str:
    return f"http://127.0.0.1:{sidecar.pages.port}/"


async def healthy(page: Page) -> None:
    for ip in WEB:
        await expect(row(page, "shop/web", ip)).to_contain_text("● ready")


def row(page: Page, service: str, ip: str) -> Any:
    """The row of an address, found as a screen reader finds it."""
    table = page.get_by_role("table", name=f"Addresses of {service}")
    return table.get_by_role("row").filter(has=page.get_by_role("rowheader", name=ip, exact=True))


async def test_dead_address_shows_streak_then_transition(shop: Shop, open_page: Open) -> None:
    sidecar, kill = shop
    page = await open_page(url(sidecar))
    await healthy(page)
    await kill()
    await expect(row(page, "shop/web", DYING)).to_contain_text("/5 failed connection refused")
    await expect(row(page, "shop/web", DYING)).to_contain_text("✕ not ready")
    await expect(row(page, "shop/web", DYING).get_by_role("img")).to_have_attribute("aria-label", FAILED)
    await expect(page.get_by_role("button", name="shop/web")).to_contain_text("2/3 ready")
    await expect(page.get_by_role("list", name="Transitions")).to_contain_text(f"shop/web {DYING}connection refused")
    await expect(page.get_by_role("status")).to_contain_text(f"shop/web {DYING} is not ready: connection refused")
    await expect(page).to_have_title("(1) External services")
    await expect(row(page, "shop/web", WEB[0])).to_contain_text("● ready")


async def test_keyboard_filters_and_opens(shop: Shop, open_page: Open) -> None:
    page = await open_page(url(shop[0]))
    await healthy(page)
    button = page.get_by_role("button", name="bank/payment")
    await page.keyboard.press("/")
    await page.keyboard.type("payment")
    await expect(page.get_by_role("button", name="shop/web")).to_have_count(0)
    for _ in range(3):  # the box, the choice, the pause, the first ExternalService
        await page.keyboard.press("Tab")
    await expect(button).to_be_focused()
    await expect(button).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("table")).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(row(page, "bank/payment", WEB[1])).to_contain_text("drained, healthy")
    await expect(button).to_be_focused()
    await page.get_by_role("searchbox").fill(DYING)
    await expect(page.get_by_role("rowheader")).to_have_text([DYING])
    await page.get_by_role("searchbox").fill("nowhere")
    await expect(page.get_by_text("Nothing matches the filter.")).to_be_visible()
    await page.get_by_role("searchbox").press("Escape")
    await page.get_by_role("checkbox", name="Problems only").check()
    await expect(page.get_by_text("Nothing matches the filter.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
async def test_page_is_readable(
    width: int, scheme: str, shop: Shop, open_page: Open, screenshot: Callable[[Page, str], Awaitable[None]]
) -> None:
    sidecar, kill = shop
    page = await open_page(url(sidecar), width=width, scheme=scheme)
    await healthy(page)
    await kill()
    await expect(row(page, "shop/web", DYING)).to_contain_text("✕ not ready")
    assert await page.evaluate("document.documentElement.scrollWidth") == width
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    await screenshot(page, f"page-{width}-{scheme}")


async def test_prober_that_stops_is_reported(open_page: Open) -> None:
    async with FakeApiServer(loopback=True) as server:
        server.create({**external_service(80, "127.0.9.1"), "spec": {"port": 80, "ips": ["127.0.9.1"]}})
        async with serving(server) as sidecar:
            page = await open_page(url(sidecar))
            await expect(row(page, "shop/web", "127.0.9.1")).to_contain_text("no probe: always ready")
            await page.route("**/overview*", lambda route: route.fulfill(status=503))
            await expect(page.get_by_role("alert")).to_contain_text("The prober does not respond: HTTP 503.")
            await page.unroute_all()
            await expect(page.get_by_role("alert")).to_be_hidden()
            await page.close()


HOSTILE = '<img src=x onerror="document.title=`owned`"><script>document.title=`owned`</script>'


def report(services: int, each: int, text: str = "") -> Object:
    """A document of the prober with `text` wherever a text comes from outside."""
    history = b64encode(bytes([10, 0x80 | 20, 0xC0]) * 20).decode()
    address = {"ready": True, "reason": text, "message": text, "hostname": text, "problem": text, "history": history}
    address |= {"consecutiveFailures": 1, "failureThreshold": 3, "consecutiveSuccesses": 0, "successThreshold": 1}
    address |= {"running": False, "nextProbeInSeconds": 5.0}
    address |= {"lastProbe": {"result": "failure", "message": text, "durationSeconds": 0.1, "ageSeconds": 1}}
    line = {"namespace": "shop", "summary": text, "problem": text, "addresses": each, "drained": 0, "ready": each}
    line |= {"notReady": 0, "failing": 1, "failingOpen": False}
    transition = {"at": "2026-01-01T00:00:00Z", "namespace": "shop", "name": "web", "ip": text, "ready": False}
    transition["message"] = text
    return {
        "time": "2026-01-01T00:00:00Z",
        "replica": {"working": True, "name": text, "replicas": [text, "b"]},
        "probes": {"limit": 100, "inFlight": 0, "waiting": 0, "delayed": 0},
        "outage": {"suspected": True, "message": text},
        "transitions": [transition],
        "externalServices": [
            {**line, "name": f"{text}{one}", "shown": [{**address, "ip": f"10.0.{one % 250}.{n}"} for n in range(each)]}
            for one in range(services)
        ],
    }


@asynccontextmanager
async def faked(open_page: Open, document: Object) -> AsyncIterator[Page]:
    """The page of a prober that says `document`."""
    async with FakeApiServer(loopback=True) as server, serving(server) as sidecar:
        page = await open_page(url(sidecar))

        async def answer(route: Route) -> None:
            await route.fulfill(body=json.dumps(document), content_type="application/json")

        await page.route("**/overview*", answer)
        await page.reload()
        yield page
        await page.close()


async def test_hostile_texts_stay_texts(open_page: Open) -> None:
    async with faked(open_page, report(2, 2, HOSTILE)) as page:
        await expect(page.get_by_role("row").filter(has_text=HOSTILE)).to_have_count(4)
        await expect(page.get_by_role("alert")).to_contain_text(HOSTILE)
        await expect(page.get_by_role("list", name="Transitions")).to_contain_text(HOSTILE)
        assert await page.locator("img, script:not([src='page.js'])").count() == 0
        assert await page.title() == "External services"


async def test_thousand_external_services_stay_usable(open_page: Open) -> None:
    document = report(1_000, 10)
    for one in document["externalServices"]:
        one["failing"] = 0
    async with faked(open_page, document) as page:
        await expect(page.get_by_text("800 more ExternalServices: narrow the list with the filter.")).to_be_visible()
        assert await page.get_by_role("table").count() == 0
        await page.get_by_role("button", name="shop/199").press("Enter")
        await expect(page.get_by_role("table", name="Addresses of shop/199")).to_be_visible()
