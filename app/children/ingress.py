"""The Ingress (networking.k8s.io/v1) of an ExternalService: one rule a host, all of them to the Service."""

from collections.abc import Mapping, Sequence

from app.children.metadata import Manifest, object_meta
from external_service.v1alpha1 import ExternalService, Host, IngressOptions, IngressTLS


def wanted(parent: ExternalService) -> bool:
    """Whether it gets an Ingress: not without hosts, nor where `spec.ingress` says so."""
    return bool(parent.spec.hosts) and (parent.spec.ingress is None or parent.spec.ingress.enabled)


def desired(parent: ExternalService, annotations: Mapping[str, str]) -> Manifest:
    """The Ingress as the API server stores it, with these annotations.

    Rules and paths are in the order of `spec.hosts`; a duplicate counts once. Needs a parent that wants one and is
    without `child_problems`.
    """
    options = parent.spec.ingress or IngressOptions()
    spec: Manifest = {"ingressClassName": options.className} if options.className else {}
    spec["rules"] = _rules(parent)
    if options.tls:
        named = {host for entry in options.tls for host in entry.hosts}
        others = [host for host in dict.fromkeys(host.host for host in parent.spec.hosts) if host not in named]
        spec["tls"] = [_tls(entry, others) for entry in options.tls]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": object_meta(parent, options.labels, annotations),
        "spec": spec,
    }


def annotations(parent: ExternalService, uncopied: tuple[str, ...]) -> dict[str, str]:
    """Of the Ingress: those of the ExternalService that begin with none of `uncopied`, then those of `spec.ingress`."""
    copied = {key: value for key, value in parent.metadata.annotations.items() if not key.startswith(uncopied)}
    return copied if parent.spec.ingress is None else {**copied, **parent.spec.ingress.annotations}


def _rules(parent: ExternalService) -> list[Manifest]:
    paths: dict[str, list[Manifest]] = {}
    for host in dict.fromkeys(parent.spec.hosts):
        port = parent.spec.port_of(host)
        assert port is not None  # noqa: S101 - child_problems refuses it
        backend = {"service": {"name": parent.metadata.name, "port": {"number": port.port}}}
        paths.setdefault(host.host, []).append(_path(host, backend))
    return [{"host": host, "http": {"paths": of_host}} for host, of_host in paths.items()]


def _path(host: Host, backend: Manifest) -> Manifest:
    path = {"path": host.path} if host.path else {}
    return {**path, "pathType": host.pathType, "backend": backend}


def _tls(entry: IngressTLS, others: Sequence[str]) -> Manifest:
    """`others`: the hosts that no entry names, for one that names none: certificate tools read this list."""
    hosts = list(entry.hosts or others)
    tls: Manifest = {"hosts": hosts} if hosts else {}
    if entry.secretName:
        tls["secretName"] = entry.secretName
    return tls
