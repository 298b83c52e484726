"""The whole loop on one machine: API server, composite controller and backends here, hook and sidecar as processes."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Self

import httpx

from playground.addresses import claim, dial, records
from playground.apiserver import FakeApiServer
from playground.apiserver.errors import ApiError
from playground.apiserver.resources import EXTERNAL_SERVICES
from playground.apiserver.storage import Change
from playground.backends import Backends
from playground.composite.config import composite_config
from playground.composite.controller import CompositeController
from playground.dns_server import DnsServer
from playground.journal import Journal
from playground.manifests import composite_controller, spots
from playground.processes import NO_TLS, Component, answers, free_ports
from playground.values import Object
from runtime.commands import Failure

HOST = "127.0.0.1"
ENVIRONMENT = {"ESO_ALLOW_LOOPBACK": "true", "ESO_METRICS_LISTEN_HOST": HOST, "ESO_HEALTH_LISTEN_HOST": HOST}
WINDOW = 0.005  # seconds of the composite controller between GET and PUT of a status
SAMPLES_NAMESPACE = "external-service"
SIDECAR_AGENT = "external-service-prober"


class Playground:
    """`async with Playground() as playground:` everything runs. Nothing is left behind."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.api = FakeApiServer(loopback=True)
        self.api.registry.status_policy = True
        self.api.storage.listeners += [self.journal.record, self._follow]
        self.backends = Backends(self.dial)
        self.dns = DnsServer()
        self.folder = Path()
        self.sidecar: Component
        self.hook: Component
        self.controller: CompositeController
        self._shift = 0
        self._hook_port, self._metrics_port, self._pages_port = free_ports(3)
        self._stack = contextlib.AsyncExitStack()
        self._pages: httpx.AsyncClient | None = None
        self._restarting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

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
            http = await stack.enter_async_context(_plain_client(self.api.url, seconds=30))
            stack.push_async_callback(self._cancel_tasks)
            hook_command = ("app", "--host", HOST, "--port", str(self._hook_port))
            sidecar_command = ("playground.sidecar", "--kubeconfig", str(self.kubeconfig), "--shift", str(self._shift))
            self.hook = self._process("hook", hook_command, self._metrics_port)
            self.sidecar = self._process("sidecar", sidecar_command, self._pages_port)
            self._pages = await stack.enter_async_context(_plain_client(f"http://{HOST}:{self._pages_port}"))
            hook = await stack.enter_async_context(_plain_client(f"http://{HOST}:{self._hook_port}"))
            for process in (self.hook, self.sidecar):
                stack.push_async_callback(asyncio.to_thread, process.stop)
            await asyncio.gather(_start(self.hook), _start(self.sidecar))
            config = composite_config(composite_controller())
            self.controller = CompositeController(config, http, hook, window=WINDOW)
            self._tasks.add(asyncio.create_task(self.controller.run(), name="composite controller"))
            self._stack = stack.pop_all()
        return self

    def _process(self, name: str, arguments: tuple[str, ...], port: int) -> Component:
        """A process of the product; `port` is that of its pages."""
        own = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "ESO_METRICS_LISTEN_PORT": str(self._metrics_port),
            "ESO_HEALTH_LISTEN_PORT": str(self._pages_port),
            "ESO_DNS_SERVERS": f"{HOST}:{self.dns.port}",
        }
        return Component(
            name,
            (sys.executable, "-m", *arguments),
            log=self.folder / f"{name}.log",
            ready=lambda: answers(f"http://{HOST}:{port}/readyz"),
            environment={**os.environ, **ENVIRONMENT, **own},
        )

    def _follow(self, change: Change) -> None:
        """Makes backends for the ExternalServices that are applied, also by kubectl."""
        if change.resource == EXTERNAL_SERVICES.key and change.type != "DELETED":
            self._tasks.add(asyncio.create_task(self._serve(change.object)))

    async def _serve(self, parent: Object) -> None:
        self.dns.records |= records([parent])
        for spot in spots(parent):
            await self.backends.ensure(spot)

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def dial(self, ip: str) -> str:
        """Where the backend for an address listens."""
        return dial(ip, self._shift)

    @property
    def kubeconfig(self) -> Path:
        """The file for kubectl."""
        return self.folder / "kubeconfig"

    def check(self) -> None:
        """Raises the error that ended the controller, the hook or the sidecar, if one did."""
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.remove(task)
            task.result()
        for process in (self.hook, self.sidecar):
            if not process.running and not self._restarting.locked():
                raise RuntimeError(f"the {process.name} has ended: {process.tail()}")

    async def apply(self, manifest: Object) -> None:
        """Creates an ExternalService, with its namespace and backends (`backends.problems` has their failures)."""
        body = {**manifest, "metadata": {"namespace": SAMPLES_NAMESPACE} | manifest["metadata"]}
        await self._serve(body)
        try:
            self.api.create(body)
        except ApiError as refusal:
            raise Failure(2, refusal.message) from refusal

    async def read_page(self, path: str, query: str = "") -> httpx.Response:
        """One of the sidecar's pages; httpx.TransportError while it is down."""
        if self._pages is None:
            raise httpx.ConnectError("the sidecar has not been started yet")
        return await self._pages.get(httpx.URL(path, query=query.encode()))

    async def addresses(self) -> list[Object]:
        """The addresses in the sidecar's page /status; none while it is down."""
        try:
            answer = await self.read_page("/status")
        except httpx.TransportError:
            return []
        return list(answer.raise_for_status().json()["addresses"])

    async def probes(self) -> int:
        """The number of probes since the sidecar was started; 0 while it is down."""
        try:
            lines = (await self.read_page("/metrics")).text.splitlines()
        except httpx.TransportError:
            return 0
        return sum(int(line.rpartition(" ")[2]) for line in lines if line.startswith("eso_probe_total{"))

    async def restart_sidecar(self) -> bool:
        """SIGKILL, and started again; False if that is already under way."""
        if self._restarting.locked():
            return False
        async with self._restarting:
            if self.sidecar.running:
                await asyncio.to_thread(self.sidecar.kill)
            await _start(self.sidecar)
        return True


async def _start(process: Component) -> None:
    """Returns when it is ready. Cancelled, it leaves the process to `stop`."""
    process.start(wait=False)
    await asyncio.to_thread(process.wait_ready)


def _plain_client(url: str, seconds: float = 5) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=seconds, trust_env=False, verify=NO_TLS)
