"""What stands inside runs, and tables read together: equal to the sandbox's facts cell by cell, with keys that hold."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import settings_for
from oracle import actual, answers_of_run, expected_task, expected_template, next_task_of, visible_tasks, without_secrets
from shell import run as shell

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.frames.parts import make
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sandbox.facts import START, Run

Serve = Callable[..., Sandbox]
PARTS = [name for name in tables.TABLES if tables.get(name).part is not None]
EVERY = {"archived": "include"}
pytestmark = pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")


def of_task(world: World, run: Run) -> list[dict[str, Any]]:
    """The visible tasks; lists lack the summary."""
    return [expected_task(one) | {"summary": None} for one in world.tasks_of(run) if not one.task.hidden]


def of_owners(_: World, run: Run) -> list[dict[str, Any]]:
    found = [
        {"task_id": task.id, "kind": kind, "user_id": None, "guest": None, "group_id": None, column: one}
        for task in visible_tasks(run)
        for kind, column, everyone in (
            ("user", "user_id", task.users),
            ("guest", "guest", task.guests),
            ("group", "group_id", task.groups),
        )
        for one in everyone
    ]
    return [{"position": place, **row} for place, row in enumerate(found, start=1)]


def of_tags(_: World, run: Run) -> list[dict[str, Any]]:
    return [{"position": place, "tag_id": tag.id} for place, tag in enumerate(run.tags, start=1)]


def of_next_task(world: World, run: Run) -> list[dict[str, Any]]:
    task = next_task_of(run)
    kept = ("id", "increment_id", "title", "alias", "owner_users", "owner_groups", "owner_guests", "deadline")
    rows = [row for row in of_task(world, run) if task is not None and row["id"] == task.id]
    return [{"position": 1, **{name: row[name] for name in kept}} for row in rows]


def of_checklist(_: World, run: Run) -> list[dict[str, Any]]:
    return [expected_template(run.template)]


def value_of(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as the columns of the table, from what it means."""
    kind, raw = answer["field_type"], answer["raw"]
    row: dict[str, Any] = dict.fromkeys(("value", "value_number", "value_at"))
    row |= {"items": [], "option_ids": [], "users": answer["users"], "guests": answer["guests"], "groups": answer["groups"]}
    stored = kind in {"text", "textarea"} and raw in (0, False) and not isinstance(raw, str | list | dict | None)
    if answer["empty"] and not stored:
        return row
    if not answer["defined"]:  # nothing tells its type: what looks like text is text
        kind = "text" if isinstance(raw, str | int | float) else kind
        answer = {**answer, "text": raw if isinstance(raw, str) else json.dumps(raw)}
    people = [*map(str, answer["users"]), *answer["guests"], *answer["groups"]]
    if kind in {"text", "textarea", "email"}:
        row["value"] = json.dumps(raw) if stored else answer["text"]
        number = (
            raw
            if isinstance(raw, int | float)
            else float(raw)
            if kind == "text" and re.fullmatch(r"\d+(\.\d+)?", raw)
            else None
        )
        row["value_number"] = None if isinstance(number, bool) or number is None or number > 2**53 else float(number)
    elif kind in {"radio", "dropdown", "multiselect"}:
        row |= {"items": answer["options"], "option_ids": [*map(str, answer["option_ids"])]}
        row["value"] = ", ".join(answer["options"]) or None
    elif kind == "date":
        row |= {"value": raw, "value_at": answer["instant"]}
    elif kind in {"file", "assignees_form"}:
        row["items"] = answer["filenames"] or people
        row["value"] = ", ".join(row["items"])
    else:
        cells = raw if not any(isinstance(cell, list | dict) for cell in raw) else []
        row["items"] = ["" if cell is None else str(cell) for cell in cells]
        told = answer["defined"] or not cells
        row["value"] = json.dumps(raw, ensure_ascii=False, separators=(",", ":")) if told else ", ".join(row["items"])
    return row


