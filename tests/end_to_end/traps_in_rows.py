"""Traps in what stands in rows: each check's docstring says what the trap is."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
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
from oracle import answers_of_run, expected_activity, next_task_of, visible_tasks

import tallyfy_frames as tf
from tallyfy_frames import shaping, tables
from tallyfy_frames.frames import decode, flatten, masking, parts
from tallyfy_frames.frames.readers import READERS
from tallyfy_frames.sandbox import World
from tallyfy_frames.sandbox.facts import Run
from tallyfy_frames.sinks import stream
from tallyfy_frames.sinks.formats import Format
from tallyfy_frames.tables import tasks as tasks_table


def row(**keys: Any) -> pl.DataFrame:
    """One row as the API might send it, shaped."""
    cells = decode.decode([{"id": "a", **keys}], RUNS.columns)
    frame, unreadable = flatten.flatten(cells, RUNS.columns, [({}, 1)])
    assert not cells.faults
    assert not unreadable
    return frame


def by_run(frame: pl.DataFrame, name: str) -> dict[str, list[Any]]:
    """A column's values, by the run that they stand inside."""
    return dict(frame.group_by("run_id", maintain_order=True).agg(name).iter_rows())


def of_runs(items: Callable[[Run], list[Any]]) -> dict[str, list[Any]]:
    """The same of facts: runs that have none have no rows."""
    return {run.id: found for run in WORLD.runs if (found := items(run))}


