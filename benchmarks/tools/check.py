"""What a tool left in a folder, as JSON: rows and distinct ids over all its Parquet files. Runs in our environment.

Of runs, and of their tasks where there are any: in files of their own, or as JSON text in the rows of runs. ``strays`` are runs
that tasks name and that are not there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

TASK_TABLES = ("run_tasks", "runs__tasks__data")  # ours, and dlt's

ids: list[str] = []
tasks: list[tuple[str, str]] = []
for file in Path(sys.argv[1]).rglob("*.parquet"):
    found = pq.ParquetFile(file)
    if file.parent.name == "runs" or file.parent.name.startswith("status="):
        ids += found.read(columns=["id"]).column("id").to_pylist()
        if "tasks" in found.schema_arrow.names:
            for text in found.read(columns=["tasks"]).column("tasks").to_pylist():
                tasks += [(task["id"], task["run_id"]) for task in json.loads(text)["data"]]
    elif file.parent.name in TASK_TABLES:
        tasks += zip(*(found.read(columns=[name]).column(name).to_pylist() for name in ("id", "run_id")), strict=True)
told = {"rows": len(ids), "ids": len(set(ids)), "tasks": len(tasks), "task_ids": len({task for task, _ in tasks})}
print(json.dumps(told | {"strays": len({run for _, run in tasks} - set(ids))}))
