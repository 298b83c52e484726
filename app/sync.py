"""One sync: an ExternalService and what is known of its addresses in, the desired children out. Pure.

The answer is complete or an InvalidRequest: a child left out of an answer is an order to delete it (design R5).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from app.api.admission import child_problems
from app.api.invalid import explain
from app.api.policy import AddressPolicy
from app.api.readiness import publication
from app.api.v1alpha1 import ExternalService
from app.children import endpoints, ingress, service
from app.children.metadata import Manifest
from app.hook import CompositeHookRequest, CompositeHookResponse, InvalidRequest

ABSENT = "not there: another {kind} has this name (rename or delete it), or creation was refused (see the events)"

RECHECK_SECONDS = 30.0
"""When to try again for a child that could not be had: the end of a name clash makes no event of its own."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What the operator's settings change in an answer."""

    policy: AddressPolicy = field(default_factory=AddressPolicy)
    uncopied_annotations: tuple[str, ...] = ()


def sync(request: CompositeHookRequest, options: SyncOptions) -> CompositeHookResponse:
    """The children that the parent wants, and its status as it was read, with our `children` reports (R1, R9).

    Raises InvalidRequest for a parent that cannot be read, or one whose children the API server would refuse.
    """
    parent = _read(request.parent)
    children = desired_children(parent, options)
    reports = _reports(request, parent, children)
    response: CompositeHookResponse = {"status": _status(request.parent, reports), "children": children}
    if reports:
        response["resyncAfterSeconds"] = RECHECK_SECONDS
    return response


def desired_children(parent: ExternalService, options: SyncOptions) -> list[Manifest]:
    """Service, Endpoints and, with hosts, Ingress. Raises InvalidRequest for what the API server would refuse."""
    if problems := child_problems(parent):
        raise InvalidRequest(*problems)
    known = {address.ip: address for address in parent.status.addresses}
    published = publication(parent.spec, known, options.policy)
    wanted = (
        service.desired(parent),
        endpoints.desired(parent, published.addresses),
        ingress.desired(parent, options.uncopied_annotations),
    )
    return [child for child in wanted if child is not None]


def _read(raw: dict[str, Any]) -> ExternalService:
    try:
        return ExternalService.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequest(*(_with_outlook(line) for line in explain(error))) from None


def _with_outlook(line: str) -> str:
    return f"{line}; the sidecar rewrites such a status by itself" if line.startswith("status") else line


def _reports(
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
    return [
        {"kind": child["kind"], "name": child["metadata"]["name"], "problem": ABSENT.format(kind=child["kind"])}
        for child in children
        if request.lacks(child)
    ]


def _status(raw: dict[str, Any], reports: list[dict[str, str]]) -> dict[str, Any]:
    """The raw status, never re-dumped and never null: a difference would be a write, and null an erasure."""
    status = {name: value for name, value in (raw.get("status") or {}).items() if name != "children"}
    return {**status, "children": reports} if reports else status
