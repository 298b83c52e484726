"""Files that change while the process runs: Kubernetes swaps mounted Secrets, cert-manager renews certificates."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class UnusableFile(Exception):
    """The files cannot be used; the text names the file and says why."""


class Reloaded(Generic[T]):
    """Value that `read` returns for `paths`, read again when they change. `read` raises UnusableFile.

    Files that become unusable (missing, half-written, a key that does not fit) change nothing, and are read again when
    they change again. `name` is for the log.
    """

    def __init__(self, name: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        self._name = name
        self._paths = paths
        self._read = read
        self._stamps = self._stamp()
        self._value = read()

    @property
    def value(self) -> T:
        """The newest that could be read."""
        stamps = self._stamp()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._value = self._read()
                logger.info("%s: read again", self._name)
            except UnusableFile as problem:
                logger.warning("%s: unchanged (%s)", self._name, problem)
        return self._value

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        """It differs if a file is another one, or was written to; None for a missing one."""
        return [_stat(path) for path in self._paths]


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
