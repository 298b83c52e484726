"""The page of the playground: the prober's page with buttons that switch backends."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Locator, Page, expect

from playground.backends import Mode
from playground.manifests import demo
from playground.page import application
from playground.serving import LoopbackServer
from playground.stack import Playground
from tests.browser.conftest import Open

IP = "10.0.200.10"


@pytest.fixture
async def playground() -> AsyncIterator[tuple[Playground, str]]:
    playground = Playground()
    server = LoopbackServer(application(playground))
    await server.start()
    try:
        async with playground:
            await playground.apply(demo())
            yield playground, server.url + "/"
    finally:
        await server.stop()


def row(page: Page, ip: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=ip, exact=True))


async def test_buttons_kill_slow_break_and_revive(
    playground: tuple[Playground, str], open_page: Open, screenshot: Callable[[Page, str], Awaitable[None]]
) -> None:
    stage, url = playground
    page = await open_page(url)
    one, backend = row(page, IP), stage.backends.at(IP)[0]
    await expect(one).to_contain_text("● ready")
    await one.get_by_role("button", name="Kill").click()
    await expect(one).to_contain_text("✕ not ready")
    await expect(one).to_contain_text("connection refused")
    await screenshot(page, "playground-page")
    await one.get_by_role("button", name="Revive").click()
    await expect(one).to_contain_text("● ready")
    await one.get_by_role("combobox", name=f"Latency of {IP}").select_option("0.2 s")
    await one.get_by_role("button", name="Slow").click()
    await expect(one).to_contain_text("backend: slow (0.2 s)")
    await expect(one).to_contain_text(re.compile(r"2\d\d ms"))
    assert (backend.mode, backend.slow_seconds) == (Mode.SLOW, 0.2)
    await one.get_by_role("button", name="Break").click()
    await expect(one).to_contain_text("HTTP 500")
    await expect(row(page, "10.0.200.11")).to_contain_text("● ready")
