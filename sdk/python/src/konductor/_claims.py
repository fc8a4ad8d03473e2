"""Claims: created, watched until they are granted, renewed, and deleted."""

from __future__ import annotations

import asyncio
import datetime
import logging
import secrets
from typing import Literal

from ._backend import Ask
from ._call import Call, create_once, object_of
from ._clock import now
from ._errors import (
    DELETED,
    NOT_FOUND,
    UNREACHABLE,
    Denied,
    KonductorError,
    Lost,
    NotFound,
    Seen,
    Target,
    Unreachable,
    unreachable,
)
from ._events import Observer
from ._grant import Grant
from ._http import Answer, Http, NoAnswer, explain, uncertain
from ._json import Json, number, text
from ._names import claim_name, format_duration
from ._renewal import Attempt, Ended, Pause, Renewal, Renewed
from ._shared import LABEL, SharedWatch, Subscription
from ._timing import Backoff, Late, within
from ._wait import Waiting

log = logging.getLogger("konductor")

#: How long a request may outlive its call: a Claim that may have been created must be found again.
LAST_WORDS = 2.0
#: Bounds the deletion of a Claim that is no longer wanted; after that it ends with its TTL.
_TIDY_WITHIN = 5.0


class Claims:
    """The Claims of a client. After an error of a call, also a cancellation, there is no Claim."""

    def __init__(self, http: Http, namespace: str, observer: Observer) -> None:
        self._http = http
        self._observer = observer
        self._id = secrets.token_hex(8)
        self._shared = SharedWatch(http, namespace, self._id)
        self._grants: dict[Grant, asyncio.Task[None]] = {}
        self._tidying: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Releases what is held."""
        tidying = [grant.release_claim() for grant in list(self._grants)]
        await asyncio.gather(*tidying, *self._tidying, return_exceptions=True)
        await self._shared.close()

    async def acquire(self, call: Call, ask: Ask, ttl: float, waits: bool) -> Grant:
        """Creates a Claim, waits until it is granted, and begins to renew it."""
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
        call: Call,
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

    async def _create_claim(self, call: Call, claim: Target, body: Json) -> Json:
        """Creates a Claim. If that fails, or the caller gives up, none is left."""
        given_up = asyncio.Event()
        creating = asyncio.ensure_future(self._create_named(call, claim, body, given_up))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            # A deletion that overtakes the creation would find nothing.
            given_up.set()
            await asyncio.wait({creating}, timeout=LAST_WORDS)
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

    async def _create_named(self, call: Call, claim: Target, body: Json, given_up: asyncio.Event) -> Json:
        pauses = Backoff()
        while True:
            try:
                return await create_once(self._http, claim, body)
            except (Answer, NoAnswer) as error:
                if not uncertain(error) or given_up.is_set():
                    raise
                call.note(unreachable(error) if isinstance(error, NoAnswer) else Seen())
            await pauses.pause()
            if given_up.is_set():
                raise NoAnswer("the caller has given up")

    async def _await_grant(self, call: Call, claim: Target, created: Json, changes: Subscription) -> Json:
        on = call.on

        def is_granted(found: Json) -> bool:
            phase = text(found, "status", "phase")
            if phase == "Denied":
                raise on.error(Denied, "Denied", "nothing is free; wait for it, or try again later")
            if phase == "Expired":
                why = text(found, "status", "message")
                raise on.error(Lost, "Expired", f"claim/{claim.name} ended before it was used: {why}")
            return phase == "Granted"

        def report(said: str) -> None:
            self._observer.report("Waiting", on, message=said)

        waiting = call.follow(Waiting(changes, claim, is_granted, report=report))
        try:
            return await waiting.run(created)
        except KonductorError as error:
            raise _about(on, error) from error.__cause__

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
                    is_held = renewed is Renewed.HELD
                    what: Literal["Renewed", "RenewalFailed"] = "Renewed" if is_held else "RenewalFailed"
                    self._observer.report(what, grant.on, after=now() - sent)
                    ended = renewal.answer(renewed, sent, now())
                    grant.until = renewal.until
                    if ended is None:
                        continue
                    step = ended
                assert isinstance(step, Ended)
                log.warning("%s is lost: %s", grant.on, step.why)
                grant.lose(step.why)
                self._observer.report("Lost", grant.on, after=now() - grant.since, message=step.why)
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
            self._observer.report("Released", grant.on, after=now() - grant.since)
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
    return object_of(claim, spec)


def _grants(found: Json, uid: str, token: int | None) -> bool:
    return (
        text(found, "status", "phase") == "Granted"
        and number(found, "status", "token") == token
        and text(found, "metadata", "uid") == uid
    )


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
