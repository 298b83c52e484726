"""Several named ports reach the Service, its Endpoints and slices, the Ingress and HTTPRoutes, and can be changed."""

from typing import Any

from playground.client import ENDPOINT_SLICES, ENDPOINTS, INGRESSES, SERVICES
from tests.e2e.manifests import external_service
from tests.e2e.world import World
from tests.until import until_equal

Object = dict[str, Any]

IPS = ("10.0.100.10",)
KEYS = ("port", "targetPort", "protocol")
HTTP = {"name": "http", "port": 80, "targetPort": 8080}
ADMIN = {"name": "admin", "port": 9000, "appProtocol": "kubernetes.io/h2c"}
DNS = {"name": "dns", "port": 53, "protocol": "UDP"}
HOSTS = [{"host": "a.example.com"}, {"host": "b.example.com", "port": "admin"}, {"host": "c.example.com", "port": 80}]


def parent(*ports: Object, **spec: Any) -> Object:
    made = external_service("web", IPS, hosts=HOSTS[:1], **spec)
    del made["spec"]["port"]
    made["spec"]["ports"] = list(ports)
    return made


async def ports_of_slices(world: World) -> list[list[list[Any]]]:
    query = {"labelSelector": "kubernetes.io/service-name=web"}
    found = await world.client.get(ENDPOINT_SLICES.path(world.namespace), **query)
    return [sorted(_shown(one) for one in of["ports"]) for of in found["items"]]


async def stored(world: World) -> Object:
    """The ports of the children, and the port of each host."""
    service, endpoints = await world.get("web", kind=SERVICES), await world.get("web", kind=ENDPOINTS)
    ingress = await world.get("web", kind=INGRESSES)
    assert service is not None
    rules = (ingress or {"spec": {"rules": []}})["spec"]["rules"]
    return {
        "service": [[one.get("name"), *(one[key] for key in KEYS)] for one in service["spec"]["ports"]],
        "endpoints": sorted(_shown(one) for one in (endpoints or {})["subsets"][0]["ports"]),
        "slices": await ports_of_slices(world),
        "hosts": {one["host"]: one["http"]["paths"][0]["backend"]["service"]["port"]["number"] for one in rules},
    }


def _shown(port: Object) -> list[Any]:
    return [port.get("name") or "", port["port"], port["protocol"], port.get("appProtocol") or ""]


async def test_ports_of_all_children_follow_the_spec(world: World) -> None:
    await world.apply(parent(HTTP, ADMIN, DNS))
    await world.patch("web", {"spec": {"hosts": HOSTS}})
    await world.until_published("web", dict.fromkeys(IPS, True))
    targets = [["admin", 9000, "TCP", "kubernetes.io/h2c"], ["dns", 53, "UDP", ""], ["http", 8080, "TCP", ""]]
    await until_equal(
        lambda: stored(world),
        {
            "service": [["http", 80, 8080, "TCP"], ["admin", 9000, 9000, "TCP"], ["dns", 53, 53, "UDP"]],
            "endpoints": targets,
            "slices": [targets],
            "hosts": {"a.example.com": 80, "b.example.com": 9000, "c.example.com": 80},
        },
    )
    await world.until_calm()

    renamed = {**HTTP, "name": "web", "targetPort": 8081}
    await world.patch("web", {"spec": {"ports": [renamed], "hosts": HOSTS[:1]}})
    await until_equal(
        lambda: stored(world),
        {
            "service": [["web", 80, 8081, "TCP"]],
            "endpoints": [["web", 8081, "TCP", ""]],
            "slices": [[["web", 8081, "TCP", ""]]],
            "hosts": {"a.example.com": 80},
        },
    )

    await world.patch("web", {"spec": {"ports": None, "port": 80}})
    await until_equal(
        lambda: stored(world),
        {
            "service": [[None, 80, 80, "TCP"]],
            "endpoints": [["", 80, "TCP", ""]],
            "slices": [[["", 80, "TCP", ""]]],
            "hosts": {"a.example.com": 80},
        },
    )
    await world.until_calm()
