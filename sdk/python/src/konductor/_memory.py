"""The primitives in memory, for tests: the meaning of a cluster's objects, without a cluster."""

from __future__ import annotations

import asyncio
import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ._api import OUTCOMES, check_ask, check_permits
from ._backend import Ask
from ._errors import (
    ALREADY_ARRIVED,
    DELETED,
    NOT_FOUND,
    Denied,
    Failed,
    Invalid,
    NotFound,
    Seen,
    Target,
    timed_out,
)
from ._grant import Grant
from ._json import Json, number, text
from ._names import check_holder, check_target, check_timeout, claim_name
from ._timing import Late, within

_MISSING = Seen(NOT_FOUND, "it does not exist; create it, or use another namespace")


@dataclass(eq=False)
class Stored:
    """An object. A Barrier has arrivals, a Semaphore or Lease has claims in the order of its queue."""

    on: Target
    uid: str
    spec: Json
    arrivals: dict[str, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)

    @property
    def permits(self) -> int:
        return 1 if self.on.kind == "Lease" else number(self.spec, "permits") or 0

    @property
    def free(self) -> int:
        return self.permits - sum(one.ask.permits for one in self.claims if one.grant)

    def phase(self) -> str:
        """The phase of a Gate or Barrier."""
        if self.on.kind == "Gate":
            return text(self.spec, "decision") or "Waiting"
        expected = number(self.spec, "expected") or 1
        quorum = number(self.spec, "quorum") or expected
        outcomes = list(self.arrivals.values())
        passed = [one for one in outcomes if one in ("Succeeded", "Skipped")]
        if len(passed) >= quorum:
            return "Open" if "Succeeded" in passed else "Skipped"
        return "Failed" if len(outcomes) - len(passed) > expected - quorum else "Waiting"


@dataclass(eq=False)
class Claim:
    """What somebody asks for or holds."""

    name: str
    ask: Ask
    grant: Grant | None = None


