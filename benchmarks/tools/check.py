"""What a tool left in a folder, as JSON: rows and distinct ids over all its Parquet files. Runs in our environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

ids: list[str] = []
for file in Path(sys.argv[1]).rglob("*.parquet"):
    if file.parent.name == "runs" or file.parent.name.startswith("status="):
        ids += pq.ParquetFile(file).read(columns=["id"]).column("id").to_pylist()
print(json.dumps({"rows": len(ids), "ids": len(set(ids))}))
