"""An audit log: every request and its result, so that "nothing was written" can be tested."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

WRITES = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Audited:
    """One request and its result. `at` is Unix time in seconds."""

    at: float
    actor: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int

    @property
    def write(self) -> bool:
        """Whether it asked for a change and was not refused."""
        return self.verb in WRITES and self.code < 400


class Audit:
    """The last requests (`most` of them), and the number of all so far."""

    def __init__(self, most: int = 200_000) -> None:
        self.requests: deque[Audited] = deque(maxlen=most)
        self.total = 0

    def add(self, request: Audited) -> None:
        """Appends one."""
        self.requests.append(request)
        self.total += 1

    def since(self, mark: int) -> list[Audited]:
        """The requests after the first `mark` (an earlier `total`)."""
        fresh = self.total - mark
        return list(self.requests)[-fresh:] if fresh > 0 else []

    def writes(self, mark: int = 0, *, ignore: Iterable[str] = ()) -> list[Audited]:
        """The accepted writes since `mark`, no-ops included, but for those of the actors to `ignore`."""
        ignored = frozenset(ignore)
        return [request for request in self.since(mark) if request.write and request.actor not in ignored]
