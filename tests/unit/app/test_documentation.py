"""`/docs` loads nothing from another host, and is absent with ESO_DOCS=false."""

import re
from pathlib import Path

import httpx
import pytest

from app.documentation import ASSETS, SHOWN
from app.server import ROUTES, create_app
from app.settings import Settings


def client(*, docs: bool = True) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(Settings(docs=docs)))
    return httpx.AsyncClient(transport=transport, base_url="http://hook")


async def test_docs_page_loads_only_files_that_the_hook_serves() -> None:
    async with client() as hook:
        page = await hook.get("/docs")
        named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        found = {name: (await hook.get(f"/{name}")).status_code for name in named}
    assert page.headers["content-type"].startswith("text/html")
    assert found == dict.fromkeys((f"docs/{name}" for name in SHOWN), 200)
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "index.html", "..%2Fserver.py"])
async def test_docs_serves_no_other_file(name: str) -> None:
    async with client() as hook:
        assert (await hook.get(f"/docs/{name}")).status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui.css", "/openapi.json"])
async def test_docs_switched_off_is_not_found(path: str) -> None:
    async with client(docs=False) as hook:
        response = await hook.get(path)
    assert response.status_code == 404
    assert response.json()["error"].endswith(f" {ROUTES}")


def test_assets_keep_their_licences() -> None:
    assert "Apache License" in (ASSETS / "LICENSE").read_text()
    assert "SmartBear" in (ASSETS / "NOTICE").read_text()
    bundle = (ASSETS / "swagger-ui-bundle.js").read_text()
    assert Path(ASSETS / "swagger-ui-bundle.js.LICENSE.txt").name in bundle[:200]
