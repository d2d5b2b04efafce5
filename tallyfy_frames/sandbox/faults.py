"""Named faults: each is something a server, a proxy or a network was seen to do, or can.

``NAME`` strikes the second list request, ``NAME@5`` the fifth, ``NAME@5x3`` the fifth to the seventh, ``NAME@5+`` the
fifth and all that follow. (``token-revoked`` always lasts.)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

FAULTS: Final = {
    "429-seconds": "429 with Retry-After in seconds",
    "429-date": "429 with Retry-After as an HTTP date",
    "429-hour": "429 naming the hourly cap, with Retry-After of most of an hour",
    "429-garbage": "429 with a Retry-After that says nothing",
    "html-502": "502 with a proxy's HTML page",
    "sql-500": "500 whose message quotes SQL",
    "html-200": "200 with a maintenance page",
    "cut-body": "the connection closes half way through the body",
    "half-json": "200, and half of the JSON text",
    "half-page": "half of the page's rows, and a count that says so",
    "empty-page": "no rows, while the total says otherwise",
    "empty-list": "no rows, and a total of 0",
    "empty-body": "200 with no body",
    "data-null": '200 with {"data": null}',
    "error-200": "200 with an error envelope",
    "reset": "the connection is reset before an answer",
    "slow": "silence for a while before the answer",
    "drip": "the answer comes a byte at a time",
    "token-revoked": "401 from here on, as after a log-out in the web app",
    "foreign-next": "links.next names another origin",
    "foreign-redirect": "302 to another origin",
    "oversized": "an answer of 200 MB, small on the wire",
    "echo-token": "400 whose message repeats the Authorization header",
    "echo-token-200": "200 with an error envelope that repeats the Authorization header",
    "total-high": "a total 3 above the rows there are",
    "total-low": "a total 3 below the rows there are",
    "duplicate-row": "the last row of the page twice",
    "wrong-page": "the rows of page 1, whatever page was asked",
    "foreign-page": "the body states another page than the one asked",
    "broken-row": "one row is null",
    "bad-cell": "one row's increment_id is 1.5",
    "no-id": "one row has no id",
}  # fmt: skip

# These leave the rows' selection alone and change the finished answer.
EDITS: Final = frozenset({
    "half-page", "empty-page", "empty-list", "data-null", "foreign-next", "total-high", "total-low", "duplicate-row",
    "wrong-page", "foreign-page", "broken-row", "bad-cell", "no-id",
})  # fmt: skip
# These send the finished answer slowly, or not all of it; all others replace it.
SPOILS: Final = frozenset({"slow", "drip", "half-json", "cut-body"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name, and the list requests (counted from 1) that it strikes."""

    name: str
    first: int = 2
    times: int | None = 1  # None: all that follow

    @classmethod
    def parse(cls, text: str) -> Fault:
        """``NAME[@FIRST[xTIMES|+]]``; ValueError names the faults there are."""
        match = re.fullmatch(r"([a-z0-9-]+)(?:@(\d+)(?:x(\d+)|(\+))?)?", text)
        if match is None or match[1] not in FAULTS:
            message = f"no fault {text!r}; there are {', '.join(FAULTS)}, each with @FIRST, @FIRSTxTIMES or @FIRST+"
            raise ValueError(message)
        lasting = match[4] is not None or match[1] == "token-revoked"
        return cls(match[1], int(match[2] or 2), None if lasting else int(match[3] or 1))

    def strikes(self, request: int) -> bool:
        """Whether the list request of this number is struck."""
        return request >= self.first and (self.times is None or request < self.first + self.times)


def edit(fault: str, body: Any, foreign_next: str, first_page: Callable[[], Any]) -> object:  # noqa: C901, PLR0912 - one case a fault
    """The finished answer, changed as far as it has what the fault changes."""
    if fault == "data-null":
        return {"data": None}
    rows = body if isinstance(body, list) else body["data"]
    meta = {} if isinstance(body, list) else body.get("meta", {}).get("pagination", {})
    total = int(meta.get("total", 0))
    match fault:
        case "half-page":
            rows = rows[: len(rows) // 2]
            meta |= {"count": len(rows)} if meta else {}
        case "empty-page":
            rows = []
            meta |= {"count": 0} if meta else {}
        case "empty-list":
            rows = []
            meta |= {"total": 0, "count": 0, "total_pages": 1, "links": []} if meta else {}
        case "foreign-next" if meta:
            meta["links"] = {"next": foreign_next}
        case "total-high" if "total" in meta:
            meta["total"] = total + 3
        case "total-low" if "total" in meta:
            meta["total"] = max(0, total - 3)
        case "duplicate-row" if len(rows) > 1:
            rows = [rows[-1], *rows[1:]]
        case "wrong-page":
            first = first_page()
            rows = first if isinstance(first, list) else first["data"]
            meta |= {"count": len(rows)} if meta else {}
        case "foreign-page" if meta:
            meta["current_page"] = int(meta["current_page"]) + 1
        case "broken-row" if rows:
            rows = [*rows[:-1], None]
        case "bad-cell" if rows:
            rows = [*rows[:-1], {**rows[-1], "increment_id": 1.5}]
        case "no-id" if rows:
            rows = [*rows[:-1], {name: value for name, value in rows[-1].items() if name != "id"}]
        case _:
            pass
    return rows if isinstance(body, list) else body | {"data": rows}
