"""The settings that both processes have in common, read from `ESO_*` variables with pydantic-settings.

Both must judge addresses by the same policy, so it has one source.
"""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from external_service.admission import Features
from external_service.kind import NAMESPACE
from external_service.policy import PRESETS, AddressPolicy, Network
from external_service.scope import SELECTOR_WISH, Scope, canonical
from runtime.logs import LogFormat

PREFIX = "ESO_"

LISTEN_PORT = "a port number from 0 to 65535 (0: any free one)"
ListenHost = Annotated[str, Field(min_length=1, title="an address of this machine")]
ListenPort = Annotated[int, Field(ge=0, le=65_535, title=LISTEN_PORT)]
EVERY_ADDRESS = "::"
"""To listen on: every address of both families. A cluster's Pods may have IPv4 addresses, IPv6 addresses or both."""

ALIKE = 0.85
"""From this similarity on (difflib's ratio) an unknown name counts as a misspelt one. No setting of one process is that
similar to a setting of the other."""


class InvalidSettings(Exception):
    """A variable cannot be read: the text names it and says what to write instead."""


def _parts(value: object) -> object:
    return [part for part in map(str.strip, value.split(",")) if part] if isinstance(value, str) else value


COMMAS = (NoDecode, BeforeValidator(_parts))
"""Of a list: its text has commas between the parts."""

Networks = Annotated[tuple[Network, ...], *COMMAS]
NamespaceName = Annotated[str, Field(max_length=63, pattern=f"^{NAMESPACE}$")]


class CommonSettings(BaseSettings):
    """The field `log_level` is the variable ESO_LOG_LEVEL.

    The title of a field completes "write ..." in error messages, its description is the text of docs/configuration.md.

    No setting is called PORT or SERVICE_HOST: in a namespace with a Service named "eso" Kubernetes gives each container
    an ESO_PORT of its own, such as tcp://10.96.0.17:80.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    allowed_cidrs: Networks = Field(
        (),
        title="networks such as 10.0.0.0/8, with commas between",
        description=(
            "If not empty, the only ranges whose addresses are published and probed. Set it where users must "
            "reach a few known networks alone. ESO_DENIED_CIDRS has precedence."
        ),
    )
    denied_cidrs: Networks = Field(
        (),
        title="networks such as 10.96.0.0/12, with commas between",
        description=(
            "Ranges whose addresses are neither published nor probed. Write the Pod and Service ranges of the "
            "cluster here: without them an ExternalService can point at any Pod."
        ),
    )
    denied_presets: Annotated[tuple[Literal["metadata"], ...], *COMMAS] = Field(
        ("metadata",),
        title="metadata, or nothing to deny no ranges by name",
        description=(
            "Named sets of denied ranges. metadata denies the addresses where clouds hand out credentials and "
            "that are not link-local. Leave it unless such an address is a real target."
        ),
    )
    allow_loopback: bool = Field(
        False,
        title="true or false",
        description="Publish and probe loopback addresses. For tests and local development only.",
    )
    body_contains: bool = Field(
        True,
        title="true, or false to refuse httpGet.bodyContains in probes",
        description=(
            "Accept httpGet.bodyContains. Set false where users must not learn what an address responds: they can "
            "read a response letter by letter with it."
        ),
    )
    probe_secrets: bool = Field(
        False,
        title="true to accept Secrets in probes, or false",
        description=(
            "Accept Secrets in probes: client certificates, values of headers, CAs. The prober also needs the right to "
            "get them. Set true only where every author of an ExternalService may read the Secrets of its namespace."
        ),
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        title="debug, info, warning or error",
        description="Least severity of the log lines that are written. debug adds one line for each sync.",
    )
    log_format: LogFormat = Field(
        "text",
        title="text or json",
        description="Form of a log line. json is one object a line, with externalService and address as fields.",
    )
    namespaces: Annotated[tuple[NamespaceName, ...], *COMMAS] = Field(
        (),
        title="the namespaces to work in, with commas between, or nothing for all of them",
        description=(
            "Namespaces whose ExternalServices are handled; empty: all. Set it to run with Roles in these "
            "namespaces instead of ClusterRoles."
        ),
    )
    label_selector: Annotated[str, AfterValidator(canonical)] = Field(
        "",
        title=SELECTOR_WISH,
        description=(
            "ExternalServices that are handled, by label; empty: all. Set it for several installations in one "
            "cluster, with the same selector in the CompositeController."
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_none(cls, given: dict[str, Any]) -> dict[str, Any]:
        """An empty variable is the default where that is None."""
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {name: value for name, value in given.items() if value != "" or name not in optional}

    @property
    def scope(self) -> Scope:
        """Which ExternalServices are worked for."""
        return Scope(tuple(sorted(set(self.namespaces))), self.label_selector)

    @property
    def features(self) -> Features:
        """Features that expose much."""
        return Features(self.body_contains, self.probe_secrets)

    @property
    def policy(self) -> AddressPolicy:
        """Which addresses may be published and probed."""
        named = tuple(network for preset in self.denied_presets for network in PRESETS[preset])
        return AddressPolicy(allow=self.allowed_cidrs, deny=self.denied_cidrs + named, loopback=self.allow_loopback)


S = TypeVar("S", bound=CommonSettings)


def hints(settings: type[CommonSettings]) -> dict[str, str]:
    """Allowed values of each setting, by the name of its field."""
    return {name: one.title or "" for name, one in settings.model_fields.items()}


def load(settings: type[S], **given: str | int | None) -> S:
    """`settings` from the environment; what is `given` and not None wins. Raises InvalidSettings."""
    if misspelt := "; ".join(_misspelt(settings)):
        raise InvalidSettings(misspelt)
    try:
        return settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise InvalidSettings("; ".join(_problems(settings, error))) from None


def variable(name: str) -> str:
    """The variable of a field."""
    return f"{PREFIX}{name.upper()}"


def _problems(settings: type[CommonSettings], error: ValidationError) -> Iterator[str]:
    """One line for each setting that is wrong."""
    details: dict[Any, Any] = {}
    for detail in error.errors(include_url=False):
        details.setdefault(detail["loc"][:1], detail)
    for place, detail in details.items():
        if place:
            name = str(place[0])
            yield f'{variable(name)}: write {hints(settings)[name]} (got "{detail["input"]}")'
        else:  # of a model_validator, which names the variables itself
            yield detail["msg"].removeprefix("Value error, ")


def _misspelt(settings: type[CommonSettings]) -> Iterator[str]:
    """A misspelt list of denied networks would otherwise be ignored without a word."""
    variables = [variable(name) for name in settings.model_fields]
    for name in os.environ:
        if name.startswith(PREFIX) and name not in variables:
            for meant in get_close_matches(name, variables, 1, ALIKE):
                yield f"{name}: there is no such setting, write {meant}"
