"""ExternalServices for tests: probed once a second, so that tests are short."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from playground.client import EXTERNAL_SERVICES

Object = dict[str, Any]

SAMPLES = Path(__file__).resolve().parents[2] / "metacontroller" / "samples"


def external_service(name: str, ips: Sequence[str], **spec: Any) -> Object:
    """With an HTTP probe on port 8080: every second, out after two failures, in after one success."""
    probe = {
        "httpGet": {"port": 8080, "path": "/healthz"},
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": 2,
        "successThreshold": 1,
    }
    return {
        "apiVersion": EXTERNAL_SERVICES.api_version,
        "kind": EXTERNAL_SERVICES.kind,
        "metadata": {"name": name},
        "spec": {"port": 80, "ips": list(ips), "readinessProbe": probe, **spec},
    }


def sample(name: str) -> Object:
    """One of metacontroller/samples, unchanged."""
    found: Object = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())
    return found


def samples() -> list[str]:
    """The names of metacontroller/samples."""
    return sorted(path.stem for path in SAMPLES.glob("*.yaml"))


def definition(group: str, version: str, kind: str, *, namespaced: bool = True) -> Object:
    """A CustomResourceDefinition that accepts any object, in place of one that is not installed."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": anything | {"properties": {"spec": anything, "status": anything}}}
    served = {"name": version, "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [served],
        },
    }


def metacontroller_definition() -> Object:
    """The kind CompositeController, where Metacontroller's own is not installed."""
    return definition("metacontroller.k8s.io", "v1alpha1", "CompositeController", namespaced=False)
