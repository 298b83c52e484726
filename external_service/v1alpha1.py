"""ExternalService, version v1alpha1: the one kind that users write.

Addresses are plain strings here: whether one may be published or probed is judged per address (`policy.py`),
so that a single bad one never freezes the others (design R8). The CEL rules of the CRD say the same at the door, and
the guard at the root lets health go forward only (design R1).
"""

from functools import cached_property
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, FailFast, Field, StrictBool
from pydantic.dataclasses import dataclass

from external_service.core import (
    NO_OBJECT_NAME,
    Model,
    ObjectMeta,
    ObjectName,
    Port,
    PortNumber,
    Probe,
    int_or_string,
    matching,
    quoted,
    rule,
    rules,
    without_nulls,
)
from external_service.kind import (
    DNS_NAME,
    FAMILIES,
    KEY,
    LABEL,
    MAX_ADDRESSES,
    MAX_CONDITIONS,
    MAX_SUMMARY,
    NAME,
    NAMESPACE,
    SERVICE_NAME,
    ChildReason,
    Family,
    Reason,
)
from external_service.policy import EMBEDDING, SITE_LOCAL, SPECIAL_IPV4, embedding

RESERVED_LABELS = (
    "app",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "controller-uid",
    "serviceType",
)

_UNREACHABLE = [
    *(str(embedding(prefix, IPv4Network(special))) for prefix in EMBEDDING.values() for special in SPECIAL_IPV4),
    str(SITE_LOCAL),
]
"""Besides what `isGlobalUnicast` refuses. `::1` and `::` are in the first of these ranges and get a message before."""

IP = Annotated[
    str,
    Field(
        max_length=64,
        json_schema_extra=rules(
            rule(
                "isIP(self)",
                "not an IP address: write one like 10.0.100.10 or 2001:db8::10, without port, mask or zone",
                shown="self.lowerAscii().startsWith('::ffff:') "
                "? 'an IPv4-mapped IPv6 address: write the IPv4 address alone' "
                ": 'not an IP address: write one like 10.0.100.10 or 2001:db8::10, without port, mask or zone'",
            ),
            rule(
                "!isIP(self) || ip.isCanonical(self)",
                "not in canonical form: write it in lower case and as short as it gets, such as 2001:db8::10",
                shown="'not in canonical form: write %s'.format([string(ip(self))])",
            ),
            rule(
                "!isIP(self) || ip(self).isGlobalUnicast()",
                "a loopback, link-local, multicast or unspecified address: write one that the cluster's nodes reach",
                shown="(ip(self).isLoopback() ? 'a loopback address' "
                ": ip(self).isUnspecified() ? 'the unspecified address' "
                ": ip(self).isLinkLocalUnicast() ? 'a link-local address' "
                ": 'a multicast or broadcast address') + \": write one that the cluster's nodes reach\"",
            ),
            rule(
                "!isIP(self) || ip(self).family() == 4 || !ip(self).isGlobalUnicast() "
                f"|| !{_UNREACHABLE}.exists(range, cidr(range).containsIP(self))",
                "a site-local address, or one that carries an IPv4 address that is loopback, link-local, multicast or "
                "unspecified: write one that the cluster's nodes reach",
            ),
        ),
    ),
]
NO_SERVICE_NAME = "the Service takes this name: write a letter, then lower case letters, digits and -; 63 at most"
NO_DNS_NAME = "write a DNS name in lower case, such as www.example.com or *.example.com: no scheme, port or path"
NO_ADDRESS = "write a DNS name, not an IP address: an Ingress cannot route by address"
NO_HOSTNAME = "write a DNS name in lower case, such as db.example.com: no wildcard, port or final dot"
ADDRESS_AMONG_HOSTNAMES = "an IP address: write it in spec.ips"
LABEL_TOO_LONG = "a part between dots is longer than 63: DNS knows no such name"
NO_PATH = 'write a path that begins with "/", or an empty one for every path'
NO_ROUTE_PATH = (
    'an HTTPRoute takes letters, digits and URL characters in a path, no "//", "/./", "/../" or "%2F": write it so, '
    "or leave spec.httpRoute out"
)
"""Messages of the CRD's rules, which `admission` uses, too."""

