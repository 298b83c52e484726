"""ConfigMaps and Secrets that probes name: CAs, client certificates and values of headers. Read, kept, read again.

An unreadable one is never evidence against an address: a probe that lacks a value is not made, and one that has all
continues with the last good version (design R7). Only named objects are read, in the namespace of the ExternalService,
so the right to `get` them can be granted one by one. No content is ever part of a message.
"""

import asyncio
import binascii
import logging
import ssl
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from external_service.core import CASource, Probe
from probe_sidecar.fair_queue import FairQueue
from probe_sidecar.kube.client import KubeClient, Resource
from probe_sidecar.kube.errors import ApiError
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
"""Seconds until an unreadable object is read again; doubled each time, up to the refresh interval."""

READ_SECONDS = 0.05
"""From one read to the next: at most 20 a second, however many references there are, in turn for each namespace."""

LONGEST_HEADER = 8_192
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


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """Content of a reference: the stored values of its keys, and the TLS context made from them."""

    values: tuple[bytes, ...]
    context: ssl.SSLContext | None


def references(namespace: str, probe: Probe | None) -> tuple[Reference, ...]:
    """All that `probe` names."""
    return () if probe is None else tuple(dict.fromkeys(_references(namespace, probe)))


def _references(namespace: str, probe: Probe) -> Iterator[Reference]:
    def ca(kind: HolderKind, source: CASource) -> Reference:
        return Reference("CA", kind, namespace, source.name, (source.key,))

    if (tls := probe.tls) is not None:
        if tls.caConfigMap is not None:
            yield ca("ConfigMap", tls.caConfigMap)
        if tls.caSecret is not None:
            yield ca("Secret", tls.caSecret)
        if (client := tls.clientCertificateSecret) is not None:
            yield Reference("client certificate", "Secret", namespace, client.name, ("tls.crt", "tls.key"))
    for header in probe.httpGet.httpHeaders if probe.httpGet is not None else ():
        if header.valueFrom is not None:
            key = header.valueFrom.secretKeyRef
            yield Reference("header", "Secret", namespace, key.name, (key.key,))


async def read(client: KubeClient, one: Reference) -> tuple[bytes, ...]:
    """The values as stored. Raises Unusable, or ApiError where another attempt may help."""
    try:
        found = await client.get(RESOURCES[one.kind], one.namespace, one.name)
    except ApiError as error:
        if error.status == 404:
            raise Unusable(NOT_FOUND) from None
        if error.status == 403:
            raise Unusable("not readable: the prober needs a Role, see docs/security.md") from None
        raise
    return tuple(_value(found, one, key) for key in one.keys)


def content(one: Reference, values: tuple[bytes, ...]) -> Content:
    """The content made from `values`. Raises Unusable."""
    try:
        if one.use == "CA":
            return Content(values, verified(values[0].decode("latin-1")))
        if one.use == "client certificate":
            return Content(values, presenting(*values))
    except BadCertificates as problem:
        what = f"CA in key {one.keys[0]}" if one.use == "CA" else "client certificate"
        raise Unusable(f"has no valid {what}: {problem}") from None
    value = _header(values)
    if not 0 < len(value) <= LONGEST_HEADER or CONTROL.search(value):
        raise Unusable(
            f"has no valid header value in key {one.keys[0]}: write one line of 1 to {LONGEST_HEADER} bytes without "
            "control characters"
        )
    return Content(values, None)


def assembled(contents: Mapping[Reference, Content]) -> Referenced:
    """Values for a probe, from all references that it names."""
    by_use = {one.use: found for one, found in contents.items()}
    ca, client = by_use.get("CA"), by_use.get("client certificate")
    context = next((found.context for found in (ca, client) if found is not None), None)
    if ca is not None and client is not None:
        context = presenting(*client.values, bundle=ca.values[0].decode("latin-1"))
    headers = {(one.name, one.keys[0]): _header(found.values) for one, found in contents.items() if one.use == "header"}
    return Referenced(context, headers)


