"""`python -m tests.scenarios.sidecar`: the product's sidecar with a control port, for tests.

A test POSTs probe results to `/results` on the control port; they are recorded like those of the prober.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from external_service.v1alpha1 import AddressStatus
from playground.addresses import dial
from playground.serving import LoopbackServer
from playground.sidecar import build, parser
from probe_sidecar.sidecar import Sidecar


def main() -> int:
    """Runs until SIGTERM or SIGINT; prints the URL of the control port."""
    options = parser(__doc__)
    options.add_argument("--unmapped", action="store_true", help="connect to the addresses themselves (test networks)")
    arguments = options.parse_args()
    place = str if arguments.unmapped else partial(dial, shift=arguments.shift)
    asyncio.run(_probe(arguments.kubeconfig, place))
    return 0


async def _probe(access: Path, place: Callable[[str], str]) -> None:
    sidecar, stop = build(access, place)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    server = LoopbackServer(_control(sidecar))
    await server.start()
    print(f"control {server.url}", flush=True)
    await sidecar.run(stop)
    await server.stop()


def _control(sidecar: Sidecar) -> Starlette:
    async def results(request: Request) -> Response:
        body = orjson.loads(await request.body())
        taken = asyncio.get_running_loop().time()
        service = sidecar.services[body["uid"]]
        for address in body["addresses"]:
            target = service.targets.get(address["ip"])
            if target is not None:
                target.inherited = False  # these results count as our own
                target.state = AddressStatus(**address)
        service.changed()
        return Response(orjson.dumps({"takenAt": taken}), media_type="application/json")

    return Starlette(routes=[Route("/results", results, methods=["POST"])])


if __name__ == "__main__":
    sys.exit(main())
