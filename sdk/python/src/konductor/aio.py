"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
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


class AsyncClient(BaseClient):
    """Takes part in the primitives of one namespace. It may be used by tasks of any event loop.

    A call that is cancelled leaves nothing in a queue.
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
    ) -> AsyncLease:
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
        return AsyncLease(self, self._target("Lease", name), ask)

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
    ) -> AsyncSemaphore:
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
        return AsyncSemaphore(self, self._target("Semaphore", name), ask)

    def barrier(self, name: str) -> AsyncBarrier:
        """Names a Barrier."""
        return AsyncBarrier(self, self._target("Barrier", name))

    def gate(self, name: str) -> AsyncGate:
        """Names a Gate."""
        return AsyncGate(self, self._target("Gate", name))

    @contextlib.asynccontextmanager
    async def hold_all(self, *ledgers: AsyncLease | AsyncSemaphore) -> AsyncIterator[tuple[Any, ...]]:
        """Holds several Leases and Semaphores, acquired one after another in an order that all programs
        have in common: those that hold some of the same never wait for each other in a circle.

        The holds are in the order of the arguments.
        """
        held: dict[int, AsyncHold] = {}
        async with contextlib.AsyncExitStack() as stack:
            for at in in_order(one._on for one in ledgers):
                held[at] = await stack.enter_async_context(ledgers[at])
            yield tuple(held[at] for at in range(len(ledgers)))

    async def close(self) -> None:
        """Ends the calls that wait, with ``Canceled``, and releases what is held."""
        closing = self._close()
        if closing:
            await closing.result()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, on: Target, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await self._begin(on, work).result()
        except Abandoned:
            raise canceled(on) from None

    async def _release(self, grant: Grant) -> None:
        await self._run(grant.on, grant.release_claim())


class AsyncHold:
    """What is held. It is renewed in the background until it is released or lost.

    A task that is inside ``async with`` is cancelled when it is lost, and the block raises ``Lost``.
    """

    def __init__(self, client: AsyncClient, grant: Grant) -> None:
        self._client = client
        self._grant = grant
        self._inside: _Inside | None = None

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

    async def release(self) -> None:
        """Releases it. Another time does nothing. If it fails, the hold ends with its TTL."""
        if self._grant.is_ours:
            await self._client._release(self._grant)

    async def __aenter__(self: H) -> H:
        self._inside = _Inside(self._grant)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        inside, self._inside = self._inside, None
        interrupted = inside.leave(error) if inside else False
        lost = self._grant.loss()
        try:
            await self.release()
        except KonductorError as failed:
            # The work is done, and the TTL ends the hold.
            log.warning("%s could not be released: %s", self._grant.on, failed)
        if lost and (error is None or interrupted):
            raise lost from error
        if lost and not isinstance(error, Lost):
            log.warning("%s", lost)


class _Inside:
    """A task inside of a block, which is cancelled when the hold of the block is lost."""

    def __init__(self, grant: Grant) -> None:
        task = asyncio.current_task()
        assert task is not None, "async with runs in a task"
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._grant = grant
        self._cancelling = _cancelling(task)
        self._left = False
        self._cancelled = False
        grant.on_lost(self._lost)

    def _lost(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._interrupt)
        except RuntimeError:
            pass  # That loop is closed, and the task with it.

    def _interrupt(self) -> None:
        if not self._left:
            self._cancelled = True
            self._task.cancel("the hold is lost")

    def leave(self, error: BaseException | None) -> bool:
        """Ends this; whether the block has ended because of it, and not because others cancelled."""
        self._left = True
        self._grant.forget(self._lost)
        if not self._cancelled:
            return False
        return _uncancel(self._task) <= self._cancelling and isinstance(error, asyncio.CancelledError)


def _cancelling(task: asyncio.Task[Any]) -> int:
    if sys.version_info >= (3, 11):
        return task.cancelling()
    return 0


def _uncancel(task: asyncio.Task[Any]) -> int:
    if sys.version_info >= (3, 11):
        return task.uncancel()
    return 0


H = TypeVar("H", bound=AsyncHold)


class AsyncLeaseHold(AsyncHold):
    """A Lease that is held."""

    @property
    def token(self) -> int:
        """The fencing token, which rises with each holder: let the storage refuse lower ones."""
        return self._grant.token or 0


class AsyncPermit(AsyncHold):
    """Permits of a Semaphore that are held."""


class _Ledger(Generic[H]):
    _hold: type[H]

    def __init__(self, client: AsyncClient, on: Target, ask: Ask) -> None:
        self._client = client
        self._on = on
        self._ask = ask
        # Several tasks may hold by the same object, each with a stack of its own.
        self._entered: weakref.WeakKeyDictionary[asyncio.Task[Any], list[H]]
        self._entered = weakref.WeakKeyDictionary()

    async def _acquire(self, ask: Ask) -> H:
        backend = self._client._backend
        return self._hold(self._client, await self._client._run(self._on, backend.acquire(self._on, ask)))

    async def __aenter__(self) -> H:
        hold = await self._acquire(self._ask)
        self._stack().append(hold)
        return await hold.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack().pop().__aexit__(kind, error, traceback)

    def _stack(self) -> list[H]:
        task = asyncio.current_task()
        assert task is not None, "async with runs in a task"
        return self._entered.setdefault(task, [])

    def __call__(self, function: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Decorates a coroutine function: each of its calls holds."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is no coroutine function: use Client")

        @functools.wraps(function)
        async def held(*args: P.args, **kwargs: P.kwargs) -> R:
            async with await self._acquire(self._ask):
                return await function(*args, **kwargs)

        return held


class AsyncLease(_Ledger[AsyncLeaseHold]):
    """A Lease, which has one holder at a time."""

    _hold = AsyncLeaseHold

    async def acquire(
        self, *, timeout: Seconds | None = None, wait: bool | None = None, holder: str | None = None
    ) -> AsyncLeaseHold:
        """Waits for it, and renews it until it is released or lost."""
        return await self._acquire(changed(self._ask, timeout=timeout, wait=wait, holder=holder))

    async def try_acquire(self) -> AsyncLeaseHold | None:
        """Acquires it if it is free now."""
        try:
            return await self.acquire(wait=False)
        except Denied:
            return None

    async def ensure(self, *, ttl: Seconds = 30.0) -> None:
        """Creates it if it does not exist."""
        backend = self._client._backend
        spec = {"ttl": format_duration(seconds(ttl) or 0)}
        await self._client._run(self._on, backend.ensure(self._on, spec, self._ask.timeout))

    async def status(self) -> LeaseStatus:
        """Returns its state, the holder among it."""
        work = self._client._backend.read(self._on, self._ask.timeout)
        return lease_status(await self._client._run(self._on, work))

    async def leaders(self) -> AsyncIterator[str | None]:
        """Yields the holder's name, now and whenever it changes; ``None`` if nobody holds it.

        It waits for a Lease that does not exist yet and for an API server that is down, without a limit,
        and raises ``NotFound`` when the Lease is deleted.
        """
        here = asyncio.get_running_loop()
        changes: asyncio.Queue[str | EllipsisType | None] = asyncio.Queue()

        def put(change: str | EllipsisType | None) -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits
                here.call_soon_threadsafe(changes.put_nowait, change)

        call = self._client._begin(self._on, self._client._backend.observe(self._on, Changes(put)))
        call.future.add_done_callback(lambda _: put(...))
        try:
            while (holder := await changes.get()) is not ...:
                yield holder
            try:
                await call.result()
            except Abandoned:
                raise canceled(self._on) from None
        finally:
            call.give_up()


class AsyncSemaphore(_Ledger[AsyncPermit]):
    """A Semaphore, whose holders share a number of permits."""

    _hold = AsyncPermit

    async def acquire(
        self,
        *,
        permits: int | None = None,
        timeout: Seconds | None = None,
        wait: bool | None = None,
        holder: str | None = None,
    ) -> AsyncPermit:
        """Waits for permits, and renews them until they are released or lost."""
        ask = changed(self._ask, permits=permits, timeout=timeout, wait=wait, holder=holder)
        return await self._acquire(ask)

    async def try_acquire(self, *, permits: int | None = None) -> AsyncPermit | None:
        """Acquires permits if they are free now."""
        try:
            return await self.acquire(permits=permits, wait=False)
        except Denied:
            return None

    async def ensure(self, *, permits: int) -> None:
        """Creates it if it does not exist."""
        backend = self._client._backend
        work = backend.ensure(self._on, {"permits": permits}, self._ask.timeout)
        await self._client._run(self._on, work)

    async def status(self) -> SemaphoreStatus:
        """Returns its state and its holders."""
        work = self._client._backend.read(self._on, self._ask.timeout)
        return semaphore_status(await self._client._run(self._on, work))


class _Opening:
    def __init__(self, client: AsyncClient, on: Target) -> None:
        self._client = client
        self._on = on

    async def wait(self, *, timeout: Seconds | None = None, fail_fast: bool = False) -> None:
        """Waits until it is open.

        It raises ``Failed`` as soon as it can no longer open, with the phase as the reason. A timeout
        of zero looks once. With ``fail_fast`` it raises ``NotFound`` and ``Unreachable`` at once, which
        it otherwise waits out.
        """
        limit = self._client._limit(timeout)
        await self._client._run(self._on, self._client._backend.wait(self._on, limit, fail_fast))

    async def status(self, *, timeout: Seconds | None = None) -> OpenStatus:
        """Returns its state."""
        work = self._client._backend.read(self._on, self._client._limit(timeout))
        return open_status(await self._client._run(self._on, work))


class AsyncBarrier(_Opening):
    """A Barrier, which opens when so many have arrived."""

    async def arrive(
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
        await self._client._run(self._on, self._client._backend.arrive(self._on, who, outcome, limit))

    async def ensure(self, *, expected: int, timeout: Seconds | None = None) -> None:
        """Creates it if it does not exist."""
        limit = self._client._limit(timeout)
        work = self._client._backend.ensure(self._on, {"expected": expected}, limit)
        await self._client._run(self._on, work)


class AsyncGate(_Opening):
    """A Gate, which opens when its conditions are met or a person decides so."""
