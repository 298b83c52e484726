"""The commands of the prober: `prober`, `check` and `status`."""

import asyncio
import gc
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import click
from pydantic import ValidationError

from external_service import invalid
from external_service.kind import NAMESPACE, SERVICE_NAME
from external_service.v1alpha1 import ExternalService
from probe_sidecar.kube.client import EXTERNAL_SERVICES, KubeClient, connect
from probe_sidecar.kube.credentials import SERVICE_ACCOUNT, Access, CredentialsError, in_cluster, plain_url
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.errors import ApiError
from probe_sidecar.replicas import RENEWALS
from probe_sidecar.settings import DNS_SERVERS, DNSServer, Settings, dns_server
from probe_sidecar.sidecar import Sidecar
from runtime.commands import FILE, Failure, manifests
from runtime.http_server import STOP_SIGNALS, CannotListen
from runtime.logs import configure
from runtime.settings import CommonSettings, InvalidSettings, load

if TYPE_CHECKING:
    from external_service.manifest import Document

NO_CLUSTER = (
    "not inside a cluster (KUBERNETES_SERVICE_HOST is not set): name a kubeconfig with --kubeconfig PATH, "
    "or an API server with --server URL"
)
OBJECT = re.compile(rf"(?:(?P<namespace>{NAMESPACE})/)?(?P<name>{SERVICE_NAME})")
_OTHER_NAMESPACE = "it is in namespace {}, and --namespace says {}: leave one out"
SWITCH_SECONDS = 0.0005
OPERATOR_NAMESPACE = "external-service-operator"
REST_SECONDS: Final = 60.0
"""At least so long between two freezes, for each walks all that there is."""


class Cluster(NamedTuple):
    """Which cluster is meant, as the options say it."""

    kubeconfig: Path | None
    context: str | None
    server: str | None

    def of_the_pod(self) -> Access:
        """Access for a process in the cluster: its service account, unless the options say otherwise."""
        if self.server:
            if self.kubeconfig or self.context:
                raise CredentialsError("--server uses no kubeconfig: write it without --kubeconfig and --context")
            return plain_url(self.server)
        if self.kubeconfig:
            from probe_sidecar.kube.kubeconfig import kubeconfig  # noqa: PLC0415 - YAML: no Pod needs it

            return kubeconfig(self.kubeconfig, self.context)
        if self.context:
            raise CredentialsError("--context names a context of a kubeconfig: name the file with --kubeconfig")
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise CredentialsError(NO_CLUSTER)
        return in_cluster(host, port)

    def of_the_user(self) -> tuple[Access, str]:
        """Access and default namespace: by the options, KUBECONFIG, ~/.kube/config or the Pod's account."""
        from probe_sidecar.kube.kubeconfig import kubeconfig, namespace  # noqa: PLC0415 - YAML: no Pod needs it

        file = self.kubeconfig or _kubeconfig()
        if self.server or file is None:
            mounted = SERVICE_ACCOUNT / "namespace"
            return self.of_the_pod(), mounted.read_text().strip() if mounted.exists() else "default"
        return kubeconfig(file, self.context), namespace(file, self.context)


class _Servers(click.ParamType["list[DNSServer]"]):
    name = "servers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[DNSServer]:  # noqa: ARG002 - click's signature
        try:
            return [dns_server(part.strip()) for part in value.split(",")]
        except ValueError:
            self.fail(f"write {DNS_SERVERS} (got {value})", param)


def _of_a_cluster(command: Callable[..., int]) -> Callable[..., int]:
    @wraps(command)
    def with_cluster(kubeconfig: Path | None, context: str | None, server: str | None, **options: Any) -> int:
        return command(cluster=Cluster(kubeconfig, context, server), **options)

    wrapped: Callable[..., int] = with_cluster
    for option in (
        click.option("--server", metavar="URL", help="An API server without credentials, such as `kubectl proxy`."),
        click.option("--context", metavar="NAME", help="A context of the kubeconfig (default: its current one)."),
        click.option("--kubeconfig", type=click.Path(path_type=Path), metavar="PATH", help="How to reach the cluster."),
    ):
        wrapped = option(wrapped)
    return wrapped


