"""The EndpointSlices of a Service for its consumers: ours and mirrored ones together."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from playground.client import ENDPOINT_SLICES, ApiClient
from playground.composite.informer import Informer
from tests.e2e.world import World
from tests.until import beside

Object = dict[str, Any]
Triple = tuple[bool, bool, bool]

OURS = "external-service-operator.eso.crowdfox.com"
MIRROR = "endpointslicemirroring-controller.k8s.io"
MANAGERS = {"Endpoints": {MIRROR}, "EndpointSlice": {OURS}, "Both": {OURS}}
"""The manager of the slices for each value of ESO_ENDPOINTS."""
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"


async def our_slices(world: World, service: str) -> dict[str, dict[str, Triple]]:
    """Name -> address -> (ready, serving, terminating)."""
    found = await world.client.get(
        ENDPOINT_SLICES.path(world.namespace), labelSelector=f"{SERVICE_NAME}={service},{MANAGED_BY}={OURS}"
    )
    return {one["metadata"]["name"]: dict(map(_triple, one["endpoints"] or ())) for one in found["items"]}


async def our_endpoints(world: World, service: str) -> dict[str, Triple]:
    """The addresses of all of our slices."""
    slices = await our_slices(world, service)
    return {ip: triple for held in slices.values() for ip, triple in held.items()}


def _triple(endpoint: Object) -> tuple[str, Triple]:
    conditions = endpoint["conditions"]
    (ip,) = endpoint["addresses"]
    return ip, (conditions["ready"], conditions["serving"], conditions["terminating"])


@dataclass(slots=True)
class Consumer:
    """Watches all slices of a Service and records each change of the addresses in use.

    `changes`: the ready ones. `served`: those that Traefik sends traffic to, since it reads only `serving`.
    """

    client: ApiClient
    namespace: str
    service: str
    changes: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    served: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    informer: Informer = field(init=False)

    def __post_init__(self) -> None:
        self.informer = Informer(self.client, ENDPOINT_SLICES, self._changed)

    def ready(self) -> frozenset[str]:
        """Addresses that are ready in any slice now."""
        return self._with("ready")

    def serving(self) -> frozenset[str]:
        """Addresses that are serving in any slice now. No `serving` means true, as for Traefik."""
        return self._with("serving")

    def addresses(self) -> list[str]:
        """Every address, once for each slice that it is in."""
        return [endpoint["addresses"][0] for endpoint in self._endpoints()]

    def managers(self) -> set[str]:
        """The managers of the existing slices."""
        return {one["metadata"]["labels"].get(MANAGED_BY, "") for one in self._of_service()}

    def _changed(self, _old: Object | None, _new: Object | None) -> None:
        for record, now in ((self.changes, self.ready()), (self.served, self.serving())):
            if not record or record[-1][1] != now:
                record.append((time.monotonic(), now))

    def _of_service(self) -> list[Object]:
        return [
            one
            for (namespace, _), one in self.informer.objects.items()
            if namespace == self.namespace and one["metadata"].get("labels", {}).get(SERVICE_NAME) == self.service
        ]

    def _with(self, condition: str) -> frozenset[str]:
        return frozenset(
            endpoint["addresses"][0]
            for endpoint in self._endpoints()
            if endpoint["conditions"].get(condition) is not False
        )

    def _endpoints(self) -> list[Object]:
        return [endpoint for one in self._of_service() for endpoint in one["endpoints"] or ()]


@contextlib.asynccontextmanager
async def consuming(world: World, service: str, namespace: str = "") -> AsyncIterator[Consumer]:
    """A Consumer of a Service, in the world's namespace if none is given, while it lasts."""
    consumer = Consumer(world.client, namespace or world.namespace, service)
    async with beside(consumer.informer.run()):
        await consumer.informer.synced.wait()
        yield consumer
