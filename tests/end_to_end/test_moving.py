"""A list that moves while it is read, over a real socket with several requests in flight: exactly once, or raised."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import settings_for
from oracle import actual, expected_run, matches, visible_tasks

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.sandbox import Sandbox, World

DATA = tables.get("runs").names("data")
KINDS = ["create:2", "archive:1", "unarchive:1", "delete:1", "complete:2", "reopen:1", "rename:3", "restatus:2", "restore-old:1",
         "swap:1", "churn:2", "late-commit:1", "burst@5", "all"]  # fmt: skip
FILTERS: list[dict[str, Any]] = [{}, {"archived": "include"}, {"status": "active"}, {"status": ["active", "complete"]}]


def assert_exactly_once(sandbox: Sandbox, filters: dict[str, Any], **settings: Any) -> tf.LoadReport | None:
    """Everything that matched throughout is there, nothing twice, every row as it was at some moment; None if it was raised."""
    report = tf.LoadReport()
    since = sandbox.list_requests + 1
    try:
        frame = tf.load_runs(filters, settings=settings_for(sandbox, **settings), report=report)
    except tf.IncompleteRead:
        assert not report.complete
        return None
    throughout = sandbox.present_throughout(lambda run: matches(sandbox.world, filters, run), since_request=since)
    assert throughout <= set(frame["id"])
    assert frame["id"].n_unique() == frame.height
    for row in actual(frame.select(DATA).to_dicts()):
        assert row in [expected_run(state) for state in sandbox.states_of(row["id"], since_request=since)], row["id"]
    assert report.complete
    return report


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_what_stands_inside_a_run_moves_with_it() -> None:
    """Tasks come in the answer that shows their run: all of them, or none, however the list moves."""
    filters, complete = {"archived": "include"}, 0
    for seed in range(4):
        with Sandbox(World(seed, 500), live=["all:2"], live_seed=seed) as sandbox:
            since = sandbox.list_requests + 1
            try:
                data = tf.load_dataset(
                    filters, include=["run_tasks", "task_owners"], settings=settings_for(sandbox, page_size=50)
                )
            except tf.IncompleteRead:
                continue
            complete += 1
            throughout = sandbox.present_throughout(lambda run: matches(sandbox.world, {}, run), since_request=since)
            tasks = dict(data.run_tasks.group_by("run_id").agg("id").iter_rows())
            for run in data.runs["id"]:
                (first, *_) = [state for state in sandbox.states_of(run, since_request=since) if state is not None]
                assert set(tasks.pop(run, ())) == {task.id for task in visible_tasks(first)}
            assert not tasks
            assert throughout <= set(data.runs["id"])
    assert complete, "a walk that only raises is of no use"


@pytest.mark.slow
def test_tasks_of_runs_that_were_there_throughout_are_there_once() -> None:
    """The organization's tasks move with their runs, and those of one run share an instant."""
    complete = 0
    for seed in range(4):
        with Sandbox(World(seed, 120), live=["all:0.5"], live_seed=seed) as sandbox:
            since = sandbox.list_requests + 1
            try:
                frame = tf.load("tasks", {"archived": "include"}, settings=settings_for(sandbox))
            except tf.IncompleteRead:
                continue
            complete += 1
            there = sandbox.present_throughout(lambda run: matches(sandbox.world, {}, run), since_request=since)
            ids = set(frame["id"])
            assert len(ids) == frame.height
            for run in there:
                (first, *_) = sandbox.states_of(run, since_request=since)
                assert first is not None
                assert {task.id for task in first.tasks} <= ids
            assert {one.task.id for one in sandbox.world.tasks_alone} <= ids
    assert complete, "a walk that only raises is of no use"


@pytest.mark.slow
@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_there_throughout_is_there_once(kind: str, filters: dict[str, Any]) -> None:
    live = [kind, "burst:0", "burst@6"] if kind == "all" else [kind]
    proofs = []
    for seed in range(3):
        with Sandbox(World(seed, 700), live=live, live_seed=seed) as sandbox:
            report = assert_exactly_once(sandbox, filters, page_size=50)
            proofs.append(None if report is None else report.proof)
    assert "seen" in proofs, "a walk that only raises is of no use"


def test_an_exit_hidden_by_an_entry_loses_nothing() -> None:
    """The total stands, and page after page would lose a run: one leaves in front, one enters in the middle, again and again."""
    with Sandbox(World(4, 900), live=["swap:1"]) as sandbox:
        report = assert_exactly_once(sandbox, {}, page_size=100)
    assert report is not None
    assert report.proof == "seen"


def test_still_sees_that_something_moved_and_shows_every_joint_then() -> None:
    with Sandbox(World(5, 900), live=["archive:0.2"]) as sandbox:
        report = assert_exactly_once(sandbox, {}, page_size=20, proof="still")
    assert report is not None
    assert report.proof == "seen"
    with Sandbox(World(5, 900)) as sandbox:
        report = assert_exactly_once(sandbox, {}, page_size=20, proof="still")
    assert report is not None
    assert report.proof == "still"


def test_a_run_that_moves_between_two_lists_is_not_lost() -> None:
    """Read one after the other, the lists would each be whole, and a run restored in between would be in neither."""
    world = World(6, 300)
    run = next(run for run in world.runs[100:] if run.archived_at)
    for number in range(3, 16):
        with Sandbox(World(6, 300), script={number: lambda mover: mover.unarchive(mover.world.runs_by_id[run.id])}) as sandbox:
            frame = tf.load_runs({"archived": "include"}, settings=settings_for(sandbox, page_size=50))
        assert frame.height == 300, number
        assert run.id in set(frame["id"]), number


def test_what_cannot_be_shown_can_be_taken_as_it_is() -> None:
    quirks = ["sort-ignored"]
    with Sandbox(World(7, 300), live=["delete:1"], quirks=quirks) as sandbox, pytest.raises(tf.IncompleteRead):
        tf.load_runs(settings=settings_for(sandbox, page_size=50))
    report = tf.LoadReport()
    with Sandbox(World(7, 300), live=["delete:1"], quirks=quirks) as sandbox:
        frame = tf.load_runs(settings=settings_for(sandbox, page_size=50), allow_incomplete=True, report=report)
    assert 0 < frame.height <= 300
    assert (report.complete, report.proof) == (False, None)
