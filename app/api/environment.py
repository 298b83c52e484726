"""The settings that hook and sidecar have in common, read from `ESO_*` variables once, at start.

Both must judge addresses by the same policy, so it has one source.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.api.logs import Form
from app.api.policy import PRESETS, AddressPolicy

PREFIX = "ESO_"

Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode]


class InvalidSettings(Exception):
    """A variable cannot be read: the text names it and says what to write instead."""


class CommonSettings(BaseSettings):
    """Lists are written with commas: `ESO_DENIED_CIDRS=10.96.0.0/12,fd00::/8`. Descriptions say what to write.

    No setting is called PORT or SERVICE_HOST: in a namespace with a Service named "eso" Kubernetes gives each container
    an ESO_PORT of its own, such as tcp://10.96.0.17:80.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    allowed_cidrs: Networks = Field(default=(), description="networks such as 10.0.0.0/8, with commas between")
    denied_cidrs: Networks = Field(default=(), description="networks such as 10.96.0.0/12, with commas between")
    denied_presets: Annotated[tuple[Literal["metadata"], ...], NoDecode] = Field(
        default=("metadata",), description="metadata, or nothing to deny no ranges by name"
    )
    allow_loopback: bool = Field(default=False, description="true or false")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    log_format: Form = Field(default="text", description="text or json")

    @field_validator("allowed_cidrs", "denied_cidrs", "denied_presets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split(value)

    @property
    def policy(self) -> AddressPolicy:
        """Which addresses may be published and probed."""
        named = tuple(network for preset in self.denied_presets for network in PRESETS[preset])
        return AddressPolicy(allow=self.allowed_cidrs, deny=self.denied_cidrs + named, loopback=self.allow_loopback)


S = TypeVar("S", bound=CommonSettings)


def split(value: object) -> object:
    """A list from text with commas; anything else as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def load(settings: type[S], **given: str | int | None) -> S:
    """`settings` from the environment; what is `given` and not None wins. Raises InvalidSettings."""
    try:
        return settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type] # judged by pydantic, as the environment is
    except ValidationError as error:
        wrong = {str(detail["loc"][0]): detail["input"] for detail in error.errors()}
        lines = (_line(settings, name, value) for name, value in wrong.items())
        raise InvalidSettings("; ".join(lines)) from None


def _line(settings: type[CommonSettings], name: str, value: object) -> str:
    return f'{PREFIX}{name.upper()}: write {settings.model_fields[name].description} (got "{value}")'
