"""One sync: all children or an error, the status as it was read, and reports of missing children."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.children.endpoints import SKIP_MIRROR
from app.hook import CompositeHookRequest, InvalidRequest
from app.sync import ABSENT, SyncOptions, sync
from external_service.admission import NO_BODY_CONTAINS, NO_SECRETS, NO_SNIPPET, Features, host_problem
from external_service.core import PORT_NUMBER
from external_service.invalid import hint
from external_service.policy import AddressPolicy
from external_service.scope import Scope
from tests.cases import cases
from tests.parents import raw_parent

OPTIONS = SyncOptions()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SLICES_KIND = "EndpointSlice.discovery.k8s.io/v1"
NOTHING_OWNED: dict[str, Any] = {
    "Service.v1": {},
    "Endpoints.v1": {},
    SLICES_KIND: {},
    "Ingress.networking.k8s.io/v1": {},
}
IPS = ["10.0.0.1", "10.0.0.2"]
SLICE = {
    "metadata": {"name": "api-ipv4-0"},
    "endpoints": [{"addresses": [ip]} for ip in IPS],
}
LABELLED = {"metadata": {"name": "api", "labels": {SKIP_MIRROR: "true"}}}
ALL_OWNED: dict[str, Any] = {
    "Service.v1": {"shop/api": {"metadata": {"name": "api"}}},
    "Endpoints.v1": {"shop/api": LABELLED},
    SLICES_KIND: {"shop/api-ipv4-0": SLICE},
    "Ingress.networking.k8s.io/v1": {"shop/api": {"metadata": {"name": "api"}}},
}
PLAIN = {"Endpoints.v1": {"shop/api": {"metadata": {"name": "api"}}}}


def parent(*, status: Any = None, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    ips = ["10.0.0.2", "10.0.0.1"]
    return raw_parent(status=status, metadata={"generation": 2, **(metadata or {})}, **{"ips": ips, **spec})


def address(ip: str, ready: bool) -> dict[str, Any]:
    reason = "ProbeSucceeded" if ready else "ProbeFailed"
    return {"ip": ip, "ready": ready, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}


def synced(raw: dict[str, Any], children: dict[str, Any] | None = None, options: SyncOptions = OPTIONS) -> Any:
    return sync(CompositeHookRequest(parent=raw, children=children or {}), options, NOW)


def subsets(raw: dict[str, Any], options: SyncOptions = OPTIONS) -> Any:
    (endpoints,) = (child for child in synced(raw, options=options)["children"] if child["kind"] == "Endpoints")
    return endpoints.get("subsets")


def test_resolved_addresses_are_published_while_in_the_spec() -> None:
    told = [
        address("10.0.0.1", True) | {"hostname": "db.io"},
        address("10.0.0.4", True) | {"hostname": "db.io"},
        address("10.0.0.5", False) | {"hostname": "db.io"},
        address("10.0.0.6", True) | {"hostname": "left.io"},
        address("127.0.0.1", True) | {"hostname": "db.io"},
        address("10.0.0.7", True),
    ]
    probe = {"tcpSocket": {"port": 80}}
    raw = parent(readinessProbe=probe, ips=["10.0.0.1"], hostnames=["db.io"], status={"addresses": told})
    assert subsets(raw) == [
        {
            "addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.4"}],
            "notReadyAddresses": [{"ip": "10.0.0.5"}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        }
    ]
    assert subsets(parent(ips=[], hostnames=["db.io"])) is None


def test_address_policy_is_applied() -> None:
    options = SyncOptions(policy=AddressPolicy(loopback=True))
    assert subsets(parent(ips=["127.0.0.1"]), options)[0]["addresses"] == [{"ip": "127.0.0.1"}]


def test_status_is_returned_unchanged() -> None:
    status = {
        "unknown": {"kept": [1, None]},
        "revision": 7,
        "addresses": [{**address("10.0.0.1", True), "more": 1}],
        "observedGeneration": 2,
    }
    raw = parent(status=status)
    before = copy.deepcopy(raw)
    assert synced(raw, ALL_OWNED)["status"] == status
    assert raw == before


REPORTS = [
    {"kind": kind, "name": name, "problem": ABSENT.format(kind=kind), "reason": "Absent"}
    for kind, name in (("Service", "api"), ("Endpoints", "api"), ("Ingress", "api"))
]
HOSTS = [{"host": "a.io"}]


def test_missing_children_are_reported_after_a_full_sync() -> None:
    given = synced(parent(hosts=HOSTS, status={"revision": 3, "observedGeneration": 2}), NOTHING_OWNED)
    assert given["status"] == {"revision": 3, "observedGeneration": 2, "children": REPORTS}
    assert given["resyncAfterSeconds"] == 30.0
    assert kinds(given) == ["Service", "Endpoints", "Ingress"]


NO_INGRESS_OWNED = ALL_OWNED | {"Ingress.networking.k8s.io/v1": {}}
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
SETTLED = {"observedGeneration": 2}


@cases(
    "raw children",
    ("first sync: not created yet", parent(), NOTHING_OWNED),
    ("hosts just added", parent(hosts=HOSTS, status={"observedGeneration": 1}), NO_INGRESS_OWNED),
    ("no Ingress wanted", parent(status=SETTLED), NO_INGRESS_OWNED),
    ("being deleted", parent(status=SETTLED, metadata=DELETED), NOTHING_OWNED),
    ("kinds not shown", parent(status=SETTLED), {}),
)
def test_expected_absence_is_not_reported(raw: dict[str, Any], children: dict[str, Any]) -> None:
    given = synced({**raw, "status": {**raw.get("status", {}), "children": REPORTS[:1]}}, children)
    assert "children" not in given["status"]
    assert "resyncAfterSeconds" not in given


BOOLEAN, URL = hint({"type": "boolean"}), "https://a.io"


@cases(
    "raw problems",
    ("bad spec", parent(port="80"), (f'spec.port: {PORT_NUMBER} (got "80")',)),
    (
        "a hand edited the status",
        parent(status={"addresses": [{**address("10.0.0.1", True), "ready": "maybe"}]}),
        (f'status.addresses[0].ready: {BOOLEAN} (got "maybe"); the sidecar rewrites such a status by itself',),
    ),
    ("a refused host", parent(hosts=[{"host": URL}]), (f'spec.hosts[0].host: {host_problem(URL)} (got "{URL}")',)),
)
def test_incomplete_response_is_an_error(raw: dict[str, Any], problems: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        synced(raw)
    assert caught.value.problems == problems


SLICES_ALONE = SyncOptions(form="EndpointSlice")


def kinds(answered: Any) -> list[str]:
    return [child["kind"] for child in answered["children"]]


@pytest.mark.parametrize("options", [OPTIONS, SLICES_ALONE], ids=["Both", "EndpointSlice"])
def test_new_slices_wait_until_the_service_is_owned(options: SyncOptions) -> None:
    """A slice belongs to the Service that its label names, which may be another owner's."""
    given = synced(parent(status=SETTLED), ALL_OWNED | {"Service.v1": {}, SLICES_KIND: {}}, options)
    assert "EndpointSlice" not in kinds(given)
    assert given["status"]["children"] == REPORTS[:1]


