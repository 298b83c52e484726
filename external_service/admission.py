"""Values of an ExternalService, or of one of its children, that the API server refuses, beyond the schema. Pure.

The CRD's CEL rules say the same at the door; this is for what comes past them (an older CRD) and for work without a
cluster. Sources: kubernetes:staging/src/k8s.io/apimachinery/pkg/util/validation and pkg/apis/networking/validation.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from external_service.core import Probe
from external_service.kind import DNS_NAME, SERVICE_NAME, is_ip
from external_service.policy import AddressPolicy, form_refusal
from external_service.v1alpha1 import (
    ADDRESS_AMONG_HOSTNAMES,
    IPV4_LIKE,
    LABEL_TOO_LONG,
    NEEDS_CLUSTER_IP,
    NO_ADDRESS,
    NO_DNS_NAME,
    NO_HOSTNAME,
    NO_PATH,
    NO_ROUTE_PATH,
    NO_SERVICE_NAME,
    NO_SUCH_PORT,
    ONE_OF_PORTS,
    RESERVED_LABELS,
    ROUTE_PATH,
    SAME_PORT,
    UNRESOLVED_PATH,
    ExternalService,
    ExternalServiceSpec,
    IngressOptions,
)

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
SNIPPETS = ("-snippet", "-snippets")

_SUBDOMAIN = re.compile(DNS_NAME)
_SERVICE_NAME = re.compile(SERVICE_NAME)
_IPV4_LIKE = re.compile(IPV4_LIKE)
_LONG_LABEL = re.compile("[^.]{64}")
_UNRESOLVED = re.compile(UNRESOLVED_PATH)
_ROUTE_PATH = re.compile(ROUTE_PATH)


def address_problems(spec: ExternalServiceSpec, *, loopback: bool) -> Iterator[str]:
    """Addresses and names that cannot be published, are duplicates, or are drained without being in the spec."""
    yield from _list_problems("ips", spec.ips, AddressPolicy(loopback=loopback).refusal)
    yield from _list_problems("hostnames", spec.hostnames, hostname_problem)
    yield from _list_problems("disabledIPs", spec.disabledIPs, partial(_not_among, spec=spec))


@dataclass(frozen=True, slots=True)
class Features:
    """Features of this installation that expose much (docs/security.md)."""

    body_contains: bool = True
    probe_secrets: bool = False


NO_BODY_CONTAINS = (
    "spec.readinessProbe.httpGet.bodyContains: the operator of this cluster has switched it off, remove it "
    "(or set ESO_BODY_CONTAINS=true: docs/security.md)"
)


NO_SNIPPET = (
    "the operator of this cluster allows no *-snippet annotation on an Ingress, remove it "
    "(or set ESO_SNIPPET_ANNOTATIONS=true: docs/security.md)"
)


NO_SECRETS = (
    "the operator of this cluster allows no Secrets in probes, remove it (or set ESO_PROBE_SECRETS=true: "
    "docs/security.md)"
)


def switched_off(spec: ExternalServiceSpec, features: Features) -> list[str]:
    """The fields that this installation does not offer. They are refused: a probe without them would be another one."""
    probe = spec.readinessProbe
    http = probe.httpGet if probe is not None else None
    problems = [NO_BODY_CONTAINS] if http is not None and http.bodyContains and not features.body_contains else []
    if probe is not None and not features.probe_secrets:
        problems += [f"spec.readinessProbe.{at}: {NO_SECRETS}" for at in _secrets(probe)]
    return problems


def _secrets(probe: Probe) -> Iterator[str]:
    """The fields that name a Secret."""
    at = "httpGet" if probe.httpGet is not None else "grpc"
    for name in ("caSecret", "clientCertificateSecret"):
        if getattr(probe.tls, name, None) is not None:
            yield f"{at}.tls.{name}"
    for index, header in enumerate(probe.httpGet.httpHeaders if probe.httpGet is not None else ()):
        if header.valueFrom is not None:
            yield f"{at}.httpHeaders[{index}].valueFrom"


def snippet_problems(annotations: Mapping[str, str], parent: ExternalService) -> list[str]:
    """Annotations of the Ingress that are configuration of the ingress controller itself (CVE-2021-25742)."""
    own = parent.spec.ingress.annotations if parent.spec.ingress is not None else {}
    found = [key for key in annotations if key.lower().endswith(SNIPPETS)]
    return [
        f"{join('spec.ingress.annotations' if key in own else 'metadata.annotations', key)}: {NO_SNIPPET}"
        for key in found
    ]


def join(path: str, part: str) -> str:
    """`path` with one more field; a key with a dot or a slash is in brackets."""
    if "." in part or "/" in part:
        return f'{path}["{part}"]'
    return f"{path}.{part}" if path else part


def shown(value: object) -> str:
    """The value as the user wrote it, if short; of a list or mapping no more than what it is."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{len(str(value))} characters"


def _list_problems(name: str, entries: Sequence[str], problem_of: Callable[[str], str | None]) -> Iterator[str]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        problem = f"Duplicate value: {entry}: remove one" if entry in seen else problem_of(entry)
        if problem is not None:
            yield f"spec.{name}[{index}]: {problem}"
        seen.add(entry)


