"""Who asked what: every request, so that "no write at all" can be shown and not believed."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request. `at` is Unix time in seconds; `changed` is false for reads, no-ops and refusals."""

    at: float
    actor: str
    agent: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    changed: bool
    group: str = ""

    @property
    def write(self) -> bool:
        """Whether it asked for a change and was not refused."""
        return self.verb in WRITES and self.code < 400


class Audit:
    """The last requests (`most` of them) and how many there have ever been."""

    def __init__(self, most: int = 200_000) -> None:
        self.requests: deque[Request] = deque(maxlen=most)
        self.total = 0

    def add(self, request: Request) -> None:
        """Appends one."""
        self.requests.append(request)
        self.total += 1

    def since(self, mark: int) -> list[Request]:
        """The requests after the first `mark` (a former `total`)."""
        fresh = self.total - mark
        return list(self.requests)[-fresh:] if fresh > 0 else []

    def writes(self, mark: int = 0, *, ignore: Iterable[str] = ()) -> list[Request]:
        """Writes that were accepted, but for those of the actors to `ignore`; no-ops included."""
        ignored = frozenset(ignore)
        return [request for request in self.since(mark) if request.write and request.actor not in ignored]
