"""One sync: an ExternalService and what is known of its addresses in, the desired children out. Pure.

The answer is complete or an InvalidRequest: a child left out of an answer is an order to delete it (design R5).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from app.api.admission import child_problems
from app.api.invalid import explain
from app.api.policy import AddressPolicy
from app.api.readiness import publication, resolved_by
from app.api.scope import Scope
from app.api.v1alpha1 import ExternalService
from app.children import endpoint_slice, endpoints, http_route, ingress, service
from app.children.metadata import Manifest
from app.children.publishing import NOTHING, Form, Observed, Published, publish
from app.hook import CompositeHookRequest, CompositeHookResponse, InvalidRequest, Kind

ABSENT = "not there: another {kind} has this name (rename or delete it), or creation was refused (see the events)"

UNLISTED = "not made: add {kind} ({api_version}) to the CompositeController's childResources (see docs/routing.md)"

UNCOVERED = (
    "metadata.namespace: this installation works in {namespaces} only: nothing is made or changed here "
    "(name the namespace in ESO_NAMESPACES, or write the ExternalService in one of them)"
)

ENDPOINTS = Kind(endpoints.API_VERSION, endpoints.KIND)
SLICES = Kind(endpoint_slice.API_VERSION, endpoint_slice.KIND)

RECHECK_SECONDS = 30.0
"""When to try again for a child that could not be had: the end of a name clash makes no event of its own."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What the operator's settings change in an answer."""

    policy: AddressPolicy = field(default_factory=AddressPolicy)
    uncopied_annotations: tuple[str, ...] = ()
    form: Form = "Endpoints"
    scope: Scope = field(default_factory=Scope)


def sync(request: CompositeHookRequest, options: SyncOptions, now: datetime) -> CompositeHookResponse:
    """The children that the parent wants, and its status as it was read, with our `children` reports (R1, R9).

    A kind that the CompositeController does not list is left out and reported: Metacontroller would create it once and
    never update nor remove it. Without EndpointSlices in that list the addresses are published as Endpoints.
    `now`, in UTC, is for publishing alone. Raises InvalidRequest for a parent that cannot be read, one whose children
    the API server would refuse, or one outside our scope: a refusal changes nothing of what stands there.
    """
    parent = _read(request.parent)
    if not options.scope.covers(parent.metadata.namespace):
        raise InvalidRequest(UNCOVERED.format(namespaces=", ".join(options.scope.namespaces)))
    possible = options if request.lists(SLICES) else replace(options, form="Endpoints")
    namespace = parent.metadata.namespace
    observed = Observed(request.owned(ENDPOINTS, namespace), request.owned(SLICES, namespace), now)
    wanted = desired_children(parent, possible, observed)
    children = [child for child in wanted.children if request.lists(Kind.of(child))]
    absent = _absent(request, parent, children)
    reports = _unlisted(request, parent, wanted.children)
    if possible.form != options.form:
        reports.append(_report(SLICES, parent.metadata.name, UNLISTED))
    response: CompositeHookResponse = {"status": _status(request.parent, [*reports, *absent]), "children": children}
    delays = [wanted.again, RECHECK_SECONDS if absent else None]
    if known := [seconds for seconds in delays if seconds is not None]:
        response["resyncAfterSeconds"] = min(known)
    return response


def desired_children(parent: ExternalService, options: SyncOptions, observed: Observed = NOTHING) -> Published:
    """All that this parent is to become. Raises InvalidRequest for what the API server would refuse."""
    if problems := child_problems(parent):
        raise InvalidRequest(*problems)
    spec, told = parent.spec, parent.status.addresses
    known = {address.ip: address for address in told}
    addresses = publication(spec, known, options.policy, resolved_by(spec, told)).addresses
    published = publish(parent, addresses, options.form, observed)
    routed = ingress.desired(parent, options.uncopied_annotations)
    children = [
        service.desired(parent),
        *published.children,
        *([routed] if routed is not None else []),
        *http_route.desired(parent),
    ]
    return Published(children, published.again)


def _read(raw: dict[str, Any]) -> ExternalService:
    try:
        return ExternalService.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequest(*(_with_outlook(line) for line in explain(error))) from None


def _with_outlook(line: str) -> str:
    return f"{line}; the sidecar rewrites such a status by itself" if line.startswith("status") else line


def _report(kind: Kind, name: str, problem: str) -> dict[str, str]:
    text = problem.format(kind=kind.kind, api_version=kind.api_version)
    return {"kind": kind.kind, "name": name, "problem": text}


def _unlisted(
    request: CompositeHookRequest, parent: ExternalService, children: Sequence[Manifest]
) -> list[dict[str, str]]:
    """One report for each kind of the children that the CompositeController does not list."""
    kinds = dict.fromkeys(Kind.of(child) for child in children)
    return [_report(kind, parent.metadata.name, UNLISTED) for kind in kinds if not request.lists(kind)]


def _absent(
    request: CompositeHookRequest, parent: ExternalService, children: Sequence[Manifest]
) -> list[dict[str, str]]:
    """Reports `{kind, name, problem}` of the children that should exist by now and are not there (design R9).

    Metacontroller writes `observedGeneration` after it has managed the children, also when that failed, and swallows
    "already exists". So with observedGeneration equal to generation every child of this spec has been tried once; one
    that is still absent was refused, or its name belongs to an object that this ExternalService does not own. Before
    that (a new ExternalService, hosts just added), and while the parent is being deleted, absence means nothing.

    Not exact in two cases, because Metacontroller's caches of parents and of children are filled apart: when its write
    of the status comes back before a child just created, and when a child was just deleted by hand. Either report is
    gone with the sync that the child's own event triggers. It cannot loop: equal absence is an equal status, no write.
    """
    settled = parent.status.observedGeneration == parent.metadata.generation
    if not settled or request.parent["metadata"].get("deletionTimestamp"):
        return []
    lacking = (child for child in children if request.lacks(child))
    return [_report(Kind.of(child), child["metadata"]["name"], ABSENT) for child in lacking]


def _status(raw: dict[str, Any], reports: list[dict[str, str]]) -> dict[str, Any]:
    """The raw status, never re-dumped and never null: a difference would be a write, and null an erasure."""
    status = {name: value for name, value in (raw.get("status") or {}).items() if name != "children"}
    return {**status, "children": reports} if reports else status
