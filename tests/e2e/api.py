"""Entries of an audit log, kubeconfigs of our processes, and the errors of a world that does not support a test."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.controlplane.kubeconfig import kubeconfig_file

READS = frozenset({"get", "list", "watch"})


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


def write_kubeconfig(
    directory: Path, cluster: Mapping[str, Any], account: tuple[str, str], token: str, holder: str = ""
) -> Path:
    """A kubeconfig, with the token in a file beside it."""
    token_file = directory / f"{'-'.join(filter(None, (*account, holder)))}.token"
    token_file.touch(mode=0o600)
    token_file.write_text(token)
    return kubeconfig_file(token_file.with_suffix(".kubeconfig"), cluster, {"tokenFile": str(token_file)})
