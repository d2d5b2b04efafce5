"""Traps in what stands in rows: each check's docstring says what the trap is."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from conftest import settings_for
from end_to_end.traps import (
    EVERYTHING,
    RUNS,
    WORLD,
    load,
    patching,
    reading,
    serving,
    shown,
    trap,
)

import tallyfy_frames as tf
from tallyfy_frames import pipeline
from tallyfy_frames.frames import decode, flatten, masking
from tallyfy_frames.sandbox import World
from tallyfy_frames.sinks import stream
from tallyfy_frames.sinks.formats import Format


def row(**keys: Any) -> pl.DataFrame:
    """One row as the API might send it, shaped."""
    cells = decode.decode([{"id": "a", **keys}], RUNS.columns)
    frame, unreadable = flatten.flatten(cells, RUNS.columns, [({}, 1)])
    assert not cells.faults
    assert not unreadable
    return frame


@trap(2, reading("json", json.dumps))
def empty_maps_are_lists(_: pytest.MonkeyPatch, __: Any) -> None:
    """``prerun``, ``whole_progress`` and ``custom_fields`` are ``[]`` when empty."""
    frame = row(prerun=[], custom_fields=[], whole_progress=[], progress=[])
    assert frame.select("prerun", "custom_fields", "whole_progress_total").row(0) == ("{}", "{}", None)


def inferred(cells: Any, columns: Any, provenance: Any) -> Any:
    text = "[" + ",".join(cell or "{}" for cell in cells.columns["prerun"]) + "]"
    frame, unreadable = flatten.flatten(cells, columns, provenance)
    return frame.hstack(pl.json_normalize(json.loads(text), infer_schema_length=None).fill_null(0)), unreadable


@trap(3, patching(pipeline, "flatten", inferred), dies_of=TypeError)
def keys_of_prerun_never_become_columns(_: pytest.MonkeyPatch, __: Any) -> None:
    """The keys of ``prerun`` are ids that differ per template."""
    frame = load()
    assert frame.schema == RUNS.schema
    answers = {run.id: run.prerun for run in shown()}
    assert any(answers.values())
    assert all(json.loads(text).keys() == answers[key].keys() for key, text in frame.select("id", "prerun").iter_rows())


def as_it_comes(value: Any) -> Any:
    return value


@trap(25, reading("float", as_it_comes), dies_of=TypeError)
def progress_is_an_object_or_a_number_and_percent_whole_or_not(_: pytest.MonkeyPatch, __: Any) -> None:
    """A column may begin with whole numbers and go on with 37.5; ``progress`` may be a bare number."""
    assert row(progress=100)["progress_percent"].to_list() == [100.0]
    assert row(progress={"percent": 37.5, "complete": 3})["progress_percent"].to_list() == [37.5]
    assert row(progress={"percent": "37.5"})["progress_percent"].to_list() == [37.5]


@trap(26, reading("user_id", as_it_comes), dies_of=TypeError)
def user_ids_are_numbers_text_or_objects(_: pytest.MonkeyPatch, __: Any) -> None:
    """Ids wobble between number, text and object; here user ids are integers that join."""
    for value in (5120, "5120", {"id": 5120}):
        assert row(owner_id=value)["owner_id"].to_list() == [5120]
    assert row(collaborators=["5120", 5121])["collaborators"].to_list() == [[5120, 5121]]


def strict_ids(value: Any) -> Any:
    return [int(item) for item in value or ()]


@trap(27, reading("user_ids", strict_ids), dies_of=TypeError)
def owners_are_numbers_or_objects(_: pytest.MonkeyPatch, __: Any) -> None:
    """``owners.users`` holds numbers, or objects with an id, from one task to the next."""
    with serving() as sandbox:
        found = tf.load("tasks", EVERYTHING, settings=settings_for(sandbox))
    owners = {key: users or [] for key, users in found.select("id", "owner_users").iter_rows()}
    assert owners == {one.task.id: [*one.task.users] for one in WORLD.tasks}


def first_name_only(found: Any, sources: Any, take: Any = decode._take) -> Any:  # noqa: SLF001
    return take(found, sources[:1])


@trap(28, patching(decode, "_take", first_name_only))
def the_same_thing_has_two_names(_: pytest.MonkeyPatch, __: Any) -> None:
    """``last_updated`` or ``updated_at``, ``active`` or ``is_active``, by source."""
    with serving() as sandbox:
        frame = tf.load("users", settings=settings_for(sandbox))
    assert frame["active"].null_count() == frame["last_updated"].null_count() == 0


@trap(39, patching(masking, "is_secret", lambda _: False))
def secrets_stand_in_the_data(_: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Web hooks, guests' links and files' addresses let anyone in: masked before any text, log or file."""
    with serving() as sandbox:
        manifest = tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    written = tf.read_snapshot(tmp_path).collect().write_ndjson()
    assert manifest.rows == len(WORLD.runs)
    assert not re.search(r"secret-hook|secret-guest|/dl\b", written)


