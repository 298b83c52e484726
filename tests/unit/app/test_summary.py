"""The debug line of a sync: what was made, what was left out, and why."""

from datetime import UTC, datetime
from typing import Any

from app.documentation import samples
from app.hook import read
from app.summary import summary
from app.sync import SyncOptions, sync
from external_service.kind import NOT_PROBED
from external_service.policy import AddressPolicy

NOW = datetime(2026, 1, 3, tzinfo=UTC)


def line(parent: dict[str, Any], children: dict[str, Any]) -> str:
    request = read({"parent": parent, "children": children})
    return summary(parent, sync(request, SyncOptions(), NOW), SyncOptions().policy)


def sample(name: str) -> dict[str, Any]:
    return next(one.request for one in samples() if one.name == name)


def test_summary_of_one_dead_address() -> None:
    given = sample("one-address-dead")
    assert line(given["parent"], given["children"]) == (
        "made: Service web, Endpoints web, EndpointSlice web-ipv4-0, Ingress web; "
        "ready: 10.0.100.10; not ready: 10.0.100.11 (ProbeFailed: connection refused)"
    )


def test_summary_names_omitted_children_with_reason() -> None:
    parent = {**sample("new-object")["parent"]}
    parent["spec"] = {**parent["spec"], "ips": ["127.0.0.1", "10.0.0.1"]}
    assert line(parent, {"Service.v1": {}, "Endpoints.v1": {}}) == (
        f"made: Service web, Endpoints web; not ready: 10.0.0.1 ({NOT_PROBED}); left out: 127.0.0.1 "
        f"({AddressPolicy().refusal('127.0.0.1')}), Ingress (NotListed), EndpointSlice (NotListed)"
    )


def test_summary_of_many_addresses_is_bounded() -> None:
    parent = {**sample("new-object")["parent"]}
    parent["spec"] = {**parent["spec"], "ips": [f"10.0.{index // 250}.{index % 250 + 1}" for index in range(1_000)]}
    said = line(parent, {})
    assert "and 980 more" in said
    assert len(said) < 2_000
