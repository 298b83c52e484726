"""A Kubernetes control plane for tests: the real etcd, kube-apiserver and kube-controller-manager, in a sealed network.

RBAC and ValidatingAdmissionPolicy are on; `flags.CONTROLLERS` are the controllers that run, each under its own account.
There is no kubelet or scheduler: Pods never run. The cluster IP of a Service works in the network of a kube-proxy only
(tests/e2e/kube_proxy.py).
"""

import json
import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from external_service.kind import host_port
from playground.processes import Component, free_ports
from tests.e2e.controlplane import flags
from tests.e2e.controlplane.build import Binaries
from tests.e2e.controlplane.pki import Pki

READY_SECONDS = 2.0
REQUEST_SECONDS = 30.0


class ControlPlane:
    """One cluster; `with ControlPlane(...)` starts and ends it. Files and logs stay in `directory` to be read later.

    `etcd`, `api_server`, `controller_manager` are Components: each can be killed, paused and restarted by itself.
    `admin` is an httpx.Client of a cluster-admin on `url`, `admin_kubeconfig` a file for the same; the CA is `ca_file`.
    """

    def __init__(
        self,
        binaries: Binaries,
        directory: Path,
        *,
        audited_namespaces: Sequence[str] = (),
        address: str = flags.LOOPBACK,
    ) -> None:
        """Nothing runs yet.

        directory: empty, or not there yet.
        audited_namespaces: the reads of their ServiceAccounts are in the audit log; all writes always are.
        address: where all of it listens; with an IPv6 address, Services have IPv6 addresses only.
        """
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise FileExistsError(f"{directory} is not empty: every control plane wants a directory of its own")
        self.binaries, self.directory = binaries, directory
        self.audit_log = directory / "audit.log"
        flags.audit_policy_file(self.audit_log).write_text(json.dumps(flags.audit_policy(audited_namespaces)))
        self._pki = Pki(directory / "pki")
        self._tokens = self._pki.token_keys()
        self._server = self._pki.issue("server", common_name="e2e-server", addresses=[address])
        self.ca_file = self._pki.ca_file
        etcd_port, peer_port, port, controllers_port = free_ports(4, address)
        self.address = address
        self.url = f"https://{host_port(address, port)}"
        admin = self.client_certificate("admin", groups=["system:masters"])
        self.admin_kubeconfig = self.write_kubeconfig("admin", admin)
        self.admin = self._client(admin)
        self.etcd = self._etcd(etcd_port, peer_port)
        self.api_server = self._api_server(port)
        self.controller_manager = self._controller_manager(controllers_port)

    def __enter__(self) -> Self:
        """Returns when all three are ready (seconds); NotReady if one does not get there, and then none runs."""
        try:
            for component in self.components:
                component.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for component in reversed(self.components):
            component.stop()
        self.admin.close()

    def revive(self) -> None:
        """Start whichever of the three does not run, and wake whichever is paused; return when all are ready."""
        for component in self.components:
            if component.running:
                component.resume()
            else:
                component.start()
        self.api_server.wait_ready()

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Output of kubectl, as cluster-admin; CalledProcessError has its stderr."""
        done = subprocess.run(
            (self.binaries.kubectl, f"--kubeconfig={self.admin_kubeconfig}", *arguments),
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            timeout=REQUEST_SECONDS,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory)},
        )
        return done.stdout

    def audit_position(self) -> int:
        """Present end of the audit log, for `audit_events`."""
        return self.audit_log.stat().st_size if self.audit_log.exists() else 0

    def audit_events(self, position: int = 0) -> Iterator[dict[str, Any]]:
        """The audit.k8s.io/v1 Events (metadata only) written since `position`, oldest first.

        An event follows its response by a moment, so poll for one that must be there. A watch has one event when it
        begins (stage ResponseStarted) and one when it ends (ResponseComplete); all else has the latter only.
        """
        if not self.audit_log.exists():
            return
        with self.audit_log.open("rb") as log:
            log.seek(position)
            for line in log:
                if line.endswith(b"\n"):  # else it is being written
                    yield json.loads(line)

    def client_certificate(self, user: str, groups: Sequence[str] = ()) -> dict[str, str]:
        """The user part of a kubeconfig for `user`, as a member of `groups`, by an own certificate."""
        certificate, key = self._pki.issue(user.replace(":", "-"), common_name=user, groups=groups)
        return {"client-certificate": str(certificate), "client-key": str(key)}

    def write_kubeconfig(self, name: str, user: Mapping[str, str]) -> Path:
        """The file; `user` is what `client_certificate` returns."""
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        return kubeconfig_file(self.directory / f"{name}.kubeconfig", cluster, user)

    def compact(self) -> None:
        """Makes etcd forget every older revision now.

        The API server continues to serve its watch cache until a restart, so a test of 410 does both.
        """
        nothing = {"key": "AA=="}
        header = self.admin.post(f"{self.etcd_url}/v3/kv/range", json=nothing).raise_for_status().json()["header"]
        compaction = {"revision": header["revision"], "physical": True}
        self.admin.post(f"{self.etcd_url}/v3/kv/compaction", json=compaction).raise_for_status()

    @property
    def components(self) -> tuple[Component, ...]:
        """In the order of their start."""
        return (self.etcd, self.api_server, self.controller_manager)

    def _etcd(self, port: int, peer_port: int) -> Component:
        self.etcd_url = f"http://{host_port(self.address, port)}"
        command = flags.etcd_command(
            self.binaries.etcd,
            self.directory / "etcd",
            client_url=self.etcd_url,
            peer_url=f"http://{host_port(self.address, peer_port)}",
        )
        return self._component("etcd", command, f"{self.etcd_url}/health")

    def _api_server(self, port: int) -> Component:
        command = flags.api_server_command(
            self.binaries.kube_apiserver,
            self.address,
            server=self._server,
            tokens=self._tokens,
            audit=self.audit_log,
            secure_port=port,
            etcd_servers=self.etcd_url,
            client_ca_file=self.ca_file,
        )
        return self._component("kube-apiserver", command, f"{self.url}/readyz")

    def _controller_manager(self, port: int) -> Component:
        user = self.client_certificate("system:kube-controller-manager")
        command = flags.controller_manager_command(
            self.binaries.kube_controller_manager,
            self.address,
            kubeconfig=self.write_kubeconfig("kube-controller-manager", user),
            server=self._server,
            secure_port=port,
            root_ca_file=self.ca_file,
            service_account_private_key_file=self._tokens[0],
        )
        url = f"https://{host_port(self.address, port)}/healthz"
        # It is healthy before its controllers run; the first to be missed is this account.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        return self._component("kube-controller-manager", command, url, account)

    def _component(self, name: str, command: Sequence[str], *signs: str) -> Component:
        """`signs`: URLs, or paths of the API server, that answer 2xx once it works."""

        def ready() -> bool:
            try:
                return all(self.admin.get(sign, timeout=READY_SECONDS).is_success for sign in signs)
            except httpx.TransportError:
                return False

        return Component(name, command, log=self.directory / f"{name}.log", ready=ready)

    def _client(self, user: Mapping[str, str]) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        trust.load_cert_chain(user["client-certificate"], user["client-key"])
        return httpx.Client(base_url=self.url, verify=trust, trust_env=False, timeout=REQUEST_SECONDS)


def kubeconfig_file(file: Path, cluster: Mapping[str, Any], user: Mapping[str, str]) -> Path:
    """Writes the file, which only its owner can read; `cluster` and `user` are those sections."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": dict(cluster)}],
        "users": [{"name": "e2e", "user": dict(user)}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        "current-context": "e2e",
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=2))
    return file
