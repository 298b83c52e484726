"""The sync hook beside a minimal server: a bare ASGI application that decodes the same JSON with orjson and
sends fixed bytes, served in the same way.

    python -m bench.hook ANSWER-FILE      serves the bare one
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import uvloop

from bench import build
from bench.report import Run, cpu_seconds
from runtime.http_server import Binding, listen, serve_until_signal

ROOT = Path(__file__).resolve().parents[1]
NOW = "2026-01-01T00:00:00Z"
KINDS = ("Service.v1", "Endpoints.v1", "EndpointSlice.discovery.k8s.io/v1", "Ingress.networking.k8s.io/v1")
"""Metacontroller sends every kind of the CompositeController's childResources, those without an object too."""


def parent(count: int) -> dict[str, Any]:
    """An ExternalService in its steady state, with what kubectl apply and the API server leave in its metadata."""
    ips = [f"10.{n // 62_500}.{n // 250 % 250}.{1 + n % 250}" for n in range(count)]
    spec = {
        "port": 8080,
        "ips": ips,
        "hosts": [{"host": "www.example.com", "path": "/", "pathType": "Prefix"}],
        "readinessProbe": {
            "httpGet": {"port": 8080, "path": "/healthz", "scheme": "HTTP"},
            "periodSeconds": 10,
            "timeoutSeconds": 1,
            "successThreshold": 1,
            "failureThreshold": 3,
        },
    }
    state = {"ready": True, "reason": "ProbeSucceeded", "message": "HTTP 200", "lastTransitionTime": NOW}
    ready = {"type": "Ready", "status": "True", "reason": "AllAddressesReady", "message": f"{count} of {count} ready"}
    return {
        "apiVersion": "eso.crowdfox.com/v1alpha1",
        "kind": "ExternalService",
        "metadata": {
            "name": "shop",
            "namespace": "default",
            "uid": "6f3c1f0e-1111-4222-8333-444455556666",
            "resourceVersion": "123456",
            "generation": 1,
            "creationTimestamp": NOW,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": orjson.dumps(spec).decode()},
        },
        "spec": spec,
        "status": {
            "revision": 7,
            "ready": f"{count}/{count}",
            "addresses": [{"ip": ip, **state} for ip in ips],
            "conditions": [{**ready, "lastTransitionTime": NOW, "observedGeneration": 1}],
            "observedGeneration": 1,
        },
    }


def request(raw: dict[str, Any], children: list[dict[str, Any]]) -> bytes:
    """A sync request, as Metacontroller sends it once `children` exist."""
    grouped: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for child in children:
        grouped[f"{child['kind']}.{child['apiVersion']}"][f"default/{child['metadata']['name']}"] = {
            **child,
            "metadata": {**child["metadata"], "uid": "1", "resourceVersion": "2", "creationTimestamp": NOW},
        }
    body = {"parent": raw, "children": grouped, "related": {}, "finalizing": False, "controller": {"kind": "x"}}
    return orjson.dumps(body)


def transitions(raw: dict[str, Any], children: list[dict[str, Any]]) -> list[bytes]:
    """Twenty requests, each after another address has failed: no status is like the one before."""
    addresses = raw["status"]["addresses"]
    bodies = []
    for number in range(20):
        place = number % len(addresses)
        failed = {**addresses[place], "ready": False, "reason": "ProbeFailed", "message": f"HTTP {500 + number}"}
        status = {**raw["status"], "revision": 8 + number, "addresses": [*addresses]}
        status["addresses"][place] = failed
        metadata = {**raw["metadata"], "resourceVersion": str(123_457 + number)}
        bodies.append(request({**raw, "metadata": metadata, "status": status}, children))
    return bodies


class Client:
    """One connection kept alive, as Metacontroller keeps it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def post(self, body: bytes) -> bytes:
        """The body of the response; anything but a 200 ends the measurement."""
        head = b"POST /sync HTTP/1.1\r\nHost: hook\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._socket.sendall(head % len(body) + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(1 << 16)
        answered, _, rest = data.partition(b"\r\n\r\n")
        if not answered.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the hook refused: {data.decode()}")
        length = int(answered.lower().partition(b"content-length:")[2].split(b"\r")[0])
        parts, left = [rest], length - len(rest)
        while left > 0:
            parts.append(self._socket.recv(1 << 16))
            left -= len(parts[-1])
        return b"".join(parts)


class Server:
    """One of the two in a process of its own."""

    def __init__(self, arguments: list[str]) -> None:
        environment = {**os.environ, "ESO_METRICS_LISTEN_PORT": "0", "ESO_METRICS_LISTEN_HOST": "127.0.0.1"}
        self._process = subprocess.Popen(
            [build.runtime(), "-m", *arguments], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        while "listening on http" not in (line := self._process.stderr.readline()):
            if not line:
                raise SystemExit(f"{arguments[0]} did not start")
        self.client = Client(int(line.partition("listening on http://127.0.0.1:")[2].split('"')[0]))

    def measure(self, bodies: list[bytes], seconds: float) -> tuple[float, int, float]:
        """CPU a request, requests, seconds."""
        began, before, count = monotonic(), cpu_seconds(self._process.pid), 0
        while monotonic() - began < seconds:
            for body in bodies:
                self.client.post(body)
            count += len(bodies)
        return (cpu_seconds(self._process.pid) - before) / count, count, monotonic() - began

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def hook(options: argparse.Namespace) -> Iterator[Run]:
    """POST /sync for 10 and 1,000 addresses: the same again, and after a transition each time"""
    ours = Server(["app", "--host", "127.0.0.1", "--port", "0"])
    try:
        for count in (10, 1_000):
            raw = parent(count)
            children: list[dict[str, Any]] = []
            for _ in range(2):  # slices are made when the Service exists
                children = orjson.loads(ours.client.post(request(raw, children)))["children"]
            yield from _interleaved(ours, f"hook-{count}", [request(raw, children)] * 20, options)
            yield from _interleaved(ours, f"hook-{count}-transitions", transitions(raw, children), options)
    finally:
        ours.stop()


def _interleaved(ours: Server, row: str, bodies: list[bytes], options: argparse.Namespace) -> Iterator[Run]:
    with tempfile.NamedTemporaryFile() as answer:
        answer.write(ours.client.post(bodies[0]))
        answer.flush()
        bare = Server(["bench.hook", answer.name])
        try:
            for _ in range(options.repeat):
                for peer, server in (("ours", ours), ("bare", bare)):
                    cost, requests, seconds = server.measure(bodies, options.duration)
                    yield {
                        "row": row,
                        "peer": peer,
                        "cpuMicroseconds": cost * 1e6,
                        "probesPerSecond": requests / seconds,
                    }
        finally:
            bare.stop()


ROWS = {"hook": hook}


def main() -> None:
    """The bare application."""
    answer = Path(sys.argv[1]).read_bytes()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]

    async def bare(_scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        orjson.loads(body)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    listener = listen("127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_until_signal([Binding(bare, listener)]))


if __name__ == "__main__":
    main()
