"""The client for threads."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import EllipsisType, TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

from ._backend import Ask
from ._base import (
    BaseClient,
    Changes,
    LeaseStatus,
    OpenStatus,
    Seconds,
    SemaphoreStatus,
    canceled,
    changed,
    in_order,
    lease_spec,
    lease_status,
    open_status,
    seconds,
    semaphore_spec,
    semaphore_status,
)
from ._errors import Denied, KonductorError, Lost, Target
from ._grant import Grant
from ._names import format_duration
from ._runtime import Abandoned

log = logging.getLogger("konductor")

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Client(BaseClient):
    """Takes part in the primitives of one namespace. It may be used by many threads.

    A call that is interrupted, such as by Ctrl-C, leaves nothing in a queue.
    """

    def lease(
        self,
        name: str,
        *,
        holder: str | None = None,
        ttl: Seconds | None = None,
        timeout: Seconds | None = None,
        wait: bool = True,
        fail_fast: bool = False,
        create: bool = False,
        pod: tuple[str, str] | None = None,
    ) -> Lease:
        """Names a Lease, to be held by ``with``, as a decorator, or by ``acquire``.

        ``ttl`` is how long the hold lasts without renewal: 30 s, and at most the Lease's own.
        ``create`` creates the Lease, with this TTL, if it does not exist.
        """
        ask = self._ask(
            holder=holder,
            ttl=ttl,
            timeout=timeout,
            wait=wait,
            fail_fast=fail_fast,
            pod=pod,
            create=lease_spec(create, ttl),
        )
        return Lease(self, self._target("Lease", name), ask)

    def semaphore(
        self,
        name: str,
        *,
        permits: int = 1,
        priority: int = 0,
        holder: str | None = None,
        ttl: Seconds | None = None,
        timeout: Seconds | None = None,
        wait: bool = True,
        fail_fast: bool = False,
        create: int | None = None,
        pod: tuple[str, str] | None = None,
    ) -> Semaphore:
        """Names a Semaphore, whose permits are held by ``with``, as a decorator, or by ``acquire``.

        ``create`` is how many permits it gets if it does not exist.
        """
        ask = self._ask(
            holder=holder,
            ttl=ttl,
            timeout=timeout,
            wait=wait,
            fail_fast=fail_fast,
            pod=pod,
            create=semaphore_spec(create),
            permits=permits,
            priority=priority,
        )
        return Semaphore(self, self._target("Semaphore", name), ask)

    def barrier(self, name: str) -> Barrier:
        """Names a Barrier."""
        return Barrier(self, self._target("Barrier", name))

    def gate(self, name: str) -> Gate:
        """Names a Gate."""
        return Gate(self, self._target("Gate", name))

    @contextlib.contextmanager
    def hold_all(self, *ledgers: Lease | Semaphore) -> Iterator[tuple[Any, ...]]:
        """Holds several Leases and Semaphores, acquired one after another in an order that all programs
        have in common: those that hold some of the same never wait for each other in a circle.

        The holds are in the order of the arguments.
        """
        held: dict[int, Hold] = {}
        with contextlib.ExitStack() as stack:
            for at in in_order(one._on for one in ledgers):
                held[at] = stack.enter_context(ledgers[at])
            yield tuple(held[at] for at in range(len(ledgers)))

    def close(self) -> None:
        """Ends the calls that wait, with ``Canceled``, and releases what is held."""
        closing = self._close()
        if closing:
            closing.wait()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, on: Target, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._begin(on, work).wait()
        except Abandoned:
            raise canceled(on) from None

    def _release(self, grant: Grant) -> None:
        self._run(grant.on, grant.release_claim())


class Hold:
    """What is held. It is renewed in the background until it is released or lost."""

    def __init__(self, client: Client, grant: Grant) -> None:
        self._client = client
        self._grant = grant

    @property
    def claim(self) -> str:
        """The name of the Claim behind it."""
        return self._grant.claim

    @property
    def is_lost(self) -> bool:
        """Whether it was lost, by the clock: stop what it protects."""
        return self._grant.is_lost

    def check(self) -> None:
        """Raises ``Lost`` if it was lost: call it before each step that must not run twice.

        It looks at the clock and makes no request.
        """
        self._grant.check()

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Calls back when it is lost; at once if it was.

        That is in the thread that renews all holds, so it must not wait for anything.
        """
        self._grant.on_lost(callback)

    def release(self) -> None:
        """Releases it. Another time does nothing. If it fails, the hold ends with its TTL."""
        if self._grant.is_ours:
            self._client._release(self._grant)

    def __enter__(self: H) -> H:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lost = self._grant.loss()
        try:
            self.release()
        except KonductorError as failed:
            # The work is done, and the TTL ends the hold.
            log.warning("%s could not be released: %s", self._grant.on, failed)
        if lost and error is None:
            raise lost
        if lost and not isinstance(error, Lost):
            log.warning("%s", lost)


H = TypeVar("H", bound=Hold)


class LeaseHold(Hold):
    """A Lease that is held."""

    @property
    def token(self) -> int:
        """The fencing token, which rises with each holder: let the storage refuse lower ones."""
        return self._grant.token or 0


class Permit(Hold):
    """Permits of a Semaphore that are held."""


