"""What the recipe makes of an answer's rows, whichever way they were decoded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.api import protocol
from tallyfy_frames.api.protocol import Reply, Request, Stated
from tallyfy_frames.frames.decode import decode, decode_body
from tallyfy_frames.landing import Landing
from tallyfy_frames.pipeline import Job
from tallyfy_frames.report import LoadReport

RUNS = tables.get("runs")
SETTINGS = tf.Settings(token="tok-0123", org_id="0f")
NOW = datetime(2031, 1, 1, tzinfo=UTC)


def job(**options: Any) -> Job:
    return Job(RUNS, RUNS.filters.parse({}), SETTINGS, LoadReport(), **options)


def rows_with(*ids: object) -> list[dict[str, Any]]:
    return [{"id": value, "name": f"run {n}", "created_at": "2031-01-01T00:00:00Z"} for n, value in enumerate(ids)]


@pytest.mark.parametrize("ids", [("5", 5), ("5", " 5"), (5, {"id": 5}), ("a" * 32, {"id": "a" * 32}), (7, {"user_id": 7})])
def test_a_row_is_the_same_row_however_its_id_is_written(ids: tuple[object, object]) -> None:
    rows = rows_with(*ids)
    answer = job().answer(decode(rows, RUNS.columns), Stated(), rows)
    assert answer.keys[0] == answer.keys[1]
    with pytest.raises(tf.PaginationError, match="the same row twice"):
        protocol.judge(Request(()), Stated(), answer.keys, page=1)


def test_both_ways_of_decoding_tell_the_walk_the_same() -> None:
    rows = [*rows_with("0" * 32, "x", "5"), {"id": "y", "created_at": "0000-00-00 00:00:00"}, {"id": "z"}]
    body = msgspec.json.encode({"data": rows})
    decode(rows, RUNS.columns)  # learns what they look like
    quick = decode_body(body, RUNS.columns, protocol.number)
    page = protocol.read_page(Request(()), Reply(200, {}, body), page=1)
    slow = job().answer(decode(page.rows, RUNS.columns), page.stated, page.rows)
    assert quick is not None
    assert job().answer(quick[0], Stated(), None) == slow
    assert slow.moments == [NOW.timestamp()] * 3 + [None, None]


def test_a_row_without_an_id_is_known_by_all_that_it_holds() -> None:
    rows = rows_with(None, None, "")
    keys = job().answer(decode(rows, RUNS.columns), Stated(), rows).keys
    assert len(set(keys)) == 3


def test_created_since_leaves_out_what_is_older_or_undated_but_not_what_breaks_the_contract() -> None:
    rows = rows_with("new", "old", "undated", "wrong")
    for row, created in zip(rows, ["2031-01-02T00:00:00Z", "2030-12-31T23:59:59Z", None, "yesterday"], strict=True):
        row["created_at"] = created
    loading = job(since=NOW)
    cells = decode(rows, RUNS.columns)
    fresh = loading.fresh(loading.answer(cells, Stated(), rows), Landing(Stated(), NOW, cells))
    assert [rows[row]["id"] for row in fresh] == ["new", "wrong"]
    assert loading.again == 0, "none of them came twice"
