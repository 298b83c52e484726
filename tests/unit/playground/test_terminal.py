"""The terminal application, with a whole playground behind it."""

import asyncio
import os
import re
import select
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.events import Key
from textual.message import Message
from textual.pilot import Pilot
from textual.widgets import DataTable, Footer, Input, RichLog

from playground.backends import Mode
from playground.manifests import demo
from playground.snapshot import AddressRow
from playground.stack import Playground
from playground.terminal import Box, Driver, PlaygroundApp, Seconds
from tests.until import until

TINY = (20, 5)
SIZES = [(80, 24), (200, 50)]
KEYS = ["up", "down", "pageup", "pagedown", "home", "end", "left", "right", "k", "s", "e", "t", "r", "x"]
KEYS += ["slash", "question_mark", "tab", "shift+tab", "enter", "escape", "0", "z", "f1"]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def playground() -> AsyncIterator[Playground]:
    async with Playground() as playground:
        await playground.apply(demo())
        yield playground


@pytest.fixture
def app(playground: Playground) -> PlaygroundApp:
    return PlaygroundApp(playground, "http://127.0.0.1:20080/")


def picture(app: PlaygroundApp, name: str) -> None:
    """Save a screenshot in the folder that SCREENSHOTS names, such as docs/img."""
    if folder := os.environ.get("SCREENSHOTS"):
        drawn = app.export_screenshot(title="make playground")
        without_fonts = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # of another host
        (ROOT / folder / f"{name}.svg").write_text(without_fonts)


def row(app: PlaygroundApp, ip: str) -> AddressRow | None:
    found = (one for one in app._rows.values() if isinstance(one, AddressRow) and one.ip == ip)
    return next(found, None)


def ready(app: PlaygroundApp, ip: str) -> bool | None:
    found = row(app, ip)
    return None if found is None else found.ready


async def settled(app: PlaygroundApp) -> None:
    ips = ("10.0.200.10", "10.0.200.11", "10.0.200.12")
    await until(lambda: all(ready(app, ip) for ip in ips), "all are ready", seconds=30, every=0.1)


def text_of(app: App[Any]) -> str:
    return "\n".join(str(line) for line in app.query_one("#log", RichLog).lines)


@pytest.mark.parametrize("size", SIZES)
async def test_layout_fits_the_terminal(size: tuple[int, int], app: PlaygroundApp) -> None:
    async with app.run_test(size=size):
        await settled(app)
        footer, table, log = app.query_one(Footer), app.query_one(DataTable), app.query_one("#log")
        await until(lambda: table.region.height > table.row_count, "all rows are visible", seconds=10, every=0.1)
        assert (footer.region.bottom, footer.region.width) == (size[1], size[0])
        assert log.region.bottom == footer.region.y
        assert log.region.height >= 3
        picture(app, f"playground-{size[0]}")


@pytest.mark.nightly
async def test_tiny_terminal_shows_the_table(app: PlaygroundApp) -> None:
    async with app.run_test(size=TINY):
        table, footer = app.query_one(DataTable), app.query_one(Footer)
        await until(lambda: table.region.height == 4, "the table fills the terminal", seconds=10, every=0.1)
        assert (footer.region.bottom, footer.region.width) == (TINY[1], TINY[0])


@pytest.mark.parametrize(
    "size", [SIZES[0], *(pytest.param(size, marks=pytest.mark.nightly) for size in (SIZES[1], TINY))]
)
async def test_every_key_pressed_twice_quickly(
    size: tuple[int, int], app: PlaygroundApp, playground: Playground
) -> None:
    async with app.run_test(size=size) as pilot:
        await settled(app)
        for _ in range(2):
            for key in KEYS:
                await pilot.press(key, key)
            await pilot.press("escape", "escape", "escape")
        await until(lambda: not playground._restarting.locked(), "the sidecar is up again", seconds=30, every=0.1)
        await leave_boxes(app, pilot)
        assert app.query_one(Footer).region.bottom == size[1]
        await pilot.press("q", "q")
    assert (app.return_value, app.problem) == (0, None)


async def leave_boxes(app: PlaygroundApp, pilot: Pilot[int]) -> None:
    for _ in range(10):
        if len(app.screen_stack) == 1:
            return
        await pilot.press("escape")
    raise AssertionError(f"boxes stay: {app.screen_stack}")


async def test_killed_backend_is_shown_and_recovers(app: PlaygroundApp) -> None:
    async with app.run_test(size=(120, 30)) as pilot:
        await settled(app)
        await pilot.press("k")
        await until(lambda: ready(app, "10.0.200.10") is False, "it is not ready", seconds=20, every=0.05)
        assert ready(app, "10.0.200.11") is True
        assert "you made the backend of 10.0.200.10 refuse" in text_of(app)
        picture(app, "playground")
        await pilot.press("r")
        await until(lambda: ready(app, "10.0.200.10") is True, "it is ready again", seconds=20, every=0.05)


async def test_slow_key_asks_for_seconds(app: PlaygroundApp, playground: Playground) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app)
        await pilot.press("s")
        assert isinstance(app.screen, Seconds)
        app.screen.query_one(Input).value = "61"
        await pilot.press("enter")
        assert isinstance(app.screen, Seconds), "more than 60 s is refused"
        app.screen.query_one(Input).value = "0.25"
        await pilot.press("enter")
        backend = playground.backends.at("10.0.200.10")[0]
        await until(lambda: backend.mode is Mode.SLOW, "it is slow", seconds=5)
        assert backend.slow_seconds == 0.25


async def test_input_that_is_not_utf8_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, terminals = socket.socketpair()
    seen: list[Message] = []
    with ours, terminals:
        driver = Driver(App[int]())
        monkeypatch.setattr(driver, "fileno", terminals.fileno())
        monkeypatch.setattr(driver, "process_message", seen.append)
        reader = asyncio.create_task(asyncio.to_thread(driver.run_input_thread))
        ours.send("ü".encode("latin-1"))
        await until(lambda: not select.select([terminals], [], [], 0)[0], "it is read", seconds=5)
        ours.send(b"k")
        await until(lambda: len(seen) > 0, "a key is read", seconds=5)
        driver.exit_event.set()
        await asyncio.wait_for(reader, 5)
    assert [message.key for message in seen if isinstance(message, Key)] == ["k"]


async def test_filter_narrows_the_table(app: PlaygroundApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app)
        await pilot.press("slash", *"200.12")
        await until(lambda: app.query_one(DataTable).row_count == 2, "one ExternalService with one address", seconds=5)
        await pilot.press("enter", "enter")
        await until(lambda: isinstance(app.screen, Box), "details", seconds=5)
        await pilot.press("escape", "escape")
        await until(lambda: app.query_one(DataTable).row_count == 4, "all again", seconds=5)


async def test_application_ends_with_its_processes(app: PlaygroundApp, playground: Playground) -> None:
    async with app.run_test(size=(80, 24)):
        await settled(app)
        playground.sidecar.kill()
        await until(lambda: app.problem is not None)
    assert app.return_value == 1
    assert str(app.problem).startswith("the sidecar has ended")
