"""dlt's ``rest_api`` source, page numbers up to the stated ``total_pages``, into Parquet files below the folder named.

``BENCH_WITH`` names what runs are to bring along; ``BENCH_NESTING`` is how deep lists become tables of their own (``default``:
as deep as dlt's default), or none do.

Set up for speed: orjson, no child tables (nested values stay JSON text), finished jobs removed, telemetry off. Two normalising
processes over rotated files, which its documentation advises for large loads, were not faster here (2.8 s with one, 3.4 s with
two). ``write_disposition="replace"``: a snapshot.
"""

from __future__ import annotations

import os
import sys

SPEED = {
    "LOAD__DELETE_COMPLETED_JOBS": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
}
for name, value in SPEED.items():
    os.environ.setdefault(name, value)

import dlt  # noqa: E402 - it reads the environment when imported
from dlt.sources.rest_api import rest_api_source  # noqa: E402


def main() -> None:
    """Extract, normalise, load."""
    folder = sys.argv[1]
    listings = os.environ.get("BENCH_LISTS", "").split(",")
    included = {"with": os.environ["BENCH_WITH"]} if "BENCH_WITH" in os.environ else {}
    nesting = os.environ.get("BENCH_NESTING", "0")
    source = rest_api_source(
        {
            "client": {
                "base_url": os.environ["TALLYFY_BASE_URL"],
                "headers": {"Accept": "application/json", "X-Tallyfy-Client": "APIClient"},
                "auth": {"type": "bearer", "token": os.environ["TALLYFY_ACCESS_TOKEN"]},
                "paginator": {"type": "page_number", "base_page": 1, "total_path": "meta.pagination.total_pages"},
            },
            "resource_defaults": {"primary_key": "id", "write_disposition": "replace"},
            "resources": [
                {
                    "name": f"runs_{listing or 'shown'}",
                    "table_name": "runs",
                    "endpoint": {
                        "path": f"organizations/{os.environ['TALLYFY_ORG_ID']}/runs",
                        "params": {"per_page": 100, "sort": "created_at"}
                        | included
                        | ({"archived": listing} if listing else {}),
                        "data_selector": "data",
                    },
                }
                for listing in listings
            ],
        },
        max_table_nesting=None if nesting == "default" else int(nesting),
    )
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=f"{folder}/.working",
        destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}"),
        dataset_name="lake",
    )
    pipeline.run(source, loader_file_format="parquet").raise_on_failed_jobs()


if __name__ == "__main__":
    main()
