"""The bare download: every page of every list asked for, its bytes read and thrown away. What no reader can undercut.

``BENCH_THREADS`` (default 1) fetches so many pages at once; 1 is the walk that every tool of the field does. ``BENCH_WITH``
names what runs are to bring along.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import httpx

HEADERS = {"Accept": "application/json", "X-Tallyfy-Client": "APIClient"}
WITH = {"with": os.environ["BENCH_WITH"]} if "BENCH_WITH" in os.environ else {}


def download(base_url: str, token: str, org_id: str, lists: list[str], threads: int = 1) -> int:
    """How many bytes came."""
    limits = httpx.Limits(max_connections=threads, max_keepalive_connections=threads)
    headers = {**HEADERS, "Authorization": f"Bearer {token}"}
    with httpx.Client(headers=headers, timeout=60, trust_env=False, limits=limits) as client:

        def page(number: int, listing: str) -> bytes:
            params = {"page": number, "per_page": 100, "sort": "created_at"} | WITH | ({"archived": listing} if listing else {})
            answer = client.get(f"{base_url}/organizations/{org_id}/runs", params=params)
            answer.raise_for_status()
            return answer.content

        received = 0
        for listing in lists:
            first = page(1, listing)
            pages = int(re.search(rb'"total_pages":(\d+)', first)[1])
            received += len(first)
            if threads == 1:
                for number in range(2, pages + 1):
                    received += len(page(number, listing))
            else:
                with ThreadPoolExecutor(threads) as pool:
                    received += sum(pool.map(lambda number, listing=listing: len(page(number, listing)), range(2, pages + 1)))
    return received


if __name__ == "__main__":
    download(
        os.environ["TALLYFY_BASE_URL"],
        os.environ["TALLYFY_ACCESS_TOKEN"],
        os.environ["TALLYFY_ORG_ID"],
        os.environ.get("BENCH_LISTS", "").split(","),
        int(os.environ.get("BENCH_THREADS", "1")),
    )
