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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, NamedTuple

from external_service.core import Probe
from probe_sidecar.kube.client import ApiError, KubeClient, Resource
from probe_sidecar.probes.tls import BadCertificates, verified
from probe_sidecar.status.conditions import CAProblem

log = logging.getLogger(__name__)

Kind = Literal["ConfigMap", "Secret"]

RESOURCES = {"ConfigMap": Resource("", "v1", "configmaps"), "Secret": Resource("", "v1", "secrets")}
RETRY_SECONDS = 10.0
"""A CA that could not be read is asked for again after so long, or after the refresh interval if that is shorter."""

UNREAD = "not read yet"


class Reference(NamedTuple):
    """Where a CA stands."""

    kind: Kind
    namespace: str
    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def reference(namespace: str, probe: Probe | None) -> Reference | None:
    """The CA that `probe` asks for, if it asks for one."""
    options = probe.httpGet.tls if probe is not None and probe.httpGet is not None else None
    if options is None:
        return None
    if options.caConfigMap is not None:
        return Reference("ConfigMap", namespace, options.caConfigMap.name, options.caConfigMap.key)
    if options.caSecret is not None:
        return Reference("Secret", namespace, options.caSecret.name, options.caSecret.key)
    return None


@dataclass(slots=True)
class _Held:
    """What is known of one reference; `context` stays when a later reading fails."""

    pem: str = ""
    context: ssl.SSLContext | None = None
    problem: str = UNREAD
    due: float = -inf


class CABundles:
    """`wanted` gives the references in use; `on_change` hears of each whose CA or problem has changed.

    `kinds` are those that may be read at all, `refresh` the seconds after which a CA is read again.
    """

    def __init__(
        self,
        client: KubeClient,
        wanted: Callable[[], Iterable[Reference]],
        on_change: Callable[[Reference], None],
        *,
        kinds: Iterable[str],
        refresh: float,
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._on_change = on_change
        self._kinds = frozenset(kinds)
        self._refresh = refresh
        self._held: dict[Reference, _Held] = {}
        self._called = asyncio.Event()

    def context(self, namespace: str, probe: Probe) -> ssl.SSLContext | str | None:
        """What to verify with; None for a probe that verifies nothing; a text that says why it cannot be probed."""
        found = reference(namespace, probe)
        if found is None:
            return None
        held = self._held.get(found)
        if held is None:
            self._called.set()
            return f"{found}: {UNREAD}"
        return held.context or f"{found}: {held.problem}"

    def problem(self, namespace: str, probe: Probe | None) -> CAProblem | None:
        """What is wrong with the CA of `probe`; None if nothing is, or nothing is known."""
        found = reference(namespace, probe)
        held = self._held.get(found) if found is not None else None
        if found is None or held is None or held.problem in {"", UNREAD}:
            return None
        outlook = "the last good CA is still used" if held.context else "its addresses are not probed until it is there"
        message = f"{found}: {held.problem}; {outlook}"
        return CAProblem(f"{found.namespace}/{found.name}", held.problem.partition(": ")[0], message)

    async def run(self) -> None:
        """Read what is wanted, when it is due, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            self._called.clear()
            wanted = frozenset(self._wanted())
            self._held = {known: held for known, held in self._held.items() if known in wanted}
            for one in wanted:
                held = self._held.setdefault(one, _Held())
                if held.due <= clock():
                    await self._read(one, held)
                    held.due = clock() + (min(self._refresh, RETRY_SECONDS) if held.problem else self._refresh)
            pause = min((held.due for held in self._held.values()), default=inf) - clock()
            await self._wait(pause)

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
            self._on_change(one)

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
        raise _Unusable(f"has no key {one.key}: write its name into httpGet.tls")
    if one.kind == "ConfigMap":
        return value
    try:
        return b64decode(value, validate=True).decode("latin-1")
    except binascii.Error:
        raise BadCertificates from None
