"""Manual edits of the Service: which response removes them, with each of Metacontroller's apply strategies."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.children import service
from app.children.service import LAST_APPLIED, PutBack, desired
from tests.cases import cases
from tests.parents import parent

Object = dict[str, Any]

PARENT = parent(metadata={"name": "web"}, service={"clusterIP": "Auto"})
WANTED = desired(PARENT)
PORT = {"port": 80, "protocol": "TCP", "targetPort": 80}
OTHER = {"port": 99, "protocol": "TCP", "targetPort": 99}
CLUSTER = {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"], "trafficDistribution": "Any"}
PROXY = {"service.kubernetes.io/service-proxy-name": "a"}
FIX = (
    "spec.ports was edited by hand, and Metacontroller cannot remove the other ports. Run: kubectl -n shop patch "
    """service web --type=json -p '[{"op":"replace","path":"/spec/ports","value":"""
    """[{"port":80,"protocol":"TCP","targetPort":80}]}]'"""
)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = {"app": "a", "eso.crowdfox.com/selects-no-pod-since": "1767225600"}


def put_back(wanted: Object, observed: Object | None, seconds: float = 0.0) -> PutBack:
    return service.put_back(wanted, observed, NOW + timedelta(seconds=seconds))


def observed(applied: Object | None, labels: Object | None = None, **spec: Any) -> Object:
    """The Service after an edit; `applied` is our previous response, None with server-side apply."""
    metadata: Object = {"labels": {**WANTED["metadata"]["labels"], **(labels or {})}}
    if applied is not None:
        metadata["annotations"] = {LAST_APPLIED: json.dumps(applied)}
    return {"metadata": metadata, "spec": {**WANTED["spec"], **CLUSTER, **spec}}


def wanted(labels: Object | None = None, **spec: Any) -> Object:
    metadata = {**WANTED["metadata"], "labels": {**WANTED["metadata"]["labels"], **(labels or {})}}
    return {**WANTED, "metadata": metadata, "spec": {**WANTED["spec"], **spec}}


@pytest.mark.parametrize("applied", [WANTED, None], ids=["dynamic", "server-side"])
@cases(
    "edit",
    ("nothing", {}),
    ("type", {"type": "NodePort", "externalTrafficPolicy": "Cluster"}),
    ("a field of ours", {"internalTrafficPolicy": "Local"}),
    ("a field of our port", {"ports": [{**PORT, "targetPort": 81, "nodePort": 30080}]}),
    ("no ports", {"ports": []}),
)
def test_operator_fields_need_no_special_handling(applied: Object | None, edit: Object) -> None:
    assert put_back(WANTED, observed(applied, **edit)) == PutBack(WANTED)


AFFINITY = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
EDITS = cases(
    "edit nulls",
    ("publishNotReadyAddresses", {"publishNotReadyAddresses": True}, {"publishNotReadyAddresses": None}),
    ("externalIPs", {"externalIPs": ["10.0.0.9"]}, {"externalIPs": None}),
    ("name", {"type": "ExternalName", "externalName": "a.b"}, {"type": "ClusterIP", "externalName": None}),
    ("sessionAffinity", AFFINITY, {"sessionAffinity": "None", "sessionAffinityConfig": None}),
    (
        "port name",
        {"ports": [{**PORT, "name": "a", "appProtocol": "h2c"}]},
        {"ports": [{**PORT, "name": None, "appProtocol": None}]},
    ),
)


@EDITS
def test_dynamic_apply_reverts_in_two_responses(edit: Object, nulls: Object) -> None:
    first = wanted(**edit)
    assert put_back(WANTED, observed(WANTED, **edit)) == PutBack(first)
    assert put_back(WANTED, observed(first, **edit)) == PutBack(WANTED)


@EDITS
def test_server_side_apply_reverts_with_null(edit: Object, nulls: Object) -> None:
    assert put_back(WANTED, observed(None, **edit)) == PutBack(wanted(**nulls))


@pytest.mark.parametrize(
    "selector",
    [{"app": "a"}, *({**EMPTY, "eso.crowdfox.com/selects-no-pod-since": since} for since in ("x", "9" * 400))],
)
@pytest.mark.parametrize("applied", [WANTED, None], ids=["dynamic", "server-side"])
def test_foreign_selector_is_first_made_to_match_no_pod(applied: Object | None, selector: Object) -> None:
    assert put_back(WANTED, observed(applied, selector=selector)) == PutBack(wanted(selector=EMPTY), again=10.0)


