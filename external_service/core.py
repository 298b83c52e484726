"""The part of core/v1 and meta/v1 that an ExternalService uses, with the API server's own field names and defaults.

Defaults and limits follow kubernetes:pkg/apis/core/v1/defaults.go and pkg/apis/core/validation. Descriptions and CEL
rules are here because the CRD is made from these models (`crd.py`): users read them in `kubectl explain`. A rule is for
what JSON Schema cannot say, or can say only in words that no user should have to read: its message says what to write.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from external_service.kind import DNS_NAME


def rule(
    expression: str, message: str, *, shown: str = "", field: str = "", at_creation_only: bool = False
) -> dict[str, Any]:
    """One entry of x-kubernetes-validations.

    shown: a CEL expression for the message; where it fails to evaluate the API server falls back on `message`.
    field: the path below this node that the error names, such as ".path".
    at_creation_only: for what may not lock an object that was stored before the rule existed: `oldSelf` is optional.
    """
    entry: dict[str, Any] = {"rule": expression, "message": message}
    if shown:
        entry["messageExpression"] = shown
    if field:
        entry["fieldPath"] = field
    if at_creation_only:
        entry["rule"] = f"oldSelf.hasValue() || {expression}"
        entry["optionalOldSelf"] = True
    return entry


def rules(*given: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """A `json_schema_extra` that adds `given`, which replace `pattern`."""

    def add(schema: dict[str, Any]) -> None:
        schema.pop("pattern", None)
        schema["x-kubernetes-validations"] = [*given]

    return add


def quoted(pattern: str) -> str:
    """A regular expression as a CEL string literal that matches from end to end."""
    escaped = f"^{pattern}$".replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def matching(pattern: str, max_length: int, message: str) -> Any:
    """For a string that must match `pattern` from end to end, in the models as in the CRD."""
    extra = rules(rule(f"self.matches({quoted(pattern)})", message))
    return Field(max_length=max_length, pattern=f"^{pattern}$", json_schema_extra=extra)


def int_or_string(max_length: int, *given: dict[str, Any]) -> WithJsonSchema:
    """The schema of a field of either type, with the rules `given`."""
    checked = {"x-kubernetes-validations": [*given]} if given else {}
    return WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": max_length, **checked})


HANDLERS = ("httpGet", "tcpSocket", "grpc")
ONE_HANDLER = f"write exactly one of {', '.join(HANDLERS)}"
NO_EXEC = (
    "exec is not supported: an address outside the cluster has no container to run a command in; "
    "write httpGet, tcpSocket or grpc"
)

# Ports are int-or-string: `type: integer` would refuse a named port with a message that does not say what to write.
_IS_PORT = "type(self) == int && self >= 1 && self <= 65535"
PORT_NUMBER = "write a port number from 1 to 65535, without quotes"
PROBE_PORT_NUMBER = f"{PORT_NUMBER}: named ports belong to containers, and there are none"

PortNumber = Annotated[int, Field(strict=True, ge=1, le=65_535)]
Port = Annotated[PortNumber, int_or_string(64, rule(_IS_PORT, PORT_NUMBER))]
ProbePort = Annotated[
    PortNumber,
    Field(description="Port to connect to, a number from 1 to 65535; it may differ from spec.port."),
    int_or_string(64, rule(_IS_PORT, PROBE_PORT_NUMBER)),
]
WHOLE_SECONDS = (
    "write whole seconds from 1 to 86400: more than one probe a second would be a load on the address, not a check of "
    "it (the kubelet's least is 1, too)"
)
Seconds = Annotated[int, Field(strict=True, ge=1, le=86_400)]
_IS_WHOLE = rule("self >= 1.0 && self <= 86400.0 && self == double(int(self))", WHOLE_SECONDS)
# A number, for `type: integer` would refuse 0.5 without a reason.
Period = Annotated[Seconds, WithJsonSchema({"type": "number", "x-kubernetes-validations": [_IS_WHOLE]})]
Threshold = Annotated[int, Field(strict=True, ge=1, le=1_000)]

HOST_HEADER = r"[!-.0-~]*"
HostHeader = Annotated[
    str,
    matching(HOST_HEADER, 253, "write a host name only, such as www.example.com: no scheme, path, space or line break"),
]
NO_OBJECT_NAME = "write the name of an object: lower case letters, digits, - and ."
ObjectName = Annotated[str, matching(DNS_NAME, 253, NO_OBJECT_NAME)]
DataKey = Annotated[str, matching("[-._a-zA-Z0-9]+", 253, "write a key: letters, digits, -, _ and . only")]


STATUS_RANGE = "[2-5][0-9][0-9](-[2-5][0-9][0-9])?"
BAD_STATUS = 'write a status such as 200, or a range such as "200-299", from 200 to 599, the lower one first'


def _ascending(status: int | str) -> int | str:
    low, _, high = str(status).partition("-")
    if high and low > high:
        raise ValueError(f'{BAD_STATUS} (got "{status}")')
    return status


def _number(at: int) -> str:
    """A CEL expression for the three digits from position `at` as a number."""
    return " + ".join(f"int(self.charAt({at + place})) * {weight}" for place, weight in enumerate((100, 10, 1)))


# Before Kubernetes 1.34 the API server ignores maxLength of an int-or-string when it estimates the cost of a rule. It
# refuses the CRD if a rule in a list walks the string (`matches`, `substring`). `size` and `charAt` cost a constant.
STATUS_RULE = (
    "type(self) == int ? self >= 200 && self <= 599 : "
    "(self.size() == 3 || self.size() == 7 && self.charAt(3) == '-') "
    "&& [0, 4].all(at, at > self.size() || self.charAt(at) >= '2' && self.charAt(at) <= '5' "
    "&& [at + 1, at + 2].all(digit, self.charAt(digit) >= '0' && self.charAt(digit) <= '9')) "
    f"&& (self.size() == 3 || {_number(0)} <= {_number(4)})"
)

ExpectedStatus = Annotated[
    Annotated[int, Field(strict=True, ge=200, le=599)] | Annotated[str, Field(pattern=f"^{STATUS_RANGE}$")],
    AfterValidator(_ascending),
    int_or_string(16, rule(STATUS_RULE, BAD_STATUS)),
]


class Model(BaseModel):
    """A frozen value read at a door. Unknown fields are ignored and nulls are absent, as the API server prunes both."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return without_nulls(data)


