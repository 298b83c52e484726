"""The manifests of this project that the playground uses, and where the probes of an ExternalService go."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from external_service.kind import API_VERSION, KIND
from playground.addresses import resolved
from playground.backends import Protocol, Spot
from playground.values import Object

FOLDER = Path(__file__).resolve().parent / "metacontroller"
"""Has composite-controller.yaml and the samples: in a checkout a link, in the wheel a copy."""


def composite_controller() -> Object:
    """metacontroller/composite-controller.yaml."""
    return _read("composite-controller.yaml")


def complex_example() -> Object:
    """The example from the README of the predecessor, unchanged."""
    return _read("samples/complex-example.yaml")


def demo() -> Object:
    """An ExternalService with a short period: a change of its backends shows within 3 s."""
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2}
    spec = {"port": 80, "ips": ["10.0.200.10", "10.0.200.11", "10.0.200.12"], "hosts": [{"host": "demo.mydomain.com"}]}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "demo", "namespace": complex_example()["metadata"]["namespace"]},
        "spec": {**spec, "readinessProbe": probe},
    }


def _read(name: str) -> Object:
    manifest: Object = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return manifest


def spots(parent: Mapping[str, Any]) -> list[Spot]:
    """Where the probes of an ExternalService go, also to the addresses of its hostnames; none without a probe."""
    spec = parent["spec"]
    probe = spec.get("readinessProbe") or {}
    if handler := probe.get("httpGet"):
        http2 = handler.get("protocol") == "HTTP2"
        plain = Protocol.HTTP2 if http2 else Protocol.HTTP
        protocol = Protocol.HTTPS if handler.get("scheme") == "HTTPS" else plain
    elif handler := probe.get("tcpSocket"):
        protocol = Protocol.TCP
    elif handler := probe.get("grpc"):
        protocol = Protocol.GRPC if handler.get("tls") is None else Protocol.GRPCS
    else:
        return []
    ips = dict.fromkeys((*(spec.get("ips") or ()), *resolved(spec)))
    return [Spot(ip, handler["port"], protocol) for ip in ips]
