"""Types a page of the documents from its first command to its last: `@pytest.mark.types(page)`."""

from collections.abc import Iterator

from tests.docs.commands import ROOT, for_a_cluster


class Reader:
    """Returns each command of a page once, in order; the test fails if any is left.

    `page` is a path below the checkout. `helm`: those of helm; else all others that are for a cluster.
    """

    def __init__(self, page: str, *, helm: bool = False) -> None:
        self._page = page
        self._left = for_a_cluster(ROOT / page, helm=helm)

    @property
    def left(self) -> int:
        """The number of commands."""
        return len(self._left)

    def take(self, beginning: str = "") -> str:
        """The next one; AssertionError if it does not begin with these words."""
        assert self._left, f"{self._page} has no more commands, wanted was one that begins with {beginning!r}"
        assert self._left[0].startswith(beginning), f"{self._page}: wanted {beginning!r}, there is {self._left[0]!r}"
        return self._left.pop(0)

    def until(self, beginning: str) -> Iterator[str]:
        """All before the first that begins with these words; AssertionError without one."""
        while not (self._left and self._left[0].startswith(beginning)):
            yield self.take()

    def finish(self) -> None:
        """AssertionError: it names the commands that were not typed."""
        assert not self._left, f"{self._page} tells its reader to type this, and this test does not: {self._left}"
