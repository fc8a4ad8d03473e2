"""Limits, pauses and waiting for tasks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: The longest pause between two attempts: so soon an API server that has started is used.
PAUSE_MAX = 2.0
_PAUSE_MIN = 0.1


class Late(Exception):
    """A limit has passed."""


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """Does work, and cancels it after a limit. It always waits until the work has cleaned up."""
    task = asyncio.ensure_future(work)
    late = False
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            late = True
            task.cancel()
            await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
    if late and task.cancelled():
        raise Late(f"not within {seconds:g} s")
    return task.result()


class Backoff:
    """The pause between attempts, doubled from one to the next.

    Its jitter keeps clients that a restart of the API server has interrupted from all reconnecting at
    once.
    """

    def __init__(self) -> None:
        self._next = _PAUSE_MIN

    def reset(self) -> None:
        self._next = _PAUSE_MIN

    async def pause(self) -> None:
        length = self._next * random.uniform(0.5, 1)
        self._next = min(self._next * 2, PAUSE_MAX)
        await asyncio.sleep(length)
