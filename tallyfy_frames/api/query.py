"""Filter values → query text, as the API reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TypeAlias
from urllib.parse import quote

from tallyfy_frames.errors import UsageError

Pairs: TypeAlias = tuple[tuple[str, str], ...]


def encode(params: Mapping[str, object]) -> Pairs:
    """Name and text of every parameter that has a value, in the order given."""
    return tuple((name, text(value)) for name, value in params.items() if value is not None)


def text(value: object) -> str:
    """One value: booleans as ``true``/``false`` (the API knows no others), lists with commas, dates as ``YYYY-MM-DD``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(text(item) for item in value)
    return str(value)


def query_string(pairs: Pairs) -> str:
    """Percent-encoded text. A space is ``%20``: the API does not read ``+`` as one (vendor's SDK, ``core.py``)."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe=',')}" for name, value in pairs)


def path(segments: Sequence[str]) -> str:
    """Percent-encoded path below the base URL; an e-mail address stays inside its segment."""
    if any(segment in {"", ".", ".."} for segment in segments):
        raise UsageError("a part of the address is empty or would climb out of it")
    return "/".join(quote(segment, safe="") for segment in segments)
