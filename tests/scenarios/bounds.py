"""Bounds on the delay of a transition, from the probe's own numbers (docs/features.md), defaults filled. Pure."""

from collections.abc import Mapping
from typing import Any

ALLOWANCE_SECONDS = 0.5  # from the deciding probe to the Endpoints


def leaves(probe: Mapping[str, Any]) -> float:
    """Seconds after its death in which an address must leave."""
    return _bound(probe, probe.get("failureThreshold", 3))


def returns(probe: Mapping[str, Any]) -> float:
    """Seconds after its revival in which an address must return."""
    return _bound(probe, probe.get("successThreshold", 1))


def _bound(probe: Mapping[str, Any], threshold: int) -> float:
    return float(threshold * probe.get("periodSeconds", 10) + probe.get("timeoutSeconds", 1)) + ALLOWANCE_SECONDS
