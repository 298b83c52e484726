"""Probe models: the kubelet's defaults and limits, and the messages for invalid values."""

from typing import Any

import pytest
from pydantic import ValidationError

from external_service.core import HTTPGetAction, HTTPHeader, ObjectMeta, Probe, TCPSocketAction

NO_EXEC = (
    "Value error, exec is not supported: an address outside the cluster has no container to run a command in; "
    "write httpGet, tcpSocket or grpc"
)


def problems(kind: Any, value: Any) -> list[tuple[str, str]]:
    """(path, message) of each error."""
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(value)
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in refused.value.errors()]


def test_probe_defaults_are_the_kubelets() -> None:
    probe = Probe.model_validate({"httpGet": {"port": 80}})
    assert probe == Probe(
        httpGet=HTTPGetAction(port=80, path="/", host="", scheme="HTTP", httpHeaders=()),
        initialDelaySeconds=0,
        periodSeconds=10,
        timeoutSeconds=1,
        successThreshold=1,
        failureThreshold=3,
    )


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param({}, "none", id="none"),
        pytest.param({"httpGet": None}, "none", id="null is none"),
        pytest.param({"httpGet": {"port": 1}, "grpc": {"port": 1}}, "httpGet and grpc", id="two"),
        pytest.param(
            {"httpGet": {"port": 1}, "tcpSocket": {"port": 1}, "grpc": {"port": 1}},
            "httpGet and tcpSocket and grpc",
            id="three",
        ),
    ],
)
def test_probe_needs_exactly_one_handler(given: dict[str, Any], found: str) -> None:
    text = f"Value error, write exactly one of httpGet, tcpSocket, grpc (found {found})"
    assert problems(Probe, given) == [("", text)]


@pytest.mark.parametrize("command", [{}, {"command": ["true"]}, "true", 0], ids=["empty", "command", "text", "zero"])
def test_exec_probe_is_refused_with_the_reason(command: object) -> None:
    assert problems(Probe, {"exec": command, "httpGet": {"port": 80}}) == [("", NO_EXEC)]


@pytest.mark.parametrize("port", [0, 65_536, -1, "80", "http", 80.0, True, None], ids=repr)
def test_ports_are_numbers_from_1_to_65535(port: object) -> None:
    assert [path for path, _ in problems(TCPSocketAction, {"port": port})] == ["port"]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("initialDelaySeconds", 0, 86_400),
        ("periodSeconds", 1, 86_400),
        ("notReadyPeriodSeconds", 1, 86_400),
        ("timeoutSeconds", 1, 86_400),
        ("successThreshold", 1, 1_000),
        ("failureThreshold", 1, 1_000),
    ],
)
def test_times_and_thresholds_are_bounded(name: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(Probe.model_validate({"tcpSocket": {"port": 1}, name: value}), name) == value
    refused: tuple[object, ...] = (low - 1, high + 1, str(low), low + 0.5)
    for wrong in refused:
        assert [path for path, _ in problems(Probe, {"tcpSocket": {"port": 1}, name: wrong})] == [name]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"name": "", "value": "a"}, id="empty name"),
        pytest.param({"name": "X Y", "value": "a"}, id="space in the name"),
        pytest.param({"name": "X:", "value": "a"}, id="colon in the name"),
        pytest.param({"name": "X\n", "value": "a"}, id="line break after the name"),
        pytest.param({"name": "X", "value": "a\r\nEvil: b"}, id="a second header"),
        pytest.param({"name": "X", "value": "a\n"}, id="line break after the value"),
        pytest.param({"name": "X", "value": "a\0"}, id="NUL"),
    ],
)
def test_invalid_headers_are_refused(header: dict[str, str]) -> None:
    assert len(problems(HTTPHeader, header)) == 1


@pytest.mark.parametrize("host", ["https://a.example", "a.example/x", "a b", "a\r\nEvil: b", "ä.example"])
def test_invalid_hosts_are_refused(host: str) -> None:
    assert [path for path, _ in problems(HTTPGetAction, {"port": 80, "host": host})] == ["host"]


def test_unknown_fields_and_nulls_are_ignored() -> None:
    given = {"port": 80, "path": None, "httpHeaders": None, "nonsense": 1}
    assert HTTPGetAction.model_validate(given) == HTTPGetAction(port=80)
    assert ObjectMeta.model_validate({"name": "a", "annotations": {"b": None}}).annotations == {"b": ""}


def test_equal_probes_compare_equal() -> None:
    first, second = (Probe.model_validate({"httpGet": {"port": 80, "httpHeaders": [{"name": "A"}]}}) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    with pytest.raises(ValidationError):
        first.periodSeconds = 5  # type: ignore[misc] # frozen: that is what is tested


def test_metadata_needs_only_a_name() -> None:
    assert ObjectMeta.model_validate({"name": "a", "managedFields": []}) == ObjectMeta(name="a", namespace="default")
    assert [path for path, _ in problems(ObjectMeta, {"namespace": "b"})] == ["name"]


@pytest.mark.parametrize("status", [200, 599, "200", "200-299", "404-404"])
def test_expected_statuses(status: object) -> None:
    assert HTTPGetAction.model_validate({"port": 80, "expectedStatuses": [status]}).expectedStatuses == (status,)


@pytest.mark.parametrize(
    "status", [199, 600, 200.0, True, "2xx", "200-", "299-200", "100-299", "200-600", " 200", "200\n"]
)
def test_invalid_expected_statuses_are_refused(status: object) -> None:
    found = problems(HTTPGetAction, {"port": 80, "expectedStatuses": [status]})
    assert {path.partition(".0")[0] for path, _ in found} == {"expectedStatuses"}
