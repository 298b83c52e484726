"""`python -m playground.sidecar`: the product's sidecar; it probes the loopback address of each address.

Only `dial` differs from the product: a probe of an address goes to `playground.addresses.dial(address)`.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from playground.addresses import dial
from probe_sidecar.kube.client import connect
from probe_sidecar.kube.kubeconfig import kubeconfig
from probe_sidecar.replicas import RENEWALS
from probe_sidecar.settings import Settings
from probe_sidecar.sidecar import Sidecar
from runtime.logs import configure
from runtime.settings import load


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT."""
    arguments = parser(__doc__).parse_args(argv)
    asyncio.run(_probe(arguments.kubeconfig, partial(dial, shift=arguments.shift)))
    return 0


def parser(description: str) -> argparse.ArgumentParser:
    """The options: the API server, and where the addresses are."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--kubeconfig", type=Path, metavar="PATH", required=True)
    options.add_argument("--shift", type=int, default=0, metavar="N", help="see playground.addresses")
    return options


def build(access: Path, place: Callable[[str], str]) -> tuple[Sidecar, asyncio.Event]:
    """A sidecar that connects to `place(address)`, and the event, set by SIGTERM or SIGINT, that stops it."""
    settings = load(Settings)
    settings = settings.model_copy(
        update={"dns_servers": tuple((place(ip), port) for ip, port in settings.dns_servers)}
    )
    configure(settings.log_level, settings.log_format)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    given = kubeconfig(access, None)
    leases = connect(given, settings.lease_seconds / RENEWALS)
    return Sidecar(connect(given), settings, leases=leases, dial=place), stop


async def _probe(access: Path, place: Callable[[str], str]) -> None:
    sidecar, stop = build(access, place)
    await sidecar.run(stop)


if __name__ == "__main__":
    sys.exit(main())
