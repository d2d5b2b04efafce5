"""A root in a folder: snapshots are renamed into place, and published by switching the link ``current`` in one rename."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tallyfy_frames.atomic import refusals, sync_folder, write_bytes
from tallyfy_frames.errors import SinkError
from tallyfy_frames.lake.lock import LOCK_NAME, locked
from tallyfy_frames.lake.place import NAME, RETIRED, SNAPSHOTS, STAGING, Entry, Pointer
from tallyfy_frames.lake.spool import SPOOL_NAME

CURRENT: Final = "current"
REMOVED: Final = ".removed-"


class Folder:
    """A :class:`~tallyfy_frames.lake.place.Place` on this machine's disks."""

    def __init__(self, root: Path) -> None:
        """``root`` need not be there yet."""
        with contextlib.suppress(RuntimeError):  # ~ of nobody
            root = root.expanduser()
        self.address = str(root)
        self.root = self.work = Path(os.path.abspath(root))  # noqa: PTH100 - links stay; whoever reads later may be elsewhere

    @contextmanager
    def held(self) -> Iterator[None]:
        """The root, ours alone, made if it is not there; gone again if it was made for a job that left nothing in it."""
        with refusals(self.root):
            if self.root.exists():
                self._refuse_foreign()
        with locked(self.root) as made:
            try:
                yield
            except BaseException:
                if made:
                    self._remove_empty()
                raise

    def pointer(self) -> Pointer | None:
        """Where ``current`` leads."""
        link = self.root / CURRENT
        try:
            target = link.readlink()
        except FileNotFoundError:
            return None
        except OSError:
            if not link.exists():  # the root itself is a file
                return None
            hint = "copy snapshots with their links (rsync -l), or remove it"
            raise SinkError(f"{CURRENT} is no link", path=link, hint=hint) from None
        if (self.root / target).parent.resolve() != (self.root / SNAPSHOTS).resolve() or not NAME.fullmatch(target.name):
            hint = self.leading_to(max(self.snapshots(), default="NAME"))
            raise SinkError(f"{CURRENT} leads to no snapshot of this root", path=link, leads_to=target, hint=hint)
        return Pointer(target.name)

    def leading_to(self, name: str) -> str:
        """A command."""
        return f"lead it to the newest that is good: ln -sfn {SNAPSHOTS}/{name} {self.root / CURRENT}"

    def read(self, path: str) -> bytes | None:
        """A file's bytes."""
        with refusals(self.root / path, "read"):
            try:
                return (self.root / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def put(self, path: str, data: bytes) -> None:
        """Write aside, then rename."""
        write_bytes(self.root / path, data)

    def delete(self, path: str) -> None:
        """Unlink it."""
        with refusals(self.root / path, "remove"):
            (self.root / path).unlink(missing_ok=True)

    def files(self, path: str) -> list[Entry]:
        """All files below ``path``. A link is one, wherever it leads; but ``snapshots`` may lie on another disk."""
        if not path:
            beside = [entry for entry in self._below("") if entry.path.partition("/")[0] != SNAPSHOTS]
            return sorted([*beside, *self._below(SNAPSHOTS)])
        return sorted(self._below(path))

    def _below(self, path: str) -> list[Entry]:
        found = []
        with refusals(self.root / path, "read"):
            for folder, folders, names in os.walk(self.root / path):
                for name in (*names, *(one for one in folders if (Path(folder) / one).is_symlink())):
                    place = Path(folder) / name
                    with contextlib.suppress(FileNotFoundError):  # gone since
                        status = place.lstat()
                        changed_at = datetime.fromtimestamp(status.st_mtime, UTC)
                        found.append(Entry(place.relative_to(self.root).as_posix(), status.st_size, changed_at))
        return found

    def source(self, path: str) -> str:
        """Its path."""
        return str(self.root / path)

    def snapshots(self) -> list[str]:
        """Folders named as snapshots are."""
        with refusals(self.root, "read"):
            try:
                return sorted(entry.name for entry in (self.root / SNAPSHOTS).iterdir() if NAME.fullmatch(entry.name))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def staging(self, name: str) -> Path:
        """Beside its place to be, so that a rename can bring it there."""
        return self.root / SNAPSHOTS / f"{STAGING}{name}"

    def publish(self, staged: Path, name: str, since: Pointer | None) -> None:  # noqa: ARG002 - the lock keeps others out
        """Rename the staging folder into place, then switch ``current``."""
        with refusals(staged):
            for folder, _, _ in os.walk(staged):
                sync_folder(Path(folder))
            staged.rename(self.root / SNAPSHOTS / name)
            sync_folder(self.root / SNAPSHOTS)
            link = self._next_link(name)
            link.symlink_to(Path(SNAPSHOTS) / name)
            link.replace(self.root / CURRENT)
            sync_folder(self.root)

    def forget(self, name: str) -> None:
        """The staging folder, or the one that was renamed but not published."""
        with contextlib.suppress(OSError):
            self._next_link(name).unlink(missing_ok=True)
        with contextlib.suppress(SinkError):
            pointer = self.pointer()
            if pointer is None or pointer.snapshot != name:
                for folder in (self.staging(name), self.root / SNAPSHOTS / name):
                    shutil.rmtree(folder, ignore_errors=True)

    def abandoned(self, name: str, now: datetime) -> bool:  # noqa: ARG002 - a place's signature
        """Whoever writes holds the lock."""
        return True

    def clear(self) -> None:
        """What was staged, and what was being removed or written."""
        snapshots = self.root / SNAPSHOTS
        left = [*self.root.glob(f".{CURRENT}-*")]
        for pattern in (f"{STAGING}*", f"{REMOVED}*", f"*/.{RETIRED}-*"):
            left += snapshots.glob(pattern)
        for place in left:
            with refusals(place, "remove"):
                shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()

    def remove(self, name: str) -> None:
        """Renamed first: it goes at once, or not at all."""
        folder = self.root / SNAPSHOTS / name
        aside = folder.with_name(f"{REMOVED}{name}")
        with refusals(folder, "remove"):
            folder.rename(aside)
            shutil.rmtree(aside)

    def _next_link(self, name: str) -> Path:
        return self.root / f".{CURRENT}-{name.rpartition('-')[2]}"

    def _remove_empty(self) -> None:
        """A root that nothing was left in goes, and its lock with it; only while that is held."""
        with contextlib.suppress(OSError):
            (self.root / SNAPSHOTS).rmdir()
        if not any((self.root / name).exists() for name in (SNAPSHOTS, SPOOL_NAME)):
            with contextlib.suppress(OSError):
                (self.root / LOCK_NAME).unlink(missing_ok=True)
                self.root.rmdir()

    def _refuse_foreign(self) -> None:
        """A root is ours if it is empty, or holds a lock and snapshots named as ours are; hidden files do not count."""
        root = self.root
        if not root.is_dir():
            raise SinkError("the root is a file", path=root, hint="name a folder")
        pointer = self.pointer()
        snapshots = root / SNAPSHOTS
        names = [entry.name for entry in root.iterdir()]  # before: another job may take its lock and make snapshots now
        if snapshots.is_dir() and (root / LOCK_NAME).is_file():
            others = [entry.name for entry in snapshots.iterdir() if not _is_ours(entry.name)]
        else:
            others = [name for name in names if not name.startswith(".") and name != "lost+found"]
            if pointer is not None:  # a copy without its hidden files
                others = [name for name in others if name not in {CURRENT, SNAPSHOTS}]
        if others:
            what = f"the root holds something else: {', '.join(sorted(others)[:3])}"
            raise SinkError(what, path=root, hint="name a new or empty folder")


def _is_ours(name: str) -> bool:
    """Whether a folder in ``snapshots`` is named as ours are."""
    return NAME.fullmatch(name.removeprefix(STAGING).removeprefix(REMOVED)) is not None
