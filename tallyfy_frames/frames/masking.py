"""Secrets that the API mixes into data, and how none of them gets out: masked at any depth, before any text, log or file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

# A key with one of these words in it has a value that may let anyone in, wherever it stands: web hooks, guests' links and
# codes, addresses of files and pictures. Better one address of the organization's own masked than one of these written.
SECRET_WORDS: Final = frozenset({"webhook", "webhooks", "link", "links", "url", "urls", "uri", "href", "code", "pic"})
SIGNS: Final = ("webhook", "link", "url", "uri", "href", "code", "pic")  # one of these is in every text that holds such a key
WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
MASK: Final = "***"
KEYS_MAX: Final = 100_000  # remembered: an organization has some thousands, but keys may be anything

_CONTAINERS: Final = frozenset({dict, list})
_encode_lines: Final = msgspec.json.Encoder().encode_lines


@lru_cache(KEYS_MAX)
def is_secret(key: str) -> bool:
    """Whether a value under this key may let anyone in."""
    words = {word.lower() for word in WORD.findall(key)}
    return not words.isdisjoint(SECRET_WORDS) and ("code" not in words or "guest" in words or len(words & SECRET_WORDS) > 1)


def masked(value: Any) -> Any:
    """A copy of ``value`` with the values of secret keys replaced, at any depth. No value is no secret, and stays."""
    kind = type(value)
    if kind is dict:
        return {
            key: (MASK if is_secret(key) else masked(item) if type(item) in _CONTAINERS else item) if item else item
            for key, item in value.items()
        }
    return [masked(item) if type(item) in _CONTAINERS else item for item in value] if kind is list else value


def masked_texts(values: Sequence[Any]) -> list[str]:
    """Each value as compact JSON text with its secrets masked; ``RecursionError`` if one is nested too deeply.

    All are written in one go, and only those in which a secret could be are looked at, and written again.
    """
    whole = _encode_lines(values).decode()
    texts = whole.split("\n")
    texts.pop()  # a line ends each
    lowered = whole.lower()
    signs = [sign for sign in SIGNS if sign in lowered]
    places: set[int] = set()
    lines = lowered.split("\n") if signs else []
    for sign in signs:
        places.update([place for place, text in enumerate(lines) if sign in text])
    for place in places:
        texts[place] = _json(masked(values[place]))
    return texts


def masked_json(row: Mapping[str, Any]) -> str:
    """A row as JSON text with its secrets masked."""
    try:
        return _json(masked(row))
    except RecursionError:
        return _json(
            {"id": row.get("id") if isinstance(row.get("id"), str | int) else None, "rest": "nested too deeply to keep"}
        )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
