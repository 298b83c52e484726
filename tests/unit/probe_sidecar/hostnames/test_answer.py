"""Evaluation of DNS replies."""

from probe_sidecar.hostnames.answer import UNKNOWN, Answer, Reply, failure, following, lasting, numeric, result
from tests.cases import cases

A, B, C, V6 = "10.0.100.9", "10.0.100.10", "10.0.100.11", "2001:db8::10"
NOTHING, NO_NAME = Reply("no_data"), Reply("nxdomain")
FAILED = Reply("failed", problem="SERVFAIL")
LAST = Answer((A,), (V6,))


def ok(*addresses: str, ttl: float = 60) -> Reply:
    return Reply("ok", addresses, ttl)


@cases(
    "last ipv4 ipv6 next_",
    ("in numeric order", UNKNOWN, ok(B, A), ok(V6), Answer((A, B), (V6,))),
    ("each once, one family", UNKNOWN, ok(B, A, B), NOTHING, Answer((A, B), ())),
    ("a new answer replaces the last", LAST, ok(C), ok(V6), Answer((C,), (V6,))),
    ("a family may end", LAST, ok(A), NOTHING, Answer((A,), ())),
    ("the other family may end", LAST, NOTHING, ok(V6), Answer((), (V6,))),
    ("a denial beside an answer is an empty family", LAST, ok(A), NO_NAME, Answer((A,), ())),
    ("nothing at all is not followed", LAST, NOTHING, NOTHING, LAST),
    ("nor is a name that is gone", LAST, NO_NAME, NO_NAME, LAST),
    ("nor a failure", LAST, FAILED, FAILED, LAST),
    ("a failing family leaves the other alone", LAST, ok(B), FAILED, Answer((B,), (V6,))),
    ("empty beside a failure is not followed", LAST, FAILED, NOTHING, LAST),
    ("a family that never answered stays unknown", UNKNOWN, ok(B), FAILED, Answer((B,), None)),
    ("an empty name stays unknown", UNKNOWN, NOTHING, NOTHING, UNKNOWN),
)
def test_next_lookup_time(last: Answer, ipv4: Reply, ipv6: Reply, next_: Answer) -> None:
    assert following(last, ipv4, ipv6) == next_


@cases(
    "ipv4 ipv6 whole",
    ("both", ok(A), ok(V6), "ok"),
    ("one", ok(A), NOTHING, "ok"),
    ("one, and a server that is wrong", ok(A), NO_NAME, "ok"),
    ("none", NOTHING, NOTHING, "no_data"),
    ("no name", NO_NAME, NO_NAME, "nxdomain"),
    ("no name, says one", NO_NAME, NOTHING, "nxdomain"),
    ("half a failure", ok(A), FAILED, "failed"),
    ("a failure and a denial", FAILED, NO_NAME, "failed"),
)
def test_lookup_result(ipv4: Reply, ipv6: Reply, whole: str) -> None:
    assert result(ipv4, ipv6) == whole


def test_failures_that_differ_name_the_family() -> None:
    silent = Reply("failed", problem="no response")
    assert failure(FAILED, FAILED) == "SERVFAIL"
    assert failure(ok(A), FAILED) == "AAAA: SERVFAIL"
    assert failure(FAILED, silent) == "A: SERVFAIL, AAAA: no response"
    assert failure(ok(A), NOTHING) == ""


@cases(
    "ipv4 ipv6 seconds",
    ("the shorter one", ok(A, ttl=30), ok(V6, ttl=20), 20),
    ("five seconds at least", ok(A, ttl=0), NOTHING, 5),
    ("five minutes at most", ok(A, ttl=86_400), FAILED, 300),
    ("without an answer none", NOTHING, FAILED, None),
)
def test_lifetime_of_a_result(ipv4: Reply, ipv6: Reply, seconds: float | None) -> None:
    assert lasting(ipv4, ipv6) == seconds


def test_addresses_are_sorted_numerically() -> None:
    assert sorted([V6, "2001:db8::9", B, A], key=numeric) == [A, B, "2001:db8::9", V6]
