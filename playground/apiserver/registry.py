"""The write path of one resource: metadata, defaults, validation, the guard, generations, conflicts, no-ops.

After k8s.io/apiserver pkg/registry/generic/registry/store.go and apiextensions' customresource strategies.
"""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from playground.apiserver import builtin, events, schema
from playground.apiserver.definition import Definition
from playground.apiserver.errors import (
    Cause,
    already_exists,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    not_found,
    required,
)
from playground.apiserver.guard import moved_cluster_ip, stale_status, without_stale_status
from playground.apiserver.ownership import APPLY, UPDATE, Writer, applied, untyped, updated
from playground.apiserver.resources import NAMESPACES, Resource
from playground.apiserver.storage import Storage
from playground.values import integral, same

Object = dict[str, Any]
Rules = Callable[[Mapping[str, Any]], list[Cause]]

SYSTEM_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Query parameters of a write. `field_validation`: Ignore, Warn or Strict. `manager`: who owns what it writes."""

    dry_run: bool = False
    field_validation: str = "Ignore"
    manager: str = "playground"
    force: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to: the object as stored, whether anything changed, warnings for the client, 200 or 201."""

    object: Object
    changed: bool
    warnings: tuple[str, ...] = ()
    code: int = 200


@dataclass(slots=True)
class Knobs:
    """What a real server has no switch for. `guard` off is a CRD without the transition rule.

    `status_policy` is the MutatingAdmissionPolicy of components/status-policy, as in Kubernetes 1.36 and newer.
    """

    guard: bool = True
    loopback: bool = False
    status_policy: bool = False


