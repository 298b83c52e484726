"""Live replicas as seen by one of them: only changes that it saw count, not the times in the Leases."""

from typing import Any

import pytest

from probe_sidecar.kube.errors import ApiError
from probe_sidecar.replicas import LeaseView, read
from tests.cases import cases


def lease(name: str, version: int, **spec: Any) -> dict[str, Any]:
    told = {"holderIdentity": f"{name}_1", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    return {"metadata": {"uid": f"uid-{name}", "name": name, "resourceVersion": str(version)}, "spec": told | spec}


def watched(members: LeaseView, now: float, *leases: dict[str, Any], gone: str = "") -> None:
    there = {one["metadata"]["uid"]: one for one in leases}
    members.observe(there, frozenset(there) | ({gone} if gone else set()), now)


@pytest.mark.parametrize("renewed", ["1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", "noon", None])
def test_remote_clock_is_ignored(renewed: str | None) -> None:
    members = LeaseView()
    watched(members, 100.0, lease("a", 1, renewTime=renewed))
    assert members.live(114.9) == {"a"}
    assert members.live(115.0) == set()


@cases(
    "spec",
    ("given back as client-go does", {"holderIdentity": ""}),
    ("emptied by hand", {"leaseDurationSeconds": None}),
    ("not a number", {"leaseDurationSeconds": "15"}),
    ("no time at all", {"leaseDurationSeconds": -1}),
)
def test_lease_without_a_holder_is_not_alive(spec: dict[str, Any]) -> None:
    members = LeaseView()
    watched(members, 100.0, lease("a", 1, **spec))
    assert members.live(100.0) == set()


def test_malformed_lease_is_an_error() -> None:
    with pytest.raises(ApiError, match="not a Lease"):
        read({"kind": "Status", "metadata": {}})
