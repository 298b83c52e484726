"""The API server's rules of syntax, by examples as in its own tests; more of them are in tests/contract/crs."""

from collections.abc import Callable

from external_service.syntax import (
    host_problem,
    hostname_problem,
    path_problem,
    route_path_problem,
    service_name_problem,
)
from tests.cases import cases

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
