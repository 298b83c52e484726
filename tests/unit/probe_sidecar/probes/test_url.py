import pytest

from probe_sidecar.probes import url
from probe_sidecar.probes.url import BadUrl, Url
from tests.cases import cases


@cases(
    "path target",
    ("line-2-empty-query-kept", "/a?", "/a?"),
    ("line-2-query-only", "?q=1", "/?q=1"),
    ("line-2-fragment-after-query-dropped", "/a?q#part?x", "/a?q"),
    ("line-2-host-without-path", "https://x", "/"),
    ("line-2-empty-host", "http:///y", "/y"),
    ("line-2-unparsable-with-query-taken-literally", "/%zz?a=b", "/%25zz%3Fa=b"),
    ("line-2-control-character-escaped", "/a\nb", "/a%0Ab"),
    ("line-2-colon-in-first-segment-taken-literally", "1:b", "/1:b"),
    ("escapes-kept", "/a%2Fb%20c", "/a%2Fb%20c"),
    ("sub-delimiters-kept", "/a!b(c)*[d]", "/a!b(c)*[d]"),
    ("sub-delimiters-escaped-once-anything-is", "/a!b c", "/a%21b%20c"),
    ("asterisk", "*", "/*"),
    ("three-slashes-are-a-path", "///x", "///x"),
    ("dots-are-not-resolved", "/a//b/../c", "/a//b/../c"),
)
def test_probe_path(path: str, target: str) -> None:
    found = url.of_probe("http", "10.0.0.1:80", path)
    assert (found.scheme, found.host, found.request_target) == ("http", "10.0.0.1:80", target)


def test_user_in_the_path_is_kept() -> None:
    assert url.of_probe("http", "10.0.0.1:80", "http://me:p%40ss@x/y").user == "me:p@ss"


@pytest.mark.parametrize("path", ["x:y", "mailto:a"])
def test_path_that_looks_like_a_scheme_is_refused(path: str) -> None:
    with pytest.raises(BadUrl, match="begin it with /"):
        url.of_probe("http", "10.0.0.1:80", path)


BASE = Url(scheme="http", host="10.0.0.1:8080", path="/a/b", query="q=1")


@cases(
    "location target",
    ("absolute-path", "/x", "http://10.0.0.1:8080/x"),
    ("relative-path", "x", "http://10.0.0.1:8080/a/x"),
    ("dots-resolved", "../x?y", "http://10.0.0.1:8080/x?y"),
    ("dots-beyond-the-root", "../../../x/.", "http://10.0.0.1:8080/x/"),
    ("query-only", "?z", "http://10.0.0.1:8080/a/b?z"),
    ("empty-query", "?", "http://10.0.0.1:8080/a/b?"),
    ("fragment-only", "#top", "http://10.0.0.1:8080/a/b?q=1"),
    ("host-without-scheme", "//10.0.0.1/x", "http://10.0.0.1/x"),
    ("absolute", "https://10.0.0.1/x", "https://10.0.0.1/x"),
    ("scheme-in-capitals", "HTTPS://10.0.0.1", "https://10.0.0.1"),
    ("user-is-not-shown", "https://user:pw@10.0.0.1:99/./x", "https://10.0.0.1:99/x"),
    ("space-escaped", "/a b", "http://10.0.0.1:8080/a%20b"),
    ("ipv6", "http://[::1]:80/x", "http://[::1]:80/x"),
    ("ipv6-with-zone", "http://[fe80::1%25eth0]:80/x", "http://[fe80::1%eth0]:80/x"),
    ("ipv6-with-escaped-zone", "http://[fe80::1%25%41%20%25]/x", "http://[fe80::1%A %]/x"),
)
def test_location_is_resolved(location: str, target: str) -> None:
    assert str(url.resolve(BASE, url.parse(location))) == target


@cases(
    "location",
    ("port-not-a-number", "http://x:port/"),
    ("two-ports", "http://x:1:2/"),
    ("bracket-open", "http://[::1/"),
    ("ipv4-in-brackets", "http://[1.2.3.4]/"),
    ("empty-zone", "http://[::1%25]/"),
    ("escape-in-ipv6", "http://[::%31]/"),
    ("space-in-host", "http://a b/"),
    ("escape-in-host", "http://a%20b/"),
    ("bad-escape", "/%zz"),
    ("bad-escape-in-fragment", "/a#%zz"),
    ("missing-scheme", ":x"),
    ("colon-in-first-segment", "1a:b"),
    ("control-character", "/\x01"),
    ("space-in-user", "http://a b@x/"),
)
def test_invalid_location_is_refused(location: str) -> None:
    with pytest.raises(BadUrl):
        url.parse(location)


@cases(
    "host parts",
    ("name", "a.b", ("a.b", "")),
    ("name-and-port", "a.b:80", ("a.b", "80")),
    ("empty-port", "a.b:", ("a.b", "")),
    ("ipv6-and-port", "[::1]:80", ("::1", "80")),
    ("ipv6", "[::1]", ("::1", "")),
    ("nothing", "", ("", "")),
)
def test_host_and_port_are_split(host: str, parts: tuple[str, str]) -> None:
    assert url.split_host(host) == parts