@trap(44, patching(flatten, "instants", lambda texts: texts.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False)))  # fmt: skip
def dates_come_in_several_forms(_: pytest.MonkeyPatch, __: Any) -> None:
    """With and without zone and fraction, with a space, as a date; some columns are true only when read."""
    forms = [
        "2031-04-05T00:00:00.000Z",
        "2031-04-05T00:00:00Z",
        "2031-04-05T00:00:00+00:00",
        "2031-04-05 00:00:00",
        "2031-04-05",
    ]
    assert {row(due_date=form)["due_date"][0] for form in forms} == {datetime(2031, 4, 5, tzinfo=UTC)}
    assert row(due_date="0000-00-00 00:00:00")["due_date"][0] is None
    assert set(RUNS.names("volatile")) == {"due_soon", "due_date_passed", "late_tasks"}


def untyped(cells: Any, columns: Any, provenance: Any) -> Any:
    stated = {name: [page[name] for page, rows in provenance for _ in range(rows)] for name in provenance[0][0]}
    values = {column.name: (cells.columns | stated)[column.name] for column in columns}
    return pl.DataFrame(values, strict=False, infer_schema_length=100), []


@trap(47, patching(pipeline, "flatten", untyped), dies_of=pl.exceptions.PolarsError)
def a_column_may_begin_with_many_nulls(_: pytest.MonkeyPatch, __: Any) -> None:
    """Types are never inferred: a value after 150 nulls has its column's type, and so have 150 nulls."""
    world = World(11, 200)
    for run in world.runs[:150]:
        run.owner_id = run.due_date = None
    frame = load(EVERYTHING, world=world)
    assert frame.schema == RUNS.schema
    assert frame["owner_id"].drop_nulls().len() == sum(run.owner_id is not None for run in world.runs)


@trap(49, patching(stream, "FORMULA_STARTS", "^never$"))
def a_name_may_be_a_formula(_: pytest.MonkeyPatch, __: Any) -> None:
    """Text that begins with ``=``, ``+``, ``-`` or ``@`` runs in a spreadsheet."""
    names = [line["name"] for line in csv.DictReader(io.StringIO(stream.render(load(), Format.csv).decode(), newline=""))]
    assert not [name for name in names if name[:1] in tuple("=+-@")]
    assert "'=1+1" in names


@trap(50, lambda patch: patch.setitem(vars(RUNS), "schema", pl.Schema()), dies_of=pl.exceptions.PolarsError)
def an_empty_result_is_normal(_: pytest.MonkeyPatch, __: Any) -> None:
    """No rows are a frame of no rows, with every column and type."""
    frame = load({"q": "no such name"})
    assert (frame.height, dict(frame.schema)) == (0, {column.name: column.dtype for column in RUNS.columns})


def narrow(cells: Any, columns: Any, provenance: Any) -> Any:
    frame, unreadable = flatten.flatten(cells, columns, provenance)
    return frame.with_columns(pl.col(pl.Int64).cast(pl.Int32, strict=False).cast(pl.Int64)), unreadable


@trap(51, patching(pipeline, "flatten", narrow))
def numbers_may_be_large(_: pytest.MonkeyPatch, __: Any) -> None:
    """``increment_id`` and user ids fit 64 bits, not 32."""
    world = World(11, 60)
    world.runs[0].increment_id, world.runs[1].owner_id = 2**62, 2**53 + 1
    found = {key: (number, owner) for key, number, owner in load(EVERYTHING, world=world).select("id", "increment_id", "owner_id").iter_rows()}  # fmt: skip
    assert found[world.runs[0].id][0] == 2**62
    assert found[world.runs[1].id][1] == 2**53 + 1
