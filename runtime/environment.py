"""The settings that hook and sidecar have in common, read from `ESO_*` variables once, at start.

Both must judge addresses by the same policy, so it has one source.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, TypeVar

from external_service.policy import PRESETS, AddressPolicy
from external_service.scope import SELECTOR_WISH, Scope, canonical
from runtime.logs import Form

PREFIX = "ESO_"

ALIKE = 0.85
"""From so much on (difflib's ratio) a name is taken for a misspelt one; no setting of hook or sidecar is so near to one
of the other."""

Network = IPv4Network | IPv6Network
Level = Literal["debug", "info", "warning", "error"]

NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"

T = TypeVar("T")
W = TypeVar("W", bound=str)

_TRUTHS = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}


class InvalidSettings(Exception):
    """A variable cannot be read: the text names it and says what to write instead."""


class Unreadable(ValueError):
    """`part` of a list cannot be read."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


def setting(default: T, read: Callable[[str], T], wish: str) -> T:
    """A field that `read` makes from the text of its variable, or raises ValueError; `wish` says what to write."""
    return field(default=default, metadata={"read": read, "wish": wish})


def number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number within these bounds."""

    def read(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            raise ValueError
        return value

    return read


def amount(least: float, most: float) -> Callable[[str], float]:
    """A number within these bounds."""

    def read(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise ValueError
        return value

    return read


def truth(text: str) -> bool:
    """Mostly "true" or "false"."""
    if (value := _TRUTHS.get(text.lower())) is None:
        raise ValueError
    return value


def word(*known: W) -> Callable[[str], W]:
    """One of these words."""

    def read(text: str) -> W:
        found = next((one for one in known if one == text), None)
        if found is None:
            raise ValueError
        return found

    return read


def matching(pattern: str) -> Callable[[str], str]:
    """A text that matches from end to end."""

    def read(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError
        return text

    return read


def each(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """What stands between commas, one by one."""

    def part(text: str) -> T:
        try:
            return read(text)
        except ValueError:
            raise Unreadable(text) from None

    return lambda text: tuple(part(one) for one in map(str.strip, text.split(",")) if one)


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """Lists are written with commas: `ESO_DENIED_CIDRS=10.96.0.0/12,fd00::/8`.

    No setting is called PORT or SERVICE_HOST: in a namespace with a Service named "eso" Kubernetes gives each container
    an ESO_PORT of its own, such as tcp://10.96.0.17:80.
    """

    allowed_cidrs: tuple[Network, ...] = setting(
        (), each(ip_network), "networks such as 10.0.0.0/8, with commas between"
    )
    denied_cidrs: tuple[Network, ...] = setting(
        (), each(ip_network), "networks such as 10.96.0.0/12, with commas between"
    )
    denied_presets: tuple[Literal["metadata"], ...] = setting(
        ("metadata",), each(word("metadata")), "metadata, or nothing to deny no ranges by name"
    )
    allow_loopback: bool = setting(False, truth, "true or false")
    log_level: Level = setting("info", word("debug", "info", "warning", "error"), "debug, info, warning or error")
    log_format: Form = setting("text", word("text", "json"), "text or json")

    namespaces: tuple[str, ...] = setting(
        (), each(matching(NAMESPACE)), "the namespaces to work in, with commas between, or nothing for all of them"
    )
    namespace: str = setting("", matching(f"({NAMESPACE})?"), "nothing: it is the old name of ESO_NAMESPACES")
    label_selector: str = setting("", canonical, SELECTOR_WISH)

    def unfit(self) -> Iterator[str]:
        """The names of those that do not go together with the others."""
        if self.namespace and set(self.namespaces) - {self.namespace}:
            yield "namespace"

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


def wishes(settings: type[CommonSettings]) -> dict[str, str]:
    """What to write into each setting, by its name: `tick_milliseconds` is the variable ESO_TICK_MILLISECONDS."""
    return {one.name: one.metadata["wish"] for one in fields(settings)}


def load(settings: type[S], **given: str | int | None) -> S:
    """`settings` from the environment; what is `given` and not None wins. Raises InvalidSettings."""
    known = {_variable(name): name for name in wishes(settings)}
    if misspelt := "; ".join(_misspelt(known)):
        raise InvalidSettings(misspelt)
    texts = {name: os.environ[variable] for variable, name in known.items() if variable in os.environ}
    texts |= {name: str(value) for name, value in given.items() if value is not None}
    found, wrong = {}, {}
    for one in fields(settings):
        if one.name in texts:
            try:
                found[one.name] = one.metadata["read"](texts[one.name])
            except ValueError as problem:
                wrong[one.name] = problem.part if isinstance(problem, Unreadable) else texts[one.name]
    made = settings(**found)
    if not wrong:
        wrong = {name: texts.get(name, "") for name in made.unfit()}
    if wrong:
        said = wishes(settings)
        raise InvalidSettings(
            "; ".join(f'{_variable(name)}: write {said[name]} (got "{wrong[name]}")' for name in wrong)
        )
    return made


def _misspelt(known: Iterable[str]) -> Iterator[str]:
    """A list of denied networks that nobody reads would be believed in."""
    known = list(known)
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in known:
            for meant in get_close_matches(variable, known, 1, ALIKE):
                yield f"{variable}: there is no such setting, write {meant}"


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
