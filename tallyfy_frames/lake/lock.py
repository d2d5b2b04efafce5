"""One job at a time per root. The lock is the kernel's: it goes with the process, however that ends.

The kernel locks a file, not its name. Whoever holds the root may remove both, and somebody else may have opened that file just
before: so a lock counts only if, once it is taken, the name still means the file. Nobody else may remove either.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tallyfy_frames.atomic import refusals
from tallyfy_frames.errors import LockHeld

LOCK_NAME: Final = ".lock"
TRIES: Final = 10  # each in vain only if another job ended, and removed the root, at that very moment


@contextmanager
def locked(root: Path, address: str | None = None) -> Iterator[bool]:
    """Hold ``root``, made if it is not there, while the block runs; ``LockHeld`` names who else holds it, and since when.

    The value says whether it was made here: whether its holder may remove it again, the lock first. ``address`` is what people
    call it.
    """
    place = root / LOCK_NAME
    handle, made = _taken(root, place, address or str(root))
    try:
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat()}
        with refusals(place):
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(holder).encode(), 0)
        yield made
    finally:
        with suppress(OSError):  # so that nobody takes the next holder for this one
            os.ftruncate(handle, 0)
        os.close(handle)


def _taken(root: Path, place: Path, address: str) -> tuple[int, bool]:
    """The lock's file, open and locked, and whether the root had to be made."""
    made = False
    for tries_left in reversed(range(TRIES)):
        with refusals(place):
            made |= _made(root)
            try:
                handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:  # the root was removed since
                if tries_left:
                    continue
                raise
        taken = False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = _names(place, handle)
        except BlockingIOError:
            raise _held(handle, address) from None
        finally:
            if not taken:
                os.close(handle)
        if taken:
            return handle, made
    raise LockHeld("other jobs come and go in this root", root=address, hint="try again later")


def _made(root: Path) -> bool:
    """Whether the folder had to be made."""
    try:
        root.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _names(place: Path, handle: int) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(place.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _held(handle: int, address: str) -> LockHeld:
    hint = "wait for it to end; the lock goes with its process"
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
        age_s = (datetime.now(UTC) - datetime.fromisoformat(holder["since"])).total_seconds()
    except (ValueError, KeyError, TypeError):
        return LockHeld("another job holds this root", root=address, hint=hint)
    return LockHeld(
        "another job holds this root", root=address, host=holder.get("host"), pid=holder.get("pid"), since=holder["since"],
        age_s=round(age_s), hint=hint,
    )  # fmt: skip
