"""One API server: started, stopped, and started again with what it stored."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import yaml

from playground.apiserver.api import Api
from playground.apiserver.registry import Registry, Write
from playground.apiserver.resources import SERVED, Resource
from playground.apiserver.storage import Storage
from playground.serving import LoopbackServer
from playground.values import Object

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class FakeApiServer(LoopbackServer):
    """`async with FakeApiServer() as server: server.url`. Everything runs in the event loop that entered it.

    Its parts may be used at any time from that loop. `loopback` lets ExternalServices have loopback addresses.
    """

    def __init__(self, *, loopback: bool = False) -> None:
        self.storage = Storage()
        self.registry = Registry(self.storage, _now, loopback=loopback)
        self.api = self.make_api()
        self.audit = self.api.audit
        super().__init__(self.api.app)
        for name in NAMESPACES:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.api.close()

    def make_api(self) -> Api:
        """The API that is served; a subclass may serve another."""
        return Api(self.storage, self.registry)

    def resource(self, kind: str) -> Resource:
        """The resource of a kind or plural name."""
        return next(one for one in SERVED if kind in (one.kind, one.plural))

    def create(self, obj: Mapping[str, Any]) -> Object:
        """Stores an object without HTTP and audit, with its namespace if that is missing; returns it as stored."""
        resource, namespace = self.resource(obj["kind"]), obj["metadata"].get("namespace", "default")
        if resource.namespaced and self.get("Namespace", "", namespace) is None:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        write = Write(resource, namespace if resource.namespaced else "", body=obj)
        return copy.deepcopy(self.registry.create(write).object)

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
