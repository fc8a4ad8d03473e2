"""Names, holders and lengths of time, checked before anything is sent."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import unicodedata

from ._errors import Invalid, Target

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_MAX = 253
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
_NUMBER_MAX = 1_000_000
TTL_MIN = 0.1


def check_target(on: Target) -> None:
    """Raises ``Invalid`` if no object can have this name: it would be read as another path."""
    if len(on.name) > _NAME_MAX or not _SUBDOMAIN.fullmatch(on.name):
        raise on.error(
            Invalid,
            "Invalid",
            f"{on.name!r} can't be the name of a {on.kind.lower()}: use lower case letters, "
            f"digits, '-' and '.', {_NAME_MAX} characters at most",
        )
    if not _LABEL.fullmatch(on.namespace):
        raise on.error(
            Invalid,
            "Invalid",
            f"{on.namespace!r} can't be the name of a namespace: use lower case letters, digits "
            "and '-', 63 characters at most",
        )


def check_holder(on: Target, holder: str) -> None:
    """Raises ``Invalid`` if a text can't be a holder; most texts can."""
    if not 1 <= len(holder) <= _NAME_MAX:
        raise on.error(
            Invalid,
            "Invalid",
            f"{holder!r} can't be a holder: name it with 1 to {_NAME_MAX} characters",
        )
    if any(unicodedata.category(letter) in _INVISIBLE for letter in holder):
        raise on.error(Invalid, "Invalid", f"{holder!r} can't be a holder: it has invisible characters")


def check_number(on: Target, what: str, number: int, low: int) -> None:
    """Raises ``Invalid`` for a number that no request can have."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise on.error(Invalid, "Invalid", f"{what} must be an int, not {number!r}")
    if not low <= number <= _NUMBER_MAX:
        raise on.error(Invalid, "Invalid", f"{number} {what} can't be right; use {low} to {_NUMBER_MAX}")


def check_ttl(on: Target, ttl: float) -> None:
    """Raises ``Invalid`` for a TTL that can't be kept; NaN and infinity are such."""
    if not TTL_MIN <= ttl < 1e9:
        raise on.error(Invalid, "Invalid", f"a TTL of {ttl:g} s can't be kept; use at least {TTL_MIN} s")


def check_timeout(on: Target, timeout: float | None) -> None:
    """Raises ``Invalid`` for a timeout that is no length of time."""
    if timeout is not None and not timeout >= 0:
        raise on.error(Invalid, "Invalid", f"a timeout of {timeout} s can't be right; None has no limit")


def claim_name(name: str) -> str:
    """A name for a Claim that only its author knows."""
    return f"{name[:200]}-{secrets.token_hex(6)}"


def arrival_name(barrier: str, uid: str, holder: str) -> str:
    """The name of a party's Arrival: a party that arrives twice meets its own."""
    digest = hashlib.sha256(f"{uid}\0{holder}".encode()).hexdigest()
    return f"{barrier[:200]}-{digest[:20]}"


def default_holder() -> str:
    """Who takes part, unless a call says otherwise.

    A pod of an Indexed Job is known by the Job and its completion index, so that the pod that
    replaces it is the same holder.
    """
    named = os.environ.get("KONDUCTOR_HOLDER")
    if named:
        return named
    host = os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or socket.gethostname()
    index = os.environ.get("JOB_COMPLETION_INDEX")
    if index:
        # The pod of index 3 of Job load is load-3-x7k2p, and its host name is load-3.
        pod = re.fullmatch(rf"(.+-{re.escape(index)})-[a-z0-9]{{5}}", host)
        if pod:
            return pod.group(1)
    return host or f"process-{os.getpid()}"


_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?")


def format_duration(seconds: float) -> str:
    """Writes a length of time as manifests do, such as 1m30s."""
    left = int(seconds * 1000 + 1e-6)
    text = ""
    for unit, size in _UNITS:
        if left >= size:
            text += f"{left // size}{unit}"
            left %= size
    return text or "0s"


def parse_duration(text: object) -> float | None:
    """Reads a length of time of a manifest; ``None`` if it is none."""
    if not isinstance(text, str) or not text:
        return None
    found = _DURATION.fullmatch(text)
    if not found:
        return None
    parts = zip(found.groups(), _UNITS, strict=True)
    return sum(int(number) * size for number, (_, size) in parts if number) / 1000