class _Ledger(Generic[H]):
    _hold: type[H]

    def __init__(self, client: Client, on: Target, ask: Ask) -> None:
        self._client = client
        self._on = on
        self._ask = ask
        # Several threads may hold by the same object, each with a stack of its own.
        self._entered = threading.local()

    def _acquire(self, ask: Ask) -> H:
        backend = self._client._backend
        return self._hold(self._client, self._client._run(self._on, backend.acquire(self._on, ask)))

    def __enter__(self) -> H:
        hold = self._acquire(self._ask)
        self._stack().append(hold)
        return hold

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack().pop().__exit__(kind, error, traceback)

    def _stack(self) -> list[H]:
        if not hasattr(self._entered, "stack"):
            self._entered.stack = []
        stack: list[H] = self._entered.stack
        return stack

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function: each of its calls holds."""
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is a coroutine: use AsyncClient")

        @functools.wraps(function)
        def held(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._acquire(self._ask):
                return function(*args, **kwargs)

        return held


class Lease(_Ledger[LeaseHold]):
    """A Lease, which has one holder at a time."""

    _hold = LeaseHold

    def acquire(
        self, *, timeout: Seconds | None = None, wait: bool | None = None, holder: str | None = None
    ) -> LeaseHold:
        """Waits for it, and renews it until it is released or lost."""
        return self._acquire(changed(self._ask, timeout=timeout, wait=wait, holder=holder))

    def try_acquire(self) -> LeaseHold | None:
        """Acquires it if it is free now."""
        try:
            return self.acquire(wait=False)
        except Denied:
            return None

    def ensure(self, *, ttl: Seconds = 30.0) -> None:
        """Creates it if it does not exist."""
        backend = self._client._backend
        spec = {"ttl": format_duration(seconds(ttl) or 0)}
        self._client._run(self._on, backend.ensure(self._on, spec, self._ask.timeout))

    def status(self) -> LeaseStatus:
        """Returns its state, the holder among it."""
        work = self._client._backend.read(self._on, self._ask.timeout)
        return lease_status(self._client._run(self._on, work))

    def leaders(self) -> Iterator[str | None]:
        """Yields the holder's name, now and whenever it changes; ``None`` if nobody holds it.

        It waits for a Lease that does not exist yet and for an API server that is down, without a limit,
        and raises ``NotFound`` when the Lease is deleted.
        """
        changes: queue.SimpleQueue[str | EllipsisType | None] = queue.SimpleQueue()
        work = self._client._backend.observe(self._on, Changes(changes.put))
        call = self._client._begin(self._on, work)
        call.future.add_done_callback(lambda _: changes.put(...))
        try:
            while (holder := changes.get()) is not ...:
                yield holder
            try:
                call.wait()
            except Abandoned:
                raise canceled(self._on) from None
        finally:
            call.give_up()


class Semaphore(_Ledger[Permit]):
    """A Semaphore, whose holders share a number of permits."""

    _hold = Permit

    def acquire(
        self,
        *,
        permits: int | None = None,
        timeout: Seconds | None = None,
        wait: bool | None = None,
        holder: str | None = None,
    ) -> Permit:
        """Waits for permits, and renews them until they are released or lost."""
        ask = changed(self._ask, permits=permits, timeout=timeout, wait=wait, holder=holder)
        return self._acquire(ask)

    def try_acquire(self, *, permits: int | None = None) -> Permit | None:
        """Acquires permits if they are free now."""
        try:
            return self.acquire(permits=permits, wait=False)
        except Denied:
            return None

    def ensure(self, *, permits: int) -> None:
        """Creates it if it does not exist."""
        backend = self._client._backend
        work = backend.ensure(self._on, {"permits": permits}, self._ask.timeout)
        self._client._run(self._on, work)

    def status(self) -> SemaphoreStatus:
        """Returns its state and its holders."""
        work = self._client._backend.read(self._on, self._ask.timeout)
        return semaphore_status(self._client._run(self._on, work))


class _Opening:
    def __init__(self, client: Client, on: Target) -> None:
        self._client = client
        self._on = on

    def wait(self, *, timeout: Seconds | None = None, fail_fast: bool = False) -> None:
        """Waits until it is open.

        It raises ``Failed`` as soon as it can no longer open, with the phase as the reason. A timeout
        of zero looks once. With ``fail_fast`` it raises ``NotFound`` and ``Unreachable`` at once, which
        it otherwise waits out.
        """
        limit = self._client._limit(timeout)
        self._client._run(self._on, self._client._backend.wait(self._on, limit, fail_fast))

    def status(self, *, timeout: Seconds | None = None) -> OpenStatus:
        """Returns its state."""
        work = self._client._backend.read(self._on, self._client._limit(timeout))
        return open_status(self._client._run(self._on, work))


class Barrier(_Opening):
    """A Barrier, which opens when so many have arrived."""

    def arrive(
        self,
        *,
        outcome: str = "Succeeded",
        holder: str | None = None,
        timeout: Seconds | None = None,
    ) -> None:
        """Records that this holder has arrived.

        One holder counts once. Arriving again with the same outcome changes nothing, so it may be
        repeated after any error.
        """
        who = self._client.holder if holder is None else holder
        limit = self._client._limit(timeout)
        self._client._run(self._on, self._client._backend.arrive(self._on, who, outcome, limit))

    def ensure(self, *, expected: int, timeout: Seconds | None = None) -> None:
        """Creates it if it does not exist."""
        limit = self._client._limit(timeout)
        work = self._client._backend.ensure(self._on, {"expected": expected}, limit)
        self._client._run(self._on, work)


class Gate(_Opening):
    """A Gate, which opens when its conditions are met or a person decides so."""
