"""What a root can do, wherever it lies: a folder (`folder.py`) or a bucket (`bucket.py`).

ROOT/snapshots/<UTC>-<id>/manifest.json
ROOT/snapshots/<UTC>-<id>/runs/status=active/<id>-0.parquet
ROOT/current → snapshots/<UTC>-<id>; in a bucket current.json, which names it

Paths below a root are text with slashes, the same in both.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from tallyfy_frames.errors import UsageError

SNAPSHOTS: Final = "snapshots"
STAGING: Final = ".staging-"  # begins the name of a snapshot that grows
# In a snapshot's folder:
MANIFEST: Final = "manifest.json"
PENDING: Final = "pending"  # until it is published; outside the chain it is what a job has begun, or has left
RETIRED: Final = "retired"  # since when nobody finds it any more
NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")  # of a snapshot
# S3 is what the tests run against; Google's and Azure's stores are reached by the same code, untested.
SCHEMES: Final = ("s3", "gs", "az")
# What obstore, polars and other readers take alike: signs that one of them would read as something else lead elsewhere.
ADDRESS: Final = re.compile(r"(s3|gs|az)://[A-Za-z0-9._-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9._=,-]+)*/?")


class Pointer(NamedTuple):
    """Which snapshot is published, and by what to notice that another has been since."""

    snapshot: str
    version: Any = None


class Entry(NamedTuple):
    """A file below a root."""

    path: str
    size_bytes: int
    changed_at: datetime


class Place(Protocol):
    """A root. Everything raises ``SinkError`` for what the disk or the store refuses."""

    address: str  # as people write it
    work: Path  # where jobs of this machine lock, stage, and keep what they have read

    def held(self) -> AbstractContextManager[None]:
        """Hold it against other jobs of this machine while the block runs; what is not a root of ours is refused."""

    def pointer(self) -> Pointer | None:
        """The published snapshot, resolved now; None if there is none."""

    def leading_to(self, name: str) -> str:
        """How somebody lets it lead to ``name``, in words."""

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None if it is not there."""

    def put(self, path: str, data: bytes) -> None:
        """Write a small file, whole."""

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""

    def files(self, path: str) -> list[Entry]:
        """All files below ``path``, by name; "" is the root."""

    def source(self, path: str) -> str:
        """The address of a file for readers of Parquet."""

    def snapshots(self) -> list[str]:
        """Every folder that looks like a snapshot, oldest first, published or not."""

    def staging(self, name: str) -> Path:
        """Where to write the snapshot ``name`` before it is published; on this machine."""

    def publish(self, staged: Path, name: str, since: Pointer | None) -> None:
        """Put what is ``staged`` in its place, then let the pointer name it.

        Raises ``LockHeld`` if that has changed since it was ``since``: whoever is late has lost.
        """

    def forget(self, name: str) -> None:
        """Remove what an attempt at ``name`` has left that certainly is not, and will not be, published. Raises nothing."""

    def abandoned(self, name: str, now: datetime) -> bool:
        """Whether nobody is writing ``name`` any more, given that the root is held here."""

    def clear(self) -> None:
        """Remove what dead jobs have left on this machine. Called while it is held."""

    def remove(self, name: str) -> None:
        """Remove a snapshot; half removed, it cannot be taken for one."""


def locate(root: str | Path) -> Place:
    """The root that ``root`` names: a folder, or an address such as ``s3://bucket/lake``."""
    text = str(root)
    scheme, address, _ = text.partition("://")
    if not text.strip():
        raise UsageError("the root is empty", hint="name a folder; . is the one you are in")
    if text.partition(":/")[0] in SCHEMES and (not address or isinstance(root, Path)):
        raise UsageError(f"{text} is no folder", hint="an address has two slashes, and is text: a Path loses one")
    if not address or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        from tallyfy_frames.lake.folder import Folder  # noqa: PLC0415 - both know this file

        return Folder(Path(root))
    if scheme not in SCHEMES:
        hint = f"use a folder, or {'://, '.join(SCHEMES)}://"
        raise UsageError(f"an address that begins with {scheme}:// is no place for snapshots", hint=hint)
    if not ADDRESS.fullmatch(text):
        what = "the address is not SCHEME://BUCKET/PREFIX"  # it is not repeated: it may hold a key
        raise UsageError(what, hint="letters, digits and . _ - = , only; credentials belong into the environment")
    from tallyfy_frames.lake.bucket import Bucket  # noqa: PLC0415 - as above

    return Bucket(text)
