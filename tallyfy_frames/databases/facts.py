"""What every database says of the snapshot that it shows, and of a column."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.databases.views import INSTANT, Told
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.lake.place import SNAPSHOTS, Place
from tallyfy_frames.lake.published import scan
from tallyfy_frames.tables._table import Column

AHEAD: Final = timedelta(days=1)
ABOUT: Final = "The snapshot that everything here shows: one row."


@dataclass(frozen=True, slots=True)
class Fact:
    """One cell of that row."""

    value: datetime | str | int | None
    told: Told


def facts(place: Place, manifest: Manifest) -> dict[str, Fact]:
    """The row, by column."""
    text, instant = pl.String(), INSTANT
    return {
        "snapshot": Fact(manifest.snapshot, Told(text, "Its name below snapshots/")),
        "created_at": Fact(datetime.fromisoformat(manifest.created_at), Told(instant, "When the job that made it began")),
        "as_of": Fact(
            as_of(place, manifest),
            Told(instant, "Until when hours are counted: when its newest run was read, or the newest change, if that is later"),
        ),
        "organization_id": Fact(manifest.organization_id, Told(text, "Whose processes these are")),
        "base_url": Fact(manifest.base_url, Told(text, "Where they were read")),
        "token_user": Fact(manifest.token_user, Told(pl.Int64(), "User id of whose rights chose the rows; null if unknown")),
        "filters": Fact(json.dumps(manifest.filters, ensure_ascii=False), Told(text, "What runs were asked for: JSON object")),
        "privacy": Fact(manifest.privacy["mode"], Told(text, "What became of personal data: keep, drop or hash")),
        "tallyfy_frames": Fact(manifest.tallyfy_frames, Told(text, "The version that made it")),
    }


def as_of(place: Place, manifest: Manifest) -> datetime:
    """The instant that ages count to.

    The job's own time would be too early: runs change while they are read, and a server's clock may be ahead of ours. A change
    that lies in the future by more than ``AHEAD`` is an odd value, and moves nothing; unless most of them do, since then the
    server lives in another time than we: the sandbox does, in 2031.
    """
    if "runs" not in manifest.tables:
        return datetime.fromisoformat(manifest.created_at)
    folder = f"{SNAPSHOTS}/{manifest.snapshot}/runs"
    files = ((place.source(f"{folder}/{file.path}"), file.value) for file in manifest.tables["runs"].files)
    changed, ahead = pl.col("last_updated"), pl.col("last_updated") > pl.col("loaded_at").max() + AHEAD
    read_at, newest, plausible, share = (
        scan(tables.get("runs"), files)
        .select(
            pl.col("loaded_at").max(),
            changed.max(),
            changed.filter(~ahead).max().alias("plausible"),
            ahead.mean().alias("share"),
        )
        .collect()
        .row(0)
    )
    moments = [read_at, newest if share is not None and share > 0.5 else plausible]
    return max((moment for moment in moments if moment is not None), default=datetime.fromisoformat(manifest.created_at))


def comment(column: Column | Told) -> str:
    """What a column holds, as a comment in a database."""
    about = column.notes if isinstance(column, Column) else column.about
    unit = "UTC" if isinstance(column.dtype, pl.Datetime) else column.unit
    return about if unit is None else f"{about} ({unit})"
