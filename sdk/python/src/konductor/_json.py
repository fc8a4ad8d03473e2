"""JSON from an API server, which may hold what this version does not know."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]


def parse(text: bytes) -> Json | None:
    """Reads an object; ``None`` if it is none, or can't be read."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def dig(value: object, *path: str) -> Any:
    """Returns what is at a path, or ``None``: a field of another type hides nothing else."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: object, *path: str) -> str:
    """Returns the text at a path, or an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def number(value: object, *path: str) -> int | None:
    """Returns the whole number at a path."""
    found = dig(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
