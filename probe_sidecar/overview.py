"""`GET /overview`: the data of the page for people. One line for each ExternalService, and the addresses of the
requested ones.

The page reads it every few seconds. So it has no line for each address of 10,000, and it is sent in pieces: between
them the probes get their turn.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from heapq import nlargest
from itertools import islice
from typing import Any

from external_service.policy import AddressPolicy
from probe_sidecar.kube.documents import Object
from probe_sidecar.prober.targets import Transition
from probe_sidecar.service import Service
from probe_sidecar.status_page import Moment, by_name, entries

PARAMETERS = ("search", "open")
"""Of the query string."""

MOST_ADDRESSES = 500
"""In one response. Of more the page says how many there are."""

MOST_TRANSITIONS = 100

DAY = timedelta(days=1)

TOGETHER = 200
"""Addresses that are counted before others get their turn, in whole ExternalServices."""


def overview(
    services: Iterable[Service],
    query: Mapping[str, str],
    policy: AddressPolicy,
    moment: Moment,
    process: Mapping[str, Any],
) -> Iterator[str]:
    """The JSON document in pieces. `query`: `search`, a part of namespace/name, address or hostname; `open`, the
    ExternalServices (namespace/name, separated by commas) whose addresses are wanted, "*" for all.

    `process` is what it says of the prober itself.
    """
    search, opened = query.get("search", "").strip().lower(), frozenset(query.get("open", "").split(","))
    found = sorted((one for one in services if _matches(one, search)), key=by_name)
    head = {"time": moment.at, **process, "transitions": list(_transitions(found, moment.at))}
    text = json.dumps(head)[:-1] + ', "externalServices": ['
    left, separator = MOST_ADDRESSES, ""
    counted = 0
    for service in found:
        line = _summary(service)
        if "*" in opened or service.full_name in opened:
            line["shown"] = list(islice(_addresses(service, search, policy, moment.now), left))
            left -= len(line["shown"])
        text += separator + json.dumps(line)
        separator, counted = ",\n", counted + 1 + line["addresses"]
        if counted >= TOGETHER:
            yield text
            text, counted = "", 0
    yield text + "]}\n"


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
    for one in entries(service, policy, now):
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