def read_answers(*names: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each answer of both forms, loaded, with its fact; ``names`` are the types of fields that are wanted, or none for all."""
    found: dict[tuple[str, str | None, str], dict[str, Any]] = {}
    with serving() as sandbox:
        for name in ("run_kickoff_values", "run_form_values"):
            frame = tf.load(name, EVERYTHING, settings=settings_for(sandbox))
            found |= {(one["run_id"], one.get("task_id"), one["field_id"]): one for one in frame.iter_rows(named=True)}
    facts = [one for run in WORLD.runs for one in answers_of_run(WORLD, run) if one["defined"]]
    wanted = [one for one in facts if not names or one["field_type"] in names]
    assert wanted
    return [(found[one["run_id"], one["task_id"], one["field_id"]], one) for one in wanted]


@trap(2, reading("json", json.dumps))
def empty_maps_are_lists(_: pytest.MonkeyPatch, __: Any) -> None:
    """``prerun``, ``whole_progress`` and ``custom_fields`` are ``[]`` when empty."""
    frame = row(prerun=[], custom_fields=[], whole_progress=[], progress=[])
    assert frame.select("prerun", "custom_fields", "whole_progress_total").row(0) == ("{}", "{}", None)


def inferred(cells: Any, columns: Any, provenance: Any) -> Any:
    text = "[" + ",".join(cell or "{}" for cell in cells.columns["prerun"]) + "]"
    frame, unreadable = flatten.flatten(cells, columns, provenance)
    return frame.hstack(pl.json_normalize(json.loads(text), infer_schema_length=None).fill_null(0)), unreadable


@trap(3, patching(shaping, "flatten", inferred), dies_of=TypeError)
def keys_of_prerun_never_become_columns(_: pytest.MonkeyPatch, __: Any) -> None:
    """The keys of ``prerun`` are ids that differ per template."""
    frame = load()
    assert frame.schema == RUNS.schema
    answers = {run.id: run.prerun for run in shown()}
    assert any(answers.values())
    assert all(json.loads(text).keys() == answers[key].keys() for key, text in frame.select("id", "prerun").iter_rows())


def in_a_wrapper(value: Any) -> list[Any]:
    found = value.get("data") if isinstance(value, dict) else None
    return found if isinstance(found, list) else [found] if found else []


def without_a_wrapper(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


@trap(4, patching(parts, "_records", in_a_wrapper), patching(parts, "_records", without_a_wrapper))
def includes_are_wrapped_or_not(_: pytest.MonkeyPatch, __: Any) -> None:
    """They come as ``{"data": …}``; the documentation prints them bare."""
    names = ("run_tasks", "run_tags", "run_checklist")
    for quirks in ((), ("include-bare",)):
        with serving(quirks=quirks) as sandbox:
            found = tf.load_dataset(EVERYTHING, include=names, settings=settings_for(sandbox))
        assert by_run(found.run_checklist, "id") == of_runs(lambda run: [run.template.id])
        assert by_run(found.run_tags, "tag_id") == of_runs(lambda run: [tag.id for tag in run.tags])
        visible = of_runs(lambda run: [task.id for task in visible_tasks(run)])
        assert by_run(found.run_tasks.sort("position"), "id") == visible


def as_an_object(value: Any) -> list[Any]:
    task = value.get("data", value) if isinstance(value, dict) else value
    return [task] if isinstance(task, dict) and task else []


@trap(5, lambda patch: patch.setitem(parts.MAKERS, "items", as_an_object))
def the_next_task_is_a_collection(_: pytest.MonkeyPatch, __: Any) -> None:
    """``next_task`` holds at most one task, and none once all are done; it is no object."""
    with serving() as sandbox:
        found = tf.load("run_next_task", EVERYTHING, settings=settings_for(sandbox))
    due = of_runs(lambda run: [task.id for task in [next_task_of(run)] if task])
    assert by_run(found, "id") == due
    assert len(due) < len(WORLD.runs)
    assert found["position"].unique().to_list() == [1]


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
    """``last_updated`` or ``updated_at``, ``active`` or ``is_active``, at the top or in ``details``: by source and by list."""
    with serving() as sandbox:
        users, groups, guests, tasks = (
            tf.load(name, EVERYTHING if name == "tasks" else None, settings=settings_for(sandbox))
            for name in ("users", "groups", "guests", "tasks")
        )
    wrong = []
    for frame, column, facts in (
        (users, "active", {one.id: one.active for one in WORLD.users}),
        (users, "last_updated", {one.id: one.last_updated for one in WORLD.users}),
        (groups, "last_updated", {one.id: one.last_updated for one in WORLD.groups}),
        (guests, "first_name", {str(one.id): one.first_name for one in WORLD.guests}),
        (tasks, "completer_guest", {one.task.id: one.completer_guest for one in WORLD.tasks}),
    ):
        wrong += [column] * (dict(frame.select("id", column).iter_rows()) != facts)
    assert wrong == []


@trap(
    29,
    patching(parts, "_own", lambda field: field.get("field_value")),
    patching(parts, "_own", lambda field: field.get("value")),
)
def an_answer_has_two_names(_: pytest.MonkeyPatch, __: Any) -> None:
    """``field_value`` from the live API, ``value`` in the documentation; of hidden tasks nothing else tells it."""
    read = [
        (row, fact) for row, fact in read_answers() if fact["raw"] or not isinstance(fact["raw"], int)
    ]  # 0 may be an answer
    assert any(fact["hidden"] and not fact["empty"] for _, fact in read)
    assert [row["value"] is None for row, _ in read] == [fact["empty"] for _, fact in read]


CHOICES = ("radio", "dropdown", "multiselect")


def all_entries(value: Any, kind: str, chosen: Any = parts._chosen) -> Any:  # noqa: SLF001
    if kind not in CHOICES:
        return chosen(value, kind)
    entries = [value] if isinstance(value, dict) else value
    return {"value": ", ".join(entry["text"] for entry in entries), "options": [entry["id"] for entry in entries]}


def as_bare_text(value: Any, kind: str, chosen: Any = parts._chosen) -> Any:  # noqa: SLF001
    return {"value": str(value)} if kind == "dropdown" else chosen(value, kind)


def objects_only(key: Any, field: Any, given: Any, answer: Any = parts._answer) -> Any:  # noqa: SLF001
    return answer(key, field, None if field.get("field_type") in CHOICES and isinstance(given, str) else given)


@trap(
    30,
    patching(parts, "_chosen", all_entries),
    patching(parts, "_chosen", as_bare_text),
    patching(parts, "_answer", objects_only),
)
def choices_have_three_shapes(_: pytest.MonkeyPatch, __: Any) -> None:
    """A radio's answer is bare text, a dropdown's an object, a checklist's a list with entries that nobody ticked."""
    for row, fact in read_answers(*CHOICES):
        assert row["value"] == (", ".join(fact["options"]) or None)
        if isinstance(fact["raw"], dict | list):
            assert [str(one) for one in fact["option_ids"]] == (row["option_ids"] or [])


def associations_as_tags(patch: pytest.MonkeyPatch) -> None:
    table = tables.get("run_tags")
    columns = [replace(one, sources=("id",)) if one.name == "tag_id" else one for one in table.columns]
    patch.setitem(vars(table), "columns", tuple(columns))


@trap(31, associations_as_tags)
def tags_on_runs_are_associations(_: pytest.MonkeyPatch, __: Any) -> None:
    """``id`` is a number of the association's own; the tag is ``tag_id``, and joins."""
    with serving() as sandbox:
        found = tf.load_dataset(EVERYTHING, include=("run_tags", "tags"), settings=settings_for(sandbox))
    assert by_run(found.run_tags, "tag_id") == of_runs(lambda run: [tag.id for tag in run.tags])
    assert found.dangling.filter(column="tag_id").is_empty()


@trap(35, patching(tasks_table, "TASKS", tables.get("run_tasks")))
def hidden_tasks_are_left_out_of_runs(_: pytest.MonkeyPatch, __: Any) -> None:
    """``with=tasks`` lacks the tasks that a rule hides, which ``whole_progress`` counts; the list of tasks has them."""
    with serving() as sandbox:
        listed = tf.load("tasks", EVERYTHING, settings=settings_for(sandbox))
        found = tf.load_dataset(EVERYTHING, include=("run_tasks",), settings=settings_for(sandbox))
    hidden = {one.task.id for one in WORLD.tasks if one.task.hidden}
    assert set(listed.filter(status="auto-skipped")["id"]) == hidden != set()
    assert set(listed.filter(pl.col("run_id").is_not_null())["id"]) - set(found.run_tasks["id"]) == hidden
    counted = found.runs.select("id", "progress_total", "whole_progress_total")
    for tasks, name in ((found.run_tasks, "progress_total"), (listed, "whole_progress_total")):
        counts = {run_id: len(ids) for run_id, ids in by_run(tasks, "id").items()}
        stated = dict(counted.select("id", name).drop_nulls().iter_rows())
        assert stated == {run_id: counts.get(run_id, 0) for run_id in stated}


@trap(
    39,
    patching(masking, "is_secret", lambda _: False),
    patching(masking, "is_secret", lambda key: "webhook" in key),
    reading("secret", lambda value: value if isinstance(value, str) else None),
)
def secrets_stand_in_the_data(_: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Web hooks, guests' links and the addresses of files let anyone in: masked before any text, log or file."""
    world = World(11, 40)
    with serving(world=world) as sandbox:
        manifest = tf.write_snapshot(tmp_path, tables=tuple(tables.TABLES), settings=settings_for(sandbox))
    assert manifest.tables["runs"].rows == len(world.runs)
    codes = "|".join(guest.code for guest in world.guests)
    leaks = [name for name in tables.TABLES
             if re.search(rf"secret-hook|secret-guest|/dl\b|{codes}", tf.read_snapshot(tmp_path, name).collect().write_ndjson())]  # fmt: skip
    assert leaks == []


@trap(
    42,
    reading("only_text", lambda value: READERS["text"](value)[0]),
    reading("only_text", lambda value: value[0] if value else None),
    reading("only_user_id", lambda value: READERS["user_id"](value)[0]),
    reading("class_name", str),
)
def the_activity_feed_wraps_scalars_and_names_php_classes(_: pytest.MonkeyPatch, __: Any) -> None:
    """Scalars come in arrays of one, or bare; what something happened to is a PHP class, with its namespace."""
    names = ("verb", "type", "source", "actor_type", "actor_id", "description", "field", "text",
             "auditable_type", "auditable_id", "parentable_type", "parentable_id")  # fmt: skip
    facts = {}
    for entry in WORLD.activity:
        fact = expected_activity(entry, WORLD.org_id)
        for name in ("auditable_type", "parentable_type"):
            fact[name] = fact[name] and fact[name].removeprefix("App\\Models\\")
        facts[str(entry.id)] = tuple(fact[name] for name in names)
    for quirks in ((), ("activity-scalars",)):
        with serving(quirks=quirks) as sandbox:
            found = tf.load("activity", settings=settings_for(sandbox))
        assert dict(zip(found["id"], found.select(names).iter_rows(), strict=True)) == facts


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


@trap(47, patching(shaping, "flatten", untyped), dies_of=pl.exceptions.PolarsError)
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


@trap(51, patching(shaping, "flatten", narrow))
def numbers_may_be_large(_: pytest.MonkeyPatch, __: Any) -> None:
    """``increment_id`` and user ids fit 64 bits, not 32."""
    world = World(11, 60)
    world.runs[0].increment_id, world.runs[1].owner_id = 2**62, 2**53 + 1
    found = {key: (number, owner) for key, number, owner in load(EVERYTHING, world=world).select("id", "increment_id", "owner_id").iter_rows()}  # fmt: skip
    assert found[world.runs[0].id][0] == 2**62
    assert found[world.runs[1].id][1] == 2**53 + 1
