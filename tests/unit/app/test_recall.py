"""Quick answers are the answers of `sync`, byte for byte; what is remembered of a spec is forgotten when it changes."""

import copy
from datetime import UTC, datetime, timedelta
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from app.children.endpoints import SKIP_MIRROR
from app.hook import read
from app.recall import Known, Memory, Quick
from app.sync import SyncOptions, sync

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPTIONS = SyncOptions()
SLICES = "EndpointSlice.discovery.k8s.io/v1"
KINDS: dict[str, Any] = {"Service.v1": {}, "Endpoints.v1": {}, "Ingress.networking.k8s.io/v1": {}}
OWNED = {kind: {"shop/api": {"metadata": {"name": "api"}}} for kind in KINDS}
STATUS: dict[str, Any] = {
    "revision": 7,
    "ready": "1/2",
    "addresses": [
        {"ip": "10.0.0.1", "ready": True, "reason": "ProbeSucceeded", "lastTransitionTime": "t"},
        {"ip": "10.0.0.2", "ready": False, "reason": "Disabled", "lastTransitionTime": "t", "serving": True},
        {"ip": "10.0.0.3", "ready": False, "reason": "ProbeFailed", "message": 'no\u2028"', "lastTransitionTime": "t"},
    ],
    "observedGeneration": 2,
    "unknown": {"kept": [1, None, 1.5]},
}
SPEC: dict[str, Any] = {
    "port": 80,
    "ips": ["10.0.0.2", "10.0.0.1", "10.0.0.3", "words"],
    "disabledIPs": ["10.0.0.2"],
    "readinessProbe": {"tcpSocket": {"port": 80}},
    "hosts": [{"host": "a.io"}],
}
PARENT: dict[str, Any] = {
    "apiVersion": "eso.crowdfox.com/v1alpha1",
    "kind": "ExternalService",
    "metadata": {"name": "api", "namespace": "shop", "generation": 2, "uid": "u", "annotations": {"a": "b"}},
    "spec": SPEC,
    "status": STATUS,
}


def body(children: Any = OWNED, **parent: Any) -> bytes:
    """A sync request whose parent differs in these fields."""
    return orjson.dumps({"parent": {**PARENT, **parent}, "children": children, "finalizing": False, "related": {}})


def slowly(request: bytes, options: SyncOptions = OPTIONS) -> bytes:
    """What `sync` answers."""
    return orjson.dumps(sync(read(orjson.loads(request)), options, NOW))


def metadata(**fields: Any) -> dict[str, Any]:
    return {**PARENT["metadata"], **fields}


def slices() -> dict[str, Any]:
    """EndpointSlices of ours in their present form, and the Endpoints beside them not mirrored."""
    made = orjson.loads(slowly(body({**KINDS, SLICES: {}}), SyncOptions(form="EndpointSlice")))["children"]
    one = next(child for child in made if child["kind"] == "EndpointSlice")
    labelled = {"metadata": {"name": "api", "labels": {SKIP_MIRROR: "true"}}}
    return {**OWNED, "Endpoints.v1": {"shop/api": labelled}, SLICES: {f"shop/{one['metadata']['name']}": one}}


@pytest.mark.parametrize("form", ["Endpoints", "EndpointSlice", "Both"])
@pytest.mark.parametrize(
    "request_body",
    [
        pytest.param(body(), id="settled"),
        pytest.param(body({kind: {"api": {}} for kind in KINDS}), id="the keys of v1"),
        pytest.param(body({}), id="no kind shown"),
        pytest.param(body(None), id="null children"),
        pytest.param(body(KINDS), id="everything lacking"),
        pytest.param(body({"Service.v1": {}}), id="kinds not listed"),
        pytest.param(body(slices()), id="slices are there"),
        pytest.param(body(status={}), id="an empty status"),
        pytest.param(body(status={**STATUS, "children": []}), id="an empty report"),
        pytest.param(
            body(status={**STATUS, "children": [{"kind": "Ingress", "name": "api", "problem": "gone"}]}),
            id="a report that is over",
        ),
        pytest.param(body(KINDS, metadata=metadata(deletionTimestamp="t")), id="being deleted"),
        pytest.param(body(KINDS, metadata=metadata(generation=3)), id="just changed"),
        pytest.param(body(spec={**SPEC, "minReady": "100%"}), id="failing open"),
        pytest.param(body(spec={"port": 80}), id="no addresses"),
    ],
)
def test_a_quick_answer_is_the_answer(request_body: bytes, form: Any) -> None:
    options = SyncOptions(form=form, uncopied_annotations=("kubectl.kubernetes.io/",))
    quick = Quick(options)
    assert quick.answer(request_body, NOW) == slowly(request_body, options)
    assert quick.answer(request_body, NOW) == slowly(request_body, options), "the second time, from memory"