def of_answers(world: World, run: Run, *, of_tasks: bool) -> list[dict[str, Any]]:
    """Answers whose field was deleted are there, without what the definition would tell, if a form that is shown holds them."""
    rows = []
    for answer in answers_of_run(world, run):
        if (answer["task_id"] is not None) is not of_tasks or (
            not answer["defined"] and (answer["hidden"] or not answer["given"])
        ):
            continue
        known = {name: answer[name] for name in ("field_id", "alias", "label", "field_type", "position", "required")}
        if not answer["defined"]:
            known = dict.fromkeys(known) | {"field_id": answer["field_id"]}
        said = without_secrets(answer["raw"]) if answer["given"] and answer["raw"] not in ("", [], {}) else None
        row = known | value_of(answer) | {"value_json": said}
        rows.append(row | ({"task_id": answer["task_id"], "step_id": answer["step_id"]} if of_tasks else {}))
    return rows


EXPECTED: dict[str, Callable[[World, Run], list[dict[str, Any]]]] = {
    "run_tasks": of_task,
    "task_owners": of_owners,
    "run_tags": of_tags,
    "run_next_task": of_next_task,
    "run_checklist": of_checklist,
    "run_kickoff_values": lambda world, run: of_answers(world, run, of_tasks=False),
    "run_form_values": lambda world, run: of_answers(world, run, of_tasks=True),
}


def rows_of(frame: pl.DataFrame, name: str, columns: set[str]) -> dict[str, list[dict[str, Any]]]:
    """A frame's rows by run, with these columns, in order of the key."""
    lists = [column.name for column in tables.get(name).columns if isinstance(column.dtype, pl.List)]
    found: dict[str, list[dict[str, Any]]] = {}
    for row in actual(frame.with_columns(pl.col(lists).fill_null([])).to_dicts()):
        if "value_json" in row:
            row["value_json"] = None if row["value_json"] is None else json.loads(row["value_json"])
        found.setdefault(row["run_id"], []).append({key: row[key] for key in columns})
    return {run: in_order(rows) for run, rows in found.items()}


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str((row.get("id"), row.get("position"), row.get("task_id"), row.get("field_id"))))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", EXPECTED)
def test_what_stands_inside_runs_is_what_the_world_has(serve: Serve, name: str, seed: int, plain: bool) -> None:
    sandbox = serve(world=World(seed, 50), plain=plain)
    frame = tf.load(name, EVERY, settings=settings_for(sandbox, page_size=20))
    spec, world = tables.get(name), sandbox.world
    assert frame.schema == spec.schema
    wanted = {run.id: in_order(rows) for run in world.runs if (rows := EXPECTED[name](world, run))}
    columns = {key for rows in wanted.values() for row in rows for key in row} & {*spec.schema.names()}
    wanted = {run: [{key: row[key] for key in columns} for row in rows] for run, rows in wanted.items()}
    found = rows_of(frame, name, columns)
    assert found.keys() == wanted.keys()
    for run, rows in wanted.items():
        assert found[run] == rows, run


def test_all_eleven_includes_can_be_had() -> None:
    parts = [tables.get(name).part for name in PARTS]
    assert {word for part in parts if part for word in part.includes} == {
        "checklist", "tasks", "tags", "next_task", "permissions", "tasks_meta", "ko_form_fields", "form_fields", "stages",
        "folders", "assets",
    }  # fmt: skip


@pytest.mark.parametrize("include", ["stages", "folders", "assets", "permissions", "tasks_meta"])
def test_what_is_undocumented_is_kept_as_it_came(serve: Serve, include: str) -> None:
    sandbox = serve(world=World(2, 60))
    frame = tf.load(f"run_{include}", EVERY, settings=settings_for(sandbox))
    assert frame.height
    spec = tables.get(f"run_{include}")
    assert spec.part is not None
    for run in sandbox.world.runs:
        came = sandbox.routes.includes.run(run, [include]).get(include)
        records = [row["json"] for row in make(spec.part, {include: [came]})[0]]
        own = frame.filter(pl.col("run_id") == run.id)
        assert own["position"].to_list() == [*range(1, len(records) + 1)]
        assert [json.loads(text) for text in own["json"]] == without_secrets(records)
        assert bool(records) is (came not in (None, [], {}, {"data": []}, {"data": None}))


