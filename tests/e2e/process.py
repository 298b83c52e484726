"""The three processes of a world, each under its own account: hook, sidecar and composite controller."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from external_service.kind import host_port
from playground.manifests import composite_controller
from playground.processes import NO_TLS, Component, answers, free_ports
from tests.e2e.backends import DNS_SERVER

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
ASK_SECONDS = 2.0
LEVELS = {"ESO_LOG_LEVEL": "info"}

SHARD = "eso.example.com/shard"
"""The label that distinguishes installations in one cluster."""

Object = dict[str, Any]


class Process:
    """A Component for a test with an event loop, which runs on while this waits."""

    def __init__(self, component: Component) -> None:
        self.component = component

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.component.running

    async def start(self) -> None:
        """Returns when it is ready. Cancelled, it leaves the process to `stop`."""
        self.component.start(wait=False)
        await asyncio.to_thread(self.component.wait_ready)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if that takes longer than 20 s."""
        await asyncio.to_thread(self.component.stop)

    async def kill(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.component.kill)

    def pause(self) -> None:
        """SIGSTOP: connections stay open without a response."""
        self.component.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self.component.resume()

    def log(self) -> str:
        """All that it has written, over restarts."""
        log = self.component.log
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


class Hook(Process):
    """`python -m app`, without any right: it never calls the API server. `port`, and that of its `pages`."""

    def __init__(self, directory: Path, settings: dict[str, str], host: str = HOST) -> None:
        self.port, self.pages = free_ports(2, host)
        self.url = f"http://{host_port(host, self.port)}"
        self._directory = directory
        self._command = [sys.executable, "-m", "app", "--host", host, "--port", str(self.port)]
        self._ready = f"http://{host_port(host, self.pages)}/readyz"
        self._settings = {"ESO_METRICS_LISTEN_HOST": host, "ESO_METRICS_LISTEN_PORT": str(self.pages), **settings}
        super().__init__(self._component())

    async def restart_with(self, settings: dict[str, str]) -> None:
        """SIGTERM, and started again with these settings changed, at the same address."""
        await self.stop()
        self._settings |= settings
        self.component = self._component()
        await self.start()

    def _component(self) -> Component:
        return _python("hook", self._command, self._directory, self._ready, self._settings)


class Sidecar(Process):
    """The product, `python -m probe_sidecar`, or another module that runs it.

    `settings` are ESO_* variables. `host` is where its pages are, on a free port if `settings` name none.
    """

    def __init__(
        self,
        directory: Path,
        kubeconfig: Path,
        *,
        module: str = "probe_sidecar",
        name: str = "sidecar",
        settings: Mapping[str, str] | None = None,
        host: str = HOST,
    ) -> None:
        port = (settings or {}).get("ESO_HEALTH_LISTEN_PORT") or str(*free_ports(1, host))
        command = [sys.executable, "-m", module, "--kubeconfig", str(kubeconfig)]
        self.name = name
        self.url = f"http://{host_port(host, port)}"
        pages = {"ESO_HEALTH_LISTEN_HOST": host, "ESO_HEALTH_LISTEN_PORT": port}
        environment = {"ESO_DNS_SERVERS": DNS_SERVER, **pages, **(settings or {})}
        super().__init__(_python(name, command, directory, f"{self.url}/readyz", environment))

    async def page(self, path: str) -> httpx.Response:
        """One of its pages."""
        async with plain_client(self.url, ASK_SECONDS) as client:
            return await client.get(path)

    async def shown(self) -> Object:
        """The page /status: `replica`, `probes`, and `addresses`, one entry each."""
        found: Object = (await self.page("/status")).json()
        return found

    async def probed(self, namespace: str) -> set[str]:
        """The names of the ExternalServices of a namespace that it probes."""
        return {row["name"] for row in (await self.shown())["addresses"] if row["namespace"] == namespace}

    async def metrics(self) -> dict[str, float]:
        """The values of /metrics by series: `name_total{label="value"}`."""
        lines = [line.rpartition(" ") for line in (await self.page("/metrics")).text.splitlines()]
        return {series: float(value) for series, _, value in lines if not series.startswith("#")}

    async def metric(self, series: str) -> float:
        """One of them; LookupError if there is none of that name."""
        return (await self.metrics())[series]


