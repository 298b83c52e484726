"""The status protocol, model-checked: docs/protocol/status.pml by spin, whole, and once without each of its parts.

A model that cannot fail proves nothing: what is taken away must be missed, in just the way that is written here.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.cases import cases

MODEL = Path(__file__).resolve().parents[2] / "docs" / "protocol" / "status.pml"
TOOLS = ("spin", "cc")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
COMPILE = ("cc", "-O1", "-w", "-DCOLLAPSE", "-DNFAIR=4", "-DVECTORSZ=2048", "-DMEMLIM=2000", "-o", "pan", "pan.c")
DEPTH = 100_000

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not found: apt-get install spin gcc libc6-dev"),
]

HOLDS = "holds"
GOES_BACK = "assertion violated (v>=stored_result)"
INVENTED = "assertion violated ((v==7)||((shown>>v)&1))"
FOR_EVER = "acceptance cycle"

PUBLISHED, SILENT = "published_in_the_end", "silent_in_the_end"
BOTH = (PUBLISHED, SILENT)

UNGUARDED = ("NO_GUARD", "MAY_GO_BACK", "PROMPT", "TRANSITIONS=1")
TWO = ("SIDECARS=2", "ALONE")


def run(*command: str, within: Path) -> str:
    done = subprocess.run(command, cwd=within, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """`search(switches, promise)`, each verifier being made once."""

    @cache
    def made(switches: tuple[str, ...]) -> Path:
        folder = tmp_path_factory.mktemp("pan")
        run("spin", "-a", *(f"-D{switch}" for switch in switches), str(MODEL), within=folder)
        run(*COMPILE, within=folder)
        return folder

    return lambda switches, promise: verdict(made(switches), promise)


def verdict(verifier: Path, promise: str) -> str:
    """Result of the exhaustive search: all `assert`s and the `promise` hold, or the first violation."""
    found = run("./pan", "-a", "-f", f"-m{DEPTH}", "-N", promise, within=verifier)
    broken = re.search(r"^pan:1: (.*?) \(at depth", found, re.MULTILINE)
    if broken:
        return broken[1]
    assert "errors: 0" in found, found
    assert "max search depth too small" not in found, "a search that was cut short proves nothing"
    assert "out of memory" not in found, "a search that was cut short proves nothing"
    return HOLDS


@pytest.mark.parametrize("promise", BOTH)
@cases(
    "switches",
    ("one sidecar and Metacontroller", ()),
    ("with a lost answer and a resync", ("FAULTS=1", "RESYNCS=1", "TRANSITIONS=1")),
    ("with an edit by hand", ("HANDS=1", "TRANSITIONS=1")),
    ("stale writes are no-ops", ("POLICY",)),
    ("no-ops, a lost answer and a resync", ("POLICY", "FAULTS=1", "RESYNCS=1", "TRANSITIONS=1")),
    ("no-ops and a takeover", ("POLICY", "SIDECARS=2", "TRANSITIONS=1", "LAG=1")),
    ("takeover by a second sidecar", TWO),
    ("takeover under Metacontroller", ("SIDECARS=2", "TRANSITIONS=1", "LAG=1")),
    ("two owners at once", (*TWO, "OVERLAP", "STOPS=0")),
)
def test_model_publishes_every_result_and_reverts_none(
    switches: tuple[str, ...], promise: str, search: Callable[..., str]
) -> None:
    assert search(switches, promise) == HOLDS


@cases(
    "switches promise expected",
    ("no guard: health goes back", ("NO_GUARD",), PUBLISHED, GOES_BACK),
    ("no guard: Metacontroller chases its own late watch", ("NO_GUARD", "MAY_GO_BACK"), SILENT, FOR_EVER),
    ("no guard, a prompt watch: published all the same", UNGUARDED, PUBLISHED, HOLDS),
    ("no guard, a prompt watch: still no transition", UNGUARDED, SILENT, HOLDS),
    ("no guard, no re-assert: lost for good", (*UNGUARDED, "NO_REASSERT"), PUBLISHED, FOR_EVER),
    ("no guard, no re-assert: nothing happens", (*UNGUARDED, "NO_REASSERT"), SILENT, HOLDS),
    ("no guard, no back-off: they write forever", (*UNGUARDED, "NO_BACKOFF"), SILENT, FOR_EVER),
    ("no re-assert: the guard suffices against Metacontroller", ("NO_REASSERT",), PUBLISHED, HOLDS),
    ("no re-assert: a hand's edit stays", ("NO_REASSERT", "HANDS=1", "TRANSITIONS=1"), PUBLISHED, FOR_EVER),
    ("no back-off: the guard suffices", ("NO_BACKOFF",), SILENT, HOLDS),
    ("no guard: the policy suffices", ("POLICY", "NO_GUARD"), PUBLISHED, HOLDS),
    ("a policy for equal revisions: a write is lost for good", ("TOO_WIDE",), PUBLISHED, FOR_EVER),
    ("no look at the own Lease: giving way suffices", (*TWO, "NO_FENCE"), PUBLISHED, HOLDS),
    ("no look at the own Lease, no giving way", (*TWO, "NO_FENCE", "NO_YIELD"), PUBLISHED, GOES_BACK),
    ("no giving way: one owner at a time suffices", (*TWO, "NO_YIELD"), PUBLISHED, HOLDS),
    ("a takeover that insists on what it first saw", (*TWO, "NO_ADOPTION"), PUBLISHED, GOES_BACK),
    ("two owners, each insisting on its own", (*TWO, "OVERLAP", "STOPS=0", "NO_YIELD"), PUBLISHED, GOES_BACK),
    ("no lock: the guard suffices", (*TWO, "NO_LOCK"), PUBLISHED, HOLDS),
    ("no guard: the lock suffices between sidecars", (*TWO, "NO_GUARD"), PUBLISHED, HOLDS),
    ("no guard and no lock", (*TWO, "NO_GUARD", "NO_LOCK"), PUBLISHED, GOES_BACK),
    ("a result before any probe", (*TWO, "GUESS"), PUBLISHED, INVENTED),
)
def test_model_without_a_part_has_a_counterexample(
    switches: tuple[str, ...], promise: str, expected: str, search: Callable[..., str]
) -> None:
    assert search(switches, promise) == expected
