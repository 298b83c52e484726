"""Traefik (Ingress and Gateway API) stops sending requests to an address that is not ready, and resumes when it is."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from playground.backends import Protocol
from playground.client import INGRESSES
from tests.e2e import traefik as consumer
from tests.e2e.backends import Conduct, Mode, Place
from tests.e2e.controlplane.build import Binaries
from tests.e2e.controlplane.cluster import ControlPlane
from tests.e2e.controlplane.pki import Pki
from tests.e2e.manifests import external_service, sample
from tests.e2e.real_api import RealApi
from tests.e2e.slices import Consumer, consuming
from tests.e2e.test_32_http_route import gateway_definitions, granted
from tests.e2e.traefik import Client, Request, Response, Traefik, ask, failures
from tests.e2e.world import SECRETS, World
from tests.scenarios.machine import Machine, watched
from tests.until import beside, until, until_equal

PROVIDERS = ("Ingress", "Gateway")
IPS = ("10.20.60.1", "10.20.60.2", "10.20.60.3")
EXACT, PREFIX, ANY = HOSTS = ("exact.example.com", "prefix.example.com", "any.example.com")
LISTENERS = [
    {"name": consumer.GATEWAY, "namespace": consumer.ACCOUNT[0], "sectionName": section}
    for section in ("http", "https")
]
OBSERVED_SECONDS = 8.0
"""After a transition."""
THROTTLE_SECONDS = 2.5
"""More than Traefik's providersThrottleDuration: by default it applies at most one configuration every 2 s."""
FAULTS = {"refused": Mode.REFUSE, "dropped": Mode.DROP, "HTTP 500": Mode.ERROR}

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Served:
    """A running Traefik, and the CA of the certificates that it serves."""

    traefik: Traefik
    pki: Pki

    def trust(self) -> ssl.SSLContext:
        """Accepts only a certificate of that CA for the requested host."""
        return ssl.create_default_context(cafile=str(self.pki.ca_file))

    async def ask(self, provider: str, host: str, path: str = "/", *, tls: bool = False) -> Response:
        """Sends one request to the entry point of a provider."""
        port = self.traefik.port(provider, tls=tls)
        return await ask(port, host, path, tls=self.trust() if tls else None)


