"""Events in both of their API groups."""

from typing import Any

import httpx

META = {"name": "web.1", "namespace": "default"}
ABOUT = {"apiVersion": "v1", "kind": "Service", "name": "web", "namespace": "default", "uid": "u"}
SERIES = {"count": 3, "lastObservedTime": "2026-01-01T00:00:09.000000Z"}
NEW: dict[str, Any] = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": META,
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "series": SERIES,
    "reportingController": "example.com/prober",
    "reportingInstance": "pod-1",
    "action": "Probing",
    "reason": "AddressNotReady",
    "regarding": ABOUT,
    "note": "10.0.0.1: connection refused",
    "type": "Warning",
}


async def test_event_is_served_in_both_groups(http: httpx.AsyncClient) -> None:
    new, core = (f"/{prefix}/namespaces/default/events" for prefix in ("apis/events.k8s.io/v1", "api/v1"))
    (await http.post(new, json=NEW)).raise_for_status()
    merge = {"Content-Type": "application/merge-patch+json"}
    counted = {"series": {**SERIES, "count": 4}}
    patched = (await http.patch(f"{new}/web.1", json=counted, headers=merge)).raise_for_status().json()
    assert (patched["note"], patched["series"]["count"]) == (NEW["note"], 4)
    (listed,) = (await http.get(new)).raise_for_status().json()["items"]
    assert listed == patched
    by_object = {"fieldSelector": "involvedObject.uid=u,involvedObject.kind=Service"}
    (described,) = (await http.get(core, params=by_object)).raise_for_status().json()["items"]
    core_only: dict[str, Any] = {"source": {}, "firstTimestamp": None, "lastTimestamp": None}
    renamed = {"involvedObject": ABOUT, "message": NEW["note"], "reportingComponent": NEW["reportingController"]}
    kept = {key: patched[key] for key in NEW.keys() - {"regarding", "note", "reportingController"}}
    assert described == {**kept, "apiVersion": "v1", **core_only, **renamed}
    assert (await http.delete(f"{core}/web.1")).is_success
    assert (await http.get(f"{new}/web.1")).status_code == 404
