"""Addresses and values of children that the API server refuses."""

from typing import Any

from external_service.admission import address_problems, child_problems, shown
from external_service.policy import AddressPolicy, form_refusal
from external_service.syntax import host_problem, hostname_problem, route_path_problem, service_name_problem
from external_service.v1alpha1 import ExternalService
from tests import parents
from tests.cases import cases


def parent(name: str = "api", annotations: dict[str, str] | None = None, **spec: Any) -> ExternalService:
    return parents.parent(metadata={"name": name, "annotations": annotations or {}}, **spec)


@cases(
    "bad problem",
    ("name", parent("My.api"), f'metadata.name: {service_name_problem("My.api")} (got "My.api")'),
    (
        "tls host",
        parent(ingress={"tls": [{}, {"hosts": ["a.io", "b.io/"]}]}),
        f'spec.ingress.tls[1].hosts[1]: {host_problem("b.io/")} (got "b.io/")',
    ),
    (
        "a label of Metacontroller",
        parent(service={"labels": {"controller-uid": "1"}}),
        "spec.service.labels.controller-uid: the operator sets this label itself, remove it",
    ),
    (
        "two classes",
        parent(annotations={"kubernetes.io/ingress.class": "traefik"}, ingress={"className": "nginx"}),
        'spec.ingress.className: write "traefik", or remove the annotation kubernetes.io/ingress.class (got "nginx")',
    ),
    (
        "a path that no HTTPRoute takes",
        parent(hosts=[{"host": "a.io", "path": "/a[0-9]"}], httpRoute={"parentRefs": [{"name": "public"}]}),
        f'spec.hosts[0].path: {route_path_problem("/a[0-9]")} (got "/a[0-9]")',
    ),
)
def test_invalid_object_has_the_api_servers_problems(bad: ExternalService, problem: str) -> None:
    assert child_problems(bad) == [problem]


def test_class_equal_to_the_annotation_is_valid() -> None:
    good = parent(annotations={"kubernetes.io/ingress.class": "nginx"}, ingress={"className": "nginx"})
    assert child_problems(good) == []


def test_every_invalid_address_is_named() -> None:
    spec = parent(
        ips=["10.0.0.1", "10.0.0.01", "::ffff:10.0.0.1", "10.0.0.1", "127.0.0.1", "2001:DB8::1"],
        disabledIPs=["10.0.0.1", "10.0.0.2", "10.0.0.1"],
    ).spec
    assert address_problems(spec, loopback=False) == [
        f"spec.ips[1]: {AddressPolicy().refusal('10.0.0.01')}",
        f"spec.ips[2]: {AddressPolicy().refusal('::ffff:10.0.0.1')}",
        "spec.ips[3]: Duplicate value: 10.0.0.1: remove one",
        f"spec.ips[4]: {AddressPolicy().refusal('127.0.0.1')}",
        f"spec.ips[5]: {AddressPolicy().refusal('2001:DB8::1')}",
        'spec.disabledIPs[1]: "10.0.0.2" is none of spec.ips: write only addresses that stand in spec.ips too',
        "spec.disabledIPs[2]: Duplicate value: 10.0.0.1: remove one",
    ]
    assert address_problems(parent(ips=["127.0.0.1"]).spec, loopback=True) == []


def test_every_invalid_hostname_is_named() -> None:
    names = ["db.io", "db.io", "10.0.0.1", "::1", "DB.io", "x" * 64 + ".io"]
    spec = parent(hostnames=names, disabledIPs=["10.0.0.2", "2001:DB8::1", "db.io"]).spec
    assert address_problems(spec, loopback=False) == [
        "spec.hostnames[1]: Duplicate value: db.io: remove one",
        *(f"spec.hostnames[{index}]: {hostname_problem(names[index])}" for index in (2, 3, 4, 5)),
        f"spec.disabledIPs[1]: {form_refusal('2001:DB8::1')}",
        f"spec.disabledIPs[2]: {form_refusal('db.io')}",
    ]


def test_shown_values_are_short_and_escaped() -> None:
    assert shown("a\nb") == r'"a\nb"'
    assert shown("x" * 100) == "100 characters"
    assert shown(None) == "null"
    assert shown(True) == "true"
    assert shown([1, 2]) == "a list of 2"
    assert shown({"secret": 1}) == "a mapping"