@pytest.mark.parametrize("applied", [wanted(selector=EMPTY), None], ids=["dynamic", "server-side"])
def test_foreign_selector_stays_until_slices_are_empty(applied: Object | None) -> None:
    edited = observed(applied, selector=EMPTY)
    assert put_back(WANTED, edited, 4.0) == PutBack(wanted(selector=EMPTY), again=6.0)


def test_foreign_selector_is_removed_once_slices_are_empty() -> None:
    assert put_back(WANTED, observed(wanted(selector=EMPTY), selector=EMPTY), 10.0) == PutBack(WANTED)
    assert put_back(WANTED, observed(None, selector=EMPTY), 10.0) == PutBack(wanted(selector=None))


def test_other_edits_are_reverted_before_the_selector() -> None:
    edit: Object = {"selector": {"app": "a"}, "externalIPs": ["10.0.0.9"]}
    first = wanted(**edit)
    assert put_back(WANTED, observed(WANTED, **edit)) == PutBack(first, again=10.0)
    assert put_back(WANTED, observed(first, **edit)) == PutBack(wanted(selector=EMPTY), again=10.0)
    assert put_back(WANTED, observed(None, **edit)) == PutBack(wanted(selector=EMPTY, externalIPs=None), again=10.0)


@cases(
    "ports",
    ("another port", [OTHER]),
    ("a port more", [{**PORT, "name": "a"}, {**OTHER, "name": "b"}]),
)
def test_foreign_ports_are_removed_or_reported(ports: list[Object]) -> None:
    first = wanted(ports=ports)
    assert put_back(WANTED, observed(WANTED, ports=ports)) == PutBack(first)
    assert put_back(WANTED, observed(first, ports=ports)) == PutBack(WANTED)
    assert put_back(WANTED, observed(None, ports=ports)) == PutBack(first, FIX)


def test_port_number_with_two_protocols_is_reported() -> None:
    ports = [{**PORT, "name": "a"}, {**PORT, "name": "b", "protocol": "UDP"}]
    assert put_back(WANTED, observed(WANTED, ports=ports)) == PutBack(WANTED, FIX)
    assert put_back(WANTED, observed(None, ports=ports)) == PutBack(wanted(ports=ports), FIX)


def test_service_proxy_name_label_is_removed() -> None:
    first = wanted(PROXY)
    assert put_back(WANTED, observed(WANTED, PROXY)) == PutBack(first)
    assert put_back(WANTED, observed(first, PROXY)) == PutBack(WANTED)
    taken_over = dict.fromkeys(PROXY, "put-back")
    assert put_back(WANTED, observed(None, PROXY)) == PutBack(wanted(taken_over))
    assert put_back(WANTED, observed(None, dict.fromkeys(PROXY, ""))) == PutBack(wanted(taken_over))
    assert put_back(WANTED, observed(None, taken_over)) == PutBack(WANTED)
    assert put_back(first, observed(first, PROXY)) == PutBack(first), "spec.service.labels asks for it"


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"metadata": 1}'])
def test_invalid_progress_annotation_is_ignored(text: str) -> None:
    edited = observed(None, externalIPs=["10.0.0.9"])
    edited["metadata"]["annotations"] = {LAST_APPLIED: text}
    assert put_back(WANTED, edited) == PutBack(wanted(externalIPs=None))


def managed(*managers: tuple[str, Object]) -> Object:
    return {"managedFields": [{"manager": name, "fieldsV1": fields} for name, fields in managers]}


OUR_LABEL: Object = {"f:metadata": {"f:labels": {"f:serviceType": {}}}}
ITS_PORT: Object = {"f:spec": {"f:ports": {'k:{"port":99,"protocol":"TCP"}': {"f:port": {}}}}}


def test_port_owned_by_metacontroller_is_not_reported() -> None:
    """With server-side apply a field that a response lacks is removed unless another field manager owns it."""
    given = observed(None, ports=[OTHER])
    given["metadata"] |= managed(("metacontroller", OUR_LABEL | ITS_PORT))
    assert put_back(WANTED, given) == PutBack(WANTED)
    given["metadata"] |= managed(("metacontroller", OUR_LABEL | ITS_PORT), ("kubectl-edit", ITS_PORT))
    assert put_back(WANTED, given) == PutBack(wanted(ports=[OTHER]), FIX)
