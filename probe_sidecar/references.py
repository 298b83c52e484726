"""ConfigMaps and Secrets that probes name: CAs, client certificates and values of headers. Read, kept, read again.

An unreadable one is never evidence against an address: a probe that lacks a value is not made, and one that has all
continues with the last good version (design R7). Only named objects are read, in the namespace of the ExternalService,
so the right to `get` them can be granted one by one. No content is ever part of a message. Authors fill these objects:
their sizes are bounded, and large ones are read beside the event loop (design R10).
"""

import asyncio
import binascii
import logging
import ssl
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from math import inf
from random import random
from time import monotonic
from typing import Any, Literal, NamedTuple

from external_service.core import CASource, Probe, TLSOptions
from probe_sidecar.fair_queue import FairQueue, each_in_turn
from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.kube.errors import ApiError, Backoff
from probe_sidecar.probes.prepare import Referenced
from probe_sidecar.probes.request import CONTROL
from probe_sidecar.probes.tls import BadCertificates, presenting, verified
from probe_sidecar.status.conditions import ReferenceProblem

log = logging.getLogger(__name__)

HolderKind = Literal["ConfigMap", "Secret"]
RESOURCES: Mapping[HolderKind, Resource] = {
    "ConfigMap": Resource("", "v1", "configmaps"),
    "Secret": Resource("", "v1", "secrets"),
}
RETRY_SECONDS = 10.0
"""Seconds until an unreadable object is read again, at most; doubled each time, up to the refresh interval."""

READ_SECONDS = 0.05
"""From one read to the next: at most 20 a second, however many references there are, in turn for each namespace."""

LONGEST_HEADER = 8_192
LARGEST = 512 * 1024
"""Bytes of the values that are used together. The CAs of a browser are 230 KB, and 4 KB of memory for each certificate.
"""
MOST_OF_A_NAMESPACE = 3 * 1024 * 1024
"""Bytes of all values that the probes of a namespace name."""
SMALL = 8_192
"""Bytes that are made into a TLS context at once; a certificate takes 0.3 ms."""
WORK_SHARE = 10
"""Times the time that took: the least pause after it."""

UNREAD = "not read yet"
NOT_FOUND = "not found: create it, or correct the name"


class Reference(NamedTuple):
    """Stored values that a probe needs: `keys` of one object, all of them required."""

    use: Literal["CA", "client certificate", "header"]
    kind: HolderKind
    namespace: str
    name: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


Parts = tuple[Reference, ...]
"""References of which one thing is made: the TLS context (a CA, a client certificate), or the value of a header."""

Values = tuple[bytes, ...]

OnChange = Callable[[], None]


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """Made of the values of some Parts: a TLS context, or the value of a header; `digest` and `size` are theirs."""

    digest: bytes
    size: int
    context: ssl.SSLContext | None = None
    header: str = ""


def references(namespace: str, probe: Probe | None) -> tuple[Parts, ...]:
    """All that `probe` names."""
    if probe is None:
        return ()
    tls = tuple(_of_tls(namespace, probe.tls)) if probe.tls is not None else ()
    return tuple(dict.fromkeys((*([tls] if tls else []), *_of_headers(namespace, probe))))


def _of_tls(namespace: str, tls: TLSOptions) -> Iterator[Reference]:
    def ca(kind: HolderKind, source: CASource) -> Reference:
        return Reference("CA", kind, namespace, source.name, (source.key,))

    if tls.caConfigMap is not None:
        yield ca("ConfigMap", tls.caConfigMap)
    if tls.caSecret is not None:
        yield ca("Secret", tls.caSecret)
    if (client := tls.clientCertificateSecret) is not None:
        yield Reference("client certificate", "Secret", namespace, client.name, ("tls.crt", "tls.key"))


def _of_headers(namespace: str, probe: Probe) -> Iterator[Parts]:
    for header in probe.httpGet.httpHeaders if probe.httpGet is not None else ():
        if header.valueFrom is not None:
            key = header.valueFrom.secretKeyRef
            yield (Reference("header", "Secret", namespace, key.name, (key.key,)),)


