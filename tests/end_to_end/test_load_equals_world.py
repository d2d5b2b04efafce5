"""Whatever is asked, at whatever page size: the frame equals the facts, cell by cell."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest
from conftest import settings_for
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from oracle import FILTERS, STATUS, actual, expected_run, expected_user, matching

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.sandbox import Sandbox, World

SEEDS = range(4)
SIZES = (0, 1, 7, 49, 121)


@cache
def running(seed: int, runs: int, quirks: tuple[str, ...] = ()) -> Sandbox:
    """One server per world; they stop with the process."""
    return Sandbox(World(seed, runs), quirks=quirks).__enter__()


def assert_loads(sandbox: Sandbox, filters: dict[str, Any], page_size: int) -> None:
    report = tf.LoadReport()
    frame = tf.load_runs(filters, settings=settings_for(sandbox, page_size=page_size), report=report)
    assert frame.schema == tables.get("runs").schema
    wanted = [expected_run(run) for run in matching(sandbox.world, filters)]
    data = tables.get("runs").names("data")
    got = actual(frame.select(data).to_dicts())
    assert {row["id"] for row in got} == {row["id"] for row in wanted}
    assert frame.height == len(wanted)
    by_id = {row["id"]: row for row in wanted}
    for row in got:
        assert row == by_id[row["id"]]
    assert report.complete
    assert report.rows == len(wanted)


@st.composite
def filters_for(draw: st.DrawFn, world: World) -> dict[str, Any]:
    ids = {
        "owners": [user.id for user in world.users],
        "tag_ids": [tag.id for tag in world.tags],
        "groups": [group.id for group in world.groups],
    }
    one = {
        "q": st.sampled_from(["check", "a", "+", "ß", "&", "=1+1", "%20", "no such name"]),
        "status": st.one_of(
            st.sampled_from(sorted(STATUS)), st.lists(st.sampled_from(sorted(STATUS)), min_size=1, max_size=3, unique=True)
        ),
        **{name: st.lists(st.sampled_from(found), min_size=1, max_size=3, unique=True) for name, found in ids.items()},
        "checklist_id": st.sampled_from([template.id for template in world.templates]),
        "folder": st.sampled_from([folder.id for folder in world.folders]),
        "tag": st.sampled_from([tag.id for tag in world.tags]),
        "untagged": st.just(True),
        "starred": st.booleans(),
        "type": st.sampled_from(["procedure", "form", "document"]),
        "archived": st.sampled_from(["only", "include"]),
        "task_status": st.sampled_from(["all", "in-progress", "completed"]),
        "form_fields_values": st.just(True),
        "me": st.just(True),
        "sort": st.sampled_from(["created_at", "-created_at", "name", "-name"]),
    }
    names = draw(st.lists(st.sampled_from(sorted(one)), max_size=3, unique=True))
    return {name: draw(one[name]) for name in names}


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(SEEDS), st.sampled_from(SIZES), st.sampled_from([1, 7, 100]))
def test_any_filters_at_any_page_size_give_the_facts(data: st.DataObject, seed: int, runs: int, page_size: int) -> None:
    sandbox = running(seed, runs)
    assert_loads(sandbox, data.draw(filters_for(sandbox.world)), page_size)


def every_parameter(world: World) -> dict[str, list[Any]]:
    return {
        "q": ["check", "a+b c", "=1+1"],
        "status": [*STATUS, ["active", "complete"], "active,issue"],
        "owners": [[world.users[3].id], [world.users[1].id, world.users[2].id]],
        "checklist_id": [world.templates[0].id],
        "folder": [world.folders[0].id],
        "tag": [world.tags[0].id],
        "tag_ids": [[world.tags[0].id, world.tags[1].id]],
        "untagged": [True],
        "starred": [True, False],
        "type": ["procedure", "form", "document"],
        "groups": [[world.groups[0].id]],
        "archived": ["only", "include"],
        "task_status": ["all", "in-progress", "completed"],
        "form_fields_values": [True],
        "me": [True],
        "sort": ["created_at", "-created_at", "name", "-name"],
    }


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("page_size", [7, 100])
def test_every_parameter_alone(name: str, page_size: int) -> None:
    sandbox = running(1, 121)
    for value in every_parameter(sandbox.world)[name]:
        filters = {name: value}
        wanted = {name: value.split(",")} if value == "active,issue" else filters
        frame = tf.load_runs(filters, settings=settings_for(sandbox, page_size=page_size))
        assert sorted(frame["id"]) == sorted(run.id for run in matching(sandbox.world, wanted)), value
        assert frame.height or name in {"status", "q"}, "a filter that selects nothing shows nothing"


def test_every_parameter_is_covered_here() -> None:
    documented = {field.name for field in dataclasses.fields(tf.RunFilters)}
    assert documented == set(FILTERS) == set(every_parameter(World(1, 1)))


READINGS = [
    ("lists-and", {"owners": "two"}, lambda world, run: {world.users[1].id, world.users[2].id} <= _owners(run)),
    ("tag-csv", {"tag": "one"}, lambda world, run: world.tags[0] in run.tags),
    ("folder-numeric", {"folder": "70"}, lambda _, run: run.folder is not None and run.folder.number == 70),
    ("untagged-any", {"untagged": True}, lambda _, run: not run.tags),
    ("status-active-open", {"status": "active"}, lambda _, run: run.completed_at is None),
    ("status-unknown-empty", {"status": "nosuchword"}, lambda *_: False),
    ("archived-true-only", {"archived": "include"}, lambda *_: True),
    ("status-archived-ignored", {"archived": "only"}, lambda _, run: run.archived_at is not None),
    ("without-pagination-ignored", {}, lambda *_: True),
    ("progress-number", {}, lambda *_: True),
    ("sort-ignored", {}, lambda *_: True),
    ("sort-minus-ignored", {}, lambda *_: True),
    ("page-size-fixed", {}, lambda *_: True),
    ("per-page-422", {}, lambda *_: True),
    ("past-end-404", {}, lambda *_: True),
    ("total-low", {}, lambda *_: True),
    ("total-high", {}, lambda *_: True),
    ("per-page-50", {}, lambda *_: True),
    ("per-page-50-unsaid", {}, lambda *_: True),
    ("ties-shuffle", {}, lambda *_: True),
    ("no-total", {}, lambda *_: True),
    ("no-total-pages", {}, lambda *_: True),
    ("total-pages-default", {}, lambda *_: True),
    ("no-meta", {}, lambda *_: True),
    ("bare-list", {}, lambda *_: True),
    ("text-numbers", {}, lambda *_: True),
    ("me-forbidden", {}, lambda *_: True),
    ("links-missing", {}, lambda *_: True),
]


def _owners(run: Any) -> set[int | None]:
    return {run.owner_id, *(user for task in run.tasks for user in task.users)}


@pytest.mark.parametrize(("quirk", "filters", "selects"), READINGS, ids=[reading[0] for reading in READINGS])
def test_where_sources_disagree_either_reading_is_read_right(quirk: str, filters: dict[str, Any], selects: Any) -> None:
    sandbox = running(1, 121, (quirk,))
    world = sandbox.world
    filled = {
        name: {"two": [world.users[1].id, world.users[2].id], "one": world.tags[0].id}.get(str(value), value)
        for name, value in filters.items()
    }
    hidden = "archived" not in filters
    wanted = {run.id for run in world.runs if selects(world, run) and not (hidden and run.archived_at)}
    frame = tf.load_runs(filled, settings=settings_for(sandbox, page_size=10))
    assert set(frame["id"]) == wanted
    assert frame.height == len(wanted)


@pytest.mark.parametrize("quirks", [("page-ignored",), ("sort-ignored", "total-low"), ("sort-ignored", "total-high")])
def test_an_api_that_cannot_be_read_completely_is_an_error(quirks: tuple[str, ...]) -> None:
    with pytest.raises((tf.IncompleteRead, tf.PaginationError)):
        tf.load_runs(settings=settings_for(running(1, 121, quirks), page_size=10))


def test_a_reading_that_ignores_a_filter_is_an_error_not_a_bigger_table() -> None:
    sandbox = running(1, 121, ("starred-false-ignored",))
    with pytest.raises(tf.FilterError, match="the API ignored starred=False"):
        tf.load_runs({"starred": False}, settings=settings_for(sandbox))
    for archived in ("only", "include"):
        with pytest.raises(tf.FilterError, match="the API ignored archived='only'"):
            tf.load_runs({"archived": archived}, settings=settings_for(running(1, 121, ("archived-ignored",))))
    with pytest.raises(tf.PaginationError, match="did not honour sort=name"):
        tf.load_runs({"sort": "name"}, limit=5, settings=settings_for(running(1, 121, ("sort-ignored",))))
    with pytest.raises(tf.FilterError, match="the API ignored status='nosuchword'"):
        tf.load_runs({"status": "nosuchword"}, settings=settings_for(running(1, 121)))


def test_progress_as_a_bare_number_is_the_percent_alone() -> None:
    frame = tf.load_runs(settings=settings_for(running(1, 121, ("progress-number",))))
    world = running(1, 121).world
    percents = {run.id: run.progress.percent for run in world.runs if run.progress and run.archived_at is None}
    got = dict(frame.filter(frame["progress_percent"].is_not_null()).select("id", "progress_percent").iter_rows())
    assert got.keys() == percents.keys()
    assert all(int(percents[key]) <= got[key] <= percents[key] for key in got)
    assert frame["progress_complete"].null_count() == frame.height


@pytest.mark.parametrize("page_size", [1, 7, 100])
def test_users_equal_the_facts(page_size: int) -> None:
    sandbox = running(2, 7)
    frame = tf.load("users", settings=settings_for(sandbox, page_size=page_size))
    wanted = [expected_user(user) for user in sandbox.world.users]
    assert frame.schema == tables.get("users").schema
    assert frame.select(list(wanted[0])).to_dicts() == sorted(wanted, key=lambda row: row["id"])


def test_rows_are_ordered_whatever_the_page_size() -> None:
    sandbox = running(1, 121)
    frames = [tf.load_runs(settings=settings_for(sandbox, page_size=size)).drop("loaded_at") for size in (1, 7, 100)]
    data = tables.get("runs").names("data")
    assert frames[0].select(data).equals(frames[1].select(data))
    assert frames[1].select(data).equals(frames[2].select(data))
    assert frames[0].equals(frames[0].sort("created_at", "id", maintain_order=True))
    by_name = tf.load_runs({"sort": "-name"}, settings=settings_for(sandbox))
    assert by_name["name"].to_list() == sorted(by_name["name"].to_list(), reverse=True)


# Pages overlap by two rows, so that nothing gets lost between them; a limit beyond the list's length reads all of it.
@pytest.mark.parametrize(("limit", "needed"), [(1, 1), (100, 1), (101, 2), (190, 2), (250, 3), (300, 4), (500, 4)])
def test_limit_takes_the_newest_and_asks_for_no_more_than_it_needs(limit: int, needed: int) -> None:
    sandbox = running(1, 400)
    before = len(sandbox.requests)
    frame = tf.load_runs(limit=limit, settings=settings_for(sandbox))
    wanted = sorted(matching(sandbox.world, {}), key=lambda run: run.created_at, reverse=True)[:limit]
    assert frame["created_at"].to_list() == [run.created_at for run in wanted]
    assert len(sandbox.requests) - before == needed


def test_created_since_stops_at_the_first_older_page() -> None:
    sandbox = running(1, 121)
    found = sorted(matching(sandbox.world, {}), key=lambda run: run.created_at, reverse=True)
    since = found[14].created_at
    before = len(sandbox.requests)
    frame = tf.load_runs(created_since=since, settings=settings_for(sandbox, page_size=10))
    assert set(frame["id"]) == {run.id for run in found if run.created_at >= since}
    assert len(sandbox.requests) - before == 2
    for sort in ("created_at", "-created_at", "name"):
        sorted_rows = tf.load_runs({"sort": sort}, created_since=since, settings=settings_for(sandbox, page_size=10))
        assert set(sorted_rows["id"]) == set(frame["id"])
    everything = tf.load_runs(created_since="1999-01-01", settings=settings_for(sandbox, page_size=10))
    assert everything.height == len(found)


def test_limit_over_several_lists_is_the_newest_of_them_all() -> None:
    sandbox, report = running(1, 121), tf.LoadReport()
    frame = tf.load_runs({"status": ["active", "complete"]}, limit=5, settings=settings_for(sandbox), report=report)
    wanted = sorted(matching(sandbox.world, {"status": ["active", "complete"]}), key=lambda run: run.created_at, reverse=True)[
        :5
    ]
    assert frame["created_at"].to_list() == [run.created_at for run in wanted]
    assert report.rows == 5
    (streamed,) = tf.iter_runs({"status": ["active", "complete"]}, limit=5, settings=settings_for(sandbox))
    assert streamed.drop("loaded_at").equals(frame.drop("loaded_at"))
    by_name = tf.load_runs({"sort": "name"}, limit=5, settings=settings_for(sandbox))
    assert by_name["name"].to_list() == sorted(run.name for run in matching(sandbox.world, {}))[:5]
    with pytest.raises(tf.UsageError, match="several lists cannot be told"):
        tf.load_runs({"sort": "name", "archived": "include"}, limit=5, settings=settings_for(sandbox))


@pytest.mark.parametrize(
    "options", [{"created_since": 5}, {"limit": True}, {"limit": 1.5}, {"on_invalid": "skip"}, {"created_since": "soon"}]
)
def test_arguments_of_the_wrong_kind_are_usage_errors(options: dict[str, Any]) -> None:
    with pytest.raises(tf.UsageError):
        tf.load_runs(settings=settings_for(running(1, 7)), **options)


@example(status=["active", "complete"])
@settings(max_examples=10, deadline=None)
@given(status=st.lists(st.sampled_from(sorted(STATUS)), min_size=1, max_size=4, unique=True))
def test_iter_runs_gives_the_rows_of_load_runs_in_pieces(status: list[str]) -> None:
    sandbox = running(1, 121)
    frames = list(tf.iter_runs({"status": status}, settings=settings_for(sandbox, page_size=7)))
    ids = [key for frame in frames for key in frame["id"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {run.id for run in matching(sandbox.world, {"status": status})}
