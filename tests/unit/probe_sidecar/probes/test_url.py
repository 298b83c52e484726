import pytest

from probe_sidecar.probes import url
from probe_sidecar.probes.url import BadUrl, Url


@pytest.mark.parametrize(
    ("path", "target"),
    [
        pytest.param("/", "/", id="line-2-root"),
        pytest.param("", "/", id="line-2-empty"),
        pytest.param("healthz", "/healthz", id="line-2-missing-slash-added"),
        pytest.param("/a?q=1&r=2", "/a?q=1&r=2", id="line-2-query-kept"),
        pytest.param("/a?", "/a?", id="line-2-empty-query-kept"),
        pytest.param("?q=1", "/?q=1", id="line-2-query-only"),
        pytest.param("/a#part", "/a", id="line-2-fragment-dropped"),
        pytest.param("/a?q#part?x", "/a?q", id="line-2-fragment-after-query-dropped"),
        pytest.param("http://x/abs?q=1", "/abs?q=1", id="line-2-scheme-and-host-overwritten"),
        pytest.param("//x/y", "/y", id="line-2-host-overwritten"),
        pytest.param("https://x", "/", id="line-2-host-without-path"),
        pytest.param("http:///y", "/y", id="line-2-empty-host"),
        pytest.param("/%zz", "/%25zz", id="line-2-unparsable-taken-literally"),
        pytest.param("/%zz?a=b", "/%25zz%3Fa=b", id="line-2-unparsable-with-query-taken-literally"),
        pytest.param("/a\nb", "/a%0Ab", id="line-2-control-character-escaped"),
        pytest.param("1:b", "/1:b", id="line-2-colon-in-first-segment-taken-literally"),
        pytest.param("/a?q=a b", "/a?q=a b", id="line-2-space-in-query-goes-out-raw"),
        pytest.param("/a b", "/a%20b", id="space-in-path-escaped"),
        pytest.param("/a%2Fb%20c", "/a%2Fb%20c", id="escapes-kept"),
        pytest.param("/a!b(c)*[d]", "/a!b(c)*[d]", id="sub-delimiters-kept"),
        pytest.param("/a!b c", "/a%21b%20c", id="sub-delimiters-escaped-once-anything-is"),
        pytest.param("/ä", "/%C3%A4", id="letters-beyond-ascii-as-utf-8"),
        pytest.param("*", "/*", id="asterisk"),
        pytest.param("///x", "///x", id="three-slashes-are-a-path"),
        pytest.param("/a//b/../c", "/a//b/../c", id="dots-are-not-resolved"),
    ],
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


@pytest.mark.parametrize(
    ("location", "target"),
    [
        pytest.param("/x", "http://10.0.0.1:8080/x", id="absolute-path"),
        pytest.param("x", "http://10.0.0.1:8080/a/x", id="relative-path"),
        pytest.param("../x?y", "http://10.0.0.1:8080/x?y", id="dots-resolved"),
        pytest.param("../../../x/.", "http://10.0.0.1:8080/x/", id="dots-beyond-the-root"),
        pytest.param("?z", "http://10.0.0.1:8080/a/b?z", id="query-only"),
        pytest.param("?", "http://10.0.0.1:8080/a/b?", id="empty-query"),
        pytest.param("#top", "http://10.0.0.1:8080/a/b?q=1", id="fragment-only"),
        pytest.param("//10.0.0.1/x", "http://10.0.0.1/x", id="host-without-scheme"),
        pytest.param("https://10.0.0.1/x", "https://10.0.0.1/x", id="absolute"),
        pytest.param("HTTPS://10.0.0.1", "https://10.0.0.1", id="scheme-in-capitals"),
        pytest.param("https://user:pw@10.0.0.1:99/./x", "https://10.0.0.1:99/x", id="user-is-not-shown"),
        pytest.param("/a b", "http://10.0.0.1:8080/a%20b", id="space-escaped"),
        pytest.param("http://[::1]:80/x", "http://[::1]:80/x", id="ipv6"),
    ],
)
def test_location_is_resolved(location: str, target: str) -> None:
    assert str(url.resolve(BASE, url.parse(location))) == target


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://x:port/", id="port-not-a-number"),
        pytest.param("http://x:1:2/", id="two-ports"),
        pytest.param("http://[::1/", id="bracket-open"),
        pytest.param("http://[1.2.3.4]/", id="ipv4-in-brackets"),
        pytest.param("http://a b/", id="space-in-host"),
        pytest.param("http://a%20b/", id="escape-in-host"),
        pytest.param("/%zz", id="bad-escape"),
        pytest.param("/a#%zz", id="bad-escape-in-fragment"),
        pytest.param(":x", id="missing-scheme"),
        pytest.param("1a:b", id="colon-in-first-segment"),
        pytest.param("/\x01", id="control-character"),
        pytest.param("http://a b@x/", id="space-in-user"),
    ],
)
def test_invalid_location_is_refused(location: str) -> None:
    with pytest.raises(BadUrl):
        url.parse(location)


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        pytest.param("a.b", ("a.b", ""), id="name"),
        pytest.param("a.b:80", ("a.b", "80"), id="name-and-port"),
        pytest.param("a.b:", ("a.b", ""), id="empty-port"),
        pytest.param("[::1]:80", ("::1", "80"), id="ipv6-and-port"),
        pytest.param("[::1]", ("::1", ""), id="ipv6"),
        pytest.param("", ("", ""), id="nothing"),
    ],
)
def test_host_and_port_are_split(host: str, parts: tuple[str, str]) -> None:
    assert url.split_host(host) == parts
