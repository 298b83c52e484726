"""The playground as a cluster for scenarios: it reads the audit and takes injected results."""

import re
from collections.abc import Sequence
from typing import Any

import httpx

from playground.client import CONTROLLER, SIDECAR
from playground.stack import ADMINISTRATOR, SIDECAR_AGENT, Playground
from tests.scenarios.cluster import Write

Object = dict[str, Any]

ROLES = {SIDECAR_AGENT: SIDECAR, "metacontroller": CONTROLLER}


class LocalCluster(Playground):
    """`async with LocalCluster() as cluster:` a Cluster on this machine alone."""

    sidecar_module = "tests.scenarios.sidecar"

    async def inject(self, uid: str, results: Sequence[Object]) -> float:
        """Hands results to the sidecar as its prober does. Returns when, by the clock that all processes share."""
        control = re.findall(r"^control (http://\S+)$", self.sidecar.log(), re.MULTILINE)[-1]
        async with httpx.AsyncClient(base_url=control, trust_env=False, timeout=5) as client:
            answer = await client.post("/results", json={"uid": uid, "addresses": list(results)})
        return float(answer.raise_for_status().json()["takenAt"])

    def mark(self) -> int:
        """A point in the audit."""
        return self.api.audit.total

    def writes(self, mark: int) -> list[Write]:
        """Accepted writes since a mark; Events, the administrator's and kubectl's excepted."""
        return [
            Write(ROLES.get(one.actor, one.actor), one.verb, one.resource, one.subresource, one.name)
            for one in self.api.audit.writes(mark, ignore={ADMINISTRATOR, "kubectl"})
            if one.resource != "events"
        ]

    def refused(self, mark: int) -> int:
        """Stale status writes of the composite controller that were refused since a mark."""
        return sum(
            one.actor == "metacontroller" and one.subresource == "status" and one.code == 422
            for one in self.api.audit.since(mark)
        )
