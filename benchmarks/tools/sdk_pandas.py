"""The vendor's SDK, page after page as its pagination metadata says, into pandas; with a folder named, on to Parquet by status.

``vars(run)`` rather than ``dataclasses.asdict``, which copies deeply and takes twice as long; answers become JSON text, since
Parquet has no type for a value that is a text here and an object there.
"""

from __future__ import annotations

import json
import os
import sys

import pandas as pd
from tallyfy import TallyfySDK

INSTANTS = ["created_at", "started_at", "last_updated", "completed_at", "archived_at", "due_date", "max_task_deadline",
            "prerun_completed_at"]  # fmt: skip
COUNTS = ["increment_id", "owner_id", "started_by", "prerun_completed_by", "prerun_length", "late_tasks"]


def flat(run: object) -> dict[str, object]:
    """A run as one flat row."""
    row = dict(vars(run))
    for name in ("progress", "whole_progress"):
        progress = row.pop(name)
        row |= {f"{name}_{part}": getattr(progress, part, None) for part in ("complete", "total", "percent")}
    row["prerun"] = json.dumps(row["prerun"]) if row["prerun"] else None
    return row


def main() -> None:
    """Download, build the frame, write it."""
    base_url = os.environ["TALLYFY_BASE_URL"].removesuffix("/api")
    sdk = TallyfySDK(api_key=os.environ["TALLYFY_ACCESS_TOKEN"], base_url=base_url)
    rows = []
    for listing in os.environ.get("BENCH_LISTS", "").split(","):
        page = 1
        while True:
            answer = sdk.get_organization_runs(
                os.environ["TALLYFY_ORG_ID"], per_page=100, page=page, sort="created_at", archived=listing or None
            )
            rows += [flat(run) for run in answer.data]
            if page >= answer.meta.total_pages:
                break
            page += 1
    frame = pd.DataFrame(rows)
    for name in INSTANTS:
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    for name in COUNTS:
        frame[name] = frame[name].astype("Int64")
    print(len(frame))
    if len(sys.argv) > 1:
        frame.to_parquet(sys.argv[1], partition_cols=["status"])


main()
