"""The kinds that the playground reads and shows, and the processes that write them."""

from collections.abc import Mapping
from typing import Any

from playground.client import Kind

EXTERNAL_SERVICES = Kind("eso.crowdfox.com/v1alpha1", "externalservices", "ExternalService", namespaced=True)
SERVICES = Kind("v1", "services", "Service", namespaced=True)
ENDPOINTS = Kind("v1", "endpoints", "Endpoints", namespaced=True)
ENDPOINT_SLICES = Kind("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", namespaced=True)
INGRESSES = Kind("networking.k8s.io/v1", "ingresses", "Ingress", namespaced=True)

SIDECAR, CONTROLLER = "sidecar", "metacontroller"


def readiness(endpoints: Mapping[str, Any]) -> dict[str, bool]:
    """The addresses of an Endpoints object: address -> ready."""
    found: dict[str, bool] = {}
    for subset in endpoints.get("subsets") or ():
        found |= {address["ip"]: True for address in subset.get("addresses") or ()}
        found |= {address["ip"]: False for address in subset.get("notReadyAddresses") or ()}
    return found
