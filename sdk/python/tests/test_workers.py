"""Of many workers, threads or tasks, never more are inside than there are permits.

KONDUCTOR_WORKERS=500 with `pytest -s` prints what it costs.
"""

from __future__ import annotations

import collections
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kube import Cluster
from .proxy import Proxy

PERMITS = 10
WORKERS = int(os.environ.get("KONDUCTOR_WORKERS", "100"))
#: How long all of it may take.
TOGETHER = 300.0


class Turnstile:
    """A counter that listens on loopback. The first ones continue when it has been full once."""

    def __init__(self) -> None:
        self.inside = self.most = self.done = 0
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                party, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(party,), daemon=True).start()

    def _attend(self, party: socket.socket) -> None:
        with party:
            while byte := party.recv(1):
                with self._changed:
                    if byte == b"i":
                        self.inside += 1
                        self.most = max(self.most, self.inside)
                        self._changed.notify_all()
                        self._changed.wait_for(lambda: self.most >= PERMITS)
                    else:
                        self.inside -= 1
                        self.done += 1
                party.sendall(byte)


@pytest.fixture
def turnstile() -> Iterator[Turnstile]:
    made = Turnstile()
    yield made
    made.close()


@pytest.mark.parametrize("client", ["threads", "tasks"])
def test_of_many_workers_never_more_are_inside_than_there_are_permits(
    cluster: Cluster, namespace: str, turnstile: Turnstile, client: str
) -> None:
    cluster.create(namespace, "Semaphore", "batch", {"permits": PERMITS})
    proxy = Proxy(cluster)
    kubeconfig = cluster.kubeconfig_of(namespace, proxy.address)
    arguments = ["--workers", str(WORKERS), "--counter", turnstile.address, "--client", client]
    begun = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("workers.py")), *arguments],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        timeout=TOGETHER,
        check=False,
    )
    took = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (turnstile.inside, turnstile.most, turnstile.done) == (0, PERMITS, WORKERS)
    cluster.observe(namespace, "claims", "none is left", lambda found: not found)
    requests = collections.Counter(proxy.requests())
    # Those that wait share a watch.
    assert proxy.most < 70
    assert requests["watch claims"] < WORKERS / 10
    print(f"\n{WORKERS} {client}: {took:.1f} s, {after.ru_utime - before.ru_utime:.1f} s of CPU")
    print(f"{sum(requests.values()) / WORKERS:.2f} requests for each worker: {dict(requests)}")
    print(f"{after.ru_maxrss // 1024} MB, {proxy.most} connections at most")
    proxy.close()
