"""Tables as kubectl shows them."""

from datetime import UTC, datetime

from playground.apiserver.resources import EXTERNAL_SERVICES
from playground.apiserver.table import human_duration, table
from tests.cases import cases

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)
META = {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"}


@cases(
    "seconds text",
    ("from the future", -5, "<invalid>"),
    ("seconds", 119, "119s"),
    ("minutes and seconds", 125, "2m5s"),
    ("hours and minutes", 3 * 3600 + 60, "3h1m"),
    ("hours", 30 * 3600, "30h"),
    ("days and hours", 3 * 86400 + 3600, "3d1h"),
    ("days", 400 * 86400, "400d"),
    ("years and days", 3 * 365 * 86400 + 86400, "3y1d"),
    ("years", 9 * 365 * 86400, "9y"),
)
def test_table_ages(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_table_of_external_services() -> None:
    item = {
        "metadata": META,
        "spec": {"port": 80, "ips": ["10.0.0.1"], "readinessProbe": {"grpc": {"port": 1, "service": "shop"}}},
        "status": {"ready": "1/1", "summary": "OK", "hosts": "a +1"},
    }
    shown = table(EXTERNAL_SERVICES, [item], now=NOW, include="Metadata")
    names = [column["name"].upper() for column in shown["columnDefinitions"]]
    row = dict(zip(names, shown["rows"][0]["cells"], strict=True))
    assert row == {
        "NAME": "web",
        "READY": "1/1",
        "STATUS": "OK",
        "HOSTS": "a +1",
        "AGE": "60m",
        "PORT": 80,
        "PROBE": "shop",
        "IPS": None,
    }
    assert shown["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
