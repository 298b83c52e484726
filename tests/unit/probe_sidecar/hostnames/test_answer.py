"""Evaluation of DNS replies."""

import pytest

from probe_sidecar.hostnames.answer import UNKNOWN, Answer, Reply, failure, following, lasting, numeric, result

A, B, C, V6 = "10.0.100.9", "10.0.100.10", "10.0.100.11", "2001:db8::10"
NOTHING, NO_NAME = Reply("no_data"), Reply("nxdomain")
FAILED = Reply("failed", problem="SERVFAIL")
LAST = Answer((A,), (V6,))


def ok(*addresses: str, ttl: float = 60) -> Reply:
    return Reply("ok", addresses, ttl)


@pytest.mark.parametrize(
    ("last", "ipv4", "ipv6", "next_"),
    [
        pytest.param(UNKNOWN, ok(B, A), ok(V6), Answer((A, B), (V6,)), id="in numeric order"),
        pytest.param(UNKNOWN, ok(B, A, B), NOTHING, Answer((A, B), ()), id="each once, one family"),
        pytest.param(LAST, ok(C), ok(V6), Answer((C,), (V6,)), id="a new answer replaces the last"),
        pytest.param(LAST, ok(A), NOTHING, Answer((A,), ()), id="a family may end"),
        pytest.param(LAST, NOTHING, ok(V6), Answer((), (V6,)), id="the other family may end"),
        pytest.param(LAST, ok(A), NO_NAME, Answer((A,), ()), id="a denial beside an answer is an empty family"),
        pytest.param(LAST, NOTHING, NOTHING, LAST, id="nothing at all is not followed"),
        pytest.param(LAST, NO_NAME, NO_NAME, LAST, id="nor is a name that is gone"),
        pytest.param(LAST, FAILED, FAILED, LAST, id="nor a failure"),
        pytest.param(LAST, ok(B), FAILED, Answer((B,), (V6,)), id="a failing family leaves the other alone"),
        pytest.param(LAST, FAILED, NOTHING, LAST, id="empty beside a failure is not followed"),
        pytest.param(UNKNOWN, ok(B), FAILED, Answer((B,), None), id="a family that never answered stays unknown"),
        pytest.param(UNKNOWN, NOTHING, NOTHING, UNKNOWN, id="an empty name stays unknown"),
    ],
)
def test_next_lookup_time(last: Answer, ipv4: Reply, ipv6: Reply, next_: Answer) -> None:
    assert following(last, ipv4, ipv6) == next_


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "whole"),
    [
        pytest.param(ok(A), ok(V6), "ok", id="both"),
        pytest.param(ok(A), NOTHING, "ok", id="one"),
        pytest.param(ok(A), NO_NAME, "ok", id="one, and a server that is wrong"),
        pytest.param(NOTHING, NOTHING, "no_data", id="none"),
        pytest.param(NO_NAME, NO_NAME, "nxdomain", id="no name"),
        pytest.param(NO_NAME, NOTHING, "nxdomain", id="no name, says one"),
        pytest.param(ok(A), FAILED, "failed", id="half a failure"),
        pytest.param(FAILED, NO_NAME, "failed", id="a failure and a denial"),
    ],
)
def test_lookup_result(ipv4: Reply, ipv6: Reply, whole: str) -> None:
    assert result(ipv4, ipv6) == whole


def test_failures_that_differ_name_the_family() -> None:
    silent = Reply("failed", problem="no response")
    assert failure(FAILED, FAILED) == "SERVFAIL"
    assert failure(ok(A), FAILED) == "AAAA: SERVFAIL"
    assert failure(FAILED, silent) == "A: SERVFAIL, AAAA: no response"
    assert failure(ok(A), NOTHING) == ""


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "seconds"),
    [
        pytest.param(ok(A, ttl=30), ok(V6, ttl=20), 20, id="the shorter one"),
        pytest.param(ok(A, ttl=0), NOTHING, 5, id="five seconds at least"),
        pytest.param(ok(A, ttl=86_400), FAILED, 300, id="five minutes at most"),
        pytest.param(NOTHING, FAILED, None, id="without an answer none"),
    ],
)
def test_lifetime_of_a_result(ipv4: Reply, ipv6: Reply, seconds: float | None) -> None:
    assert lasting(ipv4, ipv6) == seconds


def test_addresses_are_sorted_numerically() -> None:
    assert sorted([V6, "2001:db8::9", B, A], key=numeric) == [A, B, "2001:db8::9", V6]
