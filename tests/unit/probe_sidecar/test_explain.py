"""`status`: the text about one ExternalService, and the live view through the API server's Pod proxy."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
import httpx

from external_service.v1alpha1 import ExternalService
from probe_sidecar.check import explanation
from probe_sidecar.explain import ADVICE, LiveView, explain, live_view, ready
from probe_sidecar.kube.client import KubeClient
from tests import parents
from tests.cases import cases

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
NONE = LiveView("", None, "switched off")
LEASES = "/apis/coordination.k8s.io/v1/namespaces/ops/leases"


def parent(**status: Any) -> ExternalService:
    spec = {"ips": ["10.0.100.10", "10.0.100.11"], "readinessProbe": {"tcpSocket": {"port": 80}}}
    return parents.parent(metadata={"name": "static", "generation": 3}, status=status, **spec)


def address(ip: str, *, ready: bool, message: str, at: str = "2026-01-02T09:00:00Z") -> dict[str, Any]:
    reason = "ProbeSucceeded" if ready else "ProbeFailed"
    return {"ip": ip, "ready": ready, "reason": reason, "message": message, "lastTransitionTime": at}


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": "2026-01-02T11:55:00Z"}


def shown(told: ExternalService, view: LiveView = NONE) -> str:
    return click.unstyle(explain(told, view, NOW))


def test_explain_says_why_since_when_and_what_to_do() -> None:
    told = parent(
        ready="1/2",
        summary="1 not ready: connection refused",
        observedGeneration=3,
        addresses=[
            address("10.0.100.10", ready=True, message="HTTP 200"),
            address("10.0.100.11", ready=False, message="connection refused", at="2026-01-02T11:55:00Z"),
        ],
        conditions=[condition("Ready", "True", "SomeAddressesReady"), condition("Accepted", "True", "Accepted")],
    )
    assert shown(told).splitlines() == [
        "shop/static: 1/2 ready, 1 not ready: connection refused",
        "",
        "ADDRESS      READY    SINCE    WHY                              WHAT TO DO",
        "10.0.100.10  yes      3h       ProbeSucceeded: HTTP 200",
        f"10.0.100.11  no       5m       ProbeFailed: connection refused  {explanation('connection refused')}",
        "",
        "No live view: switched off",
    ]
    assert ready(told)


def test_explain_shows_only_conditions_with_a_problem() -> None:
    told = parent(
        summary="NoAddresses",
        observedGeneration=3,
        conditions=[
            condition("Ready", "False", "NoAddressReady"),
            condition("Accepted", "True", "Accepted"),
            condition("ProbesDelayed", "False", "ProbesInTime"),
            condition("SuspectedOutage", "True", "NoResponse"),
        ],
    )
    lines = [line.split() for line in shown(told).splitlines() if line.startswith(("Ready", "Acc", "Prob", "Susp"))]
    assert [line[:4] for line in lines] == [
        ["Ready", "False", "5m", "NoAddressReady"],
        ["SuspectedOutage", "True", "5m", "NoResponse"],
    ]
    assert ADVICE["NoResponse"] in shown(told)
    assert not ready(told)


@cases("at", ("no-time", "x"), ("before-year-1-in-utc", "0001-01-01T00:00:00+14:00"))
def test_explain_shows_a_dash_for_a_time_that_is_none(at: str) -> None:
    told = parent(addresses=[address("10.0.100.10", ready=True, message="HTTP 200", at=at)], observedGeneration=3)
    assert next(line.split()[2] for line in shown(told).splitlines() if line.startswith("10.0.100.10")) == "-"


def test_explain_escapes_control_characters() -> None:
    hostile = address("10.0.100.11", ready=False, message="\x1b[2J\r\nHTTP " + "x" * 400)
    text = explain(parent(summary="\x1b]0;x\x07", addresses=[hostile], observedGeneration=3), NONE, NOW)
    assert {"\x07", "\r"} & set(text) == set()
    assert "\x1b[2J" not in text
    assert "\x1b]" not in text
    assert max(map(len, text.splitlines())) < 300


def client(response: Callable[[httpx.Request], httpx.Response]) -> KubeClient:
    transport = httpx.MockTransport(response)
    return KubeClient(httpx.AsyncClient(transport=transport, base_url="http://api"))


def leases(*pods: str) -> httpx.Response:
    items = [{"metadata": {"name": f"probe-sidecar-{pod}"}} for pod in pods]
    return httpx.Response(200, json={"metadata": {"resourceVersion": "1"}, "items": items})


def page(*addresses: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"addresses": list(addresses)})


LIVE = {
    "ip": "10.0.100.11",
    "ready": True,
    "consecutiveFailures": 2,
    "failureThreshold": 3,
    "lastProbe": {"message": "connection refused", "durationSeconds": 0.0012, "ageSeconds": 1.2},
    "nextProbeInSeconds": 8.7,
}


async def test_live_view_comes_from_the_owning_replica() -> None:
    asked = []

    def response(request: httpx.Request) -> httpx.Response:
        if request.url.path == LEASES:
            assert request.url.params["labelSelector"] == "eso.crowdfox.com/prober-group"
            return leases("eso-a", "eso-b")
        asked.append(str(request.url))
        return page(LIVE) if "eso-b" in request.url.path else page()

    view = await live_view(client(response), parent(), "ops", 8081)
    where = "http://api/api/v1/namespaces/ops/pods/eso-{}:8081/proxy/status?namespace=shop&name=static"
    assert sorted(asked) == [where.format("a"), where.format("b")]
    assert view == LiveView("eso-b", {"addresses": [LIVE]}, "")
    assert shown(parent(), view).splitlines()[-3:] == [
        "Live, from eso-b:",
        "ADDRESS      READY    RUN         LAST                SECONDS    AGE    NEXT",
        "10.0.100.11  yes      2/3 failed  connection refused  0.001      1s     9s",
    ]


@cases(
    "responses words",
    ("rights", {LEASES: httpx.Response(403, json={"reason": "Forbidden", "message": "no"})}, "Leases"),
    ("no replica", {LEASES: leases()}, "--operator-namespace"),
    ("no right to pods/proxy", {LEASES: leases("eso-a")}, "eso-a: 403"),
)
async def test_unavailable_live_view_says_why(responses: dict[str, httpx.Response], words: str) -> None:
    refused = httpx.Response(403, content=json.dumps({"reason": "Forbidden", "message": "pods/proxy is forbidden"}))
    view = await live_view(client(lambda request: responses.get(request.url.path, refused)), parent(), "ops", 8081)
    assert view.page is None
    assert words in view.problem
    assert words in shown(parent(), view)