IPV4_LIKE = "[0-9]+([.][0-9]+){3}"
DNSName = Annotated[
    str,
    Field(
        max_length=253,
        json_schema_extra=rules(
            rule(f"self.matches({quoted(r'([*][.])?' + DNS_NAME)})", NO_DNS_NAME),
            rule(f"!self.matches({quoted(IPV4_LIKE)})", NO_ADDRESS),
        ),
    ),
]
Hostname = Annotated[
    str,
    Field(
        max_length=253,
        json_schema_extra=rules(
            rule(f"isIP(self) || self.matches({quoted(DNS_NAME)})", NO_HOSTNAME),
            rule(f"!isIP(self) && !self.matches({quoted(IPV4_LIKE)})", ADDRESS_AMONG_HOSTNAMES),
            rule("!self.matches('[^.]{64}')", LABEL_TOO_LONG),
        ),
    ),
]


MAX_ENTRIES = 64
OptionalObjectName = Annotated[str, matching(f"({DNS_NAME})?", 253, NO_OBJECT_NAME)]
Key = Annotated[str, Field(pattern=f"^{KEY}$")]
LabelValue = Annotated[
    str, matching(f"({NAME})?", 63, "write letters, digits, -, _ and ., with a letter or digit first and last")
]
_KEYS = rule(
    f"self.all(key, key.matches({quoted(KEY)}))",
    "write keys such as team or example.com/team: one / at most, then up to 63 letters, digits, -, _ and .",
)


def _few(value: object) -> object:
    """Drops nulls and counts the entries first: pydantic would validate each of a million."""
    value = without_nulls(value)
    if isinstance(value, dict) and len(value) > MAX_ENTRIES:
        raise ValueError(f"write a mapping of at most {MAX_ENTRIES} entries (got {len(value)})")
    return value


Annotations = Annotated[
    dict[Key, Annotated[str, Field(max_length=4_096)]],
    Field(max_length=MAX_ENTRIES, json_schema_extra=rules(_KEYS)),
    BeforeValidator(_few),
]
Labels = Annotated[
    dict[Key, LabelValue],
    Field(
        max_length=MAX_ENTRIES,
        json_schema_extra=rules(
            _KEYS,
            rule(
                f"!self.exists(key, key in {[*RESERVED_LABELS]})",
                "the operator sets the labels app, serviceType and app.kubernetes.io/* itself: remove them",
            ),
        ),
    ),
    BeforeValidator(_few),
]
SHARE = "(100|[0-9]{1,2})%"
NUMBER_OR_SHARE = 'write a number of addresses such as 1, or a share from "0%" to "100%"'
MinReady = Annotated[
    Annotated[int, Field(strict=True, ge=0)] | Annotated[str, Field(pattern=f"^{SHARE}$")],
    int_or_string(
        64,
        rule(f"type(self) == int ? self >= 0 : type(self) == string && self.matches({quoted(SHARE)})", NUMBER_OR_SHARE),
    ),
]


def _cluster_ip(which: str) -> str:
    return f"(has({which}.service) && has({which}.service.clusterIP) ? {which}.service.clusterIP : 'None')"


def _revision(which: str) -> str:
    return f"(has({which}.status) && has({which}.status.revision) ? {which}.status.revision : 0)"


AS_SET = Field(json_schema_extra={"x-kubernetes-list-type": "set"})
STALE_STATUS = (
    "stale status refused: status.revision must be higher than the stored one; read the object again and retry "
    "(a controller does so by itself)"
)
"""Without numbers: equal messages are counted on one Event."""


def _has_addresses(which: str) -> str:
    return f"(has({which}.status) && has({which}.status.addresses))"


ROUTE_PATH = r"([-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*"
UNRESOLVED_PATH = "//|/[.][.]?(/|$)|%2[fF]"
_ROUTABLE = f"!has(h.path) || (h.path.matches({quoted(ROUTE_PATH)}) && !h.path.matches('{UNRESOLVED_PATH}'))"
_ANY_PATH = "!has(self.pathType) || self.pathType == 'ImplementationSpecific'"


Protocol = Literal["TCP", "UDP", "SCTP"]


