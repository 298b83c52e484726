"""Without the guard and without writing again, Metacontroller overwrites results: the flapping scenario detects it.

The product itself flaps in tests/e2e/test_02_flapping.py; the status protocol is tested in every order of events in
tests/unit/probe_sidecar/status and docs/protocol.
"""

from playground.scenarios.flap import Flapping, flap
from playground.stack import Playground


async def test_without_protection_old_results_come_back() -> None:
    flapping = Flapping(transitions=60, addresses=10, shortest=0.005, longest=0.05, window=0.02, settle=5)
    async with Playground(guard=False, writing="edge", window=flapping.window) as playground:
        report = await flap(playground, flapping)
    assert not report.passed, report.as_lines()
