"""The Endpoints: one subset in the API server's order; only ready addresses where the cluster mirrors them."""

import pytest

from app.children.endpoints import SKIP_MIRROR, desired
from app.children.metadata import own_labels
from external_service.readiness import PublishedAddress
from external_service.v1alpha1 import ExternalServiceSpec
from tests.parents import parent

PARENT = parent(metadata={"annotations": {"of": "the parent"}}, port=8080)
PORTS = [{"port": 8080, "protocol": "TCP"}]


def up(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, True, True, False)


def down(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, False, False, False)


def test_endpoints_not_mirrored_list_every_address() -> None:
    assert desired(PARENT, [up("10.0.0.2"), down("10.0.0.1")], mirrored=False) == {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "api", "namespace": "shop", "labels": {SKIP_MIRROR: "true", **own_labels("api")}},
        "subsets": [
            {
                "addresses": [{"ip": "10.0.0.2"}],
                "notReadyAddresses": [{"ip": "10.0.0.1"}],
                "ports": PORTS,
            }
        ],
    }


def test_endpoints_mirrored_list_only_ready_addresses() -> None:
    drained = PublishedAddress("10.0.0.3", False, True, True)
    assert desired(PARENT, [up("10.0.0.2"), down("10.0.0.1"), drained], mirrored=True) == {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "api", "namespace": "shop", "labels": own_labels("api")},
        "subsets": [{"addresses": [{"ip": "10.0.0.2"}], "ports": PORTS}],
    }


@pytest.mark.parametrize(
    ("published", "mirrored"),
    [
        pytest.param([], True, id="no address"),
        pytest.param([], False, id="no address, not mirrored"),
        pytest.param([down("10.0.0.1")], True, id="none ready"),
    ],
)
def test_endpoints_without_an_address_have_no_subsets(published: list[PublishedAddress], mirrored: bool) -> None:
    assert "subsets" not in desired(PARENT, published, mirrored=mirrored)


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
def test_empty_lists_are_absent_and_addresses_sorted(
    published: list[PublishedAddress], subset: dict[str, object]
) -> None:
    assert desired(PARENT, published, mirrored=False)["subsets"] == [subset]


HTTP, DNS = {"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}
OTHER = {"name": "other", "port": 53, "protocol": "UDP"}


@pytest.mark.parametrize(
    ("stored", "ports"),
    [
        pytest.param(None, [HTTP, DNS], id="not-stored-yet"),
        pytest.param([HTTP, DNS], [HTTP, DNS], id="same-order"),
        pytest.param([DNS, HTTP], [DNS, HTTP], id="order-by-hash-of-older-api-servers"),
        pytest.param([DNS], [HTTP, DNS], id="fewer"),
        pytest.param([HTTP, OTHER], [HTTP, DNS], id="another-name"),
    ],
)
def test_named_ports_have_the_stored_order(stored: list[object] | None, ports: list[object]) -> None:
    given = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    spec = ExternalServiceSpec.model_validate({"ports": given})
    parent = PARENT.model_copy(update={"spec": spec})
    observed = None if stored is None else {"subsets": [{"ports": stored}]}
    made = desired(parent, [up("10.0.0.1")], mirrored=False, observed=observed)
    assert made["subsets"] == [{"addresses": [{"ip": "10.0.0.1"}], "ports": ports}]
