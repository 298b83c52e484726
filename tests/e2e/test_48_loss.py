"""With 10 % packet loss no readiness changes: the thresholds absorb it. Failures are still found."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.e2e import namespace, packets
from tests.e2e.backends import Mode
from tests.e2e.fleet import Fleet
from tests.e2e.world import World

pytestmark = [pytest.mark.nightly, pytest.mark.any_metacontroller]

PART = 0.1
LOSSY_SECONDS = 20.0
PROBE = {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3}
"""A lost SYN is sent again after a second, within the time-out. So one probe in a hundred fails (two lost SYNs), and
one in a million causes a wrong transition; there are about 600 probes here."""


@pytest.mark.world(replicas=1)
async def test_ten_percent_packet_loss_changes_no_readiness(world: World, figures: Callable[..., None]) -> None:
    packets.require()
    async with Fleet(world, 50, probe=PROBE) as fleet:
        prober, hosts = world.replicas["a"], world.hosts.process.pid
        begun = time.monotonic()
        with packets.lost(namespace.PEER, "--protocol", "tcp", part=PART, pid=hosts) as dropped:
            dying = fleet.ips[:3]
            fleet.kill(dying, Mode.DROP)
            await asyncio.sleep(LOSSY_SECONDS)
            found = await fleet.until_told(dict.fromkeys(dying, False))
            world.hosts.switch(dying, Mode.HEALTHY)
            back = await fleet.until_told(dict.fromkeys(dying, True))
            lost = dropped()
        seconds = time.monotonic() - begun
        flips = sorted((ip, ready) for _, ip, ready in fleet.flips(begun))
        assert flips == sorted((ip, ready) for ip in dying for ready in (False, True))
        assert await prober.metric("eso_prober_faults_total") == 0
    assert lost > 20, "packets were to be lost"
    figures(
        **{"packets lost": lost, "lossy for, seconds": seconds},
        **{"addresses without a response out, seconds more": found, "back after": back},
    )
