"""Waiting for an object: a read, then a watch from that version on."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from ._errors import (
    DELETED,
    NOT_FOUND,
    NOT_INSTALLED,
    UNHEARD,
    Forbidden,
    KonductorError,
    NotFound,
    Refused,
    Seen,
    Target,
    Unauthorized,
    Unreachable,
    unreachable,
)
from ._events import progress
from ._http import Answer, NoAnswer, explain, uncertain
from ._json import Json, dig, text
from ._timing import PAUSE_MAX, Backoff

log = logging.getLogger("konductor")

#: How long an API server that has answered once, or was away, may deny rights and resources: one that
#: has just started does, until it has read its roles and CustomResourceDefinitions.
_PATIENCE = 10.0
#: A watch that ended as asked after this long is continued where it ended.
_CONTINUE_AFTER = 1.0

Decide = Callable[[Json], bool]


class Reader(Protocol):
    """What a wait needs of an API server."""

    async def get(self, on: Target) -> Json: ...

    async def list(self, on: Target) -> Json: ...

    def watch(self, on: Target, version: str) -> AsyncGenerator[Json, None]: ...


class Waiting:
    """Waits until ``decide`` is true about an object, or raises.

    It survives a cut watch, 410 Gone and an API server that restarts. Unless it fails fast, it also
    waits for an object that does not exist yet, and for an API server that is down at first.
    """

    def __init__(
        self,
        http: Reader,
        on: Target,
        decide: Decide,
        *,
        fail_fast: bool = False,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._http = http
        self._on = on
        self._decide = decide
        self._fail_fast = fail_fast
        self._report = report
        # What the operator has said last.
        self._said = ""
        #: What was known about it last.
        self.seen = UNHEARD
        # The uid of the object that was seen first.
        self._uid = ""
        # Whether the API server was away since this began, and since when it denies what it granted.
        self._away = False
        self._denied: float | None = None
        # Whether a read has no version to watch from: the object does not exist, or has not changed
        # for so long that the API server has forgotten its version. A list has one.
        self._by_list = False
        self._missed = self._unread = self._complained = False

    async def once(self) -> Json:
        """Looks once; ``None`` of it is decided otherwise than by an error."""
        found, _, done = await self._look()
        if found is not None and done:
            return found
        return {}

    async def run(self, begin: Json | None = None) -> Json:
        """Waits, from an object that was read already if there is one."""
        pauses = Backoff()
        while True:
            by_list = self._by_list
            try:
                if begin is not None:
                    found, begin = begin, None
                    if self._judge(found):
                        return found
                    version = text(found, "metadata", "resourceVersion")
                else:
                    seen, version, done = await self._look()
                    if seen is not None and done:
                        return seen
                    if self._by_list and not by_list:
                        # It does not exist: a list has the version that a watch can begin at.
                        continue
                begun = time.monotonic()
                decided = await self._follow(version)
                if decided is not None:
                    return decided
                if time.monotonic() - begun > PAUSE_MAX:
                    pauses.reset()
            except KonductorError as error:
                if self._final(error):
                    raise
                self._note(error)
            await pauses.pause()

    def _note(self, error: KonductorError) -> None:
        """Keeps in mind why there is no answer about the object, and logs it once."""
        if error.reason == NOT_INSTALLED:
            self.seen = Seen(NOT_FOUND, error.message)
            return
        if not self._uid and not self._complained:
            self._complained = True
            log.warning("the API server can't be reached; retrying %s: %s", self._on, error.__cause__)
        self._away = self._away or isinstance(error, Unreachable)
        self.seen = unreachable(error.__cause__)

    def _final(self, error: KonductorError) -> bool:
        """Whether another attempt could not change an error."""
        known = bool(self._uid) or self._away
        if isinstance(error, Unreachable):
            return self._fail_fast and not self._uid
        if error.reason == NOT_INSTALLED and not known:
            # konductor may be about to be installed.
            return self._fail_fast
        if error.reason == NOT_INSTALLED or isinstance(error, Unauthorized | Forbidden):
            if not known:
                return True
            if self._denied is None:
                self._denied = time.monotonic()
            return time.monotonic() - self._denied > _PATIENCE
        if isinstance(error, Refused) and isinstance(error.__cause__, Answer):
            return not known and not uncertain(error.__cause__)
        return True

    async def _look(self) -> tuple[Json | None, str, bool]:
        """Reads the object, and the version that a watch can begin at."""
        found: Json | None = None
        version = ""
        try:
            found, version = await self._read()
        except (Answer, NoAnswer) as error:
            if not (isinstance(error, Answer) and error.not_found):
                raise explain(self._on, error) from error
            self._by_list = True
        self._denied = None
        if found is None:
            self._missing()
            return None, version, False
        return found, version, self._judge(found)

    async def _read(self) -> tuple[Json | None, str]:
        if not self._by_list:
            found = await self._http.get(self._on)
            return found, text(found, "metadata", "resourceVersion")
        listed = await self._http.list(self._on)
        items = dig(listed, "items")
        version = text(listed, "metadata", "resourceVersion")
        if isinstance(items, list) and items:
            return items[0], version
        return None, version

    def _missing(self) -> None:
        if self._uid:
            raise self._deleted()
        self.seen = Seen(NOT_FOUND, "it does not exist; create it, or use another namespace")
        if self._fail_fast:
            raise self._on.error(NotFound, NOT_FOUND, self.seen.detail)
        if not self._missed:
            self._missed = True
            log.warning(
                "%s does not exist in namespace %s; waiting until it is created",
                self._on,
                self._on.namespace,
            )

    def _judge(self, found: object) -> bool:
        """Decides about the object as it is now. One that can't be read is undecided."""
        uid = text(found, "metadata", "uid")
        self.seen = Seen()
        if not isinstance(found, dict) or not uid:
            if not self._unread:
                self._unread = True
                log.warning("%s can't be read as it is now; still waiting", self._on)
            return False
        self._uid = self._uid or uid
        if uid != self._uid:
            raise self._deleted()
        if self._decide(found):
            return True
        said = progress(found)
        if self._report and said and said != self._said:
            self._said = said
            self._report(said)
        return False

    def _deleted(self) -> NotFound:
        return self._on.error(
            NotFound, DELETED, "it was deleted while it was waited for; create it and wait again"
        )

    async def _follow(self, version: str) -> Json | None:
        """Watches until there is a decision; ``None`` if the object must be read again."""
        while True:
            begun = time.monotonic()
            try:
                async with aclosing(self._http.watch(self._on, version)) as events:
                    async for event in events:
                        kind, found = text(event, "type"), dig(event, "object")
                        if kind in ("ADDED", "MODIFIED"):
                            if self._judge(found):
                                return dict(found)
                        elif kind == "DELETED" and self._uid:
                            raise self._deleted()
                        elif kind == "ERROR":
                            raise Answer.of(found)
                        version = text(found, "metadata", "resourceVersion") or version
            except NoAnswer as error:
                log.debug("the watch of %s has broken: %s", self._on, error)
                return None
            except Answer as error:
                explained = explain(self._on, error)
                if isinstance(explained, Unauthorized | Forbidden):
                    raise explained from error
                self._by_list = self._by_list or error.forgotten
                return None
            if time.monotonic() - begun < _CONTINUE_AFTER:
                return None
