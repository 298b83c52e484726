"""What a scenario needs of the place where it runs: an API server, hands on the backends and on the sidecar.

The playground is one such place (`playground.stack`); a real control plane with network namespaces is another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from playground.backends import Mode
from playground.client import ApiClient, Kind

Object = dict[str, Any]

EXTERNAL_SERVICES = Kind("eso.crowdfox.com/v1alpha1", "externalservices", "ExternalService", namespaced=True)
SERVICES = Kind("v1", "services", "Service", namespaced=True)
ENDPOINTS = Kind("v1", "endpoints", "Endpoints", namespaced=True)
ENDPOINT_SLICES = Kind("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", namespaced=True)
INGRESSES = Kind("networking.k8s.io/v1", "ingresses", "Ingress", namespaced=True)

SIDECAR, CONTROLLER, COLLECTOR = "sidecar", "metacontroller", "garbage-collector"


@dataclass(frozen=True, slots=True)
class Write:
    """One accepted write: who, how, on what."""

    actor: str
    verb: str
    resource: str
    subresource: str
    name: str


class Cluster(Protocol):
    """Where a scenario runs. Actors are named as in `SIDECAR` and `CONTROLLER` whatever the place calls them."""

    @property
    def client(self) -> ApiClient:
        """An administrator's client of the API server."""
        ...

    async def apply(self, manifest: Object) -> Object:
        """Creates an ExternalService, with its namespace and with healthy backends for its addresses."""
        ...

    async def set_backend(self, ip: str, mode: Mode) -> None:
        """Switches the backends of an address."""
        ...

    async def requests(self, ip: str) -> int:
        """How many probes the backends of an address have seen."""
        ...

    async def probes(self) -> int:
        """How many probes the sidecar has finished since it was started."""
        ...

    async def tell(self, uid: str, verdicts: Sequence[Object]) -> float:
        """Hands verdicts (AddressStatus) to the sidecar where its prober does. Gives when, in monotonic seconds."""
        ...

    async def kill_sidecar(self) -> None:
        """SIGKILL."""
        ...

    async def start_sidecar(self) -> None:
        """Starts it and waits until it works."""
        ...

    def mark(self) -> int:
        """A point in the audit."""
        ...

    def writes(self, mark: int) -> list[Write]:
        """The accepted writes by anyone of ours since a mark, Events excepted."""
        ...

    def refused(self, mark: int) -> int:
        """How many stale status writes of the composite controller the API server has refused since a mark."""
        ...

    def syncs(self) -> int:
        """How many times the hook has been asked."""
        ...
