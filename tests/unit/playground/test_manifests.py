"""ExternalServices from files, and where their probes go."""

from pathlib import Path
from typing import Any

import pytest

from playground.addresses import records
from playground.backends import Protocol, Spot
from playground.manifests import FOLDER, BadInput, complex_example, composite_controller, read_files, spots
from tests.cases import cases


def test_every_sample_can_run_in_the_playground() -> None:
    samples = sorted((FOLDER / "samples").glob("*.yaml"))
    assert len(samples) >= 8
    assert len(read_files(samples)) >= len(samples)


def test_default_example_is_the_predecessors() -> None:
    assert [spot.ip for spot in spots(complex_example())] == ["10.0.100.10", "10.0.100.11"]
    assert composite_controller()["kind"] == "CompositeController"


@cases(
    "probe found",
    ("no probe", None, []),
    ("http", {"httpGet": {"port": 1}}, [Spot("10.0.0.1", 1, Protocol.HTTP)]),
    ("https", {"httpGet": {"port": 1, "scheme": "HTTPS"}}, [Spot("10.0.0.1", 1, Protocol.HTTPS)]),
    ("tcp", {"tcpSocket": {"port": 1}}, [Spot("10.0.0.1", 1, Protocol.TCP)]),
    ("grpc", {"grpc": {"port": 1}}, [Spot("10.0.0.1", 1, Protocol.GRPC)]),
)
def test_places_of_a_manifest(probe: dict[str, Any] | None, found: list[Spot]) -> None:
    spec: dict[str, Any] = {"port": 80, "ips": ["10.0.0.1", "10.0.0.1"]} | ({"readinessProbe": probe} if probe else {})
    assert spots({"spec": spec}) == found


def test_places_of_hostnames_come_from_dns() -> None:
    spec = {"port": 80, "ips": ["10.0.0.1"], "hostnames": ["db.io"], "readinessProbe": {"tcpSocket": {"port": 1}}}
    found = [spot.ip for spot in spots({"spec": spec})]
    assert found == ["10.0.0.1", *records([{"spec": spec}])["db.io"].addresses]
    assert len(set(found)) == 4


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Foo\napiVersion: eso.crowdfox.com/v1alpha1\n")
    (tmp_path / "b.yaml").write_text("a: [1")
    (tmp_path / "c.yaml").write_text("---\n")
    with pytest.raises(BadInput) as caught:
        read_files([tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml", "d.yaml")])
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0].rpartition("/")[2] for line in lines] == ["a.yaml", "b.yaml", "c.yaml", "d.yaml"]
    assert 'kind: write ExternalService (got "Foo")' in lines[0]
    assert lines[3].endswith("No such file or directory")
