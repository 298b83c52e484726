"""Traefik with its Ingress and Gateway API providers on a real API server, and a client that uses it."""

import asyncio
import base64
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from playground.client import Kind
from playground.processes import NO_TLS, Component, answers, free_ports
from tests.e2e.accounts import with_roles
from tests.e2e.controlplane.pki import Pki
from tests.e2e.paced import paced
from tests.e2e.process import HOST, Process
from tests.e2e.world import SECRETS

ACCOUNT = ("traefik", "traefik")
GATEWAY = "public"
"""The Gateway in the namespace of ACCOUNT, with the listeners `http` and `https`."""
CLASS = "traefik"
"""The IngressClass and the GatewayClass."""
GATEWAY_CLASSES = Kind("gateway.networking.k8s.io/v1", "gatewayclasses", "GatewayClass", namespaced=False)
GATEWAYS = Kind("gateway.networking.k8s.io/v1", "gateways", "Gateway", namespaced=True)
INGRESS_CLASSES = Kind("networking.k8s.io/v1", "ingressclasses", "IngressClass", namespaced=False)

RESPONSE_SECONDS = 5.0

Object = dict[str, Any]


class Traefik(Process):
    """One process with one entry point for each provider ("Ingress" or "Gateway") and scheme.

    Ingresses are served at the entry points `http` and `https` only, HTTPRoutes only at the ports of the Gateway.
    """

    def __init__(self, binary: Path, kubeconfig: Path, directory: Path) -> None:
        places = ("Ingress", False), ("Ingress", True), ("Gateway", False), ("Gateway", True)
        ping, *ports = free_ports(len(places) + 1)
        self._ports = dict(zip(places, ports, strict=True))
        options = [
            "global.checknewversion=false",
            "global.sendanonymoususage=false",
            "ping=true",
            f"entrypoints.traefik.address={HOST}:{ping}",
            f"entrypoints.http.address={HOST}:{self.port('Ingress')}",
            "entrypoints.http.asdefault=true",
            f"entrypoints.https.address={HOST}:{self.port('Ingress', tls=True)}",
            "entrypoints.https.asdefault=true",
            "entrypoints.https.http.tls=true",
            f"entrypoints.gateway.address={HOST}:{self.port('Gateway')}",
            f"entrypoints.gateway-tls.address={HOST}:{self.port('Gateway', tls=True)}",
            "providers.kubernetesingress=true",
            f"providers.kubernetesingress.ingressendpoint.ip={HOST}",
            "providers.kubernetesgateway=true",
        ]
        command = [str(binary), *(f"--{option}" for option in options)]
        super().__init__(
            Component(
                "traefik",
                command,
                log=directory / "traefik.log",
                ready=lambda: answers(f"http://{HOST}:{ping}/ping"),
                environment={"KUBECONFIG": str(kubeconfig)},
            )
        )

    def port(self, provider: str, *, tls: bool = False) -> int:
        """The port of the entry point of a provider."""
        return self._ports[provider, tls]

    def classes(self) -> list[Object]:
        """The IngressClass, the GatewayClass and the Gateway; its listener `https` needs a Secret `gateway-tls`."""
        everyone = {"namespaces": {"from": "All"}}
        tls = {"mode": "Terminate", "certificateRefs": [{"name": "gateway-tls"}]}
        ports = {"http": self.port("Gateway"), "https": self.port("Gateway", tls=True)}
        listeners = [
            {"name": name, "protocol": name.upper(), "port": port, "allowedRoutes": everyone}
            | ({"tls": tls} if name == "https" else {})
            for name, port in ports.items()
        ]
        return [
            _object(INGRESS_CLASSES, {"name": CLASS}, {"controller": "traefik.io/ingress-controller"}),
            _object(GATEWAY_CLASSES, {"name": CLASS}, {"controllerName": "traefik.io/gateway-controller"}),
            _object(
                GATEWAYS,
                {"name": GATEWAY, "namespace": ACCOUNT[0]},
                {"gatewayClassName": CLASS, "listeners": listeners},
            ),
        ]


def _object(kind: Kind, metadata: Object, spec: Object) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


def account(rbac: str) -> list[Object]:
    """ACCOUNT with exactly the ClusterRoles of Traefik's documentation; `rbac` is that documentation's YAML."""
    roles = [one for one in yaml.safe_load_all(rbac) if one and one["kind"] == "ClusterRole"]
    return with_roles(ACCOUNT, *roles)


def tls_secret(pki: Pki, name: str, hosts: Sequence[str], namespace: str) -> Object:
    """A Secret for an Ingress or a Gateway, with a new certificate for these hosts."""
    certificate, key = pki.issue(name, common_name=name, hosts=hosts)
    files = {"tls.crt": certificate, "tls.key": key}
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/tls",
        "data": {entry: base64.b64encode(file.read_bytes()).decode() for entry, file in files.items()},
    }


@dataclass(frozen=True, slots=True)
class Response:
    """`status` is 0 if no response was received; `body` has no surrounding white space."""

    status: int
    body: str = ""


async def ask(port: int, host: str, path: str = "/", *, tls: ssl.SSLContext | None = None) -> Response:
    """Sends one request over a new connection, with `host` as Host header and SNI.

    Without a response after RESPONSE_SECONDS it has failed: Traefik waits up to 30 s for an address that drops packets,
    and a revival within that time would let the request succeed.
    """
    url, name = f"http{'s' if tls else ''}://{HOST}:{port}{path}", {"sni_hostname": host}
    async with httpx.AsyncClient(verify=tls or NO_TLS, trust_env=False, timeout=RESPONSE_SECONDS) as client:
        try:
            async with asyncio.timeout(RESPONSE_SECONDS):
                response = await client.get(url, headers={"Host": host}, extensions=name)
        except (httpx.TransportError, TimeoutError):
            return Response(0)
    return Response(response.status_code, response.text.strip())


@dataclass(slots=True)
class Request:
    """`sent` is time.monotonic; `response` is None until there is one."""

    sent: float
    response: Response | None = None

    @property
    def failed(self) -> bool:
        """Whether there is no response with status 200."""
        return self.response is None or self.response.status != 200


@dataclass(slots=True)
class Client:
    """Sends requests to one host, as `paced`, each over a new connection."""

    port: int
    host: str
    requests: list[Request] = field(default_factory=list)

    async def run(self) -> None:
        """Runs until cancelled."""
        await paced(self._send)

    async def _send(self, _turn: int) -> None:
        self.requests.append(request := Request(time.monotonic()))
        request.response = await ask(self.port, self.host)

    def between(self, begin: float, end: float) -> list[Request]:
        """The requests sent in this period, with the responses received so far."""
        return [one for one in self.requests if begin <= one.sent < end]

    def served_by(self, since: float) -> set[str]:
        """The bodies of the responses with status 200 to requests that were sent since then."""
        return {one.response.body for one in self.between(since, time.monotonic()) if one.response and not one.failed}


def failures(requests: Iterable[Request]) -> list[Request]:
    """The requests that failed."""
    return [one for one in requests if one.failed]
