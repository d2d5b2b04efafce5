"""What a load did: counted while it runs, printed by the CLI, kept in manifests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tallyfy_frames.showing import Html, counted, duration, facts, quoted, tag

if TYPE_CHECKING:
    import polars as pl

WORDS_MAX: Final = 50  # new words told of a column: an API that sends ids there must not fill memory and manifests
ALARM: Final = "padding:1px 6px;border:2px solid #e5484d;border-radius:4px"  # seen on white and on black
MORE: Final = "…"  # stands for the others, and for what is no word (long, or with signs in it) or personal


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far a load is: rows that have come, with ``done`` those that were kept.

    Told with every answer. Totals are what the API stated last, and may be None or wrong.
    """

    table: str
    rows: int
    total_rows: int | None
    pages: int
    total_pages: int | None
    elapsed_s: float
    done: bool = False


@dataclass(kw_only=True)
class LoadReport:
    """Filled in place by a load; ``complete`` turns true only at its end. Instants are UTC.

    ``proof`` says how completeness was shown: ``seen`` (every joint between pages was shown in an answer), ``still`` (the list
    stood still, as far as its totals and its newest row tell), ``counted`` (two readings found the same rows, as many as every
    answer stated; where rows come in no order). None while it was not.
    """

    table: str = ""
    rows: int = 0
    parts: dict[str, int] = field(default_factory=dict)  # rows of other tables that were made of the same answers
    pages: int = 0
    requests: int = 0
    retries: int = 0
    throttled: int = 0  # answers of 429
    waited_s: float = 0.0  # because of them, or so as not to get more
    received_bytes: int = 0  # bodies, decompressed
    passes: int = 0  # readings of a list, from its first page on
    repairs: int = 0  # requests for what movement, or runs of the same instant, had left open between two pages
    duplicates_dropped: int = 0  # rows that came again: pages overlap on purpose, and lists are read again
    values_coerced: dict[str, int] = field(default_factory=dict)  # by column: read from another shape
    values_nulled: dict[str, int] = field(default_factory=dict)  # by column: no reading, made null (on_invalid="null")
    shapes_seen: dict[str, dict[str, int]] = field(default_factory=dict)  # by column: values of other shapes, readable or not
    rows_quarantined: int = 0
    unknown_keys: dict[str, int] = field(default_factory=dict)  # by path: rows that had them
    unknown_words: dict[str, dict[str, int]] = field(default_factory=dict)  # by column: rows with words that it does not list
    totals_stated: list[int] = field(default_factory=list)
    rows_cut_off: dict[str, int] = field(default_factory=dict)  # by what they include: rows that state more than came
    lists_gone: int = 0  # where each row of another table has a list: those that the API has none for any more
    proof: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    complete: bool = False
    quarantined: pl.DataFrame | None = field(default=None, repr=False)  # table, id, reasons, row (JSON, secrets masked)

    def clear(self) -> None:
        """Forget everything: a report may serve several loads, one after the other."""
        for name, value in vars(type(self)()).items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; the quarantined rows themselves are left out."""
        values = asdict(replace(self, quarantined=None))
        del values["quarantined"]
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first request to the end, or to now."""
        if self.started_at is None:
            return 0.0
        return ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()

    def __str__(self) -> str:
        """One line for people."""
        parts = [
            f"{self.rows} {self.table or 'rows'}",
            *(f"{rows} {name}" for name, rows in self.parts.items()),
            f"{self.pages} pages",
            f"{self.requests} requests",
            f"{self.elapsed_s:.1f} s",
            f"proof: {self.proof}" if self.complete else "incomplete",
        ]
        return ", ".join([*parts, *(f"{count} {words}" for count, words, _ in self._odd())])

    def _repr_html_(self) -> str:
        """The same for a notebook, with the names of what was odd."""
        rows = [
            (self.table or "rows", f"{self.rows:,}"),
            *((name, f"{rows:,}") for name, rows in self.parts.items()),
            ("took", f"{self.requests:,} requests for {self.pages:,} pages, {duration(self.elapsed_s)}"),
            *([("waited", f"{duration(self.waited_s)}, for the API")] if round(self.waited_s, 1) else []),
            *((words, tag("span", f"{count:,} ", told)) for count, words, told in self._odd()),
        ]
        return facts(self._state(), rows)

    def _state(self) -> Html:
        """How far it came, marked where that is not all."""
        if self.complete:
            return tag("span", tag("b", "✔ complete"), f", proof: {self.proof}")
        if self.started_at is None:
            return tag("span", "nothing is loaded yet")
        if self.finished_at is None:
            return tag("span", "not finished yet")
        return tag("b", "✘ incomplete: rows may be missing", style=ALARM)

    def _odd(self) -> Iterator[tuple[int, str, str]]:
        """What did not go smoothly, or was not as documented: how much of it, what it is called, and where it was."""
        for count, words, told in (
            (self.retries, "retries", ""),
            (self.throttled, "throttled", ""),
            (self.repairs, "joints closed", ""),
            (sum(self.values_coerced.values()), "values coerced", counted(self.shapes_seen or self.values_coerced)),
            (sum(self.values_nulled.values()), "values nulled", counted(self.values_nulled)),
            (self.rows_quarantined, "rows quarantined", tag("span", "in its ", quoted("quarantined"))),
            (len(self.unknown_keys), "unknown keys", counted(self.unknown_keys)),
            (sum(map(len, self.unknown_words.values())), "unknown words", counted(self.unknown_words)),
            (self.lists_gone, "lists gone", ""),
            (sum(self.rows_cut_off.values()), "rows cut off", counted(self.rows_cut_off)),
        ):
            if count:
                yield count, words, told
