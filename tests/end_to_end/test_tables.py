"""Every table but runs, loaded from the sandbox: equal to its facts, cell by cell, whatever shapes they come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from conftest import settings_for
from oracle import (
    actual,
    expected_activity,
    expected_folder,
    expected_group,
    expected_guest,
    expected_step,
    expected_tag,
    expected_task,
    expected_template,
)

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sandbox.world import NOW
from tallyfy_frames.tables.activity import ActivityFilters

Serve = Callable[..., Sandbox]
DAY = datetime(2030, 7, 1, tzinfo=UTC)
# By table: what it must hold of a world, and each record as its row.
EXPECTED: dict[str, tuple[Callable[[World], Sequence[Any]], Callable[[Any], dict[str, Any]]]] = {
    "tags": (lambda world: [*world.tags, *world.auto_tags], expected_tag),
    "groups": (lambda world: world.groups, expected_group),
    "folders": (lambda world: [*world.folders, *world.template_folders], expected_folder),
    "guests": (lambda world: world.guests, expected_guest),
    "templates": (lambda world: world.templates, expected_template),
    "tasks": (lambda world: world.tasks, expected_task),
    "template_steps": (
        lambda world: [step for one in world.templates if not one.archived_at for step in one.steps],
        expected_step,
    ),
    "activity": (lambda world: world.activity, lambda entry: plain_activity(expected_activity(entry, ""))),
}


def plain_activity(row: dict[str, Any]) -> dict[str, Any]:
    """As the table has it: classes by their own names, whoever did it as JSON; what is not told of things is their titles."""
    person = {"full_name": row.pop("actor_full_name"), "email": row.pop("actor_email"), "profile_pic": "***"}
    del row["organization_id"], row["undoable"]
    return row | {
        "id": str(row["id"]),
        "actor": [person] if person["email"] else [],
        "actor_emails": [person["email"]] if person["email"] else [],
        **{name: row[name] and row[name].rpartition("\\")[2] for name in ("auditable_type", "parentable_type")},
    }


ALL: dict[str, dict[str, Any]] = {
    "templates": {"archived": "include"},
    "tasks": {"archived": "include"},
}  # the filters that leave nothing out


def rows_of(world: World, name: str) -> list[dict[str, Any]]:
    """What a table must hold: its data columns; those that the sandbox knows nothing of are null."""
    records, expected = EXPECTED[name]
    nothing: dict[str, Any] = {
        column.name: [] if str(column.dtype).startswith("List") else None
        for column in tables.get(name).columns
        if column.kind == "data"
    }
    rows = (nothing | expected(record) for record in records(world))
    return sorted(({key: row[key] for key in nothing} for row in rows), key=lambda row: row["id"])


def held(frame: pl.DataFrame, name: str) -> list[dict[str, Any]]:
    """A frame's data columns, in the order of ids. That nobody owns a task may be told by an empty list, or by nothing."""
    rows = actual(frame.select(tables.get(name).names("data")).sort("id").to_dicts())
    if name == "activity":  # only titles, which the world's entries have elsewhere
        rows = [row | dict.fromkeys(("audit", "parent")) for row in rows]
    return [{key: [] if value is None and key.startswith("owner_") and name == "tasks" else value
             for key, value in row.items()} for row in rows]  # fmt: skip


@pytest.mark.parametrize("page_size", [3, 100])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", EXPECTED)
def test_a_table_holds_every_record_of_the_world(serve: Serve, name: str, seed: int, page_size: int) -> None:
    sandbox = serve(world=World(seed, 40))
    frame = tf.load(name, ALL.get(name), settings=settings_for(sandbox, page_size=page_size))
    assert frame.schema == tables.get(name).schema
    assert held(frame, name) == rows_of(sandbox.world, name)


@pytest.mark.parametrize("name", EXPECTED)
def test_documented_shapes_give_the_same(serve: Serve, name: str) -> None:
    sandbox = serve(world=World(2, 40), plain=True)
    frame = tf.load(name, ALL.get(name), settings=settings_for(sandbox))
    assert held(frame, name) == rows_of(sandbox.world, name)


def test_tags_that_tallyfy_made_come_too_unless_they_are_left_out(serve: Serve) -> None:
    sandbox = serve(world=World(1, 10))
    settings, world = settings_for(sandbox), sandbox.world
    assert set(tf.load("tags", settings=settings)["title"]) == {tag.title for tag in (*world.tags, *world.auto_tags)}
    assert set(tf.load("tags", {"all": False}, settings=settings)["id"]) == {tag.id for tag in world.tags}
    assert set(tf.load("tags", {"auto_generated": True}, settings=settings)["id"]) == {tag.id for tag in world.auto_tags}
    assert tf.load("tags", {"q": "vip"}, settings=settings)["title"].to_list() == ["vip"]


