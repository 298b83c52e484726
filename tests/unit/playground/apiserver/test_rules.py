"""The policy for stale statuses and the transition rules: health can only move forward."""

from typing import Any

import pytest

from external_service.v1alpha1 import STALE_STATUS
from playground.apiserver.rules import moved_cluster_ip, stale_status, without_stale_status

UP = [{"ip": "10.0.0.1", "ready": True}]
DOWN = [{"ip": "10.0.0.1", "ready": False}]


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        pytest.param({}, {"revision": 1, "addresses": UP}, False, id="first write"),
        pytest.param({"revision": 1, "addresses": UP}, {"revision": 2, "addresses": DOWN}, False, id="forward"),
        pytest.param({"revision": 2, "addresses": UP}, {"revision": 1, "addresses": DOWN}, True, id="back"),
        pytest.param(
            {"revision": 2, "addresses": UP}, {"revision": 2, "addresses": DOWN}, True, id="same, other result"
        ),
        pytest.param({"revision": 2, "addresses": UP}, {"addresses": UP}, True, id="revision vanishes"),
        pytest.param({"revision": 2, "addresses": UP}, {}, True, id="status vanishes"),
        pytest.param({"revision": 2, "addresses": UP}, {"revision": 2}, True, id="addresses vanish"),
        pytest.param(
            {"revision": 2, "addresses": UP},
            {"revision": 2, "addresses": UP, "observedGeneration": 4, "children": []},
            False,
            id="what is not the sidecar's",
        ),
        pytest.param({}, {"observedGeneration": 1}, False, id="Metacontroller comes first"),
    ],
)
def test_status_guard_refuses_stale_writes(before: dict[str, Any], after: dict[str, Any], refused: bool) -> None:
    assert (stale_status({"status": before}, {"status": after}) is not None) is refused


def test_status_guard_message() -> None:
    refusal = stale_status({"status": {"revision": 3}}, {"status": {"revision": 2}})
    assert refusal is not None
    assert refusal.field == "status.revision"
    assert refusal.message == f"Invalid value: {STALE_STATUS}"


@pytest.mark.parametrize(
    ("before", "after", "stored"),
    [
        pytest.param({"revision": 2, "ready": "1/1"}, {"revision": 1}, {"revision": 2, "ready": "1/1"}, id="older"),
        pytest.param({"revision": 2}, {"observedGeneration": 1}, {"revision": 2}, id="no revision"),
        pytest.param({"revision": 2}, None, {"revision": 2}, id="no status"),
        pytest.param({"revision": 2}, {"revision": 2, "children": []}, {"revision": 2, "children": []}, id="equal"),
        pytest.param({"revision": 2}, {"revision": 3}, {"revision": 3}, id="newer"),
        pytest.param({}, {"observedGeneration": 1}, {"observedGeneration": 1}, id="neither has one"),
        pytest.param(None, {"revision": 1}, {"revision": 1}, id="the first status"),
    ],
)
def test_status_policy_keeps_the_stored_status(before: Any, after: Any, stored: Any) -> None:
    assert without_stale_status({"status": before}, {"status": after})["status"] == stored


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        pytest.param({}, {"service": {"clusterIP": "None"}}, False, id="the default, spelt out"),
        pytest.param({}, {"service": {"clusterIP": "Auto"}}, True, id="headless no more"),
    ],
)
def test_cluster_ip_is_immutable(before: dict[str, Any], after: dict[str, Any], refused: bool) -> None:
    assert (moved_cluster_ip({"spec": before}, {"spec": after}) is not None) is refused
