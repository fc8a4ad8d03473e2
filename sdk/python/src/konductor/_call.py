"""What all calls have in common."""

from __future__ import annotations

from collections.abc import Callable

from ._errors import UNHEARD, Seen, Target
from ._http import Answer, Http
from ._json import Json
from ._wait import Waiting

API_VERSION = "konductor.io/v1"


class Call:
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


async def create_once(http: Http, on: Target, body: Json) -> Json:
    """Creates an object, and reads it if it already exists: an earlier attempt was carried out although
    its answer was lost."""
    try:
        return await http.create(on, body)
    except Answer as error:
        if not error.already_exists:
            raise
    return await http.get(on)


def object_of(on: Target, spec: Json, owners: list[Json] | None = None) -> Json:
    """The manifest of an object."""
    metadata: Json = {"name": on.name}
    if owners:
        metadata["ownerReferences"] = owners
    return {"apiVersion": API_VERSION, "kind": on.kind, "metadata": metadata, "spec": spec}
