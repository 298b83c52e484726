"""The command lines of the three processes, and the audit policy: all differences from a stock cluster are here.

Stricter than that: an owner reference that blocks a deletion requires a right to the owner's finalizers. Laxer:
loopback only, no TLS between the API server and etcd, no fsync (a killed process loses nothing by that, only a
lost machine would), no leader election, only CONTROLLERS, no Endpoints for the Service `kubernetes` (the address it
would have to name is a loopback one, which Endpoints refuse).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
SERVICE_RANGES = ("10.96.0.0/16", "fd00:e53::/112")
"""Dual-stack, unless the control plane is on IPv6 alone; a Service without ipFamilies has IPv4."""
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "service-cidr-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
)
"""The controllers that matter without Pods. Of the default set, at its 20 requests/s, the last one starts 4 s later."""
WRITES = ["create", "update", "patch", "delete", "deletecollection"]


def etcd_command(binary: Path, data: Path, *, client_url: str, peer_url: str) -> list[str]:
    return [
        str(binary),
        f"--data-dir={data}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--log-level=warn",
        "--unsafe-no-fsync",
    ]


def api_server_command(
    binary: Path,
    address: str,
    port: int,
    *,
    etcd_url: str,
    ca: Path,
    server: tuple[Path, Path],
    tokens: tuple[Path, Path],
    audit: Path,
) -> list[str]:
    """`server`: certificate and key files; `tokens`: private and public key files of the service accounts.

    Beside `audit`, where the log is written, lies the policy: see `audit_policy_file`.
    """
    ranges = SERVICE_RANGES[1] if ":" in address else ",".join(SERVICE_RANGES)
    return [
        str(binary),
        f"--etcd-servers={etcd_url}",
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",
        "--shutdown-watch-termination-grace-period=2s",  # else SIGTERM waits a minute for open watches
        f"--client-ca-file={ca}",
        f"--tls-cert-file={server[0]}",
        f"--tls-private-key-file={server[1]}",
        "--authorization-mode=RBAC",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        f"--service-cluster-ip-range={ranges}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-signing-key-file={tokens[0]}",
        f"--service-account-key-file={tokens[1]}",
        f"--audit-policy-file={audit_policy_file(audit)}",
        f"--audit-log-path={audit}",
        "--audit-log-maxsize=4096",  # MB: never rotated, so that a reader may keep an offset
    ]


def controller_manager_command(
    binary: Path, address: str, port: int, *, kubeconfig: Path, ca: Path, server: tuple[Path, Path], token_key: Path
) -> list[str]:
    return [
        str(binary),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={address}",
        f"--secure-port={port}",
        f"--tls-cert-file={server[0]}",
        f"--tls-private-key-file={server[1]}",
        f"--root-ca-file={ca}",
        f"--service-account-private-key-file={token_key}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--use-service-account-credentials",
        "--leader-elect=false",
    ]


def audit_policy_file(log: Path) -> Path:
    return log.with_name("audit-policy.json")


def audit_policy(namespaces: Sequence[str]) -> dict[str, Any]:
    """Audit rules: writes by any client, reads by the ServiceAccounts of `namespaces`. No bodies."""
    ours = [f"system:serviceaccounts:{namespace}" for namespace in namespaces]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            *([{"level": "Metadata", "userGroups": ours}] if ours else []),
            {"level": "Metadata", "verbs": WRITES},
            {"level": "None"},
        ],
    }
