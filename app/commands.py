"""The commands of the hook: `hook`, `render` and `request`."""

import asyncio
import gc
import logging
import signal
import sys
from typing import Literal

import click
import uvloop

from app.credentials import ServerTls, Tokens, UnusableFile
from app.hook import InvalidRequest
from app.metrics import SyncMetrics
from app.server import create_app, create_pages, sync_options
from app.settings import Settings
from app.sync import desired_children
from runtime.commands import FILE, Failure, manifests, warn
from runtime.http_server import STOP_SIGNALS, Binding, CannotListen, listen, serve_until_signal, url
from runtime.logs import configure
from runtime.settings import InvalidSettings, load

STATUS_AFTER = {number: 130 if number == signal.SIGINT else 0 for number in STOP_SIGNALS}

logger = logging.getLogger("app")


@click.command
@click.option("--host", metavar="ADDRESS", help="Address to listen on (default: ESO_LISTEN_HOST, else every address).")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on, 0 for any (default: ESO_LISTEN_PORT, else 8080)."
)
def hook(host: str | None, port: int | None) -> int:
    """Serve the sync hook of Metacontroller.

    It needs no cluster and no access to one. docs/hook.md shows how to send requests by hand; /docs is a page for that.

    \b
    Examples:
      external-service hook
      external-service hook --host 127.0.0.1 --port 8080
    """
    return _serve(_settings(listen_host=host, listen_port=port))


@click.command
@click.argument("paths", type=FILE, metavar="PATH...", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", help="json: one array (default: yaml)."
)
def render(paths: tuple[str, ...], output: Literal["yaml", "json"]) -> int:
    """Print the children of ExternalServices.

    It needs no cluster. PATH is a file, a folder, or "-" for the standard input. A status in the file says which
    addresses are healthy.

    \b
    Examples:
      external-service render CR.yaml
      external-service render shop/ billing/static.yaml -o json
      kubectl get externalservice static -o yaml | external-service render -
    """
    from app.render import here, left_out, text  # noqa: PLC0415 - YAML: no server needs it

    options = here(sync_options(_settings()))
    made = []
    for document in manifests(paths):
        try:
            made += desired_children(document.parent, options).children
        except InvalidRequest as refused:
            raise Failure(2, *(f"{document.where}{problem}" for problem in refused.problems)) from None
        warn(left_out(document, options.policy))
    click.echo(text(made, output), nl=False)
    return 0


@click.command
@click.argument("file", type=FILE, metavar="CR.yaml")
@click.option("--name", default="", help="NAME or NAMESPACE/NAME, of several ExternalServices in the file.")
def request(file: str, name: str) -> int:
    """Print the sync request for a file.

    It is what Metacontroller sends to the hook. The request shows no children: the hook answers with all that it would
    make.

    \b
    Examples:
      external-service request CR.yaml | curl -sS -d @- http://127.0.0.1:8080/sync
      external-service request all.yaml --name shop/static
    """
    from app.render import sync_request  # noqa: PLC0415 - YAML: no server needs it
    from external_service.manifest import InvalidInput  # noqa: PLC0415

    found = manifests([file])
    try:
        click.echo(sync_request(found, name))
    except InvalidInput as invalid:
        raise Failure(2, *(f"{file}: {problem}" for problem in invalid.problems)) from None
    return 0


def _settings(**given: str | int | None) -> Settings:
    try:
        return load(Settings, **given)
    except InvalidSettings as invalid:
        raise Failure(2, str(invalid)) from None


def _serve(settings: Settings) -> int:
    configure(settings.log_level, settings.log_format)
    for number, status in STATUS_AFTER.items():  # until the event loop handles signals
        signal.signal(number, lambda *_, status=status: sys.exit(status))
    metrics = SyncMetrics()
    try:
        tokens = Tokens(settings.token_file) if settings.token_file else None
        tls = None
        if settings.tls_cert_file and settings.tls_key_file:
            served = ServerTls(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
            metrics.certificate(served.expiry)
            tls = served.context
        bindings = [
            Binding(create_app(settings, metrics, tokens), listen(settings.listen_host, settings.listen_port), tls)
        ]
        if settings.metrics_listen_port is not None:
            listener = listen(settings.metrics_listen_host, settings.metrics_listen_port)
            bindings.append(Binding(create_pages(metrics), listener))
    except CannotListen as problem:
        raise Failure(1, str(problem)) from None
    except UnusableFile as problem:
        raise Failure(2, str(problem)) from None
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
