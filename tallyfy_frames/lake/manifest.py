"""What a snapshot holds and how it came: ``manifest.json`` beside its tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from tallyfy_frames.errors import SinkError
from tallyfy_frames.lake.place import MANIFEST
from tallyfy_frames.showing import grid, quoted, tag
from tallyfy_frames.sinks.parquet import Written

FORMAT: Final = 2  # of the manifest and the folders around it
READABLE: Final = (1, 2)  # 1 (version 0.1.0) had no digest of the manifest itself, and no files for tables without rows
READ_ANOTHER: Final = "read another snapshot with at="


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEntry:
    """One table of a snapshot."""

    rows: int
    key: tuple[str, ...]
    partition: str | None
    contract_version: str
    files: tuple[Written, ...]
    quarantined: tuple[Written, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    answers_resumed: int = 0  # those that an earlier job had read; the report's requests are this job's only


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A published snapshot. ``location`` is where it lies; everything else is in ``manifest.json``."""

    snapshot: str
    created_at: str
    organization_id: str
    base_url: str
    token_user: int | None  # whose rights decided which rows there are; None if the API did not tell
    filters: Mapping[str, Any] = field(repr=False)
    privacy: Mapping[str, str]  # what became of personal data; "key" is the same where hashes can be joined
    tables: Mapping[str, TableEntry] = field(repr=False)
    previous: str | None
    tallyfy_frames: str
    # What the API sent that it did not send for the snapshot before.
    changes: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    format: int = FORMAT
    location: str = field(default="", repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """The same as a path; not for a bucket."""
        return Path(self.location)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(entry.rows for entry in self.tables.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all its Parquet files."""
        return sum(file.size_bytes for entry in self.tables.values() for file in (*entry.files, *entry.quarantined))

    def _repr_html_(self) -> str:
        """Where it lies, its tables and what is new in them, for a notebook."""
        new = f"; {len(self.changes):,} things are new in what the API sends: see its changes" if self.changes else ""
        title = tag("span", "snapshot of ", self.created_at, " in ", quoted(self.location), new)
        rows = (
            (name, entry.rows, sum(file.rows for file in entry.quarantined), sum(file.size_bytes for file in entry.files))
            for name, entry in self.tables.items()
        )
        return grid(title, ("table", "rows", "quarantined", "bytes"), rows)

    def text(self) -> str:
        """As it is kept: with a digest of itself."""
        facts = {name: value for name, value in asdict(self).items() if name != "location"}
        return _signed(facts)

    @classmethod
    def parse(cls, data: bytes, location: str) -> Manifest:
        """What :meth:`text` wrote, to the byte; ``SinkError`` if it is not, or this version does not understand it."""
        place = f"{location}/{MANIFEST}"
        try:
            facts = json.loads(data)
            if facts["format"] not in READABLE:
                what = f"the snapshot has format {facts['format']}, this version reads {' and '.join(map(str, READABLE))}"
                raise SinkError(what, path=place, hint="use the version that wrote it, or a newer one")
            facts = _unsigned(facts, data)
            tables = {
                name: TableEntry(**{
                    **entry,
                    "key": tuple(entry["key"]),
                    "files": tuple(Written(**file) for file in entry["files"]),
                    "quarantined": tuple(Written(**file) for file in entry["quarantined"]),
                })
                for name, entry in facts["tables"].items()
            }  # fmt: skip
            known = {name: facts[name] for name in {one.name for one in fields(cls)} & facts.keys()}
            return cls(**{**known, "tables": tables, "changes": tuple(facts.get("changes", ())), "location": location})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SinkError("the manifest is damaged", path=place, hint=READ_ANOTHER) from error


def _signed(facts: Mapping[str, Any]) -> str:
    """The text of a manifest. Its digest has no key: it shows accidents, not forgery."""
    body = json.dumps(facts, indent=1, ensure_ascii=False)
    signed = {**facts, "sha256": hashlib.sha256(body.encode()).hexdigest()}
    return json.dumps(signed, indent=1, ensure_ascii=False) + "\n"


def _unsigned(facts: dict[str, Any], data: bytes) -> dict[str, Any]:
    """``facts`` without their digest; ``ValueError`` if they are not what was signed, to the byte."""
    unsigned = {name: value for name, value in facts.items() if name != "sha256"}
    if (facts["format"] == 1) == ("sha256" in facts) or (facts["format"] > 1 and _signed(unsigned).encode() != data):
        raise ValueError
    return unsigned
