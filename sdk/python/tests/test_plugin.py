"""The fixtures that pytest loads by itself."""

from __future__ import annotations

import konductor
from konductor.testing import Dev, Memory


def test_the_memory(konductor_memory: Memory) -> None:
    konductor_memory.gate("ready", decision="Open")
    konductor_memory.client().gate("ready").wait(timeout=0)


def test_the_cluster(konductor_dev: Dev, konductor_client: konductor.Client) -> None:
    assert konductor_dev.kubeconfig.exists()
    with konductor_client.lease("report", create=True) as lease:
        assert lease.token > 0
        assert konductor_client.lease("report").status().holder == "test"
