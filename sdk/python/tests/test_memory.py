"""The test double means what a cluster means: it plays the scenarios of ../contract without faults."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import konductor
from konductor._memory import as_json, claim_as_json
from konductor.testing import Memory

from .kube import Json
from .test_contract import Scenario, Stage, Tasks, Threads, play_on, scenarios

#: The steps that need a network, a server or an operator.
FAULTS = {"break", "mend", "cut", "server", "operator", "requests", "expire"}


def is_without_faults(scenario: Scenario) -> bool:
    text = str(scenario)
    steps: list[dict[str, Any]] = scenario["steps"]
    return (
        "operator" not in scenario
        and not any(FAULTS & set(step) for step in steps)
        and not any(step.get("until") == "requests" for step in steps)
        # Claims of others, conditions, timeouts of objects and TTLs are of the operator alone.
        and not any(word in text for word in ("conditions", "'timeout': '200ms'", "claims of", "'ttl': '5s'"))
        and not any("namespace" in step for step in steps)
    )


class InMemory:
    """What a stage needs of a cluster."""

    def __init__(self) -> None:
        self.memory = Memory()

    def create(self, _: str, kind: str, name: str, spec: Json) -> None:
        self.memory._put(kind, name, spec)

    def patch(self, _: str, target: str, change: Json) -> None:
        kind, _, name = target.partition("/")
        self.memory._put(kind.title(), name, change["spec"])

    def delete(self, _: str, target: str) -> None:
        kind, _, name = target.partition("/")
        self.memory.delete(kind.title(), name)

    def _list(self, resource: str) -> list[Json]:
        stored = list(self.memory._store.objects.values())
        if resource == "claims":
            return [claim_as_json(claim) for one in stored for claim in one.claims]
        if resource == "arrivals":
            return [{"holder": holder} for one in stored for holder in one.arrivals]
        return [as_json(one) for one in stored if one.on.resource == resource]

    def observe(self, _: str, resource: str, what: str, enough: Any) -> None:
        async def until() -> None:
            while not enough(self._list(resource)):
                future = asyncio.get_running_loop().create_future()
                self.memory._store._waiting.add(future)
                await asyncio.wait_for(future, 20)

        loop = konductor._runtime.runtime().loop
        asyncio.run_coroutine_threadsafe(until(), loop).result()


class MemoryStage(Stage):
    cluster: Any

    def client(self, namespace: str | None) -> Any:
        memory: Memory = self.cluster.memory
        is_async = self.face.client is konductor.AsyncClient
        return memory.async_client() if is_async else memory.client()


WITHOUT_FAULTS = [pytest.param(one, id=name) for name, one in scenarios() if is_without_faults(one)]


def test_most_scenarios_without_faults_are_played() -> None:
    assert len(WITHOUT_FAULTS) > 25


@pytest.mark.parametrize("face", ["threads", "tasks"])
@pytest.mark.parametrize("scenario", WITHOUT_FAULTS)
def test_scenario_in_memory(face: str, scenario: Scenario) -> None:
    with contextlib.ExitStack() as stack:
        played: Any = Threads()
        if face == "tasks":
            played = Tasks()
            stack.callback(played.close)
        play_on(MemoryStage(InMemory(), played, "default", None, stack), scenario)  # type: ignore[arg-type]


def test_a_hold_that_the_test_takes_back_is_lost_at_once() -> None:
    memory = Memory()
    memory.lease("report")
    done = []
    with pytest.raises(konductor.Lost, match="lease/report"), memory.client().lease("report") as lease:
        done.append("first")
        memory.lose("report")
        lease.check()
        done.append("second")
    assert done == ["first"]
    assert memory.holders("report") == []


def test_a_callback_that_fails_keeps_no_other_from_being_called(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory()
    memory.lease("report")
    held = memory.client().lease("report").acquire()
    called: list[str] = []
    held.on_lost(lambda: called.append(str(1 // 0)))
    held.on_lost(lambda: called.append("second"))
    memory.lose("report")
    held.on_lost(lambda: called.append("late"))
    assert called == ["second", "late"]
    assert "ZeroDivisionError" in caplog.text


def test_a_task_is_cancelled_when_its_hold_is_lost() -> None:
    memory = Memory()
    memory.semaphore("db", permits=2)

    async def work() -> None:
        async with memory.async_client().semaphore("db", permits=2):
            assert memory.holders("db") == [konductor.Holder("test", 2)]
            memory.lose("db")
            await asyncio.Event().wait()

    with pytest.raises(konductor.Lost, match="semaphore/db"):
        asyncio.run(work())


def test_a_cancellation_by_others_is_no_loss() -> None:
    memory = Memory()
    memory.lease("report")

    async def main() -> None:
        inside = asyncio.Event()

        async def work() -> None:
            async with memory.async_client().lease("report"):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert memory.holders("report") == []

    asyncio.run(main())


def test_a_block_that_raises_keeps_its_own_error_although_the_hold_is_lost() -> None:
    memory = Memory()
    memory.lease("report")
    with pytest.raises(KeyError), memory.client().lease("report"):
        memory.lose("report")
        raise KeyError("of the work")


def test_a_lease_is_created_on_use_and_shows_its_holder() -> None:
    memory = Memory()
    client = memory.client(holder="me")
    lease = client.lease("report-7", create=True, ttl=5)
    with lease as held:
        assert lease.status() == konductor.LeaseStatus("Held", "me", held.token)
        assert lease.try_acquire() is None
    assert lease.status().holder is None
    with client.semaphore("db", create=3, permits=2):
        status = client.semaphore("db").status()
    assert (status.phase, status.permits, status.in_use) == ("Ready", 3, 2)
    memory.gate("ready")
    assert client.gate("ready").status().phase == "Waiting"


def test_a_decorated_function_holds_in_each_call() -> None:
    memory = Memory()
    memory.semaphore("db", permits=1)

    @memory.client().semaphore("db")
    def add(one: int, other: int = 0) -> int:
        """Adds."""
        assert memory.holders("db")
        return one + other

    assert add(1, other=2) == 3
    assert add.__doc__ == "Adds."
    assert memory.holders("db") == []

    @memory.async_client().semaphore("db")
    async def double(one: int) -> int:
        assert memory.holders("db")
        return one * 2

    assert asyncio.run(double(2)) == 4


def test_one_object_may_be_held_by_several_threads_and_tasks() -> None:
    memory = Memory()
    memory.semaphore("db", permits=3)
    request = memory.async_client().semaphore("db")

    async def main() -> list[str]:
        inside: list[str] = []
        together = asyncio.Event()

        async def hold() -> str:
            async with request as permit:
                inside.append(permit.claim)
                if len(inside) == 3:
                    together.set()
                await together.wait()
                return permit.claim

        return await asyncio.gather(*(hold() for _ in range(3)))

    assert len(set(asyncio.run(main()))) == 3
    assert memory.holders("db") == []


def test_a_closed_client_ends_its_calls_and_releases() -> None:
    memory = Memory()
    memory.lease("report")
    with memory.client() as client:
        client.lease("report").acquire()
        assert len(memory.holders("report")) == 1
    assert memory.holders("report") == []
    with pytest.raises(konductor.Canceled, match="closed"):
        client.lease("report").acquire()