@pytest.mark.parametrize(
    "request_body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b'{"parent": {}}', id="no ExternalService"),
        pytest.param(b'{"parent": ' + b"[" * 100_000, id="deep"),
        pytest.param(body(kind="Service"), id="another kind"),
        pytest.param(body(spec={"port": "80"}), id="a bad spec"),
        pytest.param(body(spec={**SPEC, "hosts": [{"host": "https://a.io"}]}), id="a child that would be refused"),
        pytest.param(body(status=None), id="a null status"),
        pytest.param(body(status={"addresses": [{"ip": "10.0.0.1", "ready": "true"}]}), id="a status put right"),
        pytest.param(body(status={"revision": -1}), id="a status beyond its limits"),
        pytest.param(body([]), id="children of the wrong shape"),
        pytest.param(body().replace(b'"finalizing":false', b'"finalizing":true'), id="finalizing"),
        pytest.param(body().replace(b'"lastTransitionTime":"t"', b'"lastTransitionTime":"\xff"'), id="not UTF-8"),
    ],
)
def test_whatever_is_unusual_is_left_to_sync(request_body: bytes) -> None:
    assert Quick(OPTIONS).answer(request_body, NOW) is None


def test_the_status_goes_back_letter_by_letter() -> None:
    as_sent = rb'{ "ready": "\u003c1", "observedGeneration" : 2 }'
    request_body = body(status="HERE").replace(b'"HERE"', as_sent)
    assert as_sent in (Quick(OPTIONS).answer(request_body, NOW) or b"")


