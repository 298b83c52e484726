"""The sidecar as a whole, against the stand-in API server and real sockets on loopback."""

import asyncio
import socket
import time
from collections.abc import Mapping
from typing import Any

import httpx

from probe_sidecar.probes.engine import TURN_SECONDS
from probe_sidecar.sidecar import REST_SHARE, Sidecar
from tests.faults import Fault, FaultyServer
from tests.unit.probe_sidecar import sidecars
from tests.until import until


async def test_probes_delayed_is_kept_by_the_next_owner(server: FaultyServer) -> None:
    """One place and three addresses that never respond; the next owner has enough places and writes nothing."""

    def late(status: Mapping[str, Any]) -> bool:
        conditions = {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())}
        return conditions.get("ProbesDelayed") == ("True", "NoPlaceLeft")

    ips = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    with socket.create_server(("0.0.0.0", 0), backlog=50) as silent:  # the kernel accepts, and nothing responds
        port = silent.getsockname()[1]
        probe = {"httpGet": {"port": port}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1}
        async with sidecars.running(server, sidecars.SETTINGS.model_copy(update={"concurrent_probes": 1})) as limited:
            sidecars.create(server, sidecars.external_service(port, *ips, readinessProbe=probe))
            await sidecars.status_when(server, late)
            await sidecars.status_when(
                server, lambda status: [one["reason"] for one in status["addresses"]] == ["ProbeFailed"] * 3
            )
            assert [bool(one.delay.text) for one in limited.services.values()] == [True]
        before = server.get("ExternalService", "shop", "web")
        async with sidecars.running(server) as sidecar:
            await sidecar_knows(sidecar, 3)
            assert [bool(one.delay.text) for one in sidecar.services.values()] == [True]
        assert server.get("ExternalService", "shop", "web") == before


async def sidecar_knows(sidecar: Sidecar, addresses: int) -> None:
    """Wait until so many addresses have failed twice in this process."""
    await until(lambda: sum(target.failures >= 2 for target in sidecars.targets(sidecar)) >= addresses)


async def test_api_server_outage_changes_nothing_and_ends(server: FaultyServer) -> None:
    async with sidecars.running(server):
        async with sidecars.backend("127.0.0.2") as port:
            sidecars.create(server, sidecars.external_service(port, "127.0.0.2"))
            await sidecars.states_become(server, {"127.0.0.2": sidecars.UP})
            refuse = server.faults.add(Fault(code=503))
            server.hang_up()
        await asyncio.sleep(0.2)
        assert sidecars.states((server.get("ExternalService", "shop", "web") or {})["status"]) == {
            "127.0.0.2": sidecars.UP
        }
        refuse.lift()
        await sidecars.states_become(server, {"127.0.0.2": sidecars.DOWN})


async def test_health_pages_follow_the_state(server: FaultyServer) -> None:
    stall = server.faults.add(Fault(verbs=frozenset({"list"}), stall=True))
    async with sidecars.running(server) as sidecar, httpx.AsyncClient(trust_env=False) as client:
        await until(lambda: sidecar.pages.port != 0)
        base = f"http://127.0.0.1:{sidecar.pages.port}"
        assert (await client.get(f"{base}/healthz")).text == "ok\n"
        unready = await client.get(f"{base}/readyz")
        why = "the first list of ExternalServices has not arrived yet: all namespaces\n"
        assert (unready.status_code, unready.text) == (503, why)
        stall.lift()
        async with asyncio.timeout(sidecars.PATIENCE):
            while (await client.get(f"{base}/readyz")).status_code != 200:
                await asyncio.sleep(0.01)


async def test_many_changed_objects_are_taken_in_a_tenth_of_the_time(server: FaultyServer) -> None:
    """As after a LIST that follows an outage, or written again and again by an author."""
    for number in range(8):
        server.create(sidecars.external_service(1) | {"metadata": {"name": f"web-{number}", "namespace": "shop"}})
    async with sidecars.running(server) as sidecar:
        await until(lambda: len(sidecar.services) == 8)
        taken: list[float] = []

        def work(_uid: str, _raw: Any, _since: float | None) -> None:
            time.sleep(TURN_SECONDS)
            taken.append(asyncio.get_running_loop().time())

        sidecar._work_for = work  # type: ignore[method-assign, assignment]
        objects = sidecar.reflectors.each[0].objects
        sidecar._observe(objects, frozenset(objects), False)
        assert len(taken) <= 1, "the loop is not blocked by all of them"
        await until(lambda: len(taken) == 8)
        assert taken[-1] - taken[0] >= 7 * REST_SHARE * TURN_SECONDS