class ServicePort(Model):
    """One port of the Service, and the port of the addresses that it leads to."""

    name: Annotated[str, matching(LABEL, 63, "write a name such as http: lower case letters, digits and -")] = Field(
        description="Name of the port, unique among the ports."
    )
    port: PortNumber = Field(description="Port of the Service, a number from 1 to 65535, unique among the ports.")
    targetPort: PortNumber | None = Field(
        default=None, description="Port of the addresses, unique among the ports. Defaults to port."
    )
    protocol: Protocol = Field(default="TCP", description="TCP, UDP or SCTP. Defaults to TCP.")
    appProtocol: Annotated[str, matching(KEY, 253, "write a protocol such as http or kubernetes.io/h2c")] | None = (
        Field(default=None, description="Application protocol, a hint for consumers, such as kubernetes.io/h2c.")
    )

    @property
    def target(self) -> int:
        """The port of the addresses."""
        return self.targetPort or self.port


ONE_OF_PORTS = "write exactly one of port and ports"
SAME_PORT = "Metacontroller merges ports by number: use each one once, or write a second ExternalService"
NO_SUCH_PORT = "write the name or the number of one of spec.ports, with protocol TCP"
PORT_OF_HOST = Annotated[
    PortNumber | Annotated[str, Field(max_length=63)],
    int_or_string(63),
]
_HOST_PORT = (
    "!has(self.hosts) || self.hosts.all(h, has(h.port) "
    "? has(self.ports) && self.ports.exists(p, (h.port == p.name || h.port == p.port) "
    "&& (!has(p.protocol) || p.protocol == 'TCP')) "
    ": !has(self.ports) || self.ports.size() == 0 || !has(self.ports[0].protocol) || self.ports[0].protocol == 'TCP')"
)


