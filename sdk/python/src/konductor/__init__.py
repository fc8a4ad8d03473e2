"""Takes part in konductor's primitives: waits for Barriers and Gates, arrives at Barriers, and holds
permits of Semaphores and Leases.

    client = konductor.Client()
    client.gate("dependencies-ready").wait()
    with client.lease("daily-report") as lease:
        for page in report:
            lease.check()  # raises konductor.Lost before another holder is granted it
            store.write(page, token=lease.token)
    client.barrier("stage-complete").arrive()

``AsyncClient`` is the same for asyncio.
"""

from ._base import Holder, LeaseStatus, OpenStatus, SemaphoreStatus
from ._errors import (
    Canceled,
    ConfigError,
    Denied,
    Failed,
    Forbidden,
    Invalid,
    KonductorError,
    Lost,
    NotFound,
    Refused,
    Released,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from ._events import Event
from ._http import VERSION
from .aio import (
    AsyncBarrier,
    AsyncClient,
    AsyncGate,
    AsyncLease,
    AsyncLeaseHold,
    AsyncPermit,
    AsyncSemaphore,
)
from .client import Barrier, Client, Gate, Lease, LeaseHold, Permit, Semaphore

__version__ = VERSION

__all__ = [
    "AsyncBarrier",
    "AsyncClient",
    "AsyncGate",
    "AsyncLease",
    "AsyncLeaseHold",
    "AsyncPermit",
    "AsyncSemaphore",
    "Barrier",
    "Canceled",
    "Client",
    "ConfigError",
    "Denied",
    "Event",
    "Failed",
    "Forbidden",
    "Gate",
    "Holder",
    "Invalid",
    "KonductorError",
    "Lease",
    "LeaseHold",
    "LeaseStatus",
    "Lost",
    "NotFound",
    "OpenStatus",
    "Permit",
    "Refused",
    "Released",
    "Semaphore",
    "SemaphoreStatus",
    "TimedOut",
    "Unauthorized",
    "Unreachable",
    "__version__",
]
