"""The resources that are served: names, scope, subresources, what bumps a generation. Data only."""

from dataclasses import dataclass

METADATA_FIELDS = frozenset({"metadata.name", "metadata.namespace"})
EVENT_FIELDS = METADATA_FIELDS | {
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "type",
    "source",
    "reportingComponent",
}


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource. `generation`: metadata.generation exists and grows with every change outside status."""

    group: str
    version: str
    plural: str
    kind: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    status: bool = False
    generation: bool = False
    custom: bool = False
    fields: frozenset[str] = METADATA_FIELDS
    warning: str = ""
    categories: tuple[str, ...] = ()
    storage: tuple[str, str] | None = None

    @property
    def api_version(self) -> str:
        """`v1`, or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """The URL prefix of the group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def key(self) -> tuple[str, str]:
        """Group and plural of what is stored; `storage` where that is another resource's."""
        return self.storage or (self.group, self.plural)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", "namespace", ("ns",), namespaced=False, status=True)
SERVICES = Resource("", "v1", "services", "Service", "service", ("svc",), status=True, categories=("all",))
ENDPOINTS = Resource(
    "",
    "v1",
    "endpoints",
    "Endpoints",
    "endpoints",
    ("ep",),
    warning="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
)
EVENTS = Resource("", "v1", "events", "Event", "event", ("ev",), fields=EVENT_FIELDS)
NEW_EVENTS = Resource("events.k8s.io", "v1", "events", "Event", "event", ("ev",), storage=EVENTS.key)
INGRESSES = Resource(
    "networking.k8s.io", "v1", "ingresses", "Ingress", "ingress", ("ing",), status=True, generation=True
)
ENDPOINT_SLICES = Resource(
    "discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", "endpointslice", generation=True
)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", "configmap", ("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret", "secret")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", "lease")

STORED = "the playground stores this object and does nothing with it"


def _stored(group: str, version: str, kind: str, plural: str, *short_names: str, namespaced: bool = True) -> Resource:
    """A kind that only `kubectl apply -k metacontroller` and its components bring: kept, shown, never acted upon."""
    return Resource(
        group, version, plural, kind, kind.lower(), short_names, namespaced=namespaced, generation=True, warning=STORED
    )


_RBAC, _META = "rbac.authorization.k8s.io", "metacontroller.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
STORED_ONLY = (
    _stored("", "v1", "ServiceAccount", "serviceaccounts", "sa"),
    _stored("apps", "v1", "Deployment", "deployments", "deploy"),
    _stored("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb"),
    _stored("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol"),
    _stored(_RBAC, "v1", "Role", "roles"),
    _stored(_RBAC, "v1", "RoleBinding", "rolebindings"),
    _stored(_RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False),
    _stored(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    _stored(_ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False),
    _stored(
        _ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", namespaced=False
    ),
    _stored(_ADMISSION, "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", namespaced=False),
    _stored(_ADMISSION, "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", namespaced=False),
    _stored(
        "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd", namespaced=False
    ),
    _stored(_META, "v1alpha1", "CompositeController", "compositecontrollers", "cctl", namespaced=False),
)

BUILTIN = (
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
)
