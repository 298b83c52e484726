"""The CEL rules of our CRD in Python: what they refuse, with the messages of the CRD.

The real API server evaluates the CEL itself; contract tests and the real control plane keep both results the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

from external_service.invalid import admission_problems
from playground.apiserver.errors import Cause
from playground.apiserver.registry import Knobs


def rule_problems(knobs: Knobs) -> Callable[[Mapping[str, Any]], list[Cause]]:
    """What the rules refuse in an ExternalService; loopback addresses pass where the knob says so."""

    def problems(obj: Mapping[str, Any]) -> list[Cause]:
        lines = admission_problems({**obj, "status": {}}, loopback=knobs.loopback)
        return [_cause(line) for line in lines]

    return problems


def _cause(line: str) -> Cause:
    field, _, text = line.partition(": ")
    return Cause(field, "FieldValueInvalid", f"Invalid value: {text}")
