"""steady: while thousands of probes run and Metacontroller resyncs, nothing is written."""

import asyncio
from collections import Counter
from typing import Any

from playground.client import readiness
from tests.scenarios.cluster import Cluster
from tests.scenarios.report import Report
from tests.until import until

Object = dict[str, Any]

PARENTS, ADDRESSES = 5, 20
QUIET_SECONDS = 2.0


def manifests(parents: int = PARENTS, addresses: int = ADDRESSES) -> list[Object]:
    """ExternalServices that are probed once a second."""
    return [
        {
            "apiVersion": "eso.crowdfox.com/v1alpha1",
            "kind": "ExternalService",
            "metadata": {"name": f"steady-{number}"},
            "spec": {
                "port": 80,
                "ips": [f"10.20.{number}.{last}" for last in range(1, addresses + 1)],
                "hosts": [{"host": f"steady-{number}.example.com", "path": ""}],
                "readinessProbe": {"httpGet": {"port": 8080, "path": "/healthcheck"}, "periodSeconds": 1},
            },
        }
        for number in range(1, parents + 1)
    ]


async def steady(cluster: Cluster, parents: list[Object], *, seconds: float = 30.0) -> Report:
    """Waits until all is ready and calm, then counts writes for `seconds`."""
    report = Report("steady")
    created = [await cluster.apply(manifest) for manifest in parents]
    await until(lambda: _ready(cluster, created), "all addresses ready", seconds=60, every=0.2)
    await until(lambda: _calm(cluster), "calm", seconds=60)
    mark, probes, syncs = cluster.mark(), await cluster.probes(), cluster.syncs()
    await asyncio.sleep(seconds)
    writes = cluster.writes(mark)
    done = await cluster.probes() - probes
    report.equal("writes", len(writes), 0)
    total = sum(len(parent["spec"]["ips"]) / parent["spec"]["readinessProbe"]["periodSeconds"] for parent in created)
    report.at_least("probes", done, 0.9 * total * (seconds - 1))
    report.at_least("syncs of the hook", cluster.syncs() - syncs, 0.8 * len(created) * (seconds - 1))
    by_whom = Counter(f"{write.actor} {write.verb} {write.resource}" for write in writes)
    report.figures |= {"seconds": seconds, "addresses": sum(len(parent["spec"]["ips"]) for parent in created)}
    report.figures["writes by whom"] = dict(by_whom)
    return report


async def _calm(cluster: Cluster) -> bool:
    mark = cluster.mark()
    await asyncio.sleep(QUIET_SECONDS)
    return not cluster.writes(mark)


async def _ready(cluster: Cluster, parents: list[Object]) -> bool:
    for parent in parents:
        meta = parent["metadata"]
        found = await cluster.client.get(f"/api/v1/namespaces/{meta['namespace']}/endpoints")
        own = [one for one in found["items"] if one["metadata"]["name"] == meta["name"]]
        if not own or readiness(own[0]) != dict.fromkeys(parent["spec"]["ips"], True):
            return False
    return True
