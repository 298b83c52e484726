"""The hook's settings, read from `ESO_*` variables once, at start."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from app.api.environment import CommonSettings, InvalidSettings, split
from app.tls import TlsFiles

TOOL_ANNOTATIONS = ("kubectl.kubernetes.io/", "metacontroller.k8s.io/", "argocd.argoproj.io/", "meta.helm.sh/")


class Settings(CommonSettings):
    """Beside the common ones: where to listen, how much to read, how to publish, which annotations belong to tools."""

    listen_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - Metacontroller asks from another Pod
        min_length=1,
        description="an address of this machine",
    )
    listen_port: int = Field(
        default=8080, ge=0, le=65535, description="a port number from 0 to 65535 (0: any free one)"
    )
    metrics_listen_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - Prometheus and the kubelet ask from outside the Pod
        min_length=1,
        description="an address of this machine",
    )
    metrics_listen_port: int | None = Field(
        default=None, ge=0, le=65535, description="a port number from 0 to 65535 (0: any free one), or leave it out"
    )
    endpoints: Literal["Endpoints", "EndpointSlice", "Both"] = Field(
        default="Endpoints", description="Endpoints, EndpointSlice or Both"
    )
    token_file: Path | None = Field(
        default=None, description="the path of a file with one bearer token or more, each on a line of its own"
    )
    tls_cert_file: Path | None = Field(default=None, description="the path of a certificate (chain) in PEM")
    tls_key_file: Path | None = Field(default=None, description="the path of its key in PEM")
    tls_client_ca_file: Path | None = Field(
        default=None, description="the path of a CA in PEM, whose clients alone get in"
    )
    drain_seconds: float = Field(default=0, ge=0, le=60, description="seconds from 0 to 60")
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024, description="a number of bytes, 1024 or more")
    uncopied_annotations: Annotated[tuple[str, ...], NoDecode] = Field(
        default=TOOL_ANNOTATIONS,
        description="the beginnings of annotations that the Ingress does not get, with commas between",
    )

    @property
    def tls(self) -> TlsFiles | None:
        """The files for TLS; None: plain HTTP. Raises InvalidSettings for a part without the others."""
        if self.tls_cert_file and self.tls_key_file:
            return TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)
        if self.tls_cert_file or self.tls_key_file or self.tls_client_ca_file:
            raise InvalidSettings("ESO_TLS_CERT_FILE and ESO_TLS_KEY_FILE: write both, or none of the ESO_TLS_ ones")
        return None

    @field_validator("uncopied_annotations", mode="before")
    @classmethod
    def _split_prefixes(cls, value: object) -> object:
        return split(value)
