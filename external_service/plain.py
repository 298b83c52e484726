"""ExternalService as msgspec Structs: what the prober holds, at a tenth of the memory of the models, and without them.

The models (`core`, `v1alpha1`) say what an ExternalService is; a test holds each field here to theirs. A Struct takes
nothing that its model would not take, to the same values, and less: what it refuses is to be read again by the model,
which says what to write instead (`invalid.py`). Of the metadata only that stands here which the prober reads.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from external_service.cel import DNS_NAME
from external_service.kind import (
    DATA_KEY,
    HEADER_NAME,
    HEADER_VALUE,
    HOST_HEADER,
    KEY,
    MAX_ADDRESSES,
    MAX_CHILD_PROBLEMS,
    MAX_CONDITIONS,
    MAX_DISABLED,
    MAX_ENTRIES,
    MAX_HOSTNAMES,
    MAX_HOSTS,
    MAX_MESSAGE,
    MAX_PARENTS,
    MAX_TLS,
    NAME,
    NAMESPACE,
    OWNER_KIND,
    SHARE,
    STATUS_RANGE,
    PathType,
    Reason,
)


def _all(pattern: str) -> str:
    r"""From end to end; Python's own $ would let a line feed follow."""
    return rf"\A(?:{pattern})\Z"


Port = Annotated[int, Meta(ge=1, le=65_535)]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]
Threshold = Annotated[int, Meta(ge=1, le=1_000)]
HostHeader = Annotated[str, Meta(max_length=253, pattern=_all(HOST_HEADER))]
ObjectName = Annotated[str, Meta(max_length=253, pattern=_all(DNS_NAME))]
OptionalObjectName = Annotated[str, Meta(max_length=253, pattern=_all(f"({DNS_NAME})?"))]
DNSName = Annotated[str, Meta(max_length=253)]
Key = Annotated[str, Meta(pattern=_all(KEY))]
Annotations = Annotated[dict[Key, Annotated[str, Meta(max_length=4_096)]], Meta(max_length=MAX_ENTRIES)]
Labels = Annotated[
    dict[Key, Annotated[str, Meta(max_length=63, pattern=_all(f"({NAME})?"))]], Meta(max_length=MAX_ENTRIES)
]
ExpectedStatus = Annotated[int, Meta(ge=200, le=599)] | Annotated[str, Meta(pattern=_all(STATUS_RANGE))]


class HTTPHeader(Struct, frozen=True, kw_only=True, gc=False):
    """One request header."""

    name: Annotated[str, Meta(min_length=1, max_length=256, pattern=_all(HEADER_NAME))]
    value: Annotated[str, Meta(max_length=8_192, pattern=_all(HEADER_VALUE))] = ""


class CASource(Struct, frozen=True, kw_only=True, gc=False):
    """A key of a ConfigMap or Secret that holds CA certificates."""

    name: ObjectName
    key: Annotated[str, Meta(max_length=253, pattern=_all(DATA_KEY))] = "ca.crt"


class TLSOptions(Struct, frozen=True, kw_only=True, gc=False):
    """How a certificate is verified."""

    caConfigMap: CASource | None = None
    caSecret: CASource | None = None
    serverName: OptionalObjectName = ""

    def __post_init__(self) -> None:
        if self.caConfigMap is not None and self.caSecret is not None:
            raise ValueError


class HTTPGetAction(Struct, frozen=True, kw_only=True, gc=False):
    """An HTTP probe."""

    port: Port
    path: Annotated[str, Meta(max_length=4_096)] = "/"
    host: HostHeader = ""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    httpHeaders: Annotated[tuple[HTTPHeader, ...], Meta(max_length=64)] = ()
    expectedStatuses: Annotated[tuple[ExpectedStatus, ...], Meta(max_length=16)] = ()
    redirects: Literal["Follow", "Fail"] = "Follow"
    bodyContains: Annotated[str, Meta(max_length=1_024)] = ""
    tls: TLSOptions | None = None

    def __post_init__(self) -> None:
        if self.tls is not None and self.scheme != "HTTPS":
            raise ValueError
        for status in self.expectedStatuses:
            low, _, high = str(status).partition("-")
            if high and low > high:
                raise ValueError


class TCPSocketAction(Struct, frozen=True, kw_only=True, gc=False):
    """A TCP probe."""

    port: Port
    host: HostHeader = ""


class GRPCAction(Struct, frozen=True, kw_only=True, gc=False):
    """A gRPC probe."""

    port: Port
    service: Annotated[str, Meta(max_length=1_024)] = ""


class Probe(Struct, frozen=True, kw_only=True, gc=False):
    """How each address is checked."""

    httpGet: HTTPGetAction | None = None
    tcpSocket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    exec: None = None
    initialDelaySeconds: Annotated[int, Meta(ge=0, le=86_400)] = 0
    periodSeconds: Seconds = 10
    notReadyPeriodSeconds: Seconds | None = None
    timeoutSeconds: Seconds = 1
    successThreshold: Threshold = 1
    failureThreshold: Threshold = 3

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.httpGet, self.tcpSocket, self.grpc)) != 1:
            raise ValueError

    def period(self, *, ready: bool) -> int:
        """Seconds between two probes of an address that is `ready`, or is not."""
        return self.periodSeconds if ready else self.notReadyPeriodSeconds or self.periodSeconds

    @property
    def handler(self) -> HTTPGetAction | TCPSocketAction | GRPCAction:
        """The one handler that is set."""
        action = self.httpGet or self.tcpSocket or self.grpc
        assert action is not None  # noqa: S101 - no Probe comes to be without one
        return action


