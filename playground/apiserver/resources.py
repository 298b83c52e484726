"""The resources that are served: names, scope, subresources, and of our own kind the schema. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from external_service.crd import custom_resource_definition


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource. `generation`: metadata.generation exists and increases with every change outside status.

    `schema` and `columns` (additionalPrinterColumns) are those of a CustomResourceDefinition. `storage` is the key of
    another resource that the objects are stored as. `warnings` are sent with every response.
    """

    group: str
    version: str
    plural: str
    kind: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    status: bool = False
    generation: bool = False
    warnings: tuple[str, ...] = ()
    storage: tuple[str, str] | None = None
    schema: Mapping[str, Any] = field(default_factory=dict, compare=False)
    columns: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)

    @property
    def api_version(self) -> str:
        """`v1`, or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """The URL prefix of the group and version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def qualified(self) -> str:
        """`services`, or `externalservices.eso.crowdfox.com`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def key(self) -> tuple[str, str]:
        """Group and plural of what is stored."""
        return self.storage or (self.group, self.plural)

    @property
    def custom(self) -> bool:
        """Whether a CustomResourceDefinition defines it."""
        return bool(self.schema)


def _defined(crd: Mapping[str, Any]) -> Resource:
    """The resource of an apiextensions.k8s.io/v1 CustomResourceDefinition with one version."""
    spec, names = crd["spec"], crd["spec"]["names"]
    [version] = spec["versions"]
    return Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        tuple(names["shortNames"]),
        status=True,
        generation=True,
        schema=version["schema"]["openAPIV3Schema"],
        columns=tuple(version["additionalPrinterColumns"]),
    )


EXTERNAL_SERVICES = _defined(custom_resource_definition())
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", ("ns",), namespaced=False, status=True)
SERVICES = Resource("", "v1", "services", "Service", ("svc",), status=True)
DEPRECATED = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", ("ep",), warnings=(DEPRECATED,))
EVENTS = Resource("", "v1", "events", "Event", ("ev",))
NEW_EVENTS = Resource("events.k8s.io", "v1", "events", "Event", ("ev",), storage=EVENTS.key)
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", ("ing",), status=True, generation=True)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation=True)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", ("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")

STORED = "the playground stores this object and does nothing with it"


def _stored(group: str, kind: str, *short_names: str, version: str = "v1", namespaced: bool = True) -> Resource:
    """A kind that only `kubectl apply -k metacontroller` and its components bring: kept and shown, never acted upon."""
    plural = f"{kind.lower().removesuffix('y')}{'ies' if kind.endswith('y') else 's'}"
    return Resource(
        group, version, plural, kind, short_names, namespaced=namespaced, generation=True, warnings=(STORED,)
    )


_RBAC, _ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
STORED_ONLY = (
    _stored("", "ServiceAccount", "sa"),
    _stored("apps", "Deployment", "deploy"),
    _stored("policy", "PodDisruptionBudget", "pdb"),
    _stored("networking.k8s.io", "NetworkPolicy", "netpol"),
    _stored(_RBAC, "Role"),
    _stored(_RBAC, "RoleBinding"),
    _stored(_RBAC, "ClusterRole", namespaced=False),
    _stored(_RBAC, "ClusterRoleBinding", namespaced=False),
    _stored(_ADMISSION, "ValidatingAdmissionPolicy", namespaced=False),
    _stored(_ADMISSION, "ValidatingAdmissionPolicyBinding", namespaced=False),
    _stored(_ADMISSION, "MutatingAdmissionPolicy", namespaced=False),
    _stored(_ADMISSION, "MutatingAdmissionPolicyBinding", namespaced=False),
    _stored("apiextensions.k8s.io", "CustomResourceDefinition", "crd", namespaced=False),
    _stored("metacontroller.k8s.io", "CompositeController", "cctl", version="v1alpha1", namespaced=False),
)

SERVED = (
    NAMESPACES,
    SERVICES,
    ENDPOINTS,
    EVENTS,
    NEW_EVENTS,
    INGRESSES,
    ENDPOINT_SLICES,
    LEASES,
    CONFIG_MAPS,
    SECRETS,
    *STORED_ONLY,
    EXTERNAL_SERVICES,
)
