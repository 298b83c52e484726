from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from external_service.core import HTTPGetAction
from probe_sidecar.probes.exchange import Hop, Outcome, Result
from probe_sidecar.probes.http import SLURP_LIMIT, Search, judge
from probe_sidecar.probes.message import NO_REDIRECT, OTHER_HOST, TOO_MANY_REDIRECTS, UNEXPECTED_STATUS
from probe_sidecar.probes.request import HttpRequest, first_request
from tests.cases import cases

REQUEST = first_request(HTTPGetAction(port=8080, path="/a", host="shop.example"), "10.0.0.1", "10.0.0.1")


def hop(request: HttpRequest) -> Hop:
    return Hop((str(request.url), request.port))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@cases(
    "location followed",
    ("line-9-relative", "/x", "http://10.0.0.1:8080/x"),
    ("line-9-another-port", "http://10.0.0.1/x", "http://10.0.0.1/x"),
    ("line-9-another-scheme", "https://10.0.0.1:8443/x", "https://10.0.0.1:8443/x"),
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


@cases(
    "given status location outcome",
    ("listed", {"expectedStatuses": ["200-299", 401]}, 401, "", (Result.SUCCESS, "HTTP 401")),
    ("range-begins", {"expectedStatuses": ["200-299"]}, 200, "", (Result.SUCCESS, "HTTP 200")),
    ("before-a-range", {"expectedStatuses": ["200-299"]}, 199, "", (Result.FAILURE, f"HTTP 199, {UNEXPECTED_STATUS}")),
    ("range-ends", {"expectedStatuses": ["200-299"]}, 299, "", (Result.SUCCESS, "HTTP 299")),
    ("behind-a-range", {"expectedStatuses": ["200-299"]}, 300, "", (Result.FAILURE, f"HTTP 300, {UNEXPECTED_STATUS}")),
    ("unlisted", {"expectedStatuses": [401]}, 200, "", (Result.FAILURE, f"HTTP 200, {UNEXPECTED_STATUS}")),
    ("a-listed-redirect-is-not-followed", {"expectedStatuses": [302]}, 302, "/x", (Result.SUCCESS, "HTTP 302")),
    ("unlisted-other-host", {"expectedStatuses": [200]}, 302, "http://shop.example/", (Result.FAILURE, SAID)),
    ("fail-relative", {"redirects": "Fail"}, 302, "/x", (Result.FAILURE, f"HTTP 302, {NO_REDIRECT}")),
    ("fail-no-location", {"redirects": "Fail"}, 308, "", (Result.FAILURE, f"HTTP 308, {NO_REDIRECT}")),
    ("fail-304-is-no-redirect", {"redirects": "Fail"}, 304, "", (Result.WARNING, "HTTP 304")),
    ("fail-but-listed", {"redirects": "Fail", "expectedStatuses": [302]}, 302, "/x", (Result.SUCCESS, "HTTP 302")),
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


@cases(
    "status location text",
    ("success", 200, "", b"gr\xc3\xbcn"),
    ("warning", 304, "", b"gr\xc3\xbcn"),
    ("redirect-elsewhere", 302, "http://shop.example/", b"gr\xc3\xbcn"),
    ("followed", 302, "/x", b""),
    ("failure", 500, "", b""),
)
def test_body_contains_applies_to_successful_statuses(status: int, location: str, text: bytes) -> None:
    assert judge(options(bodyContains="grün"), status, location).text == text


@given(body=st.text("ab", max_size=30), text=st.text("ab", max_size=5), cuts=st.lists(st.integers(0, 30), max_size=6))
def test_text_is_found_at_any_split(body: str, text: str, cuts: list[int]) -> None:
    search, data = Search(text.encode()), body.encode()
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        search.feed(data[at:cut])
        at = max(at, cut)
    assert search.found is (text in body)
