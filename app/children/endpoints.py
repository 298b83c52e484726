"""The Endpoints of an ExternalService: one subset, ready and not-ready addresses apart."""

from collections.abc import Iterable
from operator import attrgetter

from app.children.metadata import Manifest, object_meta
from external_service.readiness import PublishedAddress
from external_service.v1alpha1 import ExternalService

API_VERSION = "v1"
KIND = "Endpoints"
_text = attrgetter("ip")

SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"


def desired(parent: ExternalService, addresses: Iterable[PublishedAddress], *, skip_mirror: bool = False) -> Manifest:
    """The Endpoints as the API server stores them; without addresses there is no `subsets` at all.

    The cluster mirrors them into EndpointSlices, unless `skip_mirror` labels them as not to be mirrored.

    Addresses are ordered by the bytes of their text, not numerically: that is how RepackSubsets orders
    (kubernetes:pkg/api/v1/endpoints LessEndpointAddress), with which older API servers canonicalize before storing.
    1.36 stores whatever order it is sent.
    """
    published = sorted(addresses, key=_text)
    subset: Manifest = {
        "addresses": [{"ip": address.ip} for address in published if address.ready],
        "notReadyAddresses": [{"ip": address.ip} for address in published if not address.ready],
    }
    labels = {SKIP_MIRROR: "true"} if skip_mirror else {}
    manifest: Manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": object_meta(parent, labels)}
    if published:
        filled = {name: entries for name, entries in subset.items() if entries}
        manifest["subsets"] = [{**filled, "ports": [{"port": parent.spec.port, "protocol": "TCP"}]}]
    return manifest
