"""HTTPRoutes with more than one may hold; the whole object is in tests/contract/golden/gateway.yaml."""

from typing import Any

from app.children.http_route import desired
from external_service.v1alpha1 import ExternalService
from tests.cases import cases
from tests.parents import parent as service_parent

GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"}


def parent(*hosts: dict[str, str], parents: Any = ({"name": "public"},), **options: Any) -> ExternalService:
    annotations = {"of": "the parent"}
    route = {"parentRefs": parents, **options}
    return service_parent(metadata={"annotations": annotations}, port=8080, hosts=hosts, httpRoute=route)


def rules(*paths: tuple[str, str]) -> list[dict[str, Any]]:
    backend = {"group": "", "kind": "Service", "name": "api", "port": 8080, "weight": 1}
    return [{"backendRefs": [backend], "matches": [{"path": {"type": kind, "value": value}} for kind, value in paths]}]


ANY = rules(("PathPrefix", "/"))


def told(given: ExternalService) -> list[tuple[str, list[str], Any]]:
    """Name, hostnames and rules of each route."""
    return [(one["metadata"]["name"], one["spec"]["hostnames"], one["spec"]["rules"]) for one in desired(given)]


def test_http_route_needs_hosts_and_parent_refs() -> None:
    assert desired(parent()) == []
    silent = {**parent({"host": "a.io"}).model_dump(exclude_unset=True)}
    silent["spec"].pop("httpRoute")
    assert desired(ExternalService.model_validate(silent)) == []


@cases(
    "hosts routes",
    (
        "hosts with the same paths share a route",
        [
            {"host": "a.io", "path": "/x", "pathType": "Exact"},
            {"host": "b.io"},
            {"host": "a.io", "path": "/y", "pathType": "Prefix"},
            {"host": "c.io"},
            {"host": "a.io", "path": "/y"},
        ],
        [("api", ["a.io"], rules(("Exact", "/x"), ("PathPrefix", "/y"))), ("api.1", ["b.io", "c.io"], ANY)],
    ),
    (
        "16 hostnames a route",
        [{"host": f"h{number}.io"} for number in range(17)],
        [("api", [f"h{number}.io" for number in range(16)], ANY), ("api.1", ["h16.io"], ANY)],
    ),
    (
        "64 matches a rule",
        [{"host": "a.io", "path": f"/{number}"} for number in range(65)],
        [
            ("api", ["a.io"], rules(*(("PathPrefix", f"/{number}") for number in range(64)))),
            ("api.1", ["a.io"], rules(("PathPrefix", "/64"))),
        ],
    ),
)
def test_hosts_and_paths_have_the_order_of_the_spec(hosts: list[dict[str, str]], routes: list[Any]) -> None:
    assert told(parent(*hosts)) == routes


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
