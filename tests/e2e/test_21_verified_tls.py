"""A certificate is verified against a CA that the prober may read by name; a missing CA changes no readiness."""

import asyncio
import ssl
import time
from typing import Any

import yaml

from playground.certificate import NAME
from playground.client import Kind
from probe_sidecar.probes.message import certificate_refused
from probe_sidecar.status.conditions import ALLOWED
from tests.e2e.accounts import SHIPPED
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.until import until

IPS = ("10.0.103.10", "10.0.103.11")
PORT = 8443
CONFIG_MAPS = Kind("v1", "configmaps", "ConfigMap", namespaced=True)
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"


async def certificates() -> str:
    """The certificates of the backends, each self-signed."""
    return "".join([await asyncio.to_thread(ssl.get_server_certificate, (ip, PORT)) for ip in IPS])


async def allow_reading(world: World, rule: dict[str, Any] | None = None) -> None:
    """The shipped Role and its binding, for this namespace, with its own or another rule."""
    for manifest in yaml.safe_load_all((SHIPPED / "optional" / "ca-reader.yaml").read_text()):
        manifest["metadata"]["namespace"] = world.namespace
        if rule and manifest["kind"] == "Role":
            manifest["rules"] = [rule]
        await world.client.create(f"{RBAC}/{world.namespace}/{manifest['kind'].lower()}s", manifest)


async def accepted(world: World, name: str = "web") -> tuple[str, ...]:
    """Reason and message of the condition Accepted."""
    return (await world.condition(name, "Accepted"))[1:]


async def test_certificate_is_verified_with_a_ca_of_a_config_map(world: World) -> None:
    manifest = external_service("web", IPS)
    tls: dict[str, Any] = {"caConfigMap": {"name": "corp-ca"}, "serverName": NAME}
    manifest["spec"]["readinessProbe"]["httpGet"] |= {"port": PORT, "scheme": "HTTPS", "tls": tls}
    await world.apply(manifest)

    async def unavailable() -> bool:
        reason, message = await accepted(world)
        return reason == "CAUnavailable" and message.startswith(f"ConfigMap {world.namespace}/corp-ca: ")

    await until(unavailable, "a missing CA reported", seconds=60)
    await world.until_published("web", ready((), but=IPS))
    assert {one["reason"] for one in (await world.addresses("web")).values()} == {"Pending"}

    await allow_reading(world)
    ca = {"metadata": {"name": "corp-ca"}, "data": {"ca.crt": await certificates()}}
    await world.client.create(CONFIG_MAPS.path(world.namespace), ca)
    await world.until_published("web", ready(IPS))
    assert await accepted(world) == ("Accepted", ALLOWED)
    for ip in IPS:
        labels = f'namespace="{world.namespace}",name="web",address="{ip}"'
        assert await world.sidecar.metric(f"eso_probe_ssl_earliest_cert_expiry{{{labels}}}") > time.time()

    other = {"spec": {"readinessProbe": {"httpGet": {"tls": {"serverName": "shop.example.com"}}}}}
    await world.patch("web", other)
    await world.until_published("web", ready((), but=IPS))
    mismatch = certificate_refused("hostname mismatch, certificate is not valid for 'shop.example.com'")
    assert {one["message"] for one in (await world.addresses("web")).values()} == {mismatch}
