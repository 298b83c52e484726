"""`check`: probe each address of the ExternalServices in a file now, from here, and explain what came of it.

The same engine, protocols and resolver as the sidecar's; no thresholds, no state. Loopback is allowed here. The cluster
is read only for the ConfigMaps and Secrets that a probe names.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import click
from tabulate import tabulate

from external_service.admission import Features, switched_off
from external_service.core import Probe
from external_service.kind import Reason
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import ExternalService, ExternalServiceSpec
from probe_sidecar.hostnames.cache import UNKNOWN, failure, following, resolve, result
from probe_sidecar.hostnames.hostnames import CREATE_RECORD
from probe_sidecar.hostnames.resolver import Resolver, Server
from probe_sidecar.kube.client import KubeClient
from probe_sidecar.kube.credentials import CredentialsError
from probe_sidecar.kube.errors import ApiError
from probe_sidecar.probes.engine import ProbeEngine
from probe_sidecar.probes.exchange import Outcome
from probe_sidecar.probes.message import (
    CONNECTING,
    NOT_HTTP,
    NOT_HTTP2,
    READING_BODY,
    SENDING,
    TLS_HANDSHAKE,
    WAITING,
    certificate_refused,
    grpc_status,
    handshake_failed,
    tls_failed,
)
from probe_sidecar.probes.prepare import PreparedProbe, Referenced, prepare
from probe_sidecar.probes.tls import BadCertificates, verified
from probe_sidecar.references import Unusable, Values, assembled, content, read, references

LONGEST_PAUSE = 1.0
"""Seconds between two probes of one address, at most: a person waits for the result."""

OTHER_NAME = "made for another name: write one of the certificate's into httpGet.tls.serverName"
NO_CLIENT_CERTIFICATE = "the server demands a client certificate (tls.clientCertificateSecret)"
OTHER_CLIENT_CA = "the server does not trust the CA of the client certificate (tls.clientCertificateSecret)"
EXPLANATIONS = {
    "connection refused": "the host is there, nothing listens on the port (or a firewall rejects it)",
    "no route to host": "no response from this address",
    "network is unreachable": "this machine has no route to the address",
    "connection reset": "the other side, or a firewall between, cut the connection",
    "HTTP 404": "the path, or the Host header (httpGet.host), is not the one that the server knows",
    "HTTP 421": "the Host header (httpGet.host) is not one that the server answers for",
    "HTTP 400": "the server does not like the request: plain HTTP to a TLS port (scheme: HTTPS), or a wrong Host",
    "HTTP 401": "the server wants credentials: probe a path that is open to all, or send a header",
    "HTTP 403": "the server refuses: probe a path that is open to all, or send a header",
    NOT_HTTP: "another protocol is spoken there, perhaps TLS (scheme: HTTPS)",
    NOT_HTTP2: "no HTTP/2 is spoken there (httpGet.protocol), or the server chose it in the TLS handshake",
    handshake_failed("wrong version number"): "no TLS is spoken there (scheme: HTTP)",
    handshake_failed("tlsv1 alert protocol version"): "the server speaks only TLS versions before 1.2: update it",
    handshake_failed("unsupported protocol"): "the server speaks only TLS versions before 1.2: update it",
    handshake_failed("tlsv1 unrecognized name"): "the server has no certificate for the name that is sent "
    "(httpGet.tls.serverName, else httpGet.host)",
    handshake_failed("dh key too small"): "the server's Diffie-Hellman parameters are too short: update it",
    handshake_failed("sslv3 alert handshake failure"): "the server demands a client certificate, a name "
    "(httpGet.host), or cipher suites that are too old",
    handshake_failed("sslv3 alert bad certificate"): NO_CLIENT_CERTIFICATE,
    handshake_failed("tlsv13 alert certificate required"): NO_CLIENT_CERTIFICATE,
    tls_failed("tlsv13 alert certificate required"): NO_CLIENT_CERTIFICATE,
    handshake_failed("tlsv1 alert unknown ca"): OTHER_CLIENT_CA,
    tls_failed("tlsv1 alert unknown ca"): OTHER_CLIENT_CA,
    handshake_failed("connection closed"): "the server, or a proxy, closed the connection in the handshake: "
    "no TLS is spoken there, or not for the name that httpGet.host sends",
    handshake_failed(""): "no TLS is spoken there (scheme: HTTP), or not for the name that httpGet.host sends",
    grpc_status("UNIMPLEMENTED"): "the server does not offer grpc.health.v1.Health",
    "SERVICE_UNKNOWN": "the server does not know the service that grpc.service names",
    certificate_refused("EE certificate key too weak"): "the server's certificate has a short key: RSA needs 2048 bits",
    certificate_refused("CA certificate key too weak"): "the CA's certificate has a short key: RSA needs 2048 bits",
    certificate_refused("certificate has expired"): "renew the server's certificate, or correct this machine's clock",
    certificate_refused("certificate is not yet valid"): "correct the clock of this machine, or renew the certificate",
    certificate_refused("self-signed certificate"): "the server presents a certificate that is not among the CAs of "
    "httpGet.tls",
    certificate_refused("hostname mismatch"): OTHER_NAME,
    certificate_refused("IP address mismatch"): OTHER_NAME,
    certificate_refused(""): "not signed by the CA that httpGet.tls names, expired, or made for another name "
    "(httpGet.tls.serverName)",
    "no such name": f"{CREATE_RECORD}; names are absolute, no search list is tried",
    "no address record": "the name is there, but has no A or AAAA record of spec.addressFamilies: create one",
    "no response from DNS": "the DNS servers cannot be reached from here: --dns-servers names others",
    "prober fault": "this machine could not make the probe; it says nothing of the address",
}
"""Explanations by the beginning of a message, longer ones first; a timeout is explained by its phase."""

GRPC_EXPLANATIONS = {
    NOT_HTTP2: "no gRPC server in plaintext answers there, perhaps one over TLS (grpc.tls)",
    handshake_failed("wrong version number"): "no TLS is spoken there: remove grpc.tls",
}
"""Explanations that differ for grpc."""

PHASES = {
    CONNECTING: "no response to the connection: a firewall drops it, or the host is down",
    TLS_HANDSHAKE: "connected, but no TLS is spoken there, or the server is overloaded",
    SENDING: "connected, but the server does not read",
    WAITING: "connected, but slower than timeoutSeconds",
    READING_BODY: "the response began, but its body came too slowly",
}


NO_PROBE = "no readinessProbe: published as ready without being asked"
UNRESOLVED = {"nxdomain": "no such name", "no_data": "no address record"}

HERE = AddressPolicy(loopback=True)
"""Policy for probes from one's own machine."""


