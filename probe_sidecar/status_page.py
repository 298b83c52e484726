"""`GET /status`: the present state of each address, in JSON or as a table. Pure.

Consecutive results below the threshold, the last result and the next probe change with every probe, so they are shown
here and never written into the status of an ExternalService (design R3).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from external_service.kind import Reason
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.prober.target import Target
from probe_sidecar.service import Service

MOST_LINES = 1_000
"""Of the table: laying out more would keep the probes waiting. The JSON has them all."""

PIECE = 20
"""Rows. The JSON of one takes some 30 us."""

FORMATS = ("json", "text")
FILTERS = ("namespace", "name", "ip", "hostname")

HEADERS = ("NAMESPACE", "NAME", "IP", "READY", "REASON", "RUN", "LAST", "SECONDS", "AGE", "NEXT")


class AddressRow(NamedTuple):
    """One address of one ExternalService; `target` is None where it is not probed.

    `reason` is NoProbe, Denied or Disabled, or None where the probe alone decides. `hostname` is what it is resolved
    from, if it is.
    """

    namespace: str
    name: str
    ip: str
    target: Target | None
    reason: Reason | None
    hostname: str = ""


def by_name(service: Service) -> tuple[str, str]:
    """The order of ExternalServices on every page."""
    return service.namespace, service.name


def rows(services: Iterable[Service], policy: AddressPolicy) -> Iterator[AddressRow]:
    """Every address of `services`: by namespace and name, then as in the status."""
    for service in sorted(services, key=by_name):
        yield from _rows(service, policy)


def status_page(
    found: Iterable[AddressRow], query: Mapping[str, str], *, at: str, now: float, process: Mapping[str, Any]
) -> tuple[int, Iterator[str], str]:
    """HTTP status, body and content type. `query`: format, and namespace, name, ip to narrow it down.

    The body comes in pieces of at most PIECE rows, and `found` is read as they are made, so that the event loop can do
    other work in between. Some pieces are empty.

    `at` is the wall clock (RFC 3339) and `now` the loop's clock (seconds), at the same moment. `process` is what the
    JSON says of the prober itself.
    """
    if problem := _bad(query):
        return 400, iter([f"{problem}\n"]), "text/plain; charset=utf-8"
    wanted = {field: query[field] for field in FILTERS if field in query}
    shown = _shown(found, wanted)
    if query.get("format") == "text":
        return 200, _text(shown, now, _warning(process)), "text/plain; charset=utf-8"
    return 200, _document(shown, now, {"time": at, **process}), "application/json"


def _shown(found: Iterable[AddressRow], wanted: Mapping[str, str]) -> Iterator[list[AddressRow]]:
    """The rows that are wanted, in lists of those among PIECE rows."""
    left = iter(found)
    while piece := list(islice(left, PIECE)):
        yield [row for row in piece if all(getattr(row, field) == value for field, value in wanted.items())]


def _document(shown: Iterable[list[AddressRow]], now: float, process: Mapping[str, Any]) -> Iterator[str]:
    """As json.dumps(indent=2) writes it."""
    yield f'{json.dumps(process, indent=2)[:-2]},\n  "addresses": ['
    before, end = "\n    ", "]\n}\n"
    for piece in shown:
        texts = []
        for row in piece:
            texts.append(before + json.dumps(entry(row, now), indent=2).replace("\n", "\n    "))
            before, end = ",\n    ", "\n  ]\n}\n"
        yield "".join(texts)
    yield end


def _text(shown: Iterable[list[AddressRow]], now: float, warning: str) -> Iterator[str]:
    collected: list[AddressRow] = []
    more = 0
    for piece in shown:
        room = MOST_LINES - len(collected)
        collected += piece[:room]
        more += len(piece[room:])
        yield ""
    yield warning + _table(collected, more, now)


def _rows(service: Service, policy: AddressPolicy) -> Iterator[AddressRow]:
    spec, hostnames = service.spec, service.hostnames.addresses
    if spec is None:
        return
    for ip in dict.fromkeys((*spec.ips, *hostnames)):
        target, reason = service.targets.get(ip), _reason(spec, ip, policy)
        yield AddressRow(service.namespace, service.name, ip, target, reason, hostnames.get(ip, ""))


def _reason(spec: ExternalServiceSpec, ip: str, policy: AddressPolicy) -> Reason | None:
    if policy.refusal(ip) is not None:
        return "Denied"
    if ip in spec.disabledIPs:
        return "Disabled"
    return "NoProbe" if spec.readinessProbe is None else None


def _bad(query: Mapping[str, str]) -> str | None:
    for name in query:
        if name != "format" and name not in FILTERS:
            return f'no such parameter "{name}": write format, {", ".join(FILTERS)}'
    if query.get("format", "json") not in FORMATS:
        return f'no such format "{query["format"]}": write {" or ".join(FORMATS)}'
    return None


def entry(row: AddressRow, now: float) -> dict[str, Any]:
    """One address in JSON. `now` is the loop's clock."""
    named: dict[str, Any] = {"namespace": row.namespace, "name": row.name, "ip": row.ip}
    if row.hostname:
        named["hostname"] = row.hostname
    target = row.target
    if target is None:
        return {**named, "ready": row.reason == "NoProbe", "reason": row.reason or "Pending"}
    state, probe = target.state, target.probe
    drained = {"serving": state.ready} if row.reason == "Disabled" else {}
    return {
        **named,
        "ready": state.ready and row.reason is None,
        **drained,
        "reason": row.reason or state.reason,
        "message": state.message,
        "lastTransitionTime": state.lastTransitionTime,
        "consecutiveSuccesses": target.successes,
        "successThreshold": probe.successThreshold,
        "consecutiveFailures": target.failures,
        "failureThreshold": probe.failureThreshold,
        **({"pending": True} if target.pending else {}),
        "lastProbe": _last(target, now),
        **({"problem": target.problem} if target.problem else {}),
        "running": target.handle is not None,
        "nextProbeInSeconds": _rounded(target.due - now),
    }


