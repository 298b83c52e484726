"""A CompositeController manifest (metacontroller.k8s.io/v1alpha1), read as far as the stand-in obeys it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAST_RESYNC_SECONDS = 1.0
DEFAULT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ChildRule:
    """One entry of spec.childResources; `method` is OnDelete, InPlace or Recreate."""

    api_version: str
    plural: str
    method: str


@dataclass(frozen=True, slots=True)
class CompositeConfig:
    """`manifest` is handed to the hook whole. `resync_seconds` is None when none is asked for.

    `labels` are those that a parent must have: the matchLabels of parentResource.labelSelector.
    """

    name: str
    api_version: str
    plural: str
    labels: Mapping[str, str]
    children: tuple[ChildRule, ...]
    generate_selector: bool
    ignore_status_changes: bool
    resync_seconds: float | None
    hook_version: str
    hook_path: str
    hook_timeout: float
    manifest: Mapping[str, Any]

    def selects(self, parent: Mapping[str, Any]) -> bool:
        """Whether this controller is to care for the parent at all."""
        found = parent["metadata"].get("labels") or {}
        return all(found.get(key) == value for key, value in self.labels.items())


def composite_config(manifest: Mapping[str, Any]) -> CompositeConfig:
    """Reads the manifest with Metacontroller's defaults: OnDelete, hook v1, 10 s, no resync."""
    spec = manifest["spec"]
    parent, sync = spec["parentResource"], spec["hooks"]["sync"]
    resync = spec.get("resyncPeriodSeconds")
    return CompositeConfig(
        name=manifest["metadata"]["name"],
        api_version=parent["apiVersion"],
        plural=parent["resource"],
        labels=(parent.get("labelSelector") or {}).get("matchLabels") or {},
        children=tuple(_child(one) for one in spec.get("childResources", ())),
        generate_selector=bool(spec.get("generateSelector")),
        ignore_status_changes=bool(parent.get("ignoreStatusChanges")),
        resync_seconds=None if resync is None else max(LEAST_RESYNC_SECONDS, float(resync)),
        hook_version=sync.get("version", "v1"),
        hook_path=_path(sync["webhook"]),
        hook_timeout=_seconds(sync["webhook"].get("timeout")),
        manifest=manifest,
    )


def _child(entry: Mapping[str, Any]) -> ChildRule:
    method = (entry.get("updateStrategy") or {}).get("method") or "OnDelete"
    return ChildRule(entry["apiVersion"], entry["resource"], method.removeprefix("Rolling"))


def _path(webhook: Mapping[str, Any]) -> str:
    """The path alone: the stand-in gets the base URL as an option, because it runs without cluster DNS."""
    path = webhook.get("path") or "/" + webhook["url"].partition("://")[2].partition("/")[2]
    return str(path)


def _seconds(text: str | None) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0}
    for unit, factor in units.items():
        if text and text.endswith(unit) and text.removesuffix(unit).replace(".", "", 1).isdigit():
            return float(text.removesuffix(unit)) * factor or DEFAULT_TIMEOUT_SECONDS
    return DEFAULT_TIMEOUT_SECONDS
