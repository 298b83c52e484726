"""`python -m playground.sidecar`: the real sidecar with two openings for the playground.

It connects to the stand-ins of the addresses (`playground.addresses.dial`), and on a loopback port it tells what it
knows (GET /state) and takes verdicts where the prober hands them over (POST /verdicts). All else is the product.
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from external_service.v1alpha1 import AddressStatus
from playground.addresses import dial
from playground.edge_publisher import EdgePublisher
from playground.serving import LoopbackServer
from probe_sidecar.kube.client import connect
from probe_sidecar.kube.credentials import Access, plain_url
from probe_sidecar.kube.kubeconfig import kubeconfig
from probe_sidecar.membership.replica import RENEWALS
from probe_sidecar.settings import Settings
from probe_sidecar.sidecar import EXTERNAL_SERVICES, Sidecar, run
from probe_sidecar.status.publisher import StatusPublisher
from runtime.settings import load

Object = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT; says on which port it can be talked to."""
    parser = argparse.ArgumentParser(prog="python -m playground.sidecar", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server", metavar="URL", help="an API server without credentials")
    where.add_argument("--kubeconfig", type=Path, metavar="PATH")
    parser.add_argument(
        "--writing", choices=("level", "edge"), default="level", help="edge: write once, never look again"
    )
    parser.add_argument(
        "--shift", type=int, default=0, metavar="N", help="of the stand-ins (`playground.addresses.dial`)"
    )
    parser.add_argument("--unmapped", action="store_true", help="connect to the addresses themselves (test networks)")
    arguments = parser.parse_args(argv)
    access = plain_url(arguments.server) if arguments.server else kubeconfig(arguments.kubeconfig, None)
    place = str if arguments.unmapped else partial(dial, shift=arguments.shift)
    settings = load(Settings)
    settings = settings.model_copy(
        update={"dns_servers": tuple((place(ip), port) for ip, port in settings.dns_servers)}
    )
    logging.basicConfig(
        stream=sys.stderr, level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    asyncio.run(_probe(access, settings, place, edge=arguments.writing == "edge"))
    return 0


async def _probe(access: Access, settings: Settings, place: Callable[[str], str], *, edge: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = connect(access)
    leases = connect(access, settings.lease_seconds / RENEWALS)
    sidecar = Sidecar(client, settings, leases=leases, dial=place)
    if edge:
        naive = EdgePublisher(client, EXTERNAL_SERVICES, sidecar.results.get)
        sidecar.publisher = cast(StatusPublisher, naive)  # the same four methods, another temper
        sidecar.results.listen(naive.wake)
    door = LoopbackServer(_door(sidecar))
    await door.start()
    print(f"control {door.url}", flush=True)
    await run(sidecar, stop)
    await door.stop()


def _door(sidecar: Sidecar) -> Starlette:
    async def state(_request: Request) -> Response:
        return Response(orjson.dumps(_state(sidecar)), media_type="application/json")

    async def verdicts(request: Request) -> Response:
        body = orjson.loads(await request.body())
        taken = asyncio.get_running_loop().time()
        for target in sidecar.manager.targets():
            target.inherited &= target.uid != body["uid"]  # these verdicts count as our own
        for address in body["addresses"]:
            sidecar.results.put(body["uid"], AddressStatus.model_validate(address))
        return Response(orjson.dumps({"takenAt": taken}), media_type="application/json")

    return Starlette(routes=[Route("/state", state), Route("/verdicts", verdicts, methods=["POST"])])


def _state(sidecar: Sidecar) -> Object:
    now = asyncio.get_running_loop().time()
    stats = sidecar.manager.stats
    targets = [
        {
            "uid": target.uid,
            "ip": target.ip,
            "state": {field: value for field, value in target.state.model_dump().items() if value is not None},
            "failures": target.failures,
            "last": None if target.last is None else target.last.message,
            "lastSuccess": None if target.last is None else target.last.success,
            "lastSeconds": target.last_seconds,
            "ageSeconds": now - target.last_at if target.last else None,
        }
        for target in sidecar.manager.targets()
    ]
    return {"probes": stats.probes, "failures": stats.failures, "transitions": stats.transitions, "targets": targets}


if __name__ == "__main__":
    sys.exit(main())