class User(Protocol):
    """An ExternalService whose probe names something."""

    def reference_changed(self) -> None:
        """The content, or what is wrong with it, has changed."""


@dataclass(slots=True)
class _Held:
    """State of one reference; `content` stays if a later read fails. `timer` is for the next one."""

    users: dict[User, None] = field(default_factory=dict)
    content: Content | None = None
    problem: str = UNREAD
    failures: int = 0
    timer: asyncio.TimerHandle | None = None


class References:
    """Needs `run` running. The users of a reference are notified when its content, or its problem, has changed.

    `refresh` are the seconds after which each is read again.
    """

    def __init__(self, client: KubeClient, *, refresh: float) -> None:
        self._client = client
        self._refresh = refresh
        self._held: dict[Reference, _Held] = {}
        self._due: FairQueue[Reference] = FairQueue()
        self._called = asyncio.Event()

    def use(self, one: Reference, user: User) -> None:
        """Read it from now on."""
        if one not in self._held:
            self._held[one] = _Held()
            self._read_soon(one)
        self._held[one].users[user] = None

    def drop(self, one: Reference, user: User) -> None:
        """`user` does not need it any more. With its last user it is forgotten."""
        held = self._held.get(one)
        if held is not None:
            held.users.pop(user, None)
            if not held.users:
                del self._held[one]
                self._due.discard(one)
                if held.timer is not None:
                    held.timer.cancel()

    def referenced(self, needed: Sequence[Reference]) -> Referenced | str:
        """Values for a probe, or the reason why it cannot be made."""
        found: dict[Reference, Content] = {}
        for one in needed:
            held = self._held.get(one) or _Held()
            if held.content is None:
                return f"{one}: {held.problem}"
            found[one] = held.content
        return assembled(found)

    def problem(self, needed: Sequence[Reference]) -> ReferenceProblem | None:
        """Problem of the first of them that has one; None if none has, or before the first read."""
        for one in needed:
            held = self._held.get(one)
            if held is not None and held.problem not in {"", UNREAD}:
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
            while (one := self._due.pop()) is not None:
                held = self._held[one]
                await self._read(one, held)
                if self._held.get(one) is held:
                    held.timer = loop.call_later(self._pause(held), self._read_soon, one)
                await asyncio.sleep(READ_SECONDS)
            await self._called.wait()

    def _read_soon(self, one: Reference) -> None:
        self._due.push(one, (one.namespace, one.name))
        self._called.set()

    def _pause(self, held: _Held) -> float:
        """Seconds until it is read again."""
        held.failures = held.failures + 1 if held.problem else 0
        return min(RETRY_SECONDS * 2.0 ** min(held.failures - 1, 20), self._refresh) if held.problem else self._refresh

    async def _read(self, one: Reference, held: _Held) -> None:
        before = (held.content, held.problem)
        try:
            values = await read(self._client, one)
            if held.content is None or held.content.values != values:
                held.content = content(one, values)
            held.problem = ""
        except Unusable as problem:
            held.problem = str(problem)
        except ApiError as error:
            log.warning("%s: not read: %s", one, error)
            if held.content is None:
                held.problem = f"not read: the API server returned {error.reason}"
        if before != (held.content, held.problem):
            log.info("%s: %s", one, held.problem or "read")
            for user in list(held.users):
                user.reference_changed()


class Unusable(Exception):
    """The text says why, and what to do."""


def _header(values: tuple[bytes, ...]) -> str:
    """One character a byte, without the line break that files end with."""
    return values[0].decode("latin-1").strip(" \t\r\n")


def _value(found: dict[str, Any], one: Reference, key: str) -> bytes:
    data = found.get("data")
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, str):
        raise Unusable(f"has no key {key}: add it, or correct the probe")
    if one.kind == "ConfigMap":
        return value.encode()
    try:
        return b64decode(value, validate=True)
    except binascii.Error:
        raise Unusable(f"has no base64 in key {key}") from None
