"""What the contract does not show: threads, tasks, signals, forks and connections."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import konductor
from konductor.testing import koncli

from .kube import Cluster
from .programs import program
from .proxy import Fault, Freezer, Proxy

#: How soon a connection that delivers nothing any more must be given up.
RECOVERY = 15.0


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    made = Proxy(cluster)
    yield made
    made.close()


@pytest.fixture
def freezer(proxy: Proxy) -> Iterator[Freezer]:
    made = Freezer(("127.0.0.1", urlsplit(proxy.address).port or 0))
    yield made
    made.close()


@pytest.fixture
def client(cluster: Cluster, namespace: str, proxy: Proxy) -> Iterator[konductor.Client]:
    kubeconfig = cluster.kubeconfig_of(namespace, proxy.address)
    with konductor.Client(kubeconfig=kubeconfig, holder="tester") as made:
        yield made


@pytest.fixture
def kubeconfig(cluster: Cluster, namespace: str) -> Path:
    return cluster.kubeconfig_of(namespace)


def none_left(cluster: Cluster, namespace: str, resource: str = "claims") -> None:
    cluster.observe(namespace, resource, "none is left", lambda found: not found)


def is_held(cluster: Cluster, namespace: str) -> None:
    def granted(found: list[dict[str, object]]) -> bool:
        return any("Granted" in str(one.get("status")) for one in found)

    cluster.observe(namespace, "claims", "one is granted", granted)


def test_an_acquisition_and_its_release_are_four_requests(client: konductor.Client, proxy: Proxy) -> None:
    client.lease("report").ensure()
    before = len(proxy.requests())
    with client.lease("report"):
        pass
    assert proxy.requests()[before:] == ["get leases", "create claims", "watch claims", "delete claims"]


def test_what_is_written_names_its_field_manager(client: konductor.Client, proxy: Proxy) -> None:
    client.barrier("stage").ensure(expected=1)
    client.barrier("stage").arrive()
    with client.lease("report", create=True, ttl=3):
        proxy.wait_for("patch claims", 1)
    assert len(proxy.managers) >= 5
    assert set(proxy.managers) == {"konductor-sdk"}


def test_a_party_meets_the_arrival_that_koncli_made_for_it(
    cluster: Cluster, namespace: str, client: konductor.Client
) -> None:
    client.barrier("stage").ensure(expected=2)
    arrive = ["barrier", "arrive", "stage", "--holder", "tester"]
    command = [koncli(), "--kubeconfig", str(cluster.kubeconfig), "-n", namespace, *arrive]
    subprocess.run(command, check=True, capture_output=True)
    client.barrier("stage").arrive()
    assert len(cluster.objects(namespace, "arrivals")) == 1


def test_a_hold_that_is_lost_ends_the_block_of_a_task(cluster: Cluster, namespace: str, proxy: Proxy) -> None:
    cluster.create(namespace, "Lease", "report", {"ttl": "3s"})
    kubeconfig = cluster.kubeconfig_of(namespace, proxy.address)
    steps: list[str] = []

    async def main() -> None:
        async with konductor.AsyncClient(kubeconfig=kubeconfig) as client:
            try:
                async with client.lease("report") as lease:
                    proxy.begin(Fault("patch", "claims", code=503))
                    steps.append("inside")
                    await asyncio.Event().wait()
            except konductor.Lost as lost:
                steps.append(str(lost))
                assert lease.is_lost

    asyncio.run(main())
    assert steps[0] == "inside"
    assert "it was not renewed in time; stop what it protects" in steps[1]


def test_a_task_that_blocks_its_event_loop_keeps_its_hold(
    cluster: Cluster, namespace: str, proxy: Proxy
) -> None:
    cluster.create(namespace, "Lease", "report", {"ttl": "3s"})
    kubeconfig = cluster.kubeconfig_of(namespace, proxy.address)

    async def main() -> None:
        async with konductor.AsyncClient(kubeconfig=kubeconfig) as client, client.lease("report") as lease:
            # It blocks the loop for several renewals.
            proxy.wait_for("patch claims", 5)
            lease.check()

    asyncio.run(main())


def test_calls_of_many_threads_are_ended_by_close(
    client: konductor.Client, cluster: Cluster, namespace: str
) -> None:
    client.semaphore("db").ensure(permits=0)
    ended: list[str] = []

    def ask() -> None:
        with pytest.raises(konductor.Canceled):
            client.semaphore("db").acquire()
        ended.append("canceled")

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for one in threads:
        one.start()
    cluster.observe(namespace, "claims", "20 are queued", lambda found: str(found).count("Queued") >= 20)
    client.close()
    for one in threads:
        one.join()
    assert ended == ["canceled"] * 20
    none_left(cluster, namespace)


def test_a_frozen_connection_is_replaced_in_time(
    cluster: Cluster, namespace: str, proxy: Proxy, freezer: Freezer
) -> None:
    cluster.create(namespace, "Gate", "ready", {})
    cluster.create(namespace, "Semaphore", "db", {"permits": 0})
    kubeconfig = cluster.kubeconfig_of(namespace, f"http://127.0.0.1:{freezer.port}")
    through = konductor.Client(kubeconfig=kubeconfig)
    took: dict[str, float] = {}
    begun = 0.0

    def wait() -> None:
        through.gate("ready").wait()
        took["gate"] = time.monotonic() - begun

    def acquire() -> None:
        with through.semaphore("db"):
            took["semaphore"] = time.monotonic() - begun

    threads = [threading.Thread(target=wait), threading.Thread(target=acquire)]
    for one in threads:
        one.start()
    proxy.wait_for("watch gates", 1)
    proxy.wait_for("watch claims", 1)
    begun = time.monotonic()
    freezer.freeze()
    cluster.patch(namespace, "gate/ready", {"spec": {"decision": "Open"}})
    cluster.patch(namespace, "semaphore/db", {"spec": {"permits": 1}})
    for one in threads:
        one.join()
    assert max(took.values()) < RECOVERY, took
    through.close()


HOLDING = """
    import konductor, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    client = konductor.Client()
    with client.lease("report") as lease:
        print("holding", lease.token, flush=True)
        threading = __import__("threading")
        threading.Event().wait()
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_program_that_is_terminated_releases(
    cluster: Cluster, namespace: str, kubeconfig: Path, sent: signal.Signals, code: int
) -> None:
    cluster.create(namespace, "Lease", "report", {"ttl": "30s"})
    with program(HOLDING, kubeconfig) as running:
        assert running.line().startswith("holding")
        running.process.send_signal(sent)
        assert running.end()[0] == code
    none_left(cluster, namespace)


