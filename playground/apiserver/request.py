"""Which verb a request is, and on which object. Pure (k8s.io/apiserver pkg/endpoints/request RequestInfo)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground.apiserver.errors import ApiError, no_such_path
from playground.apiserver.resources import SERVED, Resource

PROTOBUF = b"k8s\x00"
_BY_PLACE = {(one.group, one.version, one.plural): one for one in SERVED}
# Of messages, each field has a tag and its size, of one byte or two. apiVersion and kind, then metadata, then its name.
_PROTOBUF_OBJECT = re.compile(
    PROTOBUF + rb"\n.\n.[\w./]+\x12.(?P<kind>\w+)(\x12.{1,2}\n.{1,2}\n(?P<size>.))?", re.DOTALL
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One request for a resource; `name` is empty for the whole collection."""

    verb: str
    resource: Resource
    namespace: str
    name: str
    subresource: str


def request_info(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Reads method and path; 404 for anything that is not served."""
    group, version, parts = _group_version(path)
    namespace = ""
    if len(parts) > 2 and parts[0] == "namespaces" and (group, version, parts[2]) in _BY_PLACE:
        namespace, parts = parts[1], parts[2:]
    resource = _BY_PLACE.get((group, version, parts[0])) if 1 <= len(parts) <= 3 else None
    if resource is None:
        raise no_such_path()
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if subresource and not (subresource == "status" and resource.status):
        raise no_such_path()
    if method == "GET":
        watched = query.get("watch", "") in ("true", "1")
        verb = "get" if name else "watch" if watched else "list"
    else:
        verb = _VERBS[method]
        if verb != "create" and not name:
            raise ApiError(405, "MethodNotAllowed", "the playground changes one object at a time: name it")
    return RequestInfo(verb, resource, namespace, name, subresource)


def _group_version(path: str) -> tuple[str, str, list[str]]:
    parts = [part for part in path.split("/") if part]
    if parts[:2] == ["api", "v1"] and len(parts) > 2:
        return "", "v1", parts[2:]
    if parts[:1] == ["apis"] and len(parts) > 3:
        return parts[1], parts[2], parts[3:]
    raise no_such_path()


def named_object(body: bytes) -> dict[str, Any]:
    """The one protobuf body that is read, that of `kubectl create namespace`: a v1 Namespace, of which only the name is
    read. 415 for any other kind.
    """
    found = _PROTOBUF_OBJECT.match(body)
    kind = found["kind"].decode() if found else "this"
    if found and kind == "Namespace" and found["size"]:
        return {"kind": kind, "metadata": {"name": body[found.end() : found.end() + ord(found["size"])].decode()}}
    text = f"the playground's API takes JSON and YAML, and {kind} came as protobuf: write it to a file and apply that"
    raise ApiError(415, "UnsupportedMediaType", text)
