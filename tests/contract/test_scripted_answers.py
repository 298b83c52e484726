"""Our result and the kubelet's on many scripted answers: the same, or a deviation with a name (docs/conformance.md).

`golden/scripted_answers.json` has a result for each, or `[kubelet's, ours, deviation]`. With KUBELET_ORACLE (see
`test_probe_parity.py`) the kubelet's own packages answer again.
"""

import asyncio
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from probe_sidecar.probes import frames
from tests.contract.scripted_answers import every
from tests.contract.test_probe_parity import kubelet_result, needs_oracle, our_result
from tests.unit.probe_sidecar.probes.servers import Script, Server, hold, read_head, server_context

PROBES = Path(__file__).parents[2] / "docs" / "probes.md"
GOLDEN = Path(__file__).parent / "golden" / "scripted_answers.json"
TOGETHER = 8
KINDS = ("grpc", "http1", "http2")


def speaks(kind: str, answer: bytes, *, stay: bool) -> Script:
    """Reads the request, writes `answer`, and closes its half or stays. A client of HTTP/2 gets the SETTINGS first."""

    def script(connection: socket.socket) -> bytes:
        connection.settimeout(5)
        if kind == "http1":
            received = read_head(connection)
            connection.sendall(answer)
        else:
            first = 9 + int.from_bytes(answer[:3], "big") if answer[3:4] == bytes((frames.SETTINGS,)) else len(answer)
            received = _read_until(connection, lambda received: len(received) >= len(frames.PREFACE))
            connection.sendall(answer[:first])
            if first < len(answer) or answer[3:4] == bytes((frames.SETTINGS,)):
                received = _read_until(connection, _has_request, received)
                connection.sendall(answer[first:])
        if not stay:
            connection.shutdown(socket.SHUT_WR)
        hold(connection)
        return received

    return script


def _read_until(connection: socket.socket, enough: Callable[[bytes], bool], received: bytes = b"") -> bytes:
    while not enough(received) and (piece := connection.recv(65_536)):
        received += piece
    return received


def _has_request(received: bytes) -> bool:
    at = len(frames.PREFACE)
    while len(received) >= at + 9:
        if received[at + 3] == frames.HEADERS:
            return True
        at += 9 + int.from_bytes(received[at : at + 3], "big")
    return False


def probe_of(kind: str, port: int) -> dict[str, Any]:
    action: dict[str, Any] = {"port": port}
    if kind == "grpc":
        return {"grpc": action, "timeoutSeconds": 1}
    return {"httpGet": {**action, "scheme": "HTTPS" if kind == "http2" else "HTTP"}, "timeoutSeconds": 1}


Ask = Callable[[dict[str, Any]], Any]


async def verdicts(names: Iterable[str], context: ssl.SSLContext, ask: Ask) -> dict[str, str]:
    """Of each name, a few at a time."""
    places = asyncio.Semaphore(TOGETHER)

    async def one(name: str) -> tuple[str, str]:
        kind, connections, stay = every()[name]
        scripts = [speaks(kind, answer, stay=stay) for answer in connections]
        async with places:
            with closing(Server(*scripts, context=context if kind == "http2" else None)) as server:
                return name, await ask(probe_of(kind, server.port))

    return dict(await asyncio.gather(*map(one, names)))


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    made = server_context(tmp_path, "a.example")
    made.set_alpn_protocols(["h2"])
    return made


def golden(side: int) -> dict[str, str]:
    recorded: Mapping[str, Any] = json.loads(GOLDEN.read_text())
    return {name: value if isinstance(value, str) else value[side] for name, value in recorded.items()}


def of_kind(kind: str) -> list[str]:
    return [name for name, answers in every().items() if answers.kind == kind]


@pytest.mark.parametrize("kind", KINDS)
async def test_our_results_are_as_recorded(kind: str, context: ssl.SSLContext) -> None:
    recorded = golden(1)
    assert await verdicts(of_kind(kind), context, our_result) == {name: recorded[name] for name in of_kind(kind)}


def test_each_deviation_is_documented() -> None:
    named = {value[2] for value in json.loads(GOLDEN.read_text()).values() if not isinstance(value, str)}
    documented = re.findall(r"^\| (D[0-9]+) \|", PROBES.read_text(), re.MULTILINE)
    assert named <= set(documented)


@pytest.mark.nightly
@needs_oracle
@pytest.mark.parametrize("kind", KINDS)
async def test_kubelet_results_are_as_recorded(kind: str, context: ssl.SSLContext) -> None:
    recorded = golden(0)
    assert await verdicts(of_kind(kind), context, kubelet_result) == {name: recorded[name] for name in of_kind(kind)}
