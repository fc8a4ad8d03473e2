"""Holding several, watching who leads, and what is reported; in memory too where that has a meaning."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import konductor
from konductor.testing import Memory

from .kube import Cluster

WITHIN = 30.0


@pytest.fixture
def kubeconfig(cluster: Cluster, namespace: str) -> Path:
    return cluster.kubeconfig_of(namespace)


@pytest.fixture(params=["api", "memory"])
def client(request: pytest.FixtureRequest, kubeconfig: Path) -> Iterator[konductor.Client]:
    made = konductor.Client(kubeconfig=kubeconfig) if request.param == "api" else Memory().client()
    with made:
        yield made


def test_a_new_leader_is_reported(client: konductor.Client) -> None:
    lease = client.lease("scheduler", create=True)
    lease.ensure()
    seen: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()

    def watch() -> None:
        try:
            for leader in lease.leaders():
                seen.put(leader)
        except konductor.KonductorError as error:
            seen.put(error)

    watching = threading.Thread(target=watch)
    watching.start()
    assert seen.get(timeout=WITHIN) is None
    for holder in ("one", "two"):
        with lease.acquire(holder=holder):
            assert seen.get(timeout=WITHIN) == holder
            assert lease.status().holder == holder
        assert seen.get(timeout=WITHIN) is None
    client.close()
    assert isinstance(seen.get(timeout=WITHIN), konductor.Canceled)
    watching.join()


def test_a_new_leader_is_reported_to_a_task(kubeconfig: Path) -> None:
    async def main() -> list[str | None]:
        async with konductor.AsyncClient(kubeconfig=kubeconfig, holder="me") as client:
            lease = client.lease("scheduler", create=True)
            seen: list[str | None] = []
            async with lease:
                async for leader in lease.leaders():
                    seen.append(leader)
                    break
            return seen

    assert asyncio.run(asyncio.wait_for(main(), WITHIN)) == ["me"]


def test_several_are_held_in_one_order_whatever_order_they_are_named_in(client: konductor.Client) -> None:
    names = ("a", "b", "c")
    for name in names:
        client.lease(name).ensure()
    inside, most = 0, 0
    lock = threading.Lock()
    failed: list[BaseException] = []

    def party(order: str) -> None:
        nonlocal inside, most
        try:
            for _ in range(5):
                with client.hold_all(*(client.lease(name, holder=order) for name in order)) as held:
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    assert [one.claim[0] for one in held] == list(order)
                    with lock:
                        inside -= 1
        except BaseException as error:
            failed.append(error)

    parties = [threading.Thread(target=party, args=(order,)) for order in ("abc", "cba", "bac")]
    for one in parties:
        one.start()
    for one in parties:
        one.join(WITHIN)
        assert not one.is_alive()
    assert (failed, most) == ([], 1)
    twice = (client.lease("a"), client.semaphore("a"), client.lease("a"))
    with pytest.raises(konductor.Invalid), client.hold_all(*twice):
        raise AssertionError("it is held")


def test_tasks_hold_several(cluster: Cluster, kubeconfig: Path, namespace: str) -> None:
    async def main() -> int:
        async with konductor.AsyncClient(kubeconfig=kubeconfig) as client:
            report, batch = client.lease("report", create=True), client.semaphore("batch", create=2)
            async with client.hold_all(batch, report) as (permit, lease):
                permit.check()
                lease.check()
                token: int = lease.token
            return token

    assert asyncio.run(asyncio.wait_for(main(), WITHIN)) > 0
    cluster.observe(namespace, "claims", "none is left", lambda found: not found)


def test_what_happens_in_calls_is_reported_for_metrics(
    cluster: Cluster, kubeconfig: Path, namespace: str
) -> None:
    seen: queue.SimpleQueue[konductor.Event] = queue.SimpleQueue()

    def until(what: str) -> konductor.Event:
        while (event := seen.get(timeout=WITHIN)).what != what:
            pass
        return event

    with konductor.Client(kubeconfig=kubeconfig, on_event=seen.put) as client:
        lease = client.lease("report", create=True, ttl=6)
        first = lease.acquire()
        acquired = until("Acquired")
        assert (acquired.kind, acquired.namespace, acquired.name) == ("Lease", namespace, "report")
        assert 0 < acquired.after < WITHIN
        until("Renewed")
        held: list[konductor.LeaseHold] = []
        second = threading.Thread(target=lambda: held.append(lease.acquire(holder="second")))
        second.start()
        assert until("Waiting").message
        first.release()
        until("Released")
        second.join(WITHIN)
        cluster.delete(namespace, f"claim/{held[0].claim}")
        until("Lost")
