"""The Endpoints of an ExternalService: one subset, ready and not-ready addresses apart."""

from collections.abc import Iterable

from app.api.readiness import PublishedAddress
from app.api.v1alpha1 import ExternalService
from app.children.metadata import Manifest, object_meta


def desired(parent: ExternalService, addresses: Iterable[PublishedAddress]) -> Manifest:
    """The Endpoints as the API server stores them; without addresses there is no `subsets` at all.

    Addresses are ordered by the bytes of their text, not numerically: that is how RepackSubsets orders
    (kubernetes:pkg/api/v1/endpoints LessEndpointAddress), with which older API servers canonicalize before storing.
    1.36 stores whatever order it is sent.
    """
    published = sorted(addresses)
    subset: Manifest = {
        name: [{"ip": address.ip} for address in published if address.ready is ready]
        for name, ready in (("addresses", True), ("notReadyAddresses", False))
    }
    manifest: Manifest = {"apiVersion": "v1", "kind": "Endpoints", "metadata": object_meta(parent)}
    if published:
        filled = {name: entries for name, entries in subset.items() if entries}
        manifest["subsets"] = [{**filled, "ports": [{"port": parent.spec.port, "protocol": "TCP"}]}]
    return manifest
