"""TLS against real servers; their certificates are made here."""

import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from external_service.core import Probe
from playground.backends import SERVING
from probe_sidecar.probes import message, tls
from probe_sidecar.probes.exchange import Outcome, Result
from probe_sidecar.probes.prepare import PreparedProbe, Referenced, prepare
from runtime.certificates import not_after
from tests.cases import cases
from tests.hostile.peers import record_fault
from tests.unit.probe_sidecar.probes.conftest import Judge, Serve
from tests.unit.probe_sidecar.probes.parts import OK, SUCCESS, failure
from tests.unit.probe_sidecar.probes.servers import bundle, hold, over_http2, read_head, says, server_context, silent


def https(port: int, *, timeout: float = 5.0, context: ssl.SSLContext | None = None, **action: Any) -> PreparedProbe:
    probe = Probe.model_validate({"httpGet": {"port": port, "scheme": "HTTPS", **action}})
    return PreparedProbe(prepare(probe, "127.0.0.1", found=Referenced(context)).hop, timeout)


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return server_context(tmp_path, "a.example")


async def test_line_6_cbc_suites_are_offered(judge: Judge, serve: Serve, context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA")
    assert await judge(https(serve(says(OK), context=context).port)) == SUCCESS


@cases(
    "action seen",
    ("d3-none-for-the-address", {}, None),
    ("d3-server-name-without-verification", {"tls": {"serverName": "b.example"}}, "b.example"),
)
async def test_d3_server_name(
    judge: Judge, serve: Serve, context: ssl.SSLContext, action: dict[str, Any], seen: str | None
) -> None:
    names: list[str | None] = []
    context.sni_callback = lambda sock, name, _: names.append(name)
    assert await judge(https(serve(says(OK), context=context).port, **action)) == SUCCESS
    assert names == [seen]


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (ssl.TLSVersion.TLSv1_2, message.handshake_failed("sslv3 alert handshake failure")),
        (ssl.TLSVersion.TLSv1_3, message.tls_failed("tlsv13 alert certificate required")),
    ],
)
async def test_missing_client_certificate_is_named(
    judge: Judge, serve: Serve, context: ssl.SSLContext, tmp_path: Path, version: ssl.TLSVersion, said: str
) -> None:
    context.load_verify_locations(cadata=bundle(tmp_path, "a.example"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    assert await judge(https(serve(says(OK), context=context).port)) == failure(said)


async def test_line_7_handshake_has_its_own_limit(judge: Judge, serve: Serve, context: ssl.SSLContext) -> None:
    def capped(probe: PreparedProbe) -> PreparedProbe:
        assert probe.hop is not None
        assert probe.hop.handshake == 10.0
        return PreparedProbe(replace(probe.hop, handshake=0.2), 60)

    assert await judge(capped(https(serve(silent).port))) == failure(message.timed_out(0.2, message.TLS_HANDSHAKE))
    drip = says(b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n", b"\r\nok", gap=0.2)
    assert await judge(capped(https(serve(drip, context=context).port))) == SUCCESS


@cases(
    "response outcome",
    ("body-until-the-end-without-close-notify", b"HTTP/1.1 200 OK\r\n\r\nok", SUCCESS),
    ("line-12-many-records", b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, SUCCESS),
)
async def test_tls_connection_end(
    judge: Judge, serve: Serve, context: ssl.SSLContext, response: bytes, outcome: Outcome
) -> None:
    assert await judge(https(serve(says(response), context=context).port)) == outcome


async def test_line_9_redirect_from_http_to_https(judge: Judge, serve: Serve, context: ssl.SSLContext) -> None:
    secure = serve(says(OK), context=context)
    location = f"https://127.0.0.1:{secure.port}/".encode()
    plain = serve(says(b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"))
    probe = Probe.model_validate({"httpGet": {"port": plain.port}})
    outcome = await judge(prepare(probe, "127.0.0.1"))
    assert outcome == Outcome(Result.SUCCESS, "HTTP 200 after 1 redirect")


VERIFY = {"caConfigMap": {"name": "corp-ca"}}
WRONG_ADDRESS = message.certificate_refused("IP address mismatch, certificate is not valid for '127.0.0.1'")
WRONG_NAME = message.certificate_refused("hostname mismatch, certificate is not valid for 'b.example'")


@cases(
    "action outcome",
    ("name-of-the-host-header", {"host": "a.example"}, SUCCESS),
    ("server-name", {"tls": VERIFY | {"serverName": "a.example"}}, SUCCESS),
    ("it-wins", {"host": "b.example", "tls": VERIFY | {"serverName": "a.example"}}, SUCCESS),
    ("another-name", {"host": "b.example"}, failure(WRONG_NAME)),
    ("no-name-is-the-address", {}, failure(WRONG_ADDRESS)),
)
async def test_certificate_must_match_the_name(
    judge: Judge, serve: Serve, context: ssl.SSLContext, tmp_path: Path, action: dict[str, Any], outcome: Outcome
) -> None:
    server = serve(says(OK), context=context)
    trusted = tls.verified(bundle(tmp_path, "a.example"))
    assert await judge(https(server.port, context=trusted, **action)) == outcome


async def test_certificate_must_be_issued_by_the_ca(
    judge: Judge, serve: Serve, context: ssl.SSLContext, tmp_path: Path
) -> None:
    server_context(tmp_path, "other.example")
    trusted = tls.verified(bundle(tmp_path, "other.example"))
    outcome = await judge(https(serve(says(OK), context=context).port, context=trusted, host="a.example"))
    assert outcome == failure(message.certificate_refused("self-signed certificate"))


@cases(
    "text",
    ("empty", ""),
    ("text", "not PEM"),
    ("a-key", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"),
    ("beyond-ascii", "h\u00e9"),
)
def test_invalid_ca_bundle_is_refused(text: str) -> None:
    with pytest.raises(tls.BadCertificates, match="holds no CA certificates in PEM form"):
        tls.verified(text)


BAD = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@cases(
    "bad problem",
    ("no-certificate-inside", BAD, "cannot be read"),
    ("no-base64", BAD.replace("AAAA", "***"), "cannot be read"),
    ("beyond-ascii", BAD.replace("AAAA", "\u00e9"), "cannot be read"),
    ("no-end", BAD.replace("-----END CERTIFICATE-----", ""), "has no end"),
)
def test_invalid_block_of_a_ca_bundle_is_named(context: ssl.SSLContext, tmp_path: Path, bad: str, problem: str) -> None:
    good = bundle(tmp_path, "a.example")
    line = good.count("\n") + 1
    for text in (good + bad + good, good + bad):
        with pytest.raises(tls.BadCertificates, match=f"^the certificate that begins in line {line} {problem}$"):
            tls.verified(text)


@pytest.mark.parametrize("between", ["", "\n\n", "\r\n", "# \u00e9\n", BAD.replace("CERTIFICATE", "PRIVATE KEY")])
def test_ca_bundle_with_indentation_is_read(context: ssl.SSLContext, tmp_path: Path, between: str) -> None:
    server_context(tmp_path, "b.example")
    two = bundle(tmp_path, "a.example").strip() + between + bundle(tmp_path, "b.example")
    for text in (two, two.replace("\n", "\n    "), two.replace("\n", "\r\n")):
        assert tls.verified(text).cert_store_stats()["x509"] == 2


async def test_certificate_with_a_short_key_is_refused(judge: Judge, serve: Serve, tmp_path: Path) -> None:
    short = server_context(tmp_path, "a.example", key=rsa.generate_private_key(65_537, 1_024))
    trusted = tls.verified(bundle(tmp_path, "a.example"))
    outcome = await judge(https(serve(says(OK), context=short).port, context=trusted, host="a.example"))
    assert outcome == failure(message.certificate_refused("EE certificate key too weak"))


def test_data_with_the_end_of_the_handshake_is_read(context: ssl.SSLContext) -> None:
    """A TLS 1.2 server sends the last message of the handshake, and may send data in the same packet."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(received, sent, server_side=True)
    exchange = https(443).hop.start()  # type: ignore[union-attr]  # an HTTPS probe has one
    received.write(cast("bytes", exchange.begin()))
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    received.write(cast("bytes", exchange.feed(sent.read())))
    server.do_handshake()
    server.write(OK)
    assert exchange.feed(sent.read()) == SUCCESS


async def test_malformed_data_after_the_handshake(judge: Judge, serve: Serve, context: ssl.SSLContext) -> None:
    def garbles(connection: socket.socket) -> bytes:
        assert isinstance(connection, ssl.SSLSocket)
        head = read_head(connection)
        with socket.socket(fileno=connection.detach()) as raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            hold(raw)
        return head

    outcome = await judge(https(serve(garbles, context=context).port))
    assert outcome == failure(message.tls_failed(record_fault("decryption failed or bad record mac")))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificate_is_presented(
    judge: Judge, serve: Serve, context: ssl.SSLContext, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The server's file holds key and certificate; its own certificate is also the client's here."""
    pem = (tmp_path / "a.example.pem").read_bytes()
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pem[pem.index(b"-----BEGIN CERTIFICATE") :].decode())
    server = serve(says(OK), context=context)
    assert await judge(https(server.port, context=tls.presenting(pem, pem))) == SUCCESS
    both = tls.presenting(pem, pem, tls.verified(pem.decode()))
    assert await judge(https(server.port, context=both, host="a.example")) == SUCCESS
    refused = await judge(https(server.port, context=both, host="b.example"))
    assert refused.message.startswith(message.certificate_refused(""))
    assert not (await judge(https(server.port))).success


def certificate(end: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "x" * 60)] * 3)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = builder.not_valid_before(datetime(1990, 1, 1, tzinfo=UTC)).not_valid_after(end).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 9999])
def test_certificate_expiry_is_read(year: int) -> None:
    end = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert not_after(certificate(end)) == end.timestamp()


DER = certificate(datetime(2030, 1, 1, tzinfo=UTC))


@given(st.integers(0, 150), st.binary(max_size=3))
def test_damaged_certificate_raises_nothing(at: int, damage: bytes) -> None:
    not_after(DER[:at] + damage + DER[at + len(damage) :])


@pytest.mark.parametrize("expired", [False, True])
async def test_expiry_of_an_unverified_certificate_is_recorded(
    judge: Judge, serve: Serve, tmp_path: Path, *, expired: bool
) -> None:
    context: ssl.SSLContext = server_context(tmp_path, "a.example", expired=expired)
    server = serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), context=context)
    prepared = prepare(Probe.model_validate({"httpGet": {"port": server.port, "scheme": "HTTPS"}}), "127.0.0.1")
    assert prepared.certificate is not None
    assert prepared.certificate.expires is None
    assert (await judge(prepared)).success
    expected = datetime.now(UTC) + timedelta(days=-1 if expired else 1)
    assert prepared.certificate.expires == pytest.approx(expected.timestamp(), abs=60)


SERVING_OUTCOME = Outcome(Result.SUCCESS, "SERVING")


health = over_http2(lambda server, stream: server.answer_health(stream, SERVING))


@cases(
    "protocols name outcome",
    ("not-verified-without-a-ca", ["h2"], None, SERVING_OUTCOME),
    ("name", ["h2"], "a.example", SERVING_OUTCOME),
    ("another-name", ["h2"], "b.example", failure(WRONG_NAME)),
    ("http/1.1", ["http/1.1"], None, failure(message.NO_ALPN)),
    ("no-alpn", [], None, failure(message.NO_ALPN)),
)
async def test_grpc_over_tls(
    judge: Judge, serve: Serve, tmp_path: Path, protocols: list[str], name: str | None, outcome: Outcome
) -> None:
    context = server_context(tmp_path, "a.example")
    if protocols:
        context.set_alpn_protocols(protocols)
    verify = VERIFY | {"serverName": name} if name else {}
    probe = Probe.model_validate({"grpc": {"port": serve(health, context=context).port, "tls": verify}})
    trusted = tls.verified(bundle(tmp_path, "a.example")) if name else None
    assert await judge(prepare(probe, "127.0.0.1", found=Referenced(trusted))) == outcome
