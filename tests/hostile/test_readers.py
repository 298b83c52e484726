"""Fuzzer of everything that reads what a peer sends: any bytes, in any pieces, lead to a declared outcome.

The bytes are made of known behaviours (tests/hostile/peers.py and others), joined, repeated and changed. A new reader
is a row of READERS. `make nightly` tries 100,000 cases of each.
"""

import asyncio
import gc
import gzip
import logging
import resource
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate, cycle, islice
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from external_service.core import Probe
from probe_sidecar.hostnames.resolver import MAX_SERVERS, Resolver
from probe_sidecar.kube.client import KubeClient, Selection
from probe_sidecar.kube.errors import ApiError
from probe_sidecar.kube.reflector import EVENTS, Reflector
from probe_sidecar.probes.engine import RECEIVE, RESPONSE_LIMIT
from probe_sidecar.probes.exchange import FAILURE, UNKNOWN, Exchange, FastPath, Hop, Outcome, Step
from probe_sidecar.probes.prepare import prepare
from tests.contract.scripted_answers import every
from tests.examples import FACTOR, examples
from tests.hostile import test_api_server as api
from tests.hostile import test_dns as dns
from tests.hostile.peers import BODY, CHUNKED, GRPC, HEAD, HTTP, HTTPS, PEERS
from tests.unit.probe_sidecar.probes.servers import server_context

MOST_SECONDS = 1.0
"""Of the processor, for one case."""
MOST_MEMORY = 16 * 1024 * 1024
"""By which one case may raise the most that this process has ever taken."""
LONGEST = 1_000_000
"""Bytes of one case."""
LONGEST_MESSAGE = 200
MOST_REPLIES = 16_384
"""Bytes that a probe sends beside its request."""
PORT = 80

Read = Callable[[Sequence[bytes]], object]
"""Reads pieces of at least one byte, then the end. The result is the same for any pieces of the same bytes."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Certificates, folders and sockets that the readers use."""

    folder: Path
    runner: asyncio.Runner
    opened: list[asyncio.AbstractServer | asyncio.BaseTransport] = field(default_factory=list)


# Probes: conversations that are fed as the engine feeds them.


class Conversation:
    """The conversation of one probe. `result` is None until it has ended, `sent` counts bytes."""

    def __init__(self, hop: Hop) -> None:
        self.exchange: FastPath | Exchange = hop.start()
        self.result: Outcome | Hop | None = None
        self.received = self.sent = 0
        self.opening = self.obey(self.exchange.begin())

    def obey(self, step: Step | Exchange) -> bytes:
        """Bytes to send."""
        if isinstance(step, bytes):
            self.sent += len(step)
            return step
        if isinstance(step, Outcome | Hop):
            self.result = step
        elif step is not None:
            self.exchange = step
        return b""

    def feed(self, data: bytes) -> bytes:
        """Bytes to send for the bytes received."""
        replies = b""
        for at in range(0, len(data), RECEIVE):
            if self.result is None and self.received <= RESPONSE_LIMIT:
                piece = data[at : at + RECEIVE]
                self.received += len(piece)
                replies += self.obey(self.exchange.feed(piece))
        return replies

    def end(self) -> object:
        """Result: an outcome, the next hop, or nothing within the engine's limit."""
        if self.result is None and self.received > RESPONSE_LIMIT:
            return None
        if self.result is None:
            self.obey(self.exchange.feed(b""))
        assert self.result is not None
        assert self.sent - len(self.opening) <= MOST_REPLIES
        if isinstance(self.result, Hop):
            return self.result.address
        assert self.result.result is not UNKNOWN
        assert self.result.message or self.result.result is not FAILURE
        assert self.result.message.isprintable()
        assert len(self.result.message) <= LONGEST_MESSAGE
        return self.result


def hop_of(action: Mapping[str, Any], **more: Any) -> Hop:
    """Address that a probe connects to."""
    ((kind, fields),) = action.items()
    hop = prepare(Probe.model_validate({kind: {**fields, "port": PORT, **more}}), "127.0.0.1").hop
    assert hop is not None
    return hop