@pytest.fixture(scope="module")
def everything() -> Any:
    """Two thousand runs with all that stands inside them and beside them, no two of one instant; and what it took."""
    world = World(1, 2000)
    for number, run in enumerate(world.runs):
        run.created_at = START + timedelta(minutes=number)
    with Sandbox(world) as sandbox:
        settings = settings_for(sandbox)
        plan = tf.plan(["runs", *PARTS], settings=settings)
        sent = len(sandbox.requests)
        dataset = tf.load_dataset(include=[*tables.TABLES], settings=settings)
        yield sandbox, plan, dataset, len(sandbox.requests) - sent


def test_keys_hold_over_two_thousand_runs_with_all_includes(everything: Any) -> None:
    sandbox, _, dataset, _ = everything
    shown = {run.id for run in sandbox.world.runs if run.archived_at is None}
    assert set(dataset.runs["id"]) == shown
    for name in tables.TABLES:
        frame, spec = dataset[name], tables.get(name)
        assert frame.schema == spec.schema
        assert frame.height
        assert frame.select(spec.key).is_unique().all(), name
        if name in PARTS:
            assert set(frame["run_id"]) <= shown, name
    assert set(dataset.task_owners["task_id"]) <= set(dataset.run_tasks["id"])


def test_what_refers_to_something_that_was_not_read_is_counted(everything: Any) -> None:
    sandbox, _, dataset, _ = everything
    found = {(table, column): rows for table, column, _, rows in dataset.dangling.iter_rows()}
    archived = {run.id for run in sandbox.world.runs if run.archived_at is not None}
    assert found["tasks", "run_id"] == sum(one.run is not None and one.run.id in archived for one in sandbox.world.tasks)
    assert ("run_tags", "tag_id") not in found
    assert not [place for place in found if place[1] == "run_id" and place[0] in PARTS]


def test_requests_equal_the_plan(everything: Any) -> None:
    _, plan, dataset, sent = everything
    report = dataset.reports["runs"]
    (planned,) = plan.lists
    assert set(planned.tables) == {"runs", *PARTS}
    assert planned.rows == dataset.runs.height
    assert planned.requests == report.requests
    assert (report.repairs, report.retries) == (0, 0)
    assert sent == sum(one.requests for one in dataset.reports.values())
    assert report.parts == {name: dataset[name].height for name in PARTS}


@pytest.mark.parametrize("name", [name for name in tables.TABLES if name not in PARTS])
@pytest.mark.parametrize("options", [{}, {"page_size": 60}, {"proof": "still"}])
def test_each_list_takes_as_many_requests_as_were_planned(serve: Serve, name: str, options: dict[str, Any]) -> None:
    sandbox, report = serve(world=World(4, 230)), tf.LoadReport()
    settings = settings_for(sandbox, **options)
    (planned,) = tf.plan([name], settings=settings, whole=True).lists
    wanted = dict(tables.get(name).filters.snapshot_defaults)
    frame = tf.load(name, wanted, settings=settings, report=report)
    tied = name in {"runs", "tasks"}  # as many rows share an instant as on the page that was looked at, or so
    assert planned.requests == pytest.approx(report.requests, rel=0.15 if tied else 0, abs=3 if tied else 0)
    assert planned.rows == frame.height


def test_a_plan_says_what_a_read_will_take(serve: Serve) -> None:
    sandbox = serve(world=World(4, 230), latency_ms=20)
    tf.load("run_tasks", settings=settings_for(sandbox))  # it makes its world when it is asked first
    sent = len(sandbox.requests)
    plan = tf.plan(["runs", "run_tasks", "users"], settings=settings_for(sandbox, in_flight_max=1))
    assert plan.asked == len(sandbox.requests) - sent == 2
    assert plan.seconds > 0.02 * plan.requests, "one after the other"
    text = str(plan)
    assert re.search(r"requests +\d+ rows  runs, run_tasks\n", text)
    assert f"{plan.requests} requests in all" in text
    began = time.monotonic()
    tf.load_dataset(include=["run_tasks", "users"], settings=settings_for(sandbox, in_flight_max=1))
    assert 0.5 < (time.monotonic() - began) / plan.seconds < 4
    slow = tf.plan(["users"], settings=settings_for(sandbox, max_requests_per_minute=1))
    assert slow.seconds == 120
    assert "at most 1 a minute" in str(slow)