def test_folders_of_both_kinds_come_unless_one_is_named(serve: Serve) -> None:
    sandbox = serve(world=World(1, 10))
    settings, world = settings_for(sandbox), sandbox.world
    assert set(tf.load("folders", {"folder_type": "run"}, settings=settings)["id"]) == {folder.id for folder in world.folders}
    assert tf.load("folders", {"folder_type": "checklist"}, settings=settings).height == len(world.template_folders)
    with pytest.raises(tf.FilterError, match="use 'checklist' or 'run'"):
        tf.load("folders", {"folder_type": "template"}, settings=settings)


def test_a_guests_way_in_is_masked_wherever_it_is_written(serve: Serve) -> None:
    sandbox = serve(world=World(1, 10))
    frame = tf.load("guests", settings=settings_for(sandbox))
    assert set(frame["link"]) == {"***"}
    assert not any(guest.code in frame.write_ndjson() for guest in sandbox.world.guests)


TASK_FILTERS: dict[str, tuple[dict[str, Any], Callable[[Any], bool]]] = {
    "status": ({"status": "overdue"}, lambda one: one.open and one.task.deadline is not None and one.task.deadline < NOW),
    "complete": ({"status": "complete"}, lambda one: one.task.status == "completed"),
    "owners": ({"owners": [5120, "5121"]}, lambda one: bool({5120, 5121} & {*one.task.users})),
    "guests": ({"guests": "pat+1@example.net"}, lambda one: "pat+1@example.net" in one.task.guests),
    "tag": ({"tag": "vip"}, lambda one: one.run is not None and "vip" in [tag.title for tag in one.run.tags]),
    "unassigned": ({"unassigned": True}, lambda one: not one.task.users and not one.task.groups and not one.task.guests),
    "deadline_before": (
        {"deadline_before": "2030-07-01"},
        lambda one: one.task.deadline is not None and one.task.deadline < DAY,
    ),
    "deadline_after": (
        {"deadline_after": "2030-07-01"},
        lambda one: one.task.deadline is not None and one.task.deadline >= DAY + timedelta(days=1),
    ),
    "created": (
        {"created": "2030-05-01:2030-05-03"},
        lambda one: one.created_at.strftime("%m-%d") in ("05-01", "05-02", "05-03"),
    ),
    "is_oneoff": ({"is_oneoff": True}, lambda one: one.run is None),
    "not is_oneoff": ({"is_oneoff": False}, lambda one: one.run is not None),
    "archived": ({"archived": "only"}, lambda one: one.run is not None and one.run.archived_at is not None),
}


@pytest.mark.parametrize("name", TASK_FILTERS)
def test_task_filters_select_what_they_say(serve: Serve, name: str) -> None:
    sandbox = serve(world=World(5, 80))
    filters, selects = TASK_FILTERS[name]
    shown = [one for one in sandbox.world.tasks if "archived" in filters or one.run is None or one.run.archived_at is None]
    wanted = {one.task.id for one in shown if selects(one)}
    assert wanted, "this world has none"
    assert set(tf.load("tasks", filters, settings=settings_for(sandbox))["id"]) == wanted


def test_tasks_are_read_in_order_of_creation_and_so_need_no_second_reading(serve: Serve) -> None:
    sandbox, report = serve(world=World(5, 200)), tf.LoadReport()
    frame = tf.load("tasks", settings=settings_for(sandbox), report=report)
    assert report.proof == "seen"
    assert frame["created_at"].is_sorted()
    newest = tf.load("tasks", limit=5, settings=settings_for(sandbox))
    assert newest["created_at"].to_list() == frame["created_at"].sort(descending=True).head(5).to_list()
    moment = newest["created_at"].min()
    since = tf.load("tasks", created_since=moment, settings=settings_for(sandbox))
    assert since.height == frame.filter(pl.col("created_at") >= moment).height >= 5


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"status": "completed"}, "use 'complete'"),
        ({"archived": "true"}, "use 'only' or 'include'"),
        ({"deadline_on": "tomorrow"}, "must be a day"),
        ({"created": "2031-01-01:"}, "FIRST:LAST"),
        ({"custom_field_key": "cost"}, "go together"),
        ({"owners": ["Pat"]}, "owners must be user ids"),
    ],
)
def test_task_filters_that_the_api_would_ignore_are_refused(filters: dict[str, Any], says: str) -> None:
    with pytest.raises(tf.FilterError, match=says):
        tf.load("tasks", filters, settings=tf.Settings(token="tok-0123", org_id="0f"))


@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_a_status_of_tasks_that_the_api_ignores_is_an_error_not_a_bigger_table(serve: Serve) -> None:
    settings = settings_for(serve(world=World(5, 40)))
    with pytest.raises(tf.FilterError, match="ignored status='delayed'"):
        tf.load("tasks", {"status": "delayed"}, settings=settings)


