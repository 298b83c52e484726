"""Output of the command: a terminal application, plain lines as things happen, or one JSON object at the end."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict

from playground.addresses import hostnames, resolved, shared, stand_ins
from playground.journal import Journal
from playground.snapshot import snapshot
from playground.stack import Playground
from playground.values import Object

CHECK_SECONDS = 0.25
SUMMARY_SECONDS = 30.0
LEAVE_SECONDS = 5.0


async def show(
    playground: Playground,
    journal: Journal,
    manifests: Sequence[Object],
    *,
    output: str,
    duration: float | None,
    url: str,
) -> int:
    """Applies the manifests and shows the results for `duration` seconds, or until stopped.

    Returns the exit status. `url` is the web page.
    """
    async with following(playground, journal):
        if output == "plain":
            journal.listeners.append(lambda entry: print(entry, flush=True))
            for line in introduction(playground, manifests):
                print(line, flush=True)
        for manifest in manifests:
            await playground.apply(manifest)
        if output == "live":
            return await _live(playground, journal, url, duration)
        end = time.monotonic() + duration if duration is not None else float("inf")
        if output == "plain":
            await _plain(playground, end)
        else:
            await _wait(playground, end)
            now = await snapshot(playground)
            print(json.dumps(asdict(now) | {"events": [entry.as_json() for entry in journal.entries]}))
    return 0


def introduction(playground: Playground, manifests: Sequence[Object]) -> list[str]:
    """Where everything is, and what to type."""
    ips = [ip for manifest in manifests for ip in manifest["spec"].get("ips") or ()]
    ips += [ip for one in manifests for ip in resolved(one["spec"])]
    lines = [f"{name} resolves to {', '.join(stand_ins(name))}" for name in hostnames(manifests)]
    lines += [f"{ip} is played by {playground.dial(ip)}" for ip in dict.fromkeys(ips) if playground.dial(ip) != ip]
    lines += [f"{', '.join(several)} have one backend, {there}" for there, several in shared(ips).items()]
    return [*lines, f"API server: {playground.api.url}", f"export KUBECONFIG={playground.kubeconfig}"]


@contextlib.asynccontextmanager
async def following(playground: Playground, journal: Journal) -> AsyncIterator[None]:
    """Meanwhile the journal gets an entry for each change in the cluster."""
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
        await asyncio.sleep(min(CHECK_SECONDS, max(0.0, end - time.monotonic())))


async def _plain(playground: Playground, end: float) -> None:
    while time.monotonic() < end:
        await _wait(playground, min(end, time.monotonic() + SUMMARY_SECONDS))
        for line in (await snapshot(playground)).lines():
            print(line, flush=True)


async def _live(playground: Playground, journal: Journal, url: str, duration: float | None) -> int:
    from playground.terminal import PlaygroundApp  # noqa: PLC0415 - 0.3 s, for a terminal only

    app = PlaygroundApp(playground, journal, url, duration)
    running = asyncio.create_task(app.run_async())
    try:
        status = await asyncio.shield(running)
    except asyncio.CancelledError:  # by a signal: the terminal is restored first
        app.exit()
        await asyncio.wait((running,), timeout=LEAVE_SECONDS)
        raise
    if app.problem is not None:
        raise app.problem
    return status or 0
