"""`python -m bench.controlled`: the product's sidecar with a control port.

bench.loop POSTs probe results to `/results` on the control port; they are recorded like those of the prober.
"""

import asyncio
import logging
import sys
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from external_service.v1alpha1 import AddressStatus
from playground.serving import LoopbackServer
from playground.sidecar import build, parser
from probe_sidecar.sidecar import Sidecar


def main() -> int:
    """Runs until SIGTERM or SIGINT; prints the URL of the control port."""
    asyncio.run(_probe(parser(__doc__).parse_args().kubeconfig))
    return 0


async def _probe(access: Path) -> None:
    sidecar, stop = build(access, str)
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
