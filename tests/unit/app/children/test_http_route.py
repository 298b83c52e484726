"""HTTPRoutes with more than one may hold; the whole object is in tests/contract/golden/gateway.yaml."""

from collections.abc import Iterable
from typing import Any

from app.children.http_route import desired
from external_service.v1alpha1 import ExternalService
from tests.cases import cases
from tests.parents import hosts
from tests.parents import parent as service_parent

GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"}


def parent(*entries: dict[str, str], parents: Any = ({"name": "public"},), **options: Any) -> ExternalService:
    annotations = {"of": "the parent"}
    route = {"parentRefs": parents, **options}
    return service_parent(metadata={"annotations": annotations}, port=8080, hosts=entries, httpRoute=route)


def rules(*paths: tuple[str, str]) -> list[dict[str, Any]]:
    backend = {"group": "", "kind": "Service", "name": "api", "port": 8080, "weight": 1}
    return [{"backendRefs": [backend], "matches": [{"path": {"type": kind, "value": value}} for kind, value in paths]}]


def told(given: ExternalService) -> list[tuple[str, list[str], Any]]:
    """Name, hostnames and rules of each route."""
    return [(one["metadata"]["name"], one["spec"]["hostnames"], one["spec"]["rules"]) for one in desired(given)]


def test_http_route_needs_hosts_and_parent_refs() -> None:
    assert desired(parent()) == []
    silent = {**parent({"host": "a.io"}).model_dump(exclude_unset=True)}
    silent["spec"].pop("httpRoute")
    assert desired(ExternalService.model_validate(silent)) == []


def route(name: str, hostnames: Iterable[str], *paths: str) -> tuple[str, list[str], Any]:
    """As `told` returns it; a path is `Exact /x`."""
    kinds = [(kind, value) for kind, value in (path.split() for path in paths or ("PathPrefix /",))]
    return name, [*hostnames], rules(*kinds)


SEVENTEEN, PATHS = [f"h{number}.io" for number in range(17)], [f"PathPrefix /{number}" for number in range(65)]


@cases(
    "given routes",
    (
        "hosts with the same paths share a route",
        hosts("a.io /x Exact", "b.io", "a.io /y Prefix", "c.io", "a.io /y"),
        [route("api", ["a.io"], "Exact /x", "PathPrefix /y"), route("api.1", ["b.io", "c.io"])],
    ),
    ("16 hostnames a route", hosts(*SEVENTEEN), [route("api", SEVENTEEN[:16]), route("api.1", SEVENTEEN[16:])]),
    (
        "64 matches a rule",
        hosts(*(f"a.io /{number}" for number in range(65))),
        [route("api", ["a.io"], *PATHS[:64]), route("api.1", ["a.io"], PATHS[64])],
    ),
)
def test_hosts_and_paths_have_the_order_of_the_spec(given: list[dict[str, str]], routes: list[Any]) -> None:
    assert told(parent(*given)) == routes


def test_parent_refs_of_one_name_get_separate_routes() -> None:
    """Metacontroller would merge them into one."""
    parents = [
        {"name": "public", "sectionName": "http"},
        {"name": "private"},
        {"name": "public", "sectionName": "https"},
        {"name": "private"},
        {"name": "public", "namespace": "infra"},
    ]
    private = {**GATEWAY, "name": "private"}
    routes = desired(parent({"host": "a.io"}, parents=parents))
    assert [(one["metadata"]["name"], one["spec"]["parentRefs"]) for one in routes] == [
        ("api", [{**GATEWAY, "sectionName": "http"}, private]),
        ("api.1", [{**GATEWAY, "sectionName": "https"}]),
        ("api.2", [{**GATEWAY, "namespace": "infra"}]),
    ]
