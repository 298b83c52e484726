"""A naive writer of status, for comparison: each verdict is written once, and nobody looks whether it stayed.

This is what a sidecar does that takes its own successful PATCH for the last word. With the guard in the CRD it loses
nothing; without it, what Metacontroller overwrites is lost (the `flap` scenario shows both).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from external_service.v1alpha1 import AddressStatus
from probe_sidecar.kube.client import ApiError, KubeClient, Resource

Object = dict[str, Any]


class EdgePublisher:
    """Stands where the sidecar's StatusPublisher stands: `observe`, `wake`, `run`, `close`."""

    def __init__(
        self, client: KubeClient, resource: Resource, results: Callable[[str], Mapping[str, AddressStatus]]
    ) -> None:
        self.writes = 0
        self._client = client
        self._resource = resource
        self._results = results
        self._places: dict[str, tuple[str, str]] = {}
        self._told: dict[str, dict[str, AddressStatus]] = {}
        self._wake = asyncio.Event()
        self._closing = False

    def observe(self, uid: str, raw: Object | None) -> None:
        """Learns where an object lives, and nothing else of it."""
        if raw is None:
            self._places.pop(uid, None)
        else:
            self._places[uid] = (raw["metadata"]["namespace"], raw["metadata"]["name"])
            self._wake.set()

    def wake(self, _uid: str) -> None:
        """A verdict has come."""
        self._wake.set()

    async def run(self) -> None:
        """Writes what has not been written yet, one address at a time, until closed."""
        while not self._closing:
            self._wake.clear()
            for uid, place in list(self._places.items()):
                await self._write_fresh(uid, place)
            await self._wake.wait()

    async def close(self, within: float = 1.0) -> None:  # noqa: ARG002 - the face of StatusPublisher
        """Ends `run`; it has nothing that takes time."""
        self._closing = True
        self._wake.set()

    async def _write_fresh(self, uid: str, place: tuple[str, str]) -> None:
        told = self._told.setdefault(uid, {})
        for ip, verdict in list(self._results(uid).items()):
            if told.get(ip) != verdict:
                await self._write(place, verdict)
                told[ip] = verdict

    async def _write(self, place: tuple[str, str], verdict: AddressStatus) -> None:
        """Replaces one address in the status as it is now; tries again when somebody was faster."""
        while True:
            try:
                live = await self._client.get(self._resource, *place)
                await self._client.patch_status(self._resource, *place, _operations(live, verdict))
            except ApiError as refusal:
                if refusal.status == 404:
                    return
                await asyncio.sleep(0.005)
            else:
                self.writes += 1
                return


def _operations(live: Object, verdict: AddressStatus) -> list[Object]:
    status = dict(live.get("status") or {})
    told = {address["ip"]: address for address in status.get("addresses") or ()}
    told[verdict.ip] = {field: value for field, value in verdict.model_dump().items() if value is not None}
    order = {ip: place for place, ip in enumerate(live["spec"]["ips"])}
    status["addresses"] = sorted(told.values(), key=lambda address: order.get(address["ip"], len(order)))
    status["revision"] = status.get("revision", 0) + 1
    return [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        {"op": "add", "path": "/status", "value": status},
    ]
