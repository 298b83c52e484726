"""`python -m app` serves the sync hook; `render CR.yaml` and `request CR.yaml` print children and sync request."""

import argparse
import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from app.bearer import Tokens, UnusableTokens
from app.metrics import SyncMetrics
from app.render import render
from app.request import request
from app.server import create_app, create_pages
from app.settings import Settings
from app.sync import SyncOptions
from app.tls import ServerTls, UnusableCertificate
from external_service.manifest import InvalidInput
from runtime.http_server import STOP_SIGNALS, Binding, CannotListen, listen, serve_until_signal, url
from runtime.logs import configure
from runtime.settings import InvalidSettings, load

STATUS_AFTER = {number: 130 if number == signal.SIGINT else 0 for number in STOP_SIGNALS}

logger = logging.getLogger("app")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 the address cannot be had, 2 bad input or settings."""
    arguments = _arguments(argv)
    try:
        settings = load(Settings, listen_host=arguments.host, listen_port=arguments.port)
        if arguments.command == "render":
            return _render(arguments.file, arguments.output, settings)
        if arguments.command == "request":
            return _request(arguments.file, arguments.name)
        return _serve(settings)
    except InvalidSettings as invalid:
        return _say(2, str(invalid))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m app", description="The sync hook of the External Service Operator."
    )
    parser.add_argument("--host", help="address to listen on (default: ESO_LISTEN_HOST, else every address)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (default: ESO_LISTEN_PORT, else 8080)")
    commands = parser.add_subparsers(dest="command", metavar="[render | request]")
    command = commands.add_parser("render", help="print the children of the ExternalServices in a file")
    command.add_argument("file", metavar="CR.yaml", help='a file, or "-" for the standard input')
    command.add_argument("--output", choices=("yaml", "json"), default="yaml", help="json: one array (default: yaml)")
    command = commands.add_parser("request", help="print the sync request for the ExternalService in a file")
    command.add_argument("file", metavar="CR.yaml", help='a file, or "-" for the standard input')
    command.add_argument("--name", default="", help="NAME or NAMESPACE/NAME, of several ExternalServices in the file")
    return parser.parse_args(argv)


def _serve(settings: Settings) -> int:
    configure(settings.log_level, settings.log_format)
    for number, status in STATUS_AFTER.items():  # until the event loop handles signals
        signal.signal(number, lambda *_, status=status: sys.exit(status))
    metrics = SyncMetrics()
    try:
        tokens = Tokens(settings.token_file) if settings.token_file else None
        tls = ServerTls(settings.tls).context if settings.tls else None
        bindings = [
            Binding(create_app(settings, metrics, tokens), listen(settings.listen_host, settings.listen_port), tls)
        ]
        if settings.metrics_listen_port is not None:
            listener = listen(settings.metrics_listen_host, settings.metrics_listen_port)
            bindings.append(Binding(create_pages(metrics), listener))
    except CannotListen as problem:
        return _say(1, str(problem))
    except (UnusableTokens, UnusableCertificate) as problem:
        return _say(2, str(problem))
    _spare_the_collector()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # kept for the event loop: an exit inside it is a crash
    logger.info("listening on %s", url(bindings[0].listener, "https" if tls else "http"))
    for pages in bindings[1:]:
        logger.info("health and metrics on %s", url(pages.listener))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return STATUS_AFTER[runner.run(serve_until_signal(bindings, settings.drain_seconds))]


def _spare_the_collector() -> None:
    """A request with 1,000 addresses makes 10,000 objects, no cycle among them: looking for some took half the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _render(file: str, output: str, settings: Settings) -> int:
    options = SyncOptions(settings.policy, settings.uncopied_annotations, settings.endpoints)
    try:
        rendered = render(_read(file), options, "json" if output == "json" else "yaml")
    except InvalidInput as invalid:
        return _say(2, *(f"{file}: {problem}" for problem in invalid.problems))
    for warning in rendered.warnings:
        print(f"warning: {file}: {warning}", file=sys.stderr)
    print(rendered.text, end="")
    return 0


def _request(file: str, name: str) -> int:
    try:
        print(request(_read(file), name))
    except InvalidInput as invalid:
        return _say(2, *(f"{file}: {problem}" for problem in invalid.problems))
    return 0


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(str(error.strerror)) from None
    except UnicodeDecodeError:
        raise InvalidInput("this is not text in UTF-8") from None


def _say(status: int, *lines: str) -> int:
    for line in lines:
        print(f"python -m app: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
