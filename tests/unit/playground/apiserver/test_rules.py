"""The policy for stale statuses and the transition rules: health can only move forward."""

from typing import Any

from external_service.v1alpha1 import STALE_STATUS
from playground.apiserver.schema import moved_cluster_ip, stale_status, without_stale_status
from tests.cases import cases

UP = [{"ip": "10.0.0.1", "ready": True}]
DOWN = [{"ip": "10.0.0.1", "ready": False}]


@cases(
    "before after refused",
    ("first write", {}, {"revision": 1, "addresses": UP}, False),
    ("forward", {"revision": 1, "addresses": UP}, {"revision": 2, "addresses": DOWN}, False),
    ("back", {"revision": 2, "addresses": UP}, {"revision": 1, "addresses": DOWN}, True),
    ("same, other result", {"revision": 2, "addresses": UP}, {"revision": 2, "addresses": DOWN}, True),
    ("revision vanishes", {"revision": 2, "addresses": UP}, {"addresses": UP}, True),
    ("status vanishes", {"revision": 2, "addresses": UP}, {}, True),
    ("addresses vanish", {"revision": 2, "addresses": UP}, {"revision": 2}, True),
    (
        "what is not the sidecar's",
        {"revision": 2, "addresses": UP},
        {"revision": 2, "addresses": UP, "observedGeneration": 4, "children": []},
        False,
    ),
    ("Metacontroller comes first", {}, {"observedGeneration": 1}, False),
)
def test_status_guard_refuses_stale_writes(before: dict[str, Any], after: dict[str, Any], refused: bool) -> None:
    assert (stale_status({"status": before}, {"status": after}) is not None) is refused


def test_status_guard_message() -> None:
    refusal = stale_status({"status": {"revision": 3}}, {"status": {"revision": 2}})
    assert refusal is not None
    assert refusal.field == "status.revision"
    assert refusal.message == f"Invalid value: {STALE_STATUS}"


@cases(
    "before after stored",
    ("older", {"revision": 2, "ready": "1/1"}, {"revision": 1}, {"revision": 2, "ready": "1/1"}),
    ("no revision", {"revision": 2}, {"observedGeneration": 1}, {"revision": 2}),
    ("no status", {"revision": 2}, None, {"revision": 2}),
    ("equal", {"revision": 2}, {"revision": 2, "children": []}, {"revision": 2, "children": []}),
    ("newer", {"revision": 2}, {"revision": 3}, {"revision": 3}),
    ("neither has one", {}, {"observedGeneration": 1}, {"observedGeneration": 1}),
    ("the first status", None, {"revision": 1}, {"revision": 1}),
)
def test_status_policy_keeps_the_stored_status(before: Any, after: Any, stored: Any) -> None:
    assert without_stale_status({"status": before}, {"status": after})["status"] == stored


@cases(
    "before after refused",
    ("the default, spelt out", {}, {"service": {"clusterIP": "None"}}, False),
    ("headless no more", {}, {"service": {"clusterIP": "Auto"}}, True),
)
def test_cluster_ip_is_immutable(before: dict[str, Any], after: dict[str, Any], refused: bool) -> None:
    assert (moved_cluster_ip({"spec": before}, {"spec": after}) is not None) is refused
