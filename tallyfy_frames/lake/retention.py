"""Which snapshots stay, and how the others go: first nobody finds them any more, an hour later they are removed.

Readers resolve a snapshot once and may read for a while. So one that goes is *retired* first: marked, the oldest first, so that
the chain of those that can be found just ends earlier. Whoever has found it before can go on; a job that begins ``GRACE`` later
removes the files. What a job left that died before it could publish goes the same way, whatever is kept: it is marked as
pending. What is neither pending nor retired is never touched, found or not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from tallyfy_frames.errors import SinkError, UsageError, warn
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.lake.place import NAME, PENDING, RETIRED, SNAPSHOTS, Place
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
    if keep == Keep():
        return
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
    pointer = place.pointer()
    for name, marks in _marks(place).items():
        try:
            # A retired one is found only if current leads to it.
            if (pointer is not None and name == pointer.snapshot) or (RETIRED not in marks and name in names(place)):
                for mark in marks:  # its job died, or got no answer, just after it had published
                    place.delete(f"{SNAPSHOTS}/{name}/{mark}")
            else:
                _see_to(place, name, marks)
        except SinkError as error:
            warn(f"{name} should go: {error}")
    try:
        place.clear()
    except SinkError as error:
        warn(f"what an earlier job has left stays: {error}")


def _marks(place: Place) -> dict[str, dict[str, datetime]]:
    """By snapshot: its marks, and since when it has them. One listing, however many snapshots there are."""
    found: dict[str, dict[str, datetime]] = {}
    for entry in place.files(SNAPSHOTS):
        _, name, *below = entry.path.split("/")
        if below in ([PENDING], [RETIRED]) and NAME.fullmatch(name):
            found.setdefault(name, {})[below[0]] = entry.changed_at
    return found


def _see_to(place: Place, name: str, marks: Mapping[str, datetime]) -> None:
    """One that nobody finds."""
    now = datetime.now(UTC)
    if RETIRED not in marks:
        if place.abandoned(name, now):
            _mark(place, name)
    elif marks[RETIRED] <= now - GRACE:
        place.remove(name)
        logger.info("removed %s", name)


def _mark(place: Place, name: str) -> None:
    """Nobody finds it any more. The file's own time counts: in a bucket it is the store's."""
    place.put(f"{SNAPSHOTS}/{name}/{RETIRED}", b"")
    logger.info("retired %s", name)
