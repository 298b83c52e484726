"""The sidecar's settings, from `ESO_*` variables; what it shares with the hook is in `runtime.settings`."""

import re
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import NoDecode

from external_service.core import Probe
from external_service.kind import LONGEST_TIMEOUT, NAMESPACE
from runtime.settings import COMMAS, EVERY_ADDRESS, CommonSettings, ListenHost, ListenPort

_SERVER = re.compile(r"(?:\[(?P<bracketed>[^]]+)\]|(?P<plain>[0-9.]+)):(?P<port>[0-9]{1,5})")

DNSServer = tuple[str, int]
"""Address and port."""

DNS_SERVERS = "addresses such as 10.0.0.53 or [fd00::53]:5353, with commas between"


def dns_server(text: str) -> DNSServer:
    """10.0.0.53, 10.0.0.53:5353, fd00::53 or [fd00::53]:5353; ValueError for anything else."""
    found = _SERVER.fullmatch(text)
    host = (found["bracketed"] or found["plain"]) if found else text
    port = int(found["port"]) if found else 53
    if not 1 <= port <= 65_535:
        raise ValueError(f"{port} is no port")
    return str(ip_address(host)), port


def _server_of(value: object) -> object:
    return dns_server(value) if isinstance(value, str) else value


def _canary(text: str) -> tuple[str, Probe] | None:
    """Address and probe, None for an empty text. ValueError for what is neither ADDRESS:PORT nor a URL."""
    if not text:
        return None
    if "://" not in text:
        parts = urlsplit(f"tcp://{text}")
        if parts.port is None or parts.netloc != text or parts.username is not None:
            raise ValueError
        return _ip(parts), _probe({"tcpSocket": {"port": parts.port}})
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or parts.fragment or parts.username is not None:
        raise ValueError
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    port = parts.port if parts.port is not None else {"http": 80, "https": 443}[parts.scheme]
    action = {"path": path, "port": port, "scheme": parts.scheme.upper()}
    return _ip(parts), _probe({"httpGet": action})


def _probe(given: object) -> Probe:
    try:
        return Probe.model_validate(given)
    except ValidationError as problem:
        raise ValueError from problem


def _ip(parts: SplitResult) -> str:
    return str(ip_address(parts.hostname or ""))


POD_NAME = "the name of the Pod, where ESO_LEASE_NAMESPACE is set, and only there"


LONGEST_LEASE = 300
"""In seconds."""


class Settings(CommonSettings):
    """Each field is a variable: `tick_milliseconds` is ESO_TICK_MILLISECONDS."""

    health_listen_host: ListenHost = Field(
        EVERY_ADDRESS,
        description="Address on which the prober serves health, metrics, the live view and the web page.",
    )
    health_listen_port: ListenPort = Field(
        8081,
        description=(
            "Port on which the prober serves health, metrics, the live view and the web page. Change it together "
            "with the container port."
        ),
    )
    tick_milliseconds: int = Field(
        10,
        ge=0,
        le=1_000,
        title="milliseconds from 0 to 1000 (probes start at multiples of them; 0: anywhere)",
        description=(
            "Probes start at multiples of this many milliseconds. 0 starts each one exactly when it is due, for "
            "more CPU."
        ),
    )
    concurrent_probes: int | None = Field(
        None,
        ge=1,
        title="a number, 1 or more",
        description=(
            "Most probes in flight; empty: as many as the limit of open files permits. Lower it to use less "
            "memory, raise the limit of open files to get more."
        ),
    )
    refresh_seconds: int = Field(
        60,
        ge=1,
        le=86_400,
        title="a number of seconds from 1 to 86400",
        description=(
            "Seconds between two reads of a ConfigMap or Secret that probes name. Lower it where certificates or "
            "tokens are rotated often."
        ),
    )
    concurrent_writes: int = Field(
        8,
        ge=1,
        le=1_000,
        title="a number from 1 to 1000",
        description="Most status writes in flight. The prober uses fewer while the API server is slow.",
    )
    dns_servers: Annotated[tuple[Annotated[DNSServer, BeforeValidator(_server_of)], ...], *COMMAS] = Field(
        (),
        title=f"{DNS_SERVERS}; none: resolv.conf",
        description=(
            "DNS servers that resolve spec.hostnames; empty: the nameservers of /etc/resolv.conf, in a Pod those "
            "of the cluster."
        ),
    )
    address_metrics: bool = Field(
        True,
        title="true, or false for no metric with a series an address",
        description=(
            "Expose a series for each address. Set false with very many addresses: the alerts for single "
            "addresses then do not fire."
        ),
    )
    events: bool = Field(
        True,
        title="true, or false for no Events on transitions",
        description="Record an Event for each transition. Set false where Events are too many for the API server.",
    )
    lease_namespace: str = Field(
        "",
        pattern=f"^({NAMESPACE})?$",
        title="the namespace of the Leases, its own",
        description=(
            "Namespace of the Leases by which replicas share the work: that of the Pod. Empty, with ESO_POD_NAME: "
            "no Leases, for a single replica."
        ),
    )
    pod_name: str = Field(
        "",
        pattern="^([a-z0-9]([-a-z0-9.]{0,198}[a-z0-9])?)?$",
        title=POD_NAME,
        description="Name of this replica in its Lease. The manifests set it from the Pod.",
    )
    longest_timeout_seconds: int = Field(
        LONGEST_TIMEOUT,
        ge=1,
        le=3_600,
        title="seconds from 1 to 3600",
        description=(
            "Longest timeout of a probe: a greater timeoutSeconds counts as this. A probe that waits holds one of the "
            "places that all namespaces share, so raise it only where some target needs longer to respond."
        ),
    )
    outage_hold_seconds: int = Field(
        60,
        ge=0,
        le=3_600,
        title="seconds from 0 (no guard) to 3600",
        description=(
            "Seconds for which ready addresses stay ready while no probed address responds (suspected outage of "
            "the prober's own network). Longer survives longer network failures, and publishes a real outage of "
            "all addresses later; 0 disables the guard."
        ),
    )
    canary: Annotated[tuple[str, Probe] | None, NoDecode, BeforeValidator(_canary)] = Field(
        None,
        title="an address to ask, without names: 10.0.0.1:443, [2001:db8::1]:443 or http://10.0.0.1:8080/healthz",
        description=(
            "Address that always responds, such as a gateway. While it responds, no outage is suspected; with it "
            "a single address is protected too. Empty: the addresses of the ExternalServices are compared with "
            "each other."
        ),
    )
    lease_seconds: int = Field(
        15,
        ge=3,
        le=LONGEST_LEASE,
        title=f"seconds from 3 to {LONGEST_LEASE}",
        description=(
            "Seconds after which the other replicas take over from one that stopped renewing its Lease. Lower "
            "takes over sooner, and loses the Lease sooner while the API server is slow."
        ),
    )

    @model_validator(mode="after")
    def _name_with_place(self) -> Self:
        """A replica has a name and a namespace for its Lease, or neither."""
        if bool(self.pod_name) is not bool(self.lease_namespace):
            raise ValueError(f'ESO_POD_NAME: write {POD_NAME} (got "{self.pod_name}")')
        return self