class Checked(NamedTuple):
    """Result of the last of `probes` probes of one address; `passed` of them succeeded.

    `hostname` is what it was resolved from, if it was; `expires` when its certificate does, in Unix seconds.
    A name without addresses is a row without `ip`.
    """

    ip: str
    success: bool
    reason: Reason | Literal["Unresolved"]
    message: str
    seconds: float
    passed: int
    probes: int
    hostname: str = ""
    expires: float | None = None


async def check_all(
    parents: Sequence[ExternalService],
    *,
    count: int,
    ca_file: Path | None = None,
    dns_servers: Sequence[Server] = (),
    body_contains: bool,
    cluster: Callable[[], KubeClient],
) -> list[list[Checked]]:
    """Probe every address of `parents`, one after the other. `ca_file` replaces the CA that `tls` names.

    Hostnames are resolved by `dns_servers`, or by those of this machine. ConfigMaps and Secrets that a probe names
    are read from the `cluster`, with the rights of the user. Raises CannotCheck.
    """
    for parent in parents:
        for problem in switched_off(parent.spec, Features(body_contains, probe_secrets=True)):
            raise CannotCheck(f"{_name(parent)}: {problem}")
    ca = _ca(ca_file)
    found = [await _referenced(parent, ca, cluster) for parent in parents]
    return [await check(parent, count, one, dns_servers) for parent, one in zip(parents, found, strict=True)]


