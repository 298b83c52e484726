"""The life of one API server: a loopback socket, uvicorn on it, stop and start at the same port."""

import asyncio
import contextlib
import copy
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
import yaml

from app.api.crd import custom_resource_definition
from playground.apiserver.api import Api
from playground.apiserver.definition import definition
from playground.apiserver.registry import Knobs, Registry, WriteOptions
from playground.apiserver.resources import BUILTIN, Resource
from playground.apiserver.rules import rule_problems
from playground.apiserver.storage import Storage
from playground.apiserver.watch import Cut

Object = dict[str, Any]

LEAVE_SECONDS = 2.0
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to the program that hosts it, and goes at once when told: clients must cope."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.leave = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self.hang_up()
        if tasks := set(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=LEAVE_SECONDS)

    def hang_up(self, client: tuple[str, int] | None = None) -> int:
        """Breaks the connection of a client, or all; returns how many."""
        transports = [connection.transport for connection in list(self.server_state.connections)]
        there = [one for one in transports if client in (None, one.get_extra_info("peername"))]
        for transport in there:
            transport.abort()
        return len(there)


class FakeApiServer:
    """`async with FakeApiServer() as server: server.url`. Everything runs in the event loop that entered it.

    `knobs.guard`, `knobs.loopback`, `faults`, `audit`, `storage` and the attributes of `api` may be used at any time
    from that loop. The default `crd` is ours, made from the models; `loopback` lets Endpoints hold 127.0.0.0/8.
    """

    def __init__(
        self, *, crd: Mapping[str, Any] | None = None, guard: bool = True, loopback: bool = False, port: int = 0
    ) -> None:
        custom = definition(crd or custom_resource_definition())
        self.knobs = Knobs(guard, loopback)
        self.storage = Storage()
        self._resources = {one.key: one for one in (*BUILTIN, custom.resource)}
        definitions = {custom.resource.key: custom}
        self.registry = Registry(self.storage, definitions, _now, self.knobs, rule_problems(self.knobs))
        self.api = Api(self.storage, self.registry, definitions)
        self.faults = self.api.faults
        self.audit = self.api.audit
        self.port = port
        self._app = self.api.serve(list(self._resources.values()))
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        for name in NAMESPACES:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        self.api.close()

    async def start(self) -> None:
        """Listens: on the port given, or one that is free; after `stop` on the same one again."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self._app, log_config=None, access_log=False, lifespan="off", ws="none")
        self._server = _Server(config)
        self.api.hang_up = self._server.hang_up
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="playground API server")
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Refuses connections from now on and drops those there are; what is stored stays."""
        if self._server is None or self._task is None:
            return
        self.faults.clear()
        self.api.flowing.set()
        self._server.leave.set()
        await self._task
        self._server = self._task = None

    def drop_connections(self) -> int:
        """Breaks every open connection without a word; returns how many."""
        return self._server.hang_up() if self._server else 0

    def end_watches(self, *, abruptly: bool = False) -> int:
        """Ends all open watches, as at their time limit, or in the middle of the stream; returns how many."""
        return self.storage.interrupt(Cut() if abruptly else None)

    def compact(self) -> None:
        """Forgets all history: whoever resumes a watch or a paged list from before gets 410."""
        self.storage.compact()

    def resource(self, kind: str) -> Resource:
        """The resource of a kind or plural name."""
        return next(one for one in self._resources.values() if kind in (one.kind, one.plural))

    def create(self, obj: Mapping[str, Any]) -> Object:
        """Stores an object past HTTP and audit, with its namespace if that is missing; returns it as stored."""
        resource, namespace = self.resource(obj["kind"]), obj["metadata"].get("namespace", "default")
        if resource.namespaced and self.storage.get(("", "namespaces"), "", namespace) is None:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        return copy.deepcopy(
            self.registry.create(resource, namespace if resource.namespaced else "", obj, WriteOptions()).object
        )

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """A copy of a stored object, or None."""
        return copy.deepcopy(self.storage.get(self.resource(kind).key, namespace, name))

    def kubeconfig(self, path: Path, namespace: str = "default") -> Path:
        """Writes a kubeconfig for kubectl and the sidecar; returns `path`."""
        name = "playground"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": self.url}}],
            "users": [{"name": name, "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
            "current-context": name,
        }
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
