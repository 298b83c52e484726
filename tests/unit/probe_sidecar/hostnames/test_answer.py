"""Evaluation of DNS replies."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from probe_sidecar.hostnames.cache import MOST_ADDRESSES, UNKNOWN, Answer, Reply, following, lasting, resolve, result
from probe_sidecar.hostnames.cache import ResolvedAddress as Resolved
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


@cases(
    "ipv4 ipv6 seconds",
    ("the shorter one", ok(A, ttl=30), ok(V6, ttl=20), 20),
    ("five seconds at least", ok(A, ttl=0), NOTHING, 5),
    ("five minutes at most", ok(A, ttl=86_400), FAILED, 300),
    ("without an answer none", NOTHING, FAILED, None),
)
def test_lifetime_of_a_result(ipv4: Reply, ipv6: Reply, seconds: float | None) -> None:
    assert lasting(ipv4, ipv6) == seconds


DB, LB = "db.io", "lb.io"
NOW = 1_000.0


def found(
    answers: Mapping[str, Answer], before: Mapping[str, Resolved], *serving: str, now: float = NOW
) -> dict[str, Resolved]:
    return resolve(answers, answers, before, lambda ip: ip in serving, now)


def test_lowest_addresses_are_kept_over_the_limit() -> None:
    many = tuple(f"10.0.0.{number}" for number in range(100))
    assert list(found({DB: Answer(many, (V6,)), LB: Answer((A,), ())}, {})) == [*many[:MOST_ADDRESSES], A]


def test_readiness_of_each_address_is_asked_once() -> None:
    """A zone may replace all addresses at once: 1,024 of them, and as many that are not ready yet."""
    asked: list[str] = []
    old, new = [f"10.0.0.{number}" for number in range(9)], tuple(f"10.0.1.{number}" for number in range(9))

    def serves(ip: str) -> bool:
        asked.append(ip)
        return ip in old

    assert len(resolve([DB], {DB: Answer(new, ())}, {ip: Resolved(DB) for ip in old}, serves, NOW)) == 18
    assert sorted(asked) == [*old, *new]


addresses = st.lists(st.sampled_from([A, B, C, V6, "2001:db8::11"]), unique=True)
families = st.tuples(st.booleans(), st.booleans())


def answer(ips: list[str], known: tuple[bool, bool]) -> Answer:
    ipv4, ipv6 = ([ip for ip in ips if (":" in ip) is six] for six in (False, True))
    return Answer(tuple(ipv4) if known[0] else None, tuple(ipv6) if known[1] else None)


@given(
    st.dictionaries(st.sampled_from([DB, LB]), st.builds(answer, addresses, families), min_size=1),
    st.dictionaries(st.sampled_from([A, B, C, V6]), st.sampled_from([DB, LB, "left.io"]).map(Resolved)),
    addresses,
)
def test_resolution_invariants(answers: dict[str, Answer], before: dict[str, Resolved], serving: list[str]) -> None:
    result = found(answers, before, *serving)
    said = {ip for one in answers.values() for ip in (*(one.ipv4 or ()), *(one.ipv6 or ()))}
    assert said <= {ip for ip, member in result.items() if member.left is None}
    assert {member.hostname for member in result.values()} <= answers.keys()
    assert result.keys() <= said | before.keys()
    if any(ip in serving and member.hostname in answers for ip, member in before.items()):
        assert any(ip in serving for ip in result), "what was ready left, and nothing that is ready came"


def test_other_names_addresses_are_no_replacement() -> None:
    moved = {DB: Answer((B,), ()), LB: Answer((C,), ())}
    assert A in found(moved, {A: Resolved(DB)}, A, C)


def test_shared_address_belongs_to_the_first_name() -> None:
    assert found({LB: Answer((A, B), ()), DB: Answer((B, C), ())}, {}) == {
        A: Resolved(LB),
        B: Resolved(LB),
        C: Resolved(DB),
    }