def probes(*hops: Hop) -> Callable[[Ground], Read]:
    """The reader of the responses to some probes."""

    def read(pieces: Sequence[bytes]) -> object:
        conversations = [Conversation(hop) for hop in hops]
        for conversation in conversations:
            for piece in pieces:
                conversation.feed(piece)
        return [conversation.end() for conversation in conversations]

    return lambda _: read


def handshakes(action: Mapping[str, Any], protocol: str, version: ssl.TLSVersion) -> Callable[[Ground], Read]:
    """The reader of real handshakes and responses, changed on their way.

    The content says how: three bytes for a place and a change. The pieces have the lengths in which the bytes arrive.
    """
    hop, length = hop_of(action), 2_400  # what a server sends, about

    def made(ground: Ground) -> Read:
        context = server_context(ground.folder, "server", key=KEY)
        context.maximum_version = version
        context.set_alpn_protocols([protocol])
        return lambda pieces: read(context, pieces)

    def read(context: ssl.SSLContext, pieces: Sequence[bytes]) -> object:
        how = b"".join(pieces)[:30]
        changes = {int.from_bytes(how[at : at + 2]) * length >> 16: how[at + 2] for at in range(0, len(how) - 2, 3)}
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(incoming, outgoing, server_side=True)
        conversation = Conversation(hop)
        incoming.write(conversation.opening)
        position = 0
        while conversation.result is None:
            with suppress(ssl.SSLError):
                server.do_handshake()
                server.read(RECEIVE)
                server.write(HEAD + b"Content-Length: 2\r\n\r\nok")
            sent = outgoing.read()
            if not sent:
                break
            changed = b"".join(change(byte, changes.get(at)) for at, byte in enumerate(sent, position))
            position += len(sent)
            sizes = cycle(map(len, pieces)) if len(pieces) > 1 else (length,)
            for piece in pieces_of(changed, accumulate(sizes)):
                incoming.write(conversation.feed(piece))
        result = conversation.end()
        return result.result if isinstance(result, Outcome) else result

    return made


def change(byte: int, how: int | None) -> bytes:
    """The byte unchanged, removed, doubled, followed by zeros, or replaced."""
    same = bytes((byte,))
    return same if how is None else (b"", same * 2, same + bytes(7), bytes((byte ^ how,)))[how % 4]


def pieces_of(data: bytes, ends: Iterator[int]) -> list[bytes]:
    """The content cut at these places into pieces of at least one byte."""
    pieces, begin = list[bytes](), 0
    for end in ends:
        if end > begin:
            pieces.append(data[begin:end])
            begin = end
        if begin >= len(data):
            break
    return [piece for piece in (*pieces, data[begin:]) if piece]


# The API client: heads, chunks, encodings, JSON, lines of a watch.


@asynccontextmanager
async def server_of(pieces: Sequence[bytes]) -> AsyncIterator[KubeClient]:
    """A client of a server that sends these pieces on every connection."""
    transport = httpx.AsyncHTTPTransport(verify=NO_TLS)
    transport._pool = httpcore.AsyncConnectionPool(network_backend=httpcore.AsyncMockBackend(list(pieces)))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        yield KubeClient(http)


def api_object(ground: Ground) -> Read:
    """The reader of a response to a GET or a PATCH."""

    async def read(pieces: Sequence[bytes]) -> object:
        async with server_of(pieces) as client:
            try:
                return await client.get(api.CRS, "shop", "web")
            except ApiError as error:
                return error.reason

    return lambda pieces: ground.runner.run(read(pieces))


def api_set(version: str | None) -> Callable[[Ground], Read]:
    """The reader of a LIST, or of a watch from `version` on."""

    async def read(pieces: Sequence[bytes]) -> object:
        async with server_of(pieces) as client:
            reflector = Reflector(client, Selection(api.CRS), lambda *_: None, random=lambda: 0.0)
            reflector._version = version
            assert await reflector._round() >= 0
            return sorted(reflector.objects), sorted(reflector.unreadable), reflector.synced

    return lambda ground: lambda pieces: ground.runner.run(read(pieces))


