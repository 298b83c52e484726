"""A world: one API server, hook, sidecar, composite controller and test hosts, and what a test may do with them.

The processes have accounts of their own.
"""

import asyncio
import contextlib
import itertools
import os
import subprocess
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import httpx
import pytest

from external_service.kind import DEFAULT_ENDPOINTS_FORM
from playground.addresses import records
from playground.client import (
    CONTROLLER,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    EXTERNAL_SERVICES,
    INGRESSES,
    NAMESPACES,
    SERVICES,
    SIDECAR,
    ApiClient,
    Kind,
    Refused,
    readiness,
)
from playground.manifests import spots
from probe_sidecar.replicas import lease_name
from tests.e2e import accounts, process
from tests.e2e.backends import Place
from tests.e2e.front import Front
from tests.e2e.hosts import Hosts
from tests.e2e.real_api import Entry, RealApi
from tests.until import until, until_equal

Object = dict[str, Any]

LEASES = Kind("coordination.k8s.io/v1", "leases", "Lease", namespaced=True)
PROBER_EVENTS = Kind("events.k8s.io/v1", "events", "Event", namespaced=True)
SECRETS = Kind("v1", "secrets", "Secret", namespaced=True)
COMPOSITE_CONTROLLERS = "/apis/metacontroller.k8s.io/v1alpha1/compositecontrollers"
CHILDREN = (SERVICES, ENDPOINTS, ENDPOINT_SLICES, INGRESSES)
OURS = frozenset({SIDECAR, CONTROLLER})
STRATEGIES = ("dynamic-apply", "server-side-apply")
GONE_SECONDS = 90.0
PUBLISHED_SECONDS = 60.0
CALM_SECONDS = 240.0
DEFAULT_QPS, DEFAULT_BURST = 5.0, 10
"""Metacontroller's own --client-go-qps and --client-go-burst: seconds between its read and its write."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Setup:
    """Options of a test's world, by `@pytest.mark.world(...)`.

    resync: seconds, instead of the shipped CompositeController's. qps, burst: Metacontroller's --client-go-* (its own
    default is 5 and 10). endpoints: ESO_ENDPOINTS. gateway: the CompositeController lists HTTPRoutes, as
    components/gateway-api has it. fronts: sidecar and composite controller reach the API server through `World.fronts`,
    which can be made to misbehave; each replica through one by its letter. replicas: so many sidecars share the work by
    Leases of `lease` seconds, named "a", "b", ... (0: one, without Leases). settings: ESO_* for the hook and all
    sidecars. shard: the installation works for ExternalServices with this value of the label process.SHARD alone, so
    that there may be several. status_policy: stale statuses are no-ops, where the API server can do that; without it
    they are refused. host: where our processes listen.
    """

    resync: float | None = None
    qps: float = 200.0
    burst: int = 400
    endpoints: str = DEFAULT_ENDPOINTS_FORM
    gateway: bool = False
    fronts: bool = False
    replicas: int = 0
    lease: int = 3
    settings: Mapping[str, str] = field(default_factory=dict)
    shard: str = ""
    status_policy: bool = True
    host: str = process.HOST


@dataclass(frozen=True, slots=True)
class Metacontroller:
    """The real one, from METACONTROLLER_BIN and METACONTROLLER_APPLY."""

    binary: str
    strategy: str


def real_metacontroller() -> Metacontroller | None:
    """None: the stand-in is used. ValueError for an unknown strategy."""
    binary = os.environ.get("METACONTROLLER_BIN")
    if not binary:
        return None
    strategy = os.environ.get("METACONTROLLER_APPLY") or STRATEGIES[0]
    if strategy not in STRATEGIES:
        raise ValueError(f"METACONTROLLER_APPLY: write {' or '.join(STRATEGIES)} (got {strategy!r})")
    return Metacontroller(binary, strategy)


class World:
    """`async with World(...)`: all three processes run. `namespace` is its own; `client` is an administrator's."""

    def __init__(
        self,
        api: RealApi,
        hosts: Hosts,
        directory: Path,
        setup: Setup,
        metacontroller: Metacontroller | None = None,
    ) -> None:
        self.api = api
        self.hosts = hosts
        self.setup = setup
        self.metacontroller = metacontroller
        self.namespace = f"e2e-{os.getpid()}-{next(_numbers)}"
        self.hook = process.Hook(directory, {"ESO_ENDPOINTS": setup.endpoints, **setup.settings}, setup.host)
        self._kubeconfigs = {account: api.kubeconfig(account) for account in accounts.ACCOUNTS}
        self.fronts = self._made_fronts(directory) if setup.fronts else {}
        self.manifest = process.controller_manifest(
            self.hook.url, setup.resync, gateway=setup.gateway, shard=setup.shard
        )
        self._selector = {"ESO_LABEL_SELECTOR": f"{process.SHARD}={setup.shard}"} if setup.shard else {}
        self._directory = directory
        self.replicas: dict[str, process.Sidecar] = {}
        """The sidecars that share the work, by letter; also those that have ended."""
        for letter in ascii_lowercase[: setup.replicas]:
            self.replica(letter)
        ours = self._kubeconfigs[accounts.SIDECAR_ACCOUNT]
        self.sidecar = self.replicas["a"] if setup.replicas else self._sidecar(ours)
        self.composite = self._composite(setup.qps, setup.burst)
        self.client: ApiClient
        self._http: httpx.AsyncClient
        self._made: set[tuple[str, str]] = set()
        self._spaces: set[str] = set()
        self.began = 0
        self.status_policy = False
        """Whether a stale status write is a no-op here."""

    async def __aenter__(self) -> "World":
        self._http = self.api.http()
        for front in self.fronts.values():
            await front.start()
        self.client = ApiClient(self._http, "e2e")
        try:
            await self._expect_no_strangers()
            self.status_policy = await asyncio.to_thread(self.api.use_status_policy, self.setup.status_policy)
            await self._ensure_namespace(self.namespace)
            if self.metacontroller is not None:
                path = f"{COMPOSITE_CONTROLLERS}/{self.manifest['metadata']['name']}?fieldManager=e2e&force=true"
                await self.client.patch(path, self.manifest, "application/apply-patch+yaml")
            self.began = self.api.mark() if self.api.ours else 0
            if self.replicas:
                await self._ensure_namespace(accounts.NAMESPACE)
            sidecars = self.replicas.values() or [self.sidecar]
            await _all(*(one.start() for one in (self.hook, self.composite, *sidecars)))
        except BaseException:
            await self._stop_processes()
            await self._http.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.api.revive()
            await self._delete_everything()
            await self._delete_namespaces()
        finally:
            await self._stop_processes()
            self.hosts.clear()
            with contextlib.suppress(httpx.TransportError):
                await self._delete_leases()
            await self._http.aclose()

    async def apply(self, manifest: Object) -> Object:
        """Creates an ExternalService, with its namespace and with healthy backends where its probes go.

        Its names are known to the DNS server, each with addresses of its own (`playground.addresses`).
        """
        meta = {"namespace": self.namespace} | manifest["metadata"]
        body = {**manifest, "metadata": meta}
        self.hosts.set(self.places(body))
        if known := records([body]):
            self.hosts.know(known)
        await self._ensure_namespace(meta["namespace"])
        self._made.add((meta["namespace"], meta["name"]))
        return await self.client.create(EXTERNAL_SERVICES.path(meta["namespace"]), body)

    async def probes(self) -> int:
        """The number of requests to all backends."""
        return sum(self.hosts.requests().values())

    def mark(self) -> int:
        """A point in the audit log."""
        return self.api.mark()

    def writes(self, mark: int) -> list[Entry]:
        """The accepted writes of our processes since a mark, Events excepted."""
        written = (entry for entry in self.api.entries(mark) if entry.write and entry.user in OURS)
        return [entry for entry in written if entry.resource != EVENTS.plural]

    def refused(self, mark: int) -> int:
        """The number of stale status writes of the composite controller that were refused since a mark."""
        return sum(_stale(entry) for entry in self.api.entries(mark))

    def syncs(self) -> int:
        """The number of syncs so far: each has one live GET of the parent."""
        return sum(
            entry.user == CONTROLLER and entry.verb == "get" and entry.resource == EXTERNAL_SERVICES.plural
            for entry in self.api.entries(self.began)
        )

    async def until_calm(self) -> None:
        """Waits until our processes have written nothing for three seconds."""

        async def calm() -> bool:
            mark = self.mark()
            await asyncio.sleep(3)
            return not self.writes(mark)

        await until(calm, "3 s without a write", seconds=CALM_SECONDS)

    async def until_synced(self) -> None:
        """Waits until three syncs in a row have written nothing."""
        for _ in range(5):
            mark, enough = self.mark(), self.syncs() + 3
            await until(lambda enough=enough: self.syncs() >= enough, "3 syncs", seconds=60, every=0.1)  # type: ignore[misc] # it is an int
            if not (writes := self.writes(mark)):
                return
        raise AssertionError(f"each sync writes: {writes}")

    @staticmethod
    def places(manifest: Object) -> list[Place]:
        """Where an ExternalService's probes go."""
        return list(spots(manifest))

    async def patch(self, name: str, change: Object, *, kind: Kind = EXTERNAL_SERVICES, namespace: str = "") -> Object:
        """A merge patch."""
        return await self.client.patch(kind.path(namespace or self.namespace, name), change)

    async def delete(self, name: str, *, kind: Kind = EXTERNAL_SERVICES, namespace: str = "") -> None:
        """Deletes in the background, as kubectl does."""
        await self.client.delete(kind.path(namespace or self.namespace, name))

    async def get(self, name: str, *, kind: Kind = EXTERNAL_SERVICES, namespace: str = "") -> Object | None:
        """The object, or None if there is none."""
        try:
            return await self.client.get(kind.path(namespace or self.namespace, name))
        except Refused as refusal:
            if refusal.code != 404:
                raise
            return None

    async def status(self, name: str, namespace: str = "") -> Object:
        """The status of an ExternalService; empty if there is none yet."""
        found = await self.get(name, namespace=namespace) or {}
        return found.get("status") or {}

    async def condition(self, name: str, kind: str, namespace: str = "") -> tuple[str, str, str]:
        """Status, reason and message of a condition; empty without one."""
        for one in (await self.status(name, namespace)).get("conditions", ()):
            if one["type"] == kind:
                return one["status"], one["reason"], one["message"]
        return "", "", ""

    async def addresses(self, name: str) -> dict[str, Object]:
        """The addresses of a status."""
        return {one["ip"]: one for one in (await self.status(name)).get("addresses", ())}

    async def events(self, reason: str) -> list[tuple[str, str, str]]:
        """Name of the object, type and note of each Event with this reason, in order."""
        items = (await self.client.get(PROBER_EVENTS.path(self.namespace)))["items"]
        return sorted((one["regarding"]["name"], one["type"], one["note"]) for one in items if one["reason"] == reason)

    async def has(self, name: str, kind: Kind = EXTERNAL_SERVICES, namespace: str = "") -> bool:
        """Whether there is such an object."""
        return await self.get(name, kind=kind, namespace=namespace) is not None

    async def until_published(
        self, name: str, wanted: Mapping[str, bool], *, seconds: float = PUBLISHED_SECONDS, namespace: str = ""
    ) -> float:
        """Waits until the Endpoints show exactly this; returns the seconds."""

        return await until_equal(lambda: self.published(name, namespace), wanted, seconds=seconds, every=0.02)

    async def published(self, name: str, namespace: str = "") -> Mapping[str, bool]:
        """The addresses in the Endpoints, ready or not; empty while there are no Endpoints."""
        found = await self.get(name, kind=ENDPOINTS, namespace=namespace)
        return readiness(found) if found else {}

    async def sync_errors(self) -> list[Object]:
        """The Events with reason SyncError in the world's namespace."""
        found = await self.client.get(EVENTS.path(self.namespace))
        return [event for event in found["items"] if event["reason"] == "SyncError"]

    async def kubectl(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The result of kubectl as an administrator, with any exit status."""
        if self.api.kubectl is None:
            pytest.skip("no `kubectl` in PATH")
        command = (str(self.api.kubectl), f"--kubeconfig={self.api.admin_kubeconfig}", *arguments)
        home = {"PATH": os.environ["PATH"], "HOME": str(self._directory), **environment}
        run = partial(subprocess.run, command, check=False, capture_output=True, text=True, env=home, timeout=60)
        return await asyncio.to_thread(run)

    # Replicas

    def replica(self, letter: str, *, settings: Mapping[str, str] | None = None, host: str = "") -> process.Sidecar:
        """Adds a replica with a token of its own; it is not started. See `process.Sidecar`.

        In place of an ended one with the same letter, it is the same Pod with another container.
        """
        access = self.api.kubeconfig(accounts.SIDECAR_ACCOUNT, self.pod(letter))
        if self.setup.fronts:
            front = self.fronts[letter] = Front(access)
            access = front.kubeconfig(access, self._directory)
        shared = {
            "ESO_POD_NAME": self.pod(letter),
            "ESO_LEASE_NAMESPACE": accounts.NAMESPACE,
            "ESO_LEASE_SECONDS": str(self.setup.lease),
        }
        self.replicas[letter] = self._sidecar(access, f"sidecar-{letter}", shared | dict(settings or {}), host)
        return self.replicas[letter]

    def pod(self, letter: str) -> str:
        """The name of the Pod of a replica."""
        return f"{self.namespace}-{letter}"

    async def lease(self, letter: str) -> Object | None:
        """The Lease of a replica as it is stored."""
        return await self.get(lease_name(self.pod(letter)), kind=LEASES, namespace=accounts.NAMESPACE)

    async def owners(self, *letters: str) -> dict[str, list[str]]:
        """For each ExternalService of the world the replicas (of these, or all running ones) that probe it."""
        found: dict[str, list[str]] = {}
        for letter in letters or [letter for letter, replica in self.replicas.items() if replica.running]:
            for name in await self.replicas[letter].probed(self.namespace):
                found.setdefault(name, []).append(letter)
        return found

    async def until_shared(self, names: Iterable[str], *letters: str, seconds: float = 30.0) -> float:
        """Waits until each is probed by exactly one of these replicas, and each of them probes some."""
        wanted = set(names)

        async def holds() -> bool:
            owners = await self.owners(*letters)
            return owners.keys() == wanted and sorted({*map(tuple, owners.values())}) == [(one,) for one in letters]

        return await until(holds, f"{len(wanted)} shared by {letters}", seconds=seconds, every=0.05)

    def _sidecar(
        self, access: Path, name: str = "sidecar", settings: Mapping[str, str] | None = None, host: str = ""
    ) -> process.Sidecar:
        return process.Sidecar(
            self._directory,
            access,
            name=name,
            settings={**self._selector, **self.setup.settings, **(settings or {})},
            host=host or self.setup.host,
        )

    # Life

    async def limit(self, qps: float, burst: int) -> None:
        """Starts the composite controller again, with other --client-go-qps and --client-go-burst."""
        await self.composite.stop()
        self.composite = self._composite(qps, burst)
        await self.composite.start()

    def _composite(self, qps: float, burst: int) -> process.Process:
        directory, kubeconfig = self._directory, self._kubeconfigs[accounts.CONTROLLER_ACCOUNT]
        limits: dict[str, Any] = {"qps": qps, "burst": burst}
        if self.metacontroller is None:
            return process.stand_in(directory, kubeconfig, self.hook.url, self.manifest, **limits)
        real = self.metacontroller
        target = self._selector.get("ESO_LABEL_SELECTOR", "")
        return process.metacontroller(
            directory, kubeconfig, real.binary, strategy=real.strategy, target=target, host=self.setup.host, **limits
        )

    def _made_fronts(self, directory: Path) -> dict[str, Front]:
        """The fronts by client: SIDECAR and CONTROLLER."""
        fronts: dict[str, Front] = {}
        for account, file in self._kubeconfigs.items():
            fronts[accounts.ROLES[account]] = front = Front(file)
            self._kubeconfigs[account] = front.kubeconfig(file, directory)
        return fronts

    async def _expect_no_strangers(self) -> None:
        """RuntimeError if there are ExternalServices already: our sidecars would probe them too."""
        found = (await self.client.get(EXTERNAL_SERVICES.path()))["items"]
        if names := [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in found]:
            raise RuntimeError(f"delete these before a world begins (an earlier test left them?): {', '.join(names)}")

    async def _ensure_namespace(self, name: str) -> None:
        try:
            await self.client.create(NAMESPACES.path(), {"metadata": {"name": name}})
            self._spaces.add(name)
        except Refused as refusal:
            if refusal.reason != "AlreadyExists":
                raise

    async def _delete_namespaces(self) -> None:
        """Those that this world has made, and wait until they are gone: a page's commands create some of them again."""
        for name in self._spaces:
            with contextlib.suppress(Refused):
                await self.client.delete(NAMESPACES.path(name=name))
        for name in self._spaces - {self.namespace}:
            await until_equal(partial(self.has, name, NAMESPACES), wanted=False, every=0.1)

    async def _delete_everything(self) -> None:
        """Every ExternalService that this world has made; its children go with it, out of the next test's way."""
        spaces = {self.namespace, *(namespace for namespace, _ in self._made)}
        for space in spaces:
            for one in await self._items(EXTERNAL_SERVICES, space):
                if self._ours(space, one):
                    with contextlib.suppress(Refused):  # the test itself may have deleted it just now
                        await self.delete(one["metadata"]["name"], namespace=space)

        async def children() -> list[Object]:
            found = [
                (space, await self._items(kind, space, "serviceType=external")) for kind in CHILDREN for space in spaces
            ]
            return [one for space, items in found for one in items if self._ours(space, one)]

        await until_equal(children, [], seconds=GONE_SECONDS, every=0.1)
        if self.metacontroller is not None:
            await self.client.delete(f"{COMPOSITE_CONTROLLERS}/{self.manifest['metadata']['name']}")
        await self.client.delete(NAMESPACES.path(name=self.namespace))

    async def _delete_leases(self) -> None:
        """Those that were not given back: the replicas of the next test need not wait for their end."""
        for letter in self.replicas:
            with contextlib.suppress(Refused):
                await self.delete(lease_name(self.pod(letter)), kind=LEASES, namespace=accounts.NAMESPACE)

    def _ours(self, space: str, one: Object) -> bool:
        """Whether it is an ExternalService that this world has made, or a child of one."""
        return (space, one["metadata"]["name"]) in self._made or space == self.namespace

    async def _items(self, kind: Kind, namespace: str, selector: str = "") -> Sequence[Object]:
        items: Sequence[Object] = (await self.client.get(kind.path(namespace), labelSelector=selector))["items"]
        return items

    async def _stop_processes(self) -> None:
        sidecars = {self.sidecar, *self.replicas.values()}
        await _all(*(one.stop() for one in (self.composite, self.hook, *sidecars)))
        for front in self.fronts.values():
            await front.close()


async def _all(*work: Awaitable[None]) -> None:
    """Runs all concurrently to their ends, then raises the first failure, if any."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _stale(entry: Entry) -> bool:
    return entry.user == CONTROLLER and entry.subresource == "status" and entry.code == 422


def ready(ips: Iterable[str], *, but: Iterable[str] = ()) -> dict[str, bool]:
    """All ready `but` these: what `until_published` is to see."""
    return dict.fromkeys(ips, True) | dict.fromkeys(but, False)
