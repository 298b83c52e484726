"""`GET /status`: the present state of each address, in JSON or as a table. `GET /overview`: the data of the page for
people, one line for each ExternalService, and the addresses of the requested ones. Pure.

Consecutive results below the threshold, the last result and the next probe change with every probe, so they are shown
here and never written into the status of an ExternalService (design R3). Bodies come in pieces, and addresses are read
as theirs is made, so that the event loop can do other work in between.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from heapq import nlargest
from itertools import islice
from typing import Any, NamedTuple

from external_service.kind import Reason
from external_service.policy import AddressPolicy
from external_service.v1alpha1 import ExternalServiceSpec
from probe_sidecar.kube.documents import Object
from probe_sidecar.prober.target import Target
from probe_sidecar.prober.targets import Transition
from probe_sidecar.service import Service
from probe_sidecar.web import Page

MOST_LINES = 1_000
"""Of the table: laying out more would keep the probes waiting. The JSON has them all."""

FORMATS = ("json", "text")
FILTERS = ("namespace", "name", "ip", "hostname")

HEADERS = ("NAMESPACE", "NAME", "IP", "READY", "REASON", "RUN", "LAST", "SECONDS", "AGE", "NEXT")

MOST_ADDRESSES = 500
"""In one overview. Of more the page says how many there are."""

MOST_TRANSITIONS = 100

DAY = timedelta(days=1)


class Snapshot(NamedTuple):
    """Contents of the pages at one moment. `at` is the wall clock (RFC 3339), `now` the loop's clock (seconds);
    `process` is the prober itself.
    """

    services: Iterable[Service]
    policy: AddressPolicy
    at: str
    now: float
    process: Mapping[str, Any]


def status_page(seen: Snapshot, query: Mapping[str, str]) -> Page:
    """`query`: format, and namespace, name, ip, hostname to narrow it down."""
    if problem := _unknown(query, ("format", *FILTERS), f"format, {', '.join(FILTERS)}"):
        return problem
    if query.get("format", "json") not in FORMATS:
        return Page(400, f'no such format "{query["format"]}": write {" or ".join(FORMATS)}\n')
    wanted = {field: query[field] for field in FILTERS if field in query}
    ordered = sorted(seen.services, key=_by_name)
    shown = (one for service in ordered for one in _entries(service, seen.policy, seen.now, wanted))
    if query.get("format") == "text":
        return Page(200, _text(shown, _warning(seen.process)))
    return _document({"time": seen.at, **seen.process}, "addresses", shown)


def overview(seen: Snapshot, query: Mapping[str, str]) -> Page:
    """`query`: `search`, a part of namespace/name, address or hostname; `open`, the ExternalServices (namespace/name,
    separated by commas) whose addresses are wanted, "*" for all.
    """
    if problem := _unknown(query, ("search", "open"), "search or open"):
        return problem
    search, opened = query.get("search", "").strip().lower(), frozenset(query.get("open", "").split(","))
    found = sorted((one for one in seen.services if _matches(one, search)), key=_by_name)

    def lines() -> Iterator[Object]:
        left = MOST_ADDRESSES
        for service in found:
            line = _summary(service)
            if "*" in opened or service.full_name in opened:
                line["shown"] = list(islice(_addresses(service, search, seen.policy, seen.now), left))
                left -= len(line["shown"])
            yield line

    head = {"time": seen.at, **seen.process, "transitions": list(_transitions(found, seen.at))}
    return _document(head, "externalServices", lines())


def _entries(
    service: Service, policy: AddressPolicy, now: float, wanted: Mapping[str, str] | None = None
) -> Iterator[Object]:
    """Each address of `service` in JSON, in the order of the status. `now` is the loop's clock.

    `wanted` are the values that FILTERS must have.
    """
    spec, hostnames = service.spec, service.hostnames.addresses
    for ip in _ips(service):
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


def _by_name(service: Service) -> tuple[str, str]:
    return service.namespace, service.name


def _unknown(query: Mapping[str, str], parameters: Sequence[str], written: str) -> Page | None:
    """An error for a parameter that a page does not have; `written` are those that it has, for people."""
    unknown = next((name for name in query if name not in parameters), None)
    return None if unknown is None else Page(400, f'no such parameter "{unknown}": write {written}\n')


def _document(head: Object, field: str, entries: Iterable[Object]) -> Page:
    """`head` in JSON with one field more, an entry of it a line."""

    def pieces() -> Iterator[str]:
        yield f'{json.dumps(head)[:-1]}, "{field}": ['
        separator = "\n"
        for entry in entries:
            yield separator + json.dumps(entry)
            separator = ",\n"
        yield "\n]}\n"

    return Page(200, pieces(), "application/json")


def _text(entries: Iterable[Object], warning: str) -> Iterator[str]:
    shown: list[Object] = []
    more = 0
    for entry in entries:
        if len(shown) < MOST_LINES:
            shown.append(entry)
        else:
            more += 1
        yield ""
    yield warning + _table(shown, more)


def _reason(spec: ExternalServiceSpec, ip: str, policy: AddressPolicy) -> Reason | None:
    """None where the probe alone decides."""
    if policy.refusal(ip) is not None:
        return "Denied"
    if ip in spec.disabled:
        return "Disabled"
    return "NoProbe" if spec.readinessProbe is None else None


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


def _matches(service: Service, search: str) -> bool:
    return search in service.full_name or any(_found(service, search))


def _found(service: Service, search: str) -> Iterator[str]:
    """The addresses of a service that the search is for, itself or by their hostname."""
    hostnames = service.hostnames.addresses
    for ip in _ips(service):
        if search in ip or search in hostnames.get(ip, ""):
            yield ip


def _ips(service: Service) -> dict[str, None]:
    spec = service.spec
    return {} if spec is None else dict.fromkeys((*spec.ips, *service.hostnames.addresses))


def _summary(service: Service) -> Object:
    """One line: how many addresses are ready, are not, are drained, or are ready but failed their latest probe."""
    spec, ips = service.spec, _ips(service)
    drained = set() if spec is None else ips.keys() & spec.disabled
    probed = [target for target in service.targets if target.ip not in drained]
    ready = sum(target.state.ready for target in probed)
    if spec is not None and spec.readinessProbe is None:
        ready = len(ips) - len(drained)
    return {
        "namespace": service.namespace,
        "name": service.name,
        "summary": service.summary,
        "problem": service.problem,
        "addresses": len(ips),
        "drained": len(drained),
        "ready": ready,
        "notReady": sum(not target.state.ready for target in probed),
        "failing": sum(target.state.ready and target.failures > 0 for target in probed),
        "failingOpen": service.failing_open,
    }


def _addresses(service: Service, search: str, policy: AddressPolicy, now: float) -> Iterator[Object]:
    """The addresses that match; all of them where the name of the ExternalService does."""
    wanted = None if search in service.full_name else set(_found(service, search))
    for one in _entries(service, policy, now):
        if wanted is None or one["ip"] in wanted:
            target = service.targets.get(one["ip"])
            yield {**one, "history": b64encode(target.history if target is not None else b"").decode("ascii")}


def _transitions(services: Iterable[Service], at: str) -> Iterator[Object]:
    """Of the last day, the newest first."""
    since = (datetime.fromisoformat(at) - DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    found: list[tuple[Transition, Service]] = [
        (one, service) for service in services for one in service.targets.transitions if one.at >= since
    ]
    for one, service in nlargest(MOST_TRANSITIONS, found, key=lambda pair: pair[0].at):
        yield {"namespace": service.namespace, "name": service.name, **one._asdict()}