def test_the_command_line_plans_and_sends_nothing_else(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(4, 230))
    done = shell(
        "snapshot", str(tmp_path / "lake"), "--table", "runs", "--table", "run_tasks", "--plan", env=sandbox.environment
    )
    assert done.returncode == 0, done.stderr
    assert "requests in all" in done.stdout
    assert len(sandbox.requests) == 2
    assert not (tmp_path / "lake").exists()


def test_filters_limit_and_created_since_choose_the_runs(serve: Serve) -> None:
    sandbox = serve(world=World(6, 120))
    settings, world = settings_for(sandbox), sandbox.world
    active = [run for run in world.runs if run.status == "active" and run.archived_at is None]
    tasks = tf.load("run_tasks", {"status": "active"}, settings=settings)
    assert set(tasks["run_id"]) == {run.id for run in active if visible_tasks(run)}
    newest = [run for run in world.runs if run.archived_at is None][-10:]
    assert set(tf.load("run_tasks", limit=10, settings=settings)["run_id"]) == {run.id for run in newest if visible_tasks(run)}
    since = newest[0].created_at
    assert set(tf.load("run_tasks", created_since=since, settings=settings)["run_id"]) >= {
        run.id for run in newest if visible_tasks(run)
    }
    with pytest.raises(tf.FilterError, match="an order of runs"):
        tf.load("run_tasks", {"sort": "name"}, settings=settings)
    frames = [*tf.iter("run_tasks", settings=settings)]
    assert sum(frame.height for frame in frames) == sum(
        len(visible_tasks(run)) for run in world.runs if run.archived_at is None
    )


def test_a_run_that_is_set_aside_takes_what_stands_inside_it_along(serve: Serve) -> None:
    world = World(6, 40)
    wrong = next(run for run in world.runs if run.archived_at is None and visible_tasks(run))
    sandbox = serve(world=world)
    plain = sandbox.routes.wire.bare_run
    sandbox.routes.wire.bare_run = lambda run: plain(run) | ({"increment_id": "no number"} if run is wrong else {})  # type: ignore[method-assign]
    settings = settings_for(sandbox)
    with pytest.raises(tf.ContractError, match=f"{wrong.id}.increment_id"):
        tf.load_dataset(include=["run_tasks"], settings=settings)
    dataset = tf.load_dataset(include=["run_tasks"], settings=settings, on_invalid="quarantine")
    assert wrong.id not in set(dataset.runs["id"]) | set(dataset.run_tasks["run_id"])
    quarantined = dataset.reports["runs"].quarantined
    assert quarantined is not None
    assert quarantined.select("table", "id").rows() == [("runs", wrong.id)]
    assert visible_tasks(wrong)[0].id in quarantined["row"][0]
    assert wrong.id in set(tf.load("run_tasks", settings=settings)["run_id"]), "runs themselves are not wanted there"


def test_tables_made_of_one_list_are_read_with_it_once(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(6, 150))
    manifest = tf.write_snapshot(tmp_path, tables=["runs", "run_tasks", "run_tags", "users"], settings=settings_for(sandbox))
    asked = [entry.query.get("with") for entry in sandbox.requests if entry.path.endswith("/runs")]
    assert set(asked) == {"tasks,tags"}
    assert len(asked) == manifest.tables["runs"].report["requests"]
    tasks = tf.read_snapshot(tmp_path, "run_tasks").collect()
    assert set(tasks["id"]) == {task.id for run in sandbox.world.runs for task in visible_tasks(run)}
    assert manifest.tables["run_tags"].key == ("run_id", "position")
    assert {name: entry.rows for name, entry in manifest.tables.items()} == {
        name: tf.read_snapshot(tmp_path, name).collect().height for name in manifest.tables
    }


