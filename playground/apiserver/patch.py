"""The three patch types that the API server understands here: JSON Patch, merge patch, strategic merge patch. Pure.

Server-side apply is not among them: no part of the loop uses it, and faking field ownership would prove nothing.
"""

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch
import jsonpointer

from playground.apiserver.errors import ApiError, bad_request, unpatchable

Object = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

# patchMergeKey of the lists that merge by key in the kinds we serve (k8s.io/api struct tags); all others are replaced
MERGE_KEYS = {"ports": "port", "ownerReferences": "uid", "conditions": "type"}
MERGED_PRIMITIVES = frozenset({"finalizers"})
DIRECTIVES = ("$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys")


def patched(obj: Mapping[str, Any], patch: Any, content_type: str) -> Object:
    """The object with the patch applied, of a type that `check` passed; 422 for a JSON Patch that does not fit."""
    if content_type == JSON_PATCH:
        return _json_patched(obj, patch)
    if not isinstance(patch, Mapping):
        raise bad_request("the patch is not an object")
    if content_type == MERGE_PATCH:
        return dict(merged(obj, patch))
    return _strategic(copy.deepcopy(dict(obj)), patch)


def check(content_type: str, *, custom: bool) -> None:
    """415 for a patch type that is not served here; custom resources know no strategic merge."""
    allowed = (JSON_PATCH, MERGE_PATCH) if custom else (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)
    if content_type not in allowed:
        text = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(allowed)
        raise ApiError(415, "UnsupportedMediaType", text)


def _json_patched(obj: Mapping[str, Any], patch: Any) -> Object:
    try:
        result = jsonpatch.JsonPatch(patch).apply(obj)
    except jsonpatch.InvalidJsonPatch as problem:
        raise bad_request(f"error decoding patch: {problem}") from problem
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as problem:
        raise unpatchable() from problem
    except (TypeError, KeyError, ValueError) as problem:
        raise bad_request(f"error decoding patch: {problem}") from problem
    if not isinstance(result, dict):
        raise unpatchable()
    return result


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _strategic(target: Object, patch: Mapping[str, Any]) -> Object:
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            target[field] = [item for item in target.get(field) or [] if item not in value]
    for name, value in patch.items():
        if name == "$patch" or name.startswith(DIRECTIVES):
            continue
        if value is None:
            target.pop(name, None)
        elif isinstance(value, Mapping):
            inside = target.get(name)
            target[name] = _strategic(inside if isinstance(inside, dict) else {}, value)
        elif isinstance(value, list):
            order = patch.get(f"$setElementOrder/{name}")
            target[name] = _strategic_list(name, target.get(name) or [], value, order)
        else:
            target[name] = value
    return target


def _strategic_list(name: str, target: list[Any], patch: list[Any], order: list[Any] | None) -> list[Any]:
    if name in MERGED_PRIMITIVES:
        return [*target, *(item for item in patch if item not in target)]
    key = MERGE_KEYS.get(name)
    if key is None or not all(isinstance(item, Mapping) for item in patch):
        return copy.deepcopy(patch)
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    result = {item[key]: item for item in target}
    for item in patch:
        if item.get("$patch") == "delete":
            result.pop(item[key], None)
        else:
            result[item[key]] = _strategic(dict(result.get(item[key]) or {}), item)
    if order:
        wanted = [entry[key] for entry in order]
        known = [value for value in wanted if value in result]
        return [result[value] for value in known] + [item for value, item in result.items() if value not in wanted]
    return list(result.values())
