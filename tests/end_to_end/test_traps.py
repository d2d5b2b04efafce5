"""The traps of the API that touch what we read, each by its number: a check that holds, and fails once the handling is taken out.

The numbers are those of the list of traps that the sandbox was built from; each check's docstring says what the trap is.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
import stamina
from conftest import SkippingClock, settings_for

import tallyfy_frames as tf
from tallyfy_frames import pipeline, settings, tables
from tallyfy_frames.api import protocol, query, transport
from tallyfy_frames.frames import decode, flatten, masking
from tallyfy_frames.lake import snapshot
from tallyfy_frames.lake.manifest import Manifest
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sinks import stream
from tallyfy_frames.sinks.formats import Format
from tallyfy_frames.tables import folders as folders_table
from tallyfy_frames.tables import runs as runs_table
from tallyfy_frames.tables import tags as tags_table
from tallyfy_frames.tables import tasks as tasks_table
from tallyfy_frames.tables._table import Filters, Listing, Table

TOUCHED = {1, 2, 3, 6, 7, 8, 9, 13, 14, 15, 16, 17, 19, 22, 23, 24, 25, 26, 27, 28, 32, 33, 39, 40, 41, 44, 45, 47, 49, 50, 51}

Check = Callable[[pytest.MonkeyPatch, Any], None]
Sabotage = Callable[[pytest.MonkeyPatch], None]
TRAPS: dict[int, tuple[Check, Sabotage]] = {}

WORLD = World(11, 120)
RUNS = tables.get("runs")


# What naive handling dies of, where it is not a wrong result or one of our errors.
BITES: dict[int, type[Exception]] = {1: AttributeError, 3: TypeError, 22: ValueError, 23: KeyError, 25: TypeError,
                                     26: TypeError, 27: TypeError, 50: pl.exceptions.PolarsError, 47: pl.exceptions.PolarsError}  # fmt: skip


def trap(number: int, sabotage: Sabotage) -> Callable[[Check], Check]:
    """Register a check, and how to take its handling out."""

    def register(check: Check) -> Check:
        TRAPS[number] = (check, sabotage)
        return check

    return register


def patching(target: Any, name: str, value: Any) -> Sabotage:
    """Take handling out by putting something naive in its place."""
    return lambda patch: patch.setattr(target, name, value)


@contextmanager
def serving(*faults: str, world: World = WORLD, **options: Any) -> Iterator[Sandbox]:
    with Sandbox(world, faults=faults, **options) as sandbox:
        yield sandbox


def load(filters: Any = None, *faults: str, world: World = WORLD, page_size: int = 100, **options: Any) -> pl.DataFrame:
    with serving(*faults, world=world) as sandbox:
        return tf.load_runs(filters, settings=settings_for(sandbox, page_size=page_size), **options)


def shown(world: World = WORLD) -> list[Any]:
    return [run for run in world.runs if run.archived_at is None]


def row(**keys: Any) -> pl.DataFrame:
    """One row as the API might send it, shaped."""
    cells = decode.decode([{"id": "a", **keys}], RUNS.columns)
    frame, unreadable = flatten.flatten(cells, RUNS.columns, [({}, 1)])
    assert not cells.faults
    assert not unreadable
    return frame


def strict_links(meta: Any, found: Callable[[object], Any] = protocol.read_stated) -> Any:
    meta["pagination"]["links"].get("next")
    return found(meta)


@trap(1, patching(protocol, "read_stated", strict_links))
def links_are_an_empty_list(_: pytest.MonkeyPatch, __: Any) -> None:
    """``meta.pagination.links`` is ``[]`` where there are none."""
    assert load({"type": "form"}).height


@trap(2, lambda patch: patch.setitem(decode.READERS, "json", lambda value: (json.dumps(value), False)))
def empty_maps_are_lists(_: pytest.MonkeyPatch, __: Any) -> None:
    """``prerun``, ``whole_progress`` and ``custom_fields`` are ``[]`` when empty."""
    frame = row(prerun=[], custom_fields=[], whole_progress=[], progress=[])
    assert frame.select("prerun", "custom_fields", "whole_progress_total").row(0) == ("{}", "{}", None)


def inferred(cells: Any, columns: Any, provenance: Any) -> Any:
    text = "[" + ",".join(cell or "{}" for cell in cells.columns["prerun"]) + "]"
    frame, unreadable = flatten.flatten(cells, columns, provenance)
    return frame.hstack(pl.json_normalize(json.loads(text), infer_schema_length=None).fill_null(0)), unreadable


@trap(3, patching(pipeline, "flatten", inferred))
def keys_of_prerun_never_become_columns(_: pytest.MonkeyPatch, __: Any) -> None:
    """The keys of ``prerun`` are ids that differ per template."""
    frame = load()
    assert frame.schema == RUNS.schema
    answers = {run.id: run.prerun for run in shown()}
    assert any(answers.values())
    assert all(json.loads(text).keys() == answers[key].keys() for key, text in frame.select("id", "prerun").iter_rows())


@trap(6, patching(runs_table, "_impossible", lambda word: pl.col("status") != word))
def the_problem_filter_also_returns_issue_runs(_: pytest.MonkeyPatch, __: Any) -> None:
    """A status filter is not the value: ``status=problem`` returns ``issue`` runs, too."""
    assert set(load({"status": "problem"})["status"]) == {"problem", "issue"}


@trap(7, patching(runs_table, "WRONG_STATUS", {}))
def completed_is_the_wrong_word_for_runs(_: pytest.MonkeyPatch, __: Any) -> None:
    """``complete`` for runs, ``completed`` for tasks; the wrong word is ignored, or selects nothing."""
    with pytest.raises(tf.FilterError, match="use 'complete'"):
        runs_table.RunFilters(status="completed")


@trap(8, patching(runs_table.RunFilters, "snapshot_defaults", {}))
def archived_runs_are_hidden_unless_asked_for(_: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The default list hides archived runs; ``archived=only`` shows them. A snapshot holds both."""
    archived = {run.id for run in WORLD.runs if run.archived_at}
    assert not archived & set(load()["id"])
    assert set(load({"archived": "only"})["id"]) == archived
    with serving() as sandbox:
        assert tf.write_snapshot(tmp_path, settings=settings_for(sandbox)).rows == len(WORLD.runs)


