"""The kubelet's thresholds (docs/conformance.md, lines 22 and 24 to 27)."""

from hypothesis import given
from hypothesis import strategies as st

from external_service.core import Probe, TCPSocketAction
from probe_sidecar.prober.target import record
from probe_sidecar.probes.exchange import Outcome, Result
from tests.cases import cases

LETTERS = {"S": Result.SUCCESS, "W": Result.WARNING, "F": Result.FAILURE, "E": Result.UNKNOWN}


def probe(success: int, failure: int) -> Probe:
    return Probe(tcpSocket=TCPSocketAction(port=80), successThreshold=success, failureThreshold=failure)


def states(trace: str, success: int, failure: int) -> str:
    """The state after each result of `trace`, R for ready and n for not; the kubelet starts not ready."""
    run, ready, seen = 0, False, ""
    for letter in trace:
        run, verdict = record(run, Outcome(LETTERS[letter], ""), probe(success, failure))
        ready = ready if verdict is None else verdict
        seen += "R" if ready else "n"
    return seen


@cases(
    "trace success failure expected",
    ("line-26-trace-of-the-kubelet", "SSFFEFWWFFSFFWF", 2, 3, "nRRRRnnRRRRRRRR"),
    ("line-24-one-success-is-enough-by-default", "S", 1, 3, "R"),
    ("line-24-three-failures-then-one-success", "SFFFS", 1, 3, "RRRnR"),
    ("line-25-a-success-below-its-threshold-restarts-the-failure-run", "SSFFSFF", 2, 3, "nRRRRRR"),
    ("line-25-acting-again-changes-nothing", "SSFFFFF", 2, 3, "nRRRnnn"),
    ("line-22-a-warning-is-a-success", "WW", 2, 1, "nR"),
    ("line-26-a-prober-error-leaves-the-run-as-it-was", "SSFEFEEF", 2, 3, "nRRRRRRn"),
    ("line-26-prober-errors-alone-decide-nothing", "EEEE", 1, 1, "nnnn"),
)
def test_streak_transitions(trace: str, success: int, failure: int, expected: str) -> None:
    assert states(trace, success, failure) == expected


@given(st.text(alphabet="SWFE", max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_transition_needs_consecutive_equal_results(trace: str, success: int, failure: int) -> None:
    evidence = ["S" if letter in "SW" else "F" for letter in trace if letter != "E"]
    run = 0
    seen = 0
    for letter in trace:
        run, verdict = record(run, Outcome(LETTERS[letter], ""), probe(success, failure))
        seen += letter != "E"
        needed = success if verdict else failure
        if verdict is not None:
            assert evidence[seen - needed : seen] == ["S" if verdict else "F"] * needed
