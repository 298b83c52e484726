"""Writes the parts that the chart's files and metacontroller/ share to both: `python -m hack.chart_manifests`.

The source of the CRD is the models, of the settings metacontroller/settings.yaml; of alerts, dashboard and
policies it is the chart's files.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from hack.configuration import fields
from hack.values_table import CHART
from runtime.settings import variable

COMPONENTS = CHART.parents[1] / "metacontroller" / "components"
SCHEMA = CHART / "values.schema.json"
NAME = "external-service-operator"
LABELS = f"  labels:\n    app.kubernetes.io/name: {NAME}\n"

POLICY_HEAD = f"""\
# Written by `make manifests` from helm/external-service-operator/files/address-policy.yaml.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {NAME}-addresses
{LABELS}"""

BINDING = f"""\
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {NAME}-addresses
{LABELS}spec:
  policyName: {NAME}-addresses
  paramRef:
    name: {NAME}
    namespace: {NAME}
    parameterNotFoundAction: Allow
  validationActions: [Deny]
"""

STATUS_POLICY_HEAD = f"""\
# Written by `make manifests` from helm/external-service-operator/files/status-policy.yaml.
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata:
  name: {NAME}-status
{LABELS}"""

STATUS_BINDING = f"""\
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  name: {NAME}-status
{LABELS}spec:
  policyName: {NAME}-status
"""

ALERTS_HEAD = f"""\
# Written by `make manifests` from helm/external-service-operator/files/alerts.yaml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {NAME}
  namespace: {NAME}
{LABELS}"""


def written() -> Iterator[tuple[Path, str]]:
    """Each file and what it is to hold."""
    files = CHART / "files"
    yield (
        COMPONENTS / "admission-policy" / "policy.yaml",
        POLICY_HEAD + (files / "address-policy.yaml").read_text() + BINDING,
    )
    yield (
        COMPONENTS / "status-policy" / "policy.yaml",
        STATUS_POLICY_HEAD + (files / "status-policy.yaml").read_text() + STATUS_BINDING,
    )
    yield (
        COMPONENTS / "monitoring" / "alerts.yaml",
        ALERTS_HEAD
        + yaml.safe_dump({"spec": yaml.safe_load((files / "alerts.yaml").read_text())}, sort_keys=False, width=10_000),
    )
    for name in ("crd", "settings"):
        yield files / f"{name}.yaml", (COMPONENTS.parent / f"{name}.yaml").read_text()
    yield COMPONENTS / "monitoring" / "dashboard.json", (files / "dashboard.json").read_text()
    yield SCHEMA, json.dumps(schema(), indent=2) + "\n"


def schema() -> dict[str, Any]:
    """values.schema.json, with the settings that `config` takes: a misspelt one is refused before installation."""
    made: dict[str, Any] = json.loads(SCHEMA.read_text())
    config = {variable(name): _json_type(field.annotation) for name, field in fields().items()}
    made["properties"]["config"] = {"type": "object", "additionalProperties": False, "properties": config}
    return made


def _json_type(annotation: Any) -> dict[str, Any]:
    """YAML types of a setting of this type; null removes a default."""
    if annotation is bool:
        return {"enum": [True, False, "true", "false", None]}
    if get_origin(annotation) is Literal:
        return {"enum": [*get_args(annotation), None]}
    return {"type": ["string", "number", "null"]}


if __name__ == "__main__":
    for path, text in written():
        path.write_text(text)
