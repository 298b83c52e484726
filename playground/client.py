"""A Kubernetes API client of a few lines over a given httpx client: the stand-ins' own, for the fake and a real server.

It shares nothing with the sidecar's client, so that neither can hide the other's mistake.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from playground.ratelimit import TokenBucket

Object = dict[str, Any]


class Refused(Exception):
    """An answer that is no success: HTTP `code`, the Status `reason` and `message`."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the objects of a kind live."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def key(self) -> str:
        """`Kind.version` or `Kind.group/version`, as Metacontroller keys its maps."""
        return f"{self.kind}.{self.api_version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection (all namespaces if none is given) or of one object."""
        prefix = "/apis/" if "/" in self.api_version else "/api/"
        place = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{prefix}{self.api_version}{place}/{self.plural}{tail}"


class ApiClient:
    """Requests as `agent`, each waiting for its turn when `limiter` says so (client-go's --client-go-qps)."""

    def __init__(self, http: httpx.AsyncClient, agent: str, limiter: TokenBucket | None = None) -> None:
        self._http = http
        self._headers = {"User-Agent": agent}
        self._limiter = limiter

    async def discover(self, api_version: str, plural: str) -> Kind:
        """Finds a resource by its plural name; LookupError if it is not served."""
        prefix = "/apis/" if "/" in api_version else "/api/"
        found = await self.get(prefix + api_version)
        for one in found["resources"]:
            if one["name"] == plural:
                return Kind(api_version, plural, one["kind"], one["namespaced"])
        raise LookupError(f"{plural} of {api_version} is not served")

    async def get(self, path: str, **params: str) -> Object:
        """GET."""
        return await self._ask("GET", path, params=params)

    async def create(self, path: str, obj: Object) -> Object:
        """POST."""
        return await self._ask("POST", path, body=obj)

    async def replace(self, path: str, obj: Object) -> Object:
        """PUT."""
        return await self._ask("PUT", path, body=obj)

    async def patch(self, path: str, patch: Any, content_type: str = "application/merge-patch+json") -> Object:
        """PATCH."""
        return await self._ask("PATCH", path, body=patch, content_type=content_type)

    async def delete(self, path: str, options: Object | None = None) -> Object:
        """DELETE, with DeleteOptions if given."""
        return await self._ask("DELETE", path, body=options)

    async def watch(self, path: str, revision: str, seconds: int = 300) -> AsyncIterator[Object]:
        """The events from `revision` on, until the server ends the watch or stops responding. Raises as httpx."""
        await self._turn()
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

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        await self._turn()
        content = None if body is None else orjson.dumps(body)
        headers = {**self._headers, "Content-Type": content_type}
        response = await self._http.request(method, path, params=params, content=content, headers=headers)
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise _refused(response)
        answer: Object = orjson.loads(response.content)
        return answer

    async def _turn(self) -> None:
        if self._limiter is not None:
            await self._limiter.wait()


def _refused(response: httpx.Response) -> Refused:
    try:
        status = orjson.loads(response.content)
        return Refused(response.status_code, status.get("reason", ""), status.get("message", ""))
    except (orjson.JSONDecodeError, AttributeError):
        return Refused(response.status_code, "", response.text[:300])
