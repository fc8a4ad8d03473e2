"""A grant of permits or of a Lease, while it is renewed and after."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from ._clock import now
from ._errors import Lost, Released, Target

log = logging.getLogger("konductor")


class Grant:
    """Granted permits, or a granted Lease. Any thread may ask it whether it is still held."""

    def __init__(
        self,
        on: Target,
        claim: str,
        token: int | None,
        until: float,
        release: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self.on = on
        self.claim = claim
        self.token = token
        #: When it ends without a further renewal, by the clock that counts TTLs.
        self.until = until
        self.release_claim = release
        #: When it was granted, by that clock.
        self.since = now()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._lost = ""
        self._released = False
        self._watching: list[Callable[[], None]] = []

    @property
    def is_lost(self) -> bool:
        """Whether it was lost. It looks at the clock, as ``check`` does."""
        return bool(self._why())

    @property
    def is_ours(self) -> bool:
        """Whether it is for this process to release it."""
        return not self._released and os.getpid() == self._pid

    def loss(self) -> Lost | None:
        """Returns the error that ``check`` raises if it was lost."""
        why = self._why()
        if not why:
            return None
        return self.on.error(Lost, "Lost", f"what was held is lost: {why}; stop what it protects")

    def check(self) -> None:
        """Raises ``Lost`` if it was lost, and ``Released`` if it was released.

        It reads the clock, so a process that was stopped for longer than the TTL learns of the loss
        before it continues.
        """
        lost = self.loss()
        if lost:
            raise lost
        if self._released:
            raise self.on.error(Released, "Released", "it was released")

    def _why(self) -> str:
        if self._lost:
            return self._lost
        if self._released:
            return ""
        if os.getpid() != self._pid:
            return "this process is a fork of the one that holds it"
        if now() >= self.until:
            return "it was not renewed in time"
        return ""

    def lose(self, why: str) -> None:
        """Takes note that it was lost."""
        with self._lock:
            if self._lost or self._released:
                return
            self._lost = why
            watching, self._watching = self._watching, []
        for callback in watching:
            try:
                callback()
            except Exception:
                log.exception("what was to be called after %s was lost has failed", self.on)

    def end(self) -> bool:
        """Takes note that it is released; whether that is new."""
        with self._lock:
            was, self._released = self._released, True
            self._watching = []
        return not was

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Calls back when it is lost, from the thread that renews; at once if it was."""
        with self._lock:
            if not self._lost:
                self._watching.append(callback)
                return
        callback()

    def forget(self, callback: Callable[[], None]) -> None:
        """Calls back no longer."""
        with self._lock:
            if callback in self._watching:
                self._watching.remove(callback)
