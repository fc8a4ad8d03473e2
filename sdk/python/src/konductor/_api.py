"""The calls, against an API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ._backend import Ask
from ._call import API_VERSION, Call, create_once, object_of
from ._claims import LAST_WORDS, Claims
from ._clock import now
from ._config import Config
from ._errors import (
    ALREADY_ARRIVED,
    NO_ANSWER,
    TOO_MANY_PERMITS,
    Failed,
    Invalid,
    Refused,
    Seen,
    Target,
    TimedOut,
    timed_out,
    unreachable,
)
from ._events import Event, Observer
from ._grant import Grant
from ._http import Answer, Http, NoAnswer, explain, uncertain
from ._json import Json, dig, number, text
from ._names import (
    TTL_MIN,
    arrival_name,
    check_holder,
    check_number,
    check_target,
    check_timeout,
    check_ttl,
    parse_duration,
)
from ._timing import Backoff, Late, within
from ._wait import Waiting

log = logging.getLogger("konductor")

T = TypeVar("T")

#: How long an answer that needs no waiting may take.
_ANSWER_WITHIN = 10.0
#: After how long without a word of an operator that is logged.
_OPERATOR_WITHIN = 5.0
_ENDED = ("Failed", "Skipped", "Unreached")
OUTCOMES = ("Succeeded", "Failed", "Skipped", "Cancelled")
_SILENT = Seen(NO_ANSWER, "no operator has looked at it: check that konductor's operator runs")


class Api:
    """The primitives in one namespace of an API server."""

    def __init__(
        self, config: Config, namespace: str, observe: Callable[[Event], None] | None = None
    ) -> None:
        self._http = Http(config)
        self._namespace = namespace
        self._observer = Observer(observe)
        self._claims = Claims(self._http, namespace, self._observer)

    @property
    def namespace(self) -> str:
        return self._namespace

    def forget(self) -> None:
        """Drops what belongs to another process."""
        self._http.forget()
        self._claims = Claims(self._http, self._namespace, self._observer)

    async def close(self) -> None:
        await self._claims.close()
        await self._http.close()

    # Waiting

    async def wait(self, on: Target, timeout: float | None, fail_fast: bool) -> None:
        check_target(on)
        check_timeout(on, timeout)
        call = Call(on)

        def is_open(found: Json) -> bool:
            phase = text(found, "status", "phase")
            call.answered = number(found, "status", "observedGeneration") is not None
            if phase in _ENDED:
                raise on.error(Failed, phase, f"it is {phase} and will not open: {_because(found)}")
            # A phase that this version does not know is not known to be final.
            return phase == "Open"

        def report(said: str) -> None:
            self._observer.report("Waiting", on, message=said)

        once = fail_fast or timeout == 0
        waiting = call.follow(Waiting(self._http, on, is_open, fail_fast=once, report=report))
        if timeout == 0:
            if not await waiting.once():
                raise self._late(call, 0)
            return
        silence = asyncio.get_running_loop().call_later(_OPERATOR_WITHIN, _warn_silence, call)
        try:
            await within(timeout, waiting.run())
        except Late as late:
            raise self._late(call, timeout) from late
        finally:
            silence.cancel()

    def _late(self, call: Call, after: float | None) -> TimedOut:
        seen = call.seen()
        if not seen.reason and not call.answered:
            seen = _SILENT
        return timed_out(call.on, after, seen)

    # Arriving

    async def arrive(self, on: Target, holder: str, outcome: str, timeout: float | None) -> None:
        check_target(on)
        check_timeout(on, timeout)
        check_holder(on, holder)
        if outcome not in OUTCOMES:
            raise on.error(Invalid, "Invalid", f"{outcome!r} is no outcome; use one of {', '.join(OUTCOMES)}")
        await self._bounded(on, timeout, lambda call: self._arrive(call, holder, outcome))

    async def _arrive(self, call: Call, holder: str, outcome: str) -> None:
        on = call.on
        barrier = await self._persist(call, lambda: self._http.get(on))
        uid = text(barrier, "metadata", "uid")
        arrival = Target("Arrival", on.namespace, arrival_name(on.name, uid, holder))
        owner = {"apiVersion": API_VERSION, "kind": "Barrier", "name": on.name, "uid": uid}
        body = object_of(arrival, {"barrier": on.name, "holder": holder, "outcome": outcome}, [owner])
        known = await self._persist(call, lambda: create_once(self._http, arrival, body))
        earlier = text(known, "spec", "outcome") or "Succeeded"
        if earlier != outcome:
            raise on.error(
                Failed,
                ALREADY_ARRIVED,
                f"{holder} has arrived as {earlier} already; before it opens, delete "
                f"arrival/{arrival.name} to take that back",
            )

    async def ensure(self, on: Target, spec: Json, timeout: float | None) -> Json:
        check_target(on)
        check_timeout(on, timeout)
        return await self._bounded(on, timeout, lambda call: self._ensure(call, spec))

    async def _ensure(self, call: Call, spec: Json, fail_fast: bool = False) -> Json:
        async def get_or_create() -> Json:
            try:
                return await self._http.get(call.on)
            except Answer as error:
                if not error.not_found:
                    raise
            return await create_once(self._http, call.on, object_of(call.on, spec))

        if not fail_fast:
            return await self._persist(call, get_or_create)
        try:
            return await get_or_create()
        except (Answer, NoAnswer) as error:
            raise explain(call.on, error) from error

    async def read(self, on: Target, timeout: float | None) -> Json:
        check_target(on)
        check_timeout(on, timeout)
        return await self._bounded(on, timeout, lambda call: self._persist(call, lambda: self._http.get(on)))

    async def observe(self, on: Target, changed: Callable[[Json], None]) -> None:
        check_target(on)

        def decide(found: Json) -> bool:
            changed(found)
            return False

        await Waiting(self._http, on, decide).run()

    async def _bounded(self, on: Target, timeout: float | None, work: Callable[[Call], Awaitable[T]]) -> T:
        call = Call(on)

        async def run() -> T:
            return await work(call)

        try:
            return await within(timeout, run())
        except Late as late:
            raise self._late(call, timeout) from late

    async def _persist(self, call: Call, ask: Callable[[], Awaitable[Json]]) -> Json:
        """Repeats a request while no API server answers, or it answers that it is overloaded."""
        pauses = Backoff()
        away = False
        while True:
            try:
                return await ask()
            except (Answer, NoAnswer) as error:
                # An API server that was down may not serve everything at first.
                not_served = isinstance(error, Answer) and error.not_served
                if not uncertain(error) or (not_served and not away):
                    raise explain(call.on, error) from error
                if not away:
                    log.warning("the API server can't be reached; retrying %s: %s", call.on, error)
                away = True
                call.note(unreachable(error))
            await pauses.pause()

    # Acquiring

    async def acquire(self, on: Target, ask: Ask) -> Grant:
        check_ask(on, ask)
        waits = ask.wait and ask.timeout != 0
        timeout = ask.timeout
        if not waits and not timeout:
            # The operator answers at once, if one runs.
            timeout = _ANSWER_WITHIN
        call = Call(on)
        begun = now()
        try:
            grant = await within(timeout, self._acquire(call, ask, waits))
            self._observer.report("Acquired", on, after=now() - begun)
            return grant
        except Late as late:
            seen = call.seen()
            if not seen.reason and (not waits or await self._is_silent(call)):
                seen = _SILENT
            raise timed_out(on, timeout, seen) from late

    async def _acquire(self, call: Call, ask: Ask, waits: bool) -> Grant:
        ledger = await self._ledger(call, ask, waits)
        call.answered = bool(text(ledger, "status", "phase"))
        ttl = ask.ttl
        if call.on.kind == "Lease":
            own = parse_duration(dig(ledger, "spec", "ttl"))
            ttl = max(min(ttl, own), TTL_MIN) if own is not None else ttl
        else:
            check_permits(call.on, ask.permits, number(ledger, "spec", "permits"))
        ttl = int(ttl * 1000 + 1e-6) / 1000
        return await self._claims.acquire(call, ask, ttl, waits)

    async def _ledger(self, call: Call, ask: Ask, waits: bool) -> Json:
        """Waits until what is asked for exists."""
        begin = None
        if ask.create is not None:
            begin = await self._ensure(call, ask.create, ask.fail_fast or not waits)
        waiting = Waiting(self._http, call.on, lambda _: True, fail_fast=ask.fail_fast or not waits)
        call.follow(waiting)
        if waits or begin is not None:
            return await waiting.run(begin)
        return await waiting.once()

    async def _is_silent(self, call: Call) -> bool:
        """Whether it is known, after a timeout, that no operator has looked at a ledger."""
        if call.answered:
            return False
        try:
            found = await within(LAST_WORDS, self._http.get(call.on))
        except (Late, Answer, NoAnswer):
            return False
        return not text(found, "status", "phase")


def check_ask(on: Target, ask: Ask) -> None:
    """Raises ``Invalid`` if this can never be granted."""
    check_target(on)
    check_timeout(on, ask.timeout)
    check_number(on, "permits", ask.permits, 1)
    check_number(on, "priority", ask.priority, -1_000_000)
    check_ttl(on, ask.ttl)
    check_holder(on, ask.holder)
    if on.kind == "Lease" and ask.permits != 1:
        raise on.error(Refused, "Invalid", "a Lease has one holder: it has no permits")


def check_permits(on: Target, asked: int, there: int | None) -> None:
    """Raises ``Refused`` if there are fewer permits than are asked for."""
    # Zero is a pause, which will end.
    if there and asked > there:
        raise on.error(
            Refused,
            TOO_MANY_PERMITS,
            f"{asked} permits can't be held: there are only {there}; ask for fewer, or raise spec.permits",
        )


def _because(found: Json) -> str:
    """What the operator says about why it is not open."""
    conditions = dig(found, "status", "conditions")
    for condition in conditions if isinstance(conditions, list) else []:
        if text(condition, "type") == "Open" and text(condition, "message"):
            return text(condition, "message")
    return "its conditions say why"


def _warn_silence(call: Call) -> None:
    if not call.answered:
        log.warning("no operator has looked at %s; still waiting", call.on)