def forgiving(cls: type[Filters], given: Any) -> Filters:
    return cls(**{name: value for name, value in given.items() if name in cls.__dataclass_fields__})


@trap(9, patching(runs_table.RunFilters, "parse", classmethod(forgiving)))
def unknown_parameters_are_ignored_by_the_api(_: pytest.MonkeyPatch, __: Any) -> None:
    """``*_since`` looks incremental and returns everything; so does any typo."""
    for name in ("updated_since", "statsu"):
        with pytest.raises(tf.FilterError, match="no filter"):
            load({name: "2031-01-01"})


def link_following(patch: pytest.MonkeyPatch) -> None:
    send = transport.Client._send  # noqa: SLF001
    last: list[str] = []

    def follow(client: Any, request: Any) -> Any:
        page = dict(request.pairs).get("page", "1")
        reply = (
            protocol.Reply(200, {}, client._http.get(last.pop()).content)  # noqa: SLF001
            if last and page != "1"
            else send(client, request)
        )
        links = json.loads(reply.body).get("meta", {}).get("pagination", {}).get("links", [])
        last[:] = [links["next"]] if links and "next" in links else []
        return reply

    patch.setattr(transport.Client, "_send", follow)


@trap(13, link_following)
def links_may_name_another_host(_: pytest.MonkeyPatch, __: Any) -> None:
    """Following ``links.next`` may send the token elsewhere, and loses ``per_page``."""
    with Sandbox(World(12, 1)) as elsewhere, serving("foreign-next@1+", foreign_origin=elsewhere.base_url) as sandbox:
        frame = tf.load_runs(settings=settings_for(sandbox, page_size=10))
        assert frame.height == len(shown())
        assert elsewhere.requests == []


