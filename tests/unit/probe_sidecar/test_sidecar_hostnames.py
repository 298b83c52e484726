"""Names in `spec.hostnames`, with the whole sidecar and a DNS server."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from playground.dns_server import DnsServer, Record
from probe_sidecar.settings import Settings
from tests.faults import FaultyServer
from tests.unit.probe_sidecar.sidecars import (
    DOWN,
    SETTINGS,
    UP,
    backend,
    create,
    external_service,
    probes,
    running,
    states,
    states_become,
    status_when,
)
from tests.until import until


@asynccontextmanager
async def dns(**records: Record) -> AsyncIterator[DnsServer]:
    server = DnsServer({f"{name}.example": record for name, record in records.items()})
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def asking(server: DnsServer) -> Settings:
    return SETTINGS.model_copy(update={"dns_servers": (("127.0.0.1", server.port),)})


def names(status: Mapping[str, Any]) -> dict[str, str | None]:
    return {entry["ip"]: entry.get("hostname") for entry in status.get("addresses", ())}


async def test_hostnames_are_resolved_and_probed(server: FaultyServer) -> None:
    three = ("127.0.0.2", "127.0.0.3", "169.254.1.1")
    async with dns(db=Record(three)) as known, backend("127.0.0.2") as port, running(server, asking(known)):
        create(server, external_service(port, hostnames=["db.example"]))
        status = await status_when(server, lambda status: states(status).get("127.0.0.3") == DOWN)
    assert states(status)["127.0.0.2"] == UP
    assert states(status)["169.254.1.1"][1] == "Denied"
    assert names(status) == dict.fromkeys(three, "db.example")
    assert status["conditions"][2]["reason"] == "Resolved"


async def test_restart_without_dns_keeps_addresses_and_readiness(server: FaultyServer) -> None:
    async with backend("127.0.0.2") as port:
        async with dns(db=Record(("127.0.0.2",))) as names_:
            settings = asking(names_)
            async with running(server, settings):
                create(server, external_service(port, hostnames=["db.example"]))
                before = await states_become(server, {"127.0.0.2": UP})
        async with running(server, settings) as sidecar:
            await until(lambda: probes(sidecar) >= 3)
    after = (server.get("ExternalService", "shop", "web") or {})["status"]
    assert after["addresses"] == before["addresses"]
    assert after["conditions"][:2] == before["conditions"][:2], "Resolved may say by now that the lookup failed"
