"""The part of core/v1 and meta/v1 that an ExternalService uses, with the API server's own field names and defaults.

Defaults and limits follow kubernetes:pkg/apis/core/v1/defaults.go and pkg/apis/core/validation.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=86_400)]
Threshold = Annotated[int, Field(strict=True, ge=1, le=1_000)]

HANDLERS = ("httpGet", "tcpSocket", "grpc")


class Model(BaseModel):
    """A frozen value read at a door. Unknown fields are ignored, as the API server prunes them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class HTTPHeader(Model):
    """One request header of an HTTP probe; a name may repeat. The first `Host` becomes the request's Host."""

    name: str = Field(min_length=1, max_length=256, pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")
    value: str = Field(default="", max_length=8_192, pattern=r"^[^\r\n\x00]*$")


class HTTPGetAction(Model):
    """GET `scheme`://address:`port``path`; `host` is only the Host header and the TLS server name (deviation D8)."""

    port: Port
    path: str = Field(default="/", max_length=4_096)
    host: str = Field(default="", max_length=253)
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    httpHeaders: tuple[HTTPHeader, ...] = Field(default=(), max_length=64)


class TCPSocketAction(Model):
    """Succeeds when the address accepts a connection on `port`. `host` is ignored (deviation D8)."""

    port: Port
    host: str = Field(default="", max_length=253)


class GRPCAction(Model):
    """grpc.health.v1.Health/Check of `service` in plaintext on `port`."""

    port: Port
    service: str = Field(default="", max_length=1_024)


class Probe(Model):
    """A readiness probe: one handler, and the kubelet's times (seconds) and thresholds (consecutive results)."""

    httpGet: HTTPGetAction | None = None
    tcpSocket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    exec: Any = None
    initialDelaySeconds: Annotated[int, Field(strict=True, ge=0, le=86_400)] = 0
    periodSeconds: Seconds = 10
    timeoutSeconds: Seconds = 1
    successThreshold: Threshold = 1
    failureThreshold: Threshold = 3

    @model_validator(mode="after")
    def _exactly_one_handler(self) -> "Probe":
        if self.exec is not None:
            raise ValueError(
                "exec is not supported: an address outside the cluster has no container to run a command in; "
                "write httpGet, tcpSocket or grpc"
            )
        given = [name for name in HANDLERS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise ValueError(f"write exactly one of httpGet, tcpSocket, grpc (found {found})")
        return self

    @property
    def handler(self) -> HTTPGetAction | TCPSocketAction | GRPCAction:
        """The one handler that is set."""
        action = self.httpGet or self.tcpSocket or self.grpc
        assert action is not None  # noqa: S101 - the validator above has refused everything else
        return action


class ObjectMeta(Model):
    """The metadata that we read. `uid` tells a re-created object from its predecessor of the same name."""

    name: str = Field(min_length=1)
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resourceVersion: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
