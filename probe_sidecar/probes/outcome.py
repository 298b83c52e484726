"""Result of one probe: one enum and one value, for every protocol."""

from enum import Enum
from typing import NamedTuple


class Result(Enum):
    """The kubelet's four results (kubernetes:pkg/probe). A warning counts as success; UNKNOWN is no evidence at all."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__  # Enum's own is a function in Python, and each probe's result is a key


SUCCESS, WARNING, FAILURE, UNKNOWN = Result
"""The same by themselves, for what is done for every probe: an enum's class looks its members up by a function."""


class Outcome(NamedTuple):
    """`message` is the evidence in a line ("HTTP 200", "connection refused"); never a body, never a header value.

    UNKNOWN means that the prober itself could not work (out of descriptors, cancelled, a bug): never counted against
    the address (design R7). `no_response`: a failure without any response of the address, not even a refusal
    or an accepted connection, so that our own network may be the one that failed.
    """

    result: Result
    message: str
    no_response: bool = False

    @property
    def success(self) -> bool:
        """Success or warning."""
        return self.result is SUCCESS or self.result is WARNING
