"""The hook's settings, read from `ESO_*` variables once, at start."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from app.tls import TlsFiles
from external_service.kind import DEFAULT_ENDPOINTS_FORM, EndpointsForm
from runtime.settings import COMMAS, EVERY_ADDRESS, CommonSettings

TOOL_ANNOTATIONS = ("kubectl.kubernetes.io/", "metacontroller.k8s.io/", "argocd.argoproj.io/", "meta.helm.sh/")
PORT = "a port number from 0 to 65535 (0: any free one)"


class Settings(CommonSettings):
    """Beside the common ones: where to listen, how much to read, how to publish, which annotations belong to tools."""

    listen_host: str = Field(
        EVERY_ADDRESS,
        min_length=1,
        description="an address of this machine",
    )
    listen_port: int = Field(8080, ge=0, le=65_535, description=PORT)
    metrics_listen_host: str = Field(
        EVERY_ADDRESS,
        min_length=1,
        description="an address of this machine",
    )
    metrics_listen_port: int | None = Field(None, ge=0, le=65_535, description=f"{PORT}, or leave it out")
    endpoints: EndpointsForm = Field(DEFAULT_ENDPOINTS_FORM, description="Endpoints, EndpointSlice or Both")
    token_file: Path | None = Field(
        None, description="the path of a file with one bearer token or more, each on a line of its own"
    )
    tls_cert_file: Path | None = Field(None, description="the path of a certificate (chain) in PEM")
    tls_key_file: Path | None = Field(None, description="the path of its key in PEM")
    tls_client_ca_file: Path | None = Field(
        None, description="the path of a CA in PEM: only clients with a certificate of it are accepted"
    )
    docs: bool = Field(True, description="true, or false for neither /docs nor /openapi.json")
    drain_seconds: float = Field(0.0, ge=0, le=60, description="seconds from 0 to 60")
    max_body_bytes: int = Field(3 * 1024 * 1024, ge=1024, description="a number of bytes, 1024 or more")
    snippet_annotations: bool = Field(False, description="true to allow *-snippet annotations on Ingresses, or false")
    uncopied_annotations: Annotated[tuple[str, ...], *COMMAS] = Field(
        TOOL_ANNOTATIONS,
        description="the beginnings of annotations that the Ingress does not get, with commas between",
    )

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if bool(self.tls_cert_file) is not bool(self.tls_key_file) or (self.tls_client_ca_file and not self.tls):
            raise ValueError("ESO_TLS_CERT_FILE and ESO_TLS_KEY_FILE: write both, or none of the ESO_TLS_ ones")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """The files for TLS; None: plain HTTP."""
        if self.tls_cert_file and self.tls_key_file:
            return TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)
        return None
