import weakref
from dataclasses import replace
from typing import Any

import pytest

from external_service.core import HTTPGetAction, HTTPHeader
from probe_sidecar.probes import url
from probe_sidecar.probes.request import CannotSend, HttpRequest, first_request, http1_parts, http2, redirected
from tests.cases import cases


def http1(request: HttpRequest) -> bytes:
    return b"".join(http1_parts(request))


def request(*headers: tuple[str, str], ip: str = "10.0.0.1", **action: object) -> HttpRequest:
    made = tuple(HTTPHeader.model_construct(name=name, value=value) for name, value in headers)
    fields: dict[str, Any] = {"port": 80, "path": "/", "host": "", "scheme": "HTTP", "httpHeaders": made, **action}
    return first_request(HTTPGetAction.model_construct(**fields), ip, ip)  # some that the API refuses


def lines(*headers: tuple[str, str], **action: object) -> list[str]:
    return http1(request(*headers, **action)).decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")  # type: ignore[arg-type]


AGENT = "User-Agent: kube-probe/1.36"


@cases(
    "action headers authority server_name",
    ("address-has-no-sni", {}, [], "10.0.0.1:80", None),
    ("d8-host-is-the-host-header", {"host": "shop.example"}, [], "shop.example", "shop.example"),
    ("d8-host-entry-wins", {"host": "shop.example"}, [("Host", "b.example:8")], "b.example:8", "b.example"),
    ("d8-empty-host-entry-yields", {"host": "shop.example"}, [("Host", "")], "shop.example", "shop.example"),
    ("d3-no-sni-for-an-address", {"host": "10.9.9.9"}, [], "10.9.9.9", None),
    ("d3-no-sni-for-ipv6", {"host": "::2"}, [], "[::2]", None),
    ("idna", {"host": "bücher.example"}, [], "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("line-3-sharp-s-is-a-letter", {}, [("Host", "faß.example:8")], "xn--fa-hia.example:8", "xn--fa-hia.example"),
    ("line-3-too-long-for-a-name", {}, [("Host", "ä" * 254)], "", None),
    ("line-3-zone-is-not-sent", {}, [("Host", "[fe80::1%eth0]:8")], "[fe80::1]:8", None),
    ("d3-trailing-dot-is-not-sent", {}, [("Host", "a.example.")], "a.example.", "a.example"),
    ("d3-no-sni-for-what-is-no-name", {}, [("Host", "a..b")], "a..b", None),
    ("d3-label-too-long", {}, [("Host", "x" * 64 + ".example")], "x" * 64 + ".example", None),
)
def test_host_header_and_sni(
    action: dict[str, object], headers: list[tuple[str, str]], authority: str, server_name: str | None
) -> None:
    made = request(*headers, **action)  # type: ignore[arg-type] # a bag of fields
    assert (made.url.host, made.authority, made.server_name) == ("10.0.0.1:80", authority, server_name)


@cases(
    "headers action message",
    ("line-4-crlf", [("X-Secret", "s3cret\r\nX: y")], {}, 'httpHeaders "X-Secret": control character in the value'),
    ("delete", [("X", "a\x7f")], {}, 'httpHeaders "X": control character in the value'),
    ("opaque-path", [], {"path": "x:y"}, "httpGet.path: "),
    ("host-with-scheme", [], {"host": "http://x"}, "httpGet.host: not a host name; write"),
)
def test_unsendable_request_is_refused(headers: list[tuple[str, str]], action: dict[str, object], message: str) -> None:
    with pytest.raises(CannotSend) as caught:
        request(*headers, **action)  # type: ignore[arg-type] # a bag of fields
    assert str(caught.value).startswith(message)
    assert "s3cret" not in str(caught.value)


def test_user_in_the_url_becomes_basic_authorization() -> None:
    assert "Authorization: Basic bWU6" in lines(path="http://me@x/")
    assert "Authorization: mine" in lines(("Authorization", "mine"), path="http://me@x/")


def test_line_11_referer_is_not_sent_from_https_to_http() -> None:
    secure = request(scheme="HTTPS", port=443)
    plain = replace(secure.url, scheme="http", host="10.0.0.1:80")
    assert b"Referer" not in http1(redirected(secure, plain, relative=False))
    own = request(("Referer", "mine"))
    assert http1(redirected(own, own.url, relative=True)).count(b"Referer: mine") == 1


def test_line_6_http2_field_names_are_lower_case() -> None:
    made = request(
        ("X-A", "1"), ("Connection", "keep-alive"), ("Upgrade", "x"), ("Host", "a.example"), path="/x?y", scheme="HTTPS"
    )
    assert http2(made) == [
        (b":authority", b"a.example"),
        (b":method", b"GET"),
        (b":path", b"/x?y"),
        (b":scheme", b"https"),
        (b"accept", b"*/*"),
        (b"x-a", b"1"),
        (b"user-agent", b"kube-probe/1.36"),
    ]


class Value(str):
    """A text to which weak references are possible."""


def test_value_from_a_secret_ends_with_its_request() -> None:
    value = Value("s3cret")
    action = HTTPGetAction.model_validate({"port": 80, "httpHeaders": [FROM_SECRET]})
    sent = http1(first_request(action, "10.0.0.1", "10.0.0.1", {("tokens", "web"): value}))
    kept = weakref.ref(value)
    del value
    assert (b"X-Token: s3cret\r\n" in sent, kept()) == (True, None)


FROM_SECRET = {"name": "x-token", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "web"}}}


@cases(
    "location sent",
    ("relative", "/next", True),
    ("same port", "http://10.0.0.1:8080/next", True),
    ("same port, without a scheme", "//10.0.0.1:8080", True),
    ("another port", "http://10.0.0.1:8081/next", False),
    ("the scheme's port", "http://10.0.0.1/next", False),
    ("another scheme", "https://10.0.0.1:8080/next", False),
)
def test_d15_header_from_a_secret_after_a_redirect(location: str, sent: bool) -> None:
    probe = {"port": 8080, "httpHeaders": [FROM_SECRET, {"name": "X-Plain", "value": "a"}]}
    secrets = {("tokens", "web"): "s3cret"}
    first = first_request(HTTPGetAction.model_validate(probe), "10.0.0.1", "10.0.0.1", secrets)
    assert b"X-Token: s3cret\r\n" in http1(first)
    reference = url.parse(location)
    second = redirected(first, url.resolve(first.url, reference), relative=not reference.scheme)
    assert (b"s3cret" in http1(second), b"X-Plain: a" in http1(second)) == (sent, True)
    back = redirected(second, first.url, relative=False)
    assert (b"s3cret" in http1(back)) == sent, "what was left out once does not come back"
