"""The CEL rules of our CRD, told in Python: what they refuse, in the CRD's own words.

The real API server evaluates the CEL itself; a contract test keeps both verdicts the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

from app.api.policy import AddressPolicy, refusal
from playground.apiserver.errors import Cause, invalid_value
from playground.apiserver.registry import Knobs


def rule_problems(knobs: Knobs) -> Callable[[Mapping[str, Any]], list[Cause]]:
    """What the rules refuse in an ExternalService; loopback addresses pass where the knob says so."""

    def problems(obj: Mapping[str, Any]) -> list[Cause]:
        policy = AddressPolicy(loopback=knobs.loopback)
        found = []
        for index, ip in enumerate(obj.get("spec", {}).get("ips") or ()):
            if why := refusal(ip, policy):
                found.append(invalid_value(f"spec.ips[{index}]", ip, why))
        return found

    return problems
