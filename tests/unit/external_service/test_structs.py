"""A Struct reads what its model reads, to the same values, or refuses; fields, limits and properties come along."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from external_service.core import ObjectMeta, Probe
from external_service.structs import struct_of
from external_service.v1alpha1 import AddressStatus, ExternalServiceStatus

TEXT = st.text(max_size=70) | st.sampled_from(["ProbeFailed", "Disabled", "é" * 64, "é" * 65, ""])
ODD = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.sampled_from(["true", "1", [], {}])
TRUTH = st.booleans() | ODD


def mappings(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these fields, each mostly as it should be, and one that nobody knows."""
    return st.fixed_dictionaries({}, optional={**fields, "unknown": ODD})


ADDRESS = mappings(
    ip=TEXT,
    ready=TRUTH,
    reason=st.sampled_from(["ProbeSucceeded", "Pending"]) | TEXT,
    message=TEXT | ODD,
    lastTransitionTime=TEXT,
    serving=TRUTH,
    hostname=TEXT | st.sampled_from(["a" * 253, "a" * 254]) | ODD,
)
STATUS = mappings(
    revision=st.integers(-1, 9) | ODD,
    ready=TEXT,
    addresses=st.lists(ADDRESS, max_size=3) | ODD,
    conditions=st.lists(
        mappings(type=TEXT, status=st.sampled_from(["True", "x"]), reason=TEXT, lastTransitionTime=TEXT)
    )
    | ODD,
    children=st.lists(mappings(kind=TEXT, name=TEXT, problem=TEXT), max_size=2),
    observedGeneration=st.integers() | ODD,
)
METADATA = mappings(
    name=TEXT,
    namespace=TEXT | ODD,
    generation=st.integers(),
    labels=st.dictionaries(TEXT, TEXT | ODD, max_size=2),
    annotations=st.dictionaries(TEXT, TEXT, max_size=2) | ODD,
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    case=st.one_of(*(st.tuples(st.just(m), s) for m, s in ((ExternalServiceStatus, STATUS), (ObjectMeta, METADATA))))
)
def test_what_it_reads_the_model_reads_to_the_same_values(case: tuple[type[BaseModel], Any]) -> None:
    model, raw = case
    try:
        value = msgspec.json.decode(json.dumps(raw), type=struct_of(model))
    except msgspec.ValidationError:
        return
    assert msgspec.json.decode(msgspec.json.encode(value)) == model.model_validate(raw).model_dump(mode="json")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({"addresses": [{"ip": "1", "ready": 1, "reason": "Pending", "lastTransitionTime": ""}]}, id="lax"),
        pytest.param({"revision": -1}, id="too small"),
        pytest.param({"ready": "x" * 33}, id="too long"),
        pytest.param({"addresses": [{}] * 1001}, id="too many"),
        pytest.param({"conditions": None}, id="null"),
    ],
)
def test_it_refuses_what_is_not_exactly_so(raw: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(raw), type=struct_of(ExternalServiceStatus))


def test_properties_and_defaults_come_along() -> None:
    drained = b'{"ip":"10.0.0.1","ready":false,"reason":"Disabled","lastTransitionTime":"t","serving":true}'
    read: Any = msgspec.json.decode(drained, type=struct_of(AddressStatus))
    assert (read.healthy, read.message) == (True, "")
    first: Any = msgspec.json.decode(b'{"name":"a"}', type=struct_of(ObjectMeta))
    first.labels["mine"] = "alone"
    second: Any = msgspec.json.decode(b'{"name":"a"}', type=struct_of(ObjectMeta))
    assert second.labels == {}


class Odd(BaseModel):
    """A limit that has no counterpart."""

    number: int = Field(default=0, multiple_of=2)


class Judging(BaseModel):
    """A validator that would be lost."""

    name: str

    @field_validator("name")
    @classmethod
    def _judge(cls, name: str) -> str:
        return name


@pytest.mark.parametrize("model", [Odd, Judging, Probe])
def test_what_it_cannot_carry_it_refuses_to_make(model: type[BaseModel]) -> None:
    with pytest.raises(TypeError):
        struct_of(model)
