"""JSON Patch and merge patch. Pure.

Server-side apply is in `ownership`, for custom resources only. A strategic merge patch with lists is refused.
"""

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch
import jsonpointer

from playground.apiserver.errors import ApiError, bad_request
from playground.values import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def patched(obj: Mapping[str, Any], patch: Any, content_type: str, *, custom: bool) -> Object:
    """The object with the patch applied; 415 for a type that is not served, 422 for a JSON Patch that does not fit."""
    if content_type == JSON_PATCH:
        return _json_patched(obj, patch)
    mergeable = content_type == STRATEGIC_PATCH and not custom and _plain(patch)
    if content_type != MERGE_PATCH and not mergeable:
        text = f"the body of the request was in an unknown format - accepted media types include: {JSON_PATCH}, "
        hint = f"{MERGE_PATCH}; use kubectl patch --type=merge or --type=json, or kubectl replace"
        raise ApiError(415, "UnsupportedMediaType", text + hint)
    if not isinstance(patch, Mapping):
        raise bad_request("the patch is not an object")
    return dict(_merged(obj, patch))


def _plain(patch: Any) -> bool:
    """Whether a strategic merge patch equals a merge patch: it has no lists and no directives."""
    if isinstance(patch, Mapping):
        return all(not name.startswith("$") and _plain(value) for name, value in patch.items())
    return not isinstance(patch, list)


def _json_patched(obj: Mapping[str, Any], patch: Any) -> Object:
    try:
        result = jsonpatch.JsonPatch(patch).apply(obj)
    except (jsonpatch.InvalidJsonPatch, TypeError, KeyError, ValueError) as problem:
        raise bad_request(f"error decoding patch: {problem}") from problem
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException):
        result = None
    if not isinstance(result, dict):  # a failed `test` and a missing parent have the same text
        raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request")
    return result


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
