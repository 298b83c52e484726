"""The CAs that probes verify certificates against: read by name from ConfigMaps and Secrets, kept, read again.

A CA that cannot be read is never evidence against an address: a probe that has none yet is not made, and one that has
goes on with the last good one (design R7). Only named objects are read, in the namespace of the ExternalService, so the
right to `get` them can be given one by one.
"""

import asyncio
import binascii
import logging
import ssl
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple, Protocol

from external_service.core import Probe
from probe_sidecar.fair_queue import FairQueue
from probe_sidecar.kube.client import ApiError, KubeClient, Resource
from probe_sidecar.probes.tls import BadCertificates, verified
from probe_sidecar.settings import CASourceKind
from probe_sidecar.status.conditions import CAProblem

log = logging.getLogger(__name__)

RESOURCES = {"ConfigMap": Resource("", "v1", "configmaps"), "Secret": Resource("", "v1", "secrets")}
RETRY_SECONDS = 10.0
"""A CA that could not be read is asked for again after so long, then after twice as long each time, up to the refresh
interval."""

READ_SECONDS = 0.05
"""From one read to the next: at most 20 a second, however many references there are."""

UNREAD = "not read yet"


class Reference(NamedTuple):
    """Where a CA is stored."""

    kind: CASourceKind
    namespace: str
    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def reference(namespace: str, probe: Probe | None) -> Reference | None:
    """The CA that `probe` asks for, if it asks for one."""
    options = probe.tls if probe is not None else None
    if options is None:
        return None
    if options.caConfigMap is not None:
        return Reference("ConfigMap", namespace, options.caConfigMap.name, options.caConfigMap.key)
    if options.caSecret is not None:
        return Reference("Secret", namespace, options.caSecret.name, options.caSecret.key)
    return None


class User(Protocol):
    """An ExternalService that needs a CA."""

    def ca_changed(self) -> None:
        """The CA, or what is wrong with it, has changed."""


@dataclass(slots=True)
class _Held:
    """What is known of one reference; `context` stays when a later reading fails."""

    users: dict[User, None] = field(default_factory=dict)

    pem: str = ""
    context: ssl.SSLContext | None = None
    problem: str = UNREAD
    due: float = -inf
    failures: int = 0


class CABundles:
    """Needs `run` running. The users of a reference are notified when its CA, or its problem, has changed.

    `kinds` are those that may be read at all, `refresh` the seconds after which a CA is read again.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        kinds: Iterable[str],
        refresh: float,
    ) -> None:
        self._client = client
        self._kinds = frozenset(kinds)
        self._refresh = refresh
        self._held: dict[Reference, _Held] = {}
        self._called = asyncio.Event()

    def use(self, one: Reference, user: User) -> None:
        """Read this CA from now on."""
        held = self._held.get(one)
        if held is None:
            held = self._held[one] = _Held()
            self._called.set()
        held.users[user] = None

    def drop(self, one: Reference, user: User) -> None:
        """`user` does not need the CA any more. With its last user it is forgotten."""
        held = self._held.get(one)
        if held is not None:
            held.users.pop(user, None)
            if not held.users:
                del self._held[one]

    def context(self, one: Reference) -> ssl.SSLContext | str:
        """What to verify with, or a text that says why it cannot be probed."""
        held = self._held.get(one) or _Held()
        return held.context or f"{one}: {held.problem}"

    def problem(self, one: Reference) -> CAProblem | None:
        """What is wrong with the CA; None if nothing is, or nothing is known."""
        held = self._held.get(one)
        if held is None or held.problem in {"", UNREAD}:
            return None
        outlook = "the last good CA is still used" if held.context else "its addresses are not probed until it is there"
        message = f"{one}: {held.problem}; {outlook}"
        return CAProblem(f"{one.namespace}/{one.name}", held.problem.partition(": ")[0], message)

    async def run(self) -> None:
        """Read what is wanted, when it is due, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            self._called.clear()
            due: FairQueue[Reference] = FairQueue()
            for one, held in self._held.items():
                if held.due <= clock():
                    due.push(one, (one.namespace, one.name))
            while (next_one := due.pop()) is not None:
                if (known := self._held.get(next_one)) is not None:
                    await self._read(next_one, known)
                    known.due = clock() + self._pause(known)
                    await asyncio.sleep(READ_SECONDS if due else 0.0)
            pause = min((held.due for held in self._held.values()), default=inf) - clock()
            await self._wait(pause)

    def _pause(self, held: _Held) -> float:
        """Seconds until the CA is read again."""
        held.failures = held.failures + 1 if held.problem else 0
        return min(RETRY_SECONDS * 2.0 ** min(held.failures - 1, 20), self._refresh) if held.problem else self._refresh

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(None if seconds == inf else max(seconds, 0.0)):
                await self._called.wait()
        except TimeoutError:
            pass

    async def _read(self, one: Reference, held: _Held) -> None:
        before = (held.context, held.problem)
        try:
            pem = await self._pem(one)
            if pem != held.pem or held.context is None:
                held.context, held.pem = verified(pem), pem
            held.problem = ""
        except _Unusable as problem:
            held.problem = str(problem)
        except BadCertificates as problem:
            held.problem = f"has no valid CA in key {one.key}: {problem}"
        except ApiError as error:
            log.warning("%s: not read: %s", one, error)
            if held.context is None:
                held.problem = f"not read: the API server returned {error.reason}"
        if before != (held.context, held.problem):
            log.info("%s: %s", one, held.problem or "read")
            for user in list(held.users):
                user.ca_changed()

    async def _pem(self, one: Reference) -> str:
        if one.kind not in self._kinds:
            raise _Unusable(f"not read: {one.kind}s are not among this cluster's sources of CAs (ESO_CA_SOURCES)")
        try:
            found = await self._client.get(RESOURCES[one.kind], one.namespace, one.name)
        except ApiError as error:
            if error.status == 404:
                raise _Unusable("not found: create it, or correct the name") from None
            if error.status == 403:
                raise _Unusable("not readable: the prober needs a Role, see docs/security.md") from None
            raise
        return _value(found, one)


class _Unusable(Exception):
    """The text says why, and what to do."""


def _value(found: dict[str, Any], one: Reference) -> str:
    data = found.get("data")
    value = data.get(one.key) if isinstance(data, dict) else None
    if not isinstance(value, str):
        raise _Unusable(f"has no key {one.key}: write its name into the probe's tls")
    if one.kind == "ConfigMap":
        return value
    try:
        return b64decode(value, validate=True).decode("latin-1")
    except binascii.Error:
        raise BadCertificates from None
