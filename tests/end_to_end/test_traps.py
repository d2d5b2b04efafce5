"""The traps of the API, by number: each that touches what we read has a check that holds, and fails without its handling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import stamina
from conftest import settings_for
from end_to_end import traps_in_lists, traps_in_rows  # noqa: F401 - which fills TRAPS
from end_to_end.traps import EVERYTHING, TRAPS, serving

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.sandbox import World

# Traps that nothing of ours can fall into, and why not.
UNTOUCHED: Final = {
    20: "whether an application's token may read runs is the API's to say: its refusal is an error like any other",
    21: "no figure of a rate limit is believed: the pace is learned from the answers",
    34: "me/tasks, which lists active tasks alone, is never called",
    37: "users/{id}, which refuses who is no administrator, is never called: the list has everyone",
    43: "no table has comments, of which there is no list",
    46: "a row that a replica does not have yet is in no answer: nothing tells that it is missing, and the next load has it",
    48: "the files of the analytics add-on are not read",
}


@pytest.fixture(autouse=True)
def quick_retries(request: pytest.FixtureRequest) -> Iterator[None]:
    stamina.set_testing("[22" not in request.node.name, attempts=2, cap=True)
    yield
    stamina.set_testing(False)


@pytest.mark.parametrize("number", sorted(TRAPS))
def test_trap(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    TRAPS[number].check(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("number", "way"), [(number, way) for number in sorted(TRAPS) for way in range(len(TRAPS[number].sabotages))]
)
def test_trap_bites_once_its_handling_is_taken_out(
    number: int, way: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    one = TRAPS[number]
    one.sabotages[way](monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, tf.TallyfyFramesError, one.dies_of)):
        one.check(monkeypatch, tmp_path)


def test_every_trap_that_touches_what_we_read_is_here() -> None:
    assert set(TRAPS).isdisjoint(UNTOUCHED)
    assert set(TRAPS) | set(UNTOUCHED) == set(range(1, 53))


# Whatever is loaded, this is all that is asked for.
ROUTES: Final = {
    "me", "me/organizations", "runs", "tasks", "checklists", "checklists/{}/steps", "users", "guests", "groups", "tags",
    "folders", "activity-feeds",
}  # fmt: skip
PARAMETERS: Final = {
    "page", "per_page", "sort", "with", "archived", "all", "folder_type", "form_fields_values", "created_after", "created_before",
}  # fmt: skip
# So these are not, by the number of the trap that each would be.
TRAPPED_ROUTES: Final = {
    "runs/{}/tasks": 10, "guests/{}/tasks": 12, "me/tasks": 34, "users/{}/tasks": 34, "checklists/{}": 36, "users/{}": 37,
    "file/{}": 39, "file/{}/dl": 39,
}  # fmt: skip
TRAPPED_PARAMETERS: Final = {
    "updated_since": 9, "created_since": 9, "without_pagination": 11, "pagination": 11, "replace_page": 12, "currentTask": 12,
}  # fmt: skip


def test_nothing_asks_for_what_only_a_trap_would_answer(tmp_path: Any) -> None:
    names = tuple(tables.TABLES)
    with serving(world=World(11, 30)) as sandbox:
        settings = settings_for(sandbox)
        for name in names:
            tf.load(name, settings=settings)
        tf.load("runs", limit=3, created_since="2031-01-01", settings=settings)
        tf.load_dataset(EVERYTHING, include=names, settings=settings)
        tf.load_organization(settings)
        tf.plan(names, settings=settings, whole=True)
        tf.write_snapshot(tmp_path, tables=names, settings=settings)
        shapes = {re.sub(r"(?<=/)[^/]*[0-9@][^/]*", "{}", entry.path) for entry in sandbox.requests}
        parameters = {name for entry in sandbox.requests for name in entry.query}
    routes = {re.sub(r"^/api/(organizations/{}/)?", "", shape) for shape in shapes}
    assert routes == ROUTES
    assert parameters == PARAMETERS
    assert ROUTES.isdisjoint(TRAPPED_ROUTES)
    assert PARAMETERS.isdisjoint(TRAPPED_PARAMETERS)
