"""A snapshot that kills itself: ``victim.py ROOT WHAT NTH WHEN``, at the nth call of a function, ``before``, ``half`` or ``after``."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tallyfy_frames as tf
from tallyfy_frames.api.transport import Client
from tallyfy_frames.lake import snapshot
from tallyfy_frames.lake.spool import Spool
from tallyfy_frames.sinks import parquet
from tallyfy_frames.sinks.parquet import ParquetSink

PUBLISHING = snapshot._Publishing  # noqa: SLF001
PLACES: dict[str, tuple[Any, str]] = {
    "send": (Client, "_send"), "read": (Client, "_read"),
    "put": (Spool, "put"), "append": (Spool, "_append"),
    "stage": (PUBLISHING, "stage"), "write": (ParquetSink, "write"), "flush": (ParquetSink, "_flush"), "finish": (ParquetSink, "finish"),
    "measure": (parquet, "_written"),
    "check": (PUBLISHING, "check"), "scan": (snapshot, "scan"), "manifest": (PUBLISHING, "manifest"), "shrink": (PUBLISHING, "refuse_shrink"),
    "publish": (PUBLISHING, "publish"), "text": (snapshot, "write_text"), "sync": (snapshot, "sync_folder"),
    "rename": (Path, "rename"), "link": (Path, "symlink_to"), "replace": (Path, "replace"), "drop": (Spool, "__exit__"),
}  # fmt: skip


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(function: Callable[..., Any], nth: int, when: str) -> Callable[..., Any]:
    calls = itertools.count(1)

    def hooked(*given: Any, **named: Any) -> Any:
        mine = next(calls) == nth
        if mine and when == "half":  # what a record looks like when the process dies while it is written
            os.write(given[0]._file, given[1][: len(given[1]) // 2])  # noqa: SLF001
        if mine and when != "after":
            die()
        result = function(*given, **named)
        if mine:
            die()
        return result

    return hooked


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    root, what, nth, when = sys.argv[1:]
    if what != "nothing":
        owner, name = PLACES[what]
        setattr(owner, name, dying(getattr(owner, name), int(nth), when))
    tf.write_snapshot(root, progress=False)