def test_where_the_list_does_not_tell_answers_the_tasks_do(serve: Serve) -> None:
    world = World(3, 50)
    told, untold = serve(world=world), serve(world=world, quirks=["form-values-ignored"])
    frames = [tf.load("run_form_values", settings=settings_for(sandbox)) for sandbox in (told, untold)]
    hidden = [task.id for run in world.runs for task in run.tasks if task.hidden]
    seen = [frame.filter(~pl.col("task_id").is_in(hidden)).select("run_id", "task_id", "field_id", "value") for frame in frames]
    assert seen[0].equals(seen[1])
    assert seen[0]["value"].drop_nulls().len()


def test_tasks_that_the_api_cuts_off_are_told_of(serve: Serve) -> None:
    sandbox = serve(world=World(3, 50), quirks=["include-tasks-10"])
    for name in ("run_tasks", "task_owners", "run_form_values"):
        report = tf.LoadReport()
        with pytest.warns(tf.TallyfyFramesWarning, match=r"\d+ runs state more tasks than came with them"):
            tf.load(name, settings=settings_for(sandbox), report=report)
        assert report.rows_cut_off["tasks"] > 0


def test_a_dataset_is_a_mapping_with_attributes(serve: Serve) -> None:
    sandbox = serve(world=World(6, 10))
    dataset = tf.load_dataset(include=["users", "run_tags"], settings=settings_for(sandbox))
    assert [*dataset] == ["runs", "users", "run_tags"]
    assert len(dataset) == 3
    assert dataset["users"] is dataset.users
    assert "users" in dir(dataset)
    assert "tags" not in dataset
    assert str(dataset).splitlines()[1] == "users: 23 rows"
    with pytest.raises(tf.UsageError, match="it has runs, users, run_tags"):
        dataset["tags"]
    with pytest.raises(AttributeError, match="it has runs, users, run_tags"):
        _ = dataset.tags
    with pytest.raises(tf.UsageError, match="a list of tables"):
        tf.load_dataset(include="users", settings=settings_for(sandbox))


def test_zero_runs_have_every_table_with_its_columns(serve: Serve) -> None:
    dataset = tf.load_dataset({"q": "no such name"}, include=PARTS, settings=settings_for(serve(world=World(6, 10))))
    assert {name: dict(frame.schema) for name, frame in dataset.items()} == {
        name: dict(tables.get(name).schema) for name in ("runs", *PARTS)
    }
    assert not any(frame.height for frame in dataset.values())


def test_limit_and_created_since_choose_runs_and_other_tables_come_whole(serve: Serve) -> None:
    sandbox = serve(world=World(6, 120))
    settings, world = settings_for(sandbox), sandbox.world
    newest = [run for run in world.runs if run.archived_at is None][-20:]
    data = tf.load_dataset(limit=20, include=["run_tasks", "users"], settings=settings)
    assert set(data.runs["id"]) == {run.id for run in newest}
    assert set(data.run_tasks["id"]) == {task.id for run in newest for task in visible_tasks(run)}
    assert data.users.height == len(world.users)
    since = tf.load_dataset(created_since=newest[0].created_at, include=["run_tasks"], settings=settings)
    assert set(since.runs["id"]) >= {run.id for run in newest}
    with pytest.raises(tf.UsageError, match="limit must be a whole number"):
        tf.load_dataset(limit=0, settings=settings)
    with pytest.raises(tf.FilterError, match="read together oldest first"):
        tf.load_dataset({"sort": "name"}, settings=settings)


def test_what_stands_inside_runs_comes_in_order_of_run_and_place(serve: Serve) -> None:
    settings = settings_for(serve(world=World(6, 60)))
    for name in PARTS:
        frame, spec = tf.load(name, settings=settings), tables.get(name)
        ranks = spec.rank or spec.key
        assert ranks[0] == "run_id"
        assert frame.equals(frame.sort(ranks, nulls_last=True)), name


def test_what_refers_in_a_list_is_looked_at_item_by_item(serve: Serve) -> None:
    world = World(6, 60)
    assert world.runs
    gone = world.users.pop()
    sandbox = serve(world=world)
    data = tf.load_dataset(include=["users"], settings=settings_for(sandbox))
    rows = {column: rows for table, column, _, rows in data.dangling.iter_rows() if table == "runs"}
    shown = [run for run in world.runs if run.archived_at is None]
    assert rows.get("collaborators", 0) == sum(gone.id in run.collaborators for run in shown) > 0


