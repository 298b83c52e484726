"""`kubectl get` shows the state of each object, exactly as in tests/e2e/golden.

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
AGE = re.compile(r" \d+s ")


async def compare(world: World, name: str, *options: str) -> None:
    """Waits until `kubectl get` shows the golden file, without the widths of the columns."""
    file = GOLDEN / f"{name}.txt"

    async def shown() -> str:
        done = await world.kubectl("get", "extsvc", *options, "-n", world.namespace)
        assert (done.returncode, done.stderr) == (0, "")
        text = re.sub(" {3,}", "   ", done.stdout.replace(world.namespace, "shop"))
        return "".join(f"{AGE.sub(' 9s ', line + ' ').rstrip()}\n" for line in text.splitlines())

    if os.environ.get("ESO_WRITE_GOLDEN"):
        await world.until_calm()
        file.write_text(await shown())
    await until_equal(shown, file.read_text(), every=0.5)


@pytest.mark.world(settings={"ESO_DENIED_CIDRS": "10.9.0.0/16"})
async def test_kubectl_get_shows_the_state_of_each_object(world: World) -> None:
    open_ips = ["10.0.100.31", "10.0.100.32", "10.0.100.33"]
    hosts = [{"host": f"static{number}.mydomain.com"} for number in range(1, 5)]
    secured = external_service("ca-missing", ["10.0.100.11", "10.0.100.12"])
    tls = {"scheme": "HTTPS", "tls": {"caConfigMap": {"name": "corp-ca"}}}
    secured["spec"]["readinessProbe"]["httpGet"] |= tls
    await allow_reading(world)
    taken = {"metadata": {"name": "name-taken"}, "spec": {"ports": [{"port": 1}]}}  # with another owner
    await world.client.create(SERVICES.path(world.namespace), taken)
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
    await compare(world, "states")
    await compare(world, "states-wide", "-o", "wide")
