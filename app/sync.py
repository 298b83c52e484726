"""One sync: an ExternalService and what is known of its addresses in, the desired children out. Pure.

The response is complete or an InvalidRequest: Metacontroller deletes a child that a response leaves out (design R5).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from app.children import endpoint_slice, endpoints, http_route, ingress, service
from app.children.metadata import Manifest
from app.children.publishing import NOTHING, Observed, Published, publish
from app.hook import CompositeHookRequest, CompositeHookResponse, InvalidRequest, key_of
from external_service.admission import Features, child_problems, snippet_problems, switched_off
from external_service.invalid import explain
from external_service.kind import DEFAULT_ENDPOINTS_FORM, ChildReason, EndpointsForm
from external_service.policy import AddressPolicy
from external_service.readiness import publication, resolved_by
from external_service.scope import Scope
from external_service.v1alpha1 import ExternalService

ABSENT = "not there: another {kind} has this name (rename or delete it), or creation was refused (see the events)"

UNLISTED = "not made: add {kind} ({api_version}) to the CompositeController's childResources (see docs/routing.md)"

UNCOVERED = (
    "metadata.namespace: this installation works in {namespaces} only: nothing is made or changed here "
    "(name the namespace in ESO_NAMESPACES, or write the ExternalService in one of them)"
)

REWRITTEN = "the sidecar rewrites such a status by itself"

SERVICES = f"{service.KIND}.{service.API_VERSION}"
ENDPOINTS = f"{endpoints.KIND}.{endpoints.API_VERSION}"
SLICES = f"{endpoint_slice.KIND}.{endpoint_slice.API_VERSION}"

MAX_ROUTES = 256
MANY_ROUTES = (
    "spec.httpRoute: it takes {count} HTTPRoutes, write fewer of the listeners of one Gateway in parentRefs, "
    "or the same paths for more of the hosts: {most} at most"
)

MAX_TEXT = 4 * 1024 * 1024
MUCH_TEXT = (
    "spec.httpRoute: labels and annotations of {count} HTTPRoutes have {size} characters, {most} at most: write fewer "
    "of them, or less that takes an HTTPRoute of its own"
)

RECHECK_SECONDS = 30.0
"""When to try again for a child that could not be had: the end of a name clash makes no event of its own."""

FIRST_SLICES = timedelta(seconds=30)
"""Seconds of age from which a Service's missing slices are reported. They are first wanted when the Service is
observed, that is: one sync later than the other children.
"""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Settings of the operator that change a response."""

    policy: AddressPolicy = field(default_factory=AddressPolicy)
    uncopied_annotations: tuple[str, ...] = ()
    snippet_annotations: bool = False
    features: Features = field(default_factory=Features)
    form: EndpointsForm = DEFAULT_ENDPOINTS_FORM
    scope: Scope = field(default_factory=Scope)


def sync(request: CompositeHookRequest, options: SyncOptions, now: datetime) -> CompositeHookResponse:
    """The children that the parent wants, and its status as it was read, with our `children` reports (R1, R9).

    A kind that the CompositeController does not list is left out and reported: Metacontroller would create it once and
    never update nor remove it. Without EndpointSlices in that list the addresses are published as Endpoints.
    `now`, in UTC, is for changes that take several syncs. Raises InvalidRequest for a parent that cannot be read, one
    whose children the API server would refuse, or one outside our scope: a refusal changes nothing.
    """
    parent = _read(request.parent)
    name, namespace = parent.metadata.name, parent.metadata.namespace
    if not options.scope.covers(namespace):
        raise InvalidRequest(UNCOVERED.format(namespaces=", ".join(options.scope.namespaces)))
    possible = options if request.lists(SLICES) else replace(options, form="Endpoints")
    services = request.owned(SERVICES, namespace)
    owns_service = not request.children or name in services
    observed = Observed(request.owned(ENDPOINTS, namespace), request.owned(SLICES, namespace), now, owns_service)
    made = desired_children(parent, possible, observed)
    repaired = service.put_back(made.children[0], services.get(name), now)
    wanted = [repaired.service, *made.children[1:]]
    unlisted = [key for key in dict.fromkeys(map(key_of, wanted)) if not request.lists(key)]
    children = [child for child in wanted if key_of(child) not in unlisted]
    if possible.form != options.form:
        unlisted.append(SLICES)

    reports = [_unlisted(key, name) for key in unlisted]
    if repaired.problem:
        reports.append(_report(service.KIND, name, "Edited", repaired.problem))
    early = _created_after(services.get(name), now - FIRST_SLICES)
    tried = [child for child in children if not (early and key_of(child) == SLICES)]
    absent = _absent(request, tried) if _settled(request.parent, parent) else []

    response: CompositeHookResponse = {"status": _status(request.parent, [*reports, *absent]), "children": children}
    again = (made.again, repaired.again, RECHECK_SECONDS if absent else None)
    delays = [seconds for seconds in again if seconds is not None]
    if delays:
        response["resyncAfterSeconds"] = min(delays)
    return response


