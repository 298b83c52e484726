"""The accounts of the processes: the shipped ServiceAccounts, their rights, and their names in reports."""

from pathlib import Path
from typing import Any

import yaml

from playground.client import CONTROLLER, SIDECAR

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "metacontroller"

NAMESPACE = "external-service-operator"
SIDECAR_ACCOUNT = (NAMESPACE, "external-service-operator")
CONTROLLER_ACCOUNT = ("metacontroller", "metacontroller")
ACCOUNTS = (SIDECAR_ACCOUNT, CONTROLLER_ACCOUNT)
ADMIN = "admin"
ROLES = {SIDECAR_ACCOUNT: SIDECAR, CONTROLLER_ACCOUNT: CONTROLLER}


def username(account: tuple[str, str]) -> str:
    """The user name in the audit log of the API server."""
    return "system:serviceaccount:" + ":".join(account)


def role(user: str) -> str:
    """SIDECAR, CONTROLLER, or the user name."""
    return next((name for account, name in ROLES.items() if username(account) == user), user)


def shipped() -> list[dict[str, Any]]:
    """The manifests of metacontroller/ that are installed unchanged: namespace, CRD, RBAC."""
    names = ("namespace", "crd", "rbac")
    return [one for name in names for one in yaml.safe_load_all((SHIPPED / f"{name}.yaml").read_text())]


def metacontroller() -> list[dict[str, Any]]:
    """The account of Metacontroller, with the rights of its own installation; those for our kinds are shipped."""
    namespace, name = CONTROLLER_ACCOUNT
    meta = {"name": "e2e-metacontroller-itself"}
    rules = [
        {"apiGroups": ["metacontroller.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "verbs": ["get", "list", "watch"],
        },
    ]
    rbac = "rbac.authorization.k8s.io/v1"
    binding = {
        "apiVersion": rbac,
        "kind": "ClusterRoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": meta["name"]},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": meta, "rules": rules},
        binding,
    ]
