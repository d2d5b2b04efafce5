"""What the API sends that it did not send before: two reports of one list, compared. Pure.

A report tells of fields that no column knows, of words that no table lists, and of values in other shapes than documented.
What the snapshot before already told is no change; without one, all of it is new against the contract. Where a report says
nothing, because a version wrote it that did not look, nothing is claimed.

That a field is gone is never claimed: reports count what no column knows, and a key that no row has now may be one that the
API sends only where there is something to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from tallyfy_frames.report import MORE, WORDS_MAX

Kind: TypeAlias = Literal["field", "word", "shape"]
Fact: TypeAlias = tuple[str, str, str]  # table, name, detail
LISTS: Final[Mapping[Kind, str]] = {"field": "unknown_keys", "word": "unknown_words", "shape": "shapes_seen"}  # in a report
TOLD: Final[Mapping[Kind, str]] = {
    "field": "{table}: a new field, {name}",
    "word": "{table}: a new word in {name}: {detail}",
    "shape": "{table}: a new shape of {name}: {detail}",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is new: a field by its path, or the word or shape (``detail``) of a column; ``…`` are words not shown."""

    table: str
    kind: Kind
    name: str
    detail: str = ""

    def __str__(self) -> str:
        """One line for people; names and words are the API's, as they came."""
        return TOLD[self.kind].format_map(self.as_dict())

    def as_dict(self) -> dict[str, str]:
        """Plain JSON values."""
        return asdict(self)


def changes(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[Change]:
    """What is new in ``now`` since ``before``, in order of table, kind and name; both as ``LoadReport.as_dict()`` gives them.

    A report is of all tables that were made of one list: compare those of a list once. ``before`` is None where there is no
    snapshot before. A table that was not made then is compared with its contract.
    """
    parts = {*now.get("parts", ()), *(before or {}).get("parts", ())}
    found: list[Change] = []
    for kind, key in LISTS.items():
        if before is not None and key not in before:
            continue
        told = {*_facts(before or {}, key, parts)}
        words = Counter(fact[:2] for fact in told)
        full = {fact[:2] for fact in told if fact[2] == MORE and words[fact[:2]] >= WORDS_MAX}  # others may have been there
        found += [Change(table, kind, name, detail) for table, name, detail in _facts(now, key, parts)
                  if (table, name, detail) not in told and (table, name) not in full]  # fmt: skip
    kinds = [*LISTS]
    return sorted(found, key=lambda change: (change.table, kinds.index(change.kind), change.name, change.detail))


def _facts(report: Mapping[str, Any], key: str, parts: Collection[str]) -> Iterator[Fact]:
    """What a report says under ``key``, each with its table: names of all tables but its first begin with theirs."""
    for place, told in report.get(key, {}).items():
        head, dot, rest = place.partition(".")
        table, name = (head, rest) if dot and head in parts else (report["table"], place)
        yield from ((table, name, detail) for detail in (told if isinstance(told, Mapping) else ("",)))