@trap(14, patching(query, "quote", lambda text, safe="": __import__("urllib.parse").parse.quote_plus(text, safe=safe)))
def a_plus_is_not_a_space(_: pytest.MonkeyPatch, __: Any) -> None:
    """The API does not turn ``+`` into a space."""
    assert set(load({"q": "Vendor check"})["id"]) == {run.id for run in shown() if "vendor check" in run.name.lower()} != set()


@trap(15, patching(query, "text", str))
def booleans_are_lowercase_words(_: pytest.MonkeyPatch, __: Any) -> None:
    """Only ``true`` and ``false`` are booleans; ``True`` is ignored."""
    assert set(load({"starred": True})["id"]) == {run.id for run in shown() if run.starred}


def without(header: str) -> Sabotage:
    return lambda patch: patch.delitem(protocol.HEADERS, header)


@trap(16, without("Accept"))
def without_accept_errors_are_html(_: pytest.MonkeyPatch, __: Any) -> None:
    """Without ``Accept: application/json`` the API answers in HTML."""
    assert load(limit=1).height == 1


@trap(17, without("X-Tallyfy-Client"))
def without_the_client_header_the_api_looks_empty(_: pytest.MonkeyPatch, __: Any) -> None:
    """A missing ``X-Tallyfy-Client`` looks like 404 or 401."""
    assert load(limit=1).height == 1


def parse_the_token(token: Any) -> Any:
    payload = json.loads(base64.urlsafe_b64decode(token.reveal().split(".")[1] + "=="))
    assert payload["exp"] > datetime.now(UTC).timestamp()
    return token


@trap(19, patching(settings, "_checked_token", parse_the_token))
def lifetimes_and_token_addresses_contradict_each_other(_: pytest.MonkeyPatch, __: Any) -> None:
    """Three token addresses and as many lifetimes are documented: a token is taken as it is, until the API refuses it."""
    old = base64.urlsafe_b64encode(json.dumps({"exp": 1}).encode()).decode().rstrip("=")
    world = World(11, 5)
    world.token = f"e30.{old}.x"
    with serving(world=world) as sandbox:
        assert tf.load_runs({"archived": "include"}, settings=settings_for(sandbox)).height == 5
        assert {entry.path.rsplit("/", 1)[1] for entry in sandbox.requests} == {"runs"}


@trap(22, patching(protocol, "retry_after_s", lambda headers, _: float(headers["retry-after"])))
def retry_after_may_be_a_date(patch: pytest.MonkeyPatch, _: Any) -> None:
    """``Retry-After`` is seconds or an HTTP date."""
    clock = SkippingClock()
    patch.setattr(transport, "CLOCK", clock)
    report = tf.LoadReport()
    load(None, "429-date@2", report=report, page_size=50)
    assert report.throttled == 1
    assert 0.1 < max(clock.waited) <= 2


@trap(23, patching(protocol, "_message", lambda body: body["message"]))
def an_error_is_true_a_word_or_an_object(_: pytest.MonkeyPatch, __: Any) -> None:
    """``error`` is true, text or an object; ``message`` may be missing."""
    for body, said in (
        ({"error": True, "errors": {"name": ["too long"]}}, "name: too long"),
        ({"error": "invalid_client"}, "invalid_client"),
        ({"error": {"code": "X", "message": "no seats"}}, "no seats"),
    ):
        with pytest.raises(tf.ApiError, match=said):
            protocol.check(protocol.Request(("me",)), protocol.Reply(400, {}, json.dumps(body).encode()), now=datetime.now(UTC))


def outspoken(request: Any, reply: Any, *, now: datetime) -> None:
    if reply.status >= 500:
        raise tf.ServerError(reply.body.decode())
    protocol_check(request, reply, now=now)


protocol_check = protocol.check


