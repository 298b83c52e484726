"""Expected statuses, redirects, a text in the body, a shorter period while not ready, failures below the threshold."""

import time
from collections.abc import Callable
from typing import Any

from playground.client import EXTERNAL_SERVICES
from probe_sidecar.probes.message import NO_REDIRECT, UNEXPECTED_STATUS, WITHOUT_TEXT, compressed
from tests.e2e.backends import Conduct, Mode
from tests.e2e.manifests import external_service
from tests.e2e.slices import our_endpoints
from tests.e2e.world import World, ready
from tests.until import until

IPS = ("10.0.102.10", "10.0.102.11")


def with_probe(name: str, http: dict[str, Any], **probe: Any) -> dict[str, Any]:
    manifest = external_service(name, IPS)
    manifest["spec"]["readinessProbe"] |= probe
    manifest["spec"]["readinessProbe"]["httpGet"] |= http
    return manifest


async def message(world: World, name: str, ip: str) -> str:
    entries = (await world.status(name)).get("addresses", ())
    return next((str(entry["message"]) for entry in entries if entry["ip"] == ip), "")


async def test_expected_statuses_decide_the_result(world: World) -> None:
    await world.apply(with_probe("web", {"expectedStatuses": ["200-204", 401]}))
    await world.until_published("web", ready(IPS))
    world.hosts.switch(IPS[0], status=401)
    world.hosts.switch(IPS[1], status=206)
    await world.until_published("web", ready(IPS[:1], but=IPS[1:]))
    assert await message(world, "web", IPS[1]) == f"HTTP 206, {UNEXPECTED_STATUS}"


async def test_body_contains_decides_the_result(world: World) -> None:
    await world.apply(with_probe("web", {"bodyContains": "ok"}))
    await world.until_published("web", ready(IPS))
    await world.patch("web", {"spec": {"readinessProbe": {"httpGet": {"bodyContains": "certainly not"}}}})
    await world.until_published("web", ready((), but=IPS))
    said = await message(world, "web", IPS[0])
    assert said == f"HTTP 200, {WITHOUT_TEXT}"


async def test_compressed_body_is_named_in_the_failure(world: World) -> None:
    await world.apply(with_probe("web", {"bodyContains": "ok"}))
    await world.until_published("web", ready(IPS))
    world.hosts.switch(IPS[0], encoding="gzip")
    world.hosts.switch(IPS[1], encoding="x-s3cret")
    await world.until_published("web", ready((), but=IPS))
    said = f"HTTP 200, {WITHOUT_TEXT}"
    assert [await message(world, "web", ip) for ip in IPS] == [said + compressed("gzip"), said]


async def test_http2_without_tls_with_head(world: World) -> None:
    await world.apply(with_probe("web", {"protocol": "HTTP2", "method": "HEAD"}))
    await world.until_published("web", ready(IPS))
    world.hosts.switch(IPS[0], Mode.ERROR)
    await world.until_published("web", ready(IPS[1:], but=IPS[:1]))
    assert await message(world, "web", IPS[0]) == "HTTP 500"


async def test_redirects_follow_or_fail(world: World) -> None:
    await world.apply(with_probe("web", {}))
    await world.until_published("web", ready(IPS))
    world.hosts.switch(IPS[0], status=302)
    world.hosts.switch(IPS[1], status=404)
    await world.until_published("web", ready(IPS[:1], but=IPS[1:]))  # both are still probed
    await world.patch("web", {"spec": {"readinessProbe": {"httpGet": {"redirects": "Fail"}}}})
    await world.until_published("web", ready((), but=IPS))
    assert await message(world, "web", IPS[0]) == f"HTTP 302, {NO_REDIRECT}"
    allowed = {"redirects": "Fail", "expectedStatuses": [302]}
    await world.patch("web", {"spec": {"readinessProbe": {"httpGet": allowed}}})
    await world.until_published("web", ready(IPS[:1], but=IPS[1:]))


async def test_not_ready_period_finds_a_recovery_sooner(world: World, figures: Callable[..., None]) -> None:
    slow = with_probe("web", {}, periodSeconds=60, notReadyPeriodSeconds=1, failureThreshold=1)
    world.hosts.set(world.places(slow), Conduct(Mode.REFUSE))
    await world.client.create(EXTERNAL_SERVICES.path(world.namespace), slow)
    await world.until_published("web", ready((), but=IPS))
    began = time.monotonic()
    world.hosts.switch(IPS, Mode.HEALTHY)
    await world.until_published("web", ready(IPS))
    seconds = time.monotonic() - began
    figures(recovery_seconds=round(seconds, 2))
    assert seconds < 10, "the period of 60 s was waited for"


async def test_failures_below_the_threshold_show_without_a_write(world: World) -> None:
    parent = await world.apply(with_probe("web", {}, failureThreshold=1_000))
    await world.until_published("web", ready(IPS))

    async def settled() -> bool:
        """Metacontroller writes observedGeneration once, after the children."""
        return bool((await world.status("web")).get("observedGeneration") == parent["metadata"]["generation"])

    await until(settled, "Metacontroller's own write", seconds=30)

    async def in_slices() -> bool:
        return {ip for ip, (is_ready, *_) in (await our_endpoints(world, "web")).items() if is_ready} == {*IPS}

    await until(in_slices, "the slices, which are written after the Endpoints", seconds=30)
    mark = world.mark()
    world.hosts.switch(IPS[0], Mode.ERROR)

    async def seen() -> bool:
        shown = (await world.sidecar.page(f"/status?name=web&ip={IPS[0]}")).json()["addresses"]
        return len(shown) == 1 and shown[0]["ready"] and shown[0]["consecutiveFailures"] >= 2

    await until(seen, "two failures in the live view", seconds=60, every=0.1)
    table = (await world.sidecar.page(f"/status.txt?namespace={world.namespace}")).text
    assert "/1000 failed" in table
    assert "HTTP 500" in table
    assert world.writes(mark) == []
