"""Values of an ExternalService, or of one of its children, that the API server refuses, beyond the schema. Pure.

The CRD's CEL rules say the same at the door; this is for what comes past them (an older CRD) and for work without a
cluster.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from external_service import syntax
from external_service.core import Probe
from external_service.policy import AddressPolicy, form_refusal
from external_service.schema import join
from external_service.v1alpha1 import (
    NEEDS_CLUSTER_IP,
    NO_SUCH_PORT,
    ONE_OF_PORTS,
    RESERVED_LABELS,
    SAME_PORT,
    ExternalService,
    ExternalServiceSpec,
    IngressOptions,
)

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
SNIPPETS = ("-snippet", "-snippets")


def child_problems(parent: ExternalService) -> list[str]:
    """Values for which the API server refuses a child, except addresses, which are judged one by one (design R8)."""
    return list(_child_problems(parent))


def address_problems(spec: ExternalServiceSpec, *, loopback: bool) -> list[str]:
    """Addresses and names that cannot be published, are duplicates, or are drained without being in the spec."""
    return [
        *_list_problems("ips", spec.ips, AddressPolicy(loopback=loopback).refusal),
        *_list_problems("hostnames", spec.hostnames, syntax.hostname_problem),
        *_list_problems("disabledIPs", spec.disabledIPs, partial(_not_among, spec=spec)),
    ]


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


def shown(value: object) -> str:
    """The value as the user wrote it, if short; of a list or mapping no more than what it is."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{len(str(value))} characters"


def duplicate(entry: str) -> str:
    """For an entry that is in its list already."""
    return f"Duplicate value: {entry}: remove one"


def _list_problems(name: str, entries: Sequence[str], problem_of: Callable[[str], str | None]) -> Iterator[str]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        problem = duplicate(entry) if entry in seen else problem_of(entry)
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


def _child_problems(parent: ExternalService) -> Iterator[str]:
    name = parent.metadata.name
    yield from _judged("metadata.name", syntax.service_name_problem(name), name)
    yield from _port_problems(parent.spec)
    for index, host in enumerate(parent.spec.hosts):
        at = f"spec.hosts[{index}]"
        yield from _judged(f"{at}.host", syntax.host_problem(host.host), host.host)
        problem = syntax.path_problem(host.path, host.pathType)
        if parent.spec.httpRoute is not None:
            problem = problem or syntax.route_path_problem(host.path)
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
            yield from _judged(f"spec.ingress.tls[{index}].hosts[{number}]", syntax.host_problem(host), host)


def _reserved(at: str, labels: Mapping[str, str]) -> Iterator[str]:
    for key in labels:
        if key in RESERVED_LABELS:
            yield f"{join(at, key)}: the operator sets this label itself, remove it"


def _judged(path: str, problem: str | None, value: object) -> Iterator[str]:
    if problem is not None:
        yield f"{path}: {problem} (got {shown(value)})"
