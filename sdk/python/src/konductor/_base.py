"""What the client for threads and the client for asyncio have in common."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import logging
import math
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ._api import Api
from ._backend import TTL, Ask, Backend
from ._config import load
from ._errors import Canceled, Invalid, Target
from ._events import Event
from ._grant import Grant
from ._json import Json, dig, number, text
from ._names import default_holder, format_duration
from ._runtime import Abandoned, Call, runtime

log = logging.getLogger("konductor")

T = TypeVar("T")

#: A length of time: seconds, or a timedelta.
Seconds = float | datetime.timedelta


def seconds(length: Seconds | None) -> float | None:
    """Returns a timeout in seconds; ``None`` has no limit, as infinity has."""
    if isinstance(length, datetime.timedelta):
        return length.total_seconds()
    return None if length is None or length == math.inf else float(length)


@dataclass(frozen=True)
class Holder:
    """A holder in a ledger."""

    name: str
    permits: int


@dataclass(frozen=True)
class LeaseStatus:
    """The state of a Lease."""

    phase: str
    #: The holder's name, if it is held.
    holder: str | None
    #: The fencing token of the last grant.
    token: int | None


@dataclass(frozen=True)
class SemaphoreStatus:
    """The state of a Semaphore."""

    phase: str
    permits: int
    in_use: int
    holders: tuple[Holder, ...]


@dataclass(frozen=True)
class OpenStatus:
    """The state of a Barrier or Gate."""

    #: ``Waiting``, ``Open``, ``Failed``, ``Skipped`` or ``Unreached``.
    phase: str
    #: Why it is not open, as the operator says.
    message: str


def _holders(found: Json) -> tuple[Holder, ...]:
    holders = dig(found, "status", "holders")
    return tuple(
        Holder(text(one, "holder") or text(one, "name"), number(one, "permits") or 0)
        for one in (holders if isinstance(holders, list) else [])
    )


def lease_status(found: Json) -> LeaseStatus:
    holders = _holders(found)
    return LeaseStatus(
        phase=text(found, "status", "phase") or "Available",
        holder=holders[0].name if holders else None,
        token=number(found, "status", "token"),
    )


def semaphore_status(found: Json) -> SemaphoreStatus:
    holders = _holders(found)
    return SemaphoreStatus(
        phase=text(found, "status", "phase") or "Ready",
        permits=number(found, "spec", "permits") or 0,
        in_use=sum(one.permits for one in holders),
        holders=holders,
    )


def open_status(found: Json) -> OpenStatus:
    conditions = dig(found, "status", "conditions")
    messages = [
        text(one, "message")
        for one in (conditions if isinstance(conditions, list) else [])
        if text(one, "type") == "Open"
    ]
    return OpenStatus(text(found, "status", "phase") or "Waiting", (messages or [""])[0])


class BaseClient:
    """A connection to one namespace, for any number of threads and tasks."""

    def __init__(
        self,
        *,
        namespace: str | None = None,
        holder: str | None = None,
        timeout: Seconds | None = None,
        kubeconfig: str | os.PathLike[str] | None = None,
        context: str | None = None,
        on_event: Callable[[Event], None] | None = None,
        backend: Backend | None = None,
    ) -> None:
        """Finds the cluster as kubectl does; it makes no request.

        Without ``kubeconfig`` that is ``$KUBECONFIG`` or ``~/.kube/config``, and in a pod its service
        account. ``timeout`` bounds each call that names none of its own. ``on_event`` is called
        with what happens in calls and to what they acquired, in the thread that renews all holds, so it
        must not wait for anything. ``backend`` is for tests.
        """
        if backend is None:
            config = load(kubeconfig, context)
            backend = Api(config, namespace or config.namespace, on_event)
        self._backend = backend
        self._holder = holder
        self._timeout = timeout
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._calls: set[Call[Any]] = set()
        self._closed = False

    @property
    def namespace(self) -> str:
        """Where names are looked up."""
        return self._backend.namespace

    @property
    def holder(self) -> str:
        """Who takes part, unless a call says otherwise."""
        return self._holder or default_holder()

    def _target(self, kind: str, name: str) -> Target:
        return Target(kind, self.namespace, name)

    def _limit(self, timeout: Seconds | None) -> float | None:
        return seconds(self._timeout if timeout is None else timeout)

    def _ask(
        self,
        *,
        holder: str | None,
        ttl: Seconds | None,
        timeout: Seconds | None,
        wait: bool,
        fail_fast: bool,
        pod: tuple[str, str] | None,
        create: Json | None,
        permits: int = 1,
        priority: int = 0,
    ) -> Ask:
        length = ttl.total_seconds() if isinstance(ttl, datetime.timedelta) else ttl
        return Ask(
            holder=self.holder if holder is None else holder,
            permits=permits,
            priority=priority,
            ttl=TTL if length is None else length,
            wait=wait,
            timeout=self._limit(timeout),
            fail_fast=fail_fast,
            pod=pod,
            create=create,
        )

    def _begin(self, on: Target, work: Coroutine[Any, Any, T]) -> Call[T]:
        """Begins a call in the event loop of this package."""
        try:
            started = runtime()
        except Abandoned:
            work.close()
            raise on.error(Canceled, "Canceled", "the interpreter is shutting down") from None
        with self._lock:
            if self._closed:
                work.close()
                raise on.error(Canceled, "Canceled", "the client is closed; make another")
            if self._pid != os.getpid():
                self._pid, self._calls = os.getpid(), set()
                self._backend.forget()
            started.backends.add(self._backend)
            call: Call[T] = Call(started.loop, work, _undo)
            self._calls.add(call)
        call.future.add_done_callback(lambda _: self._calls.discard(call))
        return call

    def _close(self) -> Call[None] | None:
        """Cancels the calls that are under way, allows no others, and releases what is held.

        At the end of the process, that was done already.
        """
        with self._lock:
            self._closed = True
            if self._pid != os.getpid():
                self._pid, self._calls = os.getpid(), set()
                self._backend.forget()
            calls = list(self._calls)
        for call in calls:
            call.cancel()

        async def close() -> None:
            for call in calls:
                await call.settled()
            await self._backend.close()

        try:
            started = runtime()
        except Abandoned:
            return None
        return Call(started.loop, close(), lambda _: None)


def canceled(on: Target) -> Canceled:
    return on.error(Canceled, "Canceled", "given up: the client was closed")


def _undo(result: object) -> None:
    """Releases what a call has acquired for somebody who no longer wants it."""
    if isinstance(result, Grant):
        with contextlib.suppress(Abandoned):
            Call(runtime().loop, _quiet(result.release_claim()), lambda _: None)


async def _quiet(work: Any) -> None:
    try:
        await work
    except Exception as error:
        log.debug("what nobody waited for could not be released; it ends with its TTL: %s", error)


def changed(
    ask: Ask,
    *,
    permits: int | None = None,
    timeout: Seconds | None = None,
    wait: bool | None = None,
    holder: str | None = None,
) -> Ask:
    """Returns what is asked for with what one call says otherwise."""
    if permits is not None:
        ask = replace(ask, permits=permits)
    if timeout is not None:
        ask = replace(ask, timeout=seconds(timeout))
    if wait is not None:
        ask = replace(ask, wait=wait)
    if holder is not None:
        ask = replace(ask, holder=holder)
    return ask


def in_order(targets: Iterable[Target]) -> list[int]:
    """Returns the order in which several are acquired: all programs have it in common, so none of them
    wait for each other in a circle."""
    known = list(targets)
    order = sorted(range(len(known)), key=lambda at: (known[at].kind, known[at].name))
    for first, second in itertools.pairwise(order):
        if known[first] == known[second]:
            on = known[second]
            raise on.error(Invalid, "Invalid", "it is asked for twice; ask once, for more permits")
    return order


class Changes:
    """Passes on a Lease's holder if it has changed."""

    def __init__(self, put: Callable[[str | None], object]) -> None:
        self._put = put
        self._last: str | None = None
        self._is_first = True

    def __call__(self, found: Json) -> None:
        holder = lease_status(found).holder
        if self._is_first or holder != self._last:
            self._is_first, self._last = False, holder
            self._put(holder)


def lease_spec(create: bool, ttl: Seconds | None) -> Json | None:
    """The spec of a Lease that is created on use."""
    return {"ttl": format_duration(seconds(ttl) or TTL)} if create else None


def semaphore_spec(create: int | None) -> Json | None:
    """The spec of a Semaphore that is created on use."""
    return None if create is None else {"permits": create}