@click.command
@_of_a_cluster
def prober(cluster: Cluster) -> int:
    """Probe all addresses and write their status.

    In a Pod it uses the Pod's service account. Its settings are ESO_* variables (docs/configuration.md).

    \b
    Examples:
      external-service prober
      external-service prober --kubeconfig ~/.kube/config --context staging
    """
    try:
        settings = load(Settings)
        access = cluster.of_the_pod()
    except (InvalidSettings, CredentialsError) as problem:
        raise Failure(2, str(problem)) from None
    configure(settings.log_level, settings.log_format)
    _raise_descriptor_limit()
    try:
        asyncio.run(_until_stopped(access, settings))
    except CannotListen as problem:
        raise Failure(1, str(problem)) from None
    return 0


@click.command
@click.argument("targets", type=FILE, metavar="TARGET...", nargs=-1, required=True)
@click.option("--count", type=click.IntRange(1, 1_000), default=1, metavar="N", help="Probes an address (default: 1).")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="json: one array (default: table)."
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="CA certificates (PEM) to verify with, instead of those that tls names.",
)
@click.option(
    "--dns-servers",
    type=_Servers(),
    metavar="IP[:PORT],...",
    help="Servers that resolve spec.hostnames (default: those of /etc/resolv.conf).",
)
@click.option("-n", "--namespace", metavar="NAME", help="Namespace of a target without one.")
@_of_a_cluster
def check(  # noqa: PLR0917 - click passes them by name
    targets: tuple[str, ...],
    count: int,
    output: Literal["table", "json"],
    ca_file: Path | None,
    dns_servers: list[DNSServer] | None,
    namespace: str | None,
    cluster: Cluster,
) -> int:
    """Probe each address once, from here.

    TARGET is a file, a folder, "-" for the standard input, or NAMESPACE/NAME or NAME of an object in the cluster.
    A path that exists is a file. ConfigMaps and Secrets that a probe names are read from the cluster, with your rights.
    Exit status: 0 all probes succeeded, 1 one failed, 2 bad input.

    \b
    Examples:
      external-service check CR.yaml
      external-service check shop/static
      external-service check CR.yaml --count 5 -o json
    """
    from probe_sidecar.check import CannotCheck, as_json, check_all, table  # noqa: PLC0415 - tables and DNS

    parents = []
    for target in targets:
        if _is_a_path(target):
            parents += [_placed(document, namespace) for document in manifests([target])]
        else:
            parents.append(_parent(_fetched(cluster, target, namespace)))
    try:
        checks = check_all(
            parents,
            count=count,
            ca_file=ca_file,
            dns_servers=dns_servers or (),
            body_contains=load(CommonSettings).body_contains,
            cluster=lambda: connect(cluster.of_the_user()[0]),
        )
        checked = asyncio.run(checks)
    except (CannotCheck, InvalidSettings) as problem:
        raise Failure(2, str(problem)) from None
    if output == "json":
        click.echo(as_json(parents, checked))
    else:
        click.echo("\n\n".join(table(parent, rows) for parent, rows in zip(parents, checked, strict=True)))
    return 0 if all(row.success for rows in checked for row in rows) else 1


@click.command
@click.argument("target", metavar="[NAMESPACE/]NAME")
@click.option("-n", "--namespace", metavar="NAME", help="Namespace of a target without one.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: object and live view.")
@click.option("--live/--no-live", default=True, help="Ask the prober for its newest results (default: yes).")
@click.option(
    "--operator-namespace",
    metavar="NAME",
    default=OPERATOR_NAMESPACE,
    help=f"Where the operator runs (default: {OPERATOR_NAMESPACE}).",
)
@click.option("--operator-port", type=int, metavar="PORT", default=8081, help="The prober's page port (default: 8081).")
@_of_a_cluster
def status(  # noqa: PLR0917 - click passes them by name
    target: str,
    namespace: str | None,
    output: Literal["text", "json"],
    live: bool,
    operator_namespace: str,
    operator_port: int,
    cluster: Cluster,
) -> int:
    """Show which addresses are ready, and why.

    It also shows since when, and what to do. The live view is read from the prober's Pod through the API server. It
    needs the right to list Leases and to get pods/proxy in the operator's namespace; without it the rest is shown.
    Exit status: 0 the object is Ready, 1 it is not, 2 it cannot be read.

    \b
    Examples:
      external-service status shop/static
      external-service status static -n shop --no-live
      kubectl extsvc status shop/static -o json
    """
    from probe_sidecar.explain import LiveView, explain, live_view, ready  # noqa: PLC0415 - tables

    raw = _fetched(cluster, target, namespace)
    parent = _parent(raw)
    view = LiveView("", None, "switched off")
    if live:
        access, _ = _of_the_user(cluster)
        view = asyncio.run(live_view(connect(access, 10.0), parent, operator_namespace, operator_port))
    if output == "json":
        click.echo(json.dumps({"object": raw, "live": view.page, "liveProblem": view.problem}, indent=2))
    else:
        click.echo(explain(parent, view, datetime.now(UTC)))
    return 0 if ready(parent) else 1


