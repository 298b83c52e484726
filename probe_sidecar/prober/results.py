"""The latest verdict on each address, keyed by the uid of its ExternalService. Listeners hear of changes only."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from external_service.v1alpha1 import AddressStatus

Listener = Callable[[str], None]
_NOTHING: Mapping[str, AddressStatus] = MappingProxyType({})


class Results:
    """What the prober hands over, and the publisher reads: for each uid, ip -> AddressStatus."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, AddressStatus]] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener(uid)` after each change."""
        self._listeners.append(listener)

    def get(self, uid: str) -> Mapping[str, AddressStatus]:
        """The verdicts on the addresses of `uid`; empty when nothing is known."""
        return self._latest.get(uid, _NOTHING)

    def put(self, uid: str, address: AddressStatus) -> None:
        """Hand over a verdict; silent when it is the one already held."""
        held = self._latest.setdefault(uid, {})
        if held.get(address.ip) != address:
            held[address.ip] = address
            self._tell(uid)

    def follow(self, uid: str, address: AddressStatus) -> None:
        """Take over what the status itself says. Nobody is told: there is nothing to publish."""
        self._latest.setdefault(uid, {})[address.ip] = address

    def drop(self, uid: str, ip: str) -> None:
        """Forget one address: it has left the spec, or is no longer probed."""
        if self._latest.get(uid, {}).pop(ip, None) is not None:
            self._tell(uid)

    def forget(self, uid: str) -> None:
        """Forget an ExternalService that is gone, or no longer ours. Nobody is told: there is nothing to publish."""
        self._latest.pop(uid, None)

    def _tell(self, uid: str) -> None:
        for listener in self._listeners:
            listener(uid)
