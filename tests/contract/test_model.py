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
@pytest.mark.parametrize(
    "switches",
    [
        pytest.param((), id="one sidecar and Metacontroller"),
        pytest.param(("FAULTS=1", "RESYNCS=1", "TRANSITIONS=1"), id="with a lost answer and a resync"),
        pytest.param(("HANDS=1", "TRANSITIONS=1"), id="with an edit by hand"),
        pytest.param(("POLICY",), id="stale writes are no-ops"),
        pytest.param(("POLICY", "FAULTS=1", "RESYNCS=1", "TRANSITIONS=1"), id="no-ops, a lost answer and a resync"),
        pytest.param(("POLICY", "SIDECARS=2", "TRANSITIONS=1", "LAG=1"), id="no-ops and a takeover"),
        pytest.param(TWO, id="takeover by a second sidecar"),
        pytest.param(("SIDECARS=2", "TRANSITIONS=1", "LAG=1"), id="takeover under Metacontroller"),
        pytest.param((*TWO, "OVERLAP", "STOPS=0"), id="two owners at once"),
    ],
)
def test_model_publishes_every_result_and_reverts_none(
    switches: tuple[str, ...], promise: str, search: Callable[..., str]
) -> None:
    assert search(switches, promise) == HOLDS


@pytest.mark.parametrize(
    ("switches", "promise", "expected"),
    [
        pytest.param(("NO_GUARD",), PUBLISHED, GOES_BACK, id="no guard: health goes back"),
        pytest.param(
            ("NO_GUARD", "MAY_GO_BACK"), SILENT, FOR_EVER, id="no guard: Metacontroller chases its own late watch"
        ),
        pytest.param(UNGUARDED, PUBLISHED, HOLDS, id="no guard, a prompt watch: published all the same"),
        pytest.param(UNGUARDED, SILENT, HOLDS, id="no guard, a prompt watch: still no transition"),
        pytest.param((*UNGUARDED, "NO_REASSERT"), PUBLISHED, FOR_EVER, id="no guard, no re-assert: lost for good"),
        pytest.param((*UNGUARDED, "NO_REASSERT"), SILENT, HOLDS, id="no guard, no re-assert: nothing happens"),
        pytest.param((*UNGUARDED, "NO_BACKOFF"), SILENT, FOR_EVER, id="no guard, no back-off: they write forever"),
        pytest.param(("NO_REASSERT",), PUBLISHED, HOLDS, id="no re-assert: the guard suffices against Metacontroller"),
        pytest.param(
            ("NO_REASSERT", "HANDS=1", "TRANSITIONS=1"), PUBLISHED, FOR_EVER, id="no re-assert: a hand's edit stays"
        ),
        pytest.param(("NO_BACKOFF",), SILENT, HOLDS, id="no back-off: the guard suffices"),
        pytest.param(("POLICY", "NO_GUARD"), PUBLISHED, HOLDS, id="no guard: the policy suffices"),
        pytest.param(("TOO_WIDE",), PUBLISHED, FOR_EVER, id="a policy for equal revisions: a write is lost for good"),
        pytest.param((*TWO, "NO_FENCE"), PUBLISHED, HOLDS, id="no look at the own Lease: giving way suffices"),
        pytest.param(
            (*TWO, "NO_FENCE", "NO_YIELD"), PUBLISHED, GOES_BACK, id="no look at the own Lease, no giving way"
        ),
        pytest.param((*TWO, "NO_YIELD"), PUBLISHED, HOLDS, id="no giving way: one owner at a time suffices"),
        pytest.param((*TWO, "NO_ADOPTION"), PUBLISHED, GOES_BACK, id="a takeover that insists on what it first saw"),
        pytest.param(
            (*TWO, "OVERLAP", "STOPS=0", "NO_YIELD"), PUBLISHED, GOES_BACK, id="two owners, each insisting on its own"
        ),
        pytest.param((*TWO, "NO_LOCK"), PUBLISHED, HOLDS, id="no lock: the guard suffices"),
        pytest.param((*TWO, "NO_GUARD"), PUBLISHED, HOLDS, id="no guard: the lock suffices between sidecars"),
        pytest.param((*TWO, "NO_GUARD", "NO_LOCK"), PUBLISHED, GOES_BACK, id="no guard and no lock"),
        pytest.param((*TWO, "GUESS"), PUBLISHED, INVENTED, id="a result before any probe"),
    ],
)
def test_model_without_a_part_has_a_counterexample(
    switches: tuple[str, ...], promise: str, expected: str, search: Callable[..., str]
) -> None:
    assert search(switches, promise) == expected
