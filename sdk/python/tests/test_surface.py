"""Both clients have the same surface, and the wheel has what it needs."""

from __future__ import annotations

import inspect
from importlib import metadata, resources
from pathlib import Path

import pytest

import konductor
from konductor import aio, client
from konductor._http import VERSION
from konductor.testing import Memory

PAIRS = [
    (client.Client, aio.AsyncClient),
    (client.Lease, aio.AsyncLease),
    (client.Semaphore, aio.AsyncSemaphore),
    (client.Barrier, aio.AsyncBarrier),
    (client.Gate, aio.AsyncGate),
    (client.LeaseHold, aio.AsyncLeaseHold),
    (client.Permit, aio.AsyncPermit),
]


def surface(cls: type) -> dict[str, list[tuple[str, object]]]:
    members = inspect.getmembers(cls, inspect.isfunction)
    return {
        name: [(one.name, one.default) for one in inspect.signature(member).parameters.values()]
        for name, member in members
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("threads", "tasks"), PAIRS, ids=lambda cls: cls.__name__)
def test_both_clients_have_the_same_calls_with_the_same_defaults(threads: type, tasks: type) -> None:
    assert surface(threads) == surface(tasks)
    assert surface(threads)


def test_every_public_name_is_documented() -> None:
    for name in konductor.__all__:
        member = getattr(konductor, name)
        if isinstance(member, type):
            assert member.__doc__, name
            for attribute, value in vars(member).items():
                if not attribute.startswith("_") and callable(value):
                    assert inspect.getdoc(value), f"{name}.{attribute}"


def test_the_package_is_typed_and_of_one_version() -> None:
    assert resources.files("konductor").joinpath("py.typed").is_file()
    assert konductor.__version__ == VERSION
    workspace = Path(__file__).parents[3] / "Cargo.toml"
    assert f'\nversion = "{VERSION}"\n' in workspace.read_text()
    try:
        assert metadata.version("konductor") == VERSION
    except metadata.PackageNotFoundError:
        pytest.skip("konductor is not installed here, only on the path")


def test_decorating_the_wrong_kind_of_function_says_what_to_use() -> None:
    memory = Memory()

    async def coroutine() -> None: ...

    def function() -> None: ...

    with pytest.raises(TypeError, match="use AsyncClient"):
        memory.client().lease("report")(coroutine)
    with pytest.raises(TypeError, match="use Client"):
        memory.async_client().lease("report")(function)  # type: ignore[arg-type]