@pytest.mark.parametrize(("seconds", "reported"), [(29, []), (30, ["api-ipv4-0"])])
def test_first_slices_are_not_reported_missing(seconds: int, reported: list[str]) -> None:
    """They are wanted for the first time in the sync that observes the Service."""
    created = (NOW - timedelta(seconds=seconds)).isoformat()
    service = {"metadata": {"name": "api", "creationTimestamp": created}}
    given = synced(parent(status=SETTLED), ALL_OWNED | {"Service.v1": {"shop/api": service}, SLICES_KIND: {}})
    assert kinds(given) == ["Service", "Endpoints", "EndpointSlice"]
    assert [one["name"] for one in given["status"].get("children", [])] == reported


def unlisted(kind: str, api_version: str) -> dict[str, str]:
    text = f"not made: add {kind} ({api_version}) to the CompositeController's childResources (see docs/routing.md)"
    return {"kind": kind, "name": "api", "problem": text, "reason": "NotListed"}


NO_ROUTES = unlisted("HTTPRoute", "gateway.networking.k8s.io/v1")
NO_SLICES = unlisted("EndpointSlice", "discovery.k8s.io/v1")
SERVICE_AND_SLICES: dict[str, Any] = {"Service.v1": {"shop/api": {"metadata": {}}}, SLICES_KIND: {}}
WITHOUT_SLICES = {name: owned for name, owned in (ALL_OWNED | PLAIN).items() if name != SLICES_KIND}
ROUTED = parent(hosts=HOSTS, httpRoute={"parentRefs": [{"name": "public"}, {"name": "public", "sectionName": "x"}]})


@cases(
    "raw listed made reports",
    ("HTTPRoute", ROUTED, ALL_OWNED, ["Service", "Endpoints", "EndpointSlice", "Ingress"], [NO_ROUTES]),
    ("EndpointSlice: Endpoints alone", parent(), WITHOUT_SLICES, ["Service", "Endpoints"], [NO_SLICES]),
    ("Endpoints", parent(), SERVICE_AND_SLICES, ["Service", "EndpointSlice"], [unlisted("Endpoints", "v1")]),
)
def test_unlisted_kind_is_reported_and_not_created(
    raw: dict[str, Any], listed: dict[str, Any], made: list[str], reports: list[Any]
) -> None:
    given = synced(raw, listed)
    assert (kinds(given), given["status"]) == (made, {"children": reports})
    assert "resyncAfterSeconds" not in given
    labelled = {child["kind"] for child in given["children"] if SKIP_MIRROR in child["metadata"]["labels"]}
    assert labelled == ({"Endpoints"} if {"Endpoints", "EndpointSlice"} <= {*made} else set())


