"""The sidecar's settings, from `ESO_*` variables; what it shares with the hook is in `app.api.environment`."""

import re
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from app.api.core import HTTPGetAction, Probe, TCPSocketAction
from app.api.environment import CommonSettings, split

_SERVER = re.compile(r"(?:\[(?P<bracketed>[^]]+)\]|(?P<plain>[0-9.]+)):(?P<port>[0-9]{1,5})")

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


class Settings(CommonSettings):
    """Each field is a variable: `tick_milliseconds` is ESO_TICK_MILLISECONDS."""

    health_listen_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - the kubelet asks from outside the Pod
        min_length=1,
        description="an address of this machine",
    )
    health_listen_port: int = Field(
        default=8081, ge=0, le=65535, description="a port number from 0 to 65535 (0: any free one)"
    )
    tick_milliseconds: int = Field(
        default=10,
        ge=0,
        le=1_000,
        description="milliseconds from 0 to 1000 (probes start at multiples of them; 0: anywhere)",
    )
    concurrent_probes: int | None = Field(default=None, ge=1, description="a number, 1 or more")
    ca_sources: Annotated[tuple[Literal["ConfigMap", "Secret"], ...], NoDecode] = Field(
        default=("ConfigMap",),
        description="where CAs may be read from: ConfigMap, Secret, or both with a comma between",
    )
    ca_refresh_seconds: int = Field(default=60, ge=1, le=86_400, description="a number of seconds from 1 to 86400")
    concurrent_writes: int = Field(default=8, ge=1, le=1_000, description="a number from 1 to 1000")
    dns_servers: Annotated[tuple[DNSServer, ...], NoDecode] = Field(
        default=(), description="addresses such as 10.0.0.53 or [fd00::53]:5353, with commas between; none: resolv.conf"
    )
    address_metrics: bool = Field(default=True, description="true, or false for no metric with a series an address")
    events: bool = Field(default=True, description="true, or false for no Events on transitions")
    api_qps: float = Field(default=200, gt=0, le=10_000, description="requests a second, such as 200")
    api_burst: int = Field(default=400, ge=1, le=100_000, description="requests at once, such as 400")
    lease_namespace: str = Field(
        default="", pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", description="the namespace of the Leases, its own"
    )
    pod_name: str = Field(
        default="",
        max_length=200,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$",
        validate_default=True,
        description="the name of the Pod, where ESO_LEASE_NAMESPACE is set, and only there",
    )
    outage_hold_seconds: int = Field(default=60, ge=0, le=3_600, description="seconds from 0 (no guard) to 3600")
    canary: str = Field(
        default="",
        description="an address to ask, without names: 10.0.0.1:443, [2001:db8::1]:443 or http://10.0.0.1:8080/healthz",
    )
    lease_seconds: int = Field(default=15, ge=3, le=300, description="seconds from 3 to 300")

    @field_validator("dns_servers", mode="before")
    @classmethod
    def _read_servers(cls, value: object) -> object:
        found = split(value)
        return (
            [dns_server(part) if isinstance(part, str) else part for part in found]
            if isinstance(found, list)
            else found
        )

    @field_validator("ca_sources", mode="before")
    @classmethod
    def _split_sources(cls, value: object) -> object:
        return split(value)

    @field_validator("canary")
    @classmethod
    def _can_be_asked(cls, value: str) -> str:
        if value:
            _canary(value)
        return value

    @property
    def canary_probe(self) -> tuple[str, Probe] | None:
        """The address of the canary and how it is asked; None: there is none."""
        return _canary(self.canary) if self.canary else None

    @field_validator("pod_name")
    @classmethod
    def _both_or_neither(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) is not bool(info.data.get("lease_namespace", value)):
            raise ValueError
        return value


def _canary(text: str) -> tuple[str, Probe]:
    """ValueError for what is neither ADDRESS:PORT nor a URL of http or https."""
    if "://" not in text:
        parts = urlsplit(f"tcp://{text}")
        if parts.port is None or parts.netloc != text or parts.username is not None:
            raise ValueError
        return _ip(parts), Probe(tcpSocket=TCPSocketAction(port=parts.port))
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or parts.fragment or parts.username is not None:
        raise ValueError
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    port = parts.port if parts.port is not None else {"http": 80, "https": 443}[parts.scheme]
    action = {"path": path, "port": port, "scheme": parts.scheme.upper()}
    return _ip(parts), Probe(httpGet=HTTPGetAction.model_validate(action))


def _ip(parts: SplitResult) -> str:
    return str(ip_address(parts.hostname or ""))
