"""The settings that hook and sidecar have in common, read from `ESO_*` variables once, at start.

Both must judge addresses by the same policy, so it has one source.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.api.logs import Form
from app.api.policy import PRESETS, AddressPolicy
from app.api.scope import SELECTOR_WISH, Scope, canonical

PREFIX = "ESO_"

Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode]
NamespaceName = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


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

    namespaces: Annotated[tuple[NamespaceName, ...], NoDecode] = Field(
        default=(), description="the namespaces to work in, with commas between, or nothing for all of them"
    )
    namespace: NamespaceName | Literal[""] = Field(
        default="", validate_default=True, description="nothing: it is the old name of ESO_NAMESPACES"
    )
    label_selector: str = Field(default="", description=SELECTOR_WISH)

    @field_validator("label_selector")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return canonical(value)

    @field_validator("allowed_cidrs", "denied_cidrs", "denied_presets", "namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split(value)

    @field_validator("namespace")
    @classmethod
    def _old_and_new_agree(cls, value: str, info: ValidationInfo) -> str:
        if value and set(info.data.get("namespaces", ())) - {value}:
            raise ValueError
        return value

    @property
    def scope(self) -> Scope:
        """Which ExternalServices are worked for."""
        return Scope(tuple(sorted({*self.namespaces, self.namespace} - {""})), self.label_selector)

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
