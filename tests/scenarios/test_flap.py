"""The flap scenario detects what the guard in the CRD prevents: Metacontroller stores older results again.

The product itself flaps in tests/e2e/test_02_flapping.py; the status protocol is tested in every order of events in
tests/unit/probe_sidecar/status and docs/protocol.
"""

import pytest

from tests.scenarios.flap import Flapping, flap
from tests.scenarios.local import LocalCluster


@pytest.mark.nightly
async def test_flap_without_the_guard_reports_older_results() -> None:
    # The window is longer than the sidecar waits for Metacontroller to settle (status.publisher.SETTLE).
    flapping = Flapping(transitions=60, addresses=10, shortest=0.005, longest=0.1, window=0.9, settle=10)
    async with LocalCluster(window=flapping.window) as cluster:
        cluster.api.knobs.guard = cluster.api.knobs.status_policy = False
        report = await flap(cluster, flapping)
    assert "older results stored again" in [check.name for check in report.checks if not check.passed]
