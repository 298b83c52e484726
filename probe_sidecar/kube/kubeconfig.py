"""A kubeconfig file to an Access: pure but for reading the files that it names.

Every error names the file and the field. Unsupported fields are refused, never ignored.
"""

import base64
import binascii
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from external_service.documents import Unreadable, documents
from probe_sidecar.kube.credentials import (
    Access,
    CredentialsError,
    Token,
    bearer,
    server_url,
    tls_context,
    token_file,
)

UNREADABLE = "cannot read the kubeconfig"
PROXY_HINT = "run `kubectl proxy` and use --server http://127.0.0.1:8001 in place of this kubeconfig"

UNSUPPORTED_USER = ("exec", "auth-provider", "username", "password", "as", "as-uid", "as-groups", "as-user-extra")


@dataclass(frozen=True, slots=True)
class Section:
    """One mapping of the file, with its path for error messages, and the folder of relative paths."""

    file: Path
    place: str
    values: dict[str, Any]

    def error(self, key: str, problem: str) -> CredentialsError:
        """An error that names file and field."""
        return CredentialsError(f"{self.file}: {self.place}{key}: {problem}")

    def text(self, key: str) -> str | None:
        """A string, or None when absent or empty."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(key, f"must be a string, not {type(value).__name__}")
        return value or None

    def path(self, key: str) -> Path | None:
        """A file, relative to the kubeconfig as kubectl reads it."""
        text = self.text(key)
        return None if text is None else self.file.parent / text

    def content(self, key: str) -> bytes | None:
        """The bytes of `key`-data (base64) or, without it, of the file that `key` names."""
        data = self.text(f"{key}-data")
        if data is not None:
            try:
                return base64.b64decode("".join(data.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise self.error(f"{key}-data", f"not base64: {error}") from error
        path = self.path(key)
        try:
            return None if path is None else path.read_bytes()
        except OSError as error:
            raise self.error(key, f"cannot read {path}: {error.strerror}") from error

    def named(self, key: str, name: str, kind: str) -> "Section":
        """The `kind` mapping of the entry called `name` in the list `key`."""
        entries = self.values.get(key) or []
        if not isinstance(entries, list):
            raise self.error(key, f"must be a list, not {type(entries).__name__}")
        for entry in entries:
            if isinstance(entry, dict) and entry.get("name") == name:
                values = entry.get(kind) or {}
                if not isinstance(values, dict):
                    raise self.error(f"{key}[{name}].{kind}", f"must be a mapping, not {type(values).__name__}")
                return Section(self.file, f"{key}[{name}].{kind}.", values)
        raise self.error(key, f'no entry named "{name}"')


def kubeconfig(file: Path, context: str | None = None) -> Access:
    """The Access of `context`, or of the file's current-context."""
    root, place = _chosen(file, context)
    cluster = root.named("clusters", _required(place, "cluster"), "cluster")
    user_name = place.text("user")
    user = Section(file, "users.", {}) if user_name is None else root.named("users", user_name, "user")
    for key in UNSUPPORTED_USER:
        if user.values.get(key):
            raise user.error(key, f"not supported here: {PROXY_HINT}")
    if cluster.values.get("proxy-url"):
        raise cluster.error("proxy-url", f"not supported here: {PROXY_HINT}")
    server = server_url(_required(cluster, "server"), f"{file}: {cluster.place}server")
    return Access(server, _tls(cluster, user), _auth(user), cluster.text("tls-server-name"))


def namespace(file: Path, context: str | None = None) -> str:
    """The namespace of `context`, or of the file's current-context; "default" if it names none."""
    return _chosen(file, context)[1].text("namespace") or "default"


def _chosen(file: Path, context: str | None) -> tuple[Section, Section]:
    """The file, and the context in it."""
    root = _read(file)
    name = context or root.text("current-context")
    if name is None:
        raise root.error("current-context", "missing: run `kubectl config use-context NAME` or name a context")
    return root, root.named("contexts", name, "context")


def _read(file: Path) -> Section:
    try:
        found = documents(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CredentialsError(f"{file}: {UNREADABLE}: {error.strerror}") from error
    except (Unreadable, UnicodeDecodeError) as error:
        raise CredentialsError(f"{file}: not a kubeconfig: {' '.join(str(error).split())}") from error
    if not found or not isinstance(found[0], dict):
        raise CredentialsError(f"{file}: not a kubeconfig: the top level must be a mapping")
    return Section(file, "", found[0])


def _required(section: Section, key: str) -> str:
    value = section.text(key)
    if value is None:
        raise section.error(key, "missing")
    return value


def _auth(user: Section) -> httpx.Auth | None:
    """tokenFile wins over token, as in client-go."""
    file = user.path("tokenFile")
    if file is not None:
        try:
            return token_file(file)
        except CredentialsError as error:
            raise user.error("tokenFile", str(error)) from error
    token = user.text("token")
    if token is None:
        return None
    return Token(lambda: bearer(token, f"{user.file}: {user.place}token"))


def _tls(cluster: Section, user: Section) -> ssl.SSLContext:
    authority = cluster.content("certificate-authority")
    insecure = cluster.values.get("insecure-skip-tls-verify") or False
    if not isinstance(insecure, bool):
        raise cluster.error("insecure-skip-tls-verify", "must be true or false")
    if insecure and authority is not None:
        raise cluster.error("insecure-skip-tls-verify", "cannot be true beside a certificate-authority: drop one")
    try:
        tls = tls_context(None if authority is None else authority.decode("ascii", "replace"), verify=not insecure)
    except ValueError as error:
        raise cluster.error("certificate-authority", str(error)) from error
    _load_client_certificate(tls, user)
    return tls


def _load_client_certificate(tls: ssl.SSLContext, user: Section) -> None:
    certificate, key = user.content("client-certificate"), user.content("client-key")
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        missing = "client-certificate" if certificate is None else "client-key"
        raise user.error(missing, "missing: a client certificate needs both client-certificate and client-key")
    # The ssl module loads a certificate from files only.
    with tempfile.NamedTemporaryFile(buffering=0) as pair:
        pair.write(certificate + b"\n" + key)
        try:
            tls.load_cert_chain(pair.name, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise user.error("client-certificate", f"not a PEM certificate with its key: {error}") from error
