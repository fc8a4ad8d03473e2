"""The calls, against an API server."""

from __future__ import annotations

import asyncio
import datetime
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ._backend import Ask
from ._clock import now
from ._config import Config
from ._errors import (
    ALREADY_ARRIVED,
    DELETED,
    NO_ANSWER,
    NOT_FOUND,
    TOO_MANY_PERMITS,
    UNHEARD,
    UNREACHABLE,
    Denied,
    Failed,
    Invalid,
    KonductorError,
    Lost,
    NotFound,
    Refused,
    Seen,
    Target,
    TimedOut,
    Unreachable,
    timed_out,
    unreachable,
)
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
    claim_name,
    format_duration,
    parse_duration,
)
from ._renewal import Attempt, Ended, Pause, Renewal, Renewed
from ._shared import LABEL, SharedWatch, Subscription
from ._timing import Backoff, Late, within
from ._wait import Waiting

log = logging.getLogger("konductor")

T = TypeVar("T")

#: How long an answer that needs no waiting may take.
_ANSWER_WITHIN = 10.0
#: How long a request may outlive its call: a Claim that may have been created must be found again.
_LAST_WORDS = 2.0
#: Bounds the deletion of a Claim that is no longer wanted; after that it ends with its TTL.
_TIDY_WITHIN = 5.0
#: After how long without a word of an operator that is logged.
_OPERATOR_WITHIN = 5.0
_API_VERSION = "konductor.io/v1"
_ENDED = ("Failed", "Skipped", "Unreached")
OUTCOMES = ("Succeeded", "Failed", "Skipped", "Cancelled")
_SILENT = Seen(NO_ANSWER, "no operator has looked at it: check that konductor's operator runs")


class _Call:
    """What is known about the object of a call when its time is up."""

    def __init__(self, on: Target) -> None:
        self.on = on
        self.seen: Callable[[], Seen] = lambda: UNHEARD
        #: Whether an operator has looked at the object.
        self.answered = True

    def follow(self, waiting: Waiting) -> Waiting:
        self.seen = lambda: waiting.seen
        return waiting

    def note(self, seen: Seen) -> None:
        self.seen = lambda: seen