class Host(Model):
    """One rule of the Ingress: a DNS name (or `*.` wildcard) and a path that is empty or begins with "/"."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"{_ANY_PATH} || (has(self.path) && self.path != '')",
                'pathType Exact and Prefix need a path: write "/" for every path',
                field=".path",
            ),
            rule(
                f"{_ANY_PATH} || !has(self.path) || !self.path.matches('{UNRESOLVED_PATH}')",
                'pathType Exact and Prefix take no "//", "/./", "/../" or "%2F" in the path: write it resolved',
                field=".path",
            ),
        )
    )

    host: DNSName = Field(description="DNS name, such as www.example.com, or a wildcard such as *.example.com.")
    path: str = Field(
        default="",
        max_length=1_024,
        description='Path that the rule is for: empty for every path, else it begins with "/".',
        json_schema_extra=rules(rule("self == '' || self.startsWith('/')", NO_PATH)),
    )
    pathType: Literal["Exact", "Prefix", "ImplementationSpecific"] = Field(
        default="ImplementationSpecific",
        description="How the path is matched: Exact, Prefix, or as the ingress controller decides "
        "(ImplementationSpecific, the default).",
    )
    port: PORT_OF_HOST | None = Field(
        default=None, description="Name or number of one of spec.ports, with protocol TCP. Defaults to the first one."
    )


class IngressTLS(Model):
    """TLS of the Ingress: the hosts that the certificate in `secretName` is for."""

    hosts: Annotated[tuple[DNSName, ...], FailFast()] = Field(
        default=(),
        max_length=MAX_ENTRIES,
        description="DNS names of the certificate. Defaults to those of spec.hosts that no other entry names.",
    )
    secretName: OptionalObjectName = Field(
        default="",
        description="Secret of this namespace with the certificate. Defaults to the controller's own certificate.",
    )


class IngressOptions(Model):
    """Options of the Ingress beside the hosts and the annotations copied from the ExternalService."""

    enabled: StrictBool = Field(default=True, description="false: no Ingress is created.")
    className: ObjectName | None = Field(
        default=None, description="Name of the IngressClass. Defaults to the default class of the cluster."
    )
    tls: tuple[IngressTLS, ...] = Field(
        default=(), max_length=16, description="Certificates for the hosts. If omitted, plain HTTP."
    )
    annotations: Annotations = Field(
        default_factory=dict,
        description="Annotations for the Ingress, in addition to those copied from this object's metadata.",
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels for the Ingress, in addition to those of the operator."
    )


class ParentReference(Model):
    """Parent of an HTTPRoute: a Gateway, or one listener of it."""

    group: Annotated[str, matching(DNS_NAME, 253, "write an API group such as gateway.networking.k8s.io")] = Field(
        default="gateway.networking.k8s.io",
        description="API group of the parent. Defaults to gateway.networking.k8s.io.",
    )
    kind: Annotated[str, matching("[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?", 63, "write a kind such as Gateway")] = Field(
        default="Gateway", description="Kind of the parent. Defaults to Gateway."
    )
    name: ObjectName = Field(description="Its name.")
    namespace: (
        Annotated[
            str,
            matching(NAMESPACE, 63, "write the name of a namespace: lower case letters, digits and -"),
        ]
        | None
    ) = Field(
        default=None,
        description="Namespace of the parent, which must allow routes from this namespace. Defaults to this namespace.",
    )
    sectionName: ObjectName | None = Field(
        default=None, description="Name of one listener. If omitted, every listener that matches the hosts."
    )


class HTTPRouteOptions(Model):
    """An HTTPRoute for the hosts, beside the Ingress or, with `ingress.enabled: false`, instead of it."""

    parentRefs: tuple[ParentReference, ...] = Field(
        min_length=1, max_length=16, description="Gateways that route the hosts; at least one."
    )
    annotations: Annotations = Field(
        default_factory=dict, description="Annotations for the HTTPRoute; those of this object are not copied."
    )
    labels: Labels = Field(
        default_factory=dict, description="Labels for the HTTPRoute, in addition to those of the operator."
    )


NEEDS_CLUSTER_IP = "type NodePort and LoadBalancer need clusterIP: Auto"


class ServiceOptions(Model):
    """Options of the Service; the default is headless, as in the predecessor."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.type) || self.type == 'ClusterIP' || (has(self.clusterIP) && self.clusterIP == 'Auto')",
                NEEDS_CLUSTER_IP,
                field=".type",
            )
        )
    )

    clusterIP: Literal["None", "Auto"] = Field(
        default="None",
        description="None: headless, the name resolves to the addresses. Auto: the cluster allocates an "
        "address of its own. It cannot change after creation.",
    )
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP",
        description="ClusterIP: reachable inside the cluster only. NodePort: also a port of every node, which the "
        "cluster chooses. LoadBalancer: also a load balancer of the infrastructure. The latter two need "
        "clusterIP: Auto.",
    )
    annotations: Annotations = Field(default_factory=dict, description="Annotations for the Service.")
    labels: Labels = Field(
        default_factory=dict, description="Labels for the Service, in addition to those of the operator."
    )


