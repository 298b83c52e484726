"""`request`: a file to a sync request that the hook answers."""

import json

import pytest

from app.request import request
from external_service.manifest import Document, InvalidInput, external_services
from tests.parents import raw_parent

ONE = """\
apiVersion: eso.crowdfox.com/v1alpha1
kind: ExternalService
metadata: {name: web}
spec: {port: 80, ips: [10.0.0.1]}
"""
TWO = f"{ONE}---\n{ONE.replace('name: web', 'name: db, namespace: shop')}"


def read(source: str) -> tuple[Document, ...]:
    return external_services(source).documents


def test_request_adds_what_the_api_server_adds() -> None:
    metadata = {"namespace": "default", "generation": 1, "uid": "00000000-0000-4000-8000-000000000000", "name": "web"}
    parent = raw_parent(metadata=metadata, ips=["10.0.0.1"])
    assert json.loads(request(read(ONE))) == {"parent": parent, "children": {}, "finalizing": False}


@pytest.mark.parametrize("name", ["db", "shop/db"])
def test_request_of_several_objects_selects_by_name(name: str) -> None:
    metadata = json.loads(request(read(TWO), name))["parent"]["metadata"]
    assert (metadata["namespace"], metadata["name"]) == ("shop", "db")


@pytest.mark.parametrize("name", ["", "shop/web", "other"])
def test_request_of_several_without_a_match_names_them(name: str) -> None:
    with pytest.raises(InvalidInput, match="default/web, shop/db"):
        request(read(TWO), name)