class Api:
    """The primitives in one namespace of an API server."""

    def __init__(self, config: Config, namespace: str) -> None:
        self._http = Http(config)
        self._namespace = namespace
        self._id = secrets.token_hex(8)
        self._shared = SharedWatch(self._http, namespace, self._id)
        self._grants: dict[Grant, asyncio.Task[None]] = {}
        self._tidying: set[asyncio.Task[None]] = set()

    @property
    def namespace(self) -> str:
        return self._namespace

    def forget(self) -> None:
        """Drops what belongs to another process."""
        self._http.forget()
        self._id = secrets.token_hex(8)
        self._shared = SharedWatch(self._http, self._namespace, self._id)
        self._grants = {}
        self._tidying = set()

    async def close(self) -> None:
        tidying = [grant.release_claim() for grant in list(self._grants)]
        await asyncio.gather(*tidying, *self._tidying, return_exceptions=True)
        await self._shared.close()
        await self._http.close()

    # Waiting

    async def wait(self, on: Target, timeout: float | None, fail_fast: bool) -> None:
        check_target(on)
        check_timeout(on, timeout)
        call = _Call(on)

        def is_open(found: Json) -> bool:
            phase = text(found, "status", "phase")
            call.answered = number(found, "status", "observedGeneration") is not None
            if phase in _ENDED:
                raise on.error(Failed, phase, f"it is {phase} and will not open: {_because(found)}")
            # A phase that this version does not know is not known to be final.
            return phase == "Open"

        waiting = call.follow(Waiting(self._http, on, is_open, fail_fast=fail_fast or timeout == 0))
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

    def _late(self, call: _Call, after: float | None) -> TimedOut:
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

    async def _arrive(self, call: _Call, holder: str, outcome: str) -> None:
        on = call.on
        barrier = await self._persist(call, lambda: self._http.get(on))
        uid = text(barrier, "metadata", "uid")
        arrival = Target("Arrival", on.namespace, arrival_name(on.name, uid, holder))
        owner = {"apiVersion": _API_VERSION, "kind": "Barrier", "name": on.name, "uid": uid}
        body = _object(arrival, {"barrier": on.name, "holder": holder, "outcome": outcome}, [owner])
        known = await self._persist(call, lambda: self._create_once(arrival, body))
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

    async def _ensure(self, call: _Call, spec: Json) -> Json:
        async def get_or_create() -> Json:
            try:
                return await self._http.get(call.on)
            except Answer as error:
                if not error.not_found:
                    raise
            return await self._create_once(call.on, _object(call.on, spec))

        return await self._persist(call, get_or_create)

    async def read(self, on: Target, timeout: float | None) -> Json:
        check_target(on)
        check_timeout(on, timeout)
        return await self._bounded(on, timeout, lambda call: self._persist(call, lambda: self._http.get(on)))

    async def _bounded(self, on: Target, timeout: float | None, work: Callable[[_Call], Awaitable[T]]) -> T:
        call = _Call(on)

        async def run() -> T:
            return await work(call)

        try:
            return await within(timeout, run())
        except Late as late:
            raise self._late(call, timeout) from late

    async def _persist(self, call: _Call, ask: Callable[[], Awaitable[Json]]) -> Json:
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

    async def _create_once(self, on: Target, body: Json) -> Json:
        """Creates an object, and reads it if it already exists: an earlier attempt was carried out
        although its answer was lost."""
        try:
            return await self._http.create(on, body)
        except Answer as error:
            if not error.already_exists:
                raise
        return await self._http.get(on)

    # Acquiring

    async def acquire(self, on: Target, ask: Ask) -> Grant:
        check_ask(on, ask)
        waits = ask.wait and ask.timeout != 0
        timeout = ask.timeout
        if not waits and not timeout:
            # The operator answers at once, if one runs.
            timeout = _ANSWER_WITHIN
        call = _Call(on)
        try:
            return await within(timeout, self._acquire(call, ask, waits))
        except Late as late:
            seen = call.seen()
            if not seen.reason and (not waits or await self._is_silent(call)):
                seen = _SILENT
            raise timed_out(on, timeout, seen) from late

    async def _acquire(self, call: _Call, ask: Ask, waits: bool) -> Grant:
        ledger = await self._ledger(call, ask, waits)
        call.answered = bool(text(ledger, "status", "phase"))
        ttl = ask.ttl
        if call.on.kind == "Lease":
            own = parse_duration(dig(ledger, "spec", "ttl"))
            ttl = max(min(ttl, own), TTL_MIN) if own is not None else ttl
        else:
            check_permits(call.on, ask.permits, number(ledger, "spec", "permits"))
        ttl = int(ttl * 1000 + 1e-6) / 1000
        claim = Target("Claim", call.on.namespace, claim_name(call.on.name))
        body = _claim(call.on, claim, ask, ttl, waits)
        body["metadata"]["labels"] = {LABEL: self._id}
        asked = now()
        changes = self._shared.subscribe(claim.name)
        try:
            changes.mark()
            created = await self._create_claim(call, claim, body)
            return await self._accept(call, claim, created, changes, ttl, asked)
        finally:
            changes.close()

    async def _accept(
        self,
        call: _Call,
        claim: Target,
        created: Json,
        changes: Subscription,
        ttl: float,
        asked: float,
    ) -> Grant:
        """Waits until a Claim is granted, and begins to renew it. After an error there is no Claim."""
        uid = text(created, "metadata", "uid")
        try:
            granted = await self._await_grant(call, claim, created, changes)
            return await self._hold(call.on, claim, uid, number(granted, "status", "token"), ttl, asked)
        except BaseException:
            # Also if the caller has given up: nothing is left in the queue.
            await self._tidy(call.on, claim, uid)
            raise

    async def _ledger(self, call: _Call, ask: Ask, waits: bool) -> Json:
        """Waits until what is asked for exists."""
        begin = None
        if ask.create is not None:
            begin = await self._ensure(call, ask.create)
        waiting = Waiting(self._http, call.on, lambda _: True, fail_fast=ask.fail_fast or not waits)
        call.follow(waiting)
        if waits or begin is not None:
            return await waiting.run(begin)
        return await waiting.once()

    async def _create_claim(self, call: _Call, claim: Target, body: Json) -> Json:
        """Creates a Claim. If that fails, or the caller gives up, none is left."""
        given_up = asyncio.Event()
        creating = asyncio.ensure_future(self._create_named(call, claim, body, given_up))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            # A deletion that overtakes the creation would find nothing.
            given_up.set()
            await asyncio.wait({creating}, timeout=_LAST_WORDS)
            creating.cancel()
            await asyncio.wait({creating})
            if not creating.cancelled():
                creating.exception()
            await self._tidy(call.on, claim, "")
            raise
        except (Answer, NoAnswer) as error:
            if uncertain(error):
                await self._tidy(call.on, claim, "")
            raise explain(call.on, error) from error

    async def _create_named(self, call: _Call, claim: Target, body: Json, given_up: asyncio.Event) -> Json:
        pauses = Backoff()
        while True:
            try:
                return await self._create_once(claim, body)
            except (Answer, NoAnswer) as error:
                if not uncertain(error) or given_up.is_set():
                    raise
                call.note(unreachable(error) if isinstance(error, NoAnswer) else Seen())
            await pauses.pause()
            if given_up.is_set():
                raise NoAnswer("the caller has given up")

    async def _await_grant(self, call: _Call, claim: Target, created: Json, changes: Subscription) -> Json:
        on = call.on

        def is_granted(found: Json) -> bool:
            phase = text(found, "status", "phase")
            if phase == "Denied":
                raise on.error(Denied, "Denied", "nothing is free; wait for it, or try again later")
            if phase == "Expired":
                why = text(found, "status", "message")
                raise on.error(Lost, "Expired", f"claim/{claim.name} ended before it was used: {why}")
            return phase == "Granted"

        waiting = call.follow(Waiting(changes, claim, is_granted))
        try:
            return await waiting.run(created)
        except KonductorError as error:
            raise _about(on, error) from error.__cause__

    async def _is_silent(self, call: _Call) -> bool:
        """Whether it is known, after a timeout, that no operator has looked at a ledger."""
        if call.answered:
            return False
        try:
            found = await within(_LAST_WORDS, self._http.get(call.on))
        except (Late, Answer, NoAnswer):
            return False
        return not text(found, "status", "phase")

    # Holding

    async def _hold(
        self, on: Target, claim: Target, uid: str, token: int | None, ttl: float, asked: float
    ) -> Grant:
        """Begins to renew. If the Claim was created long ago, a renewal shows how long the grant
        lasts at least."""
        renewal = Renewal(ttl, asked)
        pauses = Backoff()
        begun = now()
        sent = begun
        while sent - asked > ttl / 3:
            renewed = await self._renew(claim, uid, token, renewal.attempt_limit())
            if renewed is Renewed.HELD:
                asked = sent
                renewal = Renewal(ttl, asked)
            elif renewed is Renewed.TAKEN_BACK:
                raise on.error(Lost, "Expired", "it ended before it could be used; ask again")
            elif now() - begun >= ttl:
                # It was granted before this began, so it has ended.
                raise on.error(
                    Lost,
                    "Expired",
                    "it was granted, but no renewal of it was confirmed within its TTL of "
                    f"{format_duration(ttl)}; ask again",
                )
            else:
                await pauses.pause()
            sent = now()
        grant = Grant(on, claim.name, token, renewal.until, lambda: self._release(grant, uid))
        renewing = self._keep(grant, renewal, claim, uid)
        self._grants[grant] = asyncio.ensure_future(renewing)
        return grant

    async def _keep(self, grant: Grant, renewal: Renewal, claim: Target, uid: str) -> None:
        """Renews until it is cancelled, or the grant is lost."""
        try:
            while True:
                step = renewal.step(now())
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    continue
                if isinstance(step, Attempt):
                    sent = now()
                    renewed = await self._renew(claim, uid, grant.token, step.limit)
                    ended = renewal.answer(renewed, sent, now())
                    grant.until = renewal.until
                    if ended is None:
                        continue
                    step = ended
                assert isinstance(step, Ended)
                log.warning("%s is lost: %s", grant.on, step.why)
                grant.lose(step.why)
                return
        finally:
            self._grants.pop(grant, None)

    async def _renew(self, claim: Target, uid: str, token: int | None, limit: float) -> Renewed:
        """Sends one renewal; whether the answer still says Granted, with the same token."""
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = {"metadata": {"uid": uid}, "spec": {"renewTime": stamp}}
        deadline = now() + limit
        try:
            found = await self._http.patch(claim, body, limit)
        except Answer as error:
            if error.not_found:
                return Renewed.TAKEN_BACK
            if error.code != 409:
                log.debug("a renewal of %s has failed: %s", claim, error)
                return Renewed.UNKNOWN
            # Another uid, or only many writes at once: the stored object shows which.
            try:
                found = await self._http.get(claim, max(deadline - now(), 0.01))
            except (Answer, NoAnswer):
                return Renewed.UNKNOWN
            return Renewed.UNKNOWN if _grants(found, uid, token) else Renewed.TAKEN_BACK
        except (NoAnswer, KonductorError) as error:
            log.debug("a renewal of %s has failed: %s", claim, error)
            return Renewed.UNKNOWN
        return Renewed.HELD if _grants(found, uid, token) else Renewed.TAKEN_BACK

    async def _release(self, grant: Grant, uid: str) -> None:
        """Releases a grant. If that fails, it ends with its TTL."""
        renewing = self._grants.pop(grant, None)
        if renewing:
            renewing.cancel()
            await asyncio.wait({renewing})
        claim = Target("Claim", grant.on.namespace, grant.claim)
        was_lost = grant.is_lost
        if not grant.end():
            return
        if was_lost:
            # The operator may be down as well: don't wait for what the TTL does anyway.
            self._tidy_later(grant.on, claim, uid)
            return
        try:
            await within(_TIDY_WITHIN, self._delete(claim, uid))
        except Late as late:
            raise grant.on.error(
                Unreachable,
                UNREACHABLE,
                f"its release was not confirmed within {_TIDY_WITHIN:g} s; it ends with its TTL",
            ) from late
        except (Answer, NoAnswer) as error:
            raise explain(grant.on, error) from error

    def _tidy_later(self, on: Target, claim: Target, uid: str) -> asyncio.Task[None]:
        tidying = asyncio.ensure_future(self._tidy_in_time(on, claim, uid))
        self._tidying.add(tidying)
        tidying.add_done_callback(self._tidying.discard)
        return tidying

    async def _tidy(self, on: Target, claim: Target, uid: str) -> None:
        """Deletes a Claim that is no longer wanted, also if the caller stops waiting for that."""
        await asyncio.shield(self._tidy_later(on, claim, uid))

    async def _tidy_in_time(self, on: Target, claim: Target, uid: str) -> None:
        try:
            await within(_TIDY_WITHIN, self._delete(claim, uid))
        except (Late, Answer, NoAnswer, KonductorError) as error:
            log.warning("%s of %s could not be deleted; it ends with its TTL: %s", claim, on, error)

    async def _delete(self, claim: Target, uid: str) -> None:
        """Deletes a Claim, with retries. One that is gone, or another of its name, is success."""
        pauses = Backoff()
        while True:
            try:
                await self._http.delete(claim, uid)
                return
            except (Answer, NoAnswer) as error:
                if isinstance(error, Answer) and (error.not_found or error.code == 409):
                    return
                if not uncertain(error):
                    raise
            await pauses.pause()


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


