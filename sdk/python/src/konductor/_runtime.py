"""The event loop of this package: a thread of its own, one for each process.

Whoever calls, a thread or a task of any event loop, waits for what runs here. So a caller that computes
without a pause, or blocks its own loop, does not delay renewals.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ._backend import Backend

T = TypeVar("T")

#: How long what is under way has at the end of the process.
_LAST_WORDS = 6.0


class Abandoned(Exception):
    """A call was cancelled."""


class Runtime:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.is_stopped = False
        #: What is closed at the end of the process.
        self.backends: weakref.WeakSet[Backend] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._run, name="konductor", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def stop(self) -> None:
        """Cancels what is under way, and waits until it has cleaned up."""
        if not self._thread.is_alive() or threading.current_thread() is self._thread:
            return
        self.is_stopped = True
        ended = asyncio.run_coroutine_threadsafe(self._finish(), self.loop)
        concurrent.futures.wait([ended], _LAST_WORDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(1)

    async def _finish(self) -> None:
        closing = [asyncio.ensure_future(one.close()) for one in list(self.backends)]
        if closing:
            await asyncio.wait(closing, timeout=_LAST_WORDS)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)


_lock = threading.Lock()
_runtime: Runtime | None = None


def runtime() -> Runtime:
    """Returns the event loop of this process, which is started when it is first needed.

    At the end of the process it raises ``Abandoned``: nothing would run any more.
    """
    global _runtime
    with _lock:
        if _runtime is not None and _runtime.is_stopped:
            raise Abandoned
        if _runtime is None:
            _runtime = Runtime()
            atexit.register(_runtime.stop)
        return _runtime


def _after_fork() -> None:
    # Threads don't survive a fork, and a lock may be held by one of them.
    global _lock, _runtime
    _lock = threading.Lock()
    if _runtime is not None:
        atexit.unregister(_runtime.stop)
    _runtime = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Call(Generic[T]):
    """A coroutine that runs in the event loop of this package."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], undo: Callable[[T], None]
    ) -> None:
        self._loop = loop
        self._work = work
        self._undo = undo
        self._task: asyncio.Task[T] | None = None
        self._lock = threading.Lock()
        self._given_up = False
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.set_exception(Abandoned())
        elif error := task.exception():
            self.future.set_exception(error)
        else:
            with self._lock:
                given_up = self._given_up
                self.future.set_result(task.result())
            if given_up:
                self._undo(task.result())

    async def settled(self) -> None:
        """Waits, in the event loop of this package, until it has ended."""
        if self._task:
            await asyncio.wait({self._task})

    def cancel(self) -> None:
        """Cancels it; its future ends when it has cleaned up."""

        def cancel() -> None:
            if self._task:
                self._task.cancel()

        self._loop.call_soon_threadsafe(cancel)

    def give_up(self) -> None:
        """Cancels it, and undoes its result if there is one: nobody will use it."""
        with self._lock:
            self._given_up = True
            done = self.future.done()
        if not done:
            self.cancel()
        elif self.future.exception() is None:
            self._undo(self.future.result())

    def wait(self) -> T:
        """Waits for the result in this thread."""
        try:
            return self.future.result()
        except BaseException as error:
            if not self.future.done() or self.future.exception() is not error:
                # This thread was interrupted. A second interrupt ends this wait as well.
                self.give_up()
                concurrent.futures.wait([self.future])
            raise

    async def result(self) -> T:
        """Waits for the result in a task of any event loop."""
        here = asyncio.get_running_loop()
        ended = asyncio.Event()

        def tell(_: object) -> None:
            try:
                here.call_soon_threadsafe(ended.set)
            except RuntimeError:
                pass  # That loop is closed: nobody waits.

        self.future.add_done_callback(tell)
        try:
            await ended.wait()
        except asyncio.CancelledError:
            self.give_up()
            await ended.wait()
            raise
        return self.future.result()
