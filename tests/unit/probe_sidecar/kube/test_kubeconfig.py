import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from probe_sidecar.kube.credentials import CredentialsError, not_a_url
from probe_sidecar.kube.kubeconfig import PROXY_HINT, kubeconfig
from tests.cases import cases
from tests.e2e.controlplane.pki import Pki

Object = dict[str, Any]
Write = Callable[[Object, Object], Path]


AUTHORITY, CERTIFICATE, KEY, OTHER_KEY = "the authority", "the certificate", "its key", "another key"
"""Stand in the tables for what the fixture makes; as data they are base64 of the PEM."""


DATA = {"client-certificate-data": CERTIFICATE, "client-key-data": KEY}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def write(tmp_path: Path, pki: Pki, issued: tuple[Path, Path], certificate: str) -> Write:
    """A kubeconfig with one cluster and one user, of the given fields, and the files they may name beside it."""
    pair = [file.read_text() for file in issued]
    _, other = pki.issue("other", common_name="other")
    (tmp_path / "ca.crt").write_text(certificate)
    for name, content in {"tls.crt": pair[0], "tls.key": pair[1], "token": "from-the-file\n", "empty": ""}.items():
        (tmp_path / name).write_text(content)
    data = {
        AUTHORITY: encoded(certificate),
        CERTIFICATE: encoded(pair[0]),
        KEY: encoded(pair[1]),
        OTHER_KEY: encoded(other.read_text()),
    }

    def filled(fields: Object) -> Object:
        return {key: data.get(str(value), value) for key, value in fields.items()}

    def save(cluster: Object, user: Object) -> Path:
        file = tmp_path / "config"
        document = {
            "current-context": "dev",
            "contexts": [{"name": "dev", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": "https://10.0.0.1:6443"} | filled(cluster)}],
            "users": [{"name": "me", "user": filled(user)}],
        }
        file.write_text(yaml.safe_dump(document))
        return file

    return save


def authorization(auth: httpx.Auth | None) -> str | None:
    if auth is None:
        return None
    request = next(auth.sync_auth_flow(httpx.Request("GET", "http://api")))
    return request.headers["Authorization"]


@cases(
    "user expected",
    ("nobody", {}, None),
    ("token", {"token": "secret"}, "Bearer secret"),
    ("token file beside the kubeconfig", {"tokenFile": "token"}, "Bearer from-the-file"),
    ("the file wins", {"token": "secret", "tokenFile": "token"}, "Bearer from-the-file"),
)
def test_kubeconfig_token(write: Write, user: Object, expected: str | None) -> None:
    access = kubeconfig(write({}, user))
    assert authorization(access.auth) == expected
    assert "secret" not in repr(access)


@cases(
    "user",
    ("files", {"client-certificate": "tls.crt", "client-key": "tls.key"}),
    ("data in the file", DATA),
    ("data wins over a file", DATA | {"client-certificate": "missing"}),
)
def test_kubeconfig_client_certificate(write: Write, user: Object) -> None:
    assert kubeconfig(write({}, user)).auth is None


@cases(
    "cluster verified",
    ("authority in a file", {"certificate-authority": "ca.crt"}, True),
    ("authority as data", {"certificate-authority-data": AUTHORITY}, True),
    ("not verified", {"insecure-skip-tls-verify": True}, False),
)
def test_kubeconfig_ca(write: Write, cluster: Object, verified: bool) -> None:
    tls = kubeconfig(write(cluster, {})).tls
    assert tls.check_hostname is verified
    assert tls.verify_mode is (ssl.CERT_REQUIRED if verified else ssl.CERT_NONE)
    assert len(tls.get_ca_certs()) == 1 or not verified
    assert not tls.verify_flags & ssl.VERIFY_X509_STRICT


def test_kubeconfig_server_and_tls_name(write: Write) -> None:
    access = kubeconfig(write({"server": "https://front.door/k8s/clusters/c-1/", "tls-server-name": "api"}, {}))
    assert (access.server, access.server_name) == ("https://front.door/k8s/clusters/c-1", "api")


CLUSTER, USER = "clusters[here].cluster", "users[me].user"


@cases(
    "place fields message",
    ("no server", CLUSTER, {"server": ""}, "server: missing"),
    ("a server without a scheme", CLUSTER, {"server": "a:6443"}, f"server: {not_a_url('a:6443')}"),
    ("authority not base64", CLUSTER, {"certificate-authority-data": "%%%"}, "certificate-authority-data: not base64"),
    ("authority not PEM", CLUSTER, {"certificate-authority-data": encoded("no")}, "certificate-authority: no PEM"),
    (
        "insecure with an authority",
        CLUSTER,
        {"certificate-authority": "tls.crt", "insecure-skip-tls-verify": True},
        "insecure-skip-tls-verify: cannot be true beside a certificate-authority: drop one",
    ),
    ("a token with a space", USER, {"token": "two words"}, "token: not a bearer token"),
    ("token file missing", USER, {"tokenFile": "missing"}, "tokenFile: "),
    ("certificate without key", USER, {"client-certificate": "tls.crt"}, "client-key: missing: a client certificate"),
    (
        "another certificate's key",
        USER,
        {"client-certificate": "tls.crt", "client-key-data": OTHER_KEY},
        "client-certificate: not a PEM certificate with its key",
    ),
)
def test_unsupported_kubeconfig_field_is_named(write: Write, place: str, fields: Object, message: str) -> None:
    file = write(fields, {}) if place == CLUSTER else write({}, fields)
    with pytest.raises(CredentialsError) as raised:
        kubeconfig(file)
    assert str(raised.value).startswith(f"{file}: {place}.{message}")
    assert "two words" not in str(raised.value)


@pytest.mark.parametrize("field", ["exec", "auth-provider", "username", "as", "proxy-url"])
def test_unsupported_feature_of_a_kubeconfig_is_named(write: Write, field: str) -> None:
    place = CLUSTER if field == "proxy-url" else USER
    with pytest.raises(CredentialsError) as raised:
        kubeconfig(write({field: "x"} if field == "proxy-url" else {}, {field: "x"}))
    assert f"{place}.{field}: not supported here: {PROXY_HINT}" in str(raised.value)


DEV = "{{current-context: dev, contexts: [{{name: dev, context: {{{}}}}}]}}"


@cases(
    "text message",
    ("not YAML", "a: [", "not a kubeconfig: "),
    ("not a mapping", "just a text", "not a kubeconfig: the top level must be a mapping"),
    ("no current context", "{}", "current-context: missing"),
    ("the context is not there", "{current-context: dev}", 'contexts: no entry named "dev"'),
    ("not a list", "{current-context: dev, contexts: 7}", "contexts: must be a list, not int"),
    ("no cluster", DEV.format(""), "contexts[dev].context.cluster: missing"),
    ("the cluster is not there", DEV.format("cluster: here"), 'clusters: no entry named "here"'),
)
def test_malformed_kubeconfig_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(CredentialsError) as raised:
        kubeconfig(file)
    assert str(raised.value).startswith(f"{file}: {message}")


def test_kubeconfig_context_can_be_selected(write: Write) -> None:
    file = write({}, {"token": "secret"})
    document = yaml.safe_load(file.read_text())
    document["contexts"].append({"name": "anonymous", "context": {"cluster": "here"}})
    file.write_text(yaml.safe_dump(document))
    assert kubeconfig(file, "anonymous").auth is None
