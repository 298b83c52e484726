"""ExternalServices in a file to their children in text, without a cluster, as `helm template` does. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import yaml

from app.children.metadata import Manifest
from app.sync import SyncOptions, desired_children
from external_service.manifest import Document, Manifests
from external_service.policy import AddressPolicy
from external_service.readiness import resolved_by

Format = Literal["yaml", "json"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The children, and what was worth a warning."""

    children: list[Manifest]
    warnings: tuple[str, ...]


def children(manifests: Manifests, options: SyncOptions) -> Rendered:
    """The children of every ExternalService in a file.

    Addresses are published as the status in the file says; without one they are not ready, and names have none, because
    no DNS server is asked. Loopback addresses and Secrets in probes are allowed. Raises InvalidRequest.
    """
    features = replace(options.features, probe_secrets=True)
    here = replace(options, policy=replace(options.policy, loopback=True), features=features)
    documents, passed_over = manifests
    made = [child for document in documents for child in desired_children(document.parent, here).children]
    warnings = (line for document in documents for line in (*document.warnings, *_left_out(document, here.policy)))
    return Rendered(made, (*passed_over, *warnings))


def _left_out(document: Document, policy: AddressPolicy) -> Iterator[str]:
    spec, told = document.parent.spec, document.parent.status.addresses
    for index, ip in enumerate(spec.ips):
        if (reason := policy.refusal(ip)) is not None:
            yield f"{document.where}spec.ips[{index}]: left out: {reason}"
    names = resolved_by(spec, told)
    for index, name in enumerate(spec.hostnames):
        if name not in names.values():
            yield f"{document.where}spec.hostnames[{index}]: {unresolved(name, status=bool(told))}"
    for index, one in enumerate(told):
        if one.ip in names and one.ip not in spec.ips and (reason := policy.refusal(one.ip)) is not None:
            yield f"{document.where}status.addresses[{index}]: left out: {reason}"


def unresolved(name: str, *, status: bool) -> str:
    """Why a name has no addresses; `status`: whether the file has one."""
    where = "the status in this file" if status else "a status, and there is none in this file"
    return f"{name} is not resolved here: its addresses come from {where}"


def text(children: list[Manifest], output: Format) -> str:
    """Documents of YAML, or one array of JSON."""
    if output == "json":
        return json.dumps(children, indent=2, ensure_ascii=False) + "\n"
    return yaml.dump_all(children, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Plain YAML: a repeated value is written twice, not as an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True
