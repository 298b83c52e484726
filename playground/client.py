"""A small Kubernetes API client, for the stand-ins and the tests, and the kinds that they read.

It shares no code with the sidecar's client, so that a mistake in one cannot hide a mistake in the other.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from playground.values import Object


class Refused(Exception):
    """A response without success: HTTP `code`, and `reason` and `message` of its Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


def prefix(api_version: str) -> str:
    """The URL path of a group and version."""
    return ("/apis/" if "/" in api_version else "/api/") + api_version


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind, and where its objects are."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def key(self) -> str:
        """`Kind.version` or `Kind.group/version`, as in Metacontroller's maps."""
        return f"{self.kind}.{self.api_version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of one object, or of the collection, without a namespace that of all namespaces."""
        place = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{prefix(self.api_version)}{place}/{self.plural}{tail}"


EXTERNAL_SERVICES = Kind("eso.crowdfox.com/v1alpha1", "externalservices", "ExternalService", namespaced=True)
SERVICES = Kind("v1", "services", "Service", namespaced=True)
ENDPOINTS = Kind("v1", "endpoints", "Endpoints", namespaced=True)
ENDPOINT_SLICES = Kind("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", namespaced=True)
INGRESSES = Kind("networking.k8s.io/v1", "ingresses", "Ingress", namespaced=True)
EVENTS = Kind("v1", "events", "Event", namespaced=True)
NAMESPACES = Kind("v1", "namespaces", "Namespace", namespaced=False)

SIDECAR, CONTROLLER = "sidecar", "metacontroller"
"""The processes that write."""


def readiness(endpoints: Mapping[str, Any]) -> dict[str, bool]:
    """The addresses of an Endpoints object: address -> ready."""
    found: dict[str, bool] = {}
    for subset in endpoints.get("subsets") or ():
        found |= {address["ip"]: True for address in subset.get("addresses") or ()}
        found |= {address["ip"]: False for address in subset.get("notReadyAddresses") or ()}
    return found


class ApiClient:
    """Requests with the User-Agent `agent`. Each raises Refused, or as httpx."""

    def __init__(self, http: httpx.AsyncClient, agent: str) -> None:
        self._http = http
        self._headers = {"User-Agent": agent}

    async def discover(self, api_version: str, plural: str) -> Kind:
        """Finds a resource by its plural name; LookupError if it is not served."""
        found = await self.get(prefix(api_version))
        for one in found["resources"]:
            if one["name"] == plural:
                return Kind(api_version, plural, one["kind"], one["namespaced"])
        raise LookupError(f"{plural} of {api_version} is not served")

    async def get(self, path: str, **params: str) -> Object:
        """GET of an object, a list or a document."""
        return await self._request("GET", path, params=params)

    async def create(self, path: str, obj: Object) -> Object:
        """POST to a collection."""
        return await self._request("POST", path, body=obj)

    async def replace(self, path: str, obj: Object) -> Object:
        """PUT of a whole object."""
        return await self._request("PUT", path, body=obj)

    async def patch(self, path: str, patch: Any, content_type: str = "application/merge-patch+json") -> Object:
        """PATCH of an object."""
        return await self._request("PATCH", path, body=patch, content_type=content_type)

    async def delete(self, path: str, options: Object | None = None) -> Object:
        """DELETE of an object, with DeleteOptions if given."""
        return await self._request("DELETE", path, body=options)

    async def watch(self, path: str, revision: str, seconds: int = 300) -> AsyncIterator[Object]:
        """The events after `revision`, until the server ends the watch or stops responding."""
        params = {"watch": "true", "resourceVersion": revision, "allowWatchBookmarks": "true"}
        params["timeoutSeconds"] = str(seconds)
        timeout = httpx.Timeout(10, read=75)
        async with self._http.stream("GET", path, params=params, headers=self._headers, timeout=timeout) as response:
            if response.status_code != httpx.codes.OK:
                await response.aread()
                raise _refused(response)
            async for line in response.aiter_lines():
                if line:
                    yield orjson.loads(line)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        content = None if body is None else orjson.dumps(body)
        headers = {**self._headers, "Content-Type": content_type}
        response = await self._http.request(method, path, params=params, content=content, headers=headers)
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise _refused(response)
        answer: Object = orjson.loads(response.content)
        return answer


def _refused(response: httpx.Response) -> Refused:
    try:
        status = orjson.loads(response.content)
        return Refused(response.status_code, status.get("reason", ""), status.get("message", ""))
    except (orjson.JSONDecodeError, AttributeError):
        return Refused(response.status_code, "", response.text[:300])