async def read(client: KubeClient, one: Reference) -> Values:
    """The values as stored. Raises Unusable, or ApiError where another attempt may help."""
    try:
        found = await client.get(RESOURCES[one.kind], one.namespace, one.name)
    except ApiError as error:
        if error.status == 404:
            raise Unusable(one, NOT_FOUND) from None
        if error.status == 403:
            raise Unusable(one, "not readable: the prober needs a Role, see docs/security.md") from None
        raise
    return tuple(_value(found, one, key) for key in one.keys)


async def content(parts: Parts, values: Sequence[Values]) -> Content:
    """The content made from the values of each part. Raises Unusable."""
    size = _size(values)
    if size > LARGEST:
        raise Unusable(parts[0], f"has more than {LARGEST} bytes: leave out what the probe does not need")
    made = _made(parts, values) if size <= SMALL else await asyncio.to_thread(_made, parts, values)
    return Content(_digest(values), size, *made)


def _made(parts: Parts, values: Sequence[Values]) -> tuple[ssl.SSLContext | None, str]:
    """The TLS context, or the value of a header. Raises Unusable."""
    context: ssl.SSLContext | None = None
    for one, given in zip(parts, values, strict=True):
        try:
            if one.use == "header":
                return None, _header(one, given[0])
            context = (
                verified(given[0].decode("latin-1")) if one.use == "CA" else presenting(given[0], given[1], context)
            )
        except BadCertificates as problem:
            what = f"CA in key {one.keys[0]}" if one.use == "CA" else "client certificate"
            raise Unusable(one, f"has no valid {what}: {problem}") from None
    return context, ""


def assembled(contents: Mapping[Parts, Content]) -> Referenced:
    """Values for a probe, from all that it names."""
    context = next((found.context for found in contents.values() if found.context is not None), None)
    headers = {(one.name, one.keys[0]): found.header for (one, *_), found in contents.items() if one.use == "header"}
    return Referenced(context, headers)


@dataclass(slots=True)
class _Held:
    """State of some Parts; `content` stays if a later read fails. `timer` is for the next one.

    `problem` is that of `one` of them. `users` are called when it has changed, or the content.
    """

    one: Reference
    retries: Backoff
    users: dict[OnChange, None] = field(default_factory=dict)
    content: Content | None = None
    problem: str = UNREAD
    timer: asyncio.TimerHandle | None = None


