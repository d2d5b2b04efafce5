"""Which snapshots stay, and how the others go: first nobody finds them any more, an hour later they are removed.

Readers resolve a snapshot once and may read for a while. So one that goes is *retired* first: marked, the oldest first, so that
the chain of those that can be found just ends earlier. Whoever has found it before can go on; a job that begins ``GRACE`` later
removes the files. What a job left that died before it could publish goes the same way, whatever is kept: it is marked as
pending. What is neither pending nor retired is never touched, found or not.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from tallyfy_frames.errors import SinkError, UsageError, warn
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.lake.place import PENDING, RETIRED, SNAPSHOTS, Place
from tallyfy_frames.lake.published import names, published

logger: Final = logging.getLogger(__name__)

GRACE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Keep:
    """What stays: the newest ``snapshots``, and whatever is not older than ``days``; without either, everything."""

    snapshots: int | None = None
    days: int | None = None

    @classmethod
    def of(cls, keep: object, keep_days: object) -> Self:
        """Checked."""
        for name, value in (("keep", keep), ("keep_days", keep_days)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} must be a whole number from 1, not {value!r}")
        return cls(keep, keep_days)  # type: ignore[arg-type]  # checked above

    def stays(self, number: int, manifest: Manifest, now: datetime) -> bool:
        """Whether the snapshot that is ``number`` from the newest on, counted from 0, stays."""
        if number == 0 or (self.snapshots is None and self.days is None):
            return True
        if self.snapshots is not None and number < self.snapshots:
            return True
        age = now - datetime.fromisoformat(manifest.created_at)
        return self.days is not None and age <= timedelta(days=self.days)


def retire(place: Place, keep: Keep) -> None:
    """Mark what lies behind the last that stays."""
    now = datetime.now(UTC)
    chain: list[Manifest] = []
    try:
        for manifest in published(place):
            chain.append(manifest)  # noqa: PERF402 - those before an error count
    except SinkError as error:  # what lies behind is not known to be unneeded; `verify` says more
        warn(f"retention stops at a snapshot that cannot be read: {error}")
    # One that a clock had dated wrong does not take along what lies behind it.
    last = max((number for number, manifest in enumerate(chain) if keep.stays(number, manifest, now)), default=0)
    for manifest in reversed(chain[last + 1 :]):
        _mark(place, manifest.snapshot)


def clear(place: Place) -> None:
    """Remove what was retired long enough ago; see to what jobs have left that died. What cannot be removed is told."""
    now, pointer = datetime.now(UTC), place.pointer()
    found = {*names(place), *([] if pointer is None else [pointer.snapshot])}
    for name in place.snapshots():
        folder = f"{SNAPSHOTS}/{name}"
        there = {entry.path.removeprefix(f"{folder}/"): entry.changed_at for entry in place.files(folder)}
        try:
            if name in found:  # its job died, or got no answer, just after it had published
                for mark in there.keys() & {PENDING, RETIRED}:
                    place.delete(f"{folder}/{mark}")
            elif RETIRED in there:
                if there[RETIRED] <= now - GRACE:
                    place.remove(name)
                    logger.info("removed %s", name)
            elif PENDING in there and place.abandoned(name, now):
                _mark(place, name)
        except SinkError as error:
            warn(f"{name} should go: {error}")
    try:
        place.clear()
    except SinkError as error:
        warn(f"what an earlier job has left stays: {error}")


def _mark(place: Place, name: str) -> None:
    """Nobody finds it any more. The file's own time counts: in a bucket it is the store's."""
    place.put(f"{SNAPSHOTS}/{name}/{RETIRED}", b"")
    logger.info("retired %s", name)
