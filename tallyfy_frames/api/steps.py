"""The words of a walk: what is planned, asked, answered and noted. Pure values, and how a row becomes one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from tallyfy_frames.api.protocol import Row

Proof: TypeAlias = Literal["seen", "still", "counted"]

EMPTY_WITNESSES: Final = 3  # answers that must agree before a list is taken to be empty: a hiccup looks the same
ORDER_WITNESSES: Final = 10  # rows that show whether an order is honoured, where fewer are wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to read of a list."""

    per_page: int
    order: str | None = None  # the parameter (and key) that lists oldest first; None if the route has none
    sort: str | None = None  # with ``limit``: the order that says which rows are the first; None: newest first
    limit: int | None = None
    since: datetime | None = None  # rows created before are not wanted; needs ``order``
    proof: Literal["seen", "still"] = "seen"
    had_rows: bool = False  # a moment ago: that there are none now is not to be believed

    def __post_init__(self) -> None:
        """``ValueError`` for a plan that cannot be walked."""
        if self.since is not None and (self.order is None or self.sort not in {None, f"-{self.order}"}):
            raise ValueError("since reads newest first, and needs an order")


@dataclass(frozen=True, slots=True)
class Ask:
    """One page to ask for; ``number`` counts a walk's requests from 1."""

    number: int
    page: int
    per_page: int
    sort: str | None
    after_pause: bool = False  # asking again at once would meet the same hiccup


@dataclass(frozen=True, slots=True)
class Answer:
    """What a walk needs of a page: for each row, in order, 16 bytes that stand for it and when it was created."""

    keys: Sequence[bytes]
    moments: Sequence[float | None]  # seconds since 1970; None where there is no readable instant
    total: int | None = None  # as stated
    per_page: int | None = None  # as stated


PAST_THE_END: Final = Answer((), ())  # for a page that an API refuses because there are not so many


@dataclass(slots=True)
class WalkLog:
    """What a walk did so far."""

    requests: int = 0
    passes: int = 1  # readings of the whole list: more than one only where rows are counted
    repairs: int = 0  # requests for what movement, or rows of the same instant, had left open
    totals: list[int] = field(default_factory=list)  # each total stated that differs from the one before


class Way(Protocol):
    """One way of reading a list: says what to ask, takes answers in any order, and knows when something is proven."""

    proof: Proof | None

    @property
    def size(self) -> int:
        """Rows of a page, as far as the API serves so many."""

    def next(self, number: int) -> Ask | None:
        """The next request, under this number; None if only an answer can tell."""

    def take(self, ask: Ask, answer: Answer) -> None:
        """Learn from an answer."""


class NoOrder(Exception):
    """Rows come in no order that could prove anything: they must be counted. The text says why."""


class Stuck(Exception):
    """Completeness cannot be shown. The text says why."""


def identity(row: Row, key: str = "id") -> bytes:
    """16 bytes that stand for a row: its id, packed; of a row without one, a digest of all of it."""
    value = row.get(key)
    if isinstance(value, dict):
        value = value.get(key)
    if type(value) is str and len(value) == 32:
        try:
            packed = bytes.fromhex(value)
        except ValueError:
            packed = b""
        if len(packed) == 16 and packed.hex() == value:  # fromhex passes over spaces and case
            return packed
    text = str(value).strip() if isinstance(value, str | int) and value != "" else None
    if text is not None and re.fullmatch(r"[0-9a-f]{32}", text):
        return bytes.fromhex(text)
    try:
        data = text.encode() if text is not None else b"\0" + msgspec.json.encode(row)
    except RecursionError:
        data = b"\0" + repr(sorted(row)).encode()  # nested too deeply to be read; decode refuses it, too
    return hashlib.blake2b(data, digest_size=16).digest()


def moment(value: object) -> float | None:
    """An instant as the API writes it, in seconds since 1970; without a zone it is UTC. None if it cannot be read."""
    if not isinstance(value, str):
        return None
    try:
        made = datetime.fromisoformat(value)
        return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
