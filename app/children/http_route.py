"""The HTTPRoutes (gateway.networking.k8s.io/v1) of an ExternalService: its hosts and paths, for the Gateways it names.

One route holds hosts with the same paths. The Gateway API allows 16 hostnames a route and 64 matches a rule; what goes
beyond is another route. Defaults are those of its CRD, which the API server fills in (standard channel, 1.5).
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from app.children.metadata import Manifest, object_meta
from external_service.v1alpha1 import ExternalService, ExternalServiceSpec, HTTPRouteOptions, ParentReference

API_VERSION = "gateway.networking.k8s.io/v1"
KIND = "HTTPRoute"
MAX_HOSTNAMES = 16
MAX_MATCHES = 64

PathMatch = tuple[str, str]  # type and value
T = TypeVar("T")


def desired(parent: ExternalService) -> list[Manifest]:
    """The routes as the API server stores them; none without hosts or without `spec.httpRoute`.

    The first is called as the ExternalService, the others NAME.1, NAME.2: no ExternalService has a dot in its name.
    """
    options = parent.spec.httpRoute
    if options is None:
        return []
    routes = []
    for number, spec in enumerate(_specs(parent, options)):
        name = f"{parent.metadata.name}.{number}" if number else ""
        routes.append(
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": object_meta(parent, options.labels, options.annotations, name=name),
                "spec": spec,
            }
        )
    return routes


def _specs(parent: ExternalService, options: HTTPRouteOptions) -> Iterator[Manifest]:
    service = {"group": "", "kind": "Service", "name": parent.metadata.name}
    for (port, matches), hosts in _groups(parent.spec).items():
        backend = {**service, "port": port, "weight": 1}
        for parents in _layers(options.parentRefs):
            for hostnames in _parts(hosts, MAX_HOSTNAMES):
                for part in _parts(matches, MAX_MATCHES):
                    paths = [{"path": {"type": kind, "value": value}} for kind, value in part]
                    yield {
                        "hostnames": list(hostnames),
                        "parentRefs": [_parent_ref(reference) for reference in parents],
                        "rules": [{"backendRefs": [backend], "matches": paths}],
                    }


def _groups(spec: ExternalServiceSpec) -> dict[tuple[int, tuple[PathMatch, ...]], list[str]]:
    """The hosts by their port and paths, all in the order of the spec; a duplicate counts once."""
    paths: dict[tuple[int, str], dict[PathMatch, None]] = {}
    for host in spec.hosts:
        kind = "Exact" if host.pathType == "Exact" else "PathPrefix"
        port = spec.port_of(host)
        assert port is not None  # noqa: S101 - child_problems refuses it
        paths.setdefault((port.port, host.host), {})[kind, host.path or "/"] = None
    groups: dict[tuple[int, tuple[PathMatch, ...]], list[str]] = {}
    for (number, name), matches in paths.items():
        groups.setdefault((number, tuple(matches)), []).append(name)
    return groups


def _layers(references: Sequence[ParentReference]) -> list[list[ParentReference]]:
    """The references, apart where they have a name in common: two listeners of one Gateway are two routes.

    Metacontroller merges lists whose items have a `name` by that name alone; of two with one name it would keep one.
    """
    layers: list[list[ParentReference]] = []
    for reference in dict.fromkeys(references):
        for layer in layers:
            if all(reference.name != other.name for other in layer):
                layer.append(reference)
                break
        else:
            layers.append([reference])
    return layers


def _parent_ref(reference: ParentReference) -> Manifest:
    given = {"namespace": reference.namespace, "sectionName": reference.sectionName}
    return {
        "group": reference.group,
        "kind": reference.kind,
        "name": reference.name,
        **{name: value for name, value in given.items() if value is not None},
    }


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
