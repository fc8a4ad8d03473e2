"""What can go wrong: each error says what happened, on which object, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

#: Reasons that are not a phase of an object.
DELETED = "Deleted"
NOT_FOUND = "NotFound"
NOT_INSTALLED = "NotInstalled"
ALREADY_ARRIVED = "AlreadyArrived"
TIMEOUT = "Timeout"
NO_ANSWER = "NoAnswer"
UNREACHABLE = "Unreachable"
TOO_MANY_PERMITS = "TooManyPermits"


class KonductorError(Exception):
    """The base of all errors of this package.

    ``kind``, ``namespace`` and ``name`` are the object that was asked for. ``reason`` is one word in
    PascalCase: a phase such as ``Skipped``, or why the request failed. ``message`` is for people.
    """

    def __init__(
        self, message: str, *, kind: str = "", namespace: str = "", name: str = "", reason: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        if not self.kind:
            return self.message
        return f"{self.kind.lower()}/{self.name} in namespace {self.namespace}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # With its cause an error could not always be pickled, and workers of pools send theirs.
        return _rebuild, (
            type(self),
            self.message,
            self.kind,
            self.namespace,
            self.name,
            self.reason,
        )


def _rebuild(
    cls: type[KonductorError], message: str, kind: str, namespace: str, name: str, reason: str
) -> KonductorError:
    return cls(message, kind=kind, namespace=namespace, name=name, reason=reason)


class ConfigError(KonductorError):
    """There is no cluster to connect to, or its configuration can't be used."""


class NotFound(KonductorError):
    """The object was deleted meanwhile; with ``fail_fast`` or a timeout of zero, it does not exist."""


class Unauthorized(KonductorError):
    """The API server does not accept the credentials."""


class Forbidden(KonductorError):
    """The account lacks the right."""


class TimedOut(KonductorError, TimeoutError):
    """The timeout passed.

    The reason is ``NotFound`` if the object did not exist, ``NoAnswer`` if no operator has looked at
    it, ``Unreachable`` if no API server answered, else ``Timeout``.
    """


class Failed(KonductorError):
    """The awaited state can no longer be reached; the reason is the phase."""


class Denied(KonductorError):
    """Nothing is free, and the call asked not to wait."""


class Lost(KonductorError):
    """What was held is no longer held: stop what it protects."""


class Released(KonductorError):
    """What was held was released by this program."""


class Unreachable(KonductorError, ConnectionError):
    """No API server answers, with ``fail_fast`` or a timeout of zero."""


class Refused(KonductorError):
    """The API server refuses the request as it is, or there are fewer permits than it asks for."""


class Invalid(KonductorError, ValueError):
    """A name, holder, TTL or number of permits can't be right; nothing was sent."""


class Canceled(KonductorError):
    """The client was closed during the call."""


E = TypeVar("E", bound=KonductorError)


@dataclass(frozen=True)
class Target:
    """An object, as requests and errors name it."""

    kind: str
    namespace: str
    name: str

    @property
    def resource(self) -> str:
        return self.kind.lower() + "s"

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"

    def error(self, cls: type[E], reason: str, message: str) -> E:
        return cls(message, kind=self.kind, namespace=self.namespace, name=self.name, reason=reason)


@dataclass(frozen=True)
class Seen:
    """The last known state of an object; without a reason, it had not reached the awaited state."""

    reason: str = ""
    detail: str = ""


UNHEARD = Seen(UNREACHABLE, "the API server has not answered; check the kubeconfig and the network")


def unreachable(cause: object) -> Seen:
    """The state after a request that no API server has answered."""
    return Seen(UNREACHABLE, f"the API server can't be reached: {cause}")


def timed_out(on: Target, after: float | None, seen: Seen) -> TimedOut:
    """The error of a timeout that has passed."""
    within = "in time" if after is None else f"within {after:g} s" if after else "yet"
    if not seen.reason:
        command = f"koncli {on.kind.lower()} get {on.name}"
        seen = Seen(TIMEOUT, f"`{command}` shows its state")
    return on.error(TimedOut, seen.reason, f"not {within}; {seen.detail}")
