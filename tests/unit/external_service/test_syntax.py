"""The API server's rules of syntax, by examples as in its own tests."""

import pytest

from external_service.syntax import (
    host_problem,
    hostname_problem,
    path_problem,
    route_path_problem,
    service_name_problem,
)


@pytest.mark.parametrize("name", ["a", "ab", "a1", "a-1", "a--1--2--b", "a" * 63])
def test_valid_service_names(name: str) -> None:
    assert service_name_problem(name) is None


@pytest.mark.parametrize("name", ["", "A", "1", "1a", "-a", "a-", "a.b", "a_b", "a b", "a\n", "a" * 64])
def test_invalid_service_names(name: str) -> None:
    assert service_name_problem(name) == (
        "the Service takes this name: write a letter, then lower case letters, digits and -; 63 at most"
    )


@pytest.mark.parametrize(
    "host", ["a", "www.mydomain.com", "*.example.com", "1.2.3.com", "a-b.c", "1.2.3", "x" * 63 + ".io"]
)
def test_valid_ingress_hosts(host: str) -> None:
    assert host_problem(host) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "*",
        "*.",
        "*.*.com",
        "f*.bar.com",
        "A.com",
        "a.com.",
        "a..b",
        "http://a.com",
        "a.com:80",
        "a.com/x",
        "a b",
        "a.com\n",
        "a" * 254,
        "[::1]",
        "::1",
    ],
)
def test_invalid_ingress_hosts(host: str) -> None:
    assert host_problem(host) == (
        "write a DNS name in lower case, such as www.example.com or *.example.com: no scheme, port or path"
    )


@pytest.mark.parametrize("host", ["10.0.0.1", "010.0.0.1", "999.0.0.1"])
def test_ingress_host_is_not_an_address(host: str) -> None:
    assert host_problem(host) == "write a DNS name, not an IP address: an Ingress cannot route by address"


@pytest.mark.parametrize(
    ("path", "path_type", "problem"),
    [
        pytest.param("", "ImplementationSpecific", None, id="the predecessor's empty path"),
        pytest.param("/a//b/../c%2f", "ImplementationSpecific", None, id="not looked into"),
        pytest.param("/", "Prefix", None, id="every path"),
        pytest.param("/a/b.c", "Exact", None, id="exact"),
        pytest.param("/...", "Exact", None, id="three dots are a name"),
        pytest.param(
            "a",
            "ImplementationSpecific",
            'write a path that begins with "/", or an empty one for every path',
            id="no slash",
        ),
        pytest.param("", "Prefix", 'pathType Prefix needs a path: write "/" for every path', id="empty prefix"),
        pytest.param("", "Exact", 'pathType Exact needs a path: write "/" for every path', id="empty exact"),
        *(
            pytest.param(
                path,
                "Prefix",
                'pathType Prefix takes no "//", "/./", "/../" or "%2F" in the path: write it resolved',
                id=path,
            )
            for path in ("/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a/..", "/a/.")
        ),
    ],
)
def test_ingress_paths(path: str, path_type: str, problem: str | None) -> None:
    assert path_problem(path, path_type) == problem


NOT_FOR_A_ROUTE = (
    'an HTTPRoute takes letters, digits and URL characters in a path, no "//", "/./", "/../" or "%2F": '
    "write it so, or leave spec.httpRoute out"
)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        pytest.param("", None, id="none"),
        pytest.param("/a-b/c.d~e/%20/(f)*", None, id="URL characters"),
        pytest.param("/a[0-9]+", NOT_FOR_A_ROUTE, id="a regular expression"),
        pytest.param("/a//b", NOT_FOR_A_ROUTE, id="a double slash"),
        pytest.param("/a/..", NOT_FOR_A_ROUTE, id="dots at the end"),
        pytest.param("/a%2fb", NOT_FOR_A_ROUTE, id="an escaped slash"),
        pytest.param("/a%b", NOT_FOR_A_ROUTE, id="half an escape"),
        pytest.param("/a#b", NOT_FOR_A_ROUTE, id="a fragment"),
    ],
)
def test_http_route_paths(path: str, problem: str | None) -> None:
    assert route_path_problem(path) == problem


@pytest.mark.parametrize("name", ["a", "db.example.com", "1and1.example", "db-1.svc.cluster.local", "x" * 63 + ".io"])
def test_valid_hostnames(name: str) -> None:
    assert hostname_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", "*.example.com", "db.example.com.", "db:5432", "a_b.io", "A.io", "a" * 254, "a\n"]
)
def test_invalid_hostnames(name: str) -> None:
    assert hostname_problem(name) == (
        "write a DNS name in lower case, such as db.example.com: no wildcard, port or final dot"
    )


def test_hostname_with_a_long_label_is_invalid() -> None:
    assert hostname_problem("x" * 64 + ".io") == "a part between dots is longer than 63: DNS knows no such name"


@pytest.mark.parametrize("name", ["10.0.100.10", "10.0.100.999", "::1", "2001:db8::10"])
def test_address_is_not_a_hostname(name: str) -> None:
    assert hostname_problem(name) == "an IP address: write it in spec.ips"
