"""Decides whether an address or our own network caused a missing response. Pure; `now` is an argument (ADR 11).

An address that answers anything, a reset or an HTTP 500, proves that our network reaches it. Silence proves nothing by
itself: it counts against an address only if somebody else was heard meanwhile, or if nobody was for too long.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

TELLING_SECONDS: Final = 2.0
"""A doubt is told when it has stood for so long. Before that, those who are asked out of turn have usually answered."""


class Silence(NamedTuple):
    """The latest probes of an address, all of which ended in silence, in seconds of the prober's clock.

    `first` and `last` are when the first and the latest of them began; `heard` is what the guard's `heard_at` was as
    the latest one began.
    """

    first: float
    last: float
    heard: float = -inf

    @property
    def repeated(self) -> bool:
        """Whether there was more than one."""
        return self.last > self.first


class Suspect(Hashable, Protocol):
    """What is judged: `silence` is None once it has answered."""

    silence: Silence | None


Item = TypeVar("Item", bound=Suspect)


@dataclass(slots=True)
class Doubt:
    """An unbroken time in which nobody is heard. `asked` is when the probe began whose verdict was the first held."""

    asked: float
    begun: float
    told: bool = False


class OutageGuard(Generic[Item]):
    """Judges silences. `hold` is for how many seconds a verdict waits for proof while nobody answers; 0: never.

    `heard_at` is when the latest probe began that was answered at all, whoever answered. `begun` counts the doubts
    that were told.
    """

    def __init__(self, hold: float) -> None:
        self.hold = hold
        self.heard_at = -inf
        self.doubt: Doubt | None = None
        self.begun = 0
        self._seconds = 0.0
        self._held: dict[Item, float] = {}  # until when, earliest first: nobody has been heard since
        self._unproven: dict[Item, None] = {}  # somebody has, and their own next probe will tell

    @property
    def degraded(self) -> bool:
        """Whether a doubt stands that has been told."""
        return self.doubt is not None and self.doubt.told

    @property
    def held(self) -> int:
        """How many verdicts wait."""
        return len(self._held) + len(self._unproven)

    def seconds(self, now: float) -> float:
        """How long it was degraded in all."""
        return self._seconds + (now - self.doubt.begun if self.doubt is not None and self.doubt.told else 0.0)

    def heard_since(self, began: float) -> bool:
        """Whether somebody has answered a probe that began then or later."""
        return self.heard_at >= began

    def proven(self, silence: Silence) -> bool:
        """Whether somebody was heard between the first and the latest of these probes, and somebody since.

        So the latest one began while the network worked, and no single outage of ours covers them all.
        """
        return silence.heard >= silence.first and self.heard_since(silence.last)

    def admits(self, item: Item, silence: Silence, now: float) -> bool:
        """Whether the verdict by these may be published at once; if not, it is held.

        Of a first silence (failureThreshold 1) it is enough that somebody was heard since, unless it has been held.
        """
        fresh = not silence.repeated and not self._holds(item)
        if self.hold <= 0 or (self.heard_since(silence.last) if fresh else self.proven(silence)):
            self.forget(item)
            return True
        if self.heard_since(silence.last):
            if not self._holds(item):
                self._unproven[item] = None
        elif item not in self._held:
            self._unproven.pop(item, None)
            self._held[item] = now + self.hold
            if self.doubt is None:
                self.doubt = Doubt(silence.last, now)
        return False

    def hear(self, began: float, now: float) -> Sequence[Item]:
        """A probe that began then was answered. Gives those whose silence is thereby proven: they are let go."""
        self.heard_at = max(self.heard_at, began)
        if self.doubt is not None and began >= self.doubt.asked:
            self.calm(now)
        if not self._held and not self._unproven:
            return ()
        waiting = (*self._held, *self._unproven)
        found = [item for item in waiting if item.silence is not None and self.proven(item.silence)]
        for item in found:
            self.forget(item)
        return found

    def calm(self, now: float) -> None:
        """No reason to doubt any more; what is held now waits for its own next probe."""
        self._seconds, self.doubt = self.seconds(now), None
        self._unproven.update(dict.fromkeys(self._held))
        self._held.clear()

    def forget(self, item: Item) -> None:
        """It has answered, or is not probed any more."""
        self._held.pop(item, None)
        self._unproven.pop(item, None)

    def next_due(self) -> float:
        """When `elapse` has something to do."""
        telling = inf
        if self.doubt is not None and not self.doubt.told:
            telling = self.doubt.begun + TELLING_SECONDS
        return min(telling, next(iter(self._held.values()), inf))

    def elapse(self, now: float) -> Sequence[Item]:
        """Tell the doubt if it is time. Gives those that have been held for too long: they are let go."""
        if now < self.next_due():
            return ()
        if self.doubt is not None and not self.doubt.told:
            self.doubt.told = True
            self.begun += 1
        over = [item for item, until in self._held.items() if until <= now]
        for item in over:
            self.forget(item)
        return over

    def _holds(self, item: Item) -> bool:
        return item in self._held or item in self._unproven
