"""The playground as a show: live with keys, plain lines as things happen, or one JSON object at the end."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rich.live import Live

from playground.addresses import shared
from playground.backends import Mode
from playground.journal import Journal
from playground.keys import keys
from playground.names import hostnames, stand_ins
from playground.snapshot import Snapshot, snapshot
from playground.stack import NoBackend, Playground
from playground.view import live, plain

Object = dict[str, Any]

MODES = {"k": Mode.REFUSE, "r": Mode.HEALTHY, "s": Mode.SLOW, "e": Mode.ERROR, "t": Mode.STALL}
FRAME_SECONDS = 0.25
SUMMARY_SECONDS = 30.0


async def show(playground: Playground, manifests: Sequence[Object], output: str, duration: float | None) -> None:
    """Applies the manifests and shows what becomes of them for `duration` seconds, or until told to stop."""
    journal = Journal()
    async with _following(playground, journal):
        if output == "plain":
            journal.listen(lambda entry: print(entry, flush=True))
            for line in introduction(playground, manifests):
                print(line, flush=True)
        for manifest in manifests:
            with contextlib.suppress(NoBackend):  # shown beside the addresses
                await playground.apply(manifest)
        end = time.monotonic() + duration if duration is not None else float("inf")
        if output == "live":
            await _live(playground, journal, end)
        elif output == "plain":
            await _plain(playground, end)
        else:
            await _wait(playground, end)
            print(json.dumps(await _summary(playground, journal)))


def introduction(playground: Playground, manifests: Sequence[Object]) -> list[str]:
    """What is where, and what to type."""
    ips = [ip for manifest in manifests for ip in manifest["spec"].get("ips") or ()]
    ips += [ip for name in hostnames(manifests) for ip in stand_ins(name)]
    lines = [f"{name} comes to {', '.join(stand_ins(name))}" for name in hostnames(manifests)]
    lines += [f"{ip} is played by {playground.dial(ip)}" for ip in dict.fromkeys(ips) if playground.dial(ip) != ip]
    lines += [
        f"{', '.join(several)} share {there}: they live and die together" for there, several in shared(ips).items()
    ]
    return [*lines, f"API server: {playground.api.url}", f"export KUBECONFIG={playground.kubeconfig}"]


@contextlib.asynccontextmanager
async def _following(playground: Playground, journal: Journal) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(informer.run()) for informer in journal.informers(playground.client)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _wait(playground: Playground, end: float) -> None:
    while time.monotonic() < end:
        playground.check()
        await asyncio.sleep(min(FRAME_SECONDS, max(0.0, end - time.monotonic())))


async def _plain(playground: Playground, end: float) -> None:
    while time.monotonic() < end:
        await _wait(playground, min(end, time.monotonic() + SUMMARY_SECONDS))
        for line in plain(await snapshot(playground)):
            print(line, flush=True)


async def _summary(playground: Playground, journal: Journal) -> Object:
    now = await snapshot(playground)
    return now.as_json() | {"events": [str(entry) for entry in journal.entries]}


async def _live(playground: Playground, journal: Journal, end: float) -> None:
    selected = 0
    async with keys() as pressed:
        with Live(screen=True, auto_refresh=False) as screen:
            while time.monotonic() < end:
                playground.check()
                now = await snapshot(playground)
                screen.update(live(now, journal.entries, selected, str(playground.kubeconfig)), refresh=True)
                try:
                    async with asyncio.timeout(FRAME_SECONDS):
                        key = await pressed.get()
                except TimeoutError:
                    continue
                if key == "q":
                    return
                selected = await _press(playground, journal, now, key, selected)


async def _press(playground: Playground, journal: Journal, now: Snapshot, key: str, selected: int) -> int:
    """Does what a key means; returns the address that is chosen then."""
    most = max(0, len(now.addresses) - 1)
    if key in ("up", "down"):
        return max(0, min(most, selected + (1 if key == "down" else -1)))
    if key == "x":
        await playground.kill_sidecar()
        journal.add("you killed the sidecar")
        await playground.start_sidecar()
        journal.add("and started it again")
    elif key in MODES and now.addresses:
        ip = now.addresses[min(selected, most)].ip
        try:
            await playground.set_backend(ip, MODES[key])
            journal.add(f"you made the backend of {ip} {MODES[key]}")
        except LookupError as problem:
            journal.add(str(problem))
    return min(selected, most)
