"""`python -m probe_sidecar` probes; `python -m probe_sidecar check CR.yaml` probes once, from here, and explains."""

import argparse
import asyncio
import gc
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from probe_sidecar.collector import Freezer
from probe_sidecar.kube.client import connect
from probe_sidecar.kube.credentials import Access, CredentialsError, in_cluster, plain_url
from probe_sidecar.replicas.replica import RENEWALS
from probe_sidecar.settings import DNSServer, Settings, dns_server
from probe_sidecar.sidecar import Sidecar, run
from runtime.http_server import STOP_SIGNALS, CannotListen
from runtime.logs import configure
from runtime.settings import InvalidSettings, load

NO_CLUSTER = (
    "not inside a cluster (KUBERNETES_SERVICE_HOST is not set): name a kubeconfig with --kubeconfig PATH, "
    "or an API server with --server URL"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done or all succeeded, 1 could not start or a checked probe failed, 2 bad input or settings."""
    arguments = _arguments(argv)
    try:
        if arguments.command == "check":
            from probe_sidecar.check import check_file  # noqa: PLC0415 - YAML and tables, which no prober needs

            return check_file(
                arguments.file,
                count=arguments.count,
                output=arguments.output,
                ca_file=arguments.ca_file,
                dns_servers=arguments.dns_servers,
            )
        settings = load(Settings)
        access = _access(arguments)
    except (InvalidSettings, CredentialsError) as problem:
        print(f"python -m probe_sidecar: {problem}", file=sys.stderr)
        return 2
    configure(settings.log_level, settings.log_format)
    _raise_descriptor_limit()
    return _probe(access, settings)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m probe_sidecar", description="The prober of the External Service Operator."
    )
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="PATH",
        help="how to reach the API server (default: the Pod's service account)",
    )
    parser.add_argument("--context", help="a context of the kubeconfig (default: its current one)")
    parser.add_argument("--server", metavar="URL", help="an API server without credentials, such as `kubectl proxy`")
    commands = parser.add_subparsers(dest="command", metavar="[check]")
    command = commands.add_parser("check", help="probe each address of an ExternalService once, now, from here")
    command.add_argument("file", metavar="CR.yaml", help='a file, or "-" for the standard input')
    command.add_argument("--count", type=_positive, default=1, metavar="N", help="probes an address (default: 1)")
    command.add_argument("--output", choices=("table", "json"), default="table", help="(default: table)")
    command.add_argument("--ca-file", type=Path, metavar="PATH", help="the CAs that httpGet.tls names, as PEM")
    command.add_argument(
        "--dns-servers",
        type=_servers,
        default=(),
        metavar="IP[:PORT],...",
        help="who is asked for spec.hostnames (default: as /etc/resolv.conf says)",
    )
    return parser.parse_args(argv)


def _servers(text: str) -> list[DNSServer]:
    try:
        return [dns_server(part.strip()) for part in text.split(",")]
    except ValueError:
        wish = "write addresses such as 10.0.0.53 or [fd00::53]:5353, with commas between"
        raise argparse.ArgumentTypeError(f"{wish} (got {text})") from None


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000:
        raise argparse.ArgumentTypeError(f"write a number from 1 to 1000 (got {text})")
    return number


def _access(arguments: argparse.Namespace) -> Access:
    if arguments.server:
        return plain_url(arguments.server)
    if arguments.kubeconfig:
        from probe_sidecar.kube.kubeconfig import kubeconfig  # noqa: PLC0415 - no Pod has one, and YAML takes memory

        return kubeconfig(arguments.kubeconfig, arguments.context)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise CredentialsError(NO_CLUSTER)
    return in_cluster(host, port)


def _raise_descriptor_limit() -> None:
    """Each probe in flight holds a descriptor; the soft limit is often 1,024 for the sake of select(), unused here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _probe(access: Access, settings: Settings) -> int:
    try:
        asyncio.run(_until_stopped(access, settings))
    except CannotListen as problem:
        print(f"python -m probe_sidecar: {problem}", file=sys.stderr)
        return 1
    return 0


async def _until_stopped(access: Access, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    leases = connect(access, settings.lease_seconds / RENEWALS)
    sidecar = Sidecar(connect(access), settings, leases=leases, on_settled=Freezer().freeze)
    # What is there when all has been taken in stays: to walk it again and again would hold up the probes by 0.1 s.
    gc.set_threshold(10_000, 5, 20)
    gc.collect()
    gc.freeze()
    await run(sidecar, stop)


if __name__ == "__main__":
    sys.exit(main())
