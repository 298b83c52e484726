"""A real API server: the control plane that the tests have started, or the cluster that KUBECONFIG_E2E names."""

import asyncio
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from playground.client import EXTERNAL_SERVICES
from probe_sidecar.kube.kubeconfig import kubeconfig
from tests.e2e import accounts, status_policy
from tests.e2e.controlplane.cluster import ControlPlane, kubeconfig_file
from tests.until import wait

Object = dict[str, Any]

READS = frozenset({"get", "list", "watch"})
NO_AUDIT = "a given cluster's audit log cannot be read: unset KUBECONFIG_E2E to run this on a control plane of its own"
NO_PROCESS = "a given cluster's API server is not ours to stop: unset KUBECONFIG_E2E to run this"


@dataclass(frozen=True, slots=True)
class Entry:
    """One request in an audit log. `user` is a role of `accounts` if it is one of ours."""

    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    group: str = ""

    @property
    def write(self) -> bool:
        """Whether it asked for a change and was not refused."""
        return self.verb not in READS and self.code < 400


class RealApi:
    """Installs the manifests of metacontroller/, once. `control_plane` is None on a given cluster."""

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
                accounts.apply(admin, manifest)
            wait(lambda: admin.get(EXTERNAL_SERVICES.path()).is_success, "ExternalServices are served")
        if self.control_plane is not None:
            self.control_plane.controller_manager.stop()
            self.control_plane.controller_manager.start()  # else its garbage collector learns of our kind 30 s later

    def use_status_policy(self, wanted: bool) -> bool:
        """Installs or removes components/status-policy, and waits until the API server acts accordingly."""
        with httpx.Client(**self._options()) as admin:
            return status_policy.use(admin, wanted)

    def http(self) -> httpx.AsyncClient:
        """An administrator's client."""
        return httpx.AsyncClient(**self._options())

    def kubeconfig(self, account: tuple[str, str], holder: str = "") -> Path:
        """A file for a process, with a token of the account, from the TokenRequest API, in a file."""
        with httpx.Client(**self._options()) as admin:
            return write_kubeconfig(self._directory, self._cluster, account, accounts.token(admin, account), holder)

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

    def _own(self, otherwise: str) -> ControlPlane:
        if self.control_plane is None:
            pytest.skip(otherwise)
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


def write_kubeconfig(
    directory: Path, cluster: Mapping[str, Any], account: tuple[str, str], token: str, holder: str = ""
) -> Path:
    """A kubeconfig, with the token in a file beside it."""
    token_file = directory / f"{'-'.join(filter(None, (*account, holder)))}.token"
    token_file.touch(mode=0o600)
    token_file.write_text(token)
    return kubeconfig_file(token_file.with_suffix(".kubeconfig"), cluster, {"tokenFile": str(token_file)})
