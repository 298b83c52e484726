"""The Ingress is complete, follows the spec, merges the paths of a host in order, and is deleted with the last host."""

from typing import Any

import pytest

from playground.client import INGRESSES
from tests.e2e.manifests import external_service, sample
from tests.e2e.world import World
from tests.until import until

IPS = ("10.20.80.1",)
COPIED = {"traefik.ingress.kubernetes.io/preserve-host": "true", "example.com/both": "of the object"}
OWN = {"example.com/own": "1", "example.com/both": "of the spec"}
TOOLS = {"argocd.argoproj.io/tracking-id": "x", "kubectl.kubernetes.io/restartedAt": "y"}


def paths(rule: dict[str, Any]) -> list[tuple[str | None, str]]:
    return [(one.get("path"), one["pathType"]) for one in rule["http"]["paths"]]


async def until_ingress(world: World, holds: Any, words: str, name: str = "web", namespace: str = "") -> dict[str, Any]:
    """The Ingress as soon as the condition holds."""
    found: dict[str, Any] = {}

    async def so() -> bool:
        nonlocal found
        found = await world.get(name, kind=INGRESSES, namespace=namespace) or {}
        return bool(found) and bool(holds(found))

    await until(so, words, seconds=30, every=0.05)
    return found


def parent(*hosts: tuple[str, str, str], **ingress: Any) -> dict[str, Any]:
    entries = [{"host": host, "path": path, "pathType": kind} for host, path, kind in hosts]
    made = external_service("web", IPS, hosts=entries, ingress=ingress)
    made["metadata"]["annotations"] = COPIED | TOOLS
    return made


HOSTS = (
    ("shop.example.com", "/cart", "Exact"),
    ("api.example.com", "", "ImplementationSpecific"),
    ("shop.example.com", "/", "Prefix"),
    ("shop.example.com", "/cart", "Exact"),
)


@pytest.mark.stand_in
async def test_ingress_is_stored_as_rendered(world: World) -> None:
    tls = [{"hosts": ["api.example.com"], "secretName": "api"}, {"secretName": "rest"}]
    await world.apply(parent(*HOSTS, className="nginx", tls=tls, annotations=OWN, labels={"team": "shop"}))
    found = await until_ingress(world, lambda _: True, "an Ingress")
    spec, metadata = found["spec"], found["metadata"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [
        {"hosts": ["api.example.com"], "secretName": "api"},
        {"hosts": ["shop.example.com"], "secretName": "rest"},
    ]
    assert {rule["host"]: paths(rule) for rule in spec["rules"]} == {
        "shop.example.com": [("/cart", "Exact"), ("/", "Prefix")],
        "api.example.com": [(None, "ImplementationSpecific")],
    }
    assert [rule["host"] for rule in spec["rules"]] == ["shop.example.com", "api.example.com"]
    backends = [path["backend"] for rule in spec["rules"] for path in rule["http"]["paths"]]
    assert all(backend == {"service": {"name": "web", "port": {"number": 80}}} for backend in backends)
    given = {key: value for key, value in metadata["annotations"].items() if "metacontroller" not in key}
    assert given == COPIED | OWN
    assert (metadata["labels"]["team"], metadata["labels"]["serviceType"]) == ("shop", "external")


async def test_ingress_is_deleted_with_the_last_host(world: World) -> None:
    await world.apply(parent(*HOSTS, className="nginx", annotations=OWN))
    uid = (await until_ingress(world, lambda _: True, "an Ingress"))["metadata"]["uid"]

    change = {"hosts": [{"host": "new.example.com"}], "ingress": {"className": "traefik", "annotations": None}}
    await world.patch("web", {"metadata": {"annotations": {"example.com/both": None}}, "spec": change})
    found = await until_ingress(world, lambda one: one["spec"]["ingressClassName"] == "traefik", "the other class")
    assert [rule["host"] for rule in found["spec"]["rules"]] == ["new.example.com"]
    assert found["metadata"]["uid"] == uid, "changed in place"
    assert not {"example.com/own", "example.com/both"} & set(found["metadata"]["annotations"])

    async def gone() -> bool:
        return await world.get("web", kind=INGRESSES) is None

    await world.patch("web", {"spec": {"ingress": {"enabled": False}}})
    await until(gone, "no Ingress where it is switched off", seconds=30)
    await world.patch("web", {"spec": {"ingress": {"enabled": True}}})
    await until_ingress(world, lambda _: True, "it back")
    await world.patch("web", {"spec": {"hosts": []}})
    await until(gone, "no Ingress without hosts", seconds=30)
    assert (await world.published("web")).keys() == set(IPS), "and nothing else went with it"


async def test_added_host_keeps_the_order_of_others(world: World) -> None:
    await world.apply(parent(*HOSTS))
    before = (await until_ingress(world, lambda _: True, "an Ingress"))["spec"]["rules"]
    hosts = [{"host": host, "path": path, "pathType": kind} for host, path, kind in HOSTS]
    await world.patch(
        "web", {"spec": {"hosts": [*hosts, {"host": "z.example.com"}, {"host": "api.example.com", "path": "/v2"}]}}
    )
    after = (await until_ingress(world, lambda one: len(one["spec"]["rules"]) == 3, "three rules"))["spec"]["rules"]
    assert after[0] == before[0]
    assert [rule["host"] for rule in after] == ["shop.example.com", "api.example.com", "z.example.com"]
    assert paths(after[1]) == [(None, "ImplementationSpecific"), ("/v2", "ImplementationSpecific")]


async def test_ingress_sample_works(world: World) -> None:
    await world.apply(sample("ingress"))
    found = await until_ingress(world, lambda _: True, "its Ingress", "ingress", "external-service")
    annotations = found["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "8m"
    assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "120"
    assert found["spec"]["tls"] == [{"hosts": ["shop.example.com", "api.example.com"], "secretName": "shop-tls"}]
