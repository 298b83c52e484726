"""ExternalService, version v1alpha1: the one kind that users write.

Addresses are plain strings here: whether one may be published or probed is judged per address (`app.api.policy`),
so that a single bad one never freezes the others (design R8).
"""

from typing import Annotated, Literal

from pydantic import Field

from app.api.core import Model, ObjectMeta, Port, Probe

GROUP = "eso.crowdfox.com"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ExternalService"
PLURAL = "externalservices"
SINGULAR = "externalservice"
SHORT_NAME = "extsvc"

MAX_ADDRESSES = 1_000
MAX_HOSTS = 256

PathType = Literal["Exact", "Prefix", "ImplementationSpecific"]
Reason = Literal["ProbeSucceeded", "ProbeFailed", "Pending", "NoProbe", "Disabled", "Denied"]
IP = Annotated[str, Field(max_length=64)]


class Host(Model):
    """One rule of the Ingress: a DNS name (or `*.` wildcard) and a path that is empty or begins with "/"."""

    host: str = Field(max_length=253)
    path: str = Field(default="", max_length=1_024)
    pathType: PathType = "ImplementationSpecific"


class IngressTLS(Model):
    """TLS of the Ingress: the hosts that the certificate in `secretName` is for."""

    hosts: tuple[str, ...] = Field(default=(), max_length=MAX_HOSTS)
    secretName: str = Field(default="", max_length=253)


class IngressOptions(Model):
    """What the Ingress gets beside the hosts and the annotations copied from the ExternalService."""

    className: str | None = Field(default=None, max_length=253)
    tls: tuple[IngressTLS, ...] = Field(default=(), max_length=64)
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class ServiceOptions(Model):
    """`clusterIP: None` (headless, the default) or `Auto` (the cluster gives the Service an address of its own)."""

    clusterIP: Literal["None", "Auto"] = "None"
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class ExternalServiceSpec(Model):
    """The user's wish. Without `readinessProbe` every address is ready; without `hosts` there is no Ingress."""

    port: Port
    ips: tuple[IP, ...] = Field(default=(), max_length=MAX_ADDRESSES)
    hosts: tuple[Host, ...] = Field(default=(), max_length=MAX_HOSTS)
    readinessProbe: Probe | None = None
    ingress: IngressOptions | None = None
    service: ServiceOptions | None = None
    disabledIPs: tuple[IP, ...] = Field(default=(), max_length=MAX_ADDRESSES)
    minReady: Annotated[int, Field(strict=True, ge=0)] | Annotated[str, Field(pattern=r"^(100|[0-9]{1,2})%$")] = 0


class AddressStatus(Model):
    """What is known of one address. It changes on transitions only, never on a probe that changed nothing (R3).

    `message` is the evidence at the last transition. `serving` stands only with reason Disabled: what the probe
    says of an address that is drained, and therefore never `ready`.
    """

    ip: str
    ready: bool
    reason: Reason
    message: str = ""
    lastTransitionTime: str
    serving: bool | None = None

    @property
    def healthy(self) -> bool:
        """What the probe says, drained or not."""
        return self.ready if self.serving is None else self.serving


class Condition(Model):
    """meta/v1 Condition."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    lastTransitionTime: str
    observedGeneration: int = 0


class ChildProblem(Model):
    """The hook's part of the status (R9): a child that could not be had, and why."""

    kind: str
    name: str
    problem: str


class ExternalServiceStatus(Model):
    """Written by the sidecar alone, but for `observedGeneration` (Metacontroller) and `children` (the hook)."""

    revision: int = Field(default=0, ge=0)
    ready: str = ""
    addresses: tuple[AddressStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    children: tuple[ChildProblem, ...] = ()
    observedGeneration: int = 0


class ExternalService(Model):
    """One ExternalService as read from the API server or from a sync request."""

    apiVersion: Literal["eso.crowdfox.com/v1alpha1"]
    kind: Literal["ExternalService"]
    metadata: ObjectMeta
    spec: ExternalServiceSpec
    status: ExternalServiceStatus = ExternalServiceStatus()
