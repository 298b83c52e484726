"""`kubectl get` and `kubectl describe` show exactly the text in tests/e2e/golden.

`ESO_WRITE_GOLDEN=1 make e2e ARGS="-k test_12"` writes these files; read the difference as a user would.
"""

import os
import re
from pathlib import Path

import pytest

from playground.client import SERVICES
from tests.e2e.backends import Mode
from tests.e2e.manifests import external_service
from tests.e2e.test_21_verified_tls import allow_reading
from tests.e2e.world import World
from tests.until import until_equal

GOLDEN = Path(__file__).resolve().parent / "golden"
HEALTHY, DEAD, DRAINED = "10.0.100.10", "10.0.100.11", "10.0.100.12"


async def compare(world: World, name: str, *arguments: str, squeeze: bool = False) -> str:
    """Waits until kubectl shows the golden file; returns the Events below a description, which are not in it.

    `squeeze`: without the widths of the columns, which depend on the length of the namespace in a summary.
    """
    file, events = GOLDEN / f"{name}.txt", ""

    async def shown() -> str:
        nonlocal events
        done = await world.kubectl(*arguments, "-n", world.namespace)
        assert (done.returncode, done.stderr) == (0, "")
        text, _, events = timeless(done.stdout.replace(world.namespace, "shop")).partition("Events:")
        text = re.sub(" {3,}", "   ", text) if squeeze else text
        return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())

    if os.environ.get("ESO_WRITE_GOLDEN"):
        await world.until_calm()
        file.write_text(await shown())
    await until_equal(shown, file.read_text(), every=0.5)
    return events


def timeless(text: str) -> str:
    """Without what differs between runs; the width of an age stays."""
    text = re.sub(r"(?<= )(\d\ds|\ds )(?= |$)", "9s ", text, flags=re.MULTILINE)
    text = re.sub(r"(?<= )\ds$", "9s", text, flags=re.MULTILINE)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z", text)
    text = re.sub(r"(?m)^( +UID: +)\S+$", r"\1UID", text)
    text = re.sub(r"(?m)^( +Resource Version: +)\d+$", r"\1VERSION", text)
    return re.sub(r"(?m)^( +Revision: +)\d+$", r"\1REVISION", text)


async def take_service(world: World, name: str) -> None:
    """A Service of that name with another owner."""
    made = {"metadata": {"name": name}, "spec": {"ports": [{"port": 1}]}}
    await world.client.create(SERVICES.path(world.namespace), made)


async def test_kubectl_get_and_describe(world: World) -> None:
    """One with everything that can be shown, one without a probe, one with a taken name."""
    hosts = [{"host": "static1.mydomain.com"}, {"host": "static2.mydomain.com", "path": "/shop"}]
    busy = external_service("static", [HEALTHY, DEAD, DRAINED], hosts=hosts, disabledIPs=[DRAINED], minReady=1)
    await take_service(world, "taken")
    await world.apply(busy)
    world.hosts.switch(DEAD, Mode.REFUSE)
    for name in ("plain", "taken"):
        plain = external_service(name, ["2001:db8::10"])
        del plain["spec"]["readinessProbe"]
        await world.apply(plain)
    tcp = external_service("tcp", [HEALTHY])
    tcp["spec"]["readinessProbe"] = {"tcpSocket": {"port": 5432}}
    await world.apply(tcp)

    await compare(world, "get", "get", "extsvc")
    await compare(world, "get-wide", "get", "externalservices", "-o", "wide")
    for name in ("static", "taken"):
        events = await compare(world, f"describe-{name}", "describe", "externalservice", name)
        assert ("AddressReady" in events, "AddressNotReady" in events) == (name == "static", name == "static")


@pytest.mark.world(settings={"ESO_DENIED_CIDRS": "10.9.0.0/16"})
async def test_kubectl_get_shows_the_state_of_each_object(world: World) -> None:
    open_ips = ["10.0.100.31", "10.0.100.32", "10.0.100.33"]
    hosts = [{"host": f"static{number}.mydomain.com"} for number in range(1, 5)]
    secured = external_service("ca-missing", ["10.0.100.11", "10.0.100.12"])
    tls = {"scheme": "HTTPS", "tls": {"caConfigMap": {"name": "corp-ca"}}}
    secured["spec"]["readinessProbe"]["httpGet"] |= tls
    await allow_reading(world)
    await take_service(world, "name-taken")
    for manifest in (
        secured,
        external_service("denied", ["10.0.100.21", "10.9.0.1"]),
        external_service("fail-open", open_ips, minReady=1),
        external_service("healthy", ["10.0.100.41", "10.0.100.42"], hosts=hosts),
        external_service("name-taken", ["10.0.100.51"]),
        external_service("one-not-ready", ["10.0.100.61", "10.0.100.62", "10.0.100.63"]),
        external_service("two-not-ready", [f"10.0.100.7{last}" for last in range(1, 6)]),
    ):
        await world.apply(manifest)
    world.hosts.switch(["10.0.100.63", *open_ips], Mode.ERROR)
    world.hosts.switch(["10.0.100.71", "10.0.100.72"], Mode.REFUSE)
    await compare(world, "states", "get", "extsvc", squeeze=True)
    await compare(world, "states-wide", "get", "extsvc", "-o", "wide", squeeze=True)