class ExternalServiceSpec(Model):
    """The desired state. Without `readinessProbe` every address is ready; without `hosts` there is no Ingress."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.port) != has(self.ports)", ONE_OF_PORTS, field=".port"),
            rule(_HOST_PORT, NO_SUCH_PORT, field=".hosts"),
            rule(
                f"!has(self.httpRoute) || !has(self.hosts) || self.hosts.all(h, {_ROUTABLE})",
                NO_ROUTE_PATH,
                field=".hosts",
            ),
            rule(
                "!has(self.disabledIPs) || self.disabledIPs.all(one, (has(self.ips) && one in self.ips) "
                "|| (has(self.hostnames) && self.hostnames.size() > 0 && isIP(one) && ip.isCanonical(one)))",
                "write only addresses that stand in spec.ips too",
                shown="'write only addresses that stand in spec.ips too' + (has(self.hostnames) && "
                "self.hostnames.size() > 0 ? ', or, in canonical form, such as spec.hostnames resolve to' : '')",
                field=".disabledIPs",
            ),
            rule(
                f"{_cluster_ip('self')} == {_cluster_ip('oldSelf')}",
                "the cluster IP of a Service cannot change: delete this ExternalService and create it again",
                field=".service.clusterIP",
            ),
        )
    )

    port: Port | None = Field(
        default=None,
        description="Port of the Service and of every address, a number from 1 to 65535; "
        "for several ports, write ports instead.",
    )
    ports: (
        Annotated[
            tuple[ServicePort, ...],
            Field(
                json_schema_extra={
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "x-kubernetes-validations": [
                        rule(
                            "self.all(p, self.exists_one(q, q.port == p.port) && self.exists_one(q, "
                            "(has(q.targetPort) ? q.targetPort : q.port) == "
                            "(has(p.targetPort) ? p.targetPort : p.port)))",
                            SAME_PORT,
                        )
                    ],
                }
            ),
        ]
        | None
    ) = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="Named ports of the Service and the ports of every address that they lead to; 16 at most.",
    )
    ips: Annotated[tuple[IP, ...], FailFast(), AS_SET] = Field(
        default=(),
        max_length=MAX_ADDRESSES,
        description="Addresses outside the cluster, IPv4 or IPv6, in canonical form, without duplicates; 1000 at most.",
    )
    hostnames: Annotated[tuple[Hostname, ...], AS_SET] = Field(
        default=(),
        max_length=16,
        description="DNS names outside the cluster: the addresses they resolve to are probed and published in "
        "addition to ips; 16 names at most, of each the first 64 addresses.",
    )
    addressFamilies: Annotated[tuple[Family, ...], AS_SET] = Field(
        default=(),
        max_length=2,
        description="Of spec.hostnames: the families that are looked up, probed and published, IPv4, IPv6 or both; "
        "none: both.",
    )
    hosts: Annotated[tuple[Host, ...], FailFast()] = Field(
        default=(),
        max_length=256,
        description="Hosts to route from outside the cluster. If omitted, neither an Ingress nor an "
        "HTTPRoute is created.",
    )
    readinessProbe: Probe | None = Field(
        default=None, description="Probe of each address. If omitted, every address is ready."
    )
    ingress: IngressOptions | None = Field(default=None, description="Options of the Ingress; needs hosts.")
    httpRoute: HTTPRouteOptions | None = Field(
        default=None, description="An HTTPRoute of the Gateway API for the hosts, where the operator offers it."
    )
    service: ServiceOptions | None = Field(default=None, description="Options of the Service.")
    disabledIPs: Annotated[
        tuple[Annotated[str, Field(max_length=64)], ...],
        FailFast(),
        AS_SET,
    ] = Field(
        default=(),
        max_length=250,
        description="Addresses to drain: still probed, not ready, used only if no other address is ready; 250 at most.",
    )
    minReady: MinReady = Field(
        default=0,
        description="With fewer ready addresses than this (a number such as 1, or a share of the enabled ones such as "
        "50%) all enabled ones are published as ready: fail open. 0: never, fail closed.",
    )

    @property
    def families(self) -> tuple[Family, ...]:
        """Those of the hostnames, IPv4 first."""
        return tuple(family for family in FAMILIES if family in (self.addressFamilies or FAMILIES))

    @cached_property
    def disabled(self) -> frozenset[str]:
        """`disabledIPs`."""
        return frozenset(self.disabledIPs)

    @cached_property
    def service_ports(self) -> tuple[ServicePort, ...]:
        """`ports`, or `port` as one without a name."""
        if self.ports is not None:
            return self.ports
        return () if self.port is None else (ServicePort.model_construct(name="", port=self.port),)

    def port_of(self, host: Host) -> ServicePort | None:
        """The port that a host is routed to; None if there is none of protocol TCP."""
        found = self.service_ports[:1] if host.port is None else self.ports or ()
        named = (one for one in found if host.port in (None, one.name, one.port))
        return next((one for one in named if one.protocol == "TCP"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressStatus:
    """State of one address. It changes on transitions only, not on each probe (R3).

    `message` is the evidence at the last transition. `serving` is set only with reason Disabled: the result of the
    probe of a drained address, which is never `ready`. A dataclass takes half the time and a third of the memory of a
    Model.
    """

    ip: str = Field(max_length=64, description="The address, as written in spec.ips or as its name resolves.")
    ready: StrictBool = Field(description="Whether it is healthy and not disabled.")
    reason: Reason = Field(
        description="Why it is ready or not: ProbeSucceeded, ProbeFailed, Pending, NoProbe, Disabled or Denied."
    )
    message: str = Field(
        default="", max_length=512, description="Result of the probe at the last transition, such as HTTP 200."
    )
    lastTransitionTime: str = Field(max_length=64, description="When it last changed, RFC 3339 in UTC.")
    serving: StrictBool | None = Field(
        default=None, description="With reason Disabled only: whether the probe succeeds."
    )
    hostname: str | None = Field(
        default=None, max_length=253, description="The first of spec.hostnames that resolves to it, if one does."
    )

    @property
    def healthy(self) -> bool:
        """Result of the probe, drained or not."""
        return self.ready if self.serving is None else self.serving


class Condition(Model):
    """One condition, by the conventions of the Kubernetes API (meta/v1)."""

    type: str = Field(
        max_length=316,
        description="Type of the condition: Ready, Accepted, FailOpen, Resolved, ProbesDelayed, SuspectedOutage.",
    )
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=1_024, description="Machine-readable reason of the status.")
    message: str = Field(default="", max_length=32_768, description="Details for people.")
    lastTransitionTime: str = Field(max_length=64, description="When status last changed, RFC 3339 in UTC.")
    observedGeneration: int = Field(
        default=0, strict=True, description="metadata.generation that the condition describes."
    )


class ChildProblem(Model):
    """The hook's part of the status (R9): a child that is not as wanted, and why."""

    kind: str = Field(max_length=63, description="Kind of the object, such as Service.")
    name: str = Field(max_length=253, description="Its name.")
    problem: str = Field(max_length=1_024, description="What is wrong, and what to do.")
    reason: ChildReason = Field(
        default="Absent",
        description="Absent: it does not exist or has another owner. NotListed: the CompositeController does "
        "not list its kind. Edited: it was edited by hand and cannot be reverted.",
    )


