"""What a load says of itself."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames.frames.privacy import Mode
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]


def test_a_report_counts_what_happened(serve: Serve) -> None:
    sandbox = serve(world=World(1, 120), faults=["html-502@3", "429-seconds@5"])
    report = tf.LoadReport()
    frame = tf.load_runs({"archived": "include"}, settings=settings_for(sandbox, page_size=20), report=report)
    assert (report.table, report.rows, report.complete, report.proof) == ("runs", frame.height, True, "seen")
    assert report.requests == len(sandbox.requests)
    assert (report.retries, report.throttled) == (1, 1)
    assert report.waited_s >= 1
    # The archived runs, the others, and the archived ones again: fewer of these, and one may have moved meanwhile.
    few, many, again = report.totals_stated
    assert (few + many, again, report.passes) == (120, few, 3)
    assert report.unknown_keys.keys() == {"future_field", "guest_link"}
    assert report.values_coerced["owner_id"] > 0
    assert report.received_bytes > 10_000
    assert report.started_at is not None
    assert report.finished_at is not None
    assert report.started_at <= report.finished_at
    assert json.loads(json.dumps(report.as_dict()))["rows"] == 120
    assert str(report).startswith("120 runs, ")


def test_a_report_serves_again(serve: Serve) -> None:
    sandbox = serve(world=World(1, 30))
    report = tf.LoadReport()
    for _ in range(2):
        frame = tf.load_runs(settings=settings_for(sandbox), report=report)
        assert report.rows == frame.height


def test_a_failed_load_is_not_complete(serve: Serve) -> None:
    report = tf.LoadReport()
    with pytest.raises(tf.AuthError):
        tf.load_runs(settings=settings_for(serve(faults=["token-revoked@3"]), page_size=50), report=report)
    assert not report.complete
    assert report.finished_at is not None
    assert "incomplete" in str(report)


def test_progress_is_told_and_ends(serve: Serve) -> None:
    events: list[tf.ProgressEvent] = []
    sandbox = serve(world=World(1, 120))
    frame = tf.load_runs(settings=settings_for(sandbox, page_size=10), progress=events.append)
    assert [event.rows for event in events] == sorted(event.rows for event in events)
    assert len(events) == sandbox.list_requests + 1, "with every answer, and at the end"
    assert (events[-1].rows, events[-1].total_rows, events[-1].done) == (frame.height, frame.height, True)
    assert not any(event.done for event in events[:-1])


def test_unknown_keys_and_words_are_named_once(serve: Serve) -> None:
    with pytest.warns(tf.TallyfyFramesWarning) as caught:
        tf.load_runs(settings=settings_for(serve(world=World(1, 120)), page_size=10))
    assert [str(warning.message) for warning in caught] == [
        "runs: keys that no column knows are kept in 'extra': future_field, guest_link",
        "runs: words that no table lists are kept as they are: status 'paused'",
    ]


@pytest.mark.parametrize("privacy", ["keep", "drop"])
def test_new_words_are_counted_and_kept_as_they_are(serve: Serve, privacy: Mode) -> None:
    sandbox, report = serve(world=World(1, 120, extra_statuses=["on-hold"])), tf.LoadReport()
    frame = tf.load_runs({"archived": "include"}, settings=settings_for(sandbox), report=report, privacy=privacy)
    rows = dict(frame["status"].value_counts().iter_rows())
    assert report.unknown_words == {"status": {word: rows[word] for word in ("paused", "on-hold")}}
    assert ", 2 unknown words" in str(report)
    assert report.as_dict()["unknown_words"] == report.unknown_words


def test_the_shapes_of_what_was_coerced_add_up(serve: Serve) -> None:
    report = tf.LoadReport()
    tf.load_runs(settings=settings_for(serve(world=World(1, 120))), report=report)
    assert {column: sum(shapes.values()) for column, shapes in report.shapes_seen.items()} == report.values_coerced
    assert report.shapes_seen["owner_id"].keys() == {"text", "an object", "a whole number for nothing"}


def test_the_documented_shapes_are_no_shapes_to_tell(serve: Serve) -> None:
    report = tf.LoadReport()
    tf.load_runs(settings=settings_for(serve(world=World(1, 120), plain=True)), report=report)
    assert (report.shapes_seen, report.values_coerced) == ({}, {})


def test_a_notebook_is_told_the_same_and_where_it_was() -> None:
    now = datetime(2030, 5, 1, tzinfo=UTC)
    report = tf.LoadReport(
        table="runs", rows=1_200, parts={"run_tasks": 9}, pages=12, requests=14, throttled=2, waited_s=61.5,
        values_coerced={"owner_id": 3}, shapes_seen={"owner_id": {"text": 2, "an object": 1}}, values_nulled={"due_date": 4},
        rows_quarantined=1, unknown_keys={"<script>": 5}, unknown_words={"status": {"<b>\u202e": 6}}, rows_cut_off={"tasks": 7},
        started_at=now, finished_at=now + timedelta(seconds=90),
    )  # fmt: skip
    shown = html.unescape(re.sub(r"<[^>]*>", " ", report._repr_html_()))
    assert re.sub(r"\s+", " ", shown).strip() == (
        "✘ incomplete: rows may be missing runs 1,200 run_tasks 9 took 14 requests for 12 pages, 90 s waited 62 s, for the API "
        "throttled 2 values coerced 3 owner_id : text 2 , an object 1 values nulled 4 due_date 4 rows quarantined 1 in its "
        "quarantined unknown keys 1 <script> 5 unknown words 1 status : <b>\\u202e 6 rows cut off 7 tasks 7"
    )


def test_a_report_of_nothing_or_not_finished_says_so() -> None:
    assert "nothing is loaded yet" in tf.LoadReport()._repr_html_()
    assert "not finished yet" in tf.LoadReport(started_at=datetime.now(UTC))._repr_html_()
