"""A CustomResourceDefinition as the server uses it: the resource, its schema, its columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground.apiserver.resources import Resource


@dataclass(frozen=True, slots=True)
class Definition:
    """The stored version of one CRD."""

    resource: Resource
    schema: Mapping[str, Any]
    columns: tuple[Mapping[str, Any], ...]


def definition(crd: Mapping[str, Any]) -> Definition:
    """Reads an apiextensions.k8s.io/v1 CustomResourceDefinition; its storage version is the one served."""
    spec, names = crd["spec"], crd["spec"]["names"]
    version = next(one for one in spec["versions"] if one.get("storage"))
    schema = version["schema"]["openAPIV3Schema"]
    resource = Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        names.get("singular", names["kind"].lower()),
        tuple(names.get("shortNames", ())),
        namespaced=spec["scope"] == "Namespaced",
        status="status" in version.get("subresources", {}),
        generation=True,
        custom=True,
    )
    columns = tuple(version.get("additionalPrinterColumns", ())) or (
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    )
    return Definition(resource, schema, columns)