def _not_among(ip: str, spec: ExternalServiceSpec) -> str | None:
    """With names, any address may be one that they resolve to."""
    if ip in spec.ips:
        return None
    if not spec.hostnames:
        return f"{shown(ip)} is none of spec.ips: write only addresses that stand in spec.ips too"
    return form_refusal(ip)


def child_problems(parent: ExternalService) -> Iterator[str]:
    """Values for which the API server refuses a child, except addresses, which are judged one by one (design R8)."""
    name = parent.metadata.name
    yield from _judged("metadata.name", service_name_problem(name), name)
    yield from _port_problems(parent.spec)
    for index, host in enumerate(parent.spec.hosts):
        at = f"spec.hosts[{index}]"
        yield from _judged(f"{at}.host", host_problem(host.host), host.host)
        problem = path_problem(host.path, host.pathType)
        if parent.spec.httpRoute is not None:
            problem = problem or route_path_problem(host.path)
        yield from _judged(f"{at}.path", problem, host.path)
    if (service := parent.spec.service) is not None:
        yield from _reserved("spec.service.labels", service.labels)
        if service.type != "ClusterIP" and service.clusterIP != "Auto":
            yield f"spec.service.type: {NEEDS_CLUSTER_IP} (got {shown(service.type)})"
    if (ingress := parent.spec.ingress) is not None:
        yield from _reserved("spec.ingress.labels", ingress.labels)
        yield from _ingress_problems(ingress, parent.metadata.annotations)
    if (route := parent.spec.httpRoute) is not None:
        yield from _reserved("spec.httpRoute.labels", route.labels)


def _port_problems(spec: ExternalServiceSpec) -> Iterator[str]:
    if (spec.port is None) is (spec.ports is None):
        yield f"spec.port: {ONE_OF_PORTS}"
        return
    names: set[str] = set()
    for index, one in enumerate(spec.ports or ()):
        if one.name in names:
            yield f"spec.ports[{index}]: Duplicate value: {shown(one.name)}"
        names.add(one.name)
    for numbers in ([one.port for one in spec.ports or ()], [one.target for one in spec.ports or ()]):
        if len(set(numbers)) < len(numbers):
            yield f"spec.ports: {SAME_PORT}"
            break
    for index, host in enumerate(spec.hosts):
        if spec.port_of(host) is None:
            yield f"spec.hosts[{index}].port: {NO_SUCH_PORT} (got {shown(host.port)})"


def _ingress_problems(options: IngressOptions, inherited: Mapping[str, str]) -> Iterator[str]:
    annotated = {**inherited, **options.annotations}.get(CLASS_ANNOTATION)
    if options.className and annotated not in (None, options.className):
        better = f"write {shown(annotated)}, or remove the annotation {CLASS_ANNOTATION}"
        yield from _judged("spec.ingress.className", better, options.className)
    for index, tls in enumerate(options.tls):
        for number, host in enumerate(tls.hosts):
            yield from _judged(f"spec.ingress.tls[{index}].hosts[{number}]", host_problem(host), host)


def _reserved(at: str, labels: Mapping[str, str]) -> Iterator[str]:
    for key in labels:
        if key in RESERVED_LABELS:
            yield f"{join(at, key)}: the operator sets this label itself, remove it"


def _judged(path: str, problem: str | None, value: object) -> Iterator[str]:
    if problem is not None:
        yield f"{path}: {problem} (got {shown(value)})"


def service_name_problem(name: str) -> str | None:
    """A DNS-1035 label; newer API servers also take a digit in front, the oldest supported (1.31) does not."""
    if len(name) <= 63 and _SERVICE_NAME.fullmatch(name):
        return None
    return NO_SERVICE_NAME


def host_problem(host: str) -> str | None:
    """The host of an Ingress: a DNS-1123 subdomain, `*.` allowed before it, that does not read as an address."""
    if _IPV4_LIKE.fullmatch(host):
        return NO_ADDRESS
    if len(host) <= 253 and _SUBDOMAIN.fullmatch(host.removeprefix("*.")):
        return None
    return NO_DNS_NAME


def hostname_problem(name: str) -> str | None:
    """A name to resolve: a DNS-1123 subdomain that DNS can carry and that does not read as an address."""
    if _IPV4_LIKE.fullmatch(name) or is_ip(name):
        return ADDRESS_AMONG_HOSTNAMES
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        return NO_HOSTNAME
    if _LONG_LABEL.search(name):
        return LABEL_TOO_LONG
    return None


def path_problem(path: str, path_type: str) -> str | None:
    """The path of an Ingress rule. Only ImplementationSpecific may go without, and is not looked into further."""
    if path and not path.startswith("/"):
        return NO_PATH
    if path_type == "ImplementationSpecific":
        return None
    if not path:
        return f'pathType {path_type} needs a path: write "/" for every path'
    if _UNRESOLVED.search(path):
        return f'pathType {path_type} takes no "//", "/./", "/../" or "%2F" in the path: write it resolved'
    return None


def route_path_problem(path: str) -> str | None:
    """The path of an HTTPRoute match, of type Exact or PathPrefix (HTTPPathMatch in the CRD of the Gateway API)."""
    if _ROUTE_PATH.fullmatch(path) and not _UNRESOLVED.search(path):
        return None
    return NO_ROUTE_PATH
