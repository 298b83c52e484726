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
from tests.until import until

GOLDEN = Path(__file__).resolve().parent / "golden"
HEALTHY, DEAD, DRAINED = "10.0.100.10", "10.0.100.11", "10.0.100.12"
SECONDS = 60.0


def compare(name: str, text: str) -> None:
    """Compares with the golden file, without trailing blanks."""
    shown = "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("ESO_WRITE_GOLDEN"):
        file.write_text(shown)
    assert shown == file.read_text()


async def kubectl(world: World, *arguments: str) -> str:
    answer = await world.kubectl(*arguments)
    assert (answer.returncode, answer.stderr) == (0, "")
    return answer.stdout.replace(world.namespace, "shop")


def timeless(text: str) -> str:
    """Without what differs between runs; the width of an age stays."""
    text = re.sub(r"(?<= )(\d\ds|\ds )(?= |$)", "9s ", text, flags=re.MULTILINE)
    text = re.sub(r"(?<= )\ds$", "9s", text, flags=re.MULTILINE)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z", text)
    text = re.sub(r"(?m)^( +UID: +)\S+$", r"\1UID", text)
    text = re.sub(r"(?m)^( +Resource Version: +)\d+$", r"\1VERSION", text)
    return re.sub(r"(?m)^( +Revision: +)\d+$", r"\1REVISION", text)


def squeezed(text: str) -> str:
    """Without the widths of the columns, which depend on the length of the namespace in a summary."""
    return re.sub(" {3,}", "   ", text)


async def three_of_a_kind(world: World) -> None:
    """One with everything that can be shown, one without a probe, one with a taken name."""
    hosts = [{"host": "static1.mydomain.com"}, {"host": "static2.mydomain.com", "path": "/shop"}]
    busy = external_service("static", [HEALTHY, DEAD, DRAINED], hosts=hosts, disabledIPs=[DRAINED], minReady=1)
    await world.client.create(
        SERVICES.path(world.namespace), {"metadata": {"name": "taken"}, "spec": {"ports": [{"port": 1}]}}
    )
    await world.apply(busy)
    world.hosts.switch(DEAD, Mode.REFUSE)
    for name in ("plain", "taken"):
        plain = external_service(name, ["2001:db8::10"])
        del plain["spec"]["readinessProbe"]
        await world.apply(plain)
    tcp = external_service("tcp", [HEALTHY])
    tcp["spec"]["readinessProbe"] = {"tcpSocket": {"port": 5432}}
    await world.apply(tcp)

    async def settled() -> bool:
        static, taken, tcp = [await world.status(name) for name in ("static", "taken", "tcp")]
        told = {(one["ip"], one["message"]) for one in static.get("addresses", [])}
        missing = taken.get("summary") == "Service name is taken"
        return (DEAD, "connection refused") in told and missing and tcp.get("ready") == "1/1"

    await world.until_published("static", {HEALTHY: True, DEAD: False, DRAINED: False})
    await until(settled, "all there is to see", seconds=SECONDS, every=0.1)


async def test_kubectl_get_and_describe(world: World) -> None:
    await three_of_a_kind(world)
    here = ("-n", world.namespace)
    compare("get", timeless(await kubectl(world, "get", "extsvc", *here)))
    compare("get-wide", timeless(await kubectl(world, "get", "externalservices", "-o", "wide", *here)))
    for name in ("static", "taken"):
        screen = await kubectl(world, "describe", "externalservice", name, *here)
        body, _, events = timeless(screen).partition("Events:")
        compare(f"describe-{name}", body)
        if name == "static":
            told = "Warning AddressNotReady 9s eso.crowdfox.com/prober 10.0.100.11: connection refused"
            assert told in [" ".join(line.split()) for line in events.splitlines()]
        assert ("AddressReady" in events, "AddressNotReady" in events) == (name == "static", name == "static")


STATES = {
    "ca-missing": ("CA {namespace}/corp-ca not found", ["10.0.100.11", "10.0.100.12"]),
    "denied": ("denied: 10.9.0.1", ["10.0.100.21", "10.9.0.1"]),
    "fail-open": ("failing open: 0 of 3 healthy", ["10.0.100.31", "10.0.100.32", "10.0.100.33"]),
    "healthy": ("OK", ["10.0.100.41", "10.0.100.42"]),
    "name-taken": ("Service name is taken", ["10.0.100.51"]),
    "one-not-ready": ("10.0.100.63: HTTP 500", ["10.0.100.61", "10.0.100.62", "10.0.100.63"]),
    "two-not-ready": ("2 of 5 not ready", [f"10.0.100.7{last}" for last in range(1, 6)]),
}
"""Summary and addresses by name."""


@pytest.mark.world(settings={"ESO_DENIED_CIDRS": "10.9.0.0/16"})
async def test_kubectl_get_shows_the_state_of_each_object(world: World) -> None:
    hosts = [{"host": f"static{number}.mydomain.com"} for number in range(1, 5)]
    made = {name: external_service(name, ips) for name, (_, ips) in STATES.items()}
    made["healthy"]["spec"]["hosts"] = hosts
    made["fail-open"]["spec"]["minReady"] = 1
    tls = {"caConfigMap": {"name": "corp-ca"}}
    made["ca-missing"]["spec"]["readinessProbe"]["httpGet"] |= {"scheme": "HTTPS", "tls": tls}
    await allow_reading(world)
    services = SERVICES.path(world.namespace)
    await world.client.create(services, {"metadata": {"name": "name-taken"}, "spec": {"ports": [{"port": 1}]}})
    for manifest in made.values():
        await world.apply(manifest)
    world.hosts.switch(["10.0.100.63", *STATES["fail-open"][1]], Mode.ERROR)
    world.hosts.switch(["10.0.100.71", "10.0.100.72"], Mode.REFUSE)

    async def shown() -> bool:
        statuses = {name: await world.status(name) for name in STATES}
        return {name: status.get("summary") for name, status in statuses.items()} == {
            name: text.format(namespace=world.namespace) for name, (text, _) in STATES.items()
        }

    await until(shown, "every state", seconds=SECONDS, every=0.1)
    here = ("-n", world.namespace)
    compare("states", squeezed(timeless(await kubectl(world, "get", "extsvc", *here))))
    compare("states-wide", squeezed(timeless(await kubectl(world, "get", "extsvc", "-o", "wide", *here))))
