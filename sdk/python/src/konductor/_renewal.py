"""When a grant is renewed, and when it is lost: decisions alone, without a clock or a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

#: Bounds a pause: timers stand still while the machine sleeps, the clock does not.
LOOK_EVERY = 1.0
#: The shortest limit of an attempt, if that much time is left.
ATTEMPT_MIN = 1.0

NOT_RENEWED = "it was not renewed in time"
TAKEN_BACK = "the operator took it back, or its claim was deleted"


class Renewed(Enum):
    """What an attempt to renew has shown."""

    HELD = "held"
    TAKEN_BACK = "taken back"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Attempt:
    limit: float


@dataclass(frozen=True)
class Ended:
    why: str


class Renewal:
    """Keeps a grant: it is renewed at a third of its TTL, and lost at 4/5 of it.

    ``confirmed`` is when the last answered renewal was sent: the operator counts from some moment
    after.
    """

    def __init__(self, ttl: float, confirmed: float) -> None:
        self.ttl = ttl
        self._confirm(confirmed)

    def _confirm(self, sent: float) -> None:
        self.until = sent + self.ttl * 4 / 5
        self._due = sent + self.ttl / 3

    def attempt_limit(self) -> float:
        """An attempt must leave time for another."""
        return max(self.ttl / 6, ATTEMPT_MIN)

    def step(self, now: float) -> Pause | Attempt | Ended:
        """Decides what to do next."""
        left = self.until - now
        if left <= 0:
            return Ended(NOT_RENEWED)
        if now < self._due:
            return Pause(min(self._due - now, left, LOOK_EVERY))
        return Attempt(min(left, self.attempt_limit()))

    def answer(self, renewed: Renewed, sent: float, now: float) -> Ended | None:
        """Takes the result of an attempt that was sent then."""
        if renewed is Renewed.TAKEN_BACK:
            return Ended(TAKEN_BACK)
        if renewed is Renewed.HELD:
            self._confirm(sent)
        else:
            self._due = now + self.ttl / 30
        return None
