"""Writes: metadata, generations, conflicts, no-ops, subresources, finalizers, and refusals with their messages."""

from typing import Any

import pytest

from external_service.policy import AddressPolicy
from playground.apiserver import FakeApiServer
from playground.client import EXTERNAL_SERVICES as ES
from playground.client import SERVICES, ApiClient, Refused
from tests.cases import cases
from tests.parents import raw_parent

JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def web(**spec: Any) -> dict[str, Any]:
    return raw_parent(metadata={"name": "web", "namespace": "default"}, **{"ips": ["10.0.0.1"]} | spec)


async def refused(work: Any) -> tuple[int, str, str]:
    with pytest.raises(Refused) as caught:
        await work
    return caught.value.code, caught.value.reason, caught.value.message


async def test_generation_increases_with_spec_changes_only(client: ApiClient) -> None:
    first = await client.create(ES.path("default"), web())
    path = ES.path("default", "web")
    labelled = await client.patch(path, {"metadata": {"labels": {"a": "b"}}})
    told = await client.patch(ES.path("default", "web", "status"), {"status": {"revision": 1}})
    again = await client.patch(path, {"spec": {"port": 80}})
    moved = await client.patch(path, {"spec": {"port": 81}})
    seen = [(one["metadata"]["generation"], int(one["metadata"]["resourceVersion"])) for one in (first, labelled, told)]
    assert [generation for generation, _ in seen] == [1, 1, 1]
    assert seen[0][1] < seen[1][1] < seen[2][1]
    assert again == told
    assert moved["metadata"]["generation"] == 2


@cases(
    "patch kind",
    ("json patch", [{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}], JSON_PATCH),
    ("merge patch", {"metadata": {"resourceVersion": "1"}}, "application/merge-patch+json"),
)
async def test_stale_resource_version_is_a_conflict(client: ApiClient, patch: Any, kind: str) -> None:
    await client.create(ES.path("default"), web())
    code, reason, text = await refused(client.patch(ES.path("default", "web", "status"), patch, kind))
    assert (code, reason) == (409, "Conflict")
    assert text.startswith('Operation cannot be fulfilled on externalservices.eso.crowdfox.com "web": the object has')


@cases(
    "op",
    ("failed test", {"op": "test", "path": "/spec/port", "value": 1}),
    ("missing parent", {"op": "add", "path": "/status/ready", "value": "1/1"}),
    ("missing field", {"op": "remove", "path": "/spec/hosts"}),
)
async def test_json_patch_that_fails_is_422(client: ApiClient, op: dict[str, Any]) -> None:
    await client.create(ES.path("default"), web())
    response = await refused(client.patch(ES.path("default", "web", "status"), [op], JSON_PATCH))
    assert response == (422, "Invalid", "the server rejected our request due to an error in our request")


