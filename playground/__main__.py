"""`python -m playground [CR.yaml ...]`: the whole operator on this machine, without a cluster."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.manifests import BadInput, complex_example, read_files
from playground.processes import NotStarted
from playground.report import Report
from playground.scenarios import steady
from playground.scenarios.flap import Flapping, flap
from playground.scenarios.forms import Form, all_forms, verdict
from playground.scenarios.outage import outage
from playground.scenarios.restart import restart
from playground.show import show
from playground.stack import NoBackend, Playground
from playground.until import Late

Object = dict[str, Any]

SCENARIOS = ("outage", "flap", "restart", "steady")
QUICK_PROBE = {"periodSeconds": 1, "timeoutSeconds": 1}
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done or passed, 1 failed or could not start, 2 bad input, 130 interrupted."""
    arguments = _arguments(argv)
    try:
        manifests = read_files(arguments.files)
        return asyncio.run(_interruptible(_run(arguments, manifests)))
    except BadInput as problem:
        print(problem, file=sys.stderr)
        return 2
    except (NotStarted, NoBackend, Late, RuntimeError) as problem:
        print(f"python -m playground: {problem}", file=sys.stderr)
        return 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground", description="The whole operator without a cluster.")
    parser.add_argument("files", nargs="*", type=Path, metavar="CR.yaml", help="(default: the complex example)")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds (default: until Ctrl-C; steady: 30)")
    parser.add_argument("--output", choices=("live", "plain", "json"), help="(default: live on a terminal, else plain)")
    parser.add_argument("--scenario", choices=SCENARIOS, help="judge one promise and end with exit status 0 or 1")
    flaps = parser.add_argument_group("flap")
    flaps.add_argument("--forms", action="store_true", help="with and without each protection, at both windows")
    flaps.add_argument("--guard", choices=("on", "off"), default="on", help="off: a CRD without the transition rule")
    flaps.add_argument(
        "--writing", choices=("level", "edge"), default="level", help="edge: write once, never look again"
    )
    flaps.add_argument("--window", type=float, default=0.005, metavar="S", help="Metacontroller's, in seconds")
    flaps.add_argument("--transitions", type=int, default=300, metavar="N")
    flaps.add_argument("--seed", type=int, default=1, metavar="N")
    return parser.parse_args(argv)


async def _interruptible(work: Any) -> int:
    """SIGINT and SIGTERM end the work as a cancellation, so that everything it started is taken down in order."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        status: int = await task
        return status
    return INTERRUPTED


async def _run(arguments: argparse.Namespace, manifests: list[Object]) -> int:
    output = arguments.output or ("live" if sys.stdout.isatty() and sys.stdin.isatty() else "plain")
    if arguments.scenario is None:
        async with Playground() as playground:
            await show(playground, manifests or [complex_example()], output, arguments.duration)
        return 0
    if arguments.scenario == "flap" and arguments.forms:
        return await _all_forms(arguments, output)
    report = await _scenario(arguments, manifests)
    if output == "json":
        print(json.dumps(report.as_json()))
    else:
        print("\n".join(report.as_lines()))
    return 0 if report.passed else 1


async def _scenario(arguments: argparse.Namespace, manifests: list[Object]) -> Report:
    if arguments.scenario == "flap":
        form = Form(arguments.guard == "on", arguments.writing == "level", arguments.window)
        async with _place(form) as cluster:
            return await flap(cluster, _flapping(arguments))
    if arguments.scenario == "steady":
        async with Playground(resync=1) as cluster:
            seconds = 30.0 if arguments.duration is None else arguments.duration
            return await steady.steady(cluster, manifests or steady.manifests(), seconds=seconds)
    async with Playground() as cluster:
        manifest = manifests[0] if manifests else quick_example()
        return await (outage if arguments.scenario == "outage" else restart)(cluster, manifest)


async def _all_forms(arguments: argparse.Namespace, output: str) -> int:
    good, rows = True, []
    async for form, report in all_forms(_place, _flapping(arguments)):
        held = verdict(form, report)
        good = good and held
        rows.append({"form": form.name, "asExpected": held, **report.as_json()})
        if output != "json":
            measured = ", ".join(f"{check.name} {check.measured}" for check in report.checks)
            print(f"{'ok  ' if held else 'FAIL'} {form.name}: {measured}", flush=True)
    if output == "json":
        print(json.dumps({"scenario": "flap", "passed": good, "forms": rows}))
    return 0 if good else 1


def _place(form: Form) -> Playground:
    return Playground(guard=form.guard, writing="level" if form.level else "edge", window=form.window)


def _flapping(arguments: argparse.Namespace) -> Flapping:
    return Flapping(transitions=arguments.transitions, seed=arguments.seed, window=arguments.window)


def quick_example() -> Object:
    """The complex example, probed once a second so that a scenario takes seconds."""
    manifest = complex_example()
    manifest["spec"]["readinessProbe"] |= QUICK_PROBE
    return manifest


if __name__ == "__main__":
    sys.exit(main())
