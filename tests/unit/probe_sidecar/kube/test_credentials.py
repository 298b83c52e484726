from pathlib import Path

import httpx
import pytest

from probe_sidecar.kube.credentials import CredentialsError, FileToken, in_cluster, plain_url


def asked_with(auth: httpx.Auth, *statuses: int) -> list[str]:
    """The Authorization headers that a server sees which answers with these statuses, one after the other."""
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(statuses[len(seen) - 1])

    with httpx.Client(transport=httpx.MockTransport(handle), auth=auth) as client:
        client.get("http://api")
    return seen


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    auth = FileToken(file)
    assert asked_with(auth, 200) == ["Bearer one"]
    file.write_text("two, longer".replace(", ", "-"))
    assert asked_with(auth, 200) == ["Bearer two-longer"]


def test_the_kubelets_way_of_swapping_a_link_is_seen(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(version)
    (tmp_path / "data").symlink_to("one")
    auth = FileToken(tmp_path / "data" / "token")
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "data")
    assert asked_with(auth, 200) == ["Bearer two"]


def test_a_401_reads_the_file_again_and_asks_once_more(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    auth = FileToken(file)
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        file.write_text("two")
        return httpx.Response(401 if len(seen) < 3 else 200)

    with httpx.Client(transport=httpx.MockTransport(handle), auth=auth) as client:
        assert client.get("http://api").status_code == 401, "one retry, not more"
    assert seen == ["Bearer one", "Bearer two"]


def test_another_error_than_401_is_not_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    assert asked_with(FileToken(file), 403) == ["Bearer one"]


@pytest.mark.parametrize("content", [pytest.param(None, id="gone"), pytest.param("", id="empty")])
def test_a_token_file_that_cannot_be_read_for_a_moment_leaves_the_last_token(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    auth = FileToken(file)
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert asked_with(auth, 401, 200) == ["Bearer one", "Bearer one"]


def test_no_token_file_at_the_start_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="token: cannot read the token: No such file or directory"):
        FileToken(tmp_path / "token")


@pytest.mark.parametrize(
    ("host", "server"),
    [
        pytest.param("10.96.0.1", "https://10.96.0.1:443", id="IPv4"),
        pytest.param("fd00::1", "https://[fd00::1]:443", id="IPv6"),
    ],
)
def test_in_a_pod(tmp_path: Path, host: str, server: str, certificate: str) -> None:
    (tmp_path / "token").write_text("one")
    (tmp_path / "ca.crt").write_text(certificate)
    access = in_cluster(host, "443", tmp_path)
    assert access.server == server
    assert len(access.tls.get_ca_certs()) == 1
    assert access.auth is not None
    assert asked_with(access.auth, 200) == ["Bearer one"]


@pytest.mark.parametrize("content", [pytest.param(None, id="missing"), pytest.param("no PEM", id="no PEM")])
def test_in_a_pod_without_an_authority(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ca.crt").write_text(content)
    with pytest.raises(CredentialsError, match=r"ca\.crt: cannot use the API server's certificate authority: "):
        in_cluster("10.96.0.1", "443", tmp_path)


def test_a_plain_url() -> None:
    access = plain_url("http://127.0.0.1:8001/")
    assert (access.server, access.auth) == ("http://127.0.0.1:8001", None)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8001", "ftp://api", "http://", "http://[::1"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(CredentialsError, match=r"the API server's address: .* is not a URL"):
        plain_url(url)
