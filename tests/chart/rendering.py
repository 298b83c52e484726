"""The chart as helm renders it, without a cluster."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from external_service.documents import documents
from hack.values_table import CHART

Object = dict[str, Any]

NAME = "external-service-operator"
API = "metacontroller.k8s.io/v1alpha1/CompositeController"
MUTATING_POLICIES = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
"""Served by Kubernetes 1.36 and newer."""
VARIANTS = sorted((CHART / "ci").glob("*-values.yaml"))
SECONDS = 60


class Refused(Exception):
    """Message of helm if it does not render."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The manifests of one rendering."""

    manifests: tuple[Object, ...]

    def one(self, kind: str, name: str = NAME) -> Object:
        """The only one of that kind and name."""
        (found,) = (one for one in self.manifests if (one["kind"], one["metadata"]["name"]) == (kind, name))
        return found

    def all(self, *kinds: str) -> list[Object]:
        """All of those kinds."""
        return [one for one in self.manifests if one["kind"] in kinds]

    def settings(self) -> dict[str, str]:
        """Content of the ConfigMap of both containers."""
        (found,) = (
            one["data"] for one in self.all("ConfigMap") if any(key.startswith("ESO_") for key in one["data"] or {})
        )
        data: dict[str, str] = found
        return data


def run(helm: Path, *arguments: str, home: Path) -> str:
    """Output of helm; raises Refused with its message."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        (helm, *arguments), check=False, capture_output=True, text=True, timeout=SECONDS, env=environment
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def render(
    helm: Path,
    home: Path,
    values: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    release: str = NAME,
    namespace: str = NAME,
    api: str = API,
) -> Rendered:
    """`helm template`, with values from a file and above them `values`. No key may occur twice in a mapping."""
    given = home / "values.json"
    given.write_text(json.dumps(values or {}))
    files = [f"--values={file}"] if file else []
    apis = [f"--api-versions={api}"] if api else []
    text = run(
        helm,
        "template",
        release,
        str(CHART),
        f"--namespace={namespace}",
        *apis,
        *files,
        f"--values={given}",
        home=home,
    )
    return Rendered(tuple(documents(text)))


def identity(manifest: Object) -> tuple[str, str, str]:
    """Kind, name and namespace."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata["name"], metadata.get("namespace", "")


def rights(role: Object) -> set[tuple[str, str, str]]:
    """Group, resource and verb of each right, whichever way they are put together in rules."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
