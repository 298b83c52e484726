"""The hook's settings, read from `ESO_*` variables once, at start."""

from dataclasses import dataclass
from pathlib import Path

from app.tls import TlsFiles
from external_service.kind import DEFAULT_FORM, Form
from runtime.environment import (
    CommonSettings,
    InvalidSettings,
    amount,
    each,
    matching,
    number,
    setting,
    word,
)

TOOL_ANNOTATIONS = ("kubectl.kubernetes.io/", "metacontroller.k8s.io/", "argocd.argoproj.io/", "meta.helm.sh/")


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Beside the common ones: where to listen, how much to read, how to publish, which annotations belong to tools."""

    listen_host: str = setting(
        "0.0.0.0",  # noqa: S104 - Metacontroller asks from another Pod
        matching(".+"),
        "an address of this machine",
    )
    listen_port: int = setting(8080, number(0, 65_535), "a port number from 0 to 65535 (0: any free one)")
    metrics_listen_host: str = setting(
        "0.0.0.0",  # noqa: S104 - Prometheus and the kubelet ask from outside the Pod
        matching(".+"),
        "an address of this machine",
    )
    metrics_listen_port: int | None = setting(
        None, number(0, 65_535), "a port number from 0 to 65535 (0: any free one), or leave it out"
    )
    endpoints: Form = setting(
        DEFAULT_FORM, word("Endpoints", "EndpointSlice", "Both"), "Endpoints, EndpointSlice or Both"
    )
    token_file: Path | None = setting(
        None, Path, "the path of a file with one bearer token or more, each on a line of its own"
    )
    tls_cert_file: Path | None = setting(None, Path, "the path of a certificate (chain) in PEM")
    tls_key_file: Path | None = setting(None, Path, "the path of its key in PEM")
    tls_client_ca_file: Path | None = setting(None, Path, "the path of a CA in PEM, whose clients alone get in")
    drain_seconds: float = setting(0.0, amount(0, 60), "seconds from 0 to 60")
    max_body_bytes: int = setting(16 * 1024 * 1024, number(1024), "a number of bytes, 1024 or more")
    uncopied_annotations: tuple[str, ...] = setting(
        TOOL_ANNOTATIONS, each(str), "the beginnings of annotations that the Ingress does not get, with commas between"
    )

    @property
    def tls(self) -> TlsFiles | None:
        """The files for TLS; None: plain HTTP. Raises InvalidSettings for a part without the others."""
        if self.tls_cert_file and self.tls_key_file:
            return TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)
        if self.tls_cert_file or self.tls_key_file or self.tls_client_ca_file:
            raise InvalidSettings("ESO_TLS_CERT_FILE and ESO_TLS_KEY_FILE: write both, or none of the ESO_TLS_ ones")
        return None
