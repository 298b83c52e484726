"""Addresses and values of children that the API server refuses."""

from collections.abc import Callable
from typing import Any

from external_service.admission import (
    address_problems,
    child_problems,
    host_problem,
    hostname_problem,
    path_problem,
    route_path_problem,
    service_name_problem,
    shown,
)
from external_service.policy import AddressPolicy, form_refusal
from external_service.v1alpha1 import ExternalService
from tests import parents
from tests.cases import cases


def parent(name: str = "api", annotations: dict[str, str] | None = None, **spec: Any) -> ExternalService:
    return parents.parent(metadata={"name": name, "annotations": annotations or {}}, **spec)


BAD_HOST = {"tls": [{}, {"hosts": ["a.io", "b.io/"]}]}
OURS = "the operator sets this label itself, remove it"


@cases(
    "bad problem",
    ("name", parent("My.api"), f'metadata.name: {service_name_problem("My.api")} (got "My.api")'),
    ("tls host", parent(ingress=BAD_HOST), f'spec.ingress.tls[1].hosts[1]: {host_problem("b.io/")} (got "b.io/")'),
    ("our label", parent(service={"labels": {"controller-uid": "1"}}), f"spec.service.labels.controller-uid: {OURS}"),
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
    assert [*child_problems(bad)] == [problem]


def test_class_equal_to_the_annotation_is_valid() -> None:
    good = parent(annotations={"kubernetes.io/ingress.class": "nginx"}, ingress={"className": "nginx"})
    assert not [*child_problems(good)]


def test_every_invalid_address_is_named() -> None:
    spec = parent(
        ips=["10.0.0.1", "10.0.0.01", "::ffff:10.0.0.1", "10.0.0.1", "127.0.0.1", "2001:DB8::1"],
        disabledIPs=["10.0.0.1", "10.0.0.2", "10.0.0.1"],
    ).spec
    assert [*address_problems(spec, loopback=False)] == [
        f"spec.ips[1]: {AddressPolicy().refusal('10.0.0.01')}",
        f"spec.ips[2]: {AddressPolicy().refusal('::ffff:10.0.0.1')}",
        "spec.ips[3]: Duplicate value: 10.0.0.1: remove one",
        f"spec.ips[4]: {AddressPolicy().refusal('127.0.0.1')}",
        f"spec.ips[5]: {AddressPolicy().refusal('2001:DB8::1')}",
        'spec.disabledIPs[1]: "10.0.0.2" is none of spec.ips: write only addresses that stand in spec.ips too',
        "spec.disabledIPs[2]: Duplicate value: 10.0.0.1: remove one",
    ]
    assert not [*address_problems(parent(ips=["127.0.0.1"]).spec, loopback=True)]


def test_every_invalid_hostname_is_named() -> None:
    names = ["db.io", "db.io", "10.0.0.1", "::1", "DB.io", "x" * 64 + ".io"]
    spec = parent(hostnames=names, disabledIPs=["10.0.0.2", "2001:DB8::1", "db.io"]).spec
    assert [*address_problems(spec, loopback=False)] == [
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


SERVICE = "the Service takes this name: write a letter, then lower case letters, digits and -; 63 at most"
HOST = "write a DNS name in lower case, such as www.example.com or *.example.com: no scheme, port or path"
ADDRESS = "write a DNS name, not an IP address: an Ingress cannot route by address"
HOSTNAME = "write a DNS name in lower case, such as db.example.com: no wildcard, port or final dot"
LONG_LABEL = "a part between dots is longer than 63: DNS knows no such name"
NO_HOSTNAME = "an IP address: write it in spec.ips"
NO_SLASH = 'write a path that begins with "/", or an empty one for every path'
UNRESOLVED = 'pathType Prefix takes no "//", "/./", "/../" or "%2F" in the path: write it resolved'
ROUTE = (
    'an HTTPRoute takes letters, digits and URL characters in a path, no "//", "/./", "/../" or "%2F": '
    "write it so, or leave spec.httpRoute out"
)


@cases(
    "problem names message",
    ("service names", service_name_problem, ["a", "a1", "a-1", "a--1--2--b", "a" * 63], None),
    (
        "no service names",
        service_name_problem,
        ["", "A", "1a", "-a", "a-", "a.b", "a_b", "a b", "a\n", "a" * 64],
        SERVICE,
    ),
    ("hosts", host_problem, ["a", "*.example.com", "1.2.3.com", "a-b.c", "1.2.3", "x" * 64 + ".io"], None),
    ("no hosts", host_problem, ["", "*", "*.", "*.*.com", "f*.com", "A.com", "a.", "a..b", "a:80", "a b", "a\n"], HOST),
    ("no hosts either", host_problem, ["http://a.com", "a.com/x", "a" * 254, "[::1]", "::1"], HOST),
    ("addresses for hosts", host_problem, ["10.0.0.1", "010.0.0.1", "999.0.0.1"], ADDRESS),
    ("hostnames", hostname_problem, ["a", "1and1.example", "db-1.svc.cluster.local", "x" * 63 + ".io"], None),
    (
        "no hostnames",
        hostname_problem,
        ["", "*.a.com", "db.io.", "db:5432", "a_b.io", "A.io", "a" * 254, "a\n"],
        HOSTNAME,
    ),
    ("a long label", hostname_problem, ["x" * 64 + ".io"], LONG_LABEL),
    ("addresses for hostnames", hostname_problem, ["10.0.100.10", "10.0.100.999", "::1", "2001:db8::10"], NO_HOSTNAME),
    ("paths of routes", route_path_problem, ["", "/a-b/c.d~e/%20/(f)*"], None),
    ("no paths of routes", route_path_problem, ["/a[0-9]+", "/a//b", "/a/..", "/a%2fb", "/a%b", "/a#b"], ROUTE),
)
def test_names_and_paths(problem: Callable[[str], str | None], names: list[str], message: str | None) -> None:
    assert {name: problem(name) for name in names} == dict.fromkeys(names, message)


@cases(
    "path_type paths message",
    ("not looked into", "ImplementationSpecific", ["", "/a//b/../c%2f"], None),
    ("no slash", "ImplementationSpecific", ["a"], NO_SLASH),
    ("a prefix", "Prefix", ["/"], None),
    ("an empty prefix", "Prefix", [""], 'pathType Prefix needs a path: write "/" for every path'),
    ("unresolved", "Prefix", ["/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a/..", "/a/."], UNRESOLVED),
    ("exact, three dots are a name", "Exact", ["/a/b.c", "/..."], None),
    ("empty exact", "Exact", [""], 'pathType Exact needs a path: write "/" for every path'),
)
def test_ingress_paths(path_type: str, paths: list[str], message: str | None) -> None:
    assert {path: path_problem(path, path_type) for path in paths} == dict.fromkeys(paths, message)