def test_a_program_that_is_interrupted_in_the_queue_leaves_it(
    cluster: Cluster, namespace: str, kubeconfig: Path
) -> None:
    cluster.create(namespace, "Semaphore", "db", {"permits": 0})
    with program("import konductor; konductor.Client().semaphore('db').acquire()", kubeconfig) as running:
        cluster.observe(namespace, "claims", "one is queued", lambda found: "Queued" in str(found))
        running.process.send_signal(signal.SIGINT)
        assert running.end()[0] == -signal.SIGINT
    none_left(cluster, namespace)


def test_a_program_that_ends_without_a_release_releases(
    cluster: Cluster, namespace: str, kubeconfig: Path
) -> None:
    cluster.create(namespace, "Lease", "report", {"ttl": "30s"})
    source = "import konductor; konductor.Client().lease('report').acquire(); print('held')"
    with program(source, kubeconfig) as running:
        assert running.end() == (0, "held")
    none_left(cluster, namespace)


def test_a_call_at_the_end_of_the_process_says_so(cluster: Cluster, namespace: str, kubeconfig: Path) -> None:
    cluster.create(namespace, "Lease", "report", {"ttl": "30s"})
    # What is registered first is called last.
    source = """
        import atexit
        def late():
            try:
                client.lease("report").acquire()
            except konductor.Canceled as error:
                print(error)
            client.close()
        atexit.register(late)
        import konductor
        client = konductor.Client()
        client.lease("report").acquire()
    """
    with program(source, kubeconfig) as running:
        code, printed = running.end()
    assert (code, "the interpreter is shutting down" in printed) == (0, True), printed
    none_left(cluster, namespace)


