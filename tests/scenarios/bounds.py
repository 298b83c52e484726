"""Bounds on the delay of a transition, from the probe's own numbers (docs/features.md). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ALLOWANCE_SECONDS = 0.5  # from the deciding probe to the Endpoints


@dataclass(frozen=True, slots=True)
class Bounds:
    """The kubelet's times (s) and thresholds of one probe, defaults filled."""

    period: int
    timeout: int
    success: int
    failure: int

    @property
    def leaves(self) -> float:
        """Seconds after its death in which an address must leave."""
        return self.failure * self.period + self.timeout + ALLOWANCE_SECONDS

    @property
    def returns(self) -> float:
        """Seconds after its revival in which an address must return."""
        return self.success * self.period + self.timeout + ALLOWANCE_SECONDS


def bounds_of(probe: Mapping[str, Any]) -> Bounds:
    """Reads a readinessProbe as the API server defaults it."""
    return Bounds(
        probe.get("periodSeconds", 10),
        probe.get("timeoutSeconds", 1),
        probe.get("successThreshold", 1),
        probe.get("failureThreshold", 3),
    )