def without_nulls(value: Any) -> Any:
    """A mapping without its nulls; anything else as it is."""
    if isinstance(value, dict) and None in value.values():
        return {name: inner for name, inner in value.items() if inner is not None}
    return value


def _texts(value: object) -> object:
    """Finds the first value that is no text: pydantic would build an error for each of a million."""
    if isinstance(value, dict):
        for key, text in value.items():
            if text is not None and not isinstance(text, str):
                raise ValueError(f'write texts only, in quotes where YAML reads something else (the first is "{key}")')
        if None in value.values():
            return {key: text or "" for key, text in value.items()}
    return value


Texts = Annotated[dict[str, str], BeforeValidator(_texts)]
"""Labels or annotations of an object. The API server stores a null as an empty text, and nulls in maps of the spec not
at all."""


class SecretSource(Model):
    """A Secret in the namespace of the ExternalService."""

    name: ObjectName = Field(description="Name of the object.")


class SecretKey(SecretSource):
    """A key of a Secret in the namespace of the ExternalService."""

    key: DataKey = Field(description="Key in it.")


class HeaderSource(Model):
    """Source of a header's value."""

    secretKeyRef: SecretKey = Field(
        description="The key of a Secret in the namespace of the ExternalService. The operator of the cluster must "
        "allow it (ESO_PROBE_SECRETS)."
    )


VALUE_OR_SOURCE = "write only one of value and valueFrom"
HOST_IN_CLEAR = "write Host as a value: it is also sent as the TLS server name, which is not encrypted"