# DNS


def dns_response(ground: Ground) -> Read:
    """The reader of a response to a lookup: by UDP, or by TCP if it comes in pieces."""
    server = dns.Server(lambda query: query)

    async def serve() -> int:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port: int = listening.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: udp, local_addr=("127.0.0.1", port))
        ground.opened.extend((listening, transport))
        return port

    udp = dns.Server(lambda query: query)
    resolver = Resolver([("127.0.0.1", ground.runner.run(serve()))], seconds=5)
    truncated = dns.response(b"", 0, flags=0x8380)

    def read(pieces: Sequence[bytes]) -> object:
        content = b"".join(pieces)[:20_000]  # a datagram
        server.answer = lambda query: query[:2] + content
        udp.answer = server.answer if len(pieces) < 2 else truncated
        replies = ground.runner.run(resolver.lookup("db.example.com"))
        assert all(" " in reply.problem for reply in replies if reply.result == "failed")  # words, not an exception
        return replies

    return read


def resolv_conf(ground: Ground) -> Read:
    """The reader of a resolv.conf."""
    file = ground.folder / "resolv.conf"

    def read(pieces: Sequence[bytes]) -> object:
        file.write_bytes(b"".join(pieces))
        servers = Resolver(conf=file)._servers
        assert len(servers) <= MAX_SERVERS
        return servers

    return read


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
KEY = rsa.generate_private_key(65_537, 2_048)  # its signatures have one length


# What cases are made of


def sent_by(protocol: str) -> tuple[bytes, ...]:
    """First bytes of the hostile peers of a protocol, and of the answers that are compared with the kubelet's."""
    rows = [b"".join(islice(peer.pieces(PORT), 40)) for peer in PEERS if peer.name.startswith(protocol)]
    answers = [b"".join(one.connections) for one in every().values() if one.kind == protocol]
    return tuple({row[:2_000]: None for row in (*rows, *answers)})