def test_a_process_that_was_stopped_for_longer_than_the_ttl_does_no_work_after(
    cluster: Cluster, namespace: str, kubeconfig: Path
) -> None:
    cluster.create(namespace, "Lease", "report", {"ttl": "5s"})
    source = """
        import konductor, sys
        with konductor.Client().lease("report") as lease:
            print("holding", lease.token)
            while True:
                lease.check()
                print("work")
    """
    with program(source, kubeconfig) as running:
        first = running.line()
        assert running.line() == "work"
        running.process.send_signal(signal.SIGSTOP)
        with konductor.Client(kubeconfig=kubeconfig) as client, client.lease("report") as second:
            running.process.send_signal(signal.SIGCONT)
            code, printed = running.end()
            assert second.token > int(first.split()[1])
            second.check()
    # What stood in the pipe was printed before it was stopped.
    assert code == 1
    assert printed.splitlines()[-1].startswith("konductor._errors.Lost: lease/report in namespace")


def test_a_fork_neither_holds_nor_releases_what_its_parent_holds(
    cluster: Cluster, namespace: str, kubeconfig: Path
) -> None:
    cluster.create(namespace, "Lease", "report", {"ttl": "30s"})
    cluster.create(namespace, "Semaphore", "db", {"permits": 2})
    source = """
        import konductor, os
        client = konductor.Client()
        with client.lease("report") as lease:
            child = os.fork()
            if child == 0:
                try:
                    lease.check()
                except konductor.Lost as lost:
                    print(lost)
                lease.release()
                with client.semaphore("db") as permit:
                    permit.check()
                    print("the child holds a permit")
                os._exit(0)
            os.waitpid(child, 0)
            lease.check()
            print("the parent holds")
    """
    with program(source, kubeconfig) as running:
        code, printed = running.end()
    lines = printed.splitlines()
    assert code == 0, printed
    # Since 3.12 Python warns of a fork of a process with threads.
    assert "this process is a fork of the one that holds it" in printed
    assert lines[-2:] == ["the child holds a permit", "the parent holds"]
    none_left(cluster, namespace)


def test_calls_work_in_workers_of_multiprocessing(cluster: Cluster, namespace: str, kubeconfig: Path) -> None:
    cluster.create(namespace, "Semaphore", "db", {"permits": 2})
    source = """
        import konductor, multiprocessing
        client = konductor.Client()
        def work(number):
            with client.semaphore("db"):
                return number
        if __name__ == "__main__":
            work(0)
            with multiprocessing.get_context("fork").Pool(3) as pool:
                print(sorted(pool.map(work, range(6))))
    """
    with program(source, kubeconfig) as running:
        assert running.end() == (0, "[0, 1, 2, 3, 4, 5]")
    none_left(cluster, namespace)


def test_nothing_is_connected_and_no_thread_started_before_the_first_call() -> None:
    source = """
        import sys, threading
        import konductor
        heavy = {"httpcore", "anyio", "h11", "yaml"} & set(sys.modules)
        print(sorted(heavy), threading.active_count())
    """
    with program(source, Path(os.devnull)) as running:
        assert running.end() == (0, "[] 1")


def test_asked_to_fail_fast_a_lease_is_not_created_on_a_server_that_is_down(
    client: konductor.Client, proxy: Proxy
) -> None:
    proxy.down()
    begun = time.monotonic()
    with pytest.raises(konductor.Unreachable):
        client.lease("report", create=True, fail_fast=True).acquire()
    with pytest.raises(konductor.Unreachable):
        client.semaphore("db", create=3, wait=False).acquire()
    assert time.monotonic() - begun < 20
