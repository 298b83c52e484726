"""Manifests that a cluster has before a world, the shipped ones and Metacontroller's, and the names of the accounts."""

from pathlib import Path
from typing import Any

import httpx
import yaml

from playground.client import CONTROLLER, SIDECAR, Kind

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "metacontroller"

NAMESPACE = "external-service-operator"
SIDECAR_ACCOUNT = (NAMESPACE, "external-service-operator")
CONTROLLER_ACCOUNT = ("metacontroller", "metacontroller")
ACCOUNTS = (SIDECAR_ACCOUNT, CONTROLLER_ACCOUNT)
TOKEN_SECONDS = 7_200
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
    rules = [
        {"apiGroups": ["metacontroller.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "verbs": ["get", "list", "watch"],
        },
    ]
    role = {"metadata": {"name": "e2e-metacontroller-itself"}, "rules": rules}
    return with_roles(CONTROLLER_ACCOUNT, role)


def with_roles(account: tuple[str, str], *roles: dict[str, Any]) -> list[dict[str, Any]]:
    """An account in a namespace of its own, with these ClusterRoles and nothing else."""
    namespace, name = account
    group = "rbac.authorization.k8s.io"
    bindings = [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": role["metadata"],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role["metadata"]["name"]},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
        }
        for role in roles
    ]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        *({"apiVersion": f"{group}/v1", "kind": "ClusterRole", **role} for role in roles),
        *bindings,
    ]


def apply(admin: httpx.Client, manifest: dict[str, Any]) -> None:
    """Server-side apply, so that existing objects are no error."""
    response = admin.patch(
        path(manifest),
        params={"fieldManager": "e2e", "force": "true"},
        content=yaml.safe_dump(manifest),
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    if not response.is_success:
        raise RuntimeError(f"{manifest['kind']} {manifest['metadata']['name']}: {response.text}")


def token(admin: httpx.Client, account: tuple[str, str]) -> str:
    """From the TokenRequest API; HTTPStatusError if there is no such account."""
    namespace, name = account
    request = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
    response = admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", json=request)
    return str(response.raise_for_status().json()["status"]["token"])


def path(manifest: dict[str, Any]) -> str:
    """The URL path of an object."""
    kind, metadata = manifest["kind"], manifest["metadata"]
    plural = kind[:-1].lower() + "ies" if kind.endswith("y") else f"{kind.lower()}s"
    namespace = metadata.get("namespace", "")
    return Kind(manifest["apiVersion"], plural, kind, bool(namespace)).path(namespace, metadata["name"])