PARTS = (b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b"0", b"9", b"f", b"\xff", b"\0", b"x" * 1_000)
HEADERS = (
    HEAD,
    HEAD + b"\r\n",
    CHUNKED,
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
)
HTTP1 = (
    *sent_by("http1"),
    HEAD + b"Content-Length: 6\r\n\r\nneedle",
    CHUNKED + b"6;a=b\r\nneedle\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 301 \r\nLocation: /%zz\r\n\r\n",
    b"http://127.0.0.1:8/",
    b"//[::1%25]/",
    b"needl",
)
HTTP2 = (*sent_by("http2"), *sent_by("grpc"))
OBJECTS = tuple(odd.encode() for odd in (api.GOOD, *(row[0] for row in api.ROWS.values())) if len(odd) < 4_000)
API = (
    *OBJECTS,
    *(b'{"type":"%s","object":%s}\n' % (kind.encode(), one) for kind, one in zip(cycle(EVENTS), OBJECTS, strict=False)),
    api.page(api.GOOD),
    api.page(api.GOOD, last="more"),
    HEAD + b"\r\n" + api.page(api.GOOD),
    HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(api.page(api.GOOD)),
    HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(40_000_000)),
    *(HEAD + b"Content-Encoding: %s\r\n\r\n" % coding for coding in (b"gzip", b"deflate", b"br", b"odd", b"gzip,gzip")),
    b"HTTP/1.1 410 Gone\r\nContent-Type: application/json\r\n\r\n",
    b"HTTP/1.1 429 \r\nRetry-After: 1\r\n\r\n",
    b'{"kind":"Status","code":410,"reason":"Expired","message":"old","details":{"retryAfterSeconds":1}}',
    b'"managedFields":[',
    *(b"{", b"}", b"[", b"]", b",", b'"', b"null", b"1e999", b"\\ud800", b"[" * 2_000),
)
DNS = tuple(
    make(bytes(12) + dns.QUESTION + b"\0\1\0\1")[2:]
    for make in (*(row[0] for row in dns.ROWS.values()), *dns.GOOD.values())
)
RESOLV = (b"nameserver ", b"127.0.0.1", b"::1", b"fe80::1%lo", b"1.1.1.1\n", b"search a\n", b"options ndots:5\n", b"#")


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader and the material for its cases. A slow reader gets a tenth of the cases in nightly."""

    read: Callable[[Ground], Read]
    seeds: Sequence[bytes] = ()
    slow: bool = False


READERS = {
    "HTTP/1": Reader(probes(hop_of(HTTP), hop_of(BODY)), (*HTTP1, *HEADERS)),
    "HTTP/2": Reader(probes(hop_of(HTTP, protocol="HTTP2"), hop_of(BODY, protocol="HTTP2")), HTTP2),
    "gRPC": Reader(probes(hop_of(GRPC)), HTTP2),
    "no handshake": Reader(probes(hop_of(HTTPS)), sent_by("tls")),
    "TLS 1.3 handshakes": Reader(handshakes(HTTPS, "http/1.1", ssl.TLSVersion.TLSv1_3), slow=True),
    "TLS 1.2 handshakes": Reader(handshakes(HTTPS, "h2", ssl.TLSVersion.TLSv1_2), slow=True),
    "DNS": Reader(dns_response, DNS),
    "API objects": Reader(api_object, (*API, *HEADERS)),
    "API lists": Reader(api_set(None), (*API, *HEADERS)),
    "API watches": Reader(api_set("1"), (*API, *HEADERS)),
    "resolv.conf": Reader(resolv_conf, RESOLV),
}


def content_of(recipe: bytes, parts: Sequence[bytes]) -> bytes:
    """Follows a recipe: append a part, once, twice or often; append some bytes of the recipe itself; change a byte.

    All of it is drawn as one value, because hypothesis takes most of the time, for each value.
    """
    left, content = iter(recipe), bytearray()
    for step in left:
        which = next(left, 0)
        if step % 8 < 6:
            content += parts[which % len(parts)] * (1, 1, 1, 1, 2, 300)[step % 8]
        elif step % 8 == 6:
            content += bytes(islice(left, which % 25))
        elif content:
            at = (which << 8 | next(left, 0)) % len(content)
            content[at : at + 1] = change(content[at], next(left, 0))
    return bytes(content[:LONGEST])


def split(content: bytes, cuts: bytes) -> list[bytes]:
    """The content in pieces, cut where pairs of bytes say."""
    ends = (int.from_bytes(pair) % (len(content) + 1) for pair in zip(cuts[::2], cuts[1::2], strict=False))
    return pieces_of(content, iter(sorted(ends)))


@contextmanager
def bounded() -> Iterator[None]:
    """Asserts that the body takes little time and memory."""
    gc.disable()  # what hypothesis holds takes seconds to collect
    memory, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    try:
        yield
    finally:
        gc.enable()
    assert time.thread_time() - seconds < MOST_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 < MOST_MEMORY


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    logging.disable()  # a case may be a line
    with asyncio.Runner() as runner:
        made = Ground(tmp_path_factory.mktemp("readers"), runner)
        yield made
        for one in made.opened:
            one.close()
        runner.run(asyncio.sleep(0))
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_any_bytes_in_any_pieces_have_one_declared_outcome(ground: Ground, reader: Reader) -> None:
    read, parts = reader.read(ground), (*reader.seeds, *PARTS)

    # A few cases are the same each time, many are others each night.
    @settings(
        max_examples=max(30, examples(3 if reader.slow else 30)),
        derandomize=FACTOR == 1,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=40), st.binary(min_size=2, max_size=8))
    def one(recipe: bytes, cuts: bytes) -> None:
        content = content_of(recipe, parts)
        with bounded():
            whole = read([content] if content else [])
        with bounded():
            assert read(split(content, cuts)) == whole, content[:500]

    one()
