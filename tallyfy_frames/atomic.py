"""Write aside, then rename: a reader sees the old file or the new one, whole."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tallyfy_frames.errors import SinkError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes ``path``'s place when the block ends, and leaves no trace when it fails.

    Where there is a file already, its mode stays, and so do its owner and group where we may set them. A link stays, too: its
    target is replaced. Raises ``SinkError`` for a pipe or a device, which would be gone.
    """
    place = place_of(path)
    aside = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    with refusals(path):
        try:
            with aside.open("xb") as file:
                with suppress(FileNotFoundError):
                    _liken(file.fileno(), place.stat())
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(place)
            sync_folder(place.parent)
        finally:
            aside.unlink(missing_ok=True)


def place_of(path: Path) -> Path:
    """Where the file that is written to ``path`` will lie, links followed; ``SinkError`` for what no file may replace."""
    with refusals(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:  # so is the target of a link that leads nowhere yet
            mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise SinkError("cannot write: it is a folder", path=path, hint="name a file in a folder that is there")
    if not stat.S_ISREG(mode):
        hint = "write to standard output, and let the shell lead that there: > or |"
        raise SinkError("cannot write: it is a pipe or a device, which a file would replace", path=path, hint=hint)
    return Path(os.path.realpath(path))


def _liken(file: int, old: os.stat_result) -> None:
    """Give a file, while it is empty, what ``old`` lets others do with it."""
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
        with suppress(PermissionError):  # another's file, in a folder where we may replace it
            os.fchown(file, owner, group)
    os.fchmod(file, stat.S_IMODE(old.st_mode))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace what is in a file."""
    with replacing(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Make names in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def refusals(path: Path, verb: str = "write") -> Iterator[None]:
    """What the disk refuses, as ``SinkError`` naming the place."""
    try:
        yield
    except OSError as error:
        full = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
        hint = "free some space" if error.errno in full else "check the path and its permissions"
        raise SinkError(f"cannot {verb}: {error.strerror or error}", path=path, hint=hint) from error
