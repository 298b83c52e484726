from pathlib import Path

import httpx
import pytest

from probe_sidecar.kube.credentials import CredentialsError, in_cluster, plain_url, token_file
from tests.cases import cases


def asked_with(auth: httpx.Auth, status: int = 200) -> list[str]:
    """The Authorization headers that a server sees which responds with this status."""
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(status)

    with httpx.Client(transport=httpx.MockTransport(handle), auth=auth) as client:
        client.get("http://api")
    return seen


def test_changed_token_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    auth = token_file(file)
    assert asked_with(auth) == ["Bearer one"]
    file.write_text("two, longer".replace(", ", "-"))
    assert asked_with(auth) == ["Bearer two-longer"]


@cases(
    "content",
    ("gone", None),
    ("empty", ""),
)
def test_unreadable_token_file_keeps_the_last_token(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    auth = token_file(file)
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert asked_with(auth, 401) == ["Bearer one"]


def test_missing_token_file_at_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="token: cannot read the token: No such file or directory"):
        token_file(tmp_path / "token")


@cases(
    "host server",
    ("IPv4", "10.96.0.1", "https://10.96.0.1:443"),
    ("IPv6", "fd00::1", "https://[fd00::1]:443"),
)
def test_configuration_in_a_pod(tmp_path: Path, host: str, server: str, certificate: str) -> None:
    (tmp_path / "token").write_text("one")
    (tmp_path / "ca.crt").write_text(certificate)
    access = in_cluster(host, "443", tmp_path)
    assert access.server == server
    assert len(access.tls.get_ca_certs()) == 1
    assert access.auth is not None
    assert asked_with(access.auth, 200) == ["Bearer one"]


@cases(
    "content",
    ("missing", None),
    ("no PEM", "no PEM"),
)
def test_configuration_in_a_pod_without_a_ca(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ca.crt").write_text(content)
    with pytest.raises(CredentialsError, match=r"ca\.crt: cannot use the API server's certificate authority: "):
        in_cluster("10.96.0.1", "443", tmp_path)


def test_configuration_from_a_url() -> None:
    access = plain_url("http://127.0.0.1:8001/")
    assert (access.server, access.auth) == ("http://127.0.0.1:8001", None)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8001", "ftp://api", "http://", "http://[::1"])
def test_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(CredentialsError, match=r"the API server's address: .* is not a URL"):
        plain_url(url)
