"""The hook responds to any input with an error message or with all children: never 500, never fewer children."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.hook import InvalidRequest, read
from app.server import create_app
from app.settings import Settings
from app.sync import SyncOptions, sync
from tests.examples import examples

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "metacontroller" / "samples").glob("*.yaml"))
PARENTS = [
    document
    for path in SAMPLES
    for document in yaml.safe_load_all(path.read_text())
    if document["kind"] == "ExternalService"
]
KINDS = ("Service.v1", "Endpoints.v1", "EndpointSlice.discovery.k8s.io/v1", "Ingress.networking.k8s.io/v1")
CHILDREN: dict[str, Any] = {kind: {} for kind in KINDS}
THEN = "2026-01-01T00:00:00Z"
RESULT = {"ip": "10.0.100.10", "ready": True, "reason": "ProbeSucceeded", "lastTransitionTime": THEN}
STATUS = {"observedGeneration": 1, "revision": 1, "addresses": [RESULT]}
APPLIED = {"metadata": {"labels": {"app": "api"}}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}}


def observed(parent: dict[str, Any], *, applied: Any) -> dict[str, Any]:
    """Children as the API server stores them, with edits that make the hook read every part of them."""
    name = parent["metadata"]["name"]
    key = f"{parent['metadata'].get('namespace', 'default')}/{name}"
    annotations = {} if applied is None else {"metacontroller.k8s.io/last-applied-configuration": json.dumps(applied)}
    metadata = {
        "name": name,
        "labels": {"app": name, "service.kubernetes.io/service-proxy-name": "x"},
        "annotations": annotations,
        "creationTimestamp": THEN,
        "managedFields": [
            {"manager": "metacontroller", "fieldsV1": {"f:metadata": {"f:labels": {"f:serviceType": {}}}}},
            {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:ports": {'k:{"port":81,"protocol":"UDP"}': {}}}}},
        ],
    }
    spec = {"externalName": "a.io", "selector": {"app": name, "eso.crowdfox.com/selects-no-pod-since": "1"}}
    subset = {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80, "protocol": "TCP"}]}
    ports = [{"port": 80, "protocol": "TCP", "name": "x"}, {"port": 81, "protocol": "UDP", "appProtocol": "h2c"}]
    return {
        "Service.v1": {key: {"metadata": metadata, "spec": {"ports": ports, **spec}}},
        "Endpoints.v1": {key: {"metadata": {"labels": {}}, "subsets": [subset]}},
        "EndpointSlice.discovery.k8s.io/v1": {
            f"{key}-ipv4-{number}": {
                "metadata": {"annotations": {"eso.crowdfox.com/retiring-since": "2026-01-01T00:00:00+00:00"}},
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
            }
            for number in range(2)
        },
        "Ingress.networking.k8s.io/v1": {key: {"metadata": {"name": name}}},
    }


REFUSALS = {400, 413, 422}
NOW = datetime(2026, 1, 1, tzinfo=UTC)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["", "0", "::", "10.0.0.1", "*.a.io", "80", "150%", "\x00", "\ud7ff", "a" * 300])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, item in inner for path in paths(item, (*at, key)))]


def replaced(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at that place."""
    if not at:
        return value
    changed = list(document) if isinstance(document, list) else dict(document)
    changed[at[0]] = replaced(changed[at[0]], at[1:], value)
    return changed


@st.composite
def broken_requests(draw: st.DrawFn) -> Any:
    """A sync request with one to three things wrong in it."""
    parent = json.loads(json.dumps(draw(st.sampled_from(PARENTS))))
    parent["metadata"] |= {"uid": "u", "generation": 1, "resourceVersion": "1"}
    parent["status"] = STATUS
    if draw(st.booleans()):
        applied = draw(st.none() | st.just(APPLIED) | VALUES)
        children = observed(parent, applied=applied)
    else:
        children = CHILDREN
    request: Any = {"parent": parent, "children": children, "finalizing": False}
    for _ in range(draw(st.integers(1, 3))):
        request = replaced(request, draw(st.sampled_from(paths(request))), draw(VALUES))
    return request


@pytest.fixture(scope="module")
def hook() -> Iterator[httpx.ASGITransport]:
    """The hook without its log: each refusal would be a line."""
    log = logging.getLogger("app")
    log.setLevel(logging.ERROR)
    yield httpx.ASGITransport(create_app(Settings()), raise_app_exceptions=True)
    log.setLevel(logging.NOTSET)


def ask(hook: httpx.ASGITransport, body: bytes) -> httpx.Response:
    async def one() -> httpx.Response:
        async with httpx.AsyncClient(transport=hook, base_url="http://hook") as client:
            return await client.post("/sync", content=body)

    return asyncio.run(one())


BOUNDED = settings(max_examples=examples(100), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


OTHERS: tuple[Any, ...] = (None, True, -1, 1.5, "", "x", [], [None], [[]], [{}], {}, {"x": None}, {"x": {}})


@pytest.mark.parametrize("applied", [None, APPLIED], ids=["server-side-apply", "dynamic-apply"])
def test_any_other_value_in_any_field_is_refused_or_answered_completely(applied: Any) -> None:
    parent = {
        **next(one for one in PARENTS if one["metadata"]["name"] == "http"),
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "generation": 1},
        "status": STATUS,
    }
    request = {"parent": parent, "children": observed(parent, applied=applied), "finalizing": False}
    assert sync(read(request), SyncOptions(), NOW)
    for at in set(paths(request)) - {("children",)}:  # without "Service.v1" in it no Service is made
        for value in OTHERS:
            try:
                response = sync(read(replaced(request, at, value)), SyncOptions(), NOW)
            except InvalidRequest:
                continue
            except Exception as error:
                raise AssertionError(f"{value!r} at {at}") from error
            assert response["children"][0]["kind"] == "Service"


@BOUNDED
@given(body=broken_requests())
def test_mutated_request_is_refused_or_answered_completely(hook: httpx.ASGITransport, body: Any) -> None:
    response = ask(hook, json.dumps(body).encode())
    if response.status_code == 200:
        kinds = [child["kind"] for child in response.json()["children"]]
        if not body["children"] or "Service.v1" in body["children"]:
            assert kinds[0] == "Service"
        if body["children"] == CHILDREN:  # what the CompositeController does not list is left out on purpose
            assert kinds[1] == "Endpoints"
            spec = body["parent"]["spec"]
            wanted = (spec.get("ingress") or {}).get("enabled") is not False
            assert ("Ingress" in kinds) is (wanted and bool(spec.get("hosts")))
    else:
        assert response.status_code in REFUSALS
        assert response.json()["error"]
