"""A real API server: the control plane that the tests have started, or the cluster that KUBECONFIG_E2E names."""

import asyncio
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from probe_sidecar.kube.kubeconfig import kubeconfig
from tests.e2e import accounts, status_policy
from tests.e2e.api import Entry, Unsupported, replace_token, write_kubeconfig
from tests.e2e.controlplane.cluster import ControlPlane

Object = dict[str, Any]

TOKEN_SECONDS = 7_200
SECONDS = 60.0
NO_AUDIT = "a given cluster's audit log cannot be read: unset KUBECONFIG_E2E to run this on a control plane of its own"
NO_KEY = "a given cluster signs no token that has expired: unset KUBECONFIG_E2E to run this"
NO_PROCESS = "a given cluster's API server is not ours to stop: unset KUBECONFIG_E2E to run this"
CUSTOM_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class RealApi:
    """Installs the manifests of metacontroller/, once. `control_plane` is None on a given cluster."""

    kind = "real"

    def __init__(self, admin_kubeconfig: Path, directory: Path, control_plane: ControlPlane | None) -> None:
        self.control_plane = control_plane
        self._directory = directory
        self.admin_kubeconfig = admin_kubeconfig
        found = control_plane.binaries.kubectl if control_plane else shutil.which("kubectl")
        self.kubectl = Path(found) if found else None
        self._access = kubeconfig(admin_kubeconfig)
        self._cluster = _cluster(admin_kubeconfig)

    @property
    def ours(self) -> bool:
        """Whether its processes may be stopped: not those of a given cluster."""
        return self.control_plane is not None

    def install(self, *more: Object) -> None:
        """Installs our CRD, namespaces, accounts and roles, and `more`; returns when all of it works."""
        with httpx.Client(**self._options()) as admin:
            for manifest in (*accounts.metacontroller(), *accounts.shipped(), *more):
                apply(admin, manifest)
            _until_served(admin)
        if self.control_plane is not None:
            self.control_plane.controller_manager.restart()  # else its garbage collector learns of our kind 30 s later

    def use_status_policy(self, wanted: bool) -> bool:
        """Installs or removes components/status-policy, and waits until the API server acts accordingly."""
        with httpx.Client(**self._options()) as admin:
            return status_policy.use(admin, wanted)

    def http(self) -> httpx.AsyncClient:
        """An administrator's client."""
        return httpx.AsyncClient(**self._options())

    def kubeconfig(self, account: tuple[str, str], holder: str = "") -> Path:
        """A file for a process, with a token of the account, from the TokenRequest API, in a file."""
        return write_kubeconfig(self._directory, self._cluster, account, self._token(account), holder)

    def give_token(self, account: tuple[str, str], *, expired: bool) -> None:
        """A new token, or an expired one, signed with the cluster's own key."""
        late = self._own(NO_KEY).short_lived_token(*account, seconds=-60) if expired else None
        token = late or self._token(account)
        replace_token(self._directory, account, token)

    def mark(self) -> int:
        """The end of the audit log."""
        return self._own(NO_AUDIT).audit_position()

    def entries(self, mark: int) -> Iterable[Entry]:
        """The requests since a mark; an entry is written shortly after the response."""
        for event in self._own(NO_AUDIT).audit_events(mark):
            if event["stage"] != "ResponseComplete" or "objectRef" not in event:
                continue
            target = event["objectRef"]
            yield Entry(
                accounts.role(event["user"]["username"]),
                event["verb"],
                target.get("resource", ""),
                target.get("subresource", ""),
                target.get("namespace", ""),
                target.get("name", ""),
                event["responseStatus"]["code"],
                target.get("apiGroup", ""),
            )

    async def stop(self) -> None:
        """SIGKILL to the API server."""
        self._own(NO_PROCESS).api_server.kill()

    async def start(self) -> None:
        """Starts the API server again."""
        await asyncio.to_thread(self._own(NO_PROCESS).api_server.start)

    async def revive(self) -> None:
        """Starts what a failed test left stopped; nothing on a given cluster."""
        if self.control_plane is not None:
            await asyncio.to_thread(self.control_plane.revive)

    async def kill_storage(self) -> None:
        """SIGKILL to etcd."""
        self._own(NO_PROCESS).etcd.kill()

    async def start_storage(self) -> None:
        """Starts etcd, and waits until the API server serves again."""
        plane = self._own(NO_PROCESS)
        await asyncio.to_thread(plane.etcd.start)
        await asyncio.to_thread(plane.api_server.wait_ready)

    async def forget_history(self) -> None:
        """Compacts etcd, and restarts the API server, which would otherwise serve its watch cache."""
        plane = self._own(NO_PROCESS)
        await asyncio.to_thread(plane.compact)
        plane.api_server.kill()
        await asyncio.to_thread(plane.api_server.start)

    def _token(self, account: tuple[str, str]) -> str:
        namespace, name = account
        request = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
        with httpx.Client(**self._options()) as admin:
            path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
            token: str = admin.post(path, json=request).raise_for_status().json()["status"]["token"]
        return token

    def _own(self, otherwise: str) -> ControlPlane:
        if self.control_plane is None:
            raise Unsupported(otherwise)
        return self.control_plane

    def _options(self) -> dict[str, Any]:
        access = self._access
        return {
            "base_url": access.server,
            "verify": access.tls,
            "auth": access.auth,
            "trust_env": False,
            "timeout": 30,
            "limits": httpx.Limits(max_connections=50),
        }


def _cluster(file: Path) -> Object:
    """The cluster of a kubeconfig's current context, with absolute paths."""
    config = yaml.safe_load(file.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster: Object = dict(_named(config["clusters"], context["cluster"])["cluster"])
    if authority := cluster.get("certificate-authority"):
        cluster["certificate-authority"] = str((file.parent / authority).resolve())
    return cluster


def _named(entries: Sequence[Object], name: str) -> Object:
    return next(entry for entry in entries if entry["name"] == name)


PLURALS = {
    "Namespace": ("/api/v1", "namespaces"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "CustomResourceDefinition": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "CompositeController": ("/apis/metacontroller.k8s.io/v1alpha1", "compositecontrollers"),
}


def apply(admin: httpx.Client, manifest: Object) -> None:
    """Server-side apply, so that existing objects are no error."""
    answer = admin.patch(
        path(manifest),
        params={"fieldManager": "e2e", "force": "true"},
        content=yaml.safe_dump(manifest),
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    if not answer.is_success:
        raise RuntimeError(f"{manifest['kind']} {manifest['metadata']['name']}: {answer.text}")


def path(manifest: Object) -> str:
    """The URL path of an object."""
    base, plural = PLURALS[manifest["kind"]]
    namespace, name = manifest["metadata"].get("namespace"), manifest["metadata"]["name"]
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{base}{place}/{plural}/{name}"


def _until_served(admin: httpx.Client) -> None:
    deadline = time.monotonic() + SECONDS
    path = "/apis/eso.crowdfox.com/v1alpha1/externalservices"
    while not admin.get(path, params={"limit": "1"}).is_success:
        if time.monotonic() > deadline:
            raise RuntimeError(f"ExternalServices are not served after {SECONDS:.0f} s")
        time.sleep(0.1)