@trap(24, patching(protocol, "check", outspoken))
def server_errors_quote_sql(_: pytest.MonkeyPatch, __: Any) -> None:
    """5xx bodies leak SQL: never repeated."""
    with pytest.raises(tf.ServerError) as caught:
        load(None, "sql-500@1+")
    assert "SQLSTATE" not in str(caught.value)
    assert "secret_table" not in str(caught.value)


def as_it_comes(value: Any) -> tuple[Any, bool]:
    return value, False


@trap(25, lambda patch: patch.setitem(decode.READERS, "float", as_it_comes))
def progress_is_an_object_or_a_number_and_percent_whole_or_not(_: pytest.MonkeyPatch, __: Any) -> None:
    """A column may begin with whole numbers and go on with 37.5; ``progress`` may be a bare number."""
    assert row(progress=100)["progress_percent"].to_list() == [100.0]
    assert row(progress={"percent": 37.5, "complete": 3})["progress_percent"].to_list() == [37.5]
    assert row(progress={"percent": "37.5"})["progress_percent"].to_list() == [37.5]


@trap(26, lambda patch: patch.setitem(decode.READERS, "user_id", as_it_comes))
def user_ids_are_numbers_text_or_objects(_: pytest.MonkeyPatch, __: Any) -> None:
    """Ids wobble between number, text and object; here user ids are integers that join."""
    for value in (5120, "5120", {"id": 5120}):
        assert row(owner_id=value)["owner_id"].to_list() == [5120]
    assert row(collaborators=["5120", 5121])["collaborators"].to_list() == [[5120, 5121]]


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


def strict_ids(value: Any) -> tuple[Any, bool]:
    return [int(item) for item in value or ()], False


@trap(27, lambda patch: patch.setitem(decode.READERS, "user_ids", strict_ids))
def owners_are_numbers_or_objects(_: pytest.MonkeyPatch, __: Any) -> None:
    """``owners.users`` holds numbers, or objects with an id, from one task to the next."""
    with serving() as sandbox:
        found = tf.load("tasks", {"archived": "include"}, settings=settings_for(sandbox))
    owners = {key: users or [] for key, users in found.select("id", "owner_users").iter_rows()}
    assert owners == {one.task.id: [*one.task.users] for one in WORLD.tasks}


@trap(32, patching(tasks_table.TaskFilters, "listings", lambda self: (Listing({"tag_ids": self.tag}),)))
def a_tag_is_a_name_for_tasks_and_an_id_for_runs(_: pytest.MonkeyPatch, __: Any) -> None:
    """The same word means another thing on another route; what a route does not know it ignores."""
    with serving() as sandbox:
        found = tf.load("tasks", {"tag": "vip"}, settings=settings_for(sandbox))
        by_id = tf.load_runs({"tag": WORLD.tags[1].id}, settings=settings_for(sandbox))
    runs = {run.id for run in shown() if "vip" in [tag.title for tag in run.tags]}
    assert set(by_id["id"]) == runs
    assert set(found["run_id"]) == {one.run.id for one in WORLD.tasks if one.run is not None and one.run.id in runs}


@trap(33, patching(tasks_table.TaskFilters, "listings", Filters.listings))
def lists_of_tasks_lack_the_summary(_: pytest.MonkeyPatch, __: Any) -> None:
    """It is not empty, it was not asked for."""
    with serving() as sandbox:
        found = tf.load("tasks", settings=settings_for(sandbox))
    texts = {one.task.id: one.summary for one in WORLD.tasks}
    assert {key: texts[key] for key in found["id"]} == dict(found.select("id", "summary").iter_rows())


@trap(40, patching(tags_table.TagFilters, "listings", Filters.listings))
def the_servers_own_tags_are_hidden(_: pytest.MonkeyPatch, __: Any) -> None:
    """Tags such as ``from:…`` come only with ``all=true``, in lower case."""
    with serving() as sandbox:
        found = tf.load("tags", settings=settings_for(sandbox))
    assert set(found["title"]) == {tag.title for tag in (*WORLD.tags, *WORLD.auto_tags)}


