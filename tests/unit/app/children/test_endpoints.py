"""The Endpoints: one subset in the API server's order; only ready addresses where the cluster mirrors them."""

from app.children.endpoints import desired
from app.children.metadata import own_labels
from external_service.readiness import PublishedAddress
from tests.cases import cases
from tests.parents import parent

PARENT = parent(metadata={"annotations": {"of": "the parent"}}, port=8080)
PORTS = [{"port": 8080, "protocol": "TCP"}]
DRAINED = PublishedAddress("10.0.0.3", False, True, True)


def up(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, True, True, False)


def down(ip: str) -> PublishedAddress:
    return PublishedAddress(ip, False, False, False)


@cases(
    "published mirrored subsets",
    ("no address, mirrored", [], True, None),
    ("no address, not mirrored", [], False, None),
    ("none ready, mirrored", [down("10.0.0.1")], True, None),
    ("all ready", [up("10.0.0.1")], False, {"addresses": [{"ip": "10.0.0.1"}]}),
    ("none ready", [down("10.0.0.1")], False, {"notReadyAddresses": [{"ip": "10.0.0.1"}]}),
    ("drained, though healthy", [DRAINED], False, {"notReadyAddresses": [{"ip": "10.0.0.3"}]}),
    (
        "by the bytes of the text, not numerically",
        [up("10.0.0.9"), up("10.0.0.10"), up("2001:db8::1"), up("10.0.0.100")],
        False,
        {"addresses": [{"ip": "10.0.0.10"}, {"ip": "10.0.0.100"}, {"ip": "10.0.0.9"}, {"ip": "2001:db8::1"}]},
    ),
)
def test_empty_lists_are_absent_and_addresses_sorted(
    published: list[PublishedAddress], mirrored: bool, subsets: dict[str, object] | None
) -> None:
    expected = None if subsets is None else [{**subsets, "ports": PORTS}]
    assert desired(PARENT, published, mirrored=mirrored).get("subsets") == expected


def test_endpoints_mirrored_list_only_ready_addresses() -> None:
    assert desired(PARENT, [up("10.0.0.2"), down("10.0.0.1"), DRAINED], mirrored=True) == {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "api", "namespace": "shop", "labels": own_labels("api")},
        "subsets": [{"addresses": [{"ip": "10.0.0.2"}], "ports": PORTS}],
    }


HTTP, DNS = {"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}
OTHER = {"name": "other", "port": 53, "protocol": "UDP"}


@cases(
    "stored ports",
    ("not stored yet", None, [HTTP, DNS]),
    ("same order", [HTTP, DNS], [HTTP, DNS]),
    ("order by hash of older API servers", [DNS, HTTP], [DNS, HTTP]),
    ("fewer", [DNS], [HTTP, DNS]),
    ("one more", [DNS, HTTP, OTHER], [HTTP, DNS]),
    ("another name", [HTTP, OTHER], [HTTP, DNS]),
)
def test_named_ports_have_the_stored_order(stored: list[object] | None, ports: list[object]) -> None:
    given = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    observed = None if stored is None else {"subsets": [{"ports": stored}]}
    made = desired(parent(port=None, ports=given), [up("10.0.0.1")], mirrored=False, observed=observed)
    assert made["subsets"] == [{"addresses": [{"ip": "10.0.0.1"}], "ports": ports}]
