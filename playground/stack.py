"""The whole loop on one machine: API server, composite controller, the real hook and sidecar as processes, backends."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from playground.addresses import claim, dial
from playground.apiserver import FakeApiServer
from playground.backends import Backends, Mode
from playground.client import ApiClient
from playground.cluster import CONTROLLER, EXTERNAL_SERVICES, SIDECAR, Write
from playground.composite.config import composite_config
from playground.composite.informer import Informer
from playground.composite_controller import CompositeController
from playground.dns_server import DnsServer
from playground.manifests import composite_controller, spots
from playground.names import records
from playground.processes import Child
from playground.until import until

Object = dict[str, Any]

HOOK = ("-m", "app", "--host", "127.0.0.1", "--port", "0")
HOOK_ENVIRONMENT = {
    "ESO_ALLOW_LOOPBACK": "true",
    "ESO_METRICS_LISTEN_HOST": "127.0.0.1",
    "ESO_METRICS_LISTEN_PORT": "0",
}
SIDECAR_ENVIRONMENT = {
    "ESO_ALLOW_LOOPBACK": "true",
    "ESO_HEALTH_LISTEN_HOST": "127.0.0.1",
    "ESO_HEALTH_LISTEN_PORT": "0",
}
SAMPLES_NAMESPACE = "external-service"
ADMINISTRATOR = "playground"
SIDECAR_AGENT = "external-service-prober"
ROLES = {SIDECAR_AGENT: SIDECAR, "metacontroller": CONTROLLER}


class NoBackend(Exception):
    """An ExternalService has been created, but nothing can be made to stand for some of its addresses."""


class Playground:
    """`async with Playground() as playground:` a working loop, an implementation of `Cluster`. Nothing is left behind.

    `guard` off is a CRD without the transition rule, `writing` "edge" a sidecar that never looks again, `window` the
    composite controller's seconds from GET to PUT, `resync` its resync period (None: as in the manifest).
    """

    def __init__(
        self,
        *,
        guard: bool = True,
        writing: str = "level",
        window: float = 0.005,
        resync: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.api = FakeApiServer(guard=guard, loopback=True)
        self.backends = Backends(self.dial)
        self.dns = DnsServer()
        self.folder = Path()
        self.sidecar = Child("sidecar", [])
        self.hook = Child("hook", HOOK, HOOK_ENVIRONMENT | dict(environment or {}))
        self.controller: CompositeController
        self._shift = 0
        self._writing = writing
        self._window = window
        self._resync = resync
        self._environment = SIDECAR_ENVIRONMENT | dict(environment or {})
        self._stack = contextlib.AsyncExitStack()
        self._door: httpx.AsyncClient
        self._client: ApiClient
        self._parents: Informer
        self._tasks: list[asyncio.Task[None]] = []
        self._ensuring: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="eso-playground-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._shift, mark = claim()
            stack.callback(mark.close)
            stack.push_async_callback(self.backends.stop)
            await self.dns.start()
            stack.push_async_callback(self.dns.stop)
            await stack.enter_async_context(self.api)
            self.api.kubeconfig(self.kubeconfig, SAMPLES_NAMESPACE)
            self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SAMPLES_NAMESPACE}})
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=self.api.url, timeout=30))
            self._client = ApiClient(http, f"{ADMINISTRATOR}/1")
            stack.push_async_callback(self._cancel_tasks)
            await self._follow_parents()
            stack.push_async_callback(self.hook.stop)
            hook = (await self.hook.start(r"listening on (http://\S+)"))[1]
            await self._start_controller(http, await stack.enter_async_context(httpx.AsyncClient(base_url=hook)))
            stack.push_async_callback(self._stop_sidecar)
            await self.start_sidecar()
            self._stack = stack.pop_all()
        return self

    async def _follow_parents(self) -> None:
        """Backends for whatever is applied, by kubectl too."""

        def changed(_old: Object | None, new: Object | None) -> None:
            self.dns.records |= records([new] if new else [])
            for spot in spots(new) if new else ():
                task = asyncio.create_task(self.backends.ensure(spot))
                self._ensuring.add(task)
                task.add_done_callback(self._ensuring.discard)

        self._parents = Informer(self._client, EXTERNAL_SERVICES, changed)
        self._tasks.append(asyncio.create_task(self._parents.run(), name="backends follow"))
        await self._parents.synced.wait()

    async def _start_controller(self, api: httpx.AsyncClient, hook: httpx.AsyncClient) -> None:
        manifest = composite_controller()
        if self._resync is not None:
            manifest["spec"]["resyncPeriodSeconds"] = self._resync
        self.controller = CompositeController(composite_config(manifest), api, hook, window=self._window)
        self._tasks.append(asyncio.create_task(self.controller.run(), name="composite controller"))

    async def _cancel_tasks(self) -> None:
        for task in (*self._tasks, *self._ensuring):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._ensuring, return_exceptions=True)

    async def _stop_sidecar(self) -> None:
        await self.sidecar.stop()
        await self._door.aclose()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def dial(self, ip: str) -> str:
        """Where the backend for an address listens."""
        return dial(ip, self._shift)

    @property
    def kubeconfig(self) -> Path:
        """The file that kubectl takes."""
        return self.folder / "kubeconfig"

    @property
    def client(self) -> ApiClient:
        """An administrator's client."""
        return self._client

    def parents(self) -> list[Object]:
        """The ExternalServices there are, by namespace and name."""
        return [self._parents.objects[place] for place in sorted(self._parents.objects)]

    def check(self) -> None:
        """Raises what has ended the controller, the hook or the sidecar, if anything has."""
        for task in self._tasks:
            if task.done():
                task.result()
        for child in (self.hook, self.sidecar):
            if not child.running:
                raise RuntimeError(f"the {child.name} has ended: {' | '.join(list(child.lines)[-5:])}")

    async def apply(self, manifest: Object) -> Object:
        """Creates an ExternalService, with its namespace and backends; NoBackend if some cannot be had."""
        meta = {"namespace": SAMPLES_NAMESPACE} | manifest["metadata"]
        if self.api.get("Namespace", "", meta["namespace"]) is None:
            self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": meta["namespace"]}})
        body = {**manifest, "metadata": meta}
        self.dns.records |= records([body])
        for spot in spots(body):
            await self.backends.ensure(spot)
        created = await self._client.create(EXTERNAL_SERVICES.path(meta["namespace"]), body)
        problems = [self.backends.problems[spot] for spot in spots(body) if spot in self.backends.problems]
        if problems:
            raise NoBackend("; ".join(problems))
        return created

    async def set_backend(self, ip: str, mode: Mode) -> None:
        """Switches the backends of an address."""
        await self.backends.set(ip, mode)

    async def requests(self, ip: str) -> int:
        """Requests that the backends of an address have seen."""
        return sum(backend.requests for backend in self.backends.at(ip))

    async def state(self) -> Object:
        """What the sidecar knows: counts and targets; nothing known while it is down."""
        try:
            answer: Object = (await self._door.get("/state")).json()
        except httpx.HTTPError:
            return {"probes": 0, "failures": 0, "transitions": 0, "targets": []}
        return answer

    async def probes(self) -> int:
        """Probes that the sidecar has finished since it was started."""
        return int((await self.state())["probes"])

    async def tell(self, uid: str, verdicts: Sequence[Object]) -> float:
        """Verdicts, handed over where the prober hands over its own; when, by the clock that all processes share."""
        answer = await self._door.post("/verdicts", json={"uid": uid, "addresses": list(verdicts)})
        return float(answer.raise_for_status().json()["takenAt"])

    async def start_sidecar(self) -> None:
        """Starts it and waits until its watch is open."""
        arguments = ["-m", "playground.sidecar", "--server", self.api.url, "--writing", self._writing]
        arguments += ["--shift", str(self._shift)]
        names = {"ESO_DNS_SERVERS": f"127.0.0.1:{self.dns.port}"}
        self.sidecar = Child("sidecar", arguments, self._environment | names)
        mark = self.api.audit.total
        found = await self.sidecar.start(r"control (http://\S+)")
        self._door = httpx.AsyncClient(base_url=found[1], timeout=5)
        await until(lambda: self._watches_since(mark), "the sidecar's watch", seconds=20)

    def _watches_since(self, mark: int) -> bool:
        return any(one.verb == "watch" and one.actor == SIDECAR_AGENT for one in self.api.audit.since(mark))

    async def kill_sidecar(self) -> None:
        """SIGKILL."""
        await self.sidecar.kill()
        await self._door.aclose()

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
            1
            for one in self.api.audit.since(mark)
            if one.actor == "metacontroller" and one.subresource == "status" and one.code == 422
        )

    def syncs(self) -> int:
        """Calls of the hook."""
        return self.controller.counts.syncs
