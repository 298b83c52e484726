from typing import Any

import pytest

from external_service.core import HTTPGetAction, HTTPHeader, Probe, TCPSocketAction
from probe_sidecar.probes.exchange import Outcome, Result, SocketAddress
from probe_sidecar.probes.prepare import prepare
from probe_sidecar.probes.request import control_character
from tests.cases import cases

ELSEWHERE = {"host": "elsewhere.example"}


@cases(
    "probe ip dial address",
    ("http", {"httpGet": {"port": 80}}, "10.0.0.1", None, ("10.0.0.1", 80)),
    ("ipv6", {"httpGet": {"port": 80}}, "::1", None, ("::1", 80, 0, 0)),
    ("d8-http-host-is-not-connected-to", {"httpGet": {"port": 80} | ELSEWHERE}, "10.0.0.1", None, ("10.0.0.1", 80)),
    ("d8-tcp-host-is-ignored", {"tcpSocket": {"port": 54} | ELSEWHERE}, "10.0.0.1", None, ("10.0.0.1", 54)),
    ("grpc", {"grpc": {"port": 50051}}, "10.0.0.1", None, ("10.0.0.1", 50051)),
    ("dialled-http", {"httpGet": {"port": 80}}, "10.0.0.1", "127.0.0.9", ("127.0.0.9", 80)),
    ("dialled-grpc", {"grpc": {"port": 80}}, "10.0.0.1", "127.0.0.9", ("127.0.0.9", 80)),
)
def test_probe_destination(probe: dict[str, Any], ip: str, dial: str | None, address: SocketAddress) -> None:
    prepared = prepare(Probe.model_validate(probe), ip, dial)
    assert prepared.hop is not None
    assert prepared.hop.address == address


def test_mapped_probe_names_the_original_address() -> None:
    prepared = prepare(Probe(httpGet=HTTPGetAction(port=80)), "10.0.0.1", "127.0.0.9")
    assert prepared.hop is not None
    assert prepared.hop.shared is not None
    sent = prepared.hop.shared.begin()
    assert isinstance(sent, bytes)
    assert b"\r\nHost: 10.0.0.1:80\r\n" in sent


def test_line_27_timeout_defaults_to_one_second() -> None:
    assert prepare(Probe(tcpSocket=TCPSocketAction(port=1)), "10.0.0.1").timeout == 1.0
    assert prepare(Probe(tcpSocket=TCPSocketAction(port=1), timeoutSeconds=7), "10.0.0.1").timeout == 7.0


def test_line_4_unsendable_request_always_fails() -> None:
    header = HTTPHeader.model_construct(name="X-A", value="a\r\nb")  # the API refuses it
    action = HTTPGetAction(port=80).model_copy(update={"httpHeaders": (header,)})
    prepared = prepare(Probe(httpGet=action), "10.0.0.1")
    assert prepared.hop is None
    assert prepared.refusal == Outcome(Result.FAILURE, control_character("X-A"))


@pytest.mark.parametrize(("scheme", "handshake"), [("HTTP", None), ("HTTPS", 10.0)])
def test_line_7_handshake_limit_applies_to_https_only(scheme: str, handshake: float | None) -> None:
    prepared = prepare(Probe.model_validate({"httpGet": {"port": 80, "scheme": scheme}}), "10.0.0.1")
    assert prepared.hop is not None
    assert prepared.hop.handshake == handshake