RESOLVED = {
    **STATUS,
    "addresses": [*STATUS["addresses"], {**STATUS["addresses"][0], "ip": "10.0.0.9", "hostname": "db.io"}],
}
CHANGES = [
    pytest.param({"spec": {**SPEC, "port": 81}}, id="spec"),
    pytest.param({"metadata": metadata(annotations={"a": "c"})}, id="annotations"),
    pytest.param({"metadata": metadata(annotations={})}, id="no annotations"),
    pytest.param({"metadata": metadata(name="other")}, id="name"),
    pytest.param({"metadata": metadata(namespace="other")}, id="namespace"),
    pytest.param({"status": {**STATUS, "addresses": STATUS["addresses"][::-1]}}, id="order of the status"),
    pytest.param({"status": {**STATUS, "addresses": []}}, id="status"),
    pytest.param({"spec": {**SPEC, "hostnames": ["db.io"]}, "status": RESOLVED}, id="hostnames"),
    pytest.param({"metadata": metadata(generation=3, resourceVersion="9", labels={"x": "y"})}, id="the rest"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_never_answered_from_memory(change: dict[str, Any]) -> None:
    quick, before, after = Quick(OPTIONS), body(), body(**change)
    for request_body in (before, after, before, after):
        assert quick.answer(request_body, NOW) == slowly(request_body)


VIEWS = {
    "all there": body(),
    "nothing there": body(KINDS),
    "no Ingress there": body(OWNED | {"Ingress.networking.k8s.io/v1": {}}),
    "Ingress not listed": body({kind: OWNED[kind] for kind in ("Service.v1", "Endpoints.v1")}),
    "another namespace's": body({kind: {"other/api": {}} for kind in KINDS}),
    "just changed": body(KINDS, metadata={**PARENT["metadata"], "generation": 3}),
    "being deleted": body(KINDS, metadata={**PARENT["metadata"], "deletionTimestamp": "t"}),
    "slices": body(slices()),
    "slices with fewer addresses": body(slices()).replace(b'"addresses":["10.0.0.1"]', b'"addresses":["10.0.0.4"]'),
    "mirrored": body({**OWNED, SLICES: {}}),
    "not mirrored": body({**slices(), SLICES: {}}),
    "no kind": body({}),
}


@pytest.mark.parametrize("form", ["Endpoints", "EndpointSlice", "Both"])
def test_each_view_of_the_children_gets_its_own_answer(form: Any) -> None:
    options = SyncOptions(form=form)
    quick = Quick(options)
    for before, after in permutations(VIEWS, 2):
        assert quick.answer(VIEWS[before], NOW) == slowly(VIEWS[before], options), f"{before}, then {after}"
        assert quick.answer(VIEWS[after], NOW) == slowly(VIEWS[after], options), f"{after}, after {before}"


LATER: dict[str, dict[str, Any]] = {
    "the same": {},
    "one has failed": {"addresses": [{**STATUS["addresses"][0], "ready": False}, *STATUS["addresses"][1:]]},
    "none is known": {"addresses": []},
    "not managed yet": {"observedGeneration": 1},
    "a report": {"children": [{"kind": "Ingress", "name": "api", "problem": "gone"}]},
}


@pytest.mark.parametrize("form", ["Endpoints", "EndpointSlice", "Both"])
@pytest.mark.parametrize("view", [*VIEWS, "Endpoints not listed"])
def test_after_each_change_of_the_status_each_view_gets_its_own_answer(form: Any, view: str) -> None:
    options = SyncOptions(form=form)
    quick = Quick(options)
    asked = orjson.loads(VIEWS.get(view) or body({"Service.v1": {}, "Ingress.networking.k8s.io/v1": {}}))
    for before, after in permutations(LATER, 2):
        for one in (before, after):
            asked["parent"]["status"] = STATUS | LATER[one]
            request_body = orjson.dumps(asked)
            assert quick.answer(request_body, NOW) == slowly(request_body, options), f"{before}, then {after}"


def test_the_clock_counts_while_slices_are_retired() -> None:
    quick, retiring = Quick(OPTIONS), {**slices(), "Endpoints.v1": {"shop/api": {"metadata": {"name": "api"}}}}
    for later in (0, 5):
        now = NOW + timedelta(seconds=later)
        expected = orjson.dumps(sync(read(orjson.loads(body(retiring))), OPTIONS, now))
        assert quick.answer(body(retiring), now) == expected
        assert orjson.loads(expected)["resyncAfterSeconds"] == 60.0
    assert b"retiring-since" in expected


def test_what_is_remembered_is_not_changed_by_answering() -> None:
    quick = Quick(OPTIONS)
    first = copy.copy(quick.answer(body(), NOW))
    others: list[Any] = [KINDS, {"Service.v1": {}}, slices()]
    for children in others:
        quick.answer(body(children), NOW)
    assert quick.answer(body(), NOW) == first


def test_memory_has_a_bound_and_what_was_not_used_goes_first() -> None:
    memory = Memory(OPTIONS, most_bytes=3 * 9_000)

    def ask(name: str, size: int = 300, status: bytes = b"{}") -> Known:
        empty = b'{"port":80,"ignored":""}'
        spec = empty.replace(b'""', b'"%s"' % (b"x" * (size - len(empty))))
        return memory.of(SimpleNamespace(name=name, namespace="shop", annotations={}), spec, status)

    first = {name: ask(name) for name in ("a", "b", "c")}
    assert all(ask(name) is known for name, known in first.items())
    ask("a")
    ask("d")
    assert ask("a") is first["a"]
    assert ask("c") is first["c"]
    assert ask("b") is not first["b"], "d made room by b, which was not used longest"
    assert ask("huge", 7_000) is not ask("huge", 7_000), "what is too large for all of it is not kept"
    for size in range(301, 310):
        ask("a", size)
    kept = ask("d"), ask("a", 309)
    assert (ask("d"), ask("a", 309)) == kept, "room that was taken is given back"
    assert ask("d") is kept[0]


def test_a_new_status_leaves_what_follows_from_the_spec() -> None:
    memory, named = Memory(OPTIONS, most_bytes=9_000), SimpleNamespace(name="a", namespace="shop", annotations={})
    first = memory.of(named, b'{"port":80}', b"{}")
    second = memory.of(named, b'{"port":80}', b'{"observedGeneration":2}')
    assert (second.wish is first.wish, second.observed_generation) == (True, 2)
    assert memory.of(named, b'{"port":80}', b"{}") is not first, "only the latest is kept"
