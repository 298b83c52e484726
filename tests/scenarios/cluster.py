"""Interface of the cluster of a scenario: an API server, results for the sidecar, the audit.

The playground is one such cluster (`tests.scenarios.local`), a real control plane is another (`tests.e2e.world`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from playground.client import ApiClient

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    """One accepted write: by which process, how, on what."""

    actor: str
    verb: str
    resource: str
    subresource: str
    name: str


class Cluster(Protocol):
    """Cluster of a scenario. Actors are named SIDECAR and CONTROLLER (`playground.client`) in every cluster."""

    @property
    def client(self) -> ApiClient:
        """An administrator's client of the API server."""
        ...

    async def apply(self, manifest: Object) -> Object:
        """Creates an ExternalService, with its namespace and with healthy backends for its addresses."""
        ...

    async def probes(self) -> int:
        """Number of probes that the sidecar has finished since it was started."""
        ...

    async def inject(self, uid: str, results: Sequence[Object]) -> float:
        """Hands results (AddressStatus) to the sidecar as its prober does. Returns when, in monotonic seconds."""
        ...

    def mark(self) -> int:
        """A point in the audit."""
        ...

    def writes(self, mark: int) -> list[Write]:
        """The accepted writes of sidecar and composite controller since a mark, Events excepted."""
        ...

    def refused(self, mark: int) -> int:
        """Number of stale status writes of the composite controller that the API server has refused since a mark."""
        ...

    def syncs(self) -> int:
        """Number of calls of the hook."""
        ...
