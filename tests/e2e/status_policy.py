"""The policy for stale statuses (components/status-policy) on a real API server."""

import time
from typing import Any

import httpx
import yaml

from external_service.kind import API_VERSION, KIND
from tests.e2e.accounts import SHIPPED

Object = dict[str, Any]

POLICIES = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}
COMPONENT = SHIPPED / "components" / "status-policy"
SECONDS = 60.0


def served(admin: httpx.Client) -> bool:
    """Whether the API server has the kind: Kubernetes 1.36 and newer."""
    resources = admin.get(POLICIES).raise_for_status().json()["resources"]
    return any(one["kind"] == "MutatingAdmissionPolicy" for one in resources)


def use(admin: httpx.Client, wanted: bool) -> bool:
    """Installs or removes the policy, and waits until this has an effect; returns whether there is one now."""
    if not served(admin):
        return False
    made = {_path(one): one for one in yaml.safe_load_all((COMPONENT / "policy.yaml").read_text())}
    present = all(admin.get(path).is_success for path in made)
    if present is not wanted:
        for path, manifest in made.items():
            if wanted:
                _apply(admin, path, manifest)
            else:
                admin.delete(path)
        _until_stale_status(admin, kept=wanted)
    return wanted


def _path(manifest: Object) -> str:
    return f"{POLICIES}/{PLURALS[manifest['kind']]}/{manifest['metadata']['name']}"


def _apply(admin: httpx.Client, path: str, manifest: Object) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    params = {"fieldManager": "e2e", "force": "true"}
    admin.patch(path, params=params, content=yaml.safe_dump(manifest), headers=headers).raise_for_status()


def _until_stale_status(admin: httpx.Client, *, kept: bool) -> None:
    """Waits until a stale status write is a no-op (`kept`), or is refused. Needs our CRD."""
    path = f"/apis/{API_VERSION}/namespaces/default/externalservices"
    parent = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "stale"}, "spec": {"port": 80, "ips": []}}
    made = admin.post(path, json=parent).raise_for_status().json()
    try:
        fresh = admin.put(f"{path}/stale/status", json={**made, "status": {"revision": 2}}).raise_for_status().json()
        deadline = time.monotonic() + SECONDS
        while admin.put(f"{path}/stale/status", json={**fresh, "status": {"revision": 1}}).is_success is not kept:
            if time.monotonic() > deadline:
                raise RuntimeError(f"stale statuses are not {'kept' if kept else 'refused'} after {SECONDS:.0f} s")
            time.sleep(0.1)
    finally:
        admin.delete(f"{path}/stale").raise_for_status()
