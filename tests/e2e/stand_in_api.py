"""The API server of the playground in a world: what it cannot do is Unsupported, as on a given cluster."""

from collections.abc import Iterable
from pathlib import Path

import httpx

from tests.e2e import accounts
from tests.e2e.api import Entry, write_kubeconfig
from tests.e2e.real_api import RealApi
from tests.faults import FaultyServer


class StandInApi(RealApi):
    """In the event loop of the test; accounts and their tokens are as in a cluster."""

    def __init__(self, server: FaultyServer, directory: Path) -> None:
        self.control_plane = self.kubectl = None
        self.server = server
        self._directory = directory
        users = {f"token-of-{account[1]}": accounts.username(account) for account in accounts.ACCOUNTS}
        server.api.tokens = {**users, "token-of-admin": accounts.ADMIN}

    def http(self) -> httpx.AsyncClient:
        """An administrator's client; the caller closes it."""
        bearer = {"Authorization": "Bearer token-of-admin"}
        return httpx.AsyncClient(base_url=self.server.url, headers=bearer, trust_env=False, timeout=30)

    def kubeconfig(self, account: tuple[str, str], holder: str = "") -> Path:
        """A kubeconfig with the account's token in a file."""
        cluster = {"server": self.server.url}
        return write_kubeconfig(self._directory, cluster, account, f"token-of-{account[1]}", holder)

    def mark(self) -> int:
        """The end of the audit log."""
        return self.server.audit.total

    def entries(self, mark: int) -> Iterable[Entry]:
        """The requests since a mark."""
        for one in self.server.audit.since(mark):
            place = (one.resource, one.subresource, one.namespace, one.name)
            yield Entry(accounts.role(one.actor), one.verb, *place, one.code, one.group)

    def use_status_policy(self, wanted: bool) -> bool:
        """Whether stale statuses are no-ops from now on."""
        self.server.registry.status_policy = wanted
        return wanted
