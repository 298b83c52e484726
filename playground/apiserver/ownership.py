"""Field managers and server-side apply of custom resources: who owns which field, conflicts, removals. Pure.

After sigs.k8s.io/structured-merge-diff and k8s.io/apimachinery pkg/util/managedfields. A path is a tuple of keys as in
fieldsV1: `f:name` for a field, `v:value` for an item of a set, `k:{"name":"http"}` for an item of a map list.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.apiserver.errors import ApiError
from playground.apiserver.resources import Resource
from playground.values import Object, same

Path = tuple[str, ...]
Schema = Mapping[str, Any]

APPLY, UPDATE = "Apply", "Update"
LIST_TYPE, LIST_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
METADATA: Schema = {
    "properties": {"ownerReferences": {LIST_TYPE: "map", LIST_KEYS: ["uid"]}, "finalizers": {LIST_TYPE: "set"}}
}
OWNED_METADATA = ("labels", "annotations", "ownerReferences", "finalizers")


@dataclass(frozen=True, slots=True)
class Writer:
    """One writer: field manager, operation, subresource, time."""

    manager: str
    operation: str
    subresource: str
    time: str

    def wrote(self, entry: Object) -> bool:
        """Whether an entry of managedFields is this writer's."""
        given = (entry.get("manager"), entry.get("operation"), entry.get("subresource", ""))
        return given == (self.manager, self.operation, self.subresource)

    def entry(self, api_version: str, paths: Iterable[Path]) -> Object:
        """An entry of managedFields."""
        made: Object = {"manager": self.manager, "operation": self.operation, "apiVersion": api_version}
        made |= {"time": self.time, "fieldsType": "FieldsV1", "fieldsV1": _nested(paths)}
        return made | ({"subresource": self.subresource} if self.subresource else {})


def updated(old: Object | None, new: Object, schema: Schema, writer: Writer) -> list[Object]:
    """managedFields after a write that is no apply: the writer owns what it changed, and others no longer do."""
    before, after = dict(_leaves(old or {}, schema)), dict(_leaves(new, schema))
    changed = {path for path, value in after.items() if path not in before or not same(before[path], value)}
    removed = before.keys() - after.keys()
    return _entries(new["metadata"].get("managedFields") or (), writer, new, changed, changed | removed, keep=True)


