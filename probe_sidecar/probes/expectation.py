"""Conditions for an HTTP response to be a success, in addition to the kubelet's rule. Pure."""

from dataclasses import dataclass

from external_service.core import HTTPGetAction


@dataclass(frozen=True, slots=True)
class Expectation:
    """The options of `httpGet` that judge. Without statuses the kubelet's rule holds: 200 to 399.

    `statuses` are inclusive ranges, `text` is what the body must contain (empty: anything), `follow` the redirects.
    """

    statuses: tuple[tuple[int, int], ...] = ()
    text: bytes = b""
    follow: bool = True

    @property
    def plain(self) -> bool:
        """Whether every 2xx response is a success."""
        return not self.statuses and not self.text

    def lists(self, status: int) -> bool:
        """Whether `status` is an expected one."""
        return any(low <= status <= high for low, high in self.statuses)


KUBELET = Expectation()


def expectation(action: HTTPGetAction) -> Expectation:
    """The options of `action`, read once a target."""
    ranges = tuple(_range(status) for status in action.expectedStatuses)
    asked = Expectation(ranges, action.bodyContains.encode(), action.redirects == "Follow")
    return KUBELET if asked == KUBELET else asked  # one for thousands of targets


class Search:
    """Looks for a text in a body that comes in pieces, and keeps no more of it than the text is long."""

    __slots__ = ("_tail", "_text", "found")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._tail = b""
        self.found = not text

    def feed(self, data: bytes) -> None:
        """The next piece."""
        if not self.found:
            window = self._tail + data
            self.found = self._text in window
            self._tail = window[-(len(self._text) - 1) :] if len(self._text) > 1 else b""


def _range(status: int | str) -> tuple[int, int]:
    low, _, high = str(status).partition("-")
    return int(low), int(high or low)
