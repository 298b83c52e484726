"""The end of a certificate's validity, as another implementation writes it."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from external_service.core import Probe
from probe_sidecar.probes.prepare import prepare
from probe_sidecar.probes.tls import not_after
from tests.unit.probe_sidecar.probes.conftest import Judge, Serve
from tests.unit.probe_sidecar.probes.servers import says, server_context


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
