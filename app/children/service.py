"""The Service of an ExternalService: without selector, headless by default.

Canonical form: kubernetes:pkg/apis/core/v1/defaults.go and pkg/registry/core/service/storage/alloc.go.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from app.children.metadata import Manifest, named, object_meta
from app.observed import misshapen
from external_service.v1alpha1 import ExternalService, ServiceOptions, ServicePort

API_VERSION, KIND = "v1", "Service"

EXTERNAL = {"externalTrafficPolicy": "Cluster"}
"""Fields that the API server adds to a Service that is reachable from outside the cluster."""
HEADLESS = {"clusterIP": "None", "clusterIPs": ["None"], "ipFamilyPolicy": "RequireDualStack"}


def desired(parent: ExternalService) -> Manifest:
    """The Service as the API server stores it, but for what depends on the cluster.

    A headless Service without selector is always stored as RequireDualStack with clusterIPs ["None"]; the order of its
    ipFamilies is the cluster's. With `clusterIP: Auto` addresses, families and their policy are all the cluster's, and
    so are node ports and what a load balancer adds.
    """
    options = parent.spec.service or ServiceOptions()
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": object_meta(parent, options.labels, options.annotations),
        "spec": {
            **(HEADLESS if options.clusterIP == "None" else {}),
            **(EXTERNAL if options.type != "ClusterIP" else {}),
            "internalTrafficPolicy": "Cluster",
            "ports": [_port(one) for one in parent.spec.service_ports],
            "sessionAffinity": "None",
            "type": options.type,
        },
    }


def _port(one: ServicePort) -> Manifest:
    port = {"port": one.port, "protocol": one.protocol, "targetPort": one.target}
    return named(one, port)


NOT_OURS = (
    "externalIPs",
    "externalName",
    "loadBalancerSourceRanges",
    "publishNotReadyAddresses",
    "selector",
    "sessionAffinityConfig",
)
"""Fields of a Service that change where traffic goes and that we never set, so a value comes from someone else. The API
server removes the fields that depend on `type` (node ports, externalTrafficPolicy) when `type` is reverted. No other
field is touched: a field that a newer API server fills in must not start an endless exchange.
"""

NOT_OURS_IN_PORTS = ("appProtocol", "name")
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
"""A label with which kube-proxy ignores the Service."""

TAKEN_OVER = "put-back"
"""Value of a label for one write: a null would be stored as an empty label that stays with the other field manager."""

SELECTS_NO_POD = "eso.crowdfox.com/selects-no-pod-since"
"""Added to a selector, with the Unix time as value. The endpoint-slice controller ignores a Service without a selector
and leaves its slices with the Pods that were selected before (kubernetes:pkg/controller/endpointslice,
endpointslice_controller.go, `syncService`). For a selector that no Pod matches it empties them, so that comes first."""
EMPTYING_SECONDS = 10.0
"""Seconds that the selector stays so: the controller responds within a second unless it is busy or elects a new leader.
"""

LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"
"""Metacontroller's dynamic apply keeps our previous response here; server-side apply removes it."""

EDITED = (
    "spec.ports was edited by hand, and Metacontroller cannot remove the other ports. Run: "
    "kubectl -n {namespace} patch service {name} --type=json "
    """-p '[{{"op":"replace","path":"/spec/ports","value":{ports}}}]'"""
)


class PutBack(NamedTuple):
    """The Service to answer with, a problem with what to do (or an empty text), seconds until the next sync."""

    service: Manifest
    problem: str = ""
    again: float | None = None


def put_back(wanted: Manifest, observed: Mapping[str, Any] | None, now: datetime) -> PutBack:
    """Service to return so that the observed one becomes `wanted`.

    `wanted` is from `desired`. Neither apply strategy removes fields of others by itself. Dynamic apply removes only
    fields of our previous response: we respond with the observed object, and with `wanted` in the next sync.
    Server-side apply takes a field over that we set to null; a port of another field manager it keeps, so that is
    reported. A selector is removed in two steps: see SELECTS_NO_POD.
    """
    if observed is None:
        return PutBack(wanted)
    metadata, spec = observed.get("metadata") or {}, observed.get("spec") or {}
    selector, again = _emptying(spec.get("selector") or {}, now)
    if selector:
        wanted = {**wanted, "spec": {**wanted["spec"], "selector": selector}}
    return PutBack(*_merged(wanted, metadata, spec), again)


def _emptying(selector: Mapping[str, str], now: datetime) -> tuple[Mapping[str, str], float | None]:
    """The selector that the Service keeps for now, and for how many seconds; no selector once that time is over."""
    if not selector:
        return {}, None
    try:
        age = now.timestamp() - int(selector.get(SELECTS_NO_POD, ""))
    except (ValueError, OverflowError):
        age = -1.0
    if age < 0:
        return {**selector, SELECTS_NO_POD: str(int(now.timestamp()))}, EMPTYING_SECONDS
    return (selector, EMPTYING_SECONDS - age) if age < EMPTYING_SECONDS else ({}, None)