class HTTPHeader(Model):
    """One request header. A name may repeat; the first `Host` is the request's Host."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.valueFrom) || !has(self.value) || self.value == ''", VALUE_OR_SOURCE, field=".valueFrom"),
            rule("!has(self.valueFrom) || self.name.lowerAscii() != 'host'", HOST_IN_CLEAR, field=".valueFrom"),
        )
    )

    name: Annotated[
        str,
        matching(
            r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+",
            256,
            "write a header name such as X-Forwarded-Proto: letters, digits and !#$%&'*+-.^_`|~ only",
        ),
    ] = Field(description="Name of the header, such as X-Forwarded-Proto.")
    value: Annotated[
        str, matching(r"[^\r\n\x00]*", 8_192, "write the value in one line: CR, LF and NUL would end the header")
    ] = Field(default="", description="Value of the header, sent unchanged.")
    valueFrom: HeaderSource | None = Field(
        default=None,
        description="Source of the value, instead of value. It is not sent to another port or scheme that the server "
        "redirects to.",
    )

    @model_validator(mode="after")
    def _one_value(self) -> "HTTPHeader":
        if self.valueFrom is not None and self.value:
            raise ValueError(VALUE_OR_SOURCE)
        if self.valueFrom is not None and self.name.lower() == "host":
            raise ValueError(HOST_IN_CLEAR)
        return self


class CASource(SecretSource):
    """A key of a ConfigMap or Secret, in the namespace of the ExternalService, that holds CA certificates as PEM."""

    key: DataKey = Field(default="ca.crt", description="Key in it.")


BOTH_CAS = "write only one of caConfigMap and caSecret"
TLS_NEEDS_HTTPS = "tls needs scheme: HTTPS"
BODY_NEEDS_GET = "bodyContains needs method: GET"
MAX_HEADER_TEXT = 16_384
"""Characters of all httpHeaders of a probe. Most servers accept less; each address is sent all of them."""
HEADERS_TOO_LONG = f"write at most {MAX_HEADER_TEXT} characters in the names and values of all headers together"
HTTP2_NEEDS_HTTP = "protocol HTTP2 needs scheme: HTTP; with HTTPS the server chooses the protocol"


class TLSOptions(Model):
    """Verification of the certificate in an HTTPS or gRPC probe. Without a CA it is not, as in the kubelet."""

    model_config = ConfigDict(json_schema_extra=rules(rule("!(has(self.caConfigMap) && has(self.caSecret))", BOTH_CAS)))

    caConfigMap: CASource | None = Field(
        default=None, description="Verify the certificate against the CAs in this ConfigMap, and nothing else."
    )
    caSecret: CASource | None = Field(
        default=None,
        description="As caConfigMap, from a Secret; the operator of the cluster must allow it (ESO_PROBE_SECRETS).",
    )
    clientCertificateSecret: SecretSource | None = Field(
        default=None,
        description="Present the certificate in this Secret of type kubernetes.io/tls (tls.crt, tls.key) to servers "
        "that ask for one. The operator of the cluster must allow it (ESO_PROBE_SECRETS).",
    )
    serverName: Annotated[
        str, matching(f"({DNS_NAME})?", 253, "write a DNS name in lower case, such as www.example.com")
    ] = Field(
        default="",
        description="Server name to send (SNI) and to verify. Defaults to the name of the Host header (httpGet), "
        "else the address.",
    )

    @model_validator(mode="after")
    def _one_ca(self) -> "TLSOptions":
        if self.caConfigMap is not None and self.caSecret is not None:
            raise ValueError(BOTH_CAS)
        return self


class HTTPGetAction(Model):
    """GET scheme://address:port/path; a response from 200 to 399 is a success, unless the options say otherwise."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.tls) || self.scheme == 'HTTPS'", TLS_NEEDS_HTTPS, field=".tls"),
            rule(
                "!has(self.bodyContains) || self.bodyContains == '' || self.method == 'GET'",
                BODY_NEEDS_GET,
                field=".bodyContains",
            ),
            rule("self.protocol == 'HTTP1' || self.scheme == 'HTTP'", HTTP2_NEEDS_HTTP, field=".protocol"),
            rule(
                "!has(self.httpHeaders) || self.httpHeaders.map(one, size(one.name) + "
                f"(has(one.value) ? size(one.value) : 0)).sum() <= {MAX_HEADER_TEXT}",
                HEADERS_TOO_LONG,
                field=".httpHeaders",
            ),
        )
    )

    port: ProbePort
    path: str = Field(default="/", max_length=4_096, description="Path and query of the request.")
    host: HostHeader = Field(
        default="",
        description="Host header and TLS server name. The connection always goes to the address itself; "
        "a Host among httpHeaders wins over this as the header.",
    )
    scheme: Literal["HTTP", "HTTPS"] = Field(
        default="HTTP",
        description="HTTP or HTTPS. With HTTPS the certificate is not verified, as in the kubelet, unless tls says so.",
    )
    method: Literal["GET", "HEAD"] = Field(
        default="GET", description="GET, or HEAD for a response without a body. Also used for redirects."
    )
    protocol: Literal["HTTP1", "HTTP2"] = Field(
        default="HTTP1",
        description="HTTP1, or HTTP2 without TLS (prior knowledge). With scheme HTTPS the server chooses, and this has "
        "no meaning.",
    )
    httpHeaders: tuple[HTTPHeader, ...] = Field(
        default=(), max_length=64, description="Headers to send, in this order; a name may repeat."
    )
    expectedStatuses: tuple[ExpectedStatus, ...] = Field(
        default=(),
        max_length=16,
        description='Statuses that are a success, each a number or a range such as "200-299", and none else; '
        "Defaults to 200 to 399, as in the kubelet. A redirect with one of these statuses is not followed.",
    )
    redirects: Literal["Follow", "Fail"] = Field(
        default="Follow",
        description="Follow: redirects to the address itself are followed, to another host they are a success, as in "
        "the kubelet. Fail: any redirect is a failure.",
    )
    bodyContains: str = Field(
        default="",
        max_length=1_024,
        description="Text that the first 10240 bytes of the body must contain, case-sensitive. "
        "If omitted, any body is a success.",
    )
    tls: TLSOptions | None = Field(
        default=None, description="How the certificate is verified. If omitted, it is not verified, as in the kubelet."
    )

    @model_validator(mode="after")
    def _options_fit(self) -> "HTTPGetAction":
        if self.tls is not None and self.scheme != "HTTPS":
            raise ValueError(TLS_NEEDS_HTTPS)
        if self.bodyContains and self.method != "GET":
            raise ValueError(BODY_NEEDS_GET)
        if self.protocol == "HTTP2" and self.scheme != "HTTP":
            raise ValueError(HTTP2_NEEDS_HTTP)
        if sum(len(one.name) + len(one.value) for one in self.httpHeaders) > MAX_HEADER_TEXT:
            raise ValueError(HEADERS_TOO_LONG)
        return self


