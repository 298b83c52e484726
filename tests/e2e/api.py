"""The API server of a world: the stand-in. The real ones, with the same methods, are in real_api."""

import itertools
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e import accounts
from tests.faults import FaultyServer

Object = dict[str, Any]
READS = frozenset({"get", "list", "watch"})

_numbers = itertools.count(1)


class Unsupported(Exception):
    """This world does not support that; the text says why. The test is skipped."""


class Missing(Unsupported):
    """A program is missing; the text says what to install. With E2E_REQUIRED the test fails."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request in an audit log. `user` is a role of `accounts` if it is one of ours."""

    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    group: str = ""

    @property
    def write(self) -> bool:
        """Whether it asked for a change and was not refused."""
        return self.verb not in READS and self.code < 400


class StandInApi:
    """The playground's API server, in the event loop of the test; accounts and their tokens are as in a cluster.

    `ours`: its processes may be stopped, unlike those of a given cluster. `kubectl` is None where it is not installed.
    """

    kind = "playground"
    ours = True

    def __init__(self, server: FaultyServer, directory: Path) -> None:
        self.server = server
        self._directory = directory
        names = {account: accounts.username(account) for account in accounts.ACCOUNTS}
        self._tokens = {account: f"token-of-{account[1]}" for account in accounts.ACCOUNTS}
        server.api.tokens = {self._tokens[account]: name for account, name in names.items()}
        server.api.tokens["token-of-admin"] = accounts.ADMIN
        server.api.tokens[""] = accounts.ADMIN  # kubectl keeps its credentials to itself where there is no TLS
        self.kubectl = Path(found) if (found := shutil.which("kubectl")) else None
        self.admin_kubeconfig = write_kubeconfig(directory, {"server": server.url}, ("e2e", "admin"), "token-of-admin")

    def http(self) -> httpx.AsyncClient:
        """An administrator's client; the caller closes it."""
        bearer = {"Authorization": "Bearer token-of-admin"}
        return httpx.AsyncClient(base_url=self.server.url, headers=bearer, trust_env=False, timeout=30)

    def kubeconfig(self, account: tuple[str, str], holder: str = "") -> Path:
        """A kubeconfig with the account's token in a file. `holder` is a replica's Pod with files of its own."""
        cluster = {"server": self.server.url}
        return write_kubeconfig(self._directory, cluster, account, self._tokens[account], holder)

    def give_token(self, account: tuple[str, str], *, expired: bool) -> None:
        """Replaces the token in the account's file, by a valid one or one that is refused."""
        token = f"token-of-{account[1]}-{next(_numbers)}"
        if not expired:
            self.server.api.tokens = {
                known: name
                for known, name in (self.server.api.tokens or {}).items()
                if name != accounts.username(account)
            } | {token: accounts.username(account)}
        replace_token(self._directory, account, token)

    def mark(self) -> int:
        """The end of the audit log."""
        return self.server.audit.total

    def entries(self, mark: int) -> Iterable[Entry]:
        """The requests since a mark."""
        for one in self.server.audit.since(mark):
            place = (one.resource, one.subresource, one.namespace, one.name)
            yield Entry(accounts.role(one.actor), one.verb, *place, one.code, one.group)

    def use_status_policy(self, wanted: bool) -> bool:
        """Installs or removes the policy for stale statuses; returns whether it is in force."""
        self.server.registry.status_policy = wanted
        return wanted

    async def stop(self) -> None:
        """Refuses connections until `start`; what is stored stays."""
        await self.server.stop()

    async def start(self) -> None:
        """Serves again."""
        await self.server.start()

    async def revive(self) -> None:
        """Serves again, if a failed test left it stopped."""
        if not self.server.running:
            await self.server.start()

    async def kill_storage(self) -> None:
        """Unsupported: there is no etcd."""
        raise Unsupported("the stand-in's storage is part of its API server")

    async def start_storage(self) -> None:
        """Unsupported: there is no etcd."""
        raise Unsupported("the stand-in's storage is part of its API server")

    async def forget_history(self) -> None:
        """Makes a client that resumes a watch from before get 410; open connections break."""
        self.server.storage.compact()
        self.server.hang_up()


def write_kubeconfig(
    directory: Path, cluster: Mapping[str, Any], account: tuple[str, str], token: str, holder: str = ""
) -> Path:
    """`NAME.kubeconfig`, and `NAME.token` beside it."""
    token_file = _token_file(directory, account, holder)
    token_file.touch(mode=0o600)
    token_file.write_text(token)
    name = account[1]
    file = token_file.with_suffix(".kubeconfig")
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": dict(cluster)}],
        "users": [{"name": name, "user": {"tokenFile": str(token_file)}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
        "current-context": "e2e",
    }
    file.write_text(json.dumps(content, indent=2))
    return file


def replace_token(directory: Path, account: tuple[str, str], token: str) -> None:
    """Replaces the file atomically, as the kubelet does."""
    file = _token_file(directory, account)
    fresh = file.with_suffix(".fresh")
    fresh.touch(mode=0o600)
    fresh.write_text(token)
    fresh.replace(file)


def _token_file(directory: Path, account: tuple[str, str], holder: str = "") -> Path:
    return directory / f"{'-'.join(filter(None, (*account, holder)))}.token"