def _merged(wanted: Manifest, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[Manifest, str]:
    """The response with which Metacontroller's apply strategy makes the observed Service `wanted`, and the problem."""
    applied, labels = _last_applied(metadata), metadata.get("labels") or {}
    foreign = [field for field in NOT_OURS if field in spec and field not in wanted["spec"]]
    proxied = labels.get(PROXY_NAME) if PROXY_NAME not in wanted["metadata"]["labels"] else None
    if applied is None:
        return _taken_over(wanted, metadata, spec, foreign, proxied)
    if len({port["port"] for port in spec.get("ports", ())}) < len(spec.get("ports", ())):
        return wanted, _edited(wanted)  # dynamic apply tells ports apart by number alone, and duplicates the last one
    before = applied.get("spec") or {}
    new = proxied is not None and PROXY_NAME not in (applied["metadata"].get("labels") or {})
    if new or any(field not in before for field in foreign) or _new_in_ports(wanted, spec, before):
        return _as_observed(wanted, spec, proxied), ""
    return wanted, ""


def _last_applied(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Our previous response; None with server-side apply, and for an annotation that was edited."""
    text = (metadata.get("annotations") or {}).get(LAST_APPLIED)
    if text is None:
        return None
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return applied if misshapen(applied) is None else None


def _new_in_ports(wanted: Manifest, spec: Mapping[str, Any], applied: Mapping[str, Any]) -> bool:
    """Whether there is a port, or a field of one, that is neither wanted nor in our previous response."""
    ours = {port["port"] for port in wanted["spec"]["ports"]}
    before = {port["port"]: port for port in applied.get("ports", ())}
    return any(
        (port["port"] not in ours and port["port"] not in before)
        or any(field in port and field not in before.get(port["port"], port) for field in NOT_OURS_IN_PORTS)
        for port in spec.get("ports", ())
    )


def _as_observed(wanted: Manifest, spec: Mapping[str, Any], proxied: str | None) -> Manifest:
    """The observed values of all fields that we own or that we are about to remove."""
    labels = wanted["metadata"]["labels"] | ({} if proxied is None else {PROXY_NAME: proxied})
    return {
        **wanted,
        "metadata": {**wanted["metadata"], "labels": labels},
        "spec": {field: spec[field] for field in (*wanted["spec"], *NOT_OURS) if field in spec},
    }


def _taken_over(
    wanted: Manifest, metadata: Mapping[str, Any], spec: Mapping[str, Any], foreign: Iterable[str], proxied: str | None
) -> tuple[Manifest, str]:
    """`wanted` with null for each field to remove, so that we own it and the next response drops it. Ports of our
    previous response are removed by themselves.
    """
    labels = wanted["metadata"]["labels"] | ({} if proxied in (None, TAKEN_OVER) else {PROXY_NAME: TAKEN_OVER})
    ours = {(port["port"], port["protocol"]): port for port in wanted["spec"]["ports"]}
    observed = {(port["port"], port.get("protocol", "TCP")): port for port in spec.get("ports", ())}
    added = [key for key in observed.keys() - ours.keys() if _has_another_manager(metadata, key)]
    if added:
        ports = spec["ports"]
    else:
        ports = [_nulls(NOT_OURS_IN_PORTS, observed.get(key, {})) | port for key, port in ours.items()]
    service = {
        **wanted,
        "metadata": {**wanted["metadata"], "labels": labels},
        "spec": {**wanted["spec"], "ports": ports, **dict.fromkeys(foreign)},
    }
    return service, _edited(wanted) if added else ""


def _has_another_manager(metadata: Mapping[str, Any], port: tuple[int, str]) -> bool:
    """Whether a field manager that is not Metacontroller owns this port, by number and protocol.

    Ours is the one that owns our label.
    """
    entries = metadata.get("managedFields")
    if not entries:
        return True
    key = f"k:{json.dumps(dict(zip(('port', 'protocol'), port, strict=True)), separators=(',', ':'))}"
    fields = [entry.get("fieldsV1") or {} for entry in entries]
    others = [one for one in fields if "f:serviceType" not in one.get("f:metadata", {}).get("f:labels", {})]
    return any(key in one.get("f:spec", {}).get("f:ports", {}) for one in others)


def _nulls(fields: Iterable[str], present: Mapping[str, Any]) -> dict[str, None]:
    return {field: None for field in fields if field in present}


def _edited(wanted: Manifest) -> str:
    ports = json.dumps(wanted["spec"]["ports"], separators=(",", ":"))
    return EDITED.format(ports=ports, **{key: wanted["metadata"][key] for key in ("name", "namespace")})
