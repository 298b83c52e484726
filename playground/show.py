"""Output of the command: a terminal application, plain lines as things happen, or one JSON object at the end."""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from playground.addresses import hostnames, resolved, shared, stand_ins
from playground.manifests import complex_example, demo
from playground.page import application
from playground.processes import NotReady, free_ports
from playground.serving import LoopbackServer
from playground.snapshot import snapshot
from playground.stack import Playground
from playground.values import Object
from runtime.commands import Failure, manifests

CHECK_SECONDS = 0.25
SUMMARY_SECONDS = 30.0
LEAVE_SECONDS = 5.0


async def show(files: Sequence[str], output: str, duration: float | None, say: Callable[[str], None]) -> int:
    """Runs the playground with the ExternalServices of `files` for `duration` seconds, or until cancelled.

    `output` is live, plain or json. Returns the exit status, or raises Failure.
    """
    given = [document.raw for document in manifests(files)]
    playground = Playground()
    signal.signal(signal.SIGALRM, lambda *_: _give_up(playground.folder))
    page = LoopbackServer(application(playground), *free_ports(1))
    await page.start()
    try:
        say(f"The page, with buttons for each address: {page.url}/")
        say("Starting the API server, the hook and the sidecar")
        async with playground:
            say("Ready")
            return await _show(playground, given or [complex_example(), demo()], output, duration, f"{page.url}/")
    except (NotReady, OSError, RuntimeError) as problem:
        raise Failure(1, str(problem)) from problem
    finally:
        await page.stop()


def _give_up(folder: Path) -> None:
    """Kills this process, and with it its children (`playground.processes`)."""
    if folder.is_absolute():
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + signal.SIGINT)


async def _show(
    playground: Playground, parents: Sequence[Object], output: str, duration: float | None, url: str
) -> int:
    if output == "plain":
        playground.journal.listeners.append(lambda entry: print(entry, flush=True))
        for line in introduction(playground, parents):
            print(line, flush=True)
    for parent in parents:
        await playground.apply(parent)
    if output == "live":
        return await _live(playground, url, duration)
    end = time.monotonic() + duration if duration is not None else float("inf")
    if output == "plain":
        await _plain(playground, end)
    else:
        await _wait(playground, end)
        now = await snapshot(playground)
        print(json.dumps(asdict(now) | {"events": [entry.as_json() for entry in playground.journal.entries]}))
    return 0


def introduction(playground: Playground, parents: Sequence[Object]) -> list[str]:
    """Where everything is, and what to type."""
    ips = [ip for parent in parents for ip in parent["spec"].get("ips") or ()]
    ips += [ip for parent in parents for ip in resolved(parent["spec"])]
    lines = [f"{name} resolves to {', '.join(stand_ins(name))}" for name in hostnames(parents)]
    lines += [f"{ip} is played by {playground.dial(ip)}" for ip in dict.fromkeys(ips) if playground.dial(ip) != ip]
    lines += [f"{', '.join(several)} have one backend, {there}" for there, several in shared(ips).items()]
    return [*lines, f"API server: {playground.api.url}", f"export KUBECONFIG={playground.kubeconfig}"]


async def _wait(playground: Playground, end: float) -> None:
    while time.monotonic() < end:
        playground.check()
        await asyncio.sleep(min(CHECK_SECONDS, max(0.0, end - time.monotonic())))


async def _plain(playground: Playground, end: float) -> None:
    while time.monotonic() < end:
        await _wait(playground, min(end, time.monotonic() + SUMMARY_SECONDS))
        for line in (await snapshot(playground)).lines():
            print(line, flush=True)


async def _live(playground: Playground, url: str, duration: float | None) -> int:
    from playground.terminal import PlaygroundApp  # noqa: PLC0415 - 0.3 s, for a terminal only

    app = PlaygroundApp(playground, url, duration)
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
