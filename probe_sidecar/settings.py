"""The sidecar's settings, from `ESO_*` variables; what it shares with the hook is in `app.api.environment`."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from app.api.environment import CommonSettings, split


class Settings(CommonSettings):
    """Each field is a variable: `tick_milliseconds` is ESO_TICK_MILLISECONDS."""

    health_listen_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - the kubelet asks from outside the Pod
        min_length=1,
        description="an address of this machine",
    )
    health_listen_port: int = Field(
        default=8081, ge=0, le=65535, description="a port number from 0 to 65535 (0: any free one)"
    )
    tick_milliseconds: int = Field(
        default=10, ge=0, le=1_000, description="milliseconds from 0 to 1000 (0: start each probe exactly when due)"
    )
    concurrent_probes: int | None = Field(default=None, ge=1, description="a number, 1 or more")
    ca_sources: Annotated[tuple[Literal["ConfigMap", "Secret"], ...], NoDecode] = Field(
        default=("ConfigMap",),
        description="where CAs may be read from: ConfigMap, Secret, or both with a comma between",
    )
    ca_refresh_seconds: int = Field(default=60, ge=1, le=86_400, description="a number of seconds from 1 to 86400")
    concurrent_writes: int = Field(default=32, ge=1, le=1_000, description="a number from 1 to 1000")
    address_metrics: bool = Field(default=True, description="true, or false for no metric with a series an address")
    events: bool = Field(default=True, description="true, or false for no Events on transitions")
    api_qps: float = Field(default=200, gt=0, le=10_000, description="requests a second, such as 200")
    api_burst: int = Field(default=400, ge=1, le=100_000, description="requests at once, such as 400")
    lease_namespace: str = Field(
        default="", pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$", description="the namespace of the Leases, its own"
    )
    pod_name: str = Field(
        default="",
        max_length=200,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$",
        validate_default=True,
        description="the name of the Pod, where ESO_LEASE_NAMESPACE is set, and only there",
    )
    lease_seconds: int = Field(default=15, ge=3, le=300, description="seconds from 3 to 300")

    @field_validator("ca_sources", mode="before")
    @classmethod
    def _split_sources(cls, value: object) -> object:
        return split(value)

    @field_validator("pod_name")
    @classmethod
    def _both_or_neither(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) is not bool(info.data.get("lease_namespace", value)):
            raise ValueError
        return value
