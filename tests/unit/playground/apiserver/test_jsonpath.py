"""The paths of printer columns."""

from typing import Any

import pytest

from playground.apiserver.jsonpath import find

OBJ = {
    "spec": {"port": 80, "hosts": [{"host": "a"}, {"host": "b"}], "ips": ["1", "2"], "probe": {"tcp": {"port": 1}}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Accepted", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        pytest.param(".spec.port", [80], id="name"),
        pytest.param(".spec.hosts[0].host", ["a"], id="index"),
        pytest.param(".spec.hosts[-1].host", ["b"], id="from the end"),
        pytest.param(".spec.hosts[*].host", ["a", "b"], id="all"),
        pytest.param(".spec.ips", [["1", "2"]], id="a list is one value"),
        pytest.param(".spec.probe['http','tcp']", [{"port": 1}], id="union"),
        pytest.param('.status.conditions[?(@.type=="Ready")].status', ["True"], id="filter"),
        pytest.param(".spec.nothing.below", [], id="missing"),
        pytest.param(".spec.hosts[7]", [], id="beyond the end"),
    ],
)
def test_jsonpath_finds_values(path: str, values: list[Any]) -> None:
    assert find(OBJ, path) == values


def test_invalid_jsonpath_is_an_error() -> None:
    with pytest.raises(ValueError, match="unrecognized column definition"):
        find(OBJ, ".spec..port")