class Host(Struct, frozen=True, kw_only=True, gc=False):
    """A name to route."""

    host: DNSName
    path: Annotated[str, Meta(max_length=1_024)] = ""
    pathType: PathType = "ImplementationSpecific"


class IngressTLS(Struct, frozen=True, kw_only=True, gc=False):
    """TLS of the Ingress."""

    hosts: Annotated[tuple[DNSName, ...], Meta(max_length=MAX_ENTRIES)] = ()
    secretName: OptionalObjectName = ""


class IngressOptions(Struct, frozen=True, kw_only=True, gc=False):
    """What the Ingress gets."""

    enabled: bool = True
    className: ObjectName | None = None
    tls: Annotated[tuple[IngressTLS, ...], Meta(max_length=MAX_TLS)] = ()
    annotations: Annotations = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)


class ParentReference(Struct, frozen=True, kw_only=True, gc=False):
    """What an HTTPRoute attaches itself to."""

    group: ObjectName = "gateway.networking.k8s.io"
    kind: Annotated[str, Meta(max_length=63, pattern=_all(OWNER_KIND))] = "Gateway"
    name: ObjectName
    namespace: Annotated[str, Meta(max_length=63, pattern=_all(NAMESPACE))] | None = None
    sectionName: ObjectName | None = None


class HTTPRouteOptions(Struct, frozen=True, kw_only=True, gc=False):
    """What the HTTPRoute gets."""

    parentRefs: Annotated[tuple[ParentReference, ...], Meta(min_length=1, max_length=MAX_PARENTS)]
    annotations: Annotations = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)


class ServiceOptions(Struct, frozen=True, kw_only=True, gc=False):
    """What the Service gets."""

    clusterIP: Literal["None", "Auto"] = "None"
    annotations: Annotations = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)


class ExternalServiceSpec(Struct, frozen=True, kw_only=True, gc=False):
    """The user's wish."""

    port: Port
    ips: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=MAX_ADDRESSES)] = ()
    hostnames: Annotated[tuple[DNSName, ...], Meta(max_length=MAX_HOSTNAMES)] = ()
    hosts: Annotated[tuple[Host, ...], Meta(max_length=MAX_HOSTS)] = ()
    readinessProbe: Probe | None = None
    ingress: IngressOptions | None = None
    httpRoute: HTTPRouteOptions | None = None
    service: ServiceOptions | None = None
    disabledIPs: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=MAX_DISABLED)] = ()
    minReady: Annotated[int, Meta(ge=0)] | Annotated[str, Meta(pattern=_all(SHARE))] = 0


class AddressStatus(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one address."""

    ip: Annotated[str, Meta(max_length=64)]
    ready: bool
    reason: Reason
    message: Annotated[str, Meta(max_length=MAX_MESSAGE)] = ""
    lastTransitionTime: Annotated[str, Meta(max_length=64)]
    serving: bool | None = None
    hostname: Annotated[str, Meta(max_length=253)] | None = None

    @property
    def healthy(self) -> bool:
        """What the probe says, drained or not."""
        return self.ready if self.serving is None else self.serving


class Condition(Struct, frozen=True, kw_only=True, gc=False):
    """One condition."""

    type: Annotated[str, Meta(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Meta(max_length=1_024)]
    message: Annotated[str, Meta(max_length=32_768)] = ""
    lastTransitionTime: Annotated[str, Meta(max_length=64)]
    observedGeneration: int = 0


class ChildProblem(Struct, frozen=True, kw_only=True, gc=False):
    """The hook's part of the status."""

    kind: Annotated[str, Meta(max_length=63)]
    name: Annotated[str, Meta(max_length=253)]
    problem: Annotated[str, Meta(max_length=1_024)]


class ExternalServiceStatus(Struct, frozen=True, kw_only=True, gc=False):
    """What is known."""

    revision: Annotated[int, Meta(ge=0)] = 0
    ready: Annotated[str, Meta(max_length=32)] = ""
    addresses: Annotated[tuple[AddressStatus, ...], Meta(max_length=MAX_ADDRESSES)] = ()
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=MAX_CONDITIONS)] = ()
    children: Annotated[tuple[ChildProblem, ...], Meta(max_length=MAX_CHILD_PROBLEMS)] = ()
    observedGeneration: int = 0


class ObjectMeta(Struct, frozen=True, kw_only=True, gc=False):
    """Which object it is, and which version of it."""

    name: Annotated[str, Meta(min_length=1)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0


class ExternalService(Struct, frozen=True, kw_only=True, gc=False):
    """An ExternalService without its status, which the prober reads by itself, and leniently."""

    apiVersion: Literal["eso.crowdfox.com/v1alpha1"]
    kind: Literal["ExternalService"]
    metadata: ObjectMeta
    spec: ExternalServiceSpec
