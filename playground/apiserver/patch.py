"""The two patch types that the API server takes here: JSON Patch and merge patch. Pure.

Server-side apply is in `ownership`, of custom resources only. A strategic merge patch with lists is refused.
"""

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch
import jsonpointer

from playground.apiserver.errors import ApiError, Cause, bad_request, invalid, required, unpatchable

Object = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
ALLOWED = (JSON_PATCH, MERGE_PATCH)


def patched(obj: Mapping[str, Any], patch: Any, content_type: str) -> Object:
    """The object with the patch applied, of a type that `check` passed; 422 for a JSON Patch that does not fit."""
    if content_type == JSON_PATCH:
        return _json_patched(obj, patch)
    if not isinstance(patch, Mapping):
        raise bad_request("the patch is not an object")
    return dict(merged(obj, patch))


def check(content_type: str, patch: Any, query: Mapping[str, str], *, custom: bool) -> None:
    """415 for a patch that is not taken here, 422 for options that do not fit it.

    Without lists and directives a strategic merge patch is a merge patch.
    """
    if content_type == APPLY_PATCH:
        if not custom:
            text = "the playground knows server-side apply of ExternalServices only: leave --server-side out"
            raise ApiError(415, "UnsupportedMediaType", text)
        if not query.get("fieldManager"):
            raise invalid("PatchOptions", "meta.k8s.io", "", [required("fieldManager", "is required for apply patch")])
        return
    if query.get("force"):
        cause = Cause("force", "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch")
        raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
    if content_type in ALLOWED or (content_type == STRATEGIC_PATCH and not custom and _plain(patch)):
        return
    text = "the body of the request was in an unknown format - accepted media types include: "
    hint = "; use kubectl patch --type=merge or --type=json, or kubectl replace"
    raise ApiError(415, "UnsupportedMediaType", text + ", ".join(ALLOWED) + hint)


def _plain(patch: Any) -> bool:
    if isinstance(patch, Mapping):
        return all(not name.startswith("$") and _plain(value) for name, value in patch.items())
    return not isinstance(patch, list)


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
