"""The only client of the API server.

Plain dicts in and out. Only this module, `credentials` and `kubeconfig` use httpx. No retries here: the caller decides
what a failure means.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import quote

import httpx
import orjson

from external_service.kind import GROUP, PLURAL, VERSION
from probe_sidecar.kube.credentials import Access
from probe_sidecar.kube.documents import Object, Unreadable, parsed
from probe_sidecar.kube.errors import GARBAGE, TIMEOUT, TOO_LARGE, UNREACHABLE, ApiError, from_response

log = logging.getLogger(__name__)

Objects = list[Object]

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
LIST_SECONDS = 60.0
PAGE = 50
"""Objects a page of a LIST, at most. Smaller pages leave less memory behind that has been used once."""
PAGE_BYTES = 2 * 1024 * 1024
"""Size of the next page: as many objects as the size of the last page allows."""
MOST_BYTES = 8 * 1024 * 1024
"""Of one response. A larger page is requested again with fewer objects; etcd stores 1.5 MB an object."""
MAX_PAGES = 10_000
MAX_LINE = 8 * 1024 * 1024
"""Bytes of one watch event; etcd stores objects of 1.5 MB at most."""

MOST_CAUSES = 8
"""Causes of an error that are followed; httpx, httpcore and anyio each add one or two."""

JSON = "application/json"

Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object as the API's paths name it; `group` is empty for the core group."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of a collection (without `name`) or of one object; no `namespace` means all, or cluster scope."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part is not None]
        return "/" + "/".join(quote(part, safe=":") for part in parts)


EXTERNAL_SERVICES = Resource(GROUP, VERSION, PLURAL)


def micro_time() -> str:
    """The wall clock as a meta/v1 MicroTime: RFC 3339 in UTC with six digits after the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class Selection:
    """Objects to list or watch: all of a resource, or those of one namespace, or of a label selector."""

    resource: Resource
    namespace: str | None = None
    labels: str = ""

    @property
    def path(self) -> str:
        """Of the collection."""
        return self.resource.path(self.namespace)

    @property
    def query(self) -> Query:
        """The label selector, if there is one."""
        return (("labelSelector", self.labels),) if self.labels else ()


def connect(access: Access, deadline: float = REQUEST_SECONDS) -> "KubeClient":
    """A client for `access` with connections of its own. HTTP/2 off, the environment's proxies ignored.

    `deadline` is for one request, in seconds. As many connections as there are requests in flight: the caller has its
    own bound, and each namespace's watch holds one permanently.
    """
    return KubeClient(
        httpx.AsyncClient(
            base_url=access.server,
            auth=access.auth,
            verify=access.tls,
            trust_env=False,
            http2=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=40, keepalive_expiry=30.0),
        ),
        server_name=access.server_name,
        deadline=deadline,
    )


def _warn(problem: Unreadable) -> None:
    log.warning("an object was skipped: %s", problem)


class KubeClient:
    """Sends requests to one API server; raises ApiError and nothing else for whatever goes wrong on the way."""

    def __init__(
        self, http: httpx.AsyncClient, server_name: str | None = None, deadline: float = REQUEST_SECONDS
    ) -> None:
        http.headers.update({"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": "external-service-prober"})
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))  # a proxy's would be kept and sent forever
        self._http = http
        self._deadline = deadline
        self._extensions = {"sni_hostname": server_name} if server_name else {}
        self.requests: Counter[tuple[str, int]] = Counter()
        """Requests so far by method and HTTP status; 0: no response."""

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object as it is now."""
        return await self.send("GET", resource.path(namespace, name))

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        """Create an object (Events, Leases); ApiError 409 when the name is taken."""
        return await self.send("POST", resource.path(namespace), body=body)

    async def patch(
        self, resource: Resource, namespace: str, name: str, ops: Sequence[Object], subresource: str | None = None
    ) -> Object:
        """JSON Patch (RFC 6902) of an object or of its subresource; returns the whole object as stored."""
        path = resource.path(namespace, name, subresource)
        return await self.send("PATCH", path, body=ops, content_type="application/json-patch+json")

    async def delete(self, resource: Resource, namespace: str, name: str, version: str) -> None:
        """Delete an object; ApiError 404 when it is gone already, 409 when `version` is not its version any more."""
        body = {"preconditions": {"resourceVersion": version}}
        await self.send("DELETE", resource.path(namespace, name), body=body)

    async def list(
        self,
        selection: Selection,
        keep: Callable[[Object], Object] = lambda item: item,
        unreadable: Callable[[Unreadable], None] = _warn,
    ) -> tuple[Objects, str]:
        """The selected objects and the resourceVersion of the set, page by page. Without resourceVersion: the newest
        state, so never older than what was seen before.

        `keep` reduces each object to the kept part before the next page is requested; it raises Unreadable for one that
        cannot be read. Those are handed to `unreadable` and left out.
        """
        objects: Objects = []
        page: str | None = None
        limit = PAGE
        for _ in range(MAX_PAGES):
            query = (*selection.query, ("limit", str(limit)), *((("continue", page),) if page else ()))
            try:
                content = await self._content("GET", selection.path, LIST_SECONDS, query)
            except ApiError as error:
                if error.reason != TOO_LARGE or limit == 1:
                    raise
                limit = max(1, limit // 10)
                continue
            found = await _document(content, "items")
            limit = max(1, min(PAGE, limit * PAGE_BYTES // max(1, len(content))))
            before, (version, page) = page, _version_and_continue(found)
            if page is not None and page == before:
                raise ApiError(200, GARBAGE, f"the list of {selection.resource.plural} repeats a page")
            objects += _kept(found, keep, unreadable)
            if page is None:
                return objects, version
        raise ApiError(200, GARBAGE, f"the list of {selection.resource.plural} has no end")

    async def watch(
        self, selection: Selection, version: str, *, seconds: int, idle: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of a watch from `version` on, with bookmarks, which the server ends after `seconds`.

        Without a version the server would begin with synthetic ADDED events whose versions do not ascend.
        Raises ApiError: the server's own; TIMEOUT after `idle` seconds without a byte; UNREACHABLE when cut.
        A line without its end was cut, and is dropped.
        """
        watched = ("watch", "true"), ("resourceVersion", version), ("allowWatchBookmarks", "true")
        query = (*selection.query, *watched, ("timeoutSeconds", str(seconds)))
        async with self._response("GET", selection.path, idle, query) as response:
            async for line in _lines(_pieces(response)):
                yield line

    async def send(
        self, method: str, path: str, *, query: Query = (), body: object = None, content_type: str = JSON
    ) -> Object:
        """Send one request and return the object of the response; `query` is in the order it is written."""
        return await _document(
            await self._content(method, path, self._deadline, query, body=body, content_type=content_type)
        )

    async def _content(
        self, method: str, path: str, deadline: float, query: Query, *, body: object = None, content_type: str = JSON
    ) -> bytes:
        """Body of a successful response within `deadline` seconds; any other result raises ApiError."""
        try:
            async with (
                asyncio.timeout(deadline),
                self._response(method, path, deadline, query, body=body, content_type=content_type) as response,
            ):
                return await _read(response)
        except TimeoutError as error:
            raise ApiError(0, TIMEOUT, f"no complete response within {deadline:g} s") from error

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, read: float, query: Query, *, body: object = None, content_type: str = JSON
    ) -> AsyncIterator[httpx.Response]:
        """A successful response, whose pieces are at most `read` seconds apart; any other result raises ApiError."""
        status = 0
        try:
            async with self._http.stream(
                method,
                path,
                params=query or None,
                content=None if body is None else orjson.dumps(body),
                headers=None if body is None else {"Content-Type": content_type},
                extensions=dict(self._extensions),
                timeout=httpx.Timeout(CONNECT_SECONDS, read=read),
            ) as response:
                status = response.status_code
                self.requests[method, status] += 1
                if not response.is_success:
                    raise from_response(status, response.headers, await _read(response))
                yield response
        except ApiError:
            raise
        except Exception as error:
            raise _translated(error) from error
        finally:
            if not status:
                self.requests[method, 0] += 1


