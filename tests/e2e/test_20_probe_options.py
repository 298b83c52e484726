"""Expected statuses, redirects, a text in the body, HTTP/2, a shorter period while not ready, streaks without a write.

Each option in detail: tests/unit/probe_sidecar/probes/.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from playground.client import EXTERNAL_SERVICES
from tests.e2e.backends import Conduct, Mode
from tests.e2e.manifests import external_service
from tests.e2e.world import World, ready
from tests.until import until

IPS = ("10.0.102.10", "10.0.102.11")
NO_TEXT = {"bodyContains": "certainly not"}


def with_probe(http: dict[str, Any], **probe: Any) -> dict[str, Any]:
    manifest = external_service("web", IPS)
    manifest["spec"]["readinessProbe"] |= probe
    manifest["spec"]["readinessProbe"]["httpGet"] |= http
    return manifest


@pytest.mark.parametrize(
    ("options", "changed", "first", "second", "wanted"),
    [
        pytest.param({"expectedStatuses": ["200-204", 401]}, {}, 401, 206, (True, False), id="expectedStatuses"),
        pytest.param({"bodyContains": "ok"}, {}, 200, 200, (True, True), id="bodyContains"),
        pytest.param({"bodyContains": "ok"}, NO_TEXT, 200, 200, (False, False), id="bodyContains-absent"),
        pytest.param({"protocol": "HTTP2", "method": "HEAD"}, {}, 200, 500, (True, False), id="HTTP2-HEAD"),
        pytest.param({}, {}, 302, 404, (True, False), id="redirects"),
        pytest.param({}, {"redirects": "Fail"}, 302, 200, (False, True), id="redirects-Fail"),
        pytest.param({}, {"redirects": "Fail", "expectedStatuses": [302]}, 302, 200, (True, False), id="redirects-302"),
    ],
)
async def test_probe_option_decides_the_result(
    world: World, options: dict[str, Any], changed: dict[str, Any], first: int, second: int, wanted: tuple[bool, bool]
) -> None:
    """The statuses of both addresses, and which is ready with the changed options."""
    await world.apply(with_probe(options))
    await world.until_published("web", ready(IPS))
    await world.patch("web", {"spec": {"readinessProbe": {"httpGet": changed}}})
    for ip, status in zip(IPS, (first, second), strict=True):
        world.hosts.switch(ip, Mode.ERROR if status == 500 else Mode.HEALTHY, status=status)
    await world.until_published("web", dict(zip(IPS, wanted, strict=True)))


async def test_not_ready_period_finds_a_recovery_sooner(world: World, figures: Callable[..., None]) -> None:
    slow = with_probe({}, periodSeconds=60, notReadyPeriodSeconds=1, failureThreshold=1)
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
    await world.apply(with_probe({}, failureThreshold=1_000))
    await world.until_published("web", ready(IPS))
    await world.until_calm()
    mark = world.mark()
    world.hosts.switch(IPS[0], Mode.ERROR)

    async def seen() -> bool:
        (shown,) = (await world.sidecar.page(f"/status?name=web&ip={IPS[0]}")).json()["addresses"]
        return shown["ready"] is True and shown["consecutiveFailures"] >= 2

    await until(seen, "two failures in the live view", seconds=60, every=0.1)
    table = (await world.sidecar.page(f"/status.txt?namespace={world.namespace}")).text
    assert "/1000 failed" in table
    assert world.writes(mark) == []
