"""The state of one ExternalService as text for a person: what, since when, why, what to do.

Its newest results come from the page of the replica that owns it, through the API server's Pod proxy:
GET .../pods/POD:PORT/proxy/status (kubernetes:pkg/registry/core/pod).
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click
from tabulate import tabulate

from external_service.v1alpha1 import AddressStatus, Condition, ExternalService
from probe_sidecar.check import explanation
from probe_sidecar.kube.client import KubeClient, Resource, Selection
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.errors import ApiError
from probe_sidecar.probes.message import MORE_PROBES
from probe_sidecar.replicas import GROUP_LABEL, LEASES, NAME_PREFIX
from probe_sidecar.status_pages import cells

PODS = Resource("", "v1", "pods")
MOST_REPLICAS = 32
MOST_ROWS = 100
MAX_CELL = 120

HEALTHY = {"Ready": "True", "Accepted": "True", "Resolved": "True"}
"""The status of a condition when all is well; of others it is False."""

ADVICE = {
    "Pending": "wait for initialDelaySeconds and the thresholds",
    "NoProbe": "write a readinessProbe to have it checked",
    "Disabled": "remove it from spec.disabledIPs to use it again",
    "Denied": "correct spec.ips, or ask the operator of the cluster for the range",
    "FailingOpen": "repair the backends: traffic reaches dead addresses until enough recover",
    "NoAddressReady": "look at the addresses; if all fail alike, suspect the probe or the network between",
    "NoAddresses": "write addresses or names into the spec",
    "ChildMissing": "see the missing objects below",
    "AddressDenied": "correct spec.ips, or ask the operator of the cluster for the ranges",
    "CAUnavailable": "create the ConfigMap or Secret, correct its name, or give the prober the right to read it",
    "SecretUnavailable": "create the Secret, correct its name or content, or give the prober the right to read it",
    "InvalidSpec": "correct the field that the message names",
    "NoPlaceLeft": MORE_PROBES,
    "ProberFault": "look at the prober's log",
    "NoResponse": "look at the network of the prober's Pod",
}
"""Advice by the reason of an address or a condition (docs/status.md)."""


NO_LIVE_VIEW = "No live view"
NO_STATUS = "The prober has not written a status. Is the operator running, and does its scope cover this object?"


class LiveView(NamedTuple):
    """`page` is the response of the replica in `pod` to /status for the object; without one `problem` says why."""

    pod: str
    page: dict[str, Any] | None
    problem: str


async def live_view(client: KubeClient, parent: ExternalService, namespace: str, port: int) -> LiveView:
    """Ask each replica in `namespace` for `parent`: only the one that owns it has addresses. Closes `client`."""
    try:
        leases, _ = await client.list(Selection(LEASES, namespace, GROUP_LABEL))
        pods = [lease["metadata"]["name"].removeprefix(NAME_PREFIX) for lease in leases][:MOST_REPLICAS]
        pages = await asyncio.gather(*(_page(client, parent, namespace, f"{pod}:{port}") for pod in pods))
    except ApiError as error:
        return LiveView("", None, f"the Leases in namespace {namespace} cannot be listed: {error}")
    finally:
        await client.close()
    if not pods:
        return LiveView("", None, f"no prober has a Lease in namespace {namespace}: name it with --operator-namespace")
    for pod, page in zip(pods, pages, strict=True):
        if not isinstance(page, ApiError) and page.get("addresses"):
            return LiveView(pod, page, "")
    problems = [f"{pod}: {page}" for pod, page in zip(pods, pages, strict=True) if isinstance(page, ApiError)]
    return LiveView("", None, "; ".join(problems[:3]) or "no prober probes it")


async def _page(client: KubeClient, parent: ExternalService, namespace: str, pod: str) -> Object | ApiError:
    query = ("namespace", parent.metadata.namespace), ("name", parent.metadata.name)
    try:
        return await client.send("GET", f"{PODS.path(namespace, pod)}/proxy/status", query=query)
    except ApiError as error:
        return error


def ready(parent: ExternalService) -> bool:
    """Whether its condition Ready is True."""
    return any(one.type == "Ready" and one.status == "True" for one in parent.status.conditions)


def explain(parent: ExternalService, view: LiveView, now: datetime) -> str:
    """The whole text, with colours; `now` is in UTC."""
    return "\n\n".join(part for part in _parts(parent, view, now) if part)


def _parts(parent: ExternalService, view: LiveView, now: datetime) -> Iterator[str]:
    told, metadata = parent.status, parent.metadata
    summary = click.style(_clean(told.summary or "no status yet"), fg="green" if told.summary == "OK" else "red")
    yield f"{click.style(f'{metadata.namespace}/{metadata.name}', bold=True)}: {told.ready or '0/0'} ready, {summary}"
    if not told.addresses and not told.conditions:
        yield NO_STATUS
    elif told.observedGeneration != metadata.generation:
        yield "The newest change of the spec has not been taken up yet."
    yield _addresses(told.addresses, now)
    yield _conditions(told.conditions, now)
    yield "\n".join(f"{_clean(one.kind)} {_clean(one.name)}: {_clean(one.problem)}" for one in told.children)
    yield _live(view)


def _addresses(addresses: Iterable[AddressStatus], now: datetime) -> str:
    rows = [
        _row(one.ip, "yes" if one.ready else "no", one, now, "" if one.ready else explanation(one.message))
        for one in addresses
    ]
    return _table(rows, ("ADDRESS", "READY", "SINCE", "WHY", "WHAT TO DO"))


def _conditions(conditions: Iterable[Condition], now: datetime) -> str:
    rows = [
        _row(one.type, one.status, one, now)
        for one in conditions
        if one.status != HEALTHY.get(one.type, "False") or one.reason == "FailingOpen"
    ]
    return _table(rows, ("CONDITION", "STATUS", "SINCE", "WHY", "WHAT TO DO"))


def _row(name: str, state: str, one: AddressStatus | Condition, now: datetime, advice: str = "") -> tuple[str, ...]:
    why = _clean(f"{one.reason}: {one.message}" if one.message else one.reason)
    shown = click.style(state, fg="green" if state == "yes" else "red")
    return (name, shown, _age(one.lastTransitionTime, now), why, ADVICE.get(one.reason, advice))


def _live(view: LiveView) -> str:
    if view.page is None:
        return click.style(f"{NO_LIVE_VIEW}: {_clean(view.problem)}", dim=True)
    shown = [one for one in view.page["addresses"] if isinstance(one, dict)]
    rows = [tuple(map(_clean, (one.get("ip"), *cells(one)))) for one in shown]
    return f"Live, from {_clean(view.pod)}:\n" + _table(
        rows, ("ADDRESS", "READY", "RUN", "LAST", "SECONDS", "AGE", "NEXT")
    )


def _table(rows: Sequence[tuple[str, ...]], headers: tuple[str, ...]) -> str:
    if not rows:
        return ""
    if not any(row[-1] for row in rows):
        headers = (*headers[:-1], "")
    lines = tabulate(rows[:MOST_ROWS], headers, tablefmt="plain", disable_numparse=True)
    more = len(rows) - MOST_ROWS
    return f"{lines}\n... and {more} more: -o json shows all" if more > 0 else lines


def _age(time: str, now: datetime) -> str:
    """As kubectl writes ages: 12s, 5m, 3h, 9d."""
    try:
        seconds = int((now - datetime.fromisoformat(time).astimezone(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return "-"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


def _clean(text: object) -> str:
    """One line without control characters: the response of an address may contain terminal control codes."""
    shown = "".join(one if one.isprintable() else " " for one in str(text))
    return f"{shown[:MAX_CELL]}..." if len(shown) > MAX_CELL else shown
