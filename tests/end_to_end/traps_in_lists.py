"""Traps of asking for the right rows, and of getting all of them: each check's docstring says what the trap is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pytest
from conftest import SkippingClock, settings_for
from end_to_end.traps import (
    EVERYTHING,
    WORLD,
    Sabotage,
    load,
    patching,
    reading_pages_until,
    serving,
    shown,
    trap,
)
from oracle import visible_tasks

import tallyfy_frames as tf
from tallyfy_frames import pipeline, settings, shaping
from tallyfy_frames.api import protocol, query, transport
from tallyfy_frames.frames.flatten import flatten
from tallyfy_frames.lake import published, snapshot
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sandbox.facts import hex_id
from tallyfy_frames.tables import folders as folders_table
from tallyfy_frames.tables import runs as runs_table
from tallyfy_frames.tables import tags as tags_table
from tallyfy_frames.tables import tasks as tasks_table
from tallyfy_frames.tables import templates as templates_table
from tallyfy_frames.tables._filters import Filters, Listing
from tallyfy_frames.tables._table import Table


def strict_links(meta: Any, found: Callable[[object], Any] = protocol.read_stated) -> Any:
    meta["pagination"]["links"].get("next")
    return found(meta)


@trap(1, patching(protocol, "read_stated", strict_links), dies_of=AttributeError)
def links_are_an_empty_list(_: pytest.MonkeyPatch, __: Any) -> None:
    """``meta.pagination.links`` is ``[]`` where there are none."""
    assert load({"type": "form"}).height


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


def whole(name: str, world: World, page_size: int, *quirks: str) -> bool:
    """Whether all there is of a table is read."""
    records = {
        "users": world.users,
        "guests": world.guests,
        "groups": world.groups,
        "tags": [*world.tags, *world.auto_tags],
        "tasks": [one.task for one in world.tasks],
        "template_steps": [step for one in world.templates if one.archived_at is None for step in one.steps],
    }[name]
    with serving(world=world, quirks=quirks) as sandbox:
        found = tf.load(name, EVERYTHING if name == "tasks" else None, settings=settings_for(sandbox, page_size=page_size))
    return sorted(found["id"]) == sorted(str(one.id) if name == "guests" else one.id for one in records)


@trap(
    10,
    reading_pages_until(lambda ask, answer, _: len(answer.keys) < ask.per_page),
    patching(shaping, "count", lambda values: [1000] * len(values)),
)
def ten_rows_may_be_the_first_page(_: pytest.MonkeyPatch, __: Any) -> None:
    """Ten a page where nobody asks for more, and of steps even then: a template looks ten steps long, and a run ten tasks."""
    assert max(template.steps_count for template in WORLD.templates) > 20
    assert whole("template_steps", WORLD, 100)
    ids = {task.id for run in WORLD.runs for task in visible_tasks(run)}
    long = [run for run in WORLD.runs if len(visible_tasks(run)) > 10 and run.progress is not None]
    assert long
    for quirks, complete, told in (((), True, {}), (("include-tasks-10",), False, {"tasks": len(long)})):
        report = tf.LoadReport()
        with serving(quirks=quirks) as sandbox:
            found = tf.load("run_tasks", EVERYTHING, settings=settings_for(sandbox), report=report)
        assert (set(found["id"]) == ids) is complete
        assert report.rows_cut_off == told


def all_at_once(patch: pytest.MonkeyPatch) -> None:
    def request(path: Any, params: Any, **_: Any) -> protocol.Request:
        return protocol.Request(tuple(path), query.encode({**params, "without_pagination": True}))

    patch.setattr(protocol, "list_request", request)
    reading_pages_until(lambda *_: True)(patch)


@trap(11, all_at_once)
def without_pagination_is_ignored_by_some_lists(_: pytest.MonkeyPatch, __: Any) -> None:
    """Steps, groups and tags come by the page all the same: whoever trusts it takes the first page for the whole."""
    world = World(11, 10)
    world.groups.extend(replace(world.groups[0], id=hex_id("group", n)) for n in range(20))
    world.auto_tags.extend(replace(world.auto_tags[0], id=hex_id("tag", n)) for n in range(20))
    honoured = ["users", "guests"]
    assert [name for name in (*honoured, "template_steps", "groups", "tags") if not whole(name, world, 100)] == []
    with pytest.raises(tf.FilterError, match="the API ignores this on some routes"):
        load({"without_pagination": True})


@trap(
    12,
    reading_pages_until(lambda ask, _, landing: ask.page >= landing.stated.total_pages),
    reading_pages_until(lambda ask, answer, _: ask.page >= -(-answer.total // ask.per_page)),
)
def pages_may_have_another_size_than_asked_for(_: pytest.MonkeyPatch, __: Any) -> None:
    """A route may ignore ``per_page``, and ``total_pages`` be counted in pages of another size."""
    world = World(11, 20)
    for name in ("guests", "tasks"):
        assert whole(name, world, 3, "total-pages-default")
        assert whole(name, world, 50, "page-size-fixed")


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


@trap(18, lambda patch: patch.setitem(protocol.ERROR_FOR_STATUS, 401, protocol.ERROR_FOR_STATUS[404]))
def logging_out_of_the_web_app_ends_the_token(_: pytest.MonkeyPatch, __: Any) -> None:
    """A job that ran for months gets 401, in the midst of a list even: told as what it is, and no end of the list."""
    with pytest.raises(tf.AuthError, match="logging out of the web app ends the old one"):
        load(None, "token-revoked@3", page_size=10)


def parse_the_token(token: Any, what: str, hint: str) -> Any:
    payload = json.loads(base64.urlsafe_b64decode(token.reveal().split(".")[1] + "=="))
    assert payload["exp"] > datetime.now(UTC).timestamp()
    return token


@trap(19, patching(settings, "_checked_secret", parse_the_token))
def lifetimes_and_token_addresses_contradict_each_other(_: pytest.MonkeyPatch, __: Any) -> None:
    """Three token addresses and as many lifetimes are documented: a token is taken as it is, until the API refuses it."""
    old = base64.urlsafe_b64encode(json.dumps({"exp": 1}).encode()).decode().rstrip("=")
    world = World(11, 5)
    world.token = f"e30.{old}.x"
    with serving(world=world) as sandbox:
        assert tf.load_runs(EVERYTHING, settings=settings_for(sandbox)).height == 5
        assert {entry.path.rsplit("/", 1)[1] for entry in sandbox.requests} == {"runs"}


@trap(22, patching(protocol, "retry_after_s", lambda headers, _: float(headers["retry-after"])), dies_of=ValueError)
def retry_after_may_be_a_date(patch: pytest.MonkeyPatch, _: Any) -> None:
    """``Retry-After`` is seconds or an HTTP date."""
    clock = SkippingClock()
    patch.setattr(transport, "CLOCK", clock)
    report = tf.LoadReport()
    load(None, "429-date@2", report=report, page_size=50)
    assert report.throttled == 1
    assert 0.1 < max(clock.waited) <= 2


@trap(23, patching(protocol, "_message", lambda body: body["message"]), dies_of=KeyError)
def an_error_is_true_a_word_or_an_object(_: pytest.MonkeyPatch, __: Any) -> None:
    """``error`` is true, text or an object; ``message`` may be missing."""
    for body, said in (
        ({"error": True, "errors": {"name": ["too long"]}}, "name: too long"),
        ({"error": "invalid_client"}, "invalid_client"),
        ({"error": {"code": "X", "message": "no seats"}}, "no seats"),
    ):
        with pytest.raises(tf.ApiError, match=said):
            protocol.check(protocol.Request(("me",)), protocol.Reply(400, {}, json.dumps(body).encode()), now=datetime.now(UTC))


def outspoken(request: Any, reply: Any, **given: Any) -> None:
    if reply.status >= 500:
        raise tf.ServerError(reply.body.decode())
    protocol_check(request, reply, **given)


protocol_check = protocol.check


@trap(24, patching(protocol, "check", outspoken))
def server_errors_quote_sql(_: pytest.MonkeyPatch, __: Any) -> None:
    """5xx bodies leak SQL: never repeated."""
    with pytest.raises(tf.ServerError) as caught:
        load(None, "sql-500@1+")
    assert "SQLSTATE" not in str(caught.value)
    assert "secret_table" not in str(caught.value)


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


@trap(
    36,
    patching(templates_table.TemplateFilters, "snapshot_defaults", {}),
    patching(pipeline, "NotFound", type("Never", (Exception,), {})),
)
def an_archived_template_is_not_found(_: pytest.MonkeyPatch, __: Any) -> None:
    """Its own routes answer 404, though old runs point to it: templates come from both lists, and its steps are missing."""
    archived = [template for template in WORLD.templates if template.archived_at]
    assert {run.template.id for run in WORLD.runs} & {template.id for template in archived}
    report = tf.LoadReport()
    with serving() as sandbox:
        found = tf.load_dataset(EVERYTHING, include=("templates",), settings=settings_for(sandbox))
        steps = tf.load("template_steps", EVERYTHING, settings=settings_for(sandbox), report=report)
    assert found.dangling.filter(column="checklist_id").is_empty()
    assert report.lists_gone == len(archived)
    assert set(steps["checklist_id"]) == {template.id for template in WORLD.templates if template not in archived}


def active_ones(cells: Any, columns: Any, provenance: Any) -> Any:
    frame, unreadable = flatten(cells, columns, provenance)
    return frame.filter("active") if "active" in frame.columns else frame, unreadable


@trap(38, patching(shaping, "flatten", active_ones))
def members_come_in_every_state(_: pytest.MonkeyPatch, __: Any) -> None:
    """Disabled, invited and bot accounts are in the list, though ``users_count`` is of the active ones: tasks are theirs, too."""
    with serving() as sandbox:
        found = tf.load_dataset(EVERYTHING, include=("users", "task_owners"), settings=settings_for(sandbox))
    assert set(found.users["status"]) == {"active", "invited", "disabled", "bot"}
    assert dict(found.users.select("id", "status").iter_rows()) == {user.id: user.status for user in WORLD.users}
    assert found.users.filter("active").height < found.users.height
    assert found.dangling.filter(refers="users.id").is_empty()


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


def every_snapshot(spec: Table, files: Any, scan: Any = published.scan) -> Any:
    files = [*files]
    others = [place for place in Path(files[0][0]).parents[3].rglob("*.parquet") if not place.is_symlink()] if files else []
    return scan(spec, [(str(place), unquote(place.parent.name.partition("=")[2])) for place in others])


@trap(45, patching(published, "scan", every_snapshot))
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


@trap(52, patching(snapshot, "token_user", lambda _: None))
def a_token_sees_what_its_user_sees(_: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Fewer rights are fewer rows, and no error: a snapshot by another user does not replace the last one."""
    world = World(11, 30)
    with serving(world=world) as sandbox:
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
        world.users.reverse()
        with pytest.raises(tf.ShrinkRefused, match="belongs to user"):
            tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