def as_json(parents: Iterable[ExternalService], checked: Iterable[Iterable[Checked]]) -> str:
    """One array of JSON with the results of all `parents`."""
    pairs = zip(parents, checked, strict=True)
    return json.dumps([_json(parent, row) for parent, rows in pairs for row in rows], indent=2)


def explanation(message: str, probe: Probe | None = None) -> str:
    """Explanation of a failure and advice; empty if the message is sufficient."""
    if message.startswith("timed out"):
        return next((text for phase, text in PHASES.items() if f"({phase})" in message), "")
    texts = EXPLANATIONS | (GRPC_EXPLANATIONS if probe is not None and probe.grpc is not None else {})
    return next((text for start, text in texts.items() if message.startswith(start)), "")


async def check(
    parent: ExternalService,
    count: int,
    found: Referenced,
    dns_servers: Sequence[Server],
) -> list[Checked]:
    """Probe every address of `parent` `count` times, all side by side; `found` is what its probe names."""
    names, unresolved = await _resolved(parent.spec, dns_servers)
    ips = list(dict.fromkeys((*parent.spec.ips, *names)))
    denied = [Checked(ip, False, "Denied", why, 0.0, 0, 0) for ip in names if (why := HERE.refusal(ip)) is not None]
    refused = {row.ip for row in denied}
    rows = [*await _probe_all(parent, [ip for ip in ips if ip not in refused], count, found), *denied]
    ordered = sorted(rows, key=lambda row: ips.index(row.ip))
    return [*(row._replace(hostname=names.get(row.ip, "")) for row in ordered), *unresolved]


async def _probe_all(parent: ExternalService, ips: Sequence[str], count: int, found: Referenced) -> list[Checked]:
    probe = parent.spec.readinessProbe
    if probe is None:
        return [Checked(ip, True, "NoProbe", NO_PROBE, 0.0, 0, 0) for ip in ips]
    engine = ProbeEngine(asyncio.get_running_loop())
    try:
        return list(await asyncio.gather(*(_probe(engine, probe, ip, count, found) for ip in ips)))
    finally:
        engine.close()


async def _resolved(spec: ExternalServiceSpec, servers: Sequence[Server]) -> tuple[dict[str, str], list[Checked]]:
    """Address -> name, and a row for each name that something is wrong with."""
    if not spec.hostnames:
        return {}, []
    resolver = Resolver(servers)
    lookups = (resolver.lookup(name, spec.families) for name in spec.hostnames)
    replies = dict(zip(spec.hostnames, await asyncio.gather(*lookups), strict=True))
    answers = {name: following(UNKNOWN, *both) for name, both in replies.items()}
    found = resolve(spec.hostnames, answers, {}, lambda _ip: False, 0.0)
    words = {name: UNRESOLVED.get(result(*both)) or failure(*both) for name, both in replies.items()}
    rows = [Checked("", False, "Unresolved", text, 0.0, 0, 0, name) for name, text in words.items() if text]
    return {ip: one.hostname for ip, one in found.items()}, rows


class CannotCheck(Exception):
    """An ExternalService cannot be checked; the text says why."""