def test_taken_slice_names_are_reported() -> None:
    shown = ALL_OWNED | {"Endpoints.v1": {}, SLICES_KIND: {}}
    given = synced(parent(status=SETTLED), shown, SLICES_ALONE)
    problem = ABSENT.format(kind="EndpointSlice")
    report = {"kind": "EndpointSlice", "name": "api-ipv4-0", "problem": problem, "reason": "Absent"}
    assert given["status"]["children"] == [report]


def test_object_outside_the_scope_is_refused() -> None:
    ours = SyncOptions(scope=Scope(("bank", "shop")))
    assert synced(parent(), options=ours) == synced(parent())
    with pytest.raises(InvalidRequest) as refused:
        synced(parent(), ALL_OWNED, SyncOptions(scope=Scope(("bank", "till"))))
    assert refused.value.problems == (
        "metadata.namespace: this installation works in bank, till only: nothing is made or changed here "
        "(name the namespace in ESO_NAMESPACES, or write the ExternalService in one of them)",
    )


SNIPPET = "nginx.ingress.kubernetes.io/configuration-snippet"


@cases(
    "raw at",
    ("of the spec", parent(hosts=HOSTS, ingress={"annotations": {SNIPPET: "x"}}), "spec.ingress.annotations"),
    ("copied", parent(metadata={"annotations": {SNIPPET: "x"}}, hosts=HOSTS), "metadata.annotations"),
)
def test_snippet_annotation_is_refused_unless_allowed(raw: dict[str, Any], at: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        synced(raw)
    assert refused.value.problems == (f'{at}["{SNIPPET}"]: {NO_SNIPPET}',)
    allowed = synced(raw, options=SyncOptions(snippet_annotations=True))
    (ingress,) = (child for child in allowed["children"] if child["kind"] == "Ingress")
    assert ingress["metadata"]["annotations"] == {SNIPPET: "x"}


@pytest.mark.parametrize(
    "key", ["nginx.ingress.kubernetes.io/Server-Snippet", "nginx.org/location-snippets", "example.com/auth-snippet"]
)
def test_every_snippet_annotation_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        synced(parent(hosts=HOSTS, ingress={"annotations": {key: "x"}}))


AT = f"spec.readinessProbe.{{}}: {NO_SECRETS}"
TOKEN = {"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}


@pytest.mark.parametrize(
    ("probe", "problems"),
    [
        ({"httpGet": {"port": 80, "bodyContains": "OK"}}, (NO_BODY_CONTAINS,)),
        (
            {"httpGet": {"port": 80, "httpHeaders": [TOKEN]}},
            (AT.format("httpGet.httpHeaders[0].valueFrom"),),
        ),
        (
            {"grpc": {"port": 80, "tls": {"caSecret": {"name": "a"}, "clientCertificateSecret": {"name": "a"}}}},
            (AT.format("grpc.tls.caSecret"), AT.format("grpc.tls.clientCertificateSecret")),
        ),
    ],
    ids=["bodyContains", "header", "tls"],
)
def test_disabled_field_is_refused(probe: dict[str, Any], problems: tuple[str, ...]) -> None:
    raw = parent(readinessProbe=probe)
    with pytest.raises(InvalidRequest) as refused:
        synced(raw, options=SyncOptions(features=Features(body_contains=False)))
    assert refused.value.problems == problems
    assert kinds(synced(raw, options=SyncOptions(features=Features(probe_secrets=True))))[0] == "Service"


def test_too_many_http_routes_are_refused() -> None:
    listeners = [{"name": "gateway", "sectionName": f"l{number}"} for number in range(2)]
    hosts = [{"host": f"h{number}.io", "path": f"/{number}"} for number in range(129)]
    with pytest.raises(InvalidRequest, match=r"^spec\.httpRoute: it takes 258 HTTPRoutes, "):
        synced(parent(hosts=hosts, httpRoute={"parentRefs": listeners}))


def test_too_large_annotations_are_refused() -> None:
    hosts = [{"host": f"h{number}.io", "path": f"/{number}"} for number in range(256)]
    annotations = {f"a{number}": "x" * 4_000 for number in range(8)}
    with pytest.raises(InvalidRequest, match=r"^spec\.httpRoute: labels and annotations of 256 HTTPRoutes "):
        synced(parent(hosts=hosts, httpRoute={"parentRefs": [{"name": "gateway"}], "annotations": annotations}))