def desired_children(parent: ExternalService, options: SyncOptions, observed: Observed = NOTHING) -> Published:
    """The Service and all other children. Raises InvalidRequest for what the API server would refuse."""
    annotations = ingress.annotations(parent, options.uncopied_annotations)
    problems = [*child_problems(parent), *switched_off(parent.spec, options.features)]
    if ingress.wanted(parent) and not options.snippet_annotations:
        problems += snippet_problems(annotations, parent)
    if problems:
        raise InvalidRequest(*problems)
    spec, states = parent.spec, {address.ip: address for address in parent.status.addresses}
    addresses = publication(spec, states, options.policy, resolved_by(spec, parent.status.addresses)).addresses
    endpoints_of = publish(parent, addresses, options.form, observed)
    routes = http_route.desired(parent)
    if len(routes) > MAX_ROUTES:
        raise InvalidRequest(MANY_ROUTES.format(count=len(routes), most=MAX_ROUTES))
    if (size := sum(map(_text_of, routes))) > MAX_TEXT:
        raise InvalidRequest(MUCH_TEXT.format(count=len(routes), size=size, most=MAX_TEXT))
    ingresses = [ingress.desired(parent, annotations)] if ingress.wanted(parent) else []
    children = [service.desired(parent), *endpoints_of.children, *ingresses, *routes]
    return Published(children, endpoints_of.again)


def _text_of(child: Manifest) -> int:
    """Characters in labels and annotations."""
    metadata = child["metadata"]
    entries = (*metadata["labels"].items(), *metadata.get("annotations", {}).items())
    return sum(len(key) + len(value) for key, value in entries)


def _settled(raw: Mapping[str, Any], parent: ExternalService) -> bool:
    """Whether every child of this spec has been tried once (see _absent)."""
    deleted = bool(raw["metadata"].get("deletionTimestamp"))
    return not deleted and parent.status.observedGeneration == parent.metadata.generation


def _created_after(one: Mapping[str, Any] | None, moment: datetime) -> bool:
    try:
        return one is not None and datetime.fromisoformat(one["metadata"]["creationTimestamp"]) > moment
    except (KeyError, TypeError, ValueError):  # only what the API server wrote is a time
        return False


def _read(raw: dict[str, Any]) -> ExternalService:
    try:
        return ExternalService.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequest(*(_with_outlook(line) for line in explain(error))) from None


def _with_outlook(line: str) -> str:
    return f"{line}; {REWRITTEN}" if line.startswith("status") else line


def _report(kind: str, name: str, reason: ChildReason, problem: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "problem": problem, "reason": reason}


def _unlisted(key: str, name: str) -> dict[str, str]:
    kind, _, api_version = key.partition(".")
    return _report(kind, name, "NotListed", UNLISTED.format(kind=kind, api_version=api_version))


def _absent(request: CompositeHookRequest, children: Sequence[Manifest]) -> list[dict[str, str]]:
    """Reports `{kind, name, problem, reason}` of the children that should exist by now and are not there (design R9).

    Metacontroller writes `observedGeneration` after it has managed the children, also when that failed, and swallows
    "already exists". So with observedGeneration equal to generation every child of this spec has been tried once; one
    that is still absent was refused, or its name belongs to an object that this ExternalService does not own. Before
    that (a new ExternalService, hosts just added), and while the parent is being deleted, absence means nothing.

    Not exact in two cases, because Metacontroller's caches of parents and of children are filled apart: when its write
    of the status comes back before a child just created, and when a child was just deleted by hand. Either report is
    gone with the sync that the child's own event triggers. It cannot loop: equal absence is an equal status, no write.
    """
    return [
        _report(child["kind"], child["metadata"]["name"], "Absent", ABSENT.format(kind=child["kind"]))
        for child in children
        if request.lacks(child)
    ]


def _status(raw: dict[str, Any], reports: list[dict[str, str]]) -> dict[str, Any]:
    """The raw status, never re-dumped and never null: a difference would be a write, and null an erasure."""
    status = {name: value for name, value in (raw.get("status") or {}).items() if name != "children"}
    return {**status, "children": reports} if reports else status
