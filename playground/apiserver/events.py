"""Events are stored once and served twice: core/v1 and events.k8s.io/v1 have different names for the same fields.

After kubernetes:pkg/apis/events/v1/conversion.go; stored as in core/v1. Pure.
"""

from collections.abc import Mapping
from typing import Any

from playground.apiserver.resources import NEW_EVENTS, Resource

Object = dict[str, Any]

CORE_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
NEW_NAMES = {core: new for new, core in CORE_NAMES.items()}
CORE_ALWAYS: Object = {"source": {}, "firstTimestamp": None, "lastTimestamp": None}
"""Fields that core/v1 shows of an Event even if they were not set."""


def stored(resource: Resource, obj: Mapping[str, Any]) -> Object:
    """The object as it is stored."""
    if resource is not NEW_EVENTS:
        return dict(obj)
    return {**CORE_ALWAYS, **_renamed(obj, CORE_NAMES), "apiVersion": "v1"}


def shown(resource: Resource, obj: Object) -> Object:
    """A stored object as the resource serves it."""
    if resource is not NEW_EVENTS:
        return obj
    set_fields = {name: value for name, value in obj.items() if name not in CORE_ALWAYS or value}
    return _renamed(set_fields, NEW_NAMES) | {"apiVersion": NEW_EVENTS.api_version}


def _renamed(obj: Mapping[str, Any], names: Mapping[str, str]) -> Object:
    return {names.get(name, name): value for name, value in obj.items()}
