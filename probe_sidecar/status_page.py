"""`GET /status`: the present state of each address, in JSON or as a table. Pure.

Consecutive results below the threshold, the last result and the next probe change with every probe, so they are shown
here and never written into the status of an ExternalService (design R3).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from external_service.kind import Reason
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.kube.documents import Object
from probe_sidecar.prober.target import Target
from probe_sidecar.service import Service

MOST_LINES = 1_000
"""Of the table: laying out more would keep the probes waiting. The JSON has them all."""

PIECE = 20
"""Addresses. The JSON of one takes some 30 us."""

FORMATS = ("json", "text")
FILTERS = ("namespace", "name", "ip", "hostname")

HEADERS = ("NAMESPACE", "NAME", "IP", "READY", "REASON", "RUN", "LAST", "SECONDS", "AGE", "NEXT")


class Moment(NamedTuple):
    """The wall clock (RFC 3339) and the loop's clock (seconds) at the same time."""

    at: str
    now: float


def by_name(service: Service) -> tuple[str, str]:
    """The order of ExternalServices on every page."""
    return service.namespace, service.name


def unknown_parameter(query: Mapping[str, str], parameters: Sequence[str], written: str) -> str | None:
    """Error for a parameter that a page does not have; `written` are those that it has, for people."""
    unknown = next((name for name in query if name not in parameters), None)
    return None if unknown is None else f'no such parameter "{unknown}": write {written}'


def status_page(
    services: Iterable[Service],
    query: Mapping[str, str],
    policy: AddressPolicy,
    moment: Moment,
    process: Mapping[str, Any],
) -> tuple[int, Iterator[str], str]:
    """HTTP status, body and content type. `query`: format, and namespace, name, ip, hostname to narrow it down.

    The body comes in pieces of at most PIECE addresses, which are read as they are made, so that the event loop can do
    other work in between. `process` is what the JSON says of the prober itself.
    """
    if problem := _bad(query):
        return 400, iter([f"{problem}\n"]), "text/plain; charset=utf-8"
    wanted = {field: query[field] for field in FILTERS if field in query}
    shown = (one for service in sorted(services, key=by_name) for one in entries(service, policy, moment.now, wanted))
    pieces = iter(lambda: list(islice(shown, PIECE)), [])
    if query.get("format") == "text":
        return 200, _text(pieces, _warning(process)), "text/plain; charset=utf-8"
    return 200, _document(pieces, {"time": moment.at, **process}), "application/json"


def entries(
    service: Service, policy: AddressPolicy, now: float, wanted: Mapping[str, str] | None = None
) -> Iterator[Object]:
    """Each address of `service` in JSON, in the order of the status. `now` is the loop's clock.

    `wanted` are the values that FILTERS must have.
    """
    spec, hostnames = service.spec, service.hostnames.addresses
    for ip in () if spec is None else dict.fromkeys((*spec.ips, *hostnames)):
        named = {"namespace": service.namespace, "name": service.name, "ip": ip}
        if ip in hostnames:
            named["hostname"] = hostnames[ip]
        if spec is not None and all(named.get(field) == value for field, value in (wanted or {}).items()):
            reason, target = _reason(spec, ip, policy), service.targets.get(ip)
            if target is None:
                yield {**named, "ready": reason == "NoProbe", "reason": reason or "Pending"}
            else:
                yield {**named, **_probed(target, reason, now)}


def cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """READY, RUN, LAST, SECONDS, AGE and NEXT of an address in JSON, which another process may have written."""
    ready, last = "yes" if entry.get("ready") else "no", entry.get("lastProbe") or {}
    if "nextProbeInSeconds" not in entry:
        return (ready, *"-----")
    return (
        ready,
        _run(entry),
        str(entry.get("problem") or last.get("message") or "-"),
        f"{_number(last, 'durationSeconds'):.3f}" if last else "-",
        f"{_number(last, 'ageSeconds'):.0f}s" if last else "-",
        "running" if entry.get("running") else f"{_number(entry, 'nextProbeInSeconds'):.0f}s",
    )


def _document(pieces: Iterable[list[Object]], process: Mapping[str, Any]) -> Iterator[str]:
    """As json.dumps(indent=2) writes it."""
    yield f'{json.dumps(process, indent=2)[:-2]},\n  "addresses": ['
    before, end = "\n    ", "]\n}\n"
    for piece in pieces:
        texts = []
        for entry in piece:
            texts.append(before + json.dumps(entry, indent=2).replace("\n", "\n    "))
            before, end = ",\n    ", "\n  ]\n}\n"
        yield "".join(texts)
    yield end


def _text(pieces: Iterable[list[Object]], warning: str) -> Iterator[str]:
    collected: list[Object] = []
    more = 0
    for piece in pieces:
        room = MOST_LINES - len(collected)
        collected += piece[:room]
        more += len(piece[room:])
        yield ""
    yield warning + _table(collected, more)


def _reason(spec: ExternalServiceSpec, ip: str, policy: AddressPolicy) -> Reason | None:
    """None where the probe alone decides."""
    if policy.refusal(ip) is not None:
        return "Denied"
    if ip in spec.disabled:
        return "Disabled"
    return "NoProbe" if spec.readinessProbe is None else None


def _bad(query: Mapping[str, str]) -> str | None:
    if problem := unknown_parameter(query, ("format", *FILTERS), f"format, {', '.join(FILTERS)}"):
        return problem
    if query.get("format", "json") not in FORMATS:
        return f'no such format "{query["format"]}": write {" or ".join(FORMATS)}'
    return None


def _probed(target: Target, reason: Reason | None, now: float) -> Object:
    state, probe = target.state, target.probe
    return {
        "ready": state.ready and reason is None,
        **({"serving": state.ready} if reason == "Disabled" else {}),
        "reason": reason or state.reason,
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


def _last(target: Target, now: float) -> Object | None:
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


def _table(shown: list[Object], more: int) -> str:
    if not shown:
        return "no addresses\n"
    from tabulate import tabulate  # noqa: PLC0415 - a megabyte, needed for tables only

    headers = (*HEADERS, "HOSTNAME") if any("hostname" in one for one in shown) else HEADERS
    rows = []
    for one in shown:
        ready, *others = cells(one)
        row = (one["namespace"], one["name"], one["ip"], ready, one["reason"], *others, one.get("hostname", ""))
        rows.append(row[: len(headers)])
    lines = tabulate(rows, headers, tablefmt="plain", disable_numparse=True)
    if more:
        lines += f"\n... and {more} more: narrow it with ?namespace=, &name=, &ip=, or ask for json"
    return lines + "\n"


def _run(entry: Mapping[str, Any]) -> str:
    """Progress of the latest results to a change of the state: "2/3 failed"; "14 failed" once they have.

    "14 pending": they would have, but no address responds, so that it may be our own network.
    """
    length, threshold, word = _number(entry, "consecutiveSuccesses"), _number(entry, "successThreshold"), "ok"
    if not length:
        length, threshold, word = _number(entry, "consecutiveFailures"), _number(entry, "failureThreshold"), "failed"
    if not length:
        return "-"
    if entry.get("pending"):
        word = "pending"
    return f"{length:.0f}/{threshold:.0f} {word}" if length < threshold else f"{length:.0f} {word}"


def _number(values: Mapping[str, Any], field: str) -> float:
    value = values.get(field)
    return float(value) if isinstance(value, int | float) else 0.0


def _rounded(seconds: float) -> float:
    return round(max(0.0, seconds), 3)
