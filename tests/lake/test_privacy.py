"""A snapshot that keeps personal data back: nothing of it is anywhere under the root, searched byte by byte, unpacked."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import settings_for
from oracle import answers_of_run

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.lake import folder as folders
from tallyfy_frames.lake.spool import HEAD, SIZES, SPOOL_NAME
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sandbox.lists import LISTS

Serve = Callable[..., Sandbox]
KEY = "a long random text"
LONG_ENOUGH = 6  # shorter texts are in anything


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a cell; of JSON text, every text in that."""
    if isinstance(value, str):
        yield value
        if value[:1] in {"{", "["}:
            with contextlib.suppress(ValueError):
                yield from texts_in(json.loads(value))
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)


def personal_texts(frames: dict[str, pl.DataFrame]) -> set[str]:
    """Every text in a column that is personal, unless what is not personal holds it as well: a day, an option of a form."""
    found: set[str] = set()
    for name, frame in frames.items():
        for column in tables.get(name).columns:
            if column.personal:
                found.update(text for cell in frame[column.name].unique().to_list() for text in texts_in(cell))
    others = "".join(
        frame.select(column.name for column in tables.get(name).columns if not column.personal).write_ndjson()
        for name, frame in frames.items()
    ).replace('\\"', '"')
    return {text for text in found if len(text) >= LONG_ENOUGH and text not in others}


def unpacked(root: Path) -> dict[Path, bytes]:
    """All that lies under a root, as it is and with whatever is compressed unpacked; and the names of files and folders."""
    found = {}
    for place in root.rglob("*"):
        data = str(place.relative_to(root)).encode()
        if place.is_file():
            data += place.read_bytes()
        if place.suffix == ".parquet":
            table = pq.read_table(place, partitioning=None)
            data += (
                json.dumps(table.to_pylist(), default=str, ensure_ascii=False).encode() + str(table.schema.metadata).encode()
            )
        if place.name == SPOOL_NAME:
            data += b"".join(records_of(place.read_bytes()))
        found[place] = data
    return found


def records_of(data: bytes) -> Iterator[bytes]:
    """A spool's header and its records, unpacked."""
    header, _, rest = data.partition(b"\n")
    yield header
    codec = pa.Codec("zstd")
    while len(rest) >= HEAD.size:
        facts, _ = HEAD.unpack_from(rest)
        name_size, size, whole = SIZES.unpack_from(facts)
        rest = rest[HEAD.size + name_size :]
        data = rest[:size]  # without a name it is a wait, and as it is
        yield codec.decompress(data, decompressed_size=whole, asbytes=True) if name_size else data
        rest = rest[size:]


def sightings(root: Path, texts: set[str]) -> set[str]:
    whole = b"\n".join(unpacked(root).values())
    return {text for text in texts if text.encode() in whole}


@pytest.fixture
def served(serve: Serve) -> tuple[Sandbox, set[str]]:
    """A sandbox, and every text of it that is personal and nothing else besides."""
    sandbox = serve(world=World(3, 25))
    frames = dict(tf.load_dataset({"archived": "include"}, include=[*tables.TABLES], settings=settings_for(sandbox)))
    return sandbox, personal_texts(frames)


@pytest.mark.parametrize("privacy", ["drop", "hash"])
@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_no_personal_text_is_under_the_root(served: tuple[Sandbox, set[str]], tmp_path: Path, privacy: Any) -> None:
    sandbox, texts = served
    emails = {guest.email for guest in sandbox.world.guests} | {user.email for user in sandbox.world.users}
    assert emails <= texts
    assert {
        answer["raw"]
        for run in sandbox.world.runs
        for answer in answers_of_run(sandbox.world, run)
        if answer["field_type"] == "email" and isinstance(answer["raw"], str) and answer["raw"]
    } <= texts
    assert len(texts) > 300
    settings = settings_for(sandbox, privacy_key=KEY)
    kept = tf.write_snapshot(tmp_path / "kept", tables=[*tables.TABLES], settings=settings)
    assert sightings(tmp_path / "kept", texts) >= texts - texts_that_json_spells_otherwise(texts)
    manifest = tf.write_snapshot(tmp_path / "bare", tables=[*tables.TABLES], settings=settings, privacy=privacy)
    assert sightings(tmp_path / "bare", texts) == set()
    assert {name: entry.rows for name, entry in manifest.tables.items()} == {
        name: entry.rows for name, entry in kept.tables.items()
    }
    assert manifest.privacy["mode"] == privacy
    assert kept.privacy == {"mode": "keep"}
    assert KEY not in (manifest.folder / "manifest.json").read_text()


def texts_that_json_spells_otherwise(texts: set[str]) -> set[str]:
    """Quotation marks, back strokes and control characters are escaped in JSON, which is what is searched."""
    return {text for text in texts if json.dumps(text, ensure_ascii=False)[1:-1] != text}


@pytest.mark.parametrize("privacy", ["drop", "hash"])
@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_nor_where_a_job_died(
    served: tuple[Sandbox, set[str]], tmp_path: Path, privacy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, texts = served
    settings = settings_for(sandbox, privacy_key=KEY)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folders.Folder, "publish", die)
        patch.setattr(folders.shutil, "rmtree", lambda *_, **__: None)  # what lay in the staging folder stays for us to see
        with pytest.raises(KeyboardInterrupt):
            tf.write_snapshot(tmp_path, {"q": "Vendor check"}, tables=["runs", "run_tasks"], settings=settings, privacy=privacy)
    assert (tmp_path / SPOOL_NAME).stat().st_size > 1000
    assert sightings(tmp_path, texts | {"Vendor check \N{EN DASH}", "q=Vendor"}) == set()
    assert b"Vendor" not in (tmp_path / SPOOL_NAME).read_bytes().partition(b"\n")[0]


