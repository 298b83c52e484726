from typing import Any

import pytest

from external_service.core import HTTPGetAction
from probe_sidecar.probes.http import BODY_LIMIT, SLURP_LIMIT, Plan, judge
from probe_sidecar.probes.message import (
    IMPOSSIBLE_PORT,
    NO_REDIRECT,
    OTHER_HOST,
    OTHER_SCHEME,
    TOO_MANY_REDIRECTS,
    UNEXPECTED_STATUS,
    UNREADABLE_LOCATION,
    WITHOUT_TEXT,
)
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
            f"HTTP 302, {OTHER_HOST}",
            id="line-9-own-virtual-host-is-another-host",
        ),
        pytest.param(
            302,
            "http://10.0.0.1.:80/",
            Result.WARNING,
            f"HTTP 302, {OTHER_HOST}",
            id="line-9-compared-as-written",
        ),
        pytest.param(
            302,
            "mailto:x",
            Result.WARNING,
            f"HTTP 302, {OTHER_HOST}",
            id="line-9-no-host-is-another-host",
        ),
        pytest.param(
            302, "http://10.0.0.1:x/", Result.FAILURE, f"HTTP 302, {UNREADABLE_LOCATION}", id="line-10-unparsable"
        ),
        pytest.param(
            302,
            "ftp://10.0.0.1/",
            Result.FAILURE,
            f"HTTP 302, {OTHER_SCHEME}",
            id="line-10-same-host-unknown-scheme",
        ),
        pytest.param(
            302,
            "http://10.0.0.1:70000/",
            Result.FAILURE,
            f"HTTP 302, {IMPOSSIBLE_PORT}",
            id="line-10-impossible-port",
        ),
    ],
)
def test_result_of_a_status(status: int, location: str, result: Result, message: str) -> None:
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


def test_line_10_tenth_redirect_is_a_failure() -> None:
    request = REQUEST
    for _ in range(9):
        plan = judge(request, 302, "/x")
        assert isinstance(plan.then, HttpRequest)
        request = plan.then
    assert judge(request, 200, "").then == Outcome(Result.SUCCESS, "HTTP 200 after 9 redirects")
    assert judge(request, 302, "/x").then == Outcome(Result.FAILURE, f"HTTP 302, {TOO_MANY_REDIRECTS}")
    assert judge(request, 302, "http://elsewhere/").then == Outcome(
        Result.WARNING, f"HTTP 302 after 9 redirects, {OTHER_HOST}"
    )


SAID = f"HTTP 302, {OTHER_HOST}"


def options(**given: Any) -> HttpRequest:
    action = HTTPGetAction.model_validate({"port": 8080, "path": "/a", **given})
    return first_request(action, "10.0.0.1", "10.0.0.1")


@pytest.mark.parametrize(
    ("given", "status", "location", "outcome"),
    [
        pytest.param({"expectedStatuses": ["200-299", 401]}, 401, "", (Result.SUCCESS, "HTTP 401"), id="listed"),
        pytest.param({"expectedStatuses": [503]}, 503, "", (Result.SUCCESS, "HTTP 503"), id="listed-error"),
        pytest.param(
            {"expectedStatuses": [401]},
            200,
            "",
            (Result.FAILURE, f"HTTP 200, {UNEXPECTED_STATUS}"),
            id="unlisted",
        ),
        pytest.param(
            {"expectedStatuses": [200]},
            304,
            "",
            (Result.FAILURE, f"HTTP 304, {UNEXPECTED_STATUS}"),
            id="unlisted-304",
        ),
        pytest.param(
            {"expectedStatuses": [302]}, 302, "/x", (Result.SUCCESS, "HTTP 302"), id="a-listed-redirect-is-not-followed"
        ),
        pytest.param(
            {"expectedStatuses": [200]}, 302, "http://shop.example/", (Result.FAILURE, SAID), id="unlisted-other-host"
        ),
        pytest.param(
            {"redirects": "Fail"}, 302, "/x", (Result.FAILURE, f"HTTP 302, {NO_REDIRECT}"), id="fail-relative"
        ),
        pytest.param(
            {"redirects": "Fail"},
            301,
            "http://shop.example/",
            (Result.FAILURE, f"HTTP 301, {NO_REDIRECT}"),
            id="fail-other-host",
        ),
        pytest.param(
            {"redirects": "Fail"}, 308, "", (Result.FAILURE, f"HTTP 308, {NO_REDIRECT}"), id="fail-no-location"
        ),
        pytest.param({"redirects": "Fail"}, 304, "", (Result.WARNING, "HTTP 304"), id="fail-304-is-no-redirect"),
        pytest.param(
            {"redirects": "Fail", "expectedStatuses": [302]},
            302,
            "/x",
            (Result.SUCCESS, "HTTP 302"),
            id="fail-but-listed",
        ),
    ],
)
def test_expectation_options_decide_the_result(
    given: dict[str, Any], status: int, location: str, outcome: tuple[Result, str]
) -> None:
    assert judge(options(**given), status, location).then == Outcome(*outcome)


def test_expected_statuses_apply_after_redirects() -> None:
    plan = judge(options(expectedStatuses=[204]), 302, "/x")
    assert isinstance(plan.then, HttpRequest)
    assert judge(plan.then, 204, "").then == Outcome(Result.SUCCESS, "HTTP 204 after 1 redirect")
    assert judge(plan.then, 200, "").then == Outcome(Result.FAILURE, f"HTTP 200 after 1 redirect, {UNEXPECTED_STATUS}")


@pytest.mark.parametrize(
    ("status", "location", "text"),
    [
        pytest.param(200, "", b"ok", id="success"),
        pytest.param(304, "", b"ok", id="warning"),
        pytest.param(302, "http://shop.example/", b"ok", id="redirect-elsewhere"),
        pytest.param(302, "/x", b"", id="followed"),
        pytest.param(500, "", b"", id="failure"),
    ],
)
def test_body_contains_applies_to_successful_statuses(status: int, location: str, text: bytes) -> None:
    assert judge(options(bodyContains="ok"), status, location).text == text


def test_body_without_the_text_is_a_failure() -> None:
    plan = judge(options(bodyContains="secret"), 200, "")
    assert plan.end(found=True) == Outcome(Result.SUCCESS, "HTTP 200")
    assert plan.end(found=False) == Outcome(Result.FAILURE, f"HTTP 200, {WITHOUT_TEXT}")
