"""The sidecar's settings, from `ESO_*` variables; what it shares with the hook is in `runtime.settings`."""

import re
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from external_service.core import Probe
from external_service.kind import NAMESPACE
from runtime.settings import COMMAS, EVERY_ADDRESS, CommonSettings

_SERVER = re.compile(r"(?:\[(?P<bracketed>[^]]+)\]|(?P<plain>[0-9.]+)):(?P<port>[0-9]{1,5})")

CASourceKind = Literal["ConfigMap", "Secret"]

DNSServer = tuple[str, int]
"""Address and port."""


def dns_server(text: str) -> DNSServer:
    """10.0.0.53, 10.0.0.53:5353, fd00::53 or [fd00::53]:5353; ValueError for anything else."""
    found = _SERVER.fullmatch(text)
    host = (found["bracketed"] or found["plain"]) if found else text
    port = int(found["port"]) if found else 53
    if not 1 <= port <= 65_535:
        raise ValueError(f"{port} is no port")
    return str(ip_address(host)), port


def _canary_or_none(text: str) -> str:
    if text:
        _canary(text)
    return text


def _server_of(value: object) -> object:
    return dns_server(value) if isinstance(value, str) else value


POD_NAME = "the name of the Pod, where ESO_LEASE_NAMESPACE is set, and only there"


class Settings(CommonSettings):
    """Each field is a variable: `tick_milliseconds` is ESO_TICK_MILLISECONDS."""

    health_listen_host: str = Field(
        EVERY_ADDRESS,
        min_length=1,
        description="an address of this machine",
    )
    health_listen_port: int = Field(
        8081, ge=0, le=65_535, description="a port number from 0 to 65535 (0: any free one)"
    )
    tick_milliseconds: int = Field(
        10,
        ge=0,
        le=1_000,
        description="milliseconds from 0 to 1000 (probes start at multiples of them; 0: anywhere)",
    )
    concurrent_probes: int | None = Field(None, ge=1, description="a number, 1 or more")
    ca_sources: Annotated[tuple[CASourceKind, ...], *COMMAS] = Field(
        ("ConfigMap",), description="where CAs may be read from: ConfigMap, Secret, or both with a comma between"
    )
    ca_refresh_seconds: int = Field(60, ge=1, le=86_400, description="a number of seconds from 1 to 86400")
    concurrent_writes: int = Field(8, ge=1, le=1_000, description="a number from 1 to 1000")
    dns_servers: Annotated[tuple[Annotated[DNSServer, BeforeValidator(_server_of)], ...], *COMMAS] = Field(
        (), description="addresses such as 10.0.0.53 or [fd00::53]:5353, with commas between; none: resolv.conf"
    )
    address_metrics: bool = Field(True, description="true, or false for no metric with a series an address")
    events: bool = Field(True, description="true, or false for no Events on transitions")
    lease_namespace: str = Field("", pattern=f"^({NAMESPACE})?$", description="the namespace of the Leases, its own")
    pod_name: str = Field("", pattern="^([a-z0-9]([-a-z0-9.]{0,198}[a-z0-9])?)?$", description=POD_NAME)
    outage_hold_seconds: int = Field(60, ge=0, le=3_600, description="seconds from 0 (no guard) to 3600")
    canary: Annotated[str, AfterValidator(_canary_or_none)] = Field(
        "",
        description="an address to ask, without names: 10.0.0.1:443, [2001:db8::1]:443 or http://10.0.0.1:8080/healthz",
    )
    lease_seconds: int = Field(15, ge=3, le=300, description="seconds from 3 to 300")

    @model_validator(mode="after")
    def _name_with_place(self) -> Self:
        """A replica has a name and a namespace for its Lease, or neither."""
        if bool(self.pod_name) is not bool(self.lease_namespace):
            raise ValueError(f'ESO_POD_NAME: write {POD_NAME} (got "{self.pod_name}")')
        return self

    @property
    def canary_probe(self) -> tuple[str, Probe] | None:
        """The address of the canary and how it is asked; None: there is none."""
        return _canary(self.canary) if self.canary else None


def _canary(text: str) -> tuple[str, Probe]:
    """ValueError for what is neither ADDRESS:PORT nor a URL of http or https."""
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
