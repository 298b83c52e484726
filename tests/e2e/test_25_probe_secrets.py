"""Client certificates and headers from Secrets: used where allowed, renewed without an edit, never shown."""

import asyncio
import base64
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import yaml

from playground.certificate import pair
from playground.client import EVENTS, SIDECAR
from tests.e2e.accounts import SHIPPED
from tests.e2e.manifests import external_service
from tests.e2e.test_21_verified_tls import accepted, allow_reading
from tests.e2e.world import SECRETS, World, ready
from tests.until import until

IPS = ("10.0.105.10", "10.0.105.11")
PORT = 8443
VALUES = ("first-s3cret-value", "second-s3cret-value")
ON = {"ESO_PROBE_SECRETS": "true", "ESO_REFRESH_SECONDS": "1", "ESO_LOG_LEVEL": "debug"}
GRPC = {"port": 50051, "tls": {"clientCertificateSecret": {"name": "client"}}}


def probed(name: str, **handler: Any) -> dict[str, Any]:
    manifest = external_service(name, IPS)
    del manifest["spec"]["readinessProbe"]["httpGet"]
    manifest["spec"]["readinessProbe"] |= handler
    return manifest


def mutual() -> dict[str, Any]:
    token = {"secretKeyRef": {"name": "token", "key": "web"}}
    http = {"port": PORT, "scheme": "HTTPS", "tls": {"clientCertificateSecret": {"name": "client"}}}
    return probed("web", httpGet={**http, "httpHeaders": [{"name": "X-Token", "valueFrom": token}]})


async def store(world: World, name: str, **data: bytes) -> None:
    """Creates the Secret, or replaces its data."""
    body = {"data": {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}}
    if await world.get(name, kind=SECRETS) is None:
        await world.client.create(SECRETS.path(world.namespace), {"metadata": {"name": name}, **body})
    else:
        await world.patch(name, body, kind=SECRETS)


async def until_accepted(world: World, reason: str, name: str = "web", *, words: str = "") -> str:
    """Waits for the condition Accepted with this reason and text, and returns its message."""
    found: list[str] = []

    async def reported() -> bool:
        found[:] = await accepted(world, name)
        return found[0] == reason and words in found[1]

    await until(reported, f"Accepted with reason {reason} and {words!r}", seconds=60)
    return found[1]


async def shown(world: World, *, check: bool) -> str:
    """All output of our processes: logs, pages, objects of the namespace but the Secrets, `check`."""
    pages = ("/", "/overview", "/status", "/status.txt", "/metrics")
    texts = [world.sidecar.log(), world.hook.log(), *[(await world.sidecar.page(page)).text for page in pages]]
    listed = await world.client.get(EVENTS.path(world.namespace))
    texts += [str(await world.get(name)) for name in ("web", "rpc")] + [str(listed)]
    if check:
        names = (f"{world.namespace}/web", f"{world.namespace}/rpc")
        command = (sys.executable, "-m", "cli", "check", f"--kubeconfig={world.api.admin_kubeconfig}", *names)
        run = partial(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        done = await asyncio.to_thread(run)
        assert "HTTP " in done.stdout, done.stderr
        texts += [done.stdout, done.stderr]
    return "".join(texts)


@pytest.mark.kubernetes("loop")
@pytest.mark.world(settings=ON)
async def test_secrets_are_used_renewed_and_never_shown(world: World) -> None:
    (key, certificate), (other_key, other_certificate) = pair(), pair()
    await world.apply(mutual())
    await world.apply(probed("rpc", grpc=GRPC))
    world.hosts.switch(IPS, header=f"X-Token: {VALUES[0]}", client_ca=certificate.decode())
    await until_accepted(world, "SecretUnavailable", words="not readable")
    component = yaml.safe_load((SHIPPED / "components" / "probe-secrets" / "kustomization.yaml").read_text())
    (operation,) = yaml.safe_load(component["patches"][0]["patch"])
    await allow_reading(world, operation["value"])
    message = await until_accepted(world, "SecretUnavailable", "rpc")
    assert message.startswith(f"Secret {world.namespace}/client: not ")
    assert {one["reason"] for one in (await world.addresses("web")).values()} == {"Pending"}
    assert world.hosts.requests()[IPS[0]] == 0

    await store(world, "client", tls_crt=certificate, tls_key=key)
    await store(world, "token", web=VALUES[0].encode() + b"\n")
    for name in ("web", "rpc"):
        await world.until_published(name, ready(IPS))
        assert await until_accepted(world, "Accepted", name)

    world.hosts.switch(IPS[0], header=f"X-Token: {VALUES[1]}")
    await world.until_published("web", ready(IPS[1:], but=IPS[:1]))
    outputs = await shown(world, check=True)
    world.hosts.switch(IPS, header=f"X-Token: {VALUES[1]}", client_ca=other_certificate.decode())
    for name in ("web", "rpc"):
        await world.until_published(name, ready((), but=IPS))
    await store(world, "token", web=VALUES[1].encode())
    await store(world, "client", tls_crt=other_certificate, tls_key=other_key)
    for name in ("web", "rpc"):
        await world.until_published(name, ready(IPS))

    await store(world, "client", tls_key=key)
    await until_accepted(world, "SecretUnavailable", "rpc", words="key values mismatch")
    await world.delete("client", kind=SECRETS)
    await world.delete("token", kind=SECRETS)
    await until_accepted(world, "SecretUnavailable", words="not found")
    world.hosts.switch(IPS[0], status=302)
    world.hosts.switch(IPS[1], status=503)
    await world.until_published("web", ready(IPS[:1], but=IPS[1:]))

    outputs += await shown(world, check=False)
    hidden = [*VALUES, *(line for pem in (key, other_key) for line in pem.decode().splitlines()[1:-1])]
    hidden += [base64.b64encode(value.encode()).decode() for value in VALUES]
    assert [value for value in hidden if value in outputs] == []


async def test_secrets_are_refused_where_they_are_not_allowed(world: World) -> None:
    mark = world.mark()
    await world.apply(mutual())
    await store(world, "token", web=VALUES[0].encode())
    message = await until_accepted(world, "InvalidSpec")
    assert message.count("ESO_PROBE_SECRETS=true") == 2
    assert (await world.status("web"))["summary"].startswith("invalid: spec.readinessProbe.httpGet.tls.")
    assert await world.published("web") == {}
    asked = [entry for entry in world.api.entries(mark) if entry.user == SIDECAR and entry.resource == "secrets"]
    assert asked == []