def _last(target: Target, now: float) -> dict[str, Any] | None:
    if target.last is None:
        return None
    return {
        "result": target.last.result.value,
        "message": target.last.message,
        "durationSeconds": round(target.last_seconds, 6),
        "ageSeconds": _rounded(now - target.last_at),
    }


def _warning(process: Mapping[str, Any]) -> str:
    message = process.get("outage", {}).get("message")
    lines = [f"SUSPECTED OUTAGE: {message}\n"] if message else []
    lines += [
        f"UNREADABLE: {one['namespace']}/{one['name']}: {one['problem']}\n" for one in process.get("unreadable", ())
    ]
    return "".join((*lines, "\n")) if lines else ""


def _table(shown: list[AddressRow], more: int, now: float) -> str:
    if not shown:
        return "no addresses\n"
    from tabulate import tabulate  # noqa: PLC0415 - a megabyte, needed for tables only

    named = any(row.hostname for row in shown)
    cells = [(*_cells(row, now), row.hostname) if named else _cells(row, now) for row in shown]
    lines = tabulate(cells, (*HEADERS, "HOSTNAME") if named else HEADERS, tablefmt="plain", disable_numparse=True)
    if more:
        lines += f"\n... and {more} more: narrow it with ?namespace=, &name=, &ip=, or ask for json"
    return lines + "\n"


def _cells(row: AddressRow, now: float) -> tuple[str, ...]:
    target = row.target
    if target is None:
        ready = "yes" if row.reason == "NoProbe" else "no"
        return (row.namespace, row.name, row.ip, ready, row.reason or "Pending", *"-----")
    last = target.last
    return (
        row.namespace,
        row.name,
        row.ip,
        "yes" if target.state.ready and row.reason is None else "no",
        row.reason or target.state.reason,
        _run(target),
        target.problem or (last.message if last else "-"),
        f"{target.last_seconds:.3f}" if last else "-",
        f"{now - target.last_at:.0f}s" if last else "-",
        "running" if target.handle is not None else f"{max(0.0, target.due - now):.0f}s",
    )


def _run(target: Target) -> str:
    """Progress of the latest results to a change of the state: "2/3 failed"; "14 failed" once they have.

    "14 pending": they would have, but no address responds, so that it may be our own network.
    """
    length, probe = abs(target.streak), target.probe
    if not length:
        return "-"
    word, threshold = ("ok", probe.successThreshold) if target.successes else ("failed", probe.failureThreshold)
    if target.pending:
        word = "pending"
    return f"{length}/{threshold} {word}" if length < threshold else f"{length} {word}"


def _rounded(seconds: float) -> float:
    return round(max(0.0, seconds), 3)