async def test_put_needs_resource_version_and_same_uid(client: ApiClient) -> None:
    created = await client.create(ES.path("default"), web())
    path = ES.path("default", "web")
    code, _, text = await refused(client.replace(path, web()))
    assert (code, "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in text) == (422, True)
    stranger = {**created, "metadata": {**created["metadata"], "uid": "another"}}
    assert (await refused(client.replace(path, stranger)))[:2] == (409, "Conflict")
    assert await client.replace(path, created) == created


@cases(
    "spec text",
    ("a value", {"port": 0}, "spec.port: Invalid value: "),
    ("a CEL rule", {"ips": ["127.0.0.1"]}, f"spec.ips[0]: Invalid value: {AddressPolicy().refusal('127.0.0.1')}"),
)
async def test_invalid_external_service_names_the_field(client: ApiClient, spec: dict[str, Any], text: str) -> None:
    code, reason, message = await refused(client.create(ES.path("default"), web(**spec)))
    assert (code, reason) == (422, "Invalid")
    assert text in message


async def test_unknown_fields_are_pruned_or_refused_by_request(client: ApiClient) -> None:
    body = web(colour="red", hosts=[{"host": "a.io", "b": 2}])
    strict = f"{ES.path('default')}?fieldValidation=Strict"
    code, _, text = await refused(client.create(strict, body))
    assert (code, text.endswith('"spec.colour", unknown field "spec.hosts[0].b"')) == (400, True)
    created = await client.create(ES.path("default"), body)
    assert created["spec"] == {"port": 80, "ips": ["10.0.0.1"], "hosts": [{"host": "a.io"}]}


async def test_nulls_are_stored_as_by_a_real_api_server(client: ApiClient) -> None:
    """tests/e2e/test_05_crd.py asks the real one."""
    given = web(hosts=None, ingress={"annotations": {"a": None, "b": "x"}, "className": None})
    given["metadata"] |= {"annotations": {"a": None, "b": "x"}, "labels": None, "namespace": None}
    stored = await client.create(ES.path("default"), given)
    assert stored["spec"] == {"port": 80, "ips": ["10.0.0.1"], "ingress": {"annotations": {"b": "x"}, "enabled": True}}
    assert stored["metadata"]["annotations"] == {"a": "", "b": "x"}
    assert "labels" not in stored["metadata"]
    code, _, message = await refused(client.patch(ES.path("default", "web"), {"spec": {"ips": [None]}}))
    assert (code, "spec.ips[0]" in message) == (422, True)


async def test_names_and_namespaces_are_validated(client: ApiClient) -> None:
    assert (await refused(client.create(ES.path("nowhere"), {**web(), "metadata": {"name": "web"}})))[
        2
    ] == 'namespaces "nowhere" not found'
    bad = {**web(), "metadata": {"name": "Web_1"}}
    assert (await refused(client.create(ES.path("default"), bad)))[0] == 422
    await client.create(ES.path("default"), web())
    code, reason, text = await refused(client.create(ES.path("default"), web()))
    assert (code, reason) == (409, "AlreadyExists")
    assert text == 'externalservices.eso.crowdfox.com "web" already exists'
    named = await client.create(ES.path("default"), {**web(), "metadata": {"generateName": "web-"}})
    assert named["metadata"]["name"].startswith("web-")


async def test_headless_service_defaults(client: ApiClient) -> None:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    body["spec"] = {"clusterIP": "None", "ports": [{"port": 80}]}
    created = await client.create(SERVICES.path("default"), body)
    assert created["spec"] == {
        "clusterIP": "None",
        "clusterIPs": ["None"],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4", "IPv6"],
        "ipFamilyPolicy": "RequireDualStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    assert created["status"] == {"loadBalancer": {}}
    assert "generation" not in created["metadata"]


@cases(
    "patch",
    ("list", {"spec": {"ports": []}}),
    ("directive", {"spec": {"$patch": "replace"}}),
)
async def test_strategic_merge_with_lists_is_refused(client: ApiClient, patch: dict[str, Any]) -> None:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    await client.create(SERVICES.path("default"), body | {"spec": {"ports": [{"name": "a", "port": 80}]}})
    code, _, text = await refused(client.patch(SERVICES.path("default", "web"), patch, STRATEGIC))
    assert (code, "--type=merge" in text) == (415, True)
    await client.create(ES.path("default"), web())
    assert (await refused(client.patch(ES.path("default", "web"), {}, STRATEGIC)))[0] == 415


async def test_finalizer_delays_deletion(client: ApiClient) -> None:
    body = web()
    body["metadata"]["finalizers"] = ["example.com/wait"]
    await client.create(ES.path("default"), body)
    held = await client.delete(ES.path("default", "web"))
    assert "deletionTimestamp" in held["metadata"]
    assert held["metadata"]["generation"] == 2
    await client.patch(ES.path("default", "web"), {"metadata": {"finalizers": None}})
    assert (await refused(client.get(ES.path("default", "web"))))[0] == 404


async def test_dry_run_stores_nothing(client: ApiClient, server: FakeApiServer) -> None:
    await client.create(ES.path("default"), web())
    before, path = server.storage.revision, ES.path("default", "web")
    await client.create(f"{ES.path('default')}?dryRun=All", {**web(), "metadata": {"name": "other"}})
    await client.patch(f"{path}?dryRun=All", {"spec": {"port": 81}})
    await client.delete(f"{path}?dryRun=All")
    await client.delete(path, {"dryRun": ["All"]})  # as kubectl does
    assert server.storage.revision == before
