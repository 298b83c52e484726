"""Files to manifests and to a sync request, and the warnings."""

import json
from ipaddress import ip_network

import pytest

from app.children.metadata import Manifest
from app.render import here, left_out, sync_request
from app.sync import SyncOptions, desired_children
from external_service.manifest import Document, InvalidInput, external_services
from external_service.policy import AddressPolicy
from tests.parents import raw_parent

OPTIONS = SyncOptions()
API = [("Service", "api"), ("Endpoints", "api"), ("EndpointSlice", "api-ipv4-0")]
CR = """
apiVersion: eso.crowdfox.com/v1alpha1
kind: ExternalService
metadata: {name: api, namespace: shop}
spec:
  port: 80
  ips: [10.0.0.2, 10.0.0.1]
  readinessProbe: {tcpSocket: {port: 80}}
"""
STATUS = """
status:
  addresses:
  - {ip: 10.0.0.1, ready: true, reason: ProbeSucceeded, lastTransitionTime: 2026-01-01T00:00:00Z}
"""


def render(source: str, options: SyncOptions) -> tuple[list[Manifest], list[str]]:
    documents, local = external_services(source).documents, here(options)
    made = [child for one in documents for child in desired_children(one.parent, local).children]
    return made, [line for one in documents for line in left_out(one, local.policy)]


def test_denied_address_is_a_warning() -> None:
    options = SyncOptions(policy=AddressPolicy(deny=(ip_network("10.0.0.2/32"),)))
    made, warnings = render(CR, options)
    assert made[1]["subsets"][0]["notReadyAddresses"] == [{"ip": "10.0.0.1"}]
    assert warnings == [f"spec.ips[0]: left out: {options.policy.refusal('10.0.0.2')}"]


NAMED = CR.replace("port: 80\n", "port: 80\n  hostnames: [db.io, lb.io]\n", 1)
RESOLVED = STATUS + (
    "  - {ip: 10.0.0.9, hostname: db.io, ready: true, reason: NoProbe, lastTransitionTime: 2026-01-01T00:00:00Z}\n"
    "  - {ip: 169.254.0.9, hostname: db.io, ready: false, reason: Denied, lastTransitionTime: 2026-01-01T00:00:00Z}\n"
)


def test_hostnames_are_not_resolved_and_a_warning_says_so() -> None:
    made, warnings = render(NAMED, OPTIONS)
    where = "is not resolved here: its addresses come from a status, and there is none in this file"
    assert warnings == [f"spec.hostnames[0]: db.io {where}", f"spec.hostnames[1]: lb.io {where}"]
    assert [(one["kind"], one["metadata"]["name"]) for one in made] == API


def test_resolved_addresses_come_from_the_status() -> None:
    made, warnings = render(NAMED + RESOLVED, OPTIONS)
    endpoints = made[1]
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "10.0.0.1"}, {"ip": "10.0.0.9"}]
    assert warnings == [
        "spec.hostnames[1]: lb.io is not resolved here: its addresses come from the status in this file",
        f"status.addresses[2]: left out: {OPTIONS.policy.refusal('169.254.0.9')}",
    ]


ONE = """\
apiVersion: eso.crowdfox.com/v1alpha1
kind: ExternalService
metadata: {name: web}
spec: {port: 80, ips: [10.0.0.1]}
"""
TWO = f"{ONE}---\n{ONE.replace('name: web', 'name: db, namespace: shop')}"


def read(source: str) -> list[Document]:
    return external_services(source).documents


def test_request_adds_what_the_api_server_adds() -> None:
    metadata = {"namespace": "default", "generation": 1, "uid": "00000000-0000-4000-8000-000000000000", "name": "web"}
    parent = raw_parent(metadata=metadata, ips=["10.0.0.1"])
    assert json.loads(sync_request(read(ONE))) == {"parent": parent, "children": {}, "finalizing": False}


@pytest.mark.parametrize("name", ["db", "shop/db"])
def test_request_of_several_objects_selects_by_name(name: str) -> None:
    metadata = json.loads(sync_request(read(TWO), name))["parent"]["metadata"]
    assert (metadata["namespace"], metadata["name"]) == ("shop", "db")


@pytest.mark.parametrize("name", ["", "shop/web", "other"])
def test_request_of_several_without_a_match_names_them(name: str) -> None:
    with pytest.raises(InvalidInput, match="default/web, shop/db"):
        sync_request(read(TWO), name)
