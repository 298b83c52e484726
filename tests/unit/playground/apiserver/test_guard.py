"""The transition rule: health can only move forward."""

from typing import Any

import pytest

from playground.apiserver.guard import moved_cluster_ip, stale_status

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
def test_what_the_guard_refuses(before: dict[str, Any], after: dict[str, Any], refused: bool) -> None:
    assert (stale_status({"status": before}, {"status": after}) is not None) is refused


def test_its_words() -> None:
    refusal = stale_status({"status": {"revision": 3}}, {"status": {"revision": 2}})
    assert refusal is not None
    assert refusal.field == "status.revision"
    text = "stale status refused: status.revision 2 is not newer than 3; read again and retry (this heals itself)"
    assert refusal.message == f"Invalid value: 2: {text}"


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        pytest.param({}, {"service": {"clusterIP": "None"}}, False, id="the default, spelt out"),
        pytest.param({}, {"service": {"clusterIP": "Auto"}}, True, id="headless no more"),
    ],
)
def test_a_service_stays_headless_or_not(before: dict[str, Any], after: dict[str, Any], refused: bool) -> None:
    assert (moved_cluster_ip({"spec": before}, {"spec": after}) is not None) is refused
