"""ExternalServices in files, without a cluster: their children in text, as `helm template` does, and the sync request
of one, to send to the hook by hand. Pure.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

import yaml

from app.children.metadata import Manifest
from app.sync import SyncOptions
from external_service.manifest import Document, InvalidInput
from external_service.policy import AddressPolicy
from external_service.readiness import resolved_by


def here(options: SyncOptions) -> SyncOptions:
    """`options` for one's own machine: loopback addresses and Secrets in probes are allowed.

    Addresses are published as the status in the file says; without one they are not ready, and names have none, because
    no DNS server is asked.
    """
    features = replace(options.features, probe_secrets=True)
    return replace(options, policy=replace(options.policy, loopback=True), features=features)


def left_out(document: Document, policy: AddressPolicy) -> Iterator[str]:
    """A warning for each address or name that is not published."""
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


def text(children: list[Manifest], output: Literal["yaml", "json"]) -> str:
    """Documents of YAML, or one array of JSON."""
    if output == "json":
        return json.dumps(children, indent=2, ensure_ascii=False) + "\n"
    return yaml.dump_all(children, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Plain YAML: a repeated value is written twice, not as an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def sync_request(documents: Iterable[Document], name: str = "") -> str:
    """The request as one line of JSON, for the only one of `documents` or the one called `name`.

    `name` is NAME or NAMESPACE/NAME. The request shows no children: the hook then answers with all that it would make.
    Raises InvalidInput without a `name` for several, and with one that fits none or several.
    """
    found = {f"{one.parent.metadata.namespace}/{one.parent.metadata.name}": one.raw for one in documents}
    chosen = [each for each in found if name in ("", each, each.partition("/")[2])]
    if len(chosen) != 1:
        wrong = "several ExternalServices in it" if chosen else f"no ExternalService called {name} in it"
        raise InvalidInput(f"{wrong}: choose one with --name: {', '.join(found)}")
    raw, namespace = found[chosen[0]], chosen[0].partition("/")[0]
    # The API server adds these when the object is created.
    added = {"namespace": namespace, "generation": 1, "uid": "00000000-0000-4000-8000-000000000000"}
    parent = {**raw, "metadata": {**added, **raw["metadata"]}}
    return json.dumps({"parent": parent, "children": {}, "finalizing": False}, ensure_ascii=False)
