"""What the chart's files and metacontroller/ have in common, written to both: `python -m hack.chart_manifests`.

The source of the CRD is the models, of the settings metacontroller/settings.yaml; of alerts, dashboard and
policies it is the chart's files.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from hack.values_table import CHART

COMPONENTS = CHART.parents[1] / "metacontroller" / "components"
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


if __name__ == "__main__":
    for path, text in written():
        path.write_text(text)
