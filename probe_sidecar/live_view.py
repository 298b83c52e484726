"""The newest results of one ExternalService, from the page of the replica that owns it, through the API server.

The API server's Pod proxy reaches that page: GET .../pods/POD:PORT/proxy/status (kubernetes:pkg/registry/core/pod).
"""

import asyncio
from typing import Any, NamedTuple

from external_service.v1alpha1 import ExternalService
from probe_sidecar.kube.client import EXTERNAL_SERVICES, KubeClient, Resource, Selection
from probe_sidecar.kube.documents import Object
from probe_sidecar.kube.errors import ApiError
from probe_sidecar.replicas import GROUP_LABEL, LEASES, NAME_PREFIX

PODS = Resource("", "v1", "pods")
MOST_REPLICAS = 32


class LiveView(NamedTuple):
    """`page` is the response of the replica in `pod` to /status for the object; without one `problem` says why."""

    pod: str
    page: dict[str, Any] | None
    problem: str


async def fetch(client: KubeClient, namespace: str, name: str) -> Object:
    """The object as stored. Raises ApiError; closes `client`."""
    try:
        return await client.get(EXTERNAL_SERVICES, namespace, name)
    finally:
        await client.close()


async def live_view(client: KubeClient, parent: ExternalService, namespace: str, port: int) -> LiveView:
    """Ask each replica in `namespace` for `parent`: only the one that owns it has addresses. Closes `client`."""
    try:
        leases, _ = await client.list(Selection(LEASES, namespace, GROUP_LABEL))
        pods = [lease["metadata"]["name"].removeprefix(NAME_PREFIX) for lease in leases][:MOST_REPLICAS]
        pages = await asyncio.gather(*(_page(client, parent, namespace, f"{pod}:{port}") for pod in pods))
    except ApiError as error:
        return LiveView("", None, f"the Leases in namespace {namespace} cannot be listed: {error}")
    finally:
        await client.close()
    if not pods:
        return LiveView("", None, f"no prober has a Lease in namespace {namespace}: name it with --operator-namespace")
    for pod, page in zip(pods, pages, strict=True):
        if not isinstance(page, ApiError) and page.get("addresses"):
            return LiveView(pod, page, "")
    problems = [f"{pod}: {page}" for pod, page in zip(pods, pages, strict=True) if isinstance(page, ApiError)]
    return LiveView("", None, "; ".join(problems[:3]) or "no prober probes it")


async def _page(client: KubeClient, parent: ExternalService, namespace: str, pod: str) -> Object | ApiError:
    query = ("namespace", parent.metadata.namespace), ("name", parent.metadata.name)
    try:
        return await client.send("GET", f"{PODS.path(namespace, pod)}/proxy/status", query=query)
    except ApiError as error:
        return error
