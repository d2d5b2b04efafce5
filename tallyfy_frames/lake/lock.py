"""One job at a time per root. The lock is the kernel's: it goes with the process, however that ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tallyfy_frames.errors import LockHeld
from tallyfy_frames.sinks.atomic import refusals

LOCK_NAME: Final = ".lock"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold ``root`` while the block runs; ``LockHeld`` names who else holds it, and since when."""
    place = root / LOCK_NAME
    with refusals(place):
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(handle, root) from None
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat()}
        with refusals(place):
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(handle)


def _held(handle: int, root: Path) -> LockHeld:
    hint = "wait for it to end; the lock goes with its process"
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
        age_s = (datetime.now(UTC) - datetime.fromisoformat(holder["since"])).total_seconds()
    except (ValueError, KeyError, TypeError):
        return LockHeld("another job holds this root", root=root, hint=hint)
    return LockHeld(
        "another job holds this root", root=root, host=holder.get("host"), pid=holder.get("pid"), since=holder["since"],
        age_s=round(age_s), hint=hint,
    )  # fmt: skip