class Store:
    """All objects of a namespace. It is used in the event loop of this package alone."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.objects: dict[Target, Stored] = {}
        self._counter = itertools.count(1)
        self._waiting: set[asyncio.Future[None]] = set()
        self._own: set[Grant] = set()

    def session(self) -> Store:
        """Returns the same objects for one client, which releases what it holds when it is closed."""
        made = copy.copy(self)
        made._own = set()
        return made

    @property
    def namespace(self) -> str:
        return self._namespace

    def forget(self) -> None:
        """A fork has a copy of all objects."""

    # What tests do

    def target(self, kind: str, name: str) -> Target:
        on = Target(kind, self._namespace, name)
        check_target(on)
        return on

    def put(self, on: Target, spec: Json) -> Stored:
        """Creates an object, or changes its spec."""
        stored = self.objects.get(on)
        if stored is None:
            stored = self.objects[on] = Stored(on, f"uid-{next(self._counter)}", {})
        stored.spec = {**stored.spec, **spec}
        self.changed()
        return stored

    def find(self, on: Target) -> Stored:
        stored = self.objects.get(on)
        if stored is None:
            raise on.error(NotFound, NOT_FOUND, _MISSING.detail)
        return stored

    def remove(self, on: Target) -> None:
        """Deletes an object. Who holds by it has lost that."""
        stored = self.find(on)
        del self.objects[on]
        self.lose(stored)

    def lose(self, stored: Stored) -> None:
        """Takes what is held of an object from all of its holders."""
        for claim in [one for one in stored.claims if one.grant]:
            stored.claims.remove(claim)
            assert claim.grant
            claim.grant.lose("the test has taken it back")
        self.changed()

    # The calls

    async def wait(self, on: Target, timeout: float | None, fail_fast: bool) -> None:
        check_target(on)
        check_timeout(on, timeout)

        def is_open(stored: Stored) -> bool:
            phase = stored.phase()
            if phase in ("Failed", "Skipped", "Unreached"):
                raise on.error(Failed, phase, f"it is {phase} and will not open")
            return phase == "Open"

        await self._until(on, timeout, fail_fast, is_open)

    async def arrive(self, on: Target, holder: str, outcome: str, timeout: float | None) -> None:
        check_target(on)
        check_timeout(on, timeout)
        check_holder(on, holder)
        if outcome not in OUTCOMES:
            raise on.error(Invalid, "Invalid", f"{outcome!r} is no outcome")
        known = self.find(on).arrivals.setdefault(holder, outcome)
        self.changed()
        if known != outcome:
            raise on.error(Failed, ALREADY_ARRIVED, f"{holder} has arrived as {known} already")

    async def acquire(self, on: Target, ask: Ask) -> Grant:
        check_ask(on, ask)
        waits = ask.wait and ask.timeout != 0
        if ask.create is not None and on not in self.objects:
            self.put(on, ask.create)
        stored = await self._until(on, ask.timeout if waits else 0, ask.fail_fast, lambda _: True)
        check_permits(on, ask.permits, stored.permits)
        claim = Claim(claim_name(on.name), ask)
        stored.claims.append(claim)
        try:
            self.changed()
            if not claim.grant and not waits:
                raise on.error(Denied, "Denied", "nothing is free; wait for it, or try again later")
            await self._until(on, ask.timeout, False, lambda _: claim.grant is not None)
            assert claim.grant
            self._own.add(claim.grant)
            return claim.grant
        except BaseException:
            if claim in stored.claims:
                stored.claims.remove(claim)
                self.changed()
            raise

    async def ensure(self, on: Target, spec: Json, timeout: float | None) -> Json:
        check_target(on)
        if on not in self.objects:
            self.put(on, spec)
        return await self.read(on, timeout)

    async def read(self, on: Target, timeout: float | None) -> Json:
        check_target(on)
        return as_json(self.find(on))

    async def observe(self, on: Target, changed: Callable[[Json], None]) -> None:
        check_target(on)

        def look(stored: Stored) -> bool:
            changed(as_json(stored))
            return False

        await self._until(on, None, False, look)

    async def close(self) -> None:
        for grant in self._own:
            await grant.release_claim()

    def changed(self) -> None:
        """Grants what is free, in the order of the queues, and wakes who waits."""
        for stored in self.objects.values():
            queue = [one for one in stored.claims if not one.grant]
            if text(stored.spec, "order") == "Priority":
                queue.sort(key=lambda one: -one.ask.priority)
            for claim in queue:
                if claim.ask.permits > stored.free:
                    break
                claim.grant = self._grant(stored, claim)
        waiting = list(self._waiting)
        self._waiting.clear()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _grant(self, stored: Stored, claim: Claim) -> Grant:
        async def release() -> None:
            if grant.end() and claim in stored.claims:
                stored.claims.remove(claim)
                self.changed()

        token = next(self._counter) if stored.on.kind == "Lease" else None
        grant = Grant(stored.on, claim.name, token, math.inf, release)
        return grant

    async def _until(
        self, on: Target, timeout: float | None, fail_fast: bool, enough: Callable[[Stored], bool]
    ) -> Stored:
        """Waits for an object, and until there is enough of it."""
        seen = Seen()
        known: Stored | None = None

        def look() -> bool:
            nonlocal seen, known
            stored = self.objects.get(on)
            if known is not None and stored is not known:
                raise on.error(NotFound, DELETED, "it was deleted while it was waited for")
            if stored is None:
                seen = _MISSING
                if fail_fast or timeout == 0:
                    raise on.error(NotFound, NOT_FOUND, _MISSING.detail)
                return False
            known, seen = stored, Seen()
            return enough(stored)

        async def wait() -> None:
            while not look():
                future = asyncio.get_running_loop().create_future()
                self._waiting.add(future)
                await future

        if timeout == 0:
            if not look():
                raise timed_out(on, 0, seen)
        else:
            try:
                await within(timeout, wait())
            except Late as late:
                raise timed_out(on, timeout, seen) from late
        assert known is not None
        return known


def as_json(stored: Stored) -> Json:
    """The object as an API server would show it."""
    held = [one for one in stored.claims if one.grant]
    status: Json
    if stored.on.kind in ("Gate", "Barrier"):
        status = {"phase": stored.phase(), "observedGeneration": 1, "arrived": len(stored.arrivals)}
    else:
        full, free = ("Held", "Available") if stored.on.kind == "Lease" else ("Full", "Ready")
        status = {
            "phase": full if stored.free <= 0 else free,
            "inUse": stored.permits - stored.free,
            "holders": [{"holder": one.ask.holder, "permits": one.ask.permits} for one in held],
        }
        if held and held[-1].grant and held[-1].grant.token:
            status["token"] = held[-1].grant.token
    metadata = {"name": stored.on.name, "namespace": stored.on.namespace, "uid": stored.uid}
    return {"kind": stored.on.kind, "metadata": metadata, "spec": stored.spec, "status": status}


def claim_as_json(claim: Claim) -> Json:
    """The Claim as an API server would show it."""
    phase = "Granted" if claim.grant else "Queued"
    return {
        "kind": "Claim",
        "metadata": {"name": claim.name},
        "spec": {"holder": claim.ask.holder, "permits": claim.ask.permits},
        "status": {"phase": phase},
    }
