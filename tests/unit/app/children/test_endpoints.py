"""The Endpoints: one subset, ready and not-ready addresses apart, in the order of the API server."""

import pytest

from app.children.endpoints import desired
from app.children.metadata import own_labels
from external_service.readiness import PublishedAddress
from external_service.v1alpha1 import ExternalService

PARENT = ExternalService.model_validate(
    {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": "api", "namespace": "shop", "annotations": {"of": "the parent"}},
        "spec": {"port": 8080},
    }
)
PORTS = [{"port": 8080, "protocol": "TCP"}]


def up(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, True, True, False)


def down(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, False, False, False)


def test_the_whole_object() -> None:
    assert desired(PARENT, [up("10.0.0.2"), down("10.0.0.1")]) == {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "api", "namespace": "shop", "labels": own_labels("api")},
        "subsets": [
            {
                "addresses": [{"ip": "10.0.0.2"}],
                "notReadyAddresses": [{"ip": "10.0.0.1"}],
                "ports": PORTS,
            }
        ],
    }


def test_without_addresses_there_are_no_subsets() -> None:
    assert "subsets" not in desired(PARENT, [])


@pytest.mark.parametrize(
    ("published", "subset"),
    [
        pytest.param([up("10.0.0.1")], {"addresses": [{"ip": "10.0.0.1"}], "ports": PORTS}, id="all ready"),
        pytest.param([down("10.0.0.1")], {"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": PORTS}, id="none ready"),
        pytest.param(
            [PublishedAddress("10.0.0.1", False, True, True)],
            {"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": PORTS},
            id="drained, though healthy",
        ),
        pytest.param(
            [up("10.0.0.9"), up("10.0.0.10"), up("2001:db8::1"), up("10.0.0.100")],
            {
                "addresses": [{"ip": "10.0.0.10"}, {"ip": "10.0.0.100"}, {"ip": "10.0.0.9"}, {"ip": "2001:db8::1"}],
                "ports": PORTS,
            },
            id="by the bytes of the text, not numerically",
        ),
    ],
)
def test_an_empty_list_is_absent_and_the_order_is_the_servers(
    published: list[PublishedAddress], subset: dict[str, object]
) -> None:
    assert desired(PARENT, published)["subsets"] == [subset]
