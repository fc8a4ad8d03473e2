"""A service of which one replica works, and another takes over when it ends or is lost.

    koncli lease create scheduler --ttl 15s
    python leader_election.py &
    python leader_election.py

SIGTERM, which Kubernetes sends, releases the Lease: the other replica leads at once.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

import konductor

stop = threading.Event()


def terminate(number: int, frame: FrameType | None) -> None:
    """Interrupts what the main thread waits for; `with` releases on the way out."""
    stop.set()
    sys.exit(128 + number)


def lead(lease: konductor.LeaseHold) -> None:
    """Does the work of the leader, step by step."""
    while not stop.wait(0.2):
        lease.check()  # raises Lost before another replica can lead


def main() -> None:
    signal.signal(signal.SIGTERM, terminate)
    client = konductor.Client()
    while True:
        print("standing by", flush=True)
        try:
            with client.lease("scheduler") as lease:
                print(f"leading, token {lease.token}", flush=True)
                lead(lease)
        except konductor.Lost as lost:
            print(f"lost the lead: {lost}", flush=True)


if __name__ == "__main__":
    main()
