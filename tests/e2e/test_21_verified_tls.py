"""A certificate is verified against a CA that the prober may read by name; a missing CA changes no readiness."""

import asyncio
import base64
import ssl
from typing import Any

import pytest
import yaml
from cryptography import x509

from playground.certificate import NAME
from playground.client import Kind
from probe_sidecar.probes.message import certificate_refused
from probe_sidecar.status.conditions import ALLOWED
from tests.e2e.accounts import SHIPPED
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import SECRETS, World, ready
from tests.until import until

IPS = ("10.0.103.10", "10.0.103.11")
PORT = 8443
CONFIG_MAPS = Kind("v1", "configmaps", "ConfigMap", namespaced=True)
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"


async def certificates(world: World) -> str:
    """The certificates of the backends, each self-signed."""
    hosts = [world.hosts.dial(ip) for ip in IPS]
    return "".join([await asyncio.to_thread(ssl.get_server_certificate, (host, PORT)) for host in hosts])


async def allow_reading(world: World, kind: str = "configmaps") -> None:
    """The shipped Role and its binding, for this namespace and kind."""
    for manifest in yaml.safe_load_all((SHIPPED / "optional" / "ca-reader.yaml").read_text()):
        manifest["metadata"]["namespace"] = world.namespace
        for rule in manifest.get("rules", ()):
            rule["resources"] = [kind]
        await world.client.create(f"{RBAC}/{world.namespace}/{manifest['kind'].lower()}s", manifest)


async def accepted(world: World, name: str = "web") -> tuple[str, str]:
    """Reason and message of the condition Accepted."""
    found = {one["type"]: one for one in (await world.status(name)).get("conditions", ())}
    return (found["Accepted"]["reason"], found["Accepted"]["message"]) if "Accepted" in found else ("", "")


async def test_certificate_is_verified_with_a_ca_of_a_config_map(world: World) -> None:
    manifest = external_service("web", IPS)
    tls: dict[str, Any] = {"caConfigMap": {"name": "corp-ca"}, "serverName": NAME}
    manifest["spec"]["readinessProbe"]["httpGet"] |= {"port": PORT, "scheme": "HTTPS", "tls": tls}
    await world.apply(manifest)

    async def unavailable() -> bool:
        return (await accepted(world))[0] == "CAUnavailable"

    await until(unavailable, "a missing CA reported", seconds=60)
    assert (await accepted(world))[1].startswith(f"ConfigMap {world.namespace}/corp-ca: ")
    await world.until_published("web", ready((), but=IPS))
    assert {one["reason"] for one in (await world.status("web"))["addresses"]} == {"Pending"}

    if world.api.kind == "real":
        await allow_reading(world)
    ca = {"metadata": {"name": "corp-ca"}, "data": {"ca.crt": await certificates(world)}}
    await world.client.create(CONFIG_MAPS.path(world.namespace), ca)
    await world.until_published("web", ready(IPS))
    assert await accepted(world) == ("Accepted", ALLOWED)

    other = {"spec": {"readinessProbe": {"httpGet": {"tls": {"serverName": "shop.example.com"}}}}}
    await world.patch("web", other)
    await world.until_published("web", ready((), but=IPS))
    assert {one["message"] for one in (await world.status("web"))["addresses"]} == {
        certificate_refused("hostname mismatch, certificate is not valid for 'shop.example.com'")
    }


def verified(source: str) -> dict[str, Any]:
    """An ExternalService with its CA from there."""
    manifest = external_service("web", IPS)
    tls = {source: {"name": "corp-ca"}, "serverName": NAME}
    manifest["spec"]["readinessProbe"]["httpGet"] |= {"port": PORT, "scheme": "HTTPS", "tls": tls}
    return manifest


@pytest.mark.world(settings={"ESO_PROBE_SECRETS": "true"})
async def test_ca_secret_is_used_where_allowed(world: World) -> None:
    if world.api.kind == "real":
        await allow_reading(world, "secrets")
    await world.apply(verified("caSecret"))

    async def unavailable() -> bool:
        return (await accepted(world))[0] == "CAUnavailable"

    await until(unavailable, "a missing Secret reported", seconds=60)
    encoded = base64.b64encode((await certificates(world)).encode()).decode()
    ca = {"metadata": {"name": "corp-ca"}, "data": {"ca.crt": encoded}}
    await world.client.create(SECRETS.path(world.namespace), ca)
    await world.until_published("web", ready(IPS))
    assert await accepted(world) == ("Accepted", ALLOWED)


async def test_expiry_of_each_certificate_is_a_metric(world: World) -> None:
    """Also without verification."""
    manifest = external_service("web", IPS)
    manifest["spec"]["readinessProbe"]["httpGet"] |= {"port": PORT, "scheme": "HTTPS"}
    await world.apply(manifest)
    await world.until_published("web", ready(IPS))
    whose = f'namespace="{world.namespace}",name="web"'
    for certificate, ip in zip(x509.load_pem_x509_certificates((await certificates(world)).encode()), IPS, strict=True):
        series = f'eso_probe_ssl_earliest_cert_expiry{{{whose},address="{ip}"}}'
        assert (await world.sidecar.metrics())[series] == certificate.not_valid_after_utc.timestamp()


async def test_grpc_over_tls(world: World) -> None:
    manifest = external_service("web", IPS)
    manifest["spec"]["readinessProbe"] |= {"httpGet": None, "grpc": {"port": 50051, "tls": {}}}
    await world.apply(manifest)
    await world.until_published("web", ready(IPS))
    world.hosts.switch(IPS[0], Mode.ERROR)
    await world.until_published("web", ready(IPS[1:], but=IPS[:1]))
    (failed,) = (one for one in (await world.status("web"))["addresses"] if one["ip"] == IPS[0])
    assert failed["message"] == "NOT_SERVING"
