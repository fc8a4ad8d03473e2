"""The README's code and the examples do what they say."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import konductor

from .kube import Cluster
from .programs import program
from .proxy import Proxy

HERE = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (HERE / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def block(words: str) -> str:
    """The block of the README that has these words."""
    found: list[str] = [one for one in BLOCKS if words in one]
    assert len(found) == 1, words
    return found[0]


def module(name: str, **members: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(members)
    return made


@pytest.fixture
def here(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A namespace that a program finds by itself."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_of(namespace)))
    clients: list[konductor.Client] = []
    begin = konductor.Client.__init__

    def noted(self: konductor.Client, **options: Any) -> None:
        begin(self, **options)
        clients.append(self)

    monkeypatch.setattr(konductor.Client, "__init__", noted)
    yield monkeypatch
    for one in clients:
        one.close()


def execute(source: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "readme"}
    exec(compile(source, "README.md", "exec"), scope)
    return scope


def test_the_first_program(
    here: pytest.MonkeyPatch, cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.create(namespace, "Gate", "dependencies-ready", {"decision": "Open"})
    cluster.create(namespace, "Lease", "daily-report", {"ttl": "30s"})
    cluster.create(namespace, "Barrier", "stage-complete", {"expected": 1})
    execute(block('client.gate("dependencies-ready")'))
    first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (first[0], second[0]) == ("first", "second")
    assert first[1] == second[1] != "0"
    with konductor.Client() as client:
        client.barrier("stage-complete").wait(timeout=20)


def test_the_program_with_asyncio(here: pytest.MonkeyPatch, cluster: Cluster, namespace: str) -> None:
    cluster.create(namespace, "Semaphore", "database", {"permits": 2})
    execute(block("konductor.AsyncClient() as client"))


def test_the_task_of_airflow(here: pytest.MonkeyPatch, cluster: Cluster, namespace: str) -> None:
    cluster.create(namespace, "Semaphore", "search", {"permits": 1})
    here.setitem(sys.modules, "airflow", module("airflow"))
    here.setitem(sys.modules, "airflow.decorators", module("airflow.decorators", task=lambda work: work))
    scope = execute(block("airflow"))
    assert scope["rebuild_index"](7) == "shard 7 is rebuilt"


def test_the_migration_of_django(here: pytest.MonkeyPatch, cluster: Cluster, namespace: str) -> None:
    held: list[object] = []

    def call_command(name: str, **options: object) -> None:
        with konductor.Client(holder="other") as client:
            held.append((name, options, client.lease("migrations").status().phase))

    here.setitem(sys.modules, "django", module("django"))
    here.setitem(sys.modules, "django.core", module("django.core"))
    management = module("django.core.management", call_command=call_command)
    here.setitem(sys.modules, "django.core.management", management)
    base = module("django.core.management.base", BaseCommand=object)
    here.setitem(sys.modules, "django.core.management.base", base)
    scope = execute(block("django"))
    scope["Command"]().handle()
    assert held == [("migrate", {"interactive": False}, "Held")]
    # The operator frees the Lease after its Claim was deleted, which a release does not wait for.
    cluster.observe(
        namespace, "leases", "it is free", lambda found: found[0]["status"]["phase"] == "Available"
    )
    with konductor.Client() as client:
        assert client.lease("migrations").status().phase == "Available"


def test_the_chunks_of_pandas(here: pytest.MonkeyPatch, cluster: Cluster, namespace: str) -> None:
    cluster.create(namespace, "Semaphore", "warehouse", {"permits": 2})
    chunks = [[0] * 3, [0] * 4, [0] * 5]

    def read_csv(path: str, chunksize: int) -> Iterator[list[int]]:
        assert (path, chunksize) == ("sales.csv", 10_000)
        return iter(chunks)

    here.setitem(sys.modules, "pandas", module("pandas", DataFrame=list, read_csv=read_csv))
    assert execute(block("pandas"))["load_all"]("sales.csv") == 12


def test_the_test_of_a_program() -> None:
    execute(block("from konductor.testing import Memory"))["test_two_reports_are_never_written_at_once"]()


def test_every_block_is_run_or_is_a_part_of_another() -> None:
    run = ["dependencies-ready", "AsyncClient() as", "airflow", "django", "pandas", "import Memory"]
    assert sorted(BLOCKS) == sorted(
        [block(words) for words in run] + [block('barrier("workers").wait'), block("SIGTERM")]
    )
    for one in BLOCKS:
        compile(one, "README.md", "exec")


def test_the_worker_pool(cluster: Cluster, namespace: str) -> None:
    cluster.create(namespace, "Semaphore", "database", {"permits": 2})
    with program(HERE / "examples/worker_pool.py", cluster.kubeconfig_of(namespace)) as running:
        expected = "loaded customers\nloaded orders\nloaded invoices\nloaded payments"
        assert running.end() == (0, expected)


def test_map_and_reduce(cluster: Cluster, namespace: str) -> None:
    cluster.create(namespace, "Barrier", "mapped", {"expected": 3})
    with program(HERE / "examples/map_reduce.py", cluster.kubeconfig_of(namespace)) as running:
        assert running.end() == (0, "5")


def test_the_leader_stands_by_through_an_outage_and_releases_at_sigterm(
    cluster: Cluster, namespace: str
) -> None:
    # KONDUCTOR_OUTAGE=60 with `pytest -s` keeps the API server away for a minute.
    outage = float(os.environ.get("KONDUCTOR_OUTAGE", "0"))
    cluster.create(namespace, "Lease", "scheduler", {"ttl": "15s" if outage else "3s"})
    proxy = Proxy(cluster)
    kubeconfig = cluster.kubeconfig_of(namespace, proxy.address)
    with program(HERE / "examples/leader_election.py", kubeconfig) as running:
        assert running.line() == "standing by"
        assert running.line().startswith("leading, token")
        proxy.down()
        away = time.monotonic()
        until(running.line, "lost the lead")
        print(f"\nthe lead was lost after {time.monotonic() - away:.1f} s")
        assert running.line() == "standing by"
        time.sleep(max(outage - (time.monotonic() - away), 0))
        proxy.up()
        back = time.monotonic()
        until(running.line, "leading, token")
        print(f"it leads again {time.monotonic() - back:.1f} s after the API server is back")
        running.process.send_signal(signal.SIGTERM)
        assert running.end()[0] == 128 + signal.SIGTERM
    # The claim of a lead that was lost in a long outage has ended with its TTL.
    cluster.observe(namespace, "claims", "none is held", is_released)
    proxy.close()


def is_released(claims: list[dict[str, Any]]) -> bool:
    return all(one["status"]["phase"] == "Expired" for one in claims)


def until(line: Any, words: str) -> None:
    while words not in (printed := line()):
        assert printed, f"it has ended before {words!r}"
