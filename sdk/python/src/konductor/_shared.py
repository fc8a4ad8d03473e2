"""One watch for all Claims of a client: those that wait share it, and its connection.

A subscription stands in for the API server in a wait for one Claim. It reads by itself, and what it is
told of changes comes from the shared watch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ._errors import KonductorError, Target
from ._http import Answer, Http, NoAnswer
from ._json import Json, dig, text

log = logging.getLogger("konductor")

#: The label of the Claims of a client.
LABEL = "konductor.io/client"
#: A watch that has ended sooner was not ended as asked.
_LEAST = 1.0


class SharedWatch:
    """Watches the Claims with the label of a client, for as long as somebody waits."""

    def __init__(self, http: Http, namespace: str, client: str) -> None:
        self.http = http
        self._claims = Target("Claim", namespace, "")
        self._selector = f"{LABEL}={client}"
        self._queues: dict[str, asyncio.Queue[Json | Exception]] = {}
        self._task: asyncio.Task[None] | None = None
        self._begun_at = ""
        #: Which watch is running: there is no gap in it from its begin to its end.
        self.generation = 0

    @property
    def running(self) -> int | None:
        """Which watch is running, if one is."""
        return self.generation if self._task else None

    def subscribe(self, name: str) -> Subscription:
        """Begins to collect the changes of a Claim; close it after use."""
        self._queues[name] = asyncio.Queue()
        return Subscription(self, name, self._queues[name])

    def unsubscribe(self, name: str) -> None:
        # The watch ends when it would be renewed: whoever asks next may use it until then.
        del self._queues[name]

    def begin(self, version: str) -> None:
        """Begins to watch from a version on."""
        self._begun_at = version
        self._task = asyncio.ensure_future(self._run(version))

    def covers(self, since: int | None, version: str) -> bool:
        """Whether the watch has shown, or will show, what changed since a read.

        That is so if it was running when the read began, or has begun at the version of the read, or
        before: versions of one API server are numbers that rise.
        """
        if since is not None and since == self.running:
            return True
        both = (version, self._begun_at)
        return all(one.isdigit() for one in both) and int(version) >= int(self._begun_at)

    async def close(self) -> None:
        if self._task:
            task = self._task
            task.cancel()
            await asyncio.wait({task})

    async def _run(self, version: str) -> None:
        ended: Exception = NoAnswer("the watch has ended")
        try:
            while self._queues:
                begun = time.monotonic()
                watch = self.http.watch(self._claims, version, label=self._selector)
                async with aclosing(watch) as events:
                    async for event in events:
                        version = self._deliver(event) or version
                if time.monotonic() - begun < _LEAST:
                    break
        except (Answer, NoAnswer, KonductorError) as error:
            log.debug("the watch of claims has broken: %s", error)
            ended = error
        finally:
            self._task = None
            self.generation += 1
            for queue in self._queues.values():
                queue.put_nowait(ended)

    def _deliver(self, event: Json) -> str:
        """Passes a change on; returns its version."""
        found = dig(event, "object")
        if text(event, "type") == "ERROR":
            raise Answer.of(found)
        queue = self._queues.get(text(found, "metadata", "name"))
        if queue:
            queue.put_nowait(event)
        return text(found, "metadata", "resourceVersion")


class Subscription:
    """What a wait for one Claim needs of the API server."""

    def __init__(self, shared: SharedWatch, name: str, queue: asyncio.Queue[Json | Exception]) -> None:
        self._shared = shared
        self._name = name
        self._queue = queue
        self._since: int | None = None

    def close(self) -> None:
        """Collects no longer."""
        self._shared.unsubscribe(self._name)

    def mark(self) -> None:
        """Takes note that a read or write begins, which is newer than all that was collected."""
        self._since = self._shared.running
        while not self._queue.empty():
            self._queue.get_nowait()

    async def get(self, on: Target) -> Json:
        self.mark()
        return await self._shared.http.get(on)

    async def list(self, on: Target) -> Json:
        self.mark()
        return await self._shared.http.list(on)

    async def watch(self, on: Target, version: str) -> AsyncGenerator[Json, None]:
        """Yields the changes since the last read; raises ``NoAnswer`` if it must be read again."""
        if self._shared.running is None:
            self.mark()
            self._shared.begin(version)
        elif not self._shared.covers(self._since, version):
            raise NoAnswer(f"{on} was read before the watch began")
        while True:
            event = await self._queue.get()
            if isinstance(event, Exception):
                raise event
            yield event
