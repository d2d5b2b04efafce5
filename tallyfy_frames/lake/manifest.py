"""What a snapshot holds and how it came: ``manifest.json`` beside its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tallyfy_frames.errors import SinkError
from tallyfy_frames.sinks.parquet import Written

MANIFEST_NAME: Final = "manifest.json"
FORMAT: Final = 1  # of the manifest and the folders around it


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
    """A published snapshot. ``folder`` is where it lies; everything else is in ``manifest.json``."""

    snapshot: str
    created_at: str
    organization_id: str
    base_url: str
    token_user: int | None  # whose rights decided which rows there are; None if the API did not tell
    filters: Mapping[str, Any]
    privacy: Mapping[str, str]  # what became of personal data; "key" is the same where hashes can be joined
    tables: Mapping[str, TableEntry]
    previous: str | None
    tallyfy_frames: str
    format: int = FORMAT
    folder: Path = field(default=Path(), repr=False, compare=False)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(entry.rows for entry in self.tables.values())

    def text(self) -> str:
        """As it is kept."""
        facts = {name: value for name, value in asdict(self).items() if name != "folder"}
        return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest in ``folder``; ``SinkError`` if there is none that this version understands."""
        place = folder / MANIFEST_NAME
        try:
            facts = json.loads(place.read_text(encoding="utf-8"))
            if facts["format"] != FORMAT:
                what = f"the snapshot has format {facts['format']}, this version reads {FORMAT}"
                raise SinkError(what, path=place, hint="use the version that wrote it, or a newer one")
            tables = {
                name: TableEntry(**{
                    **entry,
                    "key": tuple(entry["key"]),
                    "files": tuple(Written(**file) for file in entry["files"]),
                    "quarantined": tuple(Written(**file) for file in entry["quarantined"]),
                })
                for name, entry in facts["tables"].items()
            }  # fmt: skip
            return cls(**{**facts, "tables": tables, "folder": folder})
        except OSError as error:
            raise SinkError(f"cannot read the snapshot: {error.strerror}", path=place) from error
        except (ValueError, KeyError, TypeError) as error:
            raise SinkError("the manifest is damaged", path=place, hint="read another snapshot with at=") from error
