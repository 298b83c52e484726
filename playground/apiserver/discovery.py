"""What is served, as clients ask for it: discovery documents and OpenAPI v3. Pure.

The OpenAPI documents hold what kubectl needs of them: that PATCH takes fieldValidation and dryRun, and the CRD's schema
for `kubectl explain`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from playground.apiserver.definition import Definition
from playground.apiserver.resources import Resource

Document = dict[str, Any]

VERSION = {"major": "1", "minor": "33", "gitVersion": "v1.33.0-playground", "platform": "python/playground"}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def documents(resources: Sequence[Resource], definitions: Mapping[tuple[str, str], Definition]) -> dict[str, Document]:
    """Every document by its path."""
    found = {
        "/version": VERSION,
        "/api": core_versions(),
        "/apis": groups(resources),
        "/openapi/v3": openapi_index(resources),
    }
    for prefix in dict.fromkeys(one.prefix for one in resources):
        own = [one for one in resources if one.prefix == prefix]
        found[prefix] = resource_list(own[0].api_version, own)
        found[f"/openapi/v3{prefix}"] = openapi_v3(own, definitions)
        if own[0].group:
            found[f"/apis/{own[0].group}"] = group(own[0].group, own[0].version)
    return found


def core_versions() -> Document:
    """GET /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups(resources: Iterable[Resource]) -> Document:
    """GET /apis."""
    named = dict.fromkeys((one.group, one.version) for one in resources if one.group)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(*pair) for pair in named]}


def group(name: str, version: str) -> Document:
    """GET /apis/GROUP, and an item of /apis."""
    only = {"groupVersion": f"{name}/{version}", "version": version}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [only], "preferredVersion": only}


def resource_list(api_version: str, resources: Sequence[Resource]) -> Document:
    """GET /api/v1 or /apis/GROUP/VERSION."""
    items = []
    for one in resources:
        entry = {"name": one.plural, "singularName": one.singular, "namespaced": one.namespaced, "kind": one.kind}
        lists = {"shortNames": list(one.short_names), "categories": list(one.categories)}
        items.append({**entry, "verbs": VERBS, **lists})
        if one.status:
            status = {"name": f"{one.plural}/status", "singularName": "", "namespaced": one.namespaced}
            items.append({**status, "kind": one.kind, "verbs": ["get", "patch", "update"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": items}


def openapi_index(resources: Iterable[Resource]) -> Document:
    """GET /openapi/v3."""
    paths = dict.fromkeys(one.prefix.removeprefix("/") for one in resources)
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}


def openapi_v3(resources: Sequence[Resource], definitions: Mapping[tuple[str, str], Definition]) -> Document:
    """GET /openapi/v3/api/v1 or /openapi/v3/apis/GROUP/VERSION."""
    schemas = {}
    for one in resources:
        found = definitions.get(one.key)
        body = dict(found.schema) if found else {"type": "object"}
        body.pop("x-kubernetes-validations", None)
        schemas[schema_name(one)] = {**body, "x-kubernetes-group-version-kind": [gvk(one)]}
    return {
        "openapi": "3.0.0",
        "info": {"title": "playground", "version": VERSION["gitVersion"]},
        "paths": {path: item for one in resources for path, item in _paths(one).items()},
        "components": {"schemas": schemas},
    }


def gvk(resource: Resource) -> Document:
    """Group, version and kind as the OpenAPI extension spells them."""
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def schema_name(resource: Resource) -> str:
    """The group's DNS name reversed, version, kind."""
    group_ = ".".join(reversed(resource.group.split("."))) if resource.group else "io.k8s.api.core"
    return f"{group_}.{resource.version}.{resource.kind}"


def _paths(resource: Resource) -> Document:
    place = f"/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"/{resource.plural}"
    extension = {"x-kubernetes-group-version-kind": gvk(resource)}
    answer = {"responses": {"200": {"description": "OK"}}}
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    one = {
        "get": {"x-kubernetes-action": "get", **extension, **answer},
        "patch": {"x-kubernetes-action": "patch", "parameters": parameters, **extension, **answer},
    }
    return {f"{resource.prefix}{place}/{{name}}": one}
