"""The Ingress is complete, follows the spec, and is deleted with the last host; samples: test_01_children."""

from typing import Any

from playground.client import INGRESSES
from tests.e2e.manifests import external_service
from tests.e2e.world import World
from tests.until import until, until_equal

IPS = ("10.20.80.1",)
COPIED = {"traefik.ingress.kubernetes.io/preserve-host": "true", "example.com/both": "of the object"}
OWN = {"example.com/own": "1", "example.com/both": "of the spec"}
HOSTS = [
    {"host": "shop.example.com", "path": "/cart", "pathType": "Exact"},
    {"host": "api.example.com"},
    {"host": "shop.example.com", "path": "/", "pathType": "Prefix"},
]


async def until_ingress(world: World, class_name: str) -> dict[str, Any]:
    """The Ingress as soon as it has this class."""
    found: dict[str, Any] = {}

    async def has_class() -> bool:
        nonlocal found
        found = await world.get("web", kind=INGRESSES) or {}
        return bool(found) and found["spec"]["ingressClassName"] == class_name

    await until(has_class, f"an Ingress of class {class_name}", seconds=30, every=0.05)
    return found


async def test_ingress_follows_the_spec(world: World) -> None:
    tls = [{"hosts": ["api.example.com"], "secretName": "api"}, {"secretName": "rest"}]
    ingress = {"className": "nginx", "tls": tls, "annotations": OWN, "labels": {"team": "shop"}}
    parent = external_service("web", IPS, hosts=HOSTS, ingress=ingress)
    parent["metadata"]["annotations"] = COPIED
    await world.apply(parent)
    found = await until_ingress(world, "nginx")
    spec, uid = found["spec"], found["metadata"]["uid"]
    assert spec["tls"] == [
        {"hosts": ["api.example.com"], "secretName": "api"},
        {"hosts": ["shop.example.com"], "secretName": "rest"},
    ]
    paths = [
        (rule["host"], path.get("path"), path["pathType"]) for rule in spec["rules"] for path in rule["http"]["paths"]
    ]
    assert paths == [
        ("shop.example.com", "/cart", "Exact"),
        ("shop.example.com", "/", "Prefix"),
        ("api.example.com", None, "ImplementationSpecific"),
    ]
    given = {key: value for key, value in found["metadata"]["annotations"].items() if "metacontroller" not in key}
    assert (given, found["metadata"]["labels"]["team"]) == (COPIED | OWN, "shop")

    change = {"hosts": [{"host": "new.example.com"}], "ingress": {"className": "traefik", "annotations": None}}
    await world.patch("web", {"metadata": {"annotations": {"example.com/both": None}}, "spec": change})
    found = await until_ingress(world, "traefik")
    assert [rule["host"] for rule in found["spec"]["rules"]] == ["new.example.com"]
    assert found["metadata"]["uid"] == uid, "changed in place"
    assert not {"example.com/own", "example.com/both"} & set(found["metadata"]["annotations"])

    await world.patch("web", {"spec": {"ingress": {"enabled": False}}})
    await until_equal(lambda: world.has("web", INGRESSES), wanted=False)
    await world.patch("web", {"spec": {"ingress": {"enabled": True}}})
    await until_ingress(world, "traefik")
    await world.patch("web", {"spec": {"hosts": []}})
    await until_equal(lambda: world.has("web", INGRESSES), wanted=False)
    assert (await world.published("web")).keys() == set(IPS), "and nothing else went with it"
