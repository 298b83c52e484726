"""The Structs that the prober reads are the models, field by field, and take nothing that those would not take."""

import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct, convert
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from external_service import core, plain, v1alpha1
from external_service.invalid import second_look

STRUCTS = [
    value
    for value in vars(plain).values()
    if isinstance(value, type) and issubclass(value, Struct) and value is not Struct
]
IN_PART = {"ObjectMeta", "ExternalService"}
LIMITS = ("min_length", "max_length", "ge", "le", "pattern")


def model_of(struct: type[Struct]) -> type[BaseModel]:
    found: type[BaseModel] = getattr(v1alpha1, struct.__name__, None) or getattr(core, struct.__name__)
    return found


def limits(metadata: Iterable[Any]) -> Iterable[tuple[str, object]]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from limits(one.metadata)
        for name in LIMITS:
            value = getattr(one, name, None)
            if value is not None:
                whole = str(value).removeprefix("\\A(?:").removesuffix(")\\Z").removeprefix("^").removesuffix("$")
                yield name, whole if name == "pattern" else value


def shape(kind: Any, metadata: tuple[Any, ...] = ()) -> object:
    """A type and its limits in one form, whichever library's words they are in."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return shape(arguments[0], (*arguments[1:], *metadata))
    if origin in (Union, types.UnionType):
        return {str(shape(one, () if one is types.NoneType else metadata)) for one in arguments}
    found = sorted(limits(metadata))
    if origin is Literal:
        return sorted(arguments), found
    if origin in (tuple, dict):
        return origin.__name__, [shape(one) for one in arguments if one is not Ellipsis], found
    return kind.__name__, found


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: str(struct.__name__))
def test_each_field_is_that_of_the_model(struct: type[Struct]) -> None:
    model, kinds = model_of(struct), get_type_hints(struct, include_extras=True)
    fields = {one.name: one for one in msgspec.structs.fields(struct)}
    if struct.__name__ not in IN_PART:
        assert list(fields) == list(model.model_fields)
    for name, field in fields.items():
        told = model.model_fields[name]
        assert field.required == told.is_required(), name
        if field.default_factory is msgspec.NODEFAULT and not field.required:
            assert field.default == told.default, name
        if name != "exec":  # of which nothing is taken at all
            assert shape(kinds[name]) == shape(told.annotation, tuple(told.metadata)), name


def test_limits_that_differ_are_seen() -> None:
    number = Annotated[int, Meta(ge=1)]
    assert shape(number) != shape(int)
    assert shape(tuple[number, ...]) != shape(tuple[int, ...])
    assert shape(number | None) == {str(shape(number)), str(shape(types.NoneType))}


TEXT = st.sampled_from(["", "a", "shop.example", "A b", "x\n", "é" * 300, "200-299", "299-200", "50%", "101%", "None"])
ODD: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats(-1, 300) | TEXT | st.just([]) | st.just({})
)
NUMBER = st.integers(0, 90_000) | st.integers(1, 300) | ODD


def mappings(required: dict[str, Any], **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Fields mostly as they should be, and one that nobody knows."""
    return st.fixed_dictionaries(required, optional={**fields, "unknown": ODD})


SOURCE = mappings({"name": TEXT}, key=TEXT)
TLS = mappings({}, caConfigMap=SOURCE | st.none(), caSecret=SOURCE, serverName=TEXT)
HTTP = mappings(
    {"port": st.just(80) | NUMBER},
    path=TEXT,
    host=TEXT,
    scheme=st.sampled_from(["HTTP", "HTTPS"]) | ODD,
    httpHeaders=st.lists(mappings({"name": TEXT}, value=TEXT | ODD), max_size=2) | ODD,
    expectedStatuses=st.lists(st.integers(190, 610) | TEXT | ODD, max_size=2),
    redirects=st.sampled_from(["Follow", "Fail"]) | ODD,
    bodyContains=TEXT | ODD,
    tls=TLS,
)
SOCKET = mappings({"port": st.just(53) | NUMBER}, host=TEXT, service=TEXT)
PROBE = mappings(
    {},
    httpGet=HTTP,
    tcpSocket=SOCKET,
    grpc=SOCKET,
    exec=st.none() | st.just({}),
    periodSeconds=NUMBER,
    notReadyPeriodSeconds=NUMBER,
    timeoutSeconds=NUMBER,
    failureThreshold=NUMBER,
)
LABELS = st.dictionaries(TEXT, TEXT | ODD, max_size=2) | ODD
PARENTS = st.lists(mappings({"name": TEXT}, kind=TEXT, namespace=TEXT, group=TEXT), max_size=2)
SPEC = mappings(
    {"port": st.just(80) | NUMBER},
    ips=st.lists(TEXT, max_size=3) | ODD,
    hostnames=st.lists(TEXT, max_size=17),
    hosts=st.lists(mappings({"host": TEXT}, path=TEXT, pathType=TEXT | st.just("Exact")), max_size=2),
    readinessProbe=PROBE | ODD,
    ingress=mappings({}, enabled=ODD, className=TEXT, annotations=LABELS, labels=LABELS),
    httpRoute=mappings({"parentRefs": PARENTS}, labels=LABELS),
    service=mappings({}, clusterIP=TEXT | st.just("Auto")),
    disabledIPs=st.lists(TEXT, max_size=2) | ODD,
    minReady=NUMBER,
)