class Registry:
    """Creates, replaces and deletes objects of any served resource in a Storage."""

    def __init__(
        self,
        storage: Storage,
        definitions: Mapping[tuple[str, str], Definition],
        now: Callable[[], str],
        knobs: Knobs,
        rules: Rules,
    ) -> None:
        self._storage = storage
        self._definitions = definitions
        self._now = now
        self._knobs = knobs
        self._rules = rules
        self._cluster_ips = 0

    def read(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object, or 404."""
        found = self._storage.get(resource.key, namespace, name)
        if found is None:
            raise not_found(resource.plural, resource.group, name)
        return found

    def create(self, resource: Resource, namespace: str, body: Mapping[str, Any], options: WriteOptions) -> Written:
        """Stores a new object; 409 if its name is taken, 404 if its namespace does not exist."""
        obj = self._decoded(resource, namespace, body)
        meta = obj["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid4().hex[:5]
        name = meta.get("name", "")
        self._check_place(resource, namespace, name)
        if self._storage.get(resource.key, namespace, name):
            raise already_exists(resource.plural, resource.group, name)
        meta.pop("resourceVersion", None)
        meta |= {"uid": str(uuid4()), "creationTimestamp": self._now()}
        meta.pop("generation", None)
        if resource.generation:
            meta["generation"] = 1
        if resource.status:
            obj.pop("status", None)
        obj, warnings = self._admitted(resource, obj, None, options)
        obj = self._owned(resource, None, obj, Writer(options.manager, UPDATE, "", self._now()))
        stored = obj if options.dry_run else self._storage.put(resource.key, obj)
        return Written(stored, True, warnings, 201)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        options: WriteOptions,
        subresource: str = "",
    ) -> Written:
        """Replaces an object, or only its status; 409 on a stale resourceVersion or another uid. A no-op stays one."""
        old = self.read(resource, namespace, name)
        obj = self._decoded(resource, namespace, body)
        self._check_precondition(resource, old, obj, name)
        obj = _status_only(obj, old) if subresource == "status" else _all_but_status(obj, old, resource)
        obj, warnings = self._admitted(resource, obj, old, options)
        obj = self._owned(resource, old, obj, Writer(options.manager, UPDATE, subresource, self._now()))
        return self._replaced(resource, old, obj, options, warnings)

    def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        options: WriteOptions,
        subresource: str,
    ) -> Written:
        """Server-side apply of a custom resource: creates it, or merges `body` into it; 409 on a field of another."""
        config = self._decoded(resource, namespace, body)
        if config["metadata"].pop("managedFields", None):
            raise bad_request("metadata.managedFields must be nil")
        config["metadata"].setdefault("name", name)
        there = self._storage.get(resource.key, namespace, name)
        old = there or {**config, "spec": {}, "metadata": {"name": name, "namespace": namespace}}
        if there is not None:
            config["metadata"].setdefault("resourceVersion", there["metadata"]["resourceVersion"])
            self._check_precondition(resource, there, config, name)
        for part in ("spec", "metadata") if subresource == "status" else ("status",):
            config.pop(part, None)
        schema_ = self._definitions[resource.key].schema
        config, unknown = schema.prune(config, schema_)
        if unknown:
            raise untyped(resource, namespace, name, unknown)
        writer = Writer(options.manager, APPLY, subresource, self._now())
        obj = applied(old, config, schema_, writer, force=options.force)
        if there is None:
            managed = obj["metadata"].pop("managedFields")
            created = self.create(resource, namespace, obj, replace(options, dry_run=True)).object
            created["metadata"]["managedFields"] = managed
            return Written(created if options.dry_run else self._storage.put(resource.key, created), True, code=201)
        obj, warnings = self._admitted(resource, obj, there, options)
        return self._replaced(resource, there, obj, options, warnings)

    def _owned(self, resource: Resource, old: Object | None, obj: Object, writer: Writer) -> Object:
        """With the field managers of a custom resource after a write; the others of the playground have none."""
        found, meta = self._definitions.get(resource.key), obj["metadata"]
        if found is None:
            meta.pop("managedFields", None)
        elif managed := updated(old, obj, found.schema, writer):
            meta["managedFields"] = managed
        return obj

    def _replaced(
        self, resource: Resource, old: Object, obj: Object, options: WriteOptions, warnings: tuple[str, ...]
    ) -> Written:
        namespace, name = old["metadata"].get("namespace", ""), old["metadata"]["name"]
        if resource.generation and not same(_desired(obj), _desired(old)):
            obj["metadata"]["generation"] = old["metadata"]["generation"] + 1
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if same(obj, old):
            return Written(old, False, warnings)
        if options.dry_run:
            return Written(obj, True, warnings)
        if obj["metadata"].get("deletionTimestamp") and not obj["metadata"].get("finalizers"):
            return Written(self._storage.remove(resource.key, namespace, name), True, warnings)
        return Written(self._storage.put(resource.key, obj), True, warnings)

    def delete(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, dry_run: bool
    ) -> Written:
        """Deletes an object, or marks it when finalizers hold it. Preconditions on uid and resourceVersion are kept."""
        old = self.read(resource, namespace, name)
        for field, wanted in (body.get("preconditions") or {}).items():
            if wanted and (has := old["metadata"].get(field)) != wanted:
                why = f"Precondition failed: {field} in precondition: {wanted}, in object meta: {has}"
                raise conflict(resource.plural, resource.group, name, why)
        if dry_run:
            return Written(old, True)
        finalizers = list(old["metadata"].get("finalizers") or ())
        if body.get("propagationPolicy") == "Foreground" and "foregroundDeletion" not in finalizers:
            finalizers.append("foregroundDeletion")
        elif body.get("propagationPolicy") == "Orphan" or body.get("orphanDependents"):
            self._orphan(old)
        if not finalizers:
            return Written(self._storage.remove(resource.key, namespace, name), True)
        if old["metadata"].get("deletionTimestamp"):
            return Written(old, False)
        meta = old["metadata"] | {
            "finalizers": finalizers,
            "deletionTimestamp": self._now(),
            "deletionGracePeriodSeconds": 0,
        }
        if resource.generation:
            meta["generation"] += 1
        return Written(self._storage.put(resource.key, {**old, "metadata": meta}), True)

    def _orphan(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for key, obj in self._storage.everything():
            references = obj["metadata"].get("ownerReferences") or []
            kept = [reference for reference in references if reference["uid"] != uid]
            if len(kept) != len(references):
                meta = {name: value for name, value in obj["metadata"].items() if name != "ownerReferences"}
                self._storage.put(key, {**obj, "metadata": meta | ({"ownerReferences": kept} if kept else {})})

    def _decoded(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Object:
        if not isinstance(body, Mapping) or not isinstance(body.get("metadata", {}), Mapping):
            raise bad_request("the object provided is unrecognized: the body is not an object with metadata")
        given = (body.get("apiVersion", resource.api_version), body.get("kind", resource.kind))
        if given != (resource.api_version, resource.kind):
            wanted = f"{resource.kind} of {resource.api_version}"
            raise bad_request(f"the object provided is {given[1]} of {given[0]}, this path takes {wanted}")
        obj: Object = integral(copy.deepcopy(dict(body)))
        obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
        meta = obj["metadata"] = {name: value for name, value in obj.get("metadata", {}).items() if value is not None}
        for name in ("labels", "annotations"):
            if isinstance(texts := meta.get(name), dict):
                meta[name] = {key: "" if text is None else text for key, text in texts.items()}
        meta.pop("selfLink", None)
        if resource.namespaced:
            if meta.get("namespace", namespace) != namespace:
                text = "the namespace of the provided object does not match the namespace sent on the request"
                raise bad_request(text)
            meta["namespace"] = namespace
        else:
            meta.pop("namespace", None)
        return events.stored(resource, obj)

    def _check_place(self, resource: Resource, namespace: str, name: str) -> None:
        if not name:
            field = required("metadata.name", "name or generateName is required")
            raise invalid(resource.kind, resource.group, name, [field])
        if len(name) > 253 or not _NAME.match(name):
            rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
            raise invalid(resource.kind, resource.group, name, [invalid_value("metadata.name", name, rule)])
        if resource.namespaced and self._storage.get(NAMESPACES.key, "", namespace) is None:
            raise not_found(NAMESPACES.plural, "", namespace)

    def _check_precondition(self, resource: Resource, old: Object, obj: Object, name: str) -> None:
        meta = obj["metadata"]
        if meta.get("name", name) != name:
            text = f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
            raise bad_request(text)
        meta["name"] = name
        version = meta.get("resourceVersion")
        if version is None and resource.custom:
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(resource.kind, resource.group, name, [cause])
        if meta.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {old['metadata']['uid']}"
            )
            raise conflict(resource.plural, resource.group, name, why)
        if version not in (None, "", old["metadata"]["resourceVersion"]):
            raise conflict(resource.plural, resource.group, name)

    def _admitted(
        self, resource: Resource, obj: Object, old: Object | None, options: WriteOptions
    ) -> tuple[Object, tuple[str, ...]]:
        warnings: tuple[str, ...] = (resource.warning,) if resource.warning else ()
        found = self._definitions.get(resource.key)
        if found is None:
            builtin.fill(resource, obj, self._next_cluster_ip)
            return obj, (*warnings, *builtin.warnings(resource, obj, validated=options.field_validation != "Ignore"))
        if old is not None and self._knobs.status_policy:
            obj = without_stale_status(old, obj)
        obj, unknown = schema.prune(obj, found.schema)
        warnings += _unknown_fields(resource, unknown, options)
        schema.default(obj, found.schema)
        if problems := schema.validate(obj, found.schema) or self._rule_problems(obj, old):
            raise invalid(resource.kind, resource.group, obj["metadata"]["name"], problems)
        return obj, warnings

    def _rule_problems(self, obj: Object, old: Object | None) -> list[Cause]:
        if old is None:
            return self._rules(obj)
        problems = [] if same(obj["spec"], old["spec"]) else self._rules(obj)
        found = (moved_cluster_ip(old, obj), stale_status(old, obj) if self._knobs.guard else None)
        return [*problems, *filter(None, found)]

    def _next_cluster_ip(self) -> str:
        self._cluster_ips += 1
        return f"10.96.{self._cluster_ips // 250}.{self._cluster_ips % 250 + 1}"


def _desired(obj: Mapping[str, Any]) -> Object:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _status_only(obj: Object, old: Object) -> Object:
    result = copy.deepcopy(old)
    result.pop("status", None)
    return result | ({"status": obj["status"]} if "status" in obj else {})


def _all_but_status(obj: Object, old: Object, resource: Resource) -> Object:
    if not obj["metadata"].get("managedFields") and "managedFields" in old["metadata"]:
        obj["metadata"]["managedFields"] = old["metadata"]["managedFields"]
    for field in SYSTEM_METADATA:
        obj["metadata"].pop(field, None)
        if field in old["metadata"]:
            obj["metadata"][field] = old["metadata"][field]
    if resource.status:
        obj.pop("status", None)
        if "status" in old:
            obj["status"] = copy.deepcopy(old["status"])
    return obj


def _unknown_fields(resource: Resource, unknown: list[str], options: WriteOptions) -> tuple[str, ...]:
    texts = [f'unknown field "{path}"' for path in unknown]
    if texts and options.field_validation == "Strict":
        text = ", ".join(texts)
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {text}"
        )
    return tuple(texts) if options.field_validation == "Warn" else ()
