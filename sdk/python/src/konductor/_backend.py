"""What stands behind a client: an API server, or in tests an object in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ._errors import Target
from ._grant import Grant
from ._json import Json

#: How long a hold lasts without renewal: if its process crashes, others wait that long.
TTL = 30.0


@dataclass(frozen=True)
class Ask:
    """What is asked of a Semaphore or Lease."""

    holder: str
    permits: int = 1
    priority: int = 0
    ttl: float = TTL
    wait: bool = True
    #: ``None``: no limit. Zero asks once.
    timeout: float | None = None
    fail_fast: bool = False
    #: The name and uid of the pod with which the hold ends.
    pod: tuple[str, str] | None = None
    #: The spec of the object, if it is created on use.
    create: Json | None = None


class Backend(Protocol):
    """The calls; each runs in the event loop of this package."""

    @property
    def namespace(self) -> str:
        """Where names are looked up."""

    async def wait(self, on: Target, timeout: float | None, fail_fast: bool) -> None:
        """Waits until a Barrier or Gate is open."""

    async def arrive(self, on: Target, holder: str, outcome: str, timeout: float | None) -> None:
        """Records that a holder has arrived at a Barrier."""

    async def acquire(self, on: Target, ask: Ask) -> Grant:
        """Acquires a Lease, or permits of a Semaphore."""

    async def ensure(self, on: Target, spec: Json, timeout: float | None) -> Json:
        """Returns an object, which is created if it does not exist."""

    async def read(self, on: Target, timeout: float | None) -> Json:
        """Returns an object as it is now."""

    async def observe(self, on: Target, changed: Callable[[Json], None]) -> None:
        """Calls back with an object, now and after each change, until it is cancelled."""

    def forget(self) -> None:
        """Drops connections that belong to another process: this one is its fork."""

    async def close(self) -> None:
        """Releases what is held, and closes all connections."""
