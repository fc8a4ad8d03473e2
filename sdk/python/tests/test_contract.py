"""Plays the scenarios of ../contract with both clients; its README says what each field means."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

import konductor

from .kube import WITHIN, Cluster, Clusters
from .proxy import Fault, Proxy

CONTRACT = Path(__file__).parents[2] / "contract"
KINDS: dict[str, type[BaseException]] = {
    "not-found": konductor.NotFound,
    "unauthorized": konductor.Unauthorized,
    "forbidden": konductor.Forbidden,
    "timed-out": konductor.TimedOut,
    "failed": konductor.Failed,
    "denied": konductor.Denied,
    "lost": konductor.Lost,
    "unreachable": konductor.Unreachable,
    "refused": konductor.Refused,
    "invalid": konductor.Invalid,
}
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Step = dict[str, Any]
Scenario = dict[str, Any]


def scenarios() -> Iterator[tuple[str, Scenario]]:
    for path in sorted(CONTRACT.glob("*.yaml")):
        for one in yaml.safe_load(path.read_text()):
            yield f"{path.stem}: {one['name']}", one


def length(text: str | None) -> float | None:
    if text is None:
        return None
    number = text.rstrip("hms")
    return float(number) * UNITS[text[len(number) :]]


class Threads:
    """Calls of the client for threads."""

    client = konductor.Client

    def begin(self, client: Any, work: Callable[[], Any]) -> tuple[Future[Any], Callable[[], Any]]:
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        # A thread can't be cancelled from outside; its client can be closed.
        return future, client.close

    def run(self, work: Callable[[], Any]) -> Any:
        return work()


class Tasks:
    """Calls of the client for asyncio, in an event loop of a thread of its own."""

    client = konductor.AsyncClient

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, client: Any, work: Callable[[], Any]) -> tuple[Future[Any], Callable[[], Any]]:
        future: Future[Any] = Future()
        tasks: list[asyncio.Task[None]] = []

        async def run() -> None:
            try:
                future.set_result(await work())
            except BaseException as error:
                future.set_exception(error)

        def begin() -> None:
            tasks.append(self._loop.create_task(run()))

        self._loop.call_soon_threadsafe(begin)
        return future, lambda: self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())

    def run(self, work: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(WITHIN)


@dataclass
class Stage:
    """Where one scenario is played."""

    cluster: Cluster
    face: Any
    namespace: str
    proxy: Proxy
    stack: contextlib.ExitStack
    calls: dict[str, Any] = field(default_factory=dict)
    holds: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)

    def play(self, step: Step) -> None:
        if "do" in step:
            self.end(self.begin({**step, "call": step["do"]}), step.get("as"), step.get("result"))
        elif "begin" in step:
            self.calls[step["begin"]] = self.begin(step)
        elif "end" in step:
            self.end(self.calls[step["end"]], step["end"], step.get("result"))
        elif "pending" in step:
            assert not self.calls[step["pending"]][0].done(), "the call has ended"
        elif "cancel" in step:
            self.calls[step["cancel"]][1]()
        elif "release" in step:
            error = caught(lambda: self.face.run(self.holds[step["release"]].release))
            expect(error, step.get("result"))
        elif "holds" in step:
            held = self.holds[step["holds"]]
            held.check()
            assert not held.is_lost
        elif "rising" in step:
            tokens = [self.holds[name].token for name in step["rising"]]
            assert tokens == sorted(set(tokens)), tokens
            assert tokens[0] > 0
        elif "until" in step:
            self.until(step)
        elif "requests" in step:
            assert self.proxy.requests() == step["requests"]
        else:
            self.change(step)

    def change(self, step: Step) -> None:
        """What others do."""
        if "create" in step:
            made = step["create"]
            self.cluster.create(self.namespace, made["kind"], made["name"], made.get("spec", {}))
        elif "patch" in step:
            self.cluster.patch(self.namespace, step["patch"], step["with"])
        elif "expire" in step:
            claim = self.holds[step["expire"]].claim
            self.cluster.patch(self.namespace, f"claim/{claim}", {"status": {"phase": "Expired"}})
        elif "delete" in step and step["delete"].startswith("claims of "):
            holder = step["delete"].removeprefix("claims of ")
            for one in self.cluster.objects(self.namespace, "claims"):
                if one["spec"]["holder"] == holder:
                    self.cluster.delete(self.namespace, f"claim/{one['metadata']['name']}")
        elif "delete" in step:
            self.cluster.delete(self.namespace, step["delete"])
        elif "break" in step:
            self.faults[step["as"]] = self.proxy.begin(self.fault(step))
        elif "mend" in step:
            self.proxy.mend(self.faults[step["mend"]])
        elif step.get("cut") == "watches":
            self.proxy.cut_watches()
        elif step.get("server") == "down":
            self.proxy.down()
        elif step.get("server") == "up":
            self.proxy.up()
        elif step.get("operator") == "up":
            self.stack.enter_context(self.cluster.operator(self.namespace))
        else:
            raise AssertionError(f"not a step: {step}")

    def fault(self, step: Step) -> Fault:
        verb, _, resource = step["break"].partition(" ")
        fault = Fault(verb, resource, step.get("times", 0))
        how = step["how"]
        if how == "compacted":
            path = self.cluster.resource(self.namespace, resource)
            fault.oldest = int(self.cluster.call("GET", path)["metadata"]["resourceVersion"])
        elif how.isdigit():
            fault.code = int(how)
        else:
            assert how in ("hang", "poison", "lose-answer"), how
            setattr(fault, how.replace("-", "_"), True)
        return fault

    def client(self, namespace: str | None) -> Any:
        kubeconfig = self.cluster.kubeconfig_of(self.namespace, self.proxy.address)
        return self.face.client(kubeconfig=kubeconfig, namespace=namespace)

    def begin(self, step: Step) -> Any:
        client = self.client(step.get("namespace"))
        self.stack.callback(lambda: self.face.run(client.close))
        kind, _, name = step["object"].partition("/")
        timeout = length(step.get("timeout"))
        call = step["call"]
        if call == "wait":
            on = getattr(client, kind)(name)
            fail_fast = step.get("failFast", False)
            return self.face.begin(client, lambda: on.wait(timeout=timeout, fail_fast=fail_fast))
        if call == "arrive":
            options = {"holder": step["holder"], "timeout": timeout}
            if "outcome" in step:
                options["outcome"] = step["outcome"]
            return self.face.begin(client, lambda: client.barrier(name).arrive(**options))
        assert call == "acquire", call
        names = {"failFast": "fail_fast", "wait": "wait", "holder": "holder", "permits": "permits"}
        names["priority"] = "priority"
        options = {ours: step[theirs] for theirs, ours in names.items() if theirs in step}
        options |= {"timeout": timeout, "ttl": length(step.get("ttl"))}
        if kind == "lease" and options.pop("permits", 1) != 1:
            # The API has no permits of a Lease; what it asks for is what the schema refuses.
            return self.face.begin(client, lambda: acquire_lease_permits(client, name, step))
        return self.face.begin(client, lambda: getattr(client, kind)(name, **options).acquire())

    def end(self, call: Any, name: str | None, result: str | None) -> None:
        future = call[0]
        done, _ = concurrent.futures.wait([future], WITHIN)
        assert done, f"the call has not ended within {WITHIN} s"
        error = future.exception()
        if error is None and name and future.result() is not None:
            self.holds[name] = future.result()
        expect(error, result)

    def until(self, step: Step) -> None:
        if step["until"] == "lost":
            held = self.holds[step["of"]]
            lost = threading.Event()
            held.on_lost(lost.set)
            assert lost.wait(WITHIN), f"{step['of']} is not lost"
            expect(caught(held.check), "lost")
        elif step["until"] == "requests":
            self.proxy.wait_for(step["of"], step.get("times", 1))
        else:
            has = step["has"]
            self.cluster.observe(
                self.namespace,
                step["until"],
                f"one has {has}",
                lambda found: any(includes(one, has) for one in found),
            )


def acquire_lease_permits(client: Any, name: str, step: Step) -> Any:
    lease = client.lease(name, holder=step["holder"])
    lease._ask = konductor._base.changed(lease._ask, permits=step["permits"])
    return lease.acquire()


def caught(work: Callable[[], Any]) -> BaseException | None:
    try:
        work()
    except BaseException as error:
        return error
    return None


def expect(error: BaseException | None, wanted: str | None) -> None:
    """Compares an error with its kind, and its reason if one is named."""
    kind, _, reason = (wanted or "ok").partition(" ")
    if kind == "ok":
        if error:
            raise error
    elif kind == "canceled":
        assert isinstance(error, konductor.Canceled | asyncio.CancelledError), repr(error)
    else:
        assert isinstance(error, KINDS[kind]), f"{error!r} is not {kind}"
        assert isinstance(error, konductor.KonductorError)
        assert (error.name and error.namespace) or kind == "invalid", vars(error)
        assert not reason or error.reason == reason, f"{error}: {error.reason} is not {reason}"


def includes(found: object, asked: object) -> bool:
    if not isinstance(asked, dict):
        return found == asked
    return isinstance(found, dict) and all(includes(found.get(key), asked[key]) for key in asked)


def play(clusters: Clusters, face: Any, scenario: Scenario) -> None:
    absent = scenario.get("operator") == "absent"
    cluster = clusters.bare() if absent else clusters.cluster
    with contextlib.ExitStack() as stack:
        proxy = Proxy(cluster)
        stack.callback(proxy.close)
        play_on(Stage(cluster, face, cluster.namespace(), proxy, stack), scenario)


def play_on(stage: Stage, scenario: Scenario) -> None:
    for made in scenario.get("setup", []):
        stage.cluster.create(stage.namespace, made["kind"], made["name"], made.get("spec", {}))
    for number, step in enumerate(scenario["steps"], 1):
        try:
            stage.play(step)
        except BaseException as error:
            raise AssertionError(f"step {number}, {step}: {error}") from error
    for resource, count in scenario.get("left", {}).items():
        stage.cluster.observe(stage.namespace, resource, f"{count} are left", partial(has_length, count))
    for future, cancel in stage.calls.values():
        cancel()
        concurrent.futures.wait([future], WITHIN)
    for held in stage.holds.values():
        caught(partial(stage.face.run, held.release))


def has_length(count: int, found: list[Any]) -> bool:
    return len(found) == count


@pytest.fixture(scope="session")
def played(request: pytest.FixtureRequest, clusters: Clusters) -> Iterator[dict[str, Future[None]]]:
    """Plays all scenarios that were selected, several at once: they wait more than they compute."""
    tasks = Tasks()
    faces: dict[str, Any] = {"threads": Threads(), "tasks": tasks}
    for cluster in (clusters.cluster, clusters.bare()):
        # What is done once, such as imports, is not part of the short timeouts of scenarios.
        with konductor.Client(kubeconfig=cluster.kubeconfig) as client, pytest.raises(konductor.NotFound):
            client.gate("none").wait(timeout=0)
    with ThreadPoolExecutor(12) as pool:
        results = {}
        for item in request.session.items:
            if isinstance(item, pytest.Function) and item.originalname == "test_scenario":
                chosen: dict[str, Any] = item.callspec.params
                face = faces[chosen["face"]]
                results[item.nodeid] = pool.submit(play, clusters, face, chosen["scenario"])
        yield results
    tasks.close()


@pytest.mark.parametrize("face", ["threads", "tasks"])
@pytest.mark.parametrize("scenario", [pytest.param(one, id=name) for name, one in scenarios()])
def test_scenario(
    request: pytest.FixtureRequest, played: dict[str, Future[None]], face: str, scenario: Scenario
) -> None:
    played[request.node.nodeid].result()