class ExternalServiceStatus(Model):
    """Written by the sidecar alone, but for `observedGeneration` (Metacontroller) and `children` (the hook)."""

    revision: int = Field(
        default=0,
        ge=0,
        description="Increases by one with each write of results; a write with an older revision is refused as stale.",
    )
    ready: str = Field(default="", max_length=32, description="Ready addresses / enabled addresses.")
    summary: str = Field(
        default="",
        max_length=MAX_SUMMARY,
        description="The most important problem in a few words; OK if there is none.",
    )
    hosts: str = Field(default="", max_length=320, description="The first of spec.hosts, and how many more there are.")
    ips: str = Field(default="", max_length=320, description="The first addresses, and how many more there are.")
    addresses: Annotated[tuple[AddressStatus, ...], FailFast()] = Field(
        default=(),
        max_length=MAX_ADDRESSES,
        description="State of each address: spec.ips in their order, then those of spec.hostnames.",
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=MAX_CONDITIONS,
        description="Ready, Accepted, FailOpen, Resolved, ProbesDelayed, SuspectedOutage.",
    )
    children: tuple[ChildProblem, ...] = Field(
        default=(),
        max_length=64,
        description="Children that differ from the desired state; absent if there are none.",
    )
    observedGeneration: int = Field(default=0, description="metadata.generation that the children correspond to.")


class ExternalService(Model):
    """Addresses outside the cluster, health-checked and published as a Service with Endpoints and an Ingress."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"(self.metadata.name.size() <= 63 && self.metadata.name.matches({quoted(SERVICE_NAME)}))",
                NO_SERVICE_NAME,
                field=".metadata.name",
                at_creation_only=True,
            ),
            rule(
                f"{_revision('self')} > {_revision('oldSelf')} || ({_revision('self')} == {_revision('oldSelf')} "
                f"&& {_has_addresses('self')} == {_has_addresses('oldSelf')} "
                f"&& (!{_has_addresses('self')} || self.status.addresses == oldSelf.status.addresses))",
                STALE_STATUS,
                field=".status.revision",
            ),
        )
    )

    apiVersion: Literal["eso.crowdfox.com/v1alpha1"]
    kind: Literal["ExternalService"]
    metadata: ObjectMeta
    spec: ExternalServiceSpec = Field(description="Desired state: addresses, port, hosts and probe.")
    status: ExternalServiceStatus = Field(
        default=ExternalServiceStatus(), description="Observed state, written by the operator."
    )
