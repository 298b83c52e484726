"""The hook's metrics, as Prometheus reads them."""

from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import OUTCOMES, SyncMetrics
from app.server import PAGES_ROUTES, create_app, create_pages
from app.settings import Settings
from tests.cases import cases
from tests.parents import raw_parent

PARENT = raw_parent(metadata={"annotations": {"a": "b"}}, ips=["10.0.0.1"], hosts=[{"host": "a.io"}])
NOT_TEXT: Any = (1,)
BROKEN = Settings().model_copy(update={"uncopied_annotations": NOT_TEXT})


def values(metrics: SyncMetrics, name: str) -> dict[str, float]:
    """The values of one series name, by outcome."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        sample.labels.get("outcome", ""): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def hook(metrics: SyncMetrics, settings: Settings | None = None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(settings or Settings(), metrics), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://hook")


@cases(
    "body settings outcome",
    ("answered", {"parent": PARENT}, Settings(), "ok"),
    ("refused with a text", {"parent": {**PARENT, "spec": {}}}, Settings(), "refused"),
    ("a bug", {"parent": PARENT}, BROKEN, "failed"),
)
async def test_each_sync_is_counted_once_by_outcome(body: object, settings: Settings, outcome: str) -> None:
    metrics = SyncMetrics()
    async with hook(metrics, settings) as client:
        await client.post("/sync", json=body)
    assert values(metrics, "eso_syncs_total") == {**dict.fromkeys(OUTCOMES, 0.0), outcome: 1.0}
    assert values(metrics, "eso_sync_duration_seconds_count") == {outcome: 1.0}
    assert 0 < values(metrics, "eso_sync_duration_seconds_sum")[outcome] < 60


async def test_unknown_path_is_not_counted_as_a_sync() -> None:
    metrics = SyncMetrics()
    async with hook(metrics) as client:
        await client.get("/")
    assert values(metrics, "eso_sync_duration_seconds_count") == {}


async def test_metrics_and_health_pages() -> None:
    transport = httpx.ASGITransport(create_pages(SyncMetrics()))
    async with httpx.AsyncClient(transport=transport, base_url="http://pages") as pages:
        assert [(await pages.get(path)).status_code for path in ("/healthz", "/readyz", "/sync", "/openapi.json")] == [
            200, 200, 404, 404,
        ]  # fmt: skip
        scraped = await pages.get("/metrics")
        assert [(await pages.head(path)).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        assert (await pages.get("/")).json() == {"error": f"no such path: this hook answers {PAGES_ROUTES}"}
    assert scraped.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'eso_build_info{component="hook",' in scraped.text