def applied(old: Object, config: Object, schema: Schema, writer: Writer, *, force: bool) -> Object:
    """`old` with `config` applied, and its managedFields; 409 if that changes a field of another manager."""
    wanted, live = dict(_leaves(config, schema)), dict(_leaves(old, schema))
    entries = old["metadata"].get("managedFields") or []
    others = [(entry, set(_paths(entry["fieldsV1"]))) for entry in entries if not writer.wrote(entry)]
    conflicts = [
        (entry, path)
        for entry, paths in others
        for path in sorted(paths & wanted.keys())
        if path not in live or not same(live[path], wanted[path])
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    kept = set().union(*(paths for _, paths in others)) | wanted.keys()
    new: Object = _merged(old, config, _with_metadata(schema))
    for entry in entries:
        for path in set(_paths(entry["fieldsV1"])) - kept if writer.wrote(entry) else ():
            _remove(new, path)
    lost = {path for _, path in conflicts}
    new["metadata"]["managedFields"] = _entries(entries, writer, new, wanted.keys(), lost, keep=False)
    return new


def untyped(resource: Resource, place: str, unknown: Sequence[str]) -> ApiError:
    """500 for fields that the schema does not have: an apply is refused whatever fieldValidation is."""
    fields = [f".{path}: field not declared in schema" for path in unknown]
    text = fields[0] if len(fields) == 1 else "errors:" + "".join(f"\n  {field}" for field in fields)
    of = f"{place}; {resource.api_version}, Kind={resource.kind}"
    return ApiError(500, "", f"failed to create typed patch object ({of}): {text}")


def _entries(
    entries: Sequence[Object], writer: Writer, obj: Object, owned: Iterable[Path], lost: Iterable[Path], *, keep: bool
) -> list[Object]:
    """managedFields: `lost` is taken from all, `owned` is the writer's, beside what it had if `keep`."""
    result, own, gone = [], set(owned), set(lost)
    for entry in entries:
        paths = set(_paths(entry["fieldsV1"]))
        if writer.wrote(entry):
            own |= paths - gone if keep else set()
            if own == paths:
                result.append(entry)
        elif left := paths - gone:
            result.append({**entry, "fieldsV1": _nested(left)} if left != paths else entry)
    if own and not any(writer.wrote(entry) for entry in result):
        result.append(writer.entry(obj["apiVersion"], own))
    return result


def _with_metadata(schema: Schema) -> Schema:
    return {**schema, "properties": {**schema.get("properties", {}), "metadata": METADATA}}


def _leaves(obj: Mapping[str, Any], schema: Schema) -> Iterator[tuple[Path, Any]]:
    """Each path that can be owned, with its value."""
    meta = {name: value for name, value in (obj.get("metadata") or {}).items() if name in OWNED_METADATA}
    fields = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind", "metadata")}
    return _walk(fields | ({"metadata": meta} if meta else {}), _with_metadata(schema), ())


def _walk(value: Any, schema: Schema, path: Path) -> Iterator[tuple[Path, Any]]:
    items = list(_items(value, schema))
    if not items:
        yield path, value
    for key, item, below in items:
        if key[0] == "k":
            yield (*path, key), None  # an item of a map list is owned, beside its fields
        yield from _walk(item, below, (*path, key))


def _items(value: Any, schema: Schema) -> Iterator[tuple[str, Any, Schema]]:
    """Parts of a value that is merged part by part, with the key of each; an atomic value has none."""
    if isinstance(value, Mapping) and schema.get("x-kubernetes-map-type") != "atomic":
        fields, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            yield f"f:{name}", item, fields.get(name) or (rest if isinstance(rest, Mapping) else {})
    elif isinstance(value, list) and schema.get(LIST_TYPE) == "set":
        yield from ((f"v:{_json(item)}", item, {}) for item in value)
    elif isinstance(value, list) and schema.get(LIST_TYPE) == "map":
        for item in value:
            keys = {name: item[name] for name in sorted(schema[LIST_KEYS]) if name in item}
            yield f"k:{_json(keys)}", item, schema.get("items", {})


def _merged(old: Any, new: Any, schema: Schema) -> Any:
    there, given = list(_items(old, schema)), list(_items(new, schema))
    if not there or not (given or isinstance(new, Mapping)):
        return copy.deepcopy(new)
    result = {key: copy.deepcopy(item) for key, item, _ in there}
    for key, item, below in given:
        result[key] = _merged(result.get(key), item, below)
    if isinstance(new, Mapping):
        return {key.removeprefix("f:"): item for key, item in result.items()}
    return list(result.values())


def _remove(obj: Any, path: Path) -> None:
    """Removes what is at a path, and what becomes empty above it."""
    key, rest = path[0], path[1:]
    if isinstance(obj, dict):
        name: Any = key.removeprefix("f:")
        if name not in obj:
            return
    else:
        wanted = json.loads(key[2:])
        fits = (lambda item: wanted.items() <= item.items()) if key[0] == "k" else (lambda item: same(item, wanted))
        name = next((index for index, item in enumerate(obj) if fits(item)), None)
        if name is None:
            return
    if rest:
        _remove(obj[name], rest)
    if not rest or obj[name] in ({}, []):
        del obj[name]


def _nested(paths: Iterable[Path]) -> Object:
    """fieldsV1 of some paths; `.` represents what is owned beside parts of it."""
    root: Object = {}
    for path in sorted(paths):
        node = root
        for key in path:
            node = node.setdefault(key, {})
        node["."] = {}
    return _without_lone_dots(root)


def _without_lone_dots(node: Object) -> Object:
    return {} if node.keys() == {"."} else {key: _without_lone_dots(below) for key, below in node.items()}


def _paths(node: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    if not node:
        yield path
    for key, below in node.items():
        yield from (path,) if key == "." else _paths(below, (*path, key))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _conflict(conflicts: Sequence[tuple[Object, Path]]) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_manager(entry)}", "field": _field(path)}
        for entry, path in conflicts
    ]
    if len(causes) == 1:
        text = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        by_manager: dict[str, list[str]] = {}
        for entry, path in conflicts:
            by_manager.setdefault(_manager(entry), []).append(f"- {_field(path)}")
        lines = (line for name in sorted(by_manager) for line in (f"conflicts with {name}:", *by_manager[name]))
        text = f"{len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", f"Apply failed with {text}", details={"causes": causes})


def _manager(entry: Object) -> str:
    sub = f' with subresource "{entry["subresource"]}"' if entry.get("subresource") else ""
    using = f" using {entry['apiVersion']}" if entry["operation"] == UPDATE else ""
    return f'"{entry["manager"]}"{sub}{using}'


def _field(path: Path) -> str:
    return "".join(_step(key) for key in path)


def _step(key: str) -> str:
    if key[0] == "f":
        return f".{key[2:]}"
    if key[0] == "v":
        return f"[={key[2:]}]"
    return "[" + ",".join(f"{name}={_json(value)}" for name, value in json.loads(key[2:]).items()) + "]"
