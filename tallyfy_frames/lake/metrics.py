"""How a snapshot job went, for Prometheus: a file in its text format, as node_exporter's textfile collector reads them.

It is written at the end of every job, whatever the end, in one rename. Each series has the root as its label, so that files of
several jobs can lie in one folder.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tallyfy_frames.atomic import place_of, write_bytes
from tallyfy_frames.errors import MissingExtra, SinkError, TallyfyFramesError, exit_code, warn
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.lake.published import read_manifest

PREFIX: Final = "tallyfy_frames"
# Of the published snapshot: a field of each list's report, and what it is called and tells here.
BY_REPORT: Final = {
    "requests": ("requests", "Requests sent"),
    "retries": ("retries", "Requests tried again"),
    "throttled": ("throttled", "Answers of 429"),
    "waited_s": ("waited_seconds", "Seconds waited because of them"),
    "received_bytes": ("received_bytes", "Bytes of answers, decompressed"),
}


class Metrics:
    """Around a job: a context manager. ``manifest`` is what it has published."""

    def __init__(self, path: Path, root: str) -> None:
        """``MissingExtra`` or ``SinkError`` at once if the file could not be written."""
        try:
            import prometheus_client  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingExtra("prometheus-client", "metrics") from None
        if not place_of(path).parent.is_dir():
            raise SinkError("cannot write", path=path, hint="name a file in a folder that is there")
        self.path = path
        self.root = root
        self.manifest: Manifest | None = None
        self.prometheus = prometheus_client

    def __enter__(self) -> Self:
        """The job begins."""
        self.began_s = time.time()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Write it; after a failure, what was published last is read from the root."""
        code = getattr(error, "code", 1)  # of a signal
        if error is None:
            code = 0
        elif isinstance(error, TallyfyFramesError):
            code = exit_code(error)
        try:
            write_bytes(self.path, self.text(code if isinstance(code, int) else 1))
        except SinkError as refused:  # the job's own end counts
            warn(f"how the job went could not be told: {refused}")

    def text(self, code: int) -> bytes:
        """In Prometheus' text format."""
        registry = self.prometheus.CollectorRegistry()
        gauges: dict[str, Any] = {}

        def tell(name: str, about: str, value: float, **labels: str) -> None:
            if name not in gauges:
                gauges[name] = self.prometheus.Gauge(f"{PREFIX}_{name}", about, ["root", *labels], registry=registry)
            gauges[name].labels(root=self.root, **labels).set(value)

        ended_s = time.time()
        tell("last_run_timestamp_seconds", "When the last job ended", ended_s)
        tell("last_run_duration_seconds", "How long the last job took", ended_s - self.began_s)
        tell("last_run_exit_code", "Exit code of the last job; 0 is done", code)
        newest = self.manifest
        if newest is None:
            try:
                newest = read_manifest(self.root)
            except TallyfyFramesError:
                return self.prometheus.generate_latest(registry)
        created_s = datetime.fromisoformat(newest.created_at).timestamp()
        tell("snapshot_created_timestamp_seconds", "When the job of the published snapshot began", created_s)
        tell("snapshot_bytes", "Bytes of its Parquet files", newest.size_bytes)
        tell("snapshot_changes", "What the API sent for it and had not sent for the one before", len(newest.changes))
        for name, entry in newest.tables.items():
            tell("snapshot_rows", "Rows of each table", entry.rows, table=name)
            quarantined = sum(file.rows for file in entry.quarantined)
            tell("snapshot_rows_quarantined", "Rows that were set aside", quarantined, table=name)
            if entry.report.get("table") == name:
                for key, (called, about) in BY_REPORT.items():
                    tell(f"snapshot_{called}", about, entry.report.get(key, 0), table=name)
        return self.prometheus.generate_latest(registry)
