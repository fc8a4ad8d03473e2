"""What calls report while they run: for metrics, and for people who wait."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ._errors import Target
from ._json import Json, dig, text

log = logging.getLogger("konductor")


@dataclass(frozen=True)
class Event:
    """Something that has happened in a call, or to what it acquired."""

    #: ``Waiting``: what the operator says about what is waited for has changed.
    what: Literal["Waiting", "Acquired", "Renewed", "RenewalFailed", "Lost", "Released"]
    #: The object that was asked for, such as a Lease.
    kind: str
    namespace: str
    name: str
    #: Seconds: how long the acquisition or the renewal took, or how long it was held.
    after: float = 0.0
    #: What the operator says.
    message: str = ""


class Observer:
    """Who is told of events."""

    def __init__(self, observe: Callable[[Event], None] | None) -> None:
        self._observe = observe

    def report(
        self,
        what: Literal["Waiting", "Acquired", "Renewed", "RenewalFailed", "Lost", "Released"],
        on: Target,
        *,
        after: float = 0.0,
        message: str = "",
    ) -> None:
        if self._observe is None:
            return
        try:
            self._observe(Event(what, on.kind, on.namespace, on.name, after, message))
        except Exception:
            log.exception("what observes events has failed")


def progress(found: Json) -> str:
    """Returns what the operator says about an object that is waited for."""
    conditions = dig(found, "status", "conditions")
    said = [
        text(one, "message")
        for one in (conditions if isinstance(conditions, list) else [])
        if text(one, "type") == "Open"
    ]
    return text(found, "status", "message") or (said or [""])[0]