def plain_client(url: str, seconds: float) -> httpx.AsyncClient:
    """A client without TLS, which saves 20 ms of CPU for reading a trust store."""
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=seconds, verify=NO_TLS)


def stand_in(directory: Path, kubeconfig: Path, hook: str, manifest: Object, *, qps: float, burst: int) -> Process:
    """The composite controller's stand-in."""
    file = directory / "composite-controller.yaml"
    file.write_text(yaml.safe_dump(manifest))
    options = {"kubeconfig": kubeconfig, "hook": hook, "manifest": file}
    options |= {"client-go-qps": qps, "client-go-burst": burst}
    command = [sys.executable, "-m", "tests.e2e.composite", *(f"--{name}={value}" for name, value in options.items())]
    return Process(_python("composite", command, directory, None))


def metacontroller(
    directory: Path,
    kubeconfig: Path,
    binary: str,
    *,
    strategy: str,
    qps: float,
    burst: int,
    target: str = "",
    host: str = HOST,
) -> Process:
    """The real Metacontroller. `target` is a label selector for the CompositeControllers that it runs."""
    metrics, health = free_ports(2, host)
    options = {
        "kubeconfig": kubeconfig,
        "metrics-address": host_port(host, metrics),
        "health-probe-bind-address": host_port(host, health),
        "discovery-interval": "1s",
        "apply-strategy": strategy,
        "client-go-qps": qps,
        "client-go-burst": burst,
        "target-label-selector": target,
    }
    command = [binary, *(f"--{name}={value}" for name, value in options.items())]
    url = f"http://{host_port(host, health)}/readyz"
    return Process(Component("composite", command, log=directory / "composite.log", ready=lambda: answers(url)))


def controller_manifest(hook: str, resync: float | None, *, gateway: bool = False, shard: str = "") -> Object:
    """metacontroller/composite-controller.yaml as shipped, but for the hook's address (no cluster DNS here).

    With `gateway` it lists what metacontroller/components/gateway-api adds. With `shard` it is one of several, for the
    ExternalServices with that label.
    """
    manifest = composite_controller()
    if shard:
        manifest["metadata"]["name"] += f"-{shard}"
        manifest["metadata"]["labels"][SHARD] = shard
        manifest["spec"]["parentResource"]["labelSelector"] = {"matchLabels": {SHARD: shard}}
    if gateway:
        manifest["spec"]["childResources"].append(gateway_patches()["CompositeController"])
    webhook = manifest["spec"]["hooks"]["sync"]["webhook"]
    path = webhook.pop("path")
    del webhook["service"]
    webhook["url"] = hook + path
    if resync is not None:
        manifest["spec"]["resyncPeriodSeconds"] = resync
    return manifest


def gateway_patches() -> dict[str, Object]:
    """The additions of metacontroller/components/gateway-api, by the kind of the patched object."""
    overlay = yaml.safe_load(
        (ROOT / "metacontroller" / "components" / "gateway-api" / "kustomization.yaml").read_text()
    )
    patches = ((patch["target"]["kind"], yaml.safe_load(patch["patch"])) for patch in overlay["patches"])
    return {kind: operation["value"] for kind, (operation,) in patches}


def _python(
    name: str, command: Sequence[str], directory: Path, ready: str | None, environment: dict[str, str] | None = None
) -> Component:
    return Component(
        name,
        command,
        log=directory / f"{name}.log",
        ready=(lambda: answers(ready)) if ready else (lambda: True),
        environment={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **LEVELS, **(environment or {})},
    )
