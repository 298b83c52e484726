"""Chromium, driven by Playwright. BROWSER_REQUIRED=1 turns "there is none" into a failure (CI)."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.required import cannot_run

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 30.0

expect.set_options(timeout=PATIENCE * 1_000)

Open = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    found = shutil.which("chromium")
    if found is None:
        cannot_run("chromium is not installed: apt-get install chromium", "BROWSER_REQUIRED")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[Open]:
    """Opens a URL with a width and a colour scheme. At the end, no page may have logged a problem or left its host."""
    problems: list[str] = []

    async def open_it(url: str, *, width: int = 1200, scheme: str = "light") -> Page:
        page = await browser.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        page.set_default_timeout(PATIENCE * 1_000)
        page.on("console", lambda message: problems.append(message.text) if _bad(message) else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: None if _ours(request.url, url) else problems.append(request.url))
        await page.goto(url)
        return page

    yield open_it
    assert problems == []


def _bad(message: ConsoleMessage) -> bool:
    """Whether it is a problem of the page, and not a response that the test makes fail."""
    return message.type in ("error", "warning") and not message.text.startswith("Failed to load resource")


def _ours(requested: str, url: str) -> bool:
    return requested.startswith((url, "data:"))


@pytest.fixture
def screenshot() -> Callable[[Page, str], Awaitable[None]]:
    """Takes a picture into .cache/browser, or into docs/img with SCREENSHOTS=docs/img."""
    folder = ROOT / os.environ.get("SCREENSHOTS", ".cache/browser")
    folder.mkdir(parents=True, exist_ok=True)

    async def take(page: Page, name: str) -> None:
        await page.screenshot(path=folder / f"{name}.png", full_page=True, animations="disabled")

    return take
