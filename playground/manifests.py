"""ExternalServices from files, and the manifests of this project that the playground uses."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from external_service.kind import API_VERSION, KIND
from external_service.manifest import InvalidInput, external_services
from playground.addresses import resolved
from playground.backends import Protocol, Spot
from playground.values import Object

FOLDER = Path(__file__).resolve().parent / "metacontroller"
"""Has composite-controller.yaml and the samples: in a checkout a link, in the wheel a copy."""


class BadInput(Exception):
    """A file that cannot be used; the text has file and field, and what to write instead."""


def composite_controller() -> Object:
    """metacontroller/composite-controller.yaml."""
    manifest: Object = yaml.safe_load((FOLDER / "composite-controller.yaml").read_text(encoding="utf-8"))
    return manifest


def complex_example() -> Object:
    """The example from the README of the predecessor, unchanged."""
    return read_files([FOLDER / "samples" / "complex-example.yaml"])[0]


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


def read_files(paths: Iterable[Path]) -> list[Object]:
    """All ExternalServices of some YAML files, in order; BadInput has the problems of all files."""
    found, problems = [], []
    for path in paths:
        try:
            manifests = external_services(path.read_text(encoding="utf-8"))
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
        except UnicodeDecodeError:
            problems.append(f"{path}: this is not text in UTF-8")
        except InvalidInput as invalid:
            problems += [f"{path}: {line}" for line in invalid.problems]
        else:
            found += [document.raw for document in manifests.documents]
    if problems:
        raise BadInput("\n".join(problems))
    return found


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
