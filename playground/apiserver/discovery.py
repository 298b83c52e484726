"""The discovery documents and OpenAPI v3. Pure.

The OpenAPI documents hold what kubectl needs: that PATCH takes fieldValidation and dryRun, and the CRD's schema for
`kubectl explain`.
"""

from collections.abc import Sequence
from typing import Any

from playground.apiserver.resources import SERVICES, Resource

Document = dict[str, Any]

VERSION = {"major": "1", "minor": "33", "gitVersion": "v1.33.0-playground", "platform": "python/playground"}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"


def documents(resources: Sequence[Resource]) -> dict[str, Document]:
    """Every document by its path."""
    by_prefix: dict[str, list[Resource]] = {}
    for one in resources:
        by_prefix.setdefault(one.prefix, []).append(one)
    groups = {own[0].group: _group(own[0]) for own in by_prefix.values() if own[0].group}
    index = {prefix[1:]: {"serverRelativeURL": f"/openapi/v3{prefix}"} for prefix in by_prefix}
    return {
        "/version": VERSION,
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(groups.values())},
        "/openapi/v3": {"paths": index},
        **{f"/apis/{name}": group for name, group in groups.items()},
        **{prefix: _resource_list(own) for prefix, own in by_prefix.items()},
        **{f"/openapi/v3{prefix}": _openapi(own) for prefix, own in by_prefix.items()},
    }


def _group(resource: Resource) -> Document:
    only = {"groupVersion": resource.api_version, "version": resource.version}
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": resource.group,
        "versions": [only],
        "preferredVersion": only,
    }


def _resource_list(resources: Sequence[Resource]) -> Document:
    items = []
    for one in resources:
        common = {"namespaced": one.namespaced, "kind": one.kind}
        names = {"name": one.plural, "singularName": one.kind.lower(), "shortNames": list(one.short_names)}
        items.append(common | names | {"verbs": VERBS, "categories": ["all"] if one is SERVICES else []})
        if one.status:
            status = {"name": f"{one.plural}/status", "singularName": "", "verbs": ["get", "patch", "update"]}
            items.append(common | status)
    version = resources[0].api_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": items}


def _openapi(resources: Sequence[Resource]) -> Document:
    schemas = {}
    for one in resources:
        body = {name: value for name, value in one.schema.items() if name != "x-kubernetes-validations"}
        name = f"{'.'.join(reversed(one.group.split('.'))) or 'io.k8s.api.core'}.{one.version}.{one.kind}"
        schemas[name] = {"type": "object", **body, GROUP_VERSION_KIND: [_group_version_kind(one)]}
    return {
        "openapi": "3.0.0",
        "info": {"title": "playground", "version": VERSION["gitVersion"]},
        "paths": {path: item for one in resources for path, item in _paths(one).items()},
        "components": {"schemas": schemas},
    }


def _group_version_kind(resource: Resource) -> Document:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _paths(resource: Resource) -> Document:
    place = f"/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"/{resource.plural}"
    common = {GROUP_VERSION_KIND: _group_version_kind(resource), "responses": {"200": {"description": "OK"}}}
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    one = {
        "get": {"x-kubernetes-action": "get", **common},
        "patch": {"x-kubernetes-action": "patch", "parameters": parameters, **common},
    }
    return {f"{resource.prefix}{place}/{{name}}": one}