class References:
    """Needs `run` running. The users of a reference are called when its content, or its problem, has changed.

    `refresh` are the seconds after which each is read again, `room` the bytes that a namespace may have in all.
    """

    def __init__(self, client: KubeClient, *, refresh: float, room: int = MOST_OF_A_NAMESPACE) -> None:
        self._client = client
        self._refresh = refresh
        self._room = room
        self._held: dict[Parts, _Held] = {}
        self._due: FairQueue[Parts] = FairQueue()
        self._called = asyncio.Event()

    def use(self, parts: Parts, user: OnChange) -> None:
        """Read them from now on."""
        if parts not in self._held:
            self._held[parts] = _Held(parts[0], Backoff(RETRY_SECONDS, self._refresh, random))
            self._read_soon(parts)
        self._held[parts].users[user] = None

    def drop(self, parts: Parts, user: OnChange) -> None:
        """`user` does not need them any more. With their last user they are forgotten."""
        held = self._held.get(parts)
        if held is not None:
            held.users.pop(user, None)
            if not held.users:
                del self._held[parts]
                self._due.discard(parts)
                if held.timer is not None:
                    held.timer.cancel()

    def referenced(self, needed: Sequence[Parts]) -> Referenced | str:
        """Values for a probe, or the reason why it cannot be made."""
        found: dict[Parts, Content] = {}
        for parts in needed:
            held = self._held[parts]
            if held.content is None:
                return f"{held.one}: {held.problem}"
            found[parts] = held.content
        return assembled(found)

    def problem(self, needed: Sequence[Parts]) -> ReferenceProblem | None:
        """Problem of the first of them that has one; None if none has, or before the first read."""
        for parts in needed:
            held = self._held[parts]
            if held.problem not in {"", UNREAD}:
                one = held.one
                outlook = (
                    "the last good one is still used"
                    if held.content
                    else "its addresses are not probed until it is there"
                )
                message = f"{one}: {held.problem}; {outlook}"
                name = f"{'CA' if one.use == 'CA' else one.kind} {one.namespace}/{one.name}"
                reason = "CAUnavailable" if one.use == "CA" else "SecretUnavailable"
                return ReferenceProblem(reason, name, held.problem.partition(": ")[0], message)
        return None

    async def run(self) -> None:
        """Read what is due, one after the other, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._called.clear()
            while (parts := self._due.pop()) is not None:
                held = self._held[parts]
                seconds = await self._read(parts, held)
                if self._held.get(parts) is held:
                    pause = held.retries.pause() if held.problem else self._refresh
                    held.timer = loop.call_later(pause, self._read_soon, parts)
                await asyncio.sleep(max(READ_SECONDS, WORK_SHARE * seconds))
            await self._called.wait()

    def _read_soon(self, parts: Parts) -> None:
        self._due.push(parts, (parts[0].namespace, parts[0].name))
        self._called.set()

    async def _read(self, parts: Parts, held: _Held) -> float:
        """Seconds that it took to make the content, beside reading it."""
        before, values, began = (held.content, held.problem), list[Values](), inf
        try:
            for held.one in parts:
                values.append(await read(self._client, held.one))
            if held.content is None or held.content.digest != _digest(values):
                self._check_room(parts, held, values)
                began = monotonic()
                held.content = await content(parts, values)
            held.problem = ""
            held.retries.reset()
        except Unusable as problem:
            held.one, held.problem = problem.one, str(problem)
        except ApiError as error:
            log.warning("%s: not read: %s", held.one, error)
            if held.content is None:
                held.problem = f"not read: the API server returned {error.reason}"
        seconds = max(0.0, monotonic() - began)
        if before != (held.content, held.problem):
            log.info("%s: %s", held.one, held.problem or "read")
            await each_in_turn(list(held.users))
        return seconds

    def _check_room(self, parts: Parts, held: _Held, values: Sequence[Values]) -> None:
        namespace = parts[0].namespace
        others = (one for (first, *_), one in self._held.items() if first.namespace == namespace and one is not held)
        size = _size(values) + sum(one.content.size for one in others if one.content)
        if size > self._room:
            raise Unusable(
                parts[0],
                f"finds no room: all that the probes of a namespace name may have {self._room} bytes together",
            )


class Unusable(Exception):
    """`one` cannot be used; the text says why, and what to do."""

    def __init__(self, one: Reference, problem: str) -> None:
        super().__init__(problem)
        self.one = one


def _size(values: Sequence[Values]) -> int:
    return sum(map(len, chain.from_iterable(values)))


def _digest(values: Sequence[Values]) -> bytes:
    """Differs where a value does."""
    digest = blake2b(digest_size=16)
    for value in chain.from_iterable(values):
        digest.update(b"%d:%b" % (len(value), value))
    return digest.digest()


def _header(one: Reference, stored: bytes) -> str:
    """One character a byte, without the line break that files end with. Raises Unusable."""
    value = stored.decode("latin-1").strip(" \t\r\n")
    if not 0 < len(value) <= LONGEST_HEADER or CONTROL.search(value):
        raise Unusable(
            one,
            f"has no valid header value in key {one.keys[0]}: write one line of 1 to {LONGEST_HEADER} bytes without "
            "control characters",
        )
    return value


def _value(found: dict[str, Any], one: Reference, key: str) -> bytes:
    data = found.get("data")
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, str):
        raise Unusable(one, f"has no key {key}: add it, or correct the probe")
    if one.kind == "ConfigMap":
        return value.encode()
    try:
        return b64decode(value, validate=True)
    except binascii.Error:
        raise Unusable(one, f"has no base64 in key {key}") from None