ACTIVITY_FILTERS: dict[str, tuple[dict[str, Any], Callable[[Any], bool]]] = {
    "verb": ({"verb": "completed"}, lambda one: one.verb == "completed"),
    "actor_id": ({"actor_id": 5120}, lambda one: one.actor_id == 5120),
    "actor_email": ({"actor_email": "member3+tag@example.net"}, lambda one: one.actor_email == "member3+tag@example.net"),
    "entity": ({"entity_type": "Guest", "entity_id": "8803"}, lambda one: (one.subject_class, one.subject_id) == ("Guest", "8803")),
    "source": ({"source": "rules"}, lambda one: one.source == "rules"),
    "field": ({"field": "name"}, lambda one: one.field == "name"),
    "search": ({"search": "Vendor check"}, lambda one: "vendor check" in f"{one.description} {one.text}".lower()),
    "after": ({"created_after": "2030-05-01"}, lambda one: one.created_at >= datetime(2030, 5, 1, tzinfo=UTC)),
    "before": ({"created_before": "2030-05-01"}, lambda one: one.created_at < datetime(2030, 5, 2, tzinfo=UTC)),
    "a day": (
        {"created_after": "2030-04-28", "created_before": "2030-04-28"},
        lambda one: f"{one.created_at:%Y-%m-%d}" == "2030-04-28",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVITY_FILTERS)
def test_the_feed_is_filtered_by_the_api(serve: Serve, name: str) -> None:
    sandbox = serve(world=World(5, 60))
    filters, selects = ACTIVITY_FILTERS[name]
    wanted = {str(one.id) for one in sandbox.world.activity if selects(one)}
    assert wanted, "this world has none"
    assert set(tf.load("activity", filters, settings=settings_for(sandbox))["id"]) == wanted


def test_the_window_of_days_is_cut_where_days_are_over_in_every_time_zone() -> None:
    now = datetime.now(UTC)
    over, opened = f"{now - timedelta(days=2):%Y-%m-%d}", f"{now - timedelta(days=1):%Y-%m-%d}"

    def windows(**days: str) -> list[tuple[Any, Any]]:
        return [
            (one.params.get("created_after"), one.params.get("created_before")) for one in ActivityFilters(**days).listings()
        ]

    assert windows() == [(None, over), (over, None)], "the day between is in both, lest it be in neither"
    assert windows(created_after="2020-01-01") == [("2020-01-01", over), (over, None)]
    assert windows(created_before=over) == [(None, over)]
    assert windows(created_after=over) == [(over, None)]
    assert windows(created_after=opened) == [(opened, None)]
    assert windows(created_after="2020-01-01", created_before=opened) == [("2020-01-01", over), (over, opened)]


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"created_after": "yesterday"}, "must be a day"),
        ({"created_before": "2031-02-30"}, "must be a day"),
        ({"created_after": "2031-02-03", "created_before": "2031-02-02"}, "is later than"),
        ({"actor_id": "Pat"}, "actor_id must be user ids"),
    ],
)
def test_filters_of_the_feed_that_would_choose_nothing_are_refused(filters: dict[str, Any], says: str) -> None:
    with pytest.raises(tf.FilterError, match=says):
        tf.load("activity", filters, settings=tf.Settings(token="tok-0123", org_id="0f"))


def test_steps_of_templates_that_list_none_any_more_are_told_of(serve: Serve) -> None:
    sandbox, report = serve(world=World(5, 10)), tf.LoadReport()
    settings = settings_for(sandbox)
    archived = [one for one in sandbox.world.templates if one.archived_at is not None]
    with pytest.warns(tf.TallyfyFramesWarning, match=rf"no list for {len(archived)} of the templates.*{archived[0].id}"):
        frame = tf.load("template_steps", {"archived": "include"}, settings=settings, report=report)
    assert report.lists_gone == len(archived)
    assert frame.height == sum(len(one.steps) for one in sandbox.world.templates if one.archived_at is None)
    with pytest.raises(tf.NotFound, match="no such row in templates, or it is archived"):
        tf.load("template_steps", {"checklist_id": archived[0].id}, settings=settings)
    named = [one.id for one in sandbox.world.templates[:2]]
    some = tf.load("template_steps", {"checklist_id": named}, settings=settings)
    assert set(some["checklist_id"]) <= {*named}
    assert some.height == sum(len(one.steps) for one in sandbox.world.templates[:2])


def test_a_template_of_many_steps_is_read_to_its_end_ten_at_a_time(serve: Serve) -> None:
    sandbox = serve(world=World(5, 10))
    longest = max(sandbox.world.templates, key=lambda one: len(one.steps))
    assert len(longest.steps) > 20
    steps = tf.load("template_steps", {"checklist_id": longest.id}, settings=settings_for(sandbox))
    assert steps.sort("position")["id"].to_list() == [step.id for step in longest.steps]
    assert steps["pagination_per_page"].unique().to_list() == [10]
