"""The command lines of the three processes, and the audit policy: all differences from a stock cluster are here.

Stricter than that: an owner reference that blocks a deletion requires a right to the owner's finalizers. Laxer:
no TLS between the API server and etcd, no fsync (a killed process loses nothing by that, only a
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


def command(binary: Path, *switches: str, **options: object) -> list[str]:
    """`--option-name=value` for each option, then the switches."""
    return [str(binary), *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()), *switches]


def etcd_command(binary: Path, data: Path, *, client_url: str, peer_url: str) -> list[str]:
    return command(
        binary,
        "--unsafe-no-fsync",
        data_dir=data,
        listen_client_urls=client_url,
        advertise_client_urls=client_url,
        listen_peer_urls=peer_url,
        initial_advertise_peer_urls=peer_url,
        initial_cluster=f"default={peer_url}",
        log_level="warn",
    )


def api_server_command(
    binary: Path, address: str, *, server: tuple[Path, Path], tokens: tuple[Path, Path], audit: Path, **more: object
) -> list[str]:
    """`server`: certificate and key files; `tokens`: private and public key files of the service accounts.

    Beside `audit`, where the log is written, lies the policy: see `audit_policy_file`.
    """
    return command(
        binary,
        bind_address=address if ":" in address else "0.0.0.0",  # in a sealed network, for the node of a kube-proxy
        advertise_address=address,
        endpoint_reconciler_type="none",
        shutdown_watch_termination_grace_period="2s",  # else SIGTERM waits a minute for open watches
        tls_cert_file=server[0],
        tls_private_key_file=server[1],
        authorization_mode="RBAC",
        enable_admission_plugins="OwnerReferencesPermissionEnforcement",
        service_cluster_ip_range=SERVICE_RANGES[1] if ":" in address else ",".join(SERVICE_RANGES),
        service_account_issuer=ISSUER,
        service_account_signing_key_file=tokens[0],
        service_account_key_file=tokens[1],
        audit_policy_file=audit_policy_file(audit),
        audit_log_path=audit,
        audit_log_maxsize=4096,  # MB: never rotated, so that a reader may keep an offset
        **more,
    )


def controller_manager_command(
    binary: Path, address: str, *, kubeconfig: Path, server: tuple[Path, Path], **more: object
) -> list[str]:
    return command(
        binary,
        "--use-service-account-credentials",
        kubeconfig=kubeconfig,
        authentication_kubeconfig=kubeconfig,
        authorization_kubeconfig=kubeconfig,
        bind_address=address,
        tls_cert_file=server[0],
        tls_private_key_file=server[1],
        controllers=",".join(CONTROLLERS),
        leader_elect="false",
        **more,
    )


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
