"""What the environment says: `ESO_*` variables, read once, at start."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.api.policy import AddressPolicy

Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode]


class Settings(BaseSettings):
    """The sidecar's settings. CIDR lists are written with commas: `ESO_DENIED_CIDRS=10.96.0.0/12,fd00::/8`."""

    model_config = SettingsConfigDict(env_prefix="ESO_", frozen=True, extra="ignore")

    allowed_cidrs: Networks = ()
    denied_cidrs: Networks = ()
    allow_loopback: bool = False
    namespace: str = ""
    health_host: str = "0.0.0.0"  # noqa: S104 - the kubelet asks from outside the Pod
    health_port: int = Field(default=8081, ge=0, le=65535)
    tick_milliseconds: int = Field(default=10, ge=0, le=1_000)
    concurrent_probes: int | None = Field(default=None, ge=1)
    concurrent_writes: int = Field(default=32, ge=1, le=1_000)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("allowed_cidrs", "denied_cidrs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @property
    def policy(self) -> AddressPolicy:
        """Which addresses may be probed."""
        return AddressPolicy(allow=self.allowed_cidrs, deny=self.denied_cidrs, loopback=self.allow_loopback)
