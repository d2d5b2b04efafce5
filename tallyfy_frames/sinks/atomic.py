"""Write aside, then rename: a reader sees the old file or the new one, whole."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tallyfy_frames.errors import SinkError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes ``path``'s place when the block ends, and leaves no trace when it fails."""
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with refusals(path):
        try:
            with aside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file's text."""
    with replacing(path) as file:
        file.write(text.encode())


def sync_folder(folder: Path) -> None:
    """Make names in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """What the disk refuses, as ``SinkError`` naming the place."""
    try:
        yield
    except OSError as error:
        full = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
        hint = "free some space" if error.errno in full else "check the path and its permissions"
        raise SinkError(f"cannot write: {error.strerror or error}", path=path, hint=hint) from error