def _is_a_path(target: str) -> bool:
    return target == "-" or Path(target).exists() or OBJECT.fullmatch(target) is None


def _kubeconfig() -> Path | None:
    """The first file that KUBECONFIG names, else ~/.kube/config if there is one."""
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        return next((file for file in named if file.exists()), named[0])
    usual = Path(os.environ.get("HOME") or "/") / ".kube" / "config"
    return usual if usual.exists() else None


def _of_the_user(cluster: Cluster) -> tuple[Access, str]:
    try:
        return cluster.of_the_user()
    except CredentialsError as problem:
        raise Failure(2, str(problem)) from None


def _fetched(cluster: Cluster, target: str, namespace: str | None) -> Object:
    found = OBJECT.fullmatch(target)
    if found is None:
        raise Failure(2, f"{target}: write NAMESPACE/NAME or NAME")
    if namespace not in (None, found["namespace"] or namespace):
        raise Failure(2, f"{target}: {_OTHER_NAMESPACE.format(found['namespace'], namespace)}")
    access, usual = _of_the_user(cluster)
    place = found["namespace"] or namespace or usual
    try:
        return asyncio.run(_get(connect(access), place, found["name"]))
    except ApiError as error:
        raise Failure(2, f"{place}/{found['name']}: {error}") from None


async def _get(client: KubeClient, namespace: str, name: str) -> Object:
    try:
        return await client.get(EXTERNAL_SERVICES, namespace, name)
    finally:
        await client.close()


def _placed(document: "Document", namespace: str | None) -> ExternalService:
    """The ExternalService of a file, in `namespace` if the file names none."""
    parent = document.parent
    if namespace in (None, parent.metadata.namespace):
        return parent
    if "namespace" in document.raw["metadata"]:
        problem = _OTHER_NAMESPACE.format(parent.metadata.namespace, namespace)
        raise Failure(2, f"{document.where}{problem}")
    return parent.model_copy(update={"metadata": parent.metadata.model_copy(update={"namespace": namespace})})


def _parent(raw: Object) -> ExternalService:
    try:
        return ExternalService.model_validate(raw)
    except ValidationError as error:
        raise Failure(2, *invalid.explain(error)) from None


def _raise_descriptor_limit() -> None:
    """Each probe in flight holds a descriptor; the soft limit is often 1,024 for the sake of select(), unused here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _until_stopped(access: Access, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    leases = connect(access, settings.lease_seconds / RENEWALS)
    sidecar = Sidecar(connect(access), settings, leases=leases, on_settled=Freezer().freeze)
    # A large object is read in a thread, which would keep the loop waiting for 5 ms at each system call of a probe.
    sys.setswitchinterval(SWITCH_SECONDS)
    # What is there when all has been taken in stays: to walk it again and again would hold up the probes by 0.1 s.
    gc.set_threshold(10_000, 5, 20)
    gc.collect()
    gc.freeze()
    await sidecar.run(stop)


class Freezer:
    """Freezes long-lived objects (gc.freeze), because garbage collection would block the event loop (ADR 3)."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._at = -inf

    def freeze(self) -> None:
        """Exclude all reachable objects from later collections; does nothing within REST_SECONDS of the last call.

        Objects frozen earlier are thawed and collected first. Otherwise cycles that became garbage after a freeze would
        leak, and replicas that come and go cause many freezes.
        """
        now = self._clock()
        if now - self._at >= REST_SECONDS:
            self._at = now
            gc.unfreeze()
            gc.collect()
            gc.freeze()