class TCPSocketAction(Model):
    """Succeeds when the address accepts a connection; nothing is sent."""

    port: ProbePort
    host: HostHeader = Field(
        default="", description="Ignored, and kept for compatibility: the connection always goes to the address itself."
    )


class GRPCAction(Model):
    """Calls grpc.health.v1.Health/Check, in plaintext unless `tls` is given; SERVING is a success."""

    port: ProbePort
    service: str = Field(
        default="",
        max_length=1_024,
        description="Name of the service whose health is requested; empty requests that of the server.",
    )
    tls: TLSOptions | None = Field(
        default=None,
        description="Use TLS; {} verifies no certificate, as the kubelet's alpha does. If omitted, plaintext.",
    )


class Probe(Model):
    """Probe of each address, with the kubelet's meaning: one handler, times in seconds, consecutive results."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.exec)", NO_EXEC, field=".exec"),
            rule(
                "has(self.exec) || "
                "(has(self.httpGet) ? 1 : 0) + (has(self.tcpSocket) ? 1 : 0) + (has(self.grpc) ? 1 : 0) == 1",
                ONE_HANDLER,
            ),
        )
    )

    httpGet: HTTPGetAction | None = Field(
        default=None, description="HTTP or HTTPS GET. A response with a status from 200 to 399 is a success."
    )
    tcpSocket: TCPSocketAction | None = Field(
        default=None, description="TCP connect; an accepted connection is a success, nothing is sent."
    )
    grpc: GRPCAction | None = Field(
        default=None, description="gRPC health check (grpc.health.v1), in plaintext or over TLS; SERVING is a success."
    )
    exec: Annotated[Any, WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})] = Field(
        default=None, description="Not supported, and always refused: there is no container to run a command in."
    )
    initialDelaySeconds: Annotated[int, Field(strict=True, ge=0, le=86_400)] = Field(
        default=0, description="Seconds from when an address is added until its first probe; 0 to 86400."
    )
    periodSeconds: Period = Field(
        default=10,
        description="Seconds from the start of one probe of an address to the start of the next; 1 to 86400.",
    )
    notReadyPeriodSeconds: Period | None = Field(
        default=None,
        description="periodSeconds while the address is not ready. A shorter one finds a recovery sooner. "
        "Defaults to periodSeconds.",
    )
    timeoutSeconds: Seconds = Field(
        default=1,
        description="Seconds for a complete probe (connect, TLS, response) before it is a failure; 1 to 86400.",
    )
    successThreshold: Threshold = Field(
        default=1, description="Successes in a row that make an address ready; 1 to 1000."
    )
    failureThreshold: Threshold = Field(
        default=3, description="Failures in a row that make an address not ready; 1 to 1000."
    )

    @model_validator(mode="after")
    def _exactly_one_handler(self) -> "Probe":
        if self.exec is not None:
            raise ValueError(NO_EXEC)
        given = [name for name in HANDLERS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise ValueError(f"{ONE_HANDLER} (found {found})")
        return self

    @property
    def tls(self) -> TLSOptions | None:
        """Verification of the certificate, of httpGet or grpc."""
        action = self.httpGet or self.grpc
        return action.tls if action is not None else None

    @property
    def handler(self) -> HTTPGetAction | TCPSocketAction | GRPCAction:
        """The one handler that is set."""
        action = self.httpGet or self.tcpSocket or self.grpc
        assert action is not None  # noqa: S101 - _exactly_one_handler
        return action

    def period(self, *, ready: bool) -> int:
        """Seconds between the starts of two probes of an address that is ready, or not."""
        return self.periodSeconds if ready else self.notReadyPeriodSeconds or self.periodSeconds


class ObjectMeta(Model):
    """The metadata that we read. `uid` tells a re-created object from its predecessor of the same name."""

    name: str = Field(min_length=1)
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resourceVersion: str = ""
    labels: Texts = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
