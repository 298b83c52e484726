"""Edits of the Service by hand: which answer removes them with either of Metacontroller's apply strategies."""

import json
from typing import Any

import pytest

from app.children.service import LAST_APPLIED, desired, put_back
from external_service.v1alpha1 import ExternalService

Object = dict[str, Any]

PARENT = ExternalService.model_validate(
    {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"port": 80, "service": {"clusterIP": "Auto"}},
    }
)
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


def observed(applied: Object | None, labels: Object | None = None, **spec: Any) -> Object:
    """The Service after an edit; `applied` is our previous answer, None with server-side apply."""
    metadata: Object = {"labels": {**WANTED["metadata"]["labels"], **(labels or {})}}
    if applied is not None:
        metadata["annotations"] = {LAST_APPLIED: json.dumps(applied)}
    return {"metadata": metadata, "spec": {**WANTED["spec"], **CLUSTER, **spec}}


def wanted(labels: Object | None = None, **spec: Any) -> Object:
    metadata = {**WANTED["metadata"], "labels": {**WANTED["metadata"]["labels"], **(labels or {})}}
    return {**WANTED, "metadata": metadata, "spec": {**WANTED["spec"], **spec}}


@pytest.mark.parametrize("applied", [WANTED, None], ids=["dynamic", "server-side"])
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"type": "NodePort", "externalTrafficPolicy": "Cluster"}, id="type"),
        pytest.param({"internalTrafficPolicy": "Local"}, id="a field of ours"),
        pytest.param({"ports": [{**PORT, "targetPort": 81, "nodePort": 30080}]}, id="a field of our port"),
        pytest.param({"ports": []}, id="no ports"),
    ],
)
def test_fields_of_ours_need_nothing_special(applied: Object | None, edit: Object) -> None:
    assert put_back(WANTED, observed(applied, **edit)) == (WANTED, "")


def test_a_service_that_does_not_exist_is_created_as_wanted() -> None:
    assert put_back(WANTED, None) == (WANTED, "")


EDITS = [
    pytest.param({"selector": {"app": "a"}}, {"selector": None}, id="selector"),
    pytest.param({"publishNotReadyAddresses": True}, {"publishNotReadyAddresses": None}, id="publishNotReadyAddresses"),
    pytest.param({"externalIPs": ["10.0.0.9"]}, {"externalIPs": None}, id="externalIPs"),
    pytest.param(
        {"type": "ExternalName", "externalName": "a.example"},
        {"type": "ClusterIP", "externalName": None},
        id="ExternalName",
    ),
    pytest.param(
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}},
        {"sessionAffinity": "None", "sessionAffinityConfig": None},
        id="sessionAffinity",
    ),
    pytest.param(
        {"ports": [{**PORT, "name": "a", "appProtocol": "h2c"}]},
        {"ports": [{**PORT, "name": None, "appProtocol": None}]},
        id="port name",
    ),
]


@pytest.mark.parametrize(("edit", "_"), EDITS)
def test_dynamic_apply_takes_two_answers(edit: Object, _: Object) -> None:
    first = wanted(**edit)
    assert put_back(WANTED, observed(WANTED, **edit)) == (first, "")
    assert put_back(WANTED, observed(first, **edit)) == (WANTED, "")


@pytest.mark.parametrize(("edit", "nulls"), EDITS)
def test_server_side_apply_takes_over_with_null(edit: Object, nulls: Object) -> None:
    assert put_back(WANTED, observed(None, **edit)) == (wanted(**nulls), "")


@pytest.mark.parametrize(
    "ports",
    [
        pytest.param([OTHER], id="another port"),
        pytest.param([{**PORT, "name": "a"}, {**OTHER, "name": "b"}], id="a port more"),
    ],
)
def test_other_ports_are_adopted_then_dropped_or_reported(ports: list[Object]) -> None:
    first = wanted(ports=ports)
    assert put_back(WANTED, observed(WANTED, ports=ports)) == (first, "")
    assert put_back(WANTED, observed(first, ports=ports)) == (WANTED, "")
    assert put_back(WANTED, observed(None, ports=ports)) == (first, FIX)


def test_one_number_with_two_protocols_is_reported() -> None:
    ports = [{**PORT, "name": "a"}, {**PORT, "name": "b", "protocol": "UDP"}]
    assert put_back(WANTED, observed(WANTED, ports=ports)) == (WANTED, FIX)
    assert put_back(WANTED, observed(None, ports=ports)) == (wanted(ports=ports), FIX)


def test_the_label_that_hides_the_service_from_kube_proxy_goes() -> None:
    first = wanted(PROXY)
    assert put_back(WANTED, observed(WANTED, PROXY)) == (first, "")
    assert put_back(WANTED, observed(first, PROXY)) == (WANTED, "")
    taken_over = dict.fromkeys(PROXY, "put-back")
    assert put_back(WANTED, observed(None, PROXY)) == (wanted(taken_over), "")
    assert put_back(WANTED, observed(None, dict.fromkeys(PROXY, ""))) == (wanted(taken_over), "")
    assert put_back(WANTED, observed(None, taken_over)) == (WANTED, "")
    assert put_back(first, observed(first, PROXY)) == (first, ""), "spec.service.labels asks for it"


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"metadata": 1}'])
def test_an_annotation_that_was_edited_counts_as_none(text: str) -> None:
    edited = observed(None, selector={"app": "a"})
    edited["metadata"]["annotations"] = {LAST_APPLIED: text}
    assert put_back(WANTED, edited) == (wanted(selector=None), "")