async def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it arrives. A compressed one, which was not requested, could become a thousand times as long."""
    coding = response.headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        raise ApiError(response.status_code, GARBAGE, f"the response is compressed: {coding}")
    async for piece in response.aiter_bytes():
        yield piece
        await asyncio.sleep(0)  # thousands of small chunks may have come together


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in _pieces(response):
        content += chunk
        if len(content) > MOST_BYTES:
            raise ApiError(response.status_code, TOO_LARGE, f"the response has more than {MOST_BYTES} bytes")
    return bytes(content)


async def _document(content: bytes, inner: str = "") -> Object:
    """See `parsed`."""
    try:
        found = await parsed(content, inner)
    except ValueError as error:
        raise ApiError(200, GARBAGE, f"the response is not JSON: {error}") from error
    if isinstance(found, Unreadable):
        raise ApiError(200, GARBAGE, f"the object cannot be read: {found.problem}")
    if not isinstance(found, dict):
        raise ApiError(200, GARBAGE, "the response is not an object")
    return found


def _kept(page: Object, keep: Callable[[Object], Object], unreadable: Callable[[Unreadable], None]) -> Objects:
    objects: Objects = []
    items = page.get("items")
    if not isinstance(items, list | None):
        raise ApiError(200, GARBAGE, "the response is not a list")
    for item in items or ():  # an empty list of Go is null
        try:
            if isinstance(item, Unreadable):
                raise item
            objects.append(keep(item))
        except Unreadable as problem:
            unreadable(problem)
    return objects


def _translated(error: Exception) -> ApiError:
    """ReadTimeout is a server that stopped responding; a connection that never came about is an unreachable one.

    httpx lets some errors of TLS and of its transport through, so anything counts.
    """
    if isinstance(error, httpx.ReadTimeout):
        return ApiError(0, TIMEOUT, "the API server stopped responding")
    detail = _system_error(error) or str(error)
    return ApiError(0, UNREACHABLE, f"{type(error).__name__}: {detail}" if detail else type(error).__name__)


def _system_error(error: BaseException | None) -> str:
    """System error of a failed connection; httpx hides it in a cause of "All connection attempts failed"."""
    for _ in range(MOST_CAUSES):
        if (isinstance(error, ConnectionError) or type(error) is OSError) and error.errno:
            return os.strerror(error.errno)
        error = error and (error.__cause__ or error.__context__)
    return ""


def _version_and_continue(document: Object) -> tuple[str, str | None]:
    """resourceVersion and continue token of one page."""
    metadata = document.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(version, str) or not version:
        raise ApiError(200, GARBAGE, "the response is not a list with a resourceVersion")
    following = metadata.get("continue") or None
    if not isinstance(following, str | None):
        raise ApiError(200, GARBAGE, "the response is a list whose continue token is no text")
    return version, following


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split at newlines only. httpx's own lines also end at U+0085, U+2028 and others, which JSON may hold raw."""
    pending = bytearray()
    async for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            pending += line
            yield bytes(pending)
            pending.clear()
        pending += rest
        if len(pending) > MAX_LINE:
            raise ApiError(200, GARBAGE, f"a line of the watch is longer than {MAX_LINE} bytes")
