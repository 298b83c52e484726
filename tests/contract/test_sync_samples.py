"""The hook answers each request of app/samples/sync as the file beside it says; `/docs` shows the same files.

To change a response: send the request with curl (docs/hook.md), check the response, and write it to the file.
"""

import httpx
import pytest
from jsonschema import Draft202012Validator

from app.documentation import Sample, samples
from app.server import create_app
from app.settings import Settings
from external_service.invalid import unknown_fields

SAMPLES = list(samples())


def hook() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(Settings())), base_url="http://hook")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_sample_request_has_the_recorded_response(sample: Sample) -> None:
    async with hook() as client:
        response = await client.post("/sync", json=sample.request)
    assert (response.status_code, response.json()) == (sample.status, sample.response)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_hook_version_v1_has_the_same_response(sample: Sample) -> None:
    """There the keys of the children have no namespace."""
    children = {
        kind: {key.rpartition("/")[2]: child for key, child in observed.items()}
        for kind, observed in sample.request["children"].items()
    }
    async with hook() as client:
        response = await client.post("/sync", json=sample.request | {"children": children})
    assert (response.status_code, response.json()) == (sample.status, sample.response)


async def test_unknown_field_is_a_warning_header() -> None:
    (sample,) = (one for one in SAMPLES if one.name == "unknown-field")
    async with hook() as client:
        response = await client.post("/sync", json=sample.request)
    (text,) = unknown_fields(sample.request["parent"])
    assert response.headers.get_list("warning") == [f'299 - "{text}"']


async def test_openapi_request_has_the_crd_schema_and_samples() -> None:
    async with hook() as client:
        document = (await client.get("/openapi.json")).json()
        again = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/sync"]["post"]
    body = operation["requestBody"]["content"]["application/json"]
    assert {name: one["value"] for name, one in body["examples"].items()} == {one.name: one.request for one in SAMPLES}
    for one in SAMPLES:
        answers = operation["responses"][str(one.status)]["content"]["application/json"]["examples"]
        assert answers[one.name] == {"value": one.response}
        assert Draft202012Validator(body["schema"]).is_valid(one.request)  # what the CEL rules refuse included
    wrong = SAMPLES[0].request["parent"] | {"spec": {"ips": "10.0.0.1"}}
    assert not Draft202012Validator(body["schema"]).is_valid({"parent": wrong})
    assert again == document