@settings(max_examples=1_000, deadline=None, derandomize=True)
@given(case=st.one_of(*(st.tuples(st.just(name), made) for name, made in (("Probe", PROBE), ("Spec", SPEC)))))
def test_what_it_reads_the_model_reads_to_the_same_values(case: tuple[str, Any]) -> None:
    which, raw = case
    struct = plain.Probe if which == "Probe" else plain.ExternalServiceSpec
    try:
        value: Any = convert(raw, struct)
    except msgspec.ValidationError:
        return
    assert convert(model_of(struct).model_validate(raw), struct, from_attributes=True) == value


def parent(**spec: object) -> dict[str, Any]:
    named = {"apiVersion": "eso.crowdfox.com/v1alpha1", "kind": "ExternalService", "metadata": {"name": "web"}}
    return {**named, "spec": {"port": 80, **spec}}


@settings(max_examples=500, deadline=None, derandomize=True)
@given(spec=SPEC)
def test_what_the_model_takes_beyond_that_becomes_a_struct_too(spec: Any) -> None:
    raw = parent() | {"spec": spec}
    try:
        v1alpha1.ExternalService.model_validate(raw)
    except ValidationError:
        assert isinstance(second_look(raw), str)
    else:
        assert isinstance(second_look(raw), plain.ExternalService)


HTTPS = {"port": 443, "scheme": "HTTPS"}
CA = {"name": "ca"}


@pytest.mark.parametrize(
    ("probe", "problem"),
    [
        pytest.param({}, "write exactly one of httpGet, tcpSocket, grpc (found none)", id="no handler"),
        pytest.param(
            {"grpc": {"port": 1}, "tcpSocket": {"port": 1}},
            "write exactly one of httpGet, tcpSocket, grpc (found tcpSocket and grpc)",
            id="two handlers",
        ),
        pytest.param({"exec": {}, "grpc": {"port": 1}}, core.NO_EXEC, id="exec"),
        pytest.param({"httpGet": {"port": 80, "tls": {}}}, core.TLS_NEEDS_HTTPS, id="tls without https"),
        pytest.param({"httpGet": {**HTTPS, "tls": {"caConfigMap": CA, "caSecret": CA}}}, core.BOTH_CAS, id="two CAs"),
        pytest.param(
            {"httpGet": {"port": 80, "expectedStatuses": ["299-200"]}},
            f'{core.BAD_STATUS} (got "299-200")',
            id="a range upside down",
        ),
    ],
)
def test_the_models_own_judgements_are_carried_over(probe: dict[str, Any], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        convert(probe, plain.Probe)
    found = second_look(parent(readinessProbe=probe))
    assert isinstance(found, str)
    assert found.endswith(problem)


@pytest.mark.parametrize(
    ("given", "handler"),
    [
        pytest.param({"httpGet": {"port": 80}}, plain.HTTPGetAction(port=80), id="http"),
        pytest.param({"tcpSocket": {"port": 80}}, plain.TCPSocketAction(port=80), id="tcp"),
        pytest.param({"grpc": {"port": 80, "service": "a"}}, plain.GRPCAction(port=80, service="a"), id="grpc"),
    ],
)
def test_the_one_handler(given: dict[str, Any], handler: object) -> None:
    assert convert(given, plain.Probe).handler == handler


def test_the_period_follows_the_readiness() -> None:
    probe = convert({"tcpSocket": {"port": 80}, "periodSeconds": 9}, plain.Probe)
    assert (probe.period(ready=True), probe.period(ready=False)) == (9, 9)
    faster = msgspec.structs.replace(probe, notReadyPeriodSeconds=2)
    assert (faster.period(ready=True), faster.period(ready=False)) == (9, 2)
