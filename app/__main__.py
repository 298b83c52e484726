"""`python -m app` serves the sync hook; `python -m app render CR.yaml` prints the children, without a server."""

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from app.api.environment import InvalidSettings, load
from app.api.manifest import InvalidInput
from app.render import render
from app.server import create_app
from app.settings import Settings
from app.sync import SyncOptions

KEEP_ALIVE_SECONDS = 120
"""Longer than the 90 s for which Metacontroller keeps an idle connection: a POST into a closing one is lost."""

SHUTDOWN_SECONDS = 10

logger = logging.getLogger("app")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 the address cannot be had, 2 bad input or settings."""
    arguments = _arguments(argv)
    try:
        settings = load(Settings, listen_host=arguments.host, listen_port=arguments.port)
        if arguments.command == "render":
            return _render(arguments.file, arguments.output, settings)
        return _serve(settings)
    except InvalidSettings as invalid:
        return _say(2, str(invalid))


def server_config(settings: Settings) -> uvicorn.Config:
    """How uvicorn serves: quiet while all is well, and connections outlive Metacontroller's."""
    return uvicorn.Config(
        create_app(settings),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m app", description="The sync hook of the External Service Operator."
    )
    parser.add_argument("--host", help="address to listen on (default: ESO_LISTEN_HOST, else every address)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (default: ESO_LISTEN_PORT, else 8080)")
    commands = parser.add_subparsers(dest="command", metavar="[render]")
    command = commands.add_parser("render", help="print the children of the ExternalServices in a file")
    command.add_argument("file", metavar="CR.yaml", help='a file, or "-" for the standard input')
    command.add_argument("--output", choices=("yaml", "json"), default="yaml", help="json: one array (default: yaml)")
    return parser.parse_args(argv)


def _serve(settings: Settings) -> int:
    _log_to_stderr(settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again when it has shut down
    try:
        listener = _listen(settings.listen_host, settings.listen_port)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # Python repeats the address there
        return _say(1, f"cannot listen on {settings.listen_host} port {settings.listen_port}: {reason}")
    host, port = listener.getsockname()[:2]
    logger.info("listening on http://%s", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    try:
        uvicorn.Server(server_config(settings)).run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; "::" takes IPv4 too. Raises OSError."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address[:2], family=family, backlog=1024, dualstack_ipv6=both)


def _log_to_stderr(settings: Settings) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _render(file: str, output: str, settings: Settings) -> int:
    options = SyncOptions(policy=settings.policy, uncopied_annotations=settings.uncopied_annotations)
    try:
        source = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        rendered = render(source, options, "json" if output == "json" else "yaml")
    except OSError as error:
        return _say(2, f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        return _say(2, f"{file}: this is not text in UTF-8")
    except InvalidInput as invalid:
        return _say(2, *(f"{file}: {problem}" for problem in invalid.problems))
    for warning in rendered.warnings:
        print(f"warning: {file}: {warning}", file=sys.stderr)
    print(rendered.text, end="")
    return 0


def _say(status: int, *lines: str) -> int:
    for line in lines:
        print(f"python -m app: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
