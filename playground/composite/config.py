"""A CompositeController manifest (metacontroller.k8s.io/v1alpha1), as far as the stand-in implements it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAST_RESYNC_SECONDS = 1.0
DEFAULT_TIMEOUT_SECONDS = 10.0
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class CompositeConfig:
    """`manifest` is sent to the hook. `parent` and `children` are (apiVersion, plural name).

    `labels` are the matchLabels of parentResource.labelSelector. `resync_seconds` is None without a resync.
    """

    manifest: Mapping[str, Any]
    parent: tuple[str, str]
    children: tuple[tuple[str, str], ...]
    labels: Mapping[str, str]
    generate_selector: bool
    resync_seconds: float | None
    hook_path: str
    hook_timeout: float

    def selects(self, parent: Mapping[str, Any]) -> bool:
        """Whether this controller syncs the parent."""
        found = parent["metadata"].get("labels") or {}
        return all(found.get(key) == value for key, value in self.labels.items())


def composite_config(manifest: Mapping[str, Any]) -> CompositeConfig:
    """Reads the manifest with Metacontroller's defaults. The hook is v2, and children are updated in place."""
    spec = manifest["spec"]
    parent, webhook = spec["parentResource"], spec["hooks"]["sync"]["webhook"]
    resync = spec.get("resyncPeriodSeconds")
    return CompositeConfig(
        manifest=manifest,
        parent=(parent["apiVersion"], parent["resource"]),
        children=tuple((one["apiVersion"], one["resource"]) for one in spec["childResources"]),
        labels=(parent.get("labelSelector") or {}).get("matchLabels") or {},
        generate_selector=bool(spec.get("generateSelector")),
        resync_seconds=None if resync is None else max(LEAST_RESYNC_SECONDS, float(resync)),
        hook_path=_path(webhook),
        hook_timeout=_seconds(webhook.get("timeout") or ""),
    )


def _path(webhook: Mapping[str, Any]) -> str:
    """The path alone: the base URL is given to the stand-in, which runs without cluster DNS."""
    return str(webhook.get("path") or "/" + webhook["url"].partition("://")[2].partition("/")[2])


def _seconds(duration: str) -> float:
    """A Go duration with one unit; zero and anything else are the default."""
    found = re.fullmatch(r"(\d+)(ms|s|m)", duration)
    return float(found[1]) * UNITS[found[2]] if found and int(found[1]) else DEFAULT_TIMEOUT_SECONDS
