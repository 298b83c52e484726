"""The sidecar's settings, from `ESO_*` variables; what it shares with the hook is in `runtime.environment`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError

from external_service.core import Probe
from external_service.kind import NAMESPACE
from runtime.environment import (
    CommonSettings,
    amount,
    each,
    matching,
    number,
    setting,
    truth,
    word,
)

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


def _rate(text: str) -> float:
    if not (value := amount(0, 10_000)(text)):
        raise ValueError
    return value


def _canary_or_none(text: str) -> str:
    if text:
        _canary(text)
    return text


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Each field is a variable: `tick_milliseconds` is ESO_TICK_MILLISECONDS."""

    health_listen_host: str = setting(
        "0.0.0.0",  # noqa: S104 - the kubelet asks from outside the Pod
        matching(".+"),
        "an address of this machine",
    )
    health_listen_port: int = setting(8081, number(0, 65_535), "a port number from 0 to 65535 (0: any free one)")
    tick_milliseconds: int = setting(
        10, number(0, 1_000), "milliseconds from 0 to 1000 (probes start at multiples of them; 0: anywhere)"
    )
    concurrent_probes: int | None = setting(None, number(1), "a number, 1 or more")
    ca_sources: tuple[CASourceKind, ...] = setting(
        ("ConfigMap",),
        each(word("ConfigMap", "Secret")),
        "where CAs may be read from: ConfigMap, Secret, or both with a comma between",
    )
    ca_refresh_seconds: int = setting(60, number(1, 86_400), "a number of seconds from 1 to 86400")
    concurrent_writes: int = setting(8, number(1, 1_000), "a number from 1 to 1000")
    dns_servers: tuple[DNSServer, ...] = setting(
        (), each(dns_server), "addresses such as 10.0.0.53 or [fd00::53]:5353, with commas between; none: resolv.conf"
    )
    address_metrics: bool = setting(True, truth, "true, or false for no metric with a series an address")
    events: bool = setting(True, truth, "true, or false for no Events on transitions")
    api_qps: float = setting(200.0, _rate, "requests a second, such as 200")
    api_burst: int = setting(400, number(1, 100_000), "requests at once, such as 400")
    lease_namespace: str = setting("", matching(f"({NAMESPACE})?"), "the namespace of the Leases, its own")
    pod_name: str = setting(
        "",
        matching("([a-z0-9]([-a-z0-9.]{0,198}[a-z0-9])?)?"),
        "the name of the Pod, where ESO_LEASE_NAMESPACE is set, and only there",
    )
    outage_hold_seconds: int = setting(60, number(0, 3_600), "seconds from 0 (no guard) to 3600")
    canary: str = setting(
        "",
        _canary_or_none,
        "an address to ask, without names: 10.0.0.1:443, [2001:db8::1]:443 or http://10.0.0.1:8080/healthz",
    )
    lease_seconds: int = setting(15, number(3, 300), "seconds from 3 to 300")

    def unfit(self) -> Iterator[str]:
        """A replica has a name and a place for its Lease, or neither."""
        yield from super().unfit()
        if bool(self.pod_name) is not bool(self.lease_namespace):
            yield "pod_name"

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