def _ca(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        pem = file.read_bytes()
        verified(pem.decode("latin-1"))
        return pem
    except (OSError, BadCertificates) as problem:
        raise CannotCheck(f"{file}: {getattr(problem, 'strerror', None) or problem}") from None


async def _referenced(parent: ExternalService, ca: bytes | None, cluster: Callable[[], KubeClient]) -> Referenced:
    needed = references(parent.metadata.namespace, parent.spec.readinessProbe)
    client, contents = None, {}
    try:
        for parts in needed:
            values = list[Values]()
            for one in parts:
                if one.use == "CA" and ca is not None:
                    values.append((ca,))
                else:
                    client = client or cluster()
                    values.append(await read(client, one))
            contents[parts] = await content(parts, values)
    except (CredentialsError, ApiError, Unusable) as problem:
        one = problem.one if isinstance(problem, Unusable) else one
        instead = "; or give the CA with --ca-file PATH" if one.use == "CA" else ""
        raise CannotCheck(f"{_name(parent)} needs the {one.use} in {one}: {problem}{instead}") from None
    finally:
        if client is not None:
            await client.close()
    return assembled(contents)


def _name(parent: ExternalService) -> str:
    return f"{parent.metadata.namespace}/{parent.metadata.name}"


async def _probe(engine: ProbeEngine, probe: Probe, ip: str, count: int, found: Referenced) -> Checked:
    prepared = prepare(probe, ip, found=found)
    outcomes = []
    for number in range(count):
        if number:
            await asyncio.sleep(min(probe.periodSeconds, LONGEST_PAUSE))
        outcomes.append(await _end(engine, prepared))
    outcome, seconds = outcomes[-1]
    passed = sum(one.success for one, _ in outcomes)
    reason: Reason = "ProbeSucceeded" if outcome.success else "ProbeFailed"
    expires = prepared.certificate.expires if prepared.certificate is not None else None
    return Checked(ip, outcome.success, reason, outcome.message, seconds, passed, count, expires=expires)


async def _end(engine: ProbeEngine, prepared: PreparedProbe) -> tuple[Outcome, float]:
    """Outcome of one probe, and its seconds."""
    ended: asyncio.Future[tuple[Outcome, float]] = asyncio.get_running_loop().create_future()
    engine.start(prepared, lambda outcome, seconds: ended.set_result((outcome, seconds)))
    return await ended


def _json(parent: ExternalService, row: Checked) -> dict[str, object]:
    return {
        "externalService": _name(parent),
        "ip": row.ip or None,
        **({"hostname": row.hostname} if row.hostname else {}),
        "success": row.success,
        "reason": row.reason,
        "message": row.message,
        "durationSeconds": round(row.seconds, 6),
        "passed": row.passed,
        "probes": row.probes,
        **({"certificateExpires": _time(row.expires)} if row.expires is not None else {}),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(parent: ExternalService, rows: Sequence[Checked]) -> str:
    """Table of the results of `parent`, with explanations."""
    title = f"{_name(parent)}: {_described(parent.spec.readinessProbe)}"
    if not rows:
        return f"{title}\nspec.ips is empty: nothing to probe"
    columns = {"IP": [row.ip or "-" for row in rows]}
    if any(row.hostname for row in rows):
        columns["HOSTNAME"] = [row.hostname for row in rows]
    columns["PASSED"] = [f"{row.passed}/{row.probes}" if row.probes else "-" for row in rows]
    columns["SECONDS"] = [f"{row.seconds:.3f}" for row in rows]
    if any(row.expires is not None for row in rows):
        columns["CERTIFICATE EXPIRES"] = [_time(row.expires) if row.expires is not None else "-" for row in rows]
    columns["MESSAGE"] = [click.style(row.message, fg="green" if row.success else "red") for row in rows]
    meanings = ["" if row.success else explanation(row.message, parent.spec.readinessProbe) for row in rows]
    columns["WHAT IT MEANS" if any(meanings) else ""] = meanings
    return f"{title}\n{tabulate(columns, 'keys', tablefmt='plain', disable_numparse=True)}"


def _described(probe: Probe | None) -> str:
    if probe is None:
        return "no probe"
    if probe.httpGet is not None:
        action = probe.httpGet
        host = f" Host {action.host}" if action.host else ""
        asked = f"{action.scheme} {action.method} {action.path}"
        return f"{asked} on port {action.port}{host}, timeout {probe.timeoutSeconds} s"
    secure = " over TLS" if probe.tls is not None else ""
    kind = "tcp connection" if probe.tcpSocket is not None else f"gRPC health{secure}"
    return f"{kind} on port {probe.handler.port}, timeout {probe.timeoutSeconds} s"
