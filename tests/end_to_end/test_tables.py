"""Every table but runs, loaded from the sandbox: equal to its facts, cell by cell, whatever shapes they come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from conftest import settings_for
from oracle import actual, expected_folder, expected_group, expected_guest, expected_tag, expected_template

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]
# By table: what it must hold of a world, and each record as its row.
EXPECTED: dict[str, tuple[Callable[[World], Sequence[Any]], Callable[[Any], dict[str, Any]]]] = {
    "tags": (lambda world: [*world.tags, *world.auto_tags], expected_tag),
    "groups": (lambda world: world.groups, expected_group),
    "folders": (lambda world: [*world.folders, *world.template_folders], expected_folder),
    "guests": (lambda world: world.guests, expected_guest),
    "templates": (lambda world: world.templates, expected_template),
}
ALL: dict[str, dict[str, Any]] = {"templates": {"archived": "include"}}  # the filters that leave nothing out


def rows_of(world: World, name: str) -> list[dict[str, Any]]:
    """What a table must hold: its data columns; those that the sandbox knows nothing of are null."""
    records, expected = EXPECTED[name]
    nothing: dict[str, Any] = {
        column.name: [] if str(column.dtype).startswith("List") else None
        for column in tables.get(name).columns
        if column.kind == "data"
    }
    return sorted((nothing | expected(record) for record in records(world)), key=lambda row: row["id"])


@pytest.mark.parametrize("page_size", [3, 100])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", EXPECTED)
def test_a_table_holds_every_record_of_the_world(serve: Serve, name: str, seed: int, page_size: int) -> None:
    sandbox = serve(world=World(seed, 40))
    frame = tf.load(name, ALL.get(name), settings=settings_for(sandbox, page_size=page_size))
    assert frame.schema == tables.get(name).schema
    assert actual(frame.select(tables.get(name).names("data")).to_dicts()) == rows_of(sandbox.world, name)


@pytest.mark.parametrize("name", EXPECTED)
def test_documented_shapes_give_the_same(serve: Serve, name: str) -> None:
    sandbox = serve(world=World(2, 40), plain=True)
    frame = tf.load(name, ALL.get(name), settings=settings_for(sandbox))
    assert actual(frame.select(tables.get(name).names("data")).to_dicts()) == rows_of(sandbox.world, name)


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
