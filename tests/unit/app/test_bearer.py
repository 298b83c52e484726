"""Requests need a token; a changed token file is read again, an unreadable one changes nothing."""

import logging
from pathlib import Path

import httpx
import pytest

from app.credentials import Tokens, UnusableFile
from app.metrics import SyncMetrics
from app.server import create_app
from app.settings import Settings
from tests.cases import cases

OLD, NEW = "old-0123456789abcdef", "new-0123456789abcdef"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{OLD}\n")
    return path


@cases(
    "header accepted",
    ("the token", f"Bearer {OLD}", True),
    ("the scheme's case and spaces around do not matter (RFC 7235)", f"bearer  {OLD} ", True),
    ("another scheme", f"Basic {OLD}", False),
    ("a character short", f"Bearer {OLD[:-1]}", False),
    ("no token", "Bearer", False),
    ("an empty token", "Bearer ", False),
    ("nothing", "", False),
)
def test_token_comparison(file: Path, header: str, accepted: bool) -> None:
    assert Tokens(file).accept(header.encode()) is accepted


def test_token_file_has_lines_and_is_read_again(file: Path) -> None:
    file.write_text(f"{OLD}\r\n\n{NEW}")
    tokens = Tokens(file)
    assert [tokens.accept(f"Bearer {one}".encode()) for one in (OLD, NEW, "")] == [True, True, False]
    file.write_text(NEW)
    assert [tokens.accept(f"Bearer {one}".encode()) for one in (OLD, NEW)] == [False, True]


@pytest.mark.parametrize("content", [None, "", "short"], ids=["gone", "empty", "too short"])
def test_broken_token_file_keeps_the_last_tokens(
    file: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Tokens(file)
    file.unlink() if content is None else file.write_text(content)
    assert tokens.accept(f"Bearer {OLD}".encode())
    assert tokens.accept(f"Bearer {OLD}".encode())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert OLD not in caplog.text


@cases(
    "content words",
    ("empty", "", "there is no token in it"),
    ("too short", "short", "shorter than 16 characters"),
    ("not there", None, "No such file"),
)
def test_unusable_token_file_at_start_is_an_error(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UnusableFile, match=words):
        Tokens(path)


async def test_routes_without_a_token_have_the_same_401(file: Path) -> None:
    metrics = SyncMetrics()
    transport = httpx.ASGITransport(create_app(Settings(), metrics, Tokens(file)))
    asked = [("POST", "/sync"), *(("GET", path) for path in ("/healthz", "/readyz", "/docs", "/openapi.json"))]
    async with httpx.AsyncClient(transport=transport, base_url="http://hook") as stranger:
        answers = {
            (response.status_code, response.text, tuple(response.headers.multi_items()))
            for method, path in asked
            for response in [await stranger.request(method, path, content=b"{}", headers={"Authorization": "Bearer x"})]
        }
    assert answers == {
        (
            401,
            '{"error":"unauthorized"}',
            (("www-authenticate", "Bearer"), ("content-length", "24"), ("content-type", "application/json")),
        )
    }
    assert 'eso_syncs_total{outcome="unauthorized"} 1.0' in metrics.text().decode()


async def test_two_authorization_headers_are_refused(file: Path) -> None:
    transport = httpx.ASGITransport(create_app(Settings(), None, Tokens(file)))
    async with httpx.AsyncClient(transport=transport, base_url="http://hook") as client:
        twice = [("Authorization", f"Bearer {OLD}")] * 2
        assert (await client.post("/sync", content=b"", headers=twice)).status_code == 401
        assert (await client.post("/sync", content=b"", headers=twice[:1])).status_code == 400
        assert (await client.request("HEAD", "/sync")).content == b""
