"""The hook's settings, read from `ESO_*` variables once, at start."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from external_service.kind import DEFAULT_ENDPOINTS_FORM, EndpointsForm
from runtime.settings import COMMAS, EVERY_ADDRESS, LISTEN_PORT, CommonSettings, ListenHost, ListenPort

TOOL_ANNOTATIONS = ("kubectl.kubernetes.io/", "metacontroller.k8s.io/", "argocd.argoproj.io/", "meta.helm.sh/")


class Settings(CommonSettings):
    """Beside the common ones: where to listen, how much to read, how to publish, which annotations belong to tools."""

    listen_host: ListenHost = Field(
        EVERY_ADDRESS,
        description="Address on which the hook listens. `::` is every address of both families.",
    )
    listen_port: ListenPort = Field(
        8080,
        description="Port on which the hook listens. Change it together with the Service and the container port.",
    )
    metrics_listen_host: ListenHost = Field(
        EVERY_ADDRESS,
        description="Address on which the hook serves metrics and health.",
    )
    metrics_listen_port: ListenPort | None = Field(
        None,
        title=f"{LISTEN_PORT}, or leave it out",
        description=(
            "Port on which the hook serves metrics and health; empty: none. It is separate from the port that "
            "Metacontroller uses, which serves no metrics."
        ),
    )
    endpoints: EndpointsForm = Field(
        DEFAULT_ENDPOINTS_FORM,
        title="Endpoints, EndpointSlice or Both",
        description=(
            "Objects that publish the addresses. Both suits every consumer; EndpointSlice saves one request for "
            "each transition where all consumers read slices. It can be changed while traffic flows."
        ),
    )
    token_file: Path | None = Field(
        None,
        title="the path of a file with one bearer token or more, each on a line of its own",
        description=(
            "File with the bearer tokens that the hook accepts, read again when it changes; empty: requests need "
            "no token."
        ),
    )
    tls_cert_file: Path | None = Field(
        None,
        title="the path of a certificate (chain) in PEM",
        description="Certificate that the hook serves, read again when it changes; empty: plain HTTP.",
    )
    tls_key_file: Path | None = Field(
        None,
        title="the path of its key in PEM",
        description="Private key of the certificate.",
    )
    tls_client_ca_file: Path | None = Field(
        None,
        title="the path of a CA in PEM: only clients with a certificate of it are accepted",
        description="CA of the client certificates that the hook accepts; empty: no mutual TLS.",
    )
    docs: bool = Field(
        True,
        title="true, or false for neither /docs nor /openapi.json",
        description=(
            "Serve the API description (/docs and /openapi.json) on the port of the hook. Both need the token."
        ),
    )
    drain_seconds: float = Field(
        0.0,
        ge=0,
        le=60,
        title="seconds from 0 to 60",
        description=(
            "Seconds that the hook continues to serve after SIGTERM, so that a rollout fails no request. Keep it "
            "below terminationGracePeriodSeconds by 10."
        ),
    )
    max_body_bytes: int = Field(
        3 * 1024 * 1024,
        ge=1024,
        title="a number of bytes, 1024 or more",
        description=(
            "Largest request body in bytes; a larger one gets 413. A request takes about 12 times its body in "
            "memory: raise the memory limit with it."
        ),
    )
    snippet_annotations: bool = Field(
        False,
        title="true to allow *-snippet annotations on Ingresses, or false",
        description=(
            "Accept *-snippet annotations on Ingresses. Set true only where every author of an ExternalService "
            "may configure the ingress controller."
        ),
    )
    uncopied_annotations: Annotated[tuple[str, ...], *COMMAS] = Field(
        TOOL_ANNOTATIONS,
        title="the beginnings of annotations that the Ingress does not get, with commas between",
        description=(
            "Annotations of the ExternalService whose names begin so are not copied to the Ingress. Add the "
            "prefixes of your own tools."
        ),
    )

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        needed = bool(self.tls_cert_file or self.tls_key_file or self.tls_client_ca_file)
        if needed and not (self.tls_cert_file and self.tls_key_file):
            raise ValueError("ESO_TLS_CERT_FILE and ESO_TLS_KEY_FILE: write both, or none of the ESO_TLS_ ones")
        return self
