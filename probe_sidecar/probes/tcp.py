"""The TCP probe: connect and close; nothing is sent or read (docs/conformance.md, line 16)."""

from probe_sidecar.probes import message
from probe_sidecar.probes.exchange import Hop, socket_address
from probe_sidecar.probes.outcome import Outcome, Result

_CONNECTED = Outcome(Result.SUCCESS, message.CONNECTED)


class TcpExchange:
    """Holds nothing, so one instance serves every probe."""

    phase = message.CONNECTING

    def begin(self) -> Outcome:
        """Connected: that was all."""
        return _CONNECTED

    def feed(self, data: bytes) -> Outcome:
        """Never needed; a peer that speaks first was connected all the same."""
        del data
        return _CONNECTED


_EXCHANGE = TcpExchange()


def hop(dial: str, port: int) -> Hop:
    """`tcpSocket.host` has no part in it (deviation D8)."""
    return Hop(socket_address(dial, port), shared=_EXCHANGE, speaks=False)