@pytest.mark.parametrize("filters", [EVERY, {"status": ["active", "complete"]}, {}])
@pytest.mark.parametrize("limit", [10, 60])
def test_the_first_rows_of_several_lists_bring_what_is_inside_them_and_no_other(
    serve: Serve, filters: dict[str, Any], limit: int
) -> None:
    settings = settings_for(serve(world=World(3, 300)))
    runs = tf.load_runs(filters, limit=limit, settings=settings)
    tasks = tf.load("run_tasks", filters, limit=limit, settings=settings)
    every = tf.load("run_tasks", filters, settings=settings)
    assert runs.height == limit
    assert set(tasks["id"]) == set(every.join(runs, left_on="run_id", right_on="id", how="semi")["id"])


def test_what_belongs_to_a_task_that_is_set_aside_goes_with_it_whatever_the_order_of_tables(
    serve: Serve, tmp_path: Path
) -> None:
    world = World(6, 40)
    wrong = next(task for run in world.runs if run.archived_at is None for task in visible_tasks(run) if task.users)
    sandbox = serve(world=world, plain=True)
    body = sandbox.routes.includes.run

    def spoilt(run: Run, names: Any = (), **options: Any) -> dict[str, Any]:
        shown = body(run, names, **options)
        tasks = [
            task | ({"increment_id": "none"} if task["id"] == wrong.id else {})
            for task in shown.get("tasks", {}).get("data", [])
        ]
        return shown | {"tasks": {"data": tasks}}

    sandbox.routes.includes.run = spoilt  # type: ignore[method-assign]
    for include in (["run_tasks", "task_owners"], ["task_owners", "run_tasks"]):
        data = tf.load_dataset(include=include, settings=settings_for(sandbox), on_invalid="quarantine")
        assert wrong.id not in {*data.run_tasks["id"], *data.task_owners["task_id"]}
        assert data.reports["runs"].rows == data.runs.height
    manifest = tf.write_snapshot(
        tmp_path, tables=["task_owners", "run_tasks", "runs"], settings=settings_for(sandbox), on_invalid="quarantine"
    )
    assert wrong.id not in set(tf.read_snapshot(tmp_path, "task_owners").collect()["task_id"])
    assert {name for name, entry in manifest.tables.items() if entry.quarantined} == {"run_tasks"}


def test_steps_of_templates_that_cannot_be_read_are_not_left_out_in_silence(serve: Serve) -> None:
    sandbox = serve(world=World(3, 10), faults=["no-id@1x2"])
    with pytest.raises(tf.TallyfyFramesError, match=r"templates cannot be read|came back|contract"):
        tf.load("template_steps", settings=settings_for(sandbox))


def test_what_an_api_does_not_state_is_planned_as_the_least_it_can_be_and_said_to_be(serve: Serve) -> None:
    sandbox = serve(world=World(3, 250), quirks=["no-total"])
    plan = tf.plan(settings=settings_for(sandbox, page_size=10))
    assert plan.lists[0].rows is None
    assert "at least" in str(plan)
    assert "? rows" in str(plan)


def test_a_plan_made_under_limits_counts_no_refusal(serve: Serve) -> None:
    world = World(3, 20)
    free, limited = (
        tf.plan(["template_steps"], settings=settings_for(serve(world=world, limits=limits))) for limits in ((), ("3/0.2",))
    )
    assert limited.requests == free.requests
    assert limited.throttled


def test_includes_that_the_api_cuts_off_leave_references_dangling_and_break_nothing(serve: Serve) -> None:
    sandbox = serve(world=World(3, 150), quirks=["include-tasks-10"])
    data = tf.load_dataset(EVERY, include=("run_next_task", "run_tasks", "task_owners"), settings=settings_for(sandbox))
    assert ("run_next_task", "id") in [row[:2] for row in data.dangling.iter_rows()]
