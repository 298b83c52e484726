"""The write path of one object: metadata, defaults, validation, the guard, generations, conflicts, no-ops.

After k8s.io/apiserver pkg/registry/generic/registry/store.go and apiextensions' customresource strategies.
"""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from playground.apiserver import builtin, ownership, schema
from playground.apiserver.errors import (
    already_exists,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    not_found,
    required,
)
from playground.apiserver.resources import NAMESPACES, Resource
from playground.apiserver.storage import Storage
from playground.values import Object, same

BACKGROUND = "Background"
SYSTEM_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")


@dataclass(frozen=True, slots=True)
class Write:
    """A request to create, update, apply or delete one object.

    `name` is empty for a creation. `body` is the object, or for a deletion its DeleteOptions. `field_validation` is
    Ignore, Warn or Strict. `manager` owns the fields that change; with `force` an apply takes fields of others.
    """

    resource: Resource
    namespace: str
    name: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    subresource: str = ""
    dry_run: bool = False
    field_validation: str = "Ignore"
    manager: str = "playground"
    force: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """The object as stored, whether anything changed, warnings for the client, and 200 or 201."""

    object: Object
    changed: bool
    warnings: tuple[str, ...] = ()
    code: int = 200


class Registry:
    """Creates, replaces and deletes objects in a Storage. `now` returns the time as RFC 3339.

    `loopback` lets loopback addresses pass. `status_policy` is the MutatingAdmissionPolicy of
    components/status-policy, as in Kubernetes 1.36 and newer.
    """

    def __init__(self, storage: Storage, now: Callable[[], str], *, loopback: bool = False) -> None:
        self.status_policy = False
        self._storage = storage
        self._now = now
        self._loopback = loopback
        self._cluster_ips = 0

    def read(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object, or 404."""
        found = self._storage.get(resource.key, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def create(self, write: Write) -> Written:
        """Stores a new object; 409 if its name is taken, 404 if its namespace does not exist."""
        resource, obj = write.resource, _decoded(write)
        meta = obj["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid4().hex[:5]
        name = meta.get("name", "")
        self._check_place(resource, write.namespace, name)
        if self._storage.get(resource.key, write.namespace, name):
            raise already_exists(resource, name)
        meta.pop("resourceVersion", None)
        meta.pop("generation", None)
        meta |= {"uid": str(uuid4()), "creationTimestamp": self._now()} | (
            {"generation": 1} if resource.generation else {}
        )
        if resource.status:
            obj.pop("status", None)
        obj, warnings = self._admitted(write, None, obj)
        self._own(write, None, obj)
        stored = obj if write.dry_run else self._storage.put(resource.key, obj)
        return Written(stored, True, warnings, 201)

    def update(self, write: Write) -> Written:
        """Replaces an object, or only its status; 409 on an old resourceVersion or another uid."""
        old = self.read(write.resource, write.namespace, write.name)
        obj = _decoded(write)
        _check_precondition(write, old, obj)
        obj = _status_only(obj, old) if write.subresource == "status" else _all_but_status(obj, old, write.resource)
        obj, warnings = self._admitted(write, old, obj)
        self._own(write, old, obj)
        return self._replaced(write, old, obj, warnings)

    def apply(self, write: Write) -> Written:
        """Server-side apply of a custom resource: creates it, or merges `body` into it; 409 on a field of another."""
        resource, config = write.resource, _decoded(write)
        if config["metadata"].pop("managedFields", None):
            raise bad_request("metadata.managedFields must be nil")
        config["metadata"].setdefault("name", write.name)
        there = self._storage.get(resource.key, write.namespace, write.name)
        if there is not None:
            config["metadata"].setdefault("resourceVersion", there["metadata"]["resourceVersion"])
            _check_precondition(write, there, config)
        for part in ("spec", "metadata") if write.subresource == "status" else ("status",):
            config.pop(part, None)
        config, unknown = schema.prune(config, resource.schema)
        if unknown:
            raise ownership.untyped(resource, f"{write.namespace}/{write.name}", unknown)
        empty = {**config, "spec": {}, "metadata": {"name": write.name, "namespace": write.namespace}}
        writer = self._writer(write, ownership.APPLY)
        obj = ownership.applied(there or empty, config, resource.schema, writer, force=write.force)
        if there is None:
            managed = obj["metadata"].pop("managedFields")
            created = self.create(replace(write, name="", body=obj, dry_run=True)).object
            created["metadata"]["managedFields"] = managed
            return Written(created if write.dry_run else self._storage.put(resource.key, created), True, code=201)
        obj, warnings = self._admitted(write, there, obj)
        return self._replaced(write, there, obj, warnings)

    def delete(self, write: Write) -> Written:
        """Deletes an object, or marks it while it has finalizers. Preconditions on uid and resourceVersion hold.

        Its dependents follow in the background (`garbage`); 422 for another propagationPolicy.
        """
        resource, body = write.resource, write.body
        old = self.read(resource, write.namespace, write.name)
        if (policy := body.get("propagationPolicy") or BACKGROUND) != BACKGROUND:
            cause = invalid_value("propagationPolicy", policy, "the playground deletes in the background only")
            raise invalid("DeleteOptions", "meta.k8s.io", "", cause)
        for condition, wanted in (body.get("preconditions") or {}).items():
            if wanted and (has := old["metadata"].get(condition)) != wanted:
                why = f"Precondition failed: {condition} in precondition: {wanted}, in object meta: {has}"
                raise conflict(resource, write.name, why)
        if write.dry_run or body.get("dryRun"):
            return Written(old, False)
        if not old["metadata"].get("finalizers"):
            return Written(self._storage.remove(resource.key, write.namespace, write.name), True)
        if old["metadata"].get("deletionTimestamp"):
            return Written(old, False)
        meta = old["metadata"] | {"deletionTimestamp": self._now(), "deletionGracePeriodSeconds": 0}
        if resource.generation:
            meta["generation"] += 1
        return Written(self._storage.put(resource.key, {**old, "metadata": meta}), True)

    def _own(self, write: Write, old: Object | None, obj: Object) -> None:
        """Sets the field managers of a custom resource after a write; built-in kinds have none here."""
        managed = None
        if write.resource.custom:
            managed = ownership.updated(old, obj, write.resource.schema, self._writer(write, ownership.UPDATE))
        obj["metadata"].pop("managedFields", None)
        obj["metadata"] |= {"managedFields": managed} if managed else {}

    def _writer(self, write: Write, operation: str) -> ownership.Writer:
        return ownership.Writer(write.manager, operation, write.subresource, self._now())

    def _replaced(self, write: Write, old: Object, obj: Object, warnings: tuple[str, ...]) -> Written:
        """Stores what differs from `old`; an update without a difference is a no-op."""
        if write.resource.generation and not same(_desired(obj), _desired(old)):
            obj["metadata"]["generation"] = old["metadata"]["generation"] + 1
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if same(obj, old):
            return Written(old, False, warnings)
        if write.dry_run:
            return Written(obj, True, warnings)
        if obj["metadata"].get("deletionTimestamp") and not obj["metadata"].get("finalizers"):
            return Written(self._storage.remove(write.resource.key, write.namespace, write.name), True, warnings)
        return Written(self._storage.put(write.resource.key, obj), True, warnings)

    def _check_place(self, resource: Resource, namespace: str, name: str) -> None:
        if not name:
            cause = required("metadata.name", "name or generateName is required")
            raise invalid(resource.kind, resource.group, name, cause)
        if len(name) > 253 or not _NAME.match(name):
            rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
            raise invalid(resource.kind, resource.group, name, invalid_value("metadata.name", name, rule))
        if resource.namespaced and self._storage.get(NAMESPACES.key, "", namespace) is None:
            raise not_found(NAMESPACES, namespace)

    def _admitted(self, write: Write, old: Object | None, obj: Object) -> tuple[Object, tuple[str, ...]]:
        """The object pruned, with defaults, and valid; and the warnings about it."""
        resource = write.resource
        warnings = resource.warnings
        if not resource.custom:
            builtin.fill(resource, obj, self._next_cluster_ip)
            return obj, (*warnings, *builtin.warnings(resource, obj, validated=write.field_validation != "Ignore"))
        if old is not None and self.status_policy:
            obj = schema.without_stale_status(old, obj)
        obj, unknown = schema.prune(obj, resource.schema)
        warnings += _unknown_fields(write, unknown)
        schema.default(obj, resource.schema)
        problems = schema.problems(old, obj, loopback=self._loopback)
        if old is not None and not problems:
            problems = list(filter(None, (schema.moved_cluster_ip(old, obj), schema.stale_status(old, obj))))
        if problems:
            raise invalid(resource.kind, resource.group, obj["metadata"]["name"], *problems)
        return obj, warnings

    def _next_cluster_ip(self) -> str:
        self._cluster_ips += 1
        return f"10.96.{self._cluster_ips // 250}.{self._cluster_ips % 250 + 1}"


def _decoded(write: Write) -> Object:
    """A copy of the body as it is stored, with kind, apiVersion and namespace; 400 for an object of another place."""
    resource, body = write.resource, write.body
    if not isinstance(body, Mapping) or not isinstance(body.get("metadata", {}), Mapping):
        raise bad_request("the object provided is unrecognized: the body is not an object with metadata")
    given = (body.get("apiVersion", resource.api_version), body.get("kind", resource.kind))
    if given != (resource.api_version, resource.kind):
        wanted = f"{resource.kind} of {resource.api_version}"
        raise bad_request(f"the object provided is {given[1]} of {given[0]}, this path takes {wanted}")
    obj: Object = _integral(dict(body))
    obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
    meta = obj["metadata"] = {name: value for name, value in obj.get("metadata", {}).items() if value is not None}
    for name in ("labels", "annotations"):
        if isinstance(texts := meta.get(name), dict):
            meta[name] = {key: "" if text is None else text for key, text in texts.items()}
    meta.pop("selfLink", None)
    if not resource.namespaced:
        meta.pop("namespace", None)
    elif meta.setdefault("namespace", write.namespace) != write.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return builtin.stored(resource, obj)


def _integral(value: Any) -> Any:
    """Floats without a fraction become integers, as in the API server's JSON."""
    if isinstance(value, dict):
        return {name: _integral(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_integral(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_precondition(write: Write, old: Object, obj: Object) -> None:
    """Name, uid and resourceVersion of the body must be those of the stored object, where given."""
    resource, name, meta, uid = write.resource, write.name, obj["metadata"], old["metadata"]["uid"]
    if meta.setdefault("name", name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
    version = meta.get("resourceVersion")
    if version is None and resource.custom:
        cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(resource.kind, resource.group, name, cause)
    if meta.get("uid", uid) != uid:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {uid}"
        raise conflict(resource, name, why)
    if version not in (None, "", old["metadata"]["resourceVersion"]):
        raise conflict(resource, name)


def _desired(obj: Mapping[str, Any]) -> Object:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _status_only(obj: Object, old: Object) -> Object:
    result = {name: value for name, value in old.items() if name != "status"}
    result["metadata"] = dict(old["metadata"])
    return result | ({"status": obj["status"]} if "status" in obj else {})


def _all_but_status(obj: Object, old: Object, resource: Resource) -> Object:
    if not obj["metadata"].get("managedFields") and "managedFields" in old["metadata"]:
        obj["metadata"]["managedFields"] = old["metadata"]["managedFields"]
    for name in SYSTEM_METADATA:
        obj["metadata"].pop(name, None)
        if name in old["metadata"]:
            obj["metadata"][name] = old["metadata"][name]
    if resource.status:
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = copy.deepcopy(old["status"])
    return obj


def _unknown_fields(write: Write, unknown: list[str]) -> tuple[str, ...]:
    """Warnings, or with Strict 400."""
    texts = [f'unknown field "{path}"' for path in unknown]
    if texts and write.field_validation == "Strict":
        kind, version = write.resource.kind, write.resource.version
        why = f"strict decoding error: {', '.join(texts)}"
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
    return tuple(texts) if write.field_validation == "Warn" else ()