@pytest.fixture(scope="module")
def served(real_api: RealApi, binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One Traefik for all tests of this file, and the CRDs that the Gateway API publishes."""
    plane, directory = real_api.control_plane, tmp_path_factory.mktemp("traefik")
    pki = Pki(directory / "pki")
    account = consumer.account(binaries.traefik.with_name("rbac.yaml").read_text())
    with gateway_definitions(plane, binaries):
        assert plane is not None
        _apply(plane, account)
        traefik = Traefik(binaries.traefik, real_api.kubeconfig(consumer.ACCOUNT), directory)
        classes = traefik.classes()
        try:
            _apply(plane, [consumer.tls_secret(pki, "gateway-tls", HOSTS, consumer.ACCOUNT[0]), *classes])
            traefik.component.start()
            yield Served(traefik, pki)
            assert "forbidden" not in traefik.log(), "Traefik needs more than the ClusterRoles of its documentation"
        finally:
            traefik.component.stop()
            _kubectl(plane, "delete", [*classes, *account])


def _apply(plane: ControlPlane, manifests: Sequence[Object]) -> None:
    _kubectl(plane, "apply", manifests, "--server-side")


def _kubectl(plane: ControlPlane, verb: str, manifests: Sequence[Object], *options: str) -> None:
    plane.kubectl(verb, *options, "-f", "-", stdin=yaml.safe_dump_all(manifests))


@pytest.fixture
async def routed(served: Served, world: World) -> AsyncIterator[Served]:
    """Traefik, in a world that also creates HTTPRoutes."""
    async with granted(world):
        yield served


def serve(world: World, ips: Sequence[str], port: int = 80) -> None:
    """Starts backends on the service port that respond with their own address."""
    for ip in ips:
        world.hosts.set([Place(ip, port, Protocol.HTTP)], Conduct(body=ip))


def parent(ips: Sequence[str], *hosts: tuple[str, str, str], **spec: Any) -> Object:
    entries = [{"host": host, "path": path, "pathType": kind} for host, path, kind in hosts]
    fields = {"ingress": {"className": consumer.CLASS}, "httpRoute": {"parentRefs": LISTENERS}} | spec
    return external_service("web", ips, hosts=entries, **fields)


async def until_served_by(served: Served, host: str, ips: set[str]) -> None:
    """Waits until each provider distributes requests to exactly these addresses. Traefik uses round robin."""
    for provider in PROVIDERS:

        async def bodies(provider: str = provider) -> set[tuple[int, str]]:
            found = [await served.ask(provider, host) for _ in range(2 * len(IPS))]
            return {(one.status, one.body) for one in found}

        await until_equal(bodies, {(200, ip) for ip in ips}, every=0.1)


async def until_routed(
    served: Served, provider: str, wanted: Mapping[tuple[str, str], int], *, tls: bool = False
) -> None:
    """Waits until each host and path has this status: the HTTPRoutes of several hosts come one after the other."""

    async def statuses() -> dict[tuple[str, str], int]:
        return {place: (await served.ask(provider, *place, tls=tls)).status for place in wanted}

    await until_equal(statuses, wanted, every=0.2)


def routes(provider: str) -> dict[tuple[str, str], int]:
    """Host and path -> status of the response."""
    return {
        (EXACT, "/cart"): 200,
        (EXACT, "/cart/more"): 404,
        (EXACT, "/"): 404,
        (PREFIX, "/v2"): 200,
        (PREFIX, "/v2/more"): 200,
        (PREFIX, "/v1"): 404,
        (PREFIX, "/v20"): {"Ingress": 200, "Gateway": 404}[provider],  # 404 as well with Traefik's strictPrefixMatching
        (ANY, "/whatever"): 200,
        ("other.example.com", "/cart"): 404,
    }


@pytest.mark.world(gateway=True, resync=1)
@pytest.mark.parametrize("cluster_ip", ["None", "Auto"])
async def test_traefik_routes_hosts_paths_and_certificates(world: World, routed: Served, cluster_ip: str) -> None:
    tls = [{"hosts": [EXACT, PREFIX], "secretName": "paths"}, {"secretName": "rest"}]
    for name, hosts in {"paths": HOSTS[:2], "rest": HOSTS[2:]}.items():
        secret = consumer.tls_secret(routed.pki, name, hosts, world.namespace)
        await world.client.create(SECRETS.path(world.namespace), secret)
    manifest = parent(
        IPS,
        (EXACT, "/cart", "Exact"),
        (PREFIX, "/v2", "Prefix"),
        (ANY, "", "ImplementationSpecific"),
        ingress={"className": consumer.CLASS, "tls": tls},
        service={"clusterIP": cluster_ip},
    )
    await world.apply(manifest)
    serve(world, IPS)
    await until_served_by(routed, ANY, set(IPS))

    for provider in PROVIDERS:
        wanted = routes(provider)
        await until_routed(routed, provider, wanted)
        await until_routed(routed, provider, {at: code for at, code in wanted.items() if at[0] in HOSTS}, tls=True)
    ingress = await world.get("web", kind=INGRESSES) or {}
    assert ingress["status"]["loadBalancer"] == {"ingress": [{"ip": "127.0.0.1"}]}
    await world.until_synced()

    await world.patch("web", {"spec": {"ingress": {"className": "other"}}})

    async def status() -> int:
        return (await routed.ask("Ingress", ANY)).status

    await until_equal(status, 404, every=0.1)  # an Ingress of another class is ignored
    assert (await routed.ask("Gateway", ANY)).status == 200


@pytest.mark.world(gateway=True)
async def test_traefik_follows_drain_and_min_ready(world: World, routed: Served) -> None:
    await world.apply(parent(IPS, (ANY, "", "ImplementationSpecific")))
    serve(world, IPS)
    await until_served_by(routed, ANY, set(IPS))
    await world.patch("web", {"spec": {"disabledIPs": [IPS[2]]}})
    await until_served_by(routed, ANY, set(IPS[:2]))
    for provider in PROVIDERS:
        found = [await routed.ask(provider, ANY) for _ in range(60)]
        assert {(one.status, one.body) for one in found} == {(200, ip) for ip in IPS[:2]}, provider
    await world.patch("web", {"spec": {"disabledIPs": []}})
    await until_served_by(routed, ANY, set(IPS))

    world.hosts.set([Place(ip, 8080, Protocol.HTTP) for ip in IPS], Conduct(Mode.ERROR))
    for provider in PROVIDERS:

        async def used(provider: str = provider) -> bool:
            return (await routed.ask(provider, ANY)).body in IPS

        await until_equal(used, wanted=False, every=0.1)
    await world.patch("web", {"spec": {"minReady": "50%"}})
    await until_served_by(routed, ANY, set(IPS))


def complex_example() -> Object:
    """The sample as shipped, with an HTTPRoute beside its Ingress."""
    manifest = sample("complex-example")
    manifest["spec"]["httpRoute"] = {"parentRefs": LISTENERS[:1]}
    return manifest


def quick() -> Object:
    """The same with a probe that reports a transition within seconds."""
    manifest = complex_example()
    manifest["spec"]["readinessProbe"] |= {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2}
    return manifest


@pytest.mark.parametrize(
    ("form", "manifest"),
    [
        pytest.param("Both", quick, id="Both-quick", marks=pytest.mark.world(endpoints="Both", gateway=True)),
        *(
            pytest.param(
                form,
                complex_example,
                id=f"{form}-as-shipped",
                marks=[pytest.mark.nightly, pytest.mark.world(endpoints=form, gateway=True)],
            )
            for form in ("Both", "EndpointSlice", "Endpoints")
        ),
    ],
)
async def test_no_request_fails_after_the_transition(
    world: World,
    routed: Served,
    form: str,
    manifest: Callable[[], Object],
    figures: Callable[..., None],
) -> None:
    made = manifest()
    meta, spec = made["metadata"], made["spec"]
    await world.apply(made)
    serve(world, spec["ips"])
    host = spec["hosts"][-1]["host"]
    found: dict[str, list[Request]] = {}
    async with watched() as machine, consuming(world, meta["name"], meta["namespace"]) as slices:
        for fault, mode in FAULTS.items():
            async with clients(routed, host) as sending:
                late = await _fault(world, spec["ips"], mode, sending, slices, machine)
                for provider, (windows, requests) in late.items():
                    figures(**{f"{provider}, {form}, {fault}": windows})
                    found[f"{provider}, {fault}"] = requests
    assert found == {name: [] for name in found}


@contextlib.asynccontextmanager
async def clients(served: Served, host: str) -> AsyncIterator[dict[str, Client]]:
    """One client for each provider. They send requests until the block ends."""
    made = {provider: Client(served.traefik.port(provider), host) for provider in PROVIDERS}
    async with beside(*(client.run() for client in made.values())):
        yield made


async def _fault(
    world: World, ips: Sequence[str], mode: Mode, sending: dict[str, Client], slices: Consumer, machine: Machine
) -> dict[str, tuple[str, list[Request]]]:
    """For each provider: when the last request failed, and the failures that must not occur.

    A request counts when it was sent: with dropped packets, one that was sent before the transition gets no response in
    time.
    """
    victim, *others = ips

    async def until_used(words: str) -> None:
        since = time.monotonic()
        used = set(ips)
        await until(lambda: all(one.served_by(since) == used for one in sending.values()), words, seconds=90, every=0.1)

    await until_used("all addresses are used")
    calm = time.monotonic()
    await asyncio.sleep(THROTTLE_SECONDS)
    fault = time.monotonic()
    world.hosts.switch(victim, mode)
    await until(lambda: slices.ready() == set(others), f"{victim} is not ready in the slices", seconds=90)
    transition = slices.changes[-1][0]
    await asyncio.sleep(transition + OBSERVED_SECONDS - time.monotonic())
    revival = time.monotonic()
    world.hosts.switch(victim, Mode.HEALTHY)
    await until(lambda: slices.ready() == set(ips), f"{victim} is ready again", seconds=90)
    await until_used(f"{victim} is used again")
    await asyncio.sleep(1.0)
    done = time.monotonic() - 1.0
    allowed = THROTTLE_SECONDS + machine.withheld(transition, transition + THROTTLE_SECONDS)
    found = {}
    for provider, client in sending.items():
        assert failures(client.between(fault, transition)), f"{provider}: the fault had no effect before the transition"
        unharmed = [*client.between(calm, fault - 1.0), *client.between(transition + allowed, done)]
        last = max((one.sent - transition for one in failures(client.between(fault, done))), default=0.0)
        found[provider] = (f"last failure {last:+.2f} s, allowed {allowed:.2f} s", failures(unharmed))
        served_by = {one.response.body for one in client.between(transition + allowed, revival) if one.response}
        assert victim not in served_by, provider
    return found
