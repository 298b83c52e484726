"""Where the probes of ExternalServices go."""

from typing import Any

from playground.addresses import records
from playground.backends import Protocol, Spot
from playground.manifests import FOLDER, complex_example, composite_controller, spots
from runtime.commands import manifests
from tests.cases import cases


def test_every_sample_can_run_in_the_playground() -> None:
    found = manifests([str(FOLDER / "samples")])
    assert len(found) >= 8
    assert all(spots(one.raw) for one in found if one.parent.spec.readinessProbe)


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
