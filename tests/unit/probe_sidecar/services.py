"""Services with shared parts that do nothing by themselves."""

from typing import Any, cast

from external_service.admission import Features
from external_service.policy import AddressPolicy
from probe_sidecar.hostnames.cache import Families, NameCache, Reply
from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.prober.outage import Canary
from probe_sidecar.prober.target import Target
from probe_sidecar.probes.exchange import Outcome
from probe_sidecar.references import References
from probe_sidecar.service import Service, Shared
from probe_sidecar.status.publisher import StatusPublisher
from tests.parents import raw_parent
from tests.unit.probe_sidecar.prober.rig import HandLoop, surroundings_of

Object = dict[str, Any]

NOW = "2026-01-01T00:00:00Z"
RESOURCE = Resource("eso.crowdfox.com", "v1alpha1", "externalservices")


async def no_dns(name: str, families: Families) -> tuple[Reply, Reply]:
    raise AssertionError(f"nothing should ask for {name}")


def raw_object(name: str, spec: Object, status: Object | None = None, *, generation: int = 1) -> Object:
    """An ExternalService as the watch shows it."""
    versions = {"resourceVersion": str(generation), "generation": generation}
    return raw_parent(metadata={"name": name, "uid": f"uid-{name}", **versions}, status=status) | {"spec": spec}


class Services:
    """Services by name, on one loop whose time the test moves. `ours`: this process owns them."""

    def __init__(
        self,
        engine: Any,
        *,
        client: KubeClient | None = None,
        policy: AddressPolicy | None = None,
        hold: float = 0.0,
        canary: Canary | None = None,
        features: Features = Features(probe_secrets=True),  # noqa: B008 - frozen
    ) -> None:
        self.loop = HandLoop(now=0.0)
        self.ours = True
        self._generation = 0
        self.services: dict[str, Service] = {}
        no_client = cast(KubeClient, client)
        surroundings = surroundings_of(
            self.loop, engine, self.services.values(), policy=policy, hold=hold, canary=canary, wall=lambda: NOW
        )
        self.prober, self.outage = surroundings.prober, surroundings.prober.outage
        self.names = NameCache(no_dns, clock=self.loop.time)
        self.publisher = StatusPublisher(self.loop.loop, no_client, RESOURCE)
        self.shared = Shared(
            loop=self.loop.loop,
            surroundings=surroundings,
            outage=self.outage,
            names=self.names,
            references=References(no_client, refresh=60),
            publisher=self.publisher,
            events=None,
            owns=lambda _uid: self.ours,
            features=features,
        )

    def apply(self, name: str, spec: Object, status: Object | None = None) -> Service:
        """Show the object as the watch does, with a new generation each time."""
        self._generation += 1
        raw = raw_object(name, spec, status, generation=self._generation)
        if name in self.services:
            self.services[name].observe(raw)
        else:
            self.services[name] = Service(self.shared, raw)
        return self.services[name]

    def drop(self, name: str) -> None:
        """It is gone."""
        self.services.pop(name).close()

    def target(self, ip: str, name: str | None = None) -> Target:
        """A probed address."""
        wanted = [one for key, one in self.services.items() if name in (None, key)]
        return next(target for one in wanted for target in one.targets if target.ip == ip)

    def finish(self, ip: str, outcome: Outcome, seconds: float, name: str | None = None) -> None:
        """A probe of an address has ended."""
        self.target(ip, name).done(outcome, seconds)
