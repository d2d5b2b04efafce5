"""What is new on the wire since the snapshot before, by what the reports of both say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames.lake.changes import Change, changes
from tallyfy_frames.report import MORE, WORDS_MAX
from tallyfy_frames.sandbox import Sandbox, World


def report(table: str = "runs", **told: Any) -> dict[str, Any]:
    """A report as a manifest keeps it."""
    nothing: dict[str, Any] = {"parts": {}, "unknown_keys": {}, "unknown_words": {}, "shapes_seen": {}}
    return json.loads(json.dumps({"table": table, **nothing, **told}))  # type: ignore[no-any-return]


BEFORE = report(
    unknown_keys={"risk": 9, "progress.eta": 4},
    unknown_words={"status": {"paused": 3}},
    shapes_seen={"owner_id": {"text": 5}},
)


def test_a_new_field_a_new_word_and_a_new_shape_are_told() -> None:
    now = report(
        unknown_keys={"risk": 9, "progress.eta": 4, "region": 2},
        unknown_words={"status": {"paused": 3, "on-hold": 1}},
        shapes_seen={"owner_id": {"text": 5, "an object": 2}},
    )
    assert changes(BEFORE, now) == [
        Change("runs", "field", "region"),
        Change("runs", "word", "status", "on-hold"),
        Change("runs", "shape", "owner_id", "an object"),
    ]


def test_what_the_snapshot_before_told_is_no_change_however_often_it_comes() -> None:
    now = report(unknown_keys={"risk": 1}, unknown_words={"status": {"paused": 99}}, shapes_seen={"owner_id": {"text": 700}})
    assert changes(BEFORE, now) == []


def test_a_field_that_no_row_has_now_is_not_said_to_be_gone() -> None:
    assert changes(BEFORE, report()) == []


def test_without_a_snapshot_before_all_that_the_contract_does_not_know_is_new() -> None:
    assert changes(None, BEFORE) == [
        Change("runs", "field", "progress.eta"),
        Change("runs", "field", "risk"),
        Change("runs", "word", "status", "paused"),
        Change("runs", "shape", "owner_id", "text"),
    ]


@pytest.mark.parametrize("missing", ["unknown_keys", "unknown_words", "shapes_seen"])
def test_nothing_is_claimed_of_what_an_older_version_did_not_look_for(missing: str) -> None:
    older = {name: told for name, told in report().items() if name != missing}
    kinds = {"unknown_keys": "field", "unknown_words": "word", "shapes_seen": "shape"}
    assert {change.kind for change in changes(older, BEFORE)} == {*kinds.values()} - {kinds[missing]}
    assert changes(BEFORE, older) == []


def test_each_of_several_tables_made_of_one_list_has_its_own_changes() -> None:
    before = report(parts={"run_tags": 3}, unknown_keys={"run_tags.colour": 3})
    now = report(
        parts={"run_tags": 3, "run_tasks": 8},
        unknown_keys={"run_tags.colour": 3, "colour": 1, "run_tasks.colour": 8},
        unknown_words={"run_tasks.status": {"parked": 1}},
    )
    assert changes(before, now) == [
        Change("run_tasks", "field", "colour"),
        Change("run_tasks", "word", "status", "parked"),
        Change("runs", "field", "colour"),
    ]


def test_a_table_is_the_same_table_whichever_is_the_first_of_its_list() -> None:
    alone = report("run_tasks", unknown_keys={"colour": 8}, unknown_words={"status": {"parked": 1}})
    second = report(
        parts={"run_tasks": 8}, unknown_keys={"run_tasks.colour": 8}, unknown_words={"run_tasks.status": {"parked": 1}}
    )
    assert changes(alone, second) == []
    assert changes(second, alone) == []


def test_a_table_without_rows_now_is_still_told_from_the_list_s_own() -> None:
    before = report(parts={"run_tags": 3}, unknown_keys={"run_tags.colour": 3})
    assert changes(before, report(unknown_keys={"run_tags.colour": 3})) == []


def test_no_word_is_said_to_be_new_where_the_report_before_had_no_room_for_it() -> None:
    many = {f"word {n}": 1 for n in range(WORDS_MAX)}
    now = report(unknown_words={"status": {"on-hold": 1}, "type": {"on-hold": 1}})
    full = report(unknown_words={"status": {**many, MORE: 7}, "type": {MORE: 7}})
    assert changes(full, now) == [Change("runs", "word", "type", "on-hold")]


def test_a_change_is_one_line_and_plain_json() -> None:
    field, word, shape = (
        Change("runs", "field", "risk"),
        Change("runs", "word", "status", "on-hold"),
        Change("runs", "shape", "owner_id", "an object"),
    )
    assert [str(field), str(word), str(shape)] == [
        "runs: a new field, risk",
        "runs: a new word in status: on-hold",
        "runs: a new shape of owner_id: an object",
    ]
    assert json.loads(json.dumps(word.as_dict())) == {"table": "runs", "kind": "word", "name": "status", "detail": "on-hold"}


def loaded(sandbox: Sandbox) -> dict[str, Any]:
    """What a load says of itself, as it comes out of a manifest."""
    told = tf.LoadReport()
    tf.load_runs({"archived": "include"}, settings=settings_for(sandbox), report=told)
    return json.loads(json.dumps(told.as_dict()))  # type: ignore[no-any-return]


def test_a_server_that_stays_as_it_is_changes_nothing_and_one_that_changes_is_found_out(
    serve: Callable[..., Sandbox],
) -> None:
    before = loaded(serve(world=World(1, 120)))
    assert changes(before, loaded(serve(world=World(1, 120)))) == []
    world = World(1, 120)
    world.runs[:] = [
        *world.runs[:-2],
        replace(world.runs[-2], status="on-hold"),
        replace(world.runs[-1], unknown={"risk": {"level": 2}}),
    ]
    now = loaded(serve(world=world, quirks=["progress-number"]))
    assert [str(change) for change in changes(before, now)] == [
        "runs: a new field, risk",
        "runs: a new word in status: on-hold",
        "runs: a new shape of progress_percent: a number with a fraction in place of progress",
        "runs: a new shape of progress_percent: a whole number in place of progress",
        "runs: a new shape of whole_progress_percent: a number with a fraction in place of whole_progress",
        "runs: a new shape of whole_progress_percent: a whole number in place of whole_progress",
    ]
