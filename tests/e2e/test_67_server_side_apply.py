"""Server-side apply of an ExternalService: field managers, conflicts, force, fields that are no longer applied.

The API server of the playground responds as the real one.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from playground.apiserver import FakeApiServer
from playground.client import EXTERNAL_SERVICES
from tests.e2e.manifests import external_service
from tests.e2e.real_api import RealApi

Object = dict[str, Any]
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
HOSTS = [{"host": "www.mydomain.com"}]
PATH = EXTERNAL_SERVICES.path("default", "web")


@pytest.fixture(params=["playground", pytest.param("real", marks=pytest.mark.e2e)])
async def http(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    if request.param == "playground":
        async with FakeApiServer() as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            yield client
    else:
        api: RealApi = request.getfixturevalue("real_api")
        async with api.http() as client:
            yield client
            await client.delete(PATH)


def config(port: int, *ips: str, **spec: Any) -> Object:
    made = external_service("web", list(ips), port=port, **spec)
    del made["spec"]["readinessProbe"]
    made["metadata"] = {"name": "web", "namespace": "default"}
    return made


def owners(obj: Object) -> dict[str, list[str]]:
    """The fields of the spec that each manager owns."""
    entries = [one for one in obj["metadata"]["managedFields"] if not one.get("subresource")]
    found = {one["manager"]: sorted(one["fieldsV1"].get("f:spec", {})) for one in entries}
    return {manager: fields for manager, fields in found.items() if fields}


async def test_field_managers_conflict_and_share(http: httpx.AsyncClient) -> None:
    async def patch(body: Object, content_type: str = APPLY, **query: str) -> tuple[int, str, Object]:
        response = await http.patch(PATH, params=query, json=body, headers={"content-type": content_type})
        found = response.json()
        return response.status_code, found.get("message", ""), found

    ours = config(80, "10.0.100.10", "10.0.100.11", hosts=HOSTS)
    code, _, made = await patch(ours, fieldManager="ours")
    assert (code, owners(made)) == (201, {"ours": ["f:hosts", "f:ips", "f:port"]})
    code, _, again = await patch(ours, fieldManager="ours")
    assert (code, again["metadata"]["generation"]) == (200, 1)

    code, _, edited = await patch({"spec": {"port": 81}}, "application/merge-patch+json", fieldManager="edit")
    assert (code, owners(edited)) == (200, {"ours": ["f:hosts", "f:ips"], "edit": ["f:port"]})
    code, message, refused = await patch(ours, fieldManager="ours")
    conflict = 'conflict with "edit" using eso.crowdfox.com/v1alpha1'
    assert (code, message) == (409, f"Apply failed with 1 conflict: {conflict}: .spec.port")
    cause = {"reason": "FieldManagerConflict", "message": conflict, "field": ".spec.port"}
    assert (refused["reason"], refused["details"]) == ("Conflict", {"causes": [cause]})
    code, _, forced = await patch(ours, fieldManager="ours", force="true")
    assert (code, forced["spec"]["port"]) == (200, 80)
    assert owners(forced) == {"ours": ["f:hosts", "f:ips", "f:port"]}

    theirs = config(80, "10.0.100.12")
    code, _, shared = await patch(theirs, fieldManager="theirs")
    assert (code, sorted(shared["spec"]["ips"])) == (200, ["10.0.100.10", "10.0.100.11", "10.0.100.12"])
    code, message, _ = await patch(config(82, "10.0.100.13"), fieldManager="third")
    lines = 'conflicts with "ours":\n- .spec.port\nconflicts with "theirs":\n- .spec.port'
    assert (code, message) == (409, f"Apply failed with 2 conflicts: {lines}")

    code, _, left = await patch(config(80, "10.0.100.10"), fieldManager="ours")  # gives up hosts and .11
    assert (code, sorted(left["spec"]["ips"]), "hosts" in left["spec"]) == (
        200,
        ["10.0.100.10", "10.0.100.12"],
        False,
    )
    assert owners(left) == {"ours": ["f:ips", "f:port"], "theirs": ["f:ips", "f:port"]}


OPTIONS = 'PatchOptions.meta.k8s.io "" is invalid: '
TYPED = "failed to create typed patch object (default/web; eso.crowdfox.com/v1alpha1, Kind=ExternalService): "
OURS = {"fieldManager": "ours"}


@pytest.mark.parametrize(
    ("query", "content_type", "change", "code", "message"),
    [
        ({}, APPLY, {}, 422, f"{OPTIONS}fieldManager: Required value: is required for apply patch"),
        (OURS, APPLY, {"spec": {"IPs": ["10.0.100.10"]}}, 500, f"{TYPED}.spec.IPs: field not declared in schema"),
        (OURS, APPLY, {"managedFields": [{"manager": "ours"}]}, 400, "metadata.managedFields must be nil"),
        ({"force": "true"}, MERGE, {}, 422, f"{OPTIONS}force: Forbidden: may not be specified for non-apply patch"),
    ],
    ids=["no manager", "unknown field", "managedFields", "force without apply"],
)
async def test_apply_that_is_refused(
    http: httpx.AsyncClient, query: dict[str, str], content_type: str, change: Object, code: int, message: str
) -> None:
    made = config(80, "10.0.100.10")
    made["spec"] = change.get("spec", made["spec"])
    made["metadata"] |= {name: value for name, value in change.items() if name == "managedFields"}
    response = await http.patch(PATH, params=query, json=made, headers={"content-type": content_type})
    assert (response.status_code, response.json()["message"]) == (code, message)
