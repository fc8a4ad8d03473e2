"""Waits that share a watch miss no change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from konductor._errors import Target
from konductor._http import Answer, NoAnswer
from konductor._shared import SharedWatch

Json = dict[str, Any]


class Server:
    """What the shared watch asks of an API server."""

    def __init__(self) -> None:
        self.begun_at: list[str] = []
        self.events: asyncio.Queue[Json | Exception | None] = asyncio.Queue()
        self.reads = 0

    async def get(self, on: Target) -> Json:
        self.reads += 1
        return {"metadata": {"name": on.name, "resourceVersion": "5"}}

    async def watch(self, on: Target, version: str, label: str) -> AsyncGenerator[Json, None]:
        assert label == "konductor.io/client=me"
        self.begun_at.append(version)
        while (event := await self.events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event


def claim(name: str) -> Target:
    return Target("Claim", "default", name)


def change(name: str, version: str) -> Json:
    return {"type": "MODIFIED", "object": {"metadata": {"name": name, "resourceVersion": version}}}


def run(play: Any) -> None:
    async def main() -> None:
        server = Server()
        shared = SharedWatch(server, "default", "me")  # type: ignore[arg-type]
        try:
            await play(server, shared)
        finally:
            await shared.close()

    asyncio.run(main())


def test_a_read_before_the_watch_began_is_repeated_and_then_covered() -> None:
    async def play(server: Server, shared: SharedWatch) -> None:
        early, late = shared.subscribe("early"), shared.subscribe("late")
        server.events.put_nowait(change("late", "8"))
        seen = late.watch(claim("late"), "7")
        assert (await anext(seen))["object"]["metadata"]["resourceVersion"] == "8"
        # What has changed since version 5 may have been before the watch.
        with pytest.raises(NoAnswer, match="read before the watch began"):
            await anext(early.watch(claim("early"), "5"))
        found = await early.get(claim("early"))
        server.events.put_nowait(change("early", "9"))
        covered = early.watch(claim("early"), found["metadata"]["resourceVersion"])
        assert (await anext(covered))["object"]["metadata"]["resourceVersion"] == "9"
        assert server.begun_at == ["7"]

    run(play)


def test_a_newer_version_than_the_watch_began_at_is_covered() -> None:
    async def play(server: Server, shared: SharedWatch) -> None:
        first, second = shared.subscribe("first"), shared.subscribe("second")
        server.events.put_nowait(change("second", "11"))
        server.events.put_nowait(change("first", "12"))
        assert await anext(first.watch(claim("first"), "7"))
        # Its change was delivered before it began to watch.
        assert await anext(second.watch(claim("second"), "9"))
        assert server.begun_at == ["7"]

    run(play)


@pytest.mark.parametrize("error", [NoAnswer("broken"), Answer(403, {}), Answer(410, {})], ids=str)
def test_all_waits_learn_that_the_watch_has_broken(error: Exception) -> None:
    async def play(server: Server, shared: SharedWatch) -> None:
        waits = [shared.subscribe(name).watch(claim(name), "7") for name in "abc"]
        pending = [asyncio.ensure_future(anext(one)) for one in waits]
        server.events.put_nowait(error)
        results = await asyncio.gather(*pending, return_exceptions=True)
        assert results == [error] * 3
        assert shared.running is None

    run(play)


def test_a_wait_does_not_rely_on_a_watch_that_was_interrupted_since_its_read() -> None:
    async def play(server: Server, shared: SharedWatch) -> None:
        one, other = shared.subscribe("one"), shared.subscribe("other")
        waits = asyncio.ensure_future(anext(other.watch(claim("other"), "7")))
        await asyncio.sleep(0)
        await one.get(claim("one"))
        server.events.put_nowait(NoAnswer("broken"))
        await asyncio.wait({waits})
        assert isinstance(waits.exception(), NoAnswer)
        again = asyncio.ensure_future(anext(other.watch(claim("other"), "20")))
        await asyncio.sleep(0)
        with pytest.raises(NoAnswer):
            await anext(one.watch(claim("one"), "5"))
        server.events.put_nowait(change("other", "21"))
        assert await again
        assert server.begun_at == ["7", "20"]

    run(play)


def test_a_watch_that_ends_as_asked_is_continued_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("konductor._shared._LEAST", 0.0)

    async def play(server: Server, shared: SharedWatch) -> None:
        seen = shared.subscribe("a").watch(claim("a"), "7")
        for event in (change("a", "8"), {"type": "BOOKMARK", "object": change("", "15")["object"]}, None):
            server.events.put_nowait(event)
        server.events.put_nowait(change("a", "16"))
        versions = [(await anext(seen))["object"]["metadata"]["resourceVersion"] for _ in range(2)]
        assert versions == ["8", "16"]
        assert server.begun_at == ["7", "15"]

    run(play)
