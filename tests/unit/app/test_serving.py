"""The served hook; test_main tests the start and the stop of the process."""

import asyncio
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest
import uvloop

from app.credentials import ServerTls, Tokens
from app.server import create_app
from app.settings import Settings
from runtime.http_server import Binding, CannotListen, Limits, listen, url
from runtime.settings import EVERY_ADDRESS
from tests.e2e.controlplane.pki import Pki
from tests.unit.runtime.test_http_limits import answers, serving

METACONTROLLER_IDLE_SECONDS = 90  # net/http DefaultTransport IdleConnTimeout


def test_keep_alive_is_longer_than_metacontrollers() -> None:
    assert Limits().idle_seconds > METACONTROLLER_IDLE_SECONDS


def test_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"^cannot listen on 127.0.0.1 port {port}: Address already in use$"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "http://127.0.0.1:{}"), ("::1", "http://[::1]:{}")])
def test_url_of_an_ipv6_address_has_brackets(host: str, shown: str) -> None:
    with listen(host, 0) as listener:
        assert url(listener) == shown.format(listener.getsockname()[1])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_default_listens_on_both_families(address: str) -> None:
    with listen(EVERY_ADDRESS, 0) as listener, socket.create_connection((address, listener.getsockname()[1]), 5):
        pass


def test_without_ipv6_the_default_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listen(EVERY_ADDRESS, 0) as listener:
        assert url(listener).startswith("http://0.0.0.0:")


async def answered(binding: Binding, parts: Iterable[bytes], limits: Limits | None = None) -> list[bytes]:
    """The response to each part, sent on a connection of its own, from a server with the hook's event loop."""
    async with serving(binding, limits) as port:
        return [await answers(port, part) for part in parts]


def test_stalled_handshake_is_closed(tmp_path: Path) -> None:
    files = Pki(tmp_path).issue("server", common_name="hook", addresses=["127.0.0.1"])
    half_a_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    with listen("127.0.0.1", 0) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        binding = Binding(create_app(Settings()), listener, ServerTls(*files).context)
        assert runner.run(answered(binding, [b"", half_a_hello], Limits(head_seconds=0.3))) == [b"", b""]


def test_connection_without_a_token_is_closed(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef0123456789abcdef")
    asked = [
        f"{method} {target} HTTP/1.1\r\nHost: hook\r\n{authorization}Content-Length: 2\r\n\r\n{{}}".encode()
        for method in ("GET", "HEAD", "POST", "OPTIONS", "CONNECT", "PROPFIND")
        for target in ("/", "/sync", "/healthz", "/metrics", "/docs", "*")
        for authorization in ("", "Authorization: Basic YTpi\r\n", "Authorization: Bearer x\r\n")
    ]
    with listen("127.0.0.1", 0) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        app = create_app(Settings(), tokens=Tokens(tokens))
        answers = set(runner.run(answered(Binding(app, listener), asked)))
    assert {response.split(b" ", 2)[1] for response in answers} == {b"401", b"404", b"405"}
    assert not any(name in response.lower() for response in answers for name in (b"server:", b"uvicorn", b"date:"))
