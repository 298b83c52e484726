"""The policy for stale statuses (components/status-policy) on a real API server."""

import httpx
import yaml

from external_service.kind import API_VERSION, KIND
from tests.e2e.accounts import SHIPPED, apply, path
from tests.until import wait

POLICIES = "/apis/admissionregistration.k8s.io/v1"
COMPONENT = SHIPPED / "components" / "status-policy"


def served(admin: httpx.Client) -> bool:
    """Whether the API server has the kind: Kubernetes 1.36 and newer."""
    resources = admin.get(POLICIES).raise_for_status().json()["resources"]
    return any(one["kind"] == "MutatingAdmissionPolicy" for one in resources)


def use(admin: httpx.Client, wanted: bool) -> bool:
    """Installs or removes the policy, and waits until this has an effect; returns whether there is one now."""
    if not served(admin):
        return False
    made = {path(one): one for one in yaml.safe_load_all((COMPONENT / "policy.yaml").read_text())}
    present = all(admin.get(place).is_success for place in made)
    if present is not wanted:
        for place, manifest in made.items():
            if wanted:
                apply(admin, manifest)
            else:
                admin.delete(place)
        _until_stale_status(admin, kept=wanted)
    return wanted


def _until_stale_status(admin: httpx.Client, *, kept: bool) -> None:
    """Waits until a stale status write is a no-op (`kept`), or is refused. Needs our CRD."""
    place = f"/apis/{API_VERSION}/namespaces/default/externalservices"
    parent = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "stale"}, "spec": {"port": 80, "ips": []}}
    made = admin.post(place, json=parent).raise_for_status().json()
    try:
        fresh = admin.put(f"{place}/stale/status", json={**made, "status": {"revision": 2}}).raise_for_status().json()
        stale = {**fresh, "status": {"revision": 1}}
        wait(lambda: admin.put(f"{place}/stale/status", json=stale).is_success is kept, "stale statuses as wanted")
    finally:
        admin.delete(f"{place}/stale").raise_for_status()
