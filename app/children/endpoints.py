"""The Endpoints of an ExternalService: one subset, with ready and not-ready addresses in separate lists."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

from app.children.metadata import Manifest, endpoint_port, object_meta
from external_service.readiness import PublishedAddress
from external_service.v1alpha1 import ExternalService

API_VERSION = "v1"
KIND = "Endpoints"
_text = attrgetter("ip")

SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"


def desired(
    parent: ExternalService,
    addresses: Iterable[PublishedAddress],
    *,
    mirrored: bool,
    observed: Mapping[str, Any] | None = None,
) -> Manifest:
    """The Endpoints as the API server stores them; without `subsets` if they contain no address.

    With `mirrored`, the cluster copies the Endpoints into EndpointSlices, and only ready addresses are in them. A
    mirrored endpoint has the condition `ready` alone, and Traefik sends traffic to every endpoint without `serving`
    (docs/routing.md). Otherwise the Endpoints have the skip-mirror label and list the other addresses as not ready.

    Addresses are sorted by the bytes of their text, not numerically: that is how RepackSubsets orders
    (kubernetes:pkg/api/v1/endpoints LessEndpointAddress), with which older API servers canonicalize before storing.
    1.36 stores the order that it receives. Older ones order ports by a hash: the order of `observed` is kept.
    """
    published = sorted(addresses, key=_text)
    lists: Manifest = {"addresses": [{"ip": address.ip} for address in published if address.ready]}
    if not mirrored:
        lists["notReadyAddresses"] = [{"ip": address.ip} for address in published if not address.ready]
    filled = {name: entries for name, entries in lists.items() if entries}
    labels = {} if mirrored else {SKIP_MIRROR: "true"}
    manifest: Manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": object_meta(parent, labels)}
    if filled:
        ports = [endpoint_port(port) for port in parent.spec.service_ports]
        manifest["subsets"] = [{**filled, "ports": _as_stored(ports, observed or {})}]
    return manifest


def _as_stored(ports: list[Manifest], observed: Mapping[str, Any]) -> list[Manifest]:
    """`ports` in the order in which they are stored, if it is the same ports."""
    stored = [port for subset in (observed.get("subsets") or ())[:1] for port in subset.get("ports") or ()]
    return stored if len(stored) == len(ports) and all(port in stored for port in ports) else ports
