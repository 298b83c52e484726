"""A server for HTTP/2 and grpc.health.v1.Health/Check without IO: bytes in, streams with requests, bytes out."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded

SERVING, NOT_SERVING = 1, 2


class Http2Server:
    """One HTTP/2 connection."""

    def __init__(self) -> None:
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._connection.initiate_connection()

    def feed(self, data: bytes) -> list[int]:
        """Reads received bytes; returns the streams with a complete request. Raises h2's ProtocolError."""
        asking = []
        for event in self._connection.receive_data(data):
            if isinstance(event, DataReceived) and event.stream_id is not None:
                self._connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            if isinstance(event, StreamEnded) and event.stream_id is not None:
                asking.append(event.stream_id)
        return asking

    def answer_http(self, stream: int, status: int) -> None:
        """Responds on one stream with an HTTP status and no body."""
        self._connection.send_headers(stream, [(":status", str(status))], end_stream=True)

    def answer_health(self, stream: int, status: int) -> None:
        """Responds on one stream with a HealthCheckResponse, for any service."""
        message = bytes((0x08, status))
        connection = self._connection
        connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        connection.send_data(stream, b"\x00" + len(message).to_bytes(4, "big") + message)
        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def to_send(self) -> bytes:
        """The bytes to send now."""
        return self._connection.data_to_send()
