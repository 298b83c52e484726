from probe_sidecar.probes.exchange import tcp_hop
from probe_sidecar.probes.outcome import Outcome, Result


def test_line_16_connection_is_a_success() -> None:
    hop = tcp_hop("10.0.0.1", 5432)
    assert hop.address == ("10.0.0.1", 5432)
    assert hop.shared is not None
    assert hop.shared.begin() == Outcome(Result.SUCCESS, "connected")