@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_hashes_join_across_tables_and_snapshots(served: tuple[Sandbox, set[str]], tmp_path: Path) -> None:
    sandbox, _ = served
    settings = settings_for(sandbox, privacy_key=KEY)
    plain = tf.load_dataset(include=["groups", "guests"], settings=settings)
    tf.write_snapshot(tmp_path, tables=["groups", "guests"], settings=settings, privacy="hash")
    groups, guests = (tf.read_snapshot(tmp_path, name).collect() for name in ("groups", "guests"))

    def joined(members: pl.DataFrame, people: pl.DataFrame) -> int:
        return members.explode("guests").join(people, left_on="guests", right_on="email").height

    assert joined(groups, guests) == joined(plain.groups, plain.guests) > 0
    again = tf.load("guests", settings=settings, privacy="hash")
    assert set(again["email"]) == set(guests["email"])
    other = tf.load("guests", settings=settings_for(sandbox, privacy_key="another long random text"), privacy="hash")
    assert not set(other["email"]) & set(guests["email"])


def test_a_guests_link_comes_only_where_it_is_named(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 5))
    codes = {guest.code for guest in sandbox.world.guests}
    settings = settings_for(sandbox)
    assert set(tf.load("guests", settings=settings)["link"]) == {"***"}
    shown = tf.load("guests", settings=settings, reveal=["link"])
    assert {link.rsplit("/", 1)[1] for link in shown["link"]} == codes
    assert set(shown["image_url"].drop_nulls()) == {"***"}
    with pytest.raises(tf.UsageError, match="its secret columns are link, image_url"):
        tf.load("guests", settings=settings, reveal=["email"])
    with pytest.raises(tf.UsageError, match="it has no secret columns"):
        tf.load("runs", settings=settings, reveal=["link"])
    with pytest.raises(tf.UsageError, match="a list of columns"):
        tf.load("guests", settings=settings, reveal="link")
    tf.write_snapshot(tmp_path, tables=["guests"], settings=settings)
    assert not [code for data in unpacked(tmp_path).values() for code in codes if code.encode() in data]


def test_a_snapshot_that_keeps_more_than_the_one_before_is_refused_and_so_is_another_key(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 5))
    settings = settings_for(sandbox, privacy_key=KEY)
    tf.write_snapshot(tmp_path, settings=settings)
    tf.write_snapshot(tmp_path, settings=settings, privacy="hash")
    asked = len(sandbox.requests)
    with pytest.raises(tf.ShrinkRefused, match="this one keeps more"):
        tf.write_snapshot(tmp_path, settings=settings)
    other = settings_for(sandbox, privacy_key="another long random text")
    with pytest.raises(tf.ShrinkRefused, match="hashes would not join"):
        tf.write_snapshot(tmp_path, settings=other, privacy="hash")
    assert len(sandbox.requests) == asked + 2, "each asks whose token it is, and no more"
    tf.write_snapshot(tmp_path, settings=other, privacy="hash", allow_shrink=True)
    tf.write_snapshot(tmp_path, settings=other, privacy="drop")
    with pytest.raises(tf.ShrinkRefused, match="this one keeps more"):
        tf.write_snapshot(tmp_path, settings=other, privacy="hash")


@pytest.mark.parametrize("privacy", ["drop", "hash"])
def test_nor_what_was_read_only_to_learn_which_lists_there_are(
    serve: Serve, tmp_path: Path, privacy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = LISTS["checklists"]
    named = dataclasses.replace(kept, include=lambda *_: {"custom_fields": {"who": "Jane Nameson"}, "owner": "J. Nameson"})
    monkeypatch.setitem(LISTS, "checklists", named)
    sandbox = serve(world=World(3, 25), faults=["429-hour@6+"])
    with pytest.raises(tf.RateLimited):
        tf.write_snapshot(tmp_path, tables=["template_steps"], settings=settings_for(sandbox, privacy_key=KEY), privacy=privacy)
    assert (tmp_path / SPOOL_NAME).stat().st_size > 1000
    assert sightings(tmp_path, {"Nameson"}) == set()


@pytest.mark.parametrize("privacy", ["drop", "hash"])
@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
def test_nor_where_rows_were_set_aside(serve: Serve, tmp_path: Path, privacy: Any) -> None:
    sandbox = serve(world=World(3, 60), faults=["bad-cell@1+", "no-id@3"])
    settings = settings_for(sandbox, privacy_key=KEY)
    names = {run.name for run in sandbox.world.runs if len(run.name) >= LONG_ENOUGH} - {
        run.checklist_title for run in sandbox.world.runs
    }
    for folder, mode in (("kept", "keep"), ("bare", privacy)):
        tables_of = tf.write_snapshot(
            tmp_path / folder, tables=["runs", "run_tasks"], settings=settings, on_invalid="quarantine", privacy=mode
        ).tables
        assert sum(file.rows for file in tables_of["runs"].quarantined) > 0
    assert sightings(tmp_path / "kept" / "snapshots", names)
    assert sightings(tmp_path / "bare", names) == set()
