"""Test doubles: the primitives in memory, and a cluster on this machine in a fraction of a second.

memory = konductor.testing.Memory()
memory.lease("report")
write_report(memory.client())        # the code under test
assert memory.holders("report") == []
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ._base import Holder, Seconds, seconds
from ._errors import ConfigError, Target
from ._json import Json
from ._memory import Store, Stored
from ._names import format_duration
from ._runtime import runtime
from .aio import AsyncClient
from .client import Client

T = TypeVar("T")


class Memory:
    """The primitives of a namespace in memory, shared by all clients that it makes.

    A hold lasts until it is released, or until the test takes it back with ``lose``.
    """

    def __init__(self, namespace: str = "default") -> None:
        self._store = Store(namespace)

    def client(self, *, holder: str = "test", timeout: Seconds | None = None) -> Client:
        """Makes a client for threads."""
        return Client(holder=holder, timeout=timeout, backend=self._store.session())

    def async_client(self, *, holder: str = "test", timeout: Seconds | None = None) -> AsyncClient:
        """Makes a client for asyncio."""
        return AsyncClient(holder=holder, timeout=timeout, backend=self._store.session())

    def lease(self, name: str, *, ttl: Seconds = 30.0) -> None:
        """Creates a Lease, or changes it."""
        self._put("Lease", name, {"ttl": format_duration(seconds(ttl) or 0)})

    def semaphore(self, name: str, *, permits: int, order: str = "Fifo") -> None:
        """Creates a Semaphore, or changes it."""
        self._put("Semaphore", name, {"permits": permits, "order": order})

    def barrier(self, name: str, *, expected: int, quorum: int | None = None) -> None:
        """Creates a Barrier, or changes it."""
        spec: Json = {"expected": expected}
        if quorum is not None:
            spec["quorum"] = quorum
        self._put("Barrier", name, spec)

    def gate(self, name: str, *, decision: str | None = None) -> None:
        """Creates a Gate, or decides it: ``Open`` or ``Failed``."""
        self._put("Gate", name, {} if decision is None else {"decision": decision})

    def delete(self, kind: str, name: str) -> None:
        """Deletes an object, such as of kind ``Lease``."""
        self._do(lambda: self._store.remove(self._store.target(kind, name)))

    def lose(self, name: str) -> None:
        """Takes the Lease or Semaphore of this name from its holders, who learn of it at once."""
        self._do(lambda: self._store.lose(self._ledger(name)))

    def holders(self, name: str) -> list[Holder]:
        """Returns who holds the Lease or Semaphore of this name."""
        claims = self._do(lambda: list(self._ledger(name).claims))
        return [Holder(one.ask.holder, one.ask.permits) for one in claims if one.grant]

    def queue(self, name: str) -> list[str]:
        """Returns who waits for the Lease or Semaphore of this name."""
        claims = self._do(lambda: list(self._ledger(name).claims))
        return [one.ask.holder for one in claims if not one.grant]

    def arrivals(self, name: str) -> dict[str, str]:
        """Returns who has arrived at a Barrier, with the outcome."""
        return self._do(lambda: dict(self._store.find(self._store.target("Barrier", name)).arrivals))

    def _put(self, kind: str, name: str, spec: Json) -> None:
        self._do(lambda: self._store.put(self._store.target(kind, name), spec))

    def _ledger(self, name: str) -> Stored:
        semaphore: Target = self._store.target("Semaphore", name)
        known = semaphore in self._store.objects
        return self._store.find(semaphore if known else self._store.target("Lease", name))

    def _do(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), runtime().loop).result()


def koncli() -> str:
    """Returns the path of koncli: that of ``$KONCLI``, or the one on ``$PATH``."""
    found = os.environ.get("KONCLI") or shutil.which("koncli")
    if not found:
        raise ConfigError("koncli is not installed; put it on PATH, or name it with KONCLI")
    return found


class Dev:
    """A cluster in memory with konductor's operator, by ``koncli dev``, until it is closed."""

    def __init__(self, *options: str) -> None:
        program = koncli()
        self._folder = tempfile.TemporaryDirectory(prefix="konductor-")
        self.kubeconfig = Path(self._folder.name) / "kubeconfig"
        self._process = subprocess.Popen(
            [program, "dev", "--write-kubeconfig", str(self.kubeconfig), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        # A line says that it is up.
        if not self._process.stdout.readline():
            _, said = self._process.communicate()
            self._folder.cleanup()
            raise ConfigError(f"koncli dev has not started: {said.decode(errors='replace').strip()}")

    def close(self) -> None:
        """Stops it."""
        self._process.terminate()
        self._process.communicate()
        self._folder.cleanup()

    def __enter__(self) -> Dev:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
