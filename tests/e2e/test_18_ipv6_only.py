"""Without any IPv4 address: API server, etcd, composite controller, hook, sidecar, DNS and targets use IPv6 alone."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from playground.client import ENDPOINT_SLICES, SERVICES
from tests.e2e import accounts, namespace
from tests.e2e.backends import DNS_SERVER_IPV6, Mode
from tests.e2e.conftest import metacontroller_definitions
from tests.e2e.controlplane.build import Binaries
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.hosts import Hosts
from tests.e2e.manifests import external_service
from tests.e2e.real_api import RealApi
from tests.e2e.world import Setup, World, ready, real_metacontroller
from tests.until import until_equal

IPS = ("fd00:e51::10", "fd00:e51::11")
NAME = "db.example.com"
LOOPBACK = "::1"


@pytest.fixture
def hosts(binaries: Binaries, tmp_path: Path) -> Iterator[Hosts]:
    """Test hosts, with this thread in a network without IPv4."""
    with namespace.sealed():
        found = Hosts(tmp_path / "hosts", dns=DNS_SERVER_IPV6)
        (tmp_path / "hosts").mkdir()
        found.start()
        try:
            for link in ("lo", namespace.LINK):
                namespace.ip("-4", "address", "flush", "dev", link)
            yield found
        finally:
            found.stop()


@pytest.fixture
async def world(binaries: Binaries, hosts: Hosts, tmp_path: Path) -> AsyncIterator[World]:
    """A world on that control plane."""
    audited = [account[0] for account in accounts.ACCOUNTS]
    with ControlPlane(binaries, tmp_path / "plane", audited_namespaces=audited, address=LOOPBACK) as plane:
        api = RealApi(plane.admin_kubeconfig, tmp_path, plane)
        api.install(*metacontroller_definitions())
        setup = Setup(host=LOOPBACK, settings={"ESO_DNS_SERVERS": DNS_SERVER_IPV6})
        async with World(api, hosts, tmp_path, setup, real_metacontroller()) as found:
            yield found


async def test_loop_works_without_ipv4(world: World) -> None:
    shown = namespace.ip("-4", "-brief", "address")
    assert not any(line.split()[2:] for line in shown.splitlines()), shown
    await world.apply(external_service("web", IPS))
    await world.apply(
        external_service("named", (), hostnames=[NAME], addressFamilies=["IPv6"], service={"clusterIP": "Auto"})
    )
    await world.until_published("web", ready(IPS))
    world.hosts.switch(IPS[0], Mode.ERROR)
    await world.until_published("web", ready(IPS[1:], but=IPS[:1]))
    world.hosts.switch(IPS[0], Mode.HEALTHY)
    await world.until_published("web", ready(IPS))

    service = await world.get("named", kind=SERVICES)
    assert service is not None
    assert service["spec"]["clusterIP"].startswith("fd00:e53::")
    assert service["spec"]["ipFamilies"] == ["IPv6"]
    slices = (await world.client.get(ENDPOINT_SLICES.path(world.namespace)))["items"]
    assert {one["addressType"] for one in slices} == {"IPv6"}

    async def summary() -> object:
        return (await world.status("named")).get("summary")

    await until_equal(summary, "OK")
    assert f"listening on http://[{LOOPBACK}]:" in world.hook.log()
    assert world.sidecar.url.startswith(f"http://[{LOOPBACK}]:")
    assert (await world.sidecar.page("/")).is_success
    assert await world.sync_errors() == []
