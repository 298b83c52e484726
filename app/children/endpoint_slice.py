"""The EndpointSlices (discovery.k8s.io/v1) of an ExternalService: at most 100 endpoints each, every one in its place.

The hook has no memory, so the place of an address is the slice that Metacontroller observed (ADR 13).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import count
from typing import Any

from app.children.metadata import Manifest, endpoint_port, object_meta
from external_service.kind import FAMILIES, Family, family_of
from external_service.readiness import PublishedAddress
from external_service.v1alpha1 import ExternalService

API_VERSION = "discovery.k8s.io/v1"
KIND = "EndpointSlice"
MAX_ENDPOINTS = 100
MANAGER = "external-service-operator.eso.crowdfox.com"
"""Manager of these slices: the controllers of Kubernetes only change those with their own name."""

Slices = Mapping[str, Mapping[str, Any]]  # name -> object, as Metacontroller shows it


def desired(
    parent: ExternalService,
    addresses: Iterable[PublishedAddress],
    observed: Slices,
    annotations: Mapping[str, str] | None = None,
) -> list[Manifest]:
    """The slices as the API server stores them, IPv4 first. Without addresses there are none.

    The family is in the name, `NAME-ipv4-0`, since addressType can never change. Endpoints are in the order of their
    text, as in Endpoints; all three conditions are always written, since a missing `ready` means ready.
    """
    by_family: dict[Family, dict[str, PublishedAddress]] = {family: {} for family in FAMILIES}
    for one in addresses:
        by_family[family_of(one.ip)][one.ip] = one
    ports = [{"name": "", **endpoint_port(port)} for port in parent.spec.service_ports]
    slices = []
    for family, of_family in by_family.items():
        prefix = f"{parent.metadata.name}-{family.lower()}-"
        for number, ips in place(of_family, _held(observed, prefix)).items():
            metadata = object_meta(parent, _labels(parent), annotations, name=f"{prefix}{number}")
            slices.append(_slice(family, metadata, [of_family[ip] for ip in ips], ports))
    return slices


def place(ips: Collection[str], observed: Mapping[int, Collection[str]]) -> dict[int, list[str]]:
    """Slice number -> addresses in the order of their text; `observed` is what each slice holds now.

    An address stays in its slice, in the first one if in several. New ones fill the slices with room, then slices
    with numbers that are free. A slice that has lost its last address is emptied first, and left out (that is: deleted)
    only when seen empty, and nothing ever goes into an empty one: an update from an old view is refused by the API
    server, a deletion is not.
    """
    missing = dict.fromkeys(sorted(ips))
    slots: dict[int, list[str]] = {}
    for number in sorted(number for number, held in observed.items() if held):
        stay = [ip for ip in observed[number] if ip in missing][:MAX_ENDPOINTS]
        slots[number] = list(dict.fromkeys(stay))
        for ip in slots[number]:
            del missing[ip]
    new = list(missing)
    for slot in slots.values():
        room = MAX_ENDPOINTS - len(slot)
        slot.extend(new[:room])
        del new[:room]
    free = (number for number in count() if number not in observed)
    for start in range(0, len(new), MAX_ENDPOINTS):
        slots[next(free)] = new[start : start + MAX_ENDPOINTS]
    return {number: sorted(slot) for number, slot in slots.items()}


def _held(observed: Slices, prefix: str) -> dict[int, list[str]]:
    """Endpoints of each slice with this prefix, by its number; one that is being deleted counts as empty."""
    held = {}
    for name, one in observed.items():
        if name.startswith(prefix) and re.fullmatch("0|[1-9][0-9]{0,5}", number := name.removeprefix(prefix)):
            endpoints = [] if "deletionTimestamp" in one["metadata"] else one.get("endpoints") or []
            held[int(number)] = [ip for endpoint in endpoints for ip in endpoint["addresses"]]
    return held


def _labels(parent: ExternalService) -> dict[str, str]:
    return {"endpointslice.kubernetes.io/managed-by": MANAGER, "kubernetes.io/service-name": parent.metadata.name}


def _slice(family: str, metadata: Manifest, addresses: Iterable[PublishedAddress], ports: list[Manifest]) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata,
        "addressType": family,
        "endpoints": [
            {
                "addresses": [one.ip],
                "conditions": {"ready": one.ready, "serving": one.serving, "terminating": one.terminating},
            }
            for one in addresses
        ],
        "ports": ports,
    }
