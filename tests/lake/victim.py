"""A snapshot that kills itself: ``victim.py ROOT WHAT NTH WHEN``, at the nth call of a function, ``before``, ``half`` or ``after``."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore

import tallyfy_frames as tf
from tallyfy_frames.api.transport import Client
from tallyfy_frames.lake import folder, retention, snapshot
from tallyfy_frames.lake.bucket import Bucket
from tallyfy_frames.lake.folder import Folder
from tallyfy_frames.lake.spool import Spool
from tallyfy_frames.sinks import parquet
from tallyfy_frames.sinks.parquet import ParquetSink

PUBLISHING = snapshot._Publishing  # noqa: SLF001
PLACES: dict[str, tuple[Any, str]] = {
    "send": (Client, "_send"), "read": (Client, "_read"),
    "put": (Spool, "put"), "append": (Spool, "_append"),
    "stage": (PUBLISHING, "stage"), "write": (ParquetSink, "write"), "sort": (ParquetSink, "_in_order"), "finish": (ParquetSink, "finish"),
    "aside": (ParquetSink, "_put_aside"), "measure": (parquet, "_written"),
    "check": (PUBLISHING, "check"), "scan": (snapshot, "scan"), "manifest": (PUBLISHING, "manifest"), "shrink": (PUBLISHING, "refuse_shrink"),
    "publish": (Folder, "publish"), "text": (snapshot, "write_bytes"), "sync": (folder, "sync_folder"),
    "rename": (Path, "rename"), "link": (Path, "symlink_to"), "replace": (Path, "replace"), "drop": (Spool, "__exit__"),
    "remove": (Folder, "remove"), "dead": (Folder, "clear"), "rmtree": (shutil, "rmtree"), "unlink": (os, "unlink"), "rmdir": (os, "rmdir"),
    "upload": (obstore, "put"), "point": (Bucket, "_point_to"), "take": (Bucket, "remove"), "delete": (obstore, "delete"), "bucket": (Bucket, "publish"),
    "stale": (Bucket, "clear"), "object": (Bucket, "put"),
    "retire": (snapshot, "retire"), "mark": (Folder, "put"), "chain": (retention, "published"), "marked": (Folder, "files"), "unmark": (Folder, "delete"), "stays": (retention.Keep, "stays"),
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
    root, what, nth, when, *tables = sys.argv[1:]
    if what != "nothing":
        owner, name = PLACES[what]
        setattr(owner, name, dying(getattr(owner, name), int(nth), when))
    retention.GRACE = timedelta(seconds=float(os.environ.get("GRACE_S", "5")))  # type: ignore[misc]
    parquet.BUFFERED_ROWS_MAX = 6_000  # type: ignore[misc]  # so that some rows are put aside
    tf.write_snapshot(root, tables=tables or ("runs",), keep=2, progress=False)