@trap(41, patching(folders_table.FolderFilters, "listings", Filters.listings))
def folders_of_runs_are_not_listed_by_default(_: pytest.MonkeyPatch, __: Any) -> None:
    """Without ``folder_type`` those of templates come, and nothing says that there are others."""
    with serving() as sandbox:
        found = tf.load("folders", settings=settings_for(sandbox))
    assert set(found["id"]) == {folder.id for folder in (*WORLD.folders, *WORLD.template_folders)}


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


def every_snapshot(spec: Table, folder: Any, files: Any, scan: Any = snapshot._scan) -> Any:  # noqa: SLF001
    every = [scan(spec, other, Manifest.read(other.parent).tables["runs"].files) for other in folder.parents[1].glob("2*/runs")]
    return pl.concat(every) if every else scan(spec, folder, files)


@trap(45, patching(snapshot, "_scan", every_snapshot))
def old_rows_change(_: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Re-opening clears ``completed_at``; runs are completed and archived without a human: a snapshot is always all of it."""
    world = World(11, 60)
    done = next(run for run in world.runs if run.completed_at)
    with serving(world=world) as sandbox:
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
        done.completed_at, done.status = None, "active"
        sandbox.routes.lists.clear()
        sandbox.routes.wire.bare_runs.clear()
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    now = tf.read_snapshot(tmp_path).filter(pl.col("id") == done.id).collect()
    assert now.select("status", "completed_at").rows() == [("active", None)]


def untyped(cells: Any, columns: Any, provenance: Any) -> Any:
    stated = {name: [page[name] for page, rows in provenance for _ in range(rows)] for name in provenance[0][0]}
    values = {column.name: (cells.columns | stated)[column.name] for column in columns}
    return pl.DataFrame(values, strict=False, infer_schema_length=100), []


@trap(47, patching(pipeline, "flatten", untyped))
def a_column_may_begin_with_many_nulls(_: pytest.MonkeyPatch, __: Any) -> None:
    """Types are never inferred: a value after 150 nulls has its column's type, and so have 150 nulls."""
    world = World(11, 200)
    for run in world.runs[:150]:
        run.owner_id = run.due_date = None
    frame = load({"archived": "include"}, world=world)
    assert frame.schema == RUNS.schema
    assert frame["owner_id"].drop_nulls().len() == sum(run.owner_id is not None for run in world.runs)


@trap(49, patching(stream, "FORMULA_STARTS", "^never$"))
def a_name_may_be_a_formula(_: pytest.MonkeyPatch, __: Any) -> None:
    """Text that begins with ``=``, ``+``, ``-`` or ``@`` runs in a spreadsheet."""
    names = [line["name"] for line in csv.DictReader(io.StringIO(stream.render(load(), Format.csv).decode(), newline=""))]
    assert not [name for name in names if name[:1] in tuple("=+-@")]
    assert "'=1+1" in names


@trap(50, lambda patch: patch.setitem(vars(RUNS), "schema", pl.Schema()))
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
    found = {key: (number, owner) for key, number, owner in load({"archived": "include"}, world=world).select("id", "increment_id", "owner_id").iter_rows()}  # fmt: skip
    assert found[world.runs[0].id][0] == 2**62
    assert found[world.runs[1].id][1] == 2**53 + 1


@pytest.fixture(autouse=True)
def quick_retries(request: pytest.FixtureRequest) -> Iterator[None]:
    stamina.set_testing("22" not in request.node.name, attempts=2, cap=True)
    yield
    stamina.set_testing(False)


@pytest.mark.parametrize("number", sorted(TRAPS))
def test_trap(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    TRAPS[number][0](monkeypatch, tmp_path)


@pytest.mark.parametrize("number", sorted(TRAPS))
def test_trap_bites_once_its_handling_is_taken_out(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    check, sabotage = TRAPS[number]
    sabotage(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, tf.TallyfyFramesError, BITES.get(number, AssertionError))):
        check(monkeypatch, tmp_path)


def test_every_trap_that_touches_what_we_read_is_here() -> None:
    assert set(TRAPS) == TOUCHED
