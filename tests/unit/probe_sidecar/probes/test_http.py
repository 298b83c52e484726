import pytest

from app.api.core import HTTPGetAction
from probe_sidecar.probes.http import BODY_LIMIT, SLURP_LIMIT, Plan, judge
from probe_sidecar.probes.outcome import Outcome, Result
from probe_sidecar.probes.request import HttpRequest, first_request

REQUEST = first_request(HTTPGetAction(port=8080, path="/a", host="shop.example"), "10.0.0.1", "10.0.0.1")


@pytest.mark.parametrize(
    ("status", "location", "result", "message"),
    [
        pytest.param(200, "", Result.SUCCESS, "HTTP 200", id="line-8-200"),
        pytest.param(299, "", Result.SUCCESS, "HTTP 299", id="line-8-299"),
        pytest.param(101, "", Result.FAILURE, "HTTP 101", id="line-8-101"),
        pytest.param(400, "", Result.FAILURE, "HTTP 400", id="line-8-400"),
        pytest.param(999, "", Result.FAILURE, "HTTP 999", id="line-8-999"),
        pytest.param(42, "", Result.FAILURE, "HTTP 42", id="line-8-below-100"),
        pytest.param(503, "/x", Result.FAILURE, "HTTP 503", id="line-15-code-only"),
        pytest.param(301, "", Result.WARNING, "HTTP 301", id="line-10-301-without-location"),
        pytest.param(300, "/x", Result.WARNING, "HTTP 300", id="line-10-300"),
        pytest.param(304, "/x", Result.WARNING, "HTTP 304", id="line-10-304"),
        pytest.param(
            302,
            "http://shop.example/",
            Result.WARNING,
            "HTTP 302, redirect to another host not followed",
            id="line-9-own-virtual-host-is-another-host",
        ),
        pytest.param(
            302,
            "http://10.0.0.1.:80/",
            Result.WARNING,
            "HTTP 302, redirect to another host not followed",
            id="line-9-compared-as-written",
        ),
        pytest.param(
            302,
            "mailto:x",
            Result.WARNING,
            "HTTP 302, redirect to another host not followed",
            id="line-9-no-host-is-another-host",
        ),
        pytest.param(
            302, "http://10.0.0.1:x/", Result.FAILURE, "HTTP 302, unreadable Location", id="line-10-unparsable"
        ),
        pytest.param(
            302,
            "ftp://10.0.0.1/",
            Result.FAILURE,
            "HTTP 302, redirect to an unsupported scheme",
            id="line-10-same-host-unknown-scheme",
        ),
        pytest.param(
            302,
            "http://10.0.0.1:70000/",
            Result.FAILURE,
            "HTTP 302, redirect to an impossible port",
            id="line-10-impossible-port",
        ),
    ],
)
def test_the_verdict_on_a_status(status: int, location: str, result: Result, message: str) -> None:
    limit = 0 if result is Result.FAILURE else BODY_LIMIT
    assert judge(REQUEST, status, location) == Plan(Outcome(result, message), limit)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "followed"),
    [
        pytest.param("/x", "http://10.0.0.1:8080/x", id="line-9-relative"),
        pytest.param("http://10.0.0.1/x", "http://10.0.0.1/x", id="line-9-another-port"),
        pytest.param("https://10.0.0.1:8443/x", "https://10.0.0.1:8443/x", id="line-9-another-scheme"),
    ],
)
def test_line_9_redirects_to_the_address_are_followed(status: int, location: str, followed: str) -> None:
    plan = judge(REQUEST, status, location)
    assert isinstance(plan.then, HttpRequest)
    assert (str(plan.then.url), plan.then.dial, plan.limit, plan.lenient) == (followed, "10.0.0.1", SLURP_LIMIT, True)


def test_line_10_nine_redirects_pass_and_the_tenth_fails() -> None:
    request = REQUEST
    for _ in range(9):
        plan = judge(request, 302, "/x")
        assert isinstance(plan.then, HttpRequest)
        request = plan.then
    assert judge(request, 200, "").then == Outcome(Result.SUCCESS, "HTTP 200 after 9 redirects")
    assert judge(request, 302, "/x").then == Outcome(Result.FAILURE, "HTTP 302, stopped after 10 redirects")
    assert judge(request, 302, "http://elsewhere/").then == Outcome(
        Result.WARNING, "HTTP 302 after 9 redirects, redirect to another host not followed"
    )