def _claim(on: Target, claim: Target, ask: Ask, ttl: float, waits: bool) -> Json:
    spec: Json = {
        "target": {"kind": on.kind, "name": on.name},
        "holder": ask.holder,
        "permits": ask.permits,
        "priority": ask.priority,
        "ttl": format_duration(ttl),
        "wait": waits,
    }
    if ask.pod:
        spec["pod"] = {"name": ask.pod[0], "uid": ask.pod[1]}
    return _object(claim, spec)


def _object(on: Target, spec: Json, owners: list[Json] | None = None) -> Json:
    metadata: Json = {"name": on.name}
    if owners:
        metadata["ownerReferences"] = owners
    return {"apiVersion": _API_VERSION, "kind": on.kind, "metadata": metadata, "spec": spec}


def _grants(found: Json, uid: str, token: int | None) -> bool:
    return (
        text(found, "status", "phase") == "Granted"
        and number(found, "status", "token") == token
        and text(found, "metadata", "uid") == uid
    )


def _because(found: Json) -> str:
    """What the operator says about why it is not open."""
    conditions = dig(found, "status", "conditions")
    for condition in conditions if isinstance(conditions, list) else []:
        if text(condition, "type") == "Open" and text(condition, "message"):
            return text(condition, "message")
    return "its conditions say why"


def _about(on: Target, error: KonductorError) -> KonductorError:
    """Makes an error about a Claim name what was asked for."""
    if error.kind != "Claim":
        return error
    if isinstance(error, NotFound) and error.reason in (DELETED, NOT_FOUND):
        return on.error(
            NotFound,
            DELETED,
            f"its claim/{error.name} was deleted while it stood in the queue; ask again",
        )
    return on.error(type(error), error.reason, error.message)


def _warn_silence(call: _Call) -> None:
    if not call.answered:
        log.warning("no operator has looked at %s; still waiting", call.on)
