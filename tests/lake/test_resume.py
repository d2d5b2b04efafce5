"""A snapshot that dies goes on where it was: what is missing is read, nothing else, and then the whole is proven."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import settings_for
from oracle import actual, expected_run
from shell import RUN

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.lake import published
from tallyfy_frames.lake import snapshot as lake
from tallyfy_frames.lake.folder import Folder
from tallyfy_frames.lake.spool import DIGEST_BYTES, SPOOL_NAME
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sandbox.faults import Fault
from tallyfy_frames.sandbox.server import Logged

Serve = Callable[..., Sandbox]
DATA = tables.get("runs").names("data")
WORLD = World(3, 1500)
QUICK = {"attempts": 2, "page_size": 50}


def lists(sandbox: Sandbox, since: int = 0) -> list[Logged]:
    """The requests for pages."""
    return [entry for entry in sandbox.requests[since:] if entry.path.endswith("/runs")]


def answered(entries: list[Logged]) -> Counter[str]:
    """How often each page was shown."""
    return Counter(str(sorted(entry.query.items())) for entry in entries if entry.status == 200)


def assert_holds(root: Path, world: World) -> None:
    got = actual(tf.read_snapshot(root).select(DATA).collect().to_dicts())
    facts = {run.id: expected_run(run) for run in world.runs}
    assert len(got) == len(facts)
    assert all(row == facts[row["id"]] for row in got)


def still(sandbox: Sandbox) -> Sandbox:
    """The same API, well again."""
    sandbox.faults, sandbox.revoked = [], False
    return sandbox


@pytest.fixture(scope="module")
def clean() -> Counter[str]:
    """The pages that a job which nothing happens to is shown."""
    with Sandbox(WORLD) as sandbox:
        tf.load_runs({"archived": "include"}, settings=settings_for(sandbox, **QUICK))
        return answered(lists(sandbox))


BREAKS = {
    "429-hour": tf.RateLimited, "sql-500": tf.ServerError, "reset": tf.ServerError, "token-revoked": tf.AuthError,
    "foreign-redirect": tf.ApiError,
}  # fmt: skip


@pytest.mark.parametrize("at", [2, 9, 33])
@pytest.mark.parametrize("fault", BREAKS)
def test_the_next_run_asks_for_what_is_missing_publishes_and_says_when_it_all_began(
    serve: Serve, tmp_path: Path, clean: Counter[str], fault: str, at: int
) -> None:
    sandbox = serve(world=WORLD, faults=[f"{fault}@{at}+"])
    settings = settings_for(sandbox, **QUICK)
    first, second = tf.LoadReport(), tf.LoadReport()
    when = r"until 20\S+Z" if fault == "429-hour" else "within an hour"
    with pytest.raises(BREAKS[fault], match=rf"answers_kept=\d+.*the same snapshot {when} goes on from there"):
        tf.write_snapshot(tmp_path, settings=settings, report=first)
    assert not (tmp_path / "current").exists()
    still(sandbox)
    before, kept = len(sandbox.requests), answered(lists(sandbox))
    assert at - 1 <= kept.total() < at + 8  # another page may have been on its way
    tf.write_snapshot(tmp_path, settings=settings, report=second)
    assert_holds(tmp_path, WORLD)
    assert second.proof == "seen"
    asked = answered(lists(sandbox, before))
    # Pages that were on their way when the first run ended may be asked again; no others. But after a retry fewer pages were in
    # flight for a while, and where rows share an instant the windows then chosen are other ones than without it.
    retried = fault in {"sql-500", "reset"}
    assert (kept + asked - clean).total() <= settings.in_flight_max + (clean.total() // 3 if retried else 0)
    assert retried or not clean - kept - asked
    # What the first run had on its way may be answered, and counted by the server, only now.
    assert second.requests <= asked.total() <= second.requests + settings.in_flight_max
    assert first.started_at is not None
    assert second.started_at is not None
    assert abs((second.started_at - first.started_at).total_seconds()) < 0.5
    assert second.started_at.timestamp() < time.time() - (second.finished_at - second.started_at).total_seconds() + 1
    assert not (tmp_path / SPOOL_NAME).exists()


def test_a_third_run_goes_on_from_both_before_it(serve: Serve, tmp_path: Path, clean: Counter[str]) -> None:
    sandbox = serve(world=WORLD)
    for at in (9, 18, 27, 36):
        sandbox.faults = [Fault("429-hour", at)]
        with pytest.raises(tf.RateLimited):
            tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert_holds(tmp_path, WORLD)
    assert (answered(lists(sandbox)) - clean).total() <= 4 * 3  # a few on their way each time


def test_the_manifest_says_how_many_answers_an_earlier_job_had_read(
    serve: Serve, tmp_path: Path, clean: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = serve(world=WORLD)
    caplog.set_level("INFO", logger="tallyfy_frames.lake")
    assert tf.write_snapshot(tmp_path / "clean", settings=settings_for(sandbox, **QUICK)).tables["runs"].answers_resumed == 0
    assert not caplog.records
    before = stopped(sandbox, tmp_path / "lake")
    manifest = tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox, **QUICK))
    entry = manifest.tables["runs"]
    assert entry.answers_resumed >= 8
    assert entry.report["requests"] == len(lists(sandbox, before))
    assert entry.answers_resumed + entry.report["requests"] == clean.total()
    assert published.read_manifest(tmp_path / "lake") == manifest
    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"going on from {entry.answers_resumed} answers that an earlier job has read since 20"
    )
    assert record.levelname == "INFO", "no warning: all is well"


def test_several_tables_go_on_too(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=WORLD, faults=["429-hour@40"])
    settings = settings_for(sandbox, **QUICK)
    for names in (("users", "runs"), ("users", "runs")):
        users = sum(entry.path.endswith("/users") for entry in sandbox.requests)
        try:
            tf.write_snapshot(tmp_path, tables=names, settings=settings)
        except tf.RateLimited:
            assert users == 0
    assert sum(entry.path.endswith("/users") for entry in sandbox.requests) == users > 0
    entries = published.read_manifest(tmp_path).tables
    assert entries["users"].answers_resumed == entries["users"].report["pages"]
    assert 0 < entries["runs"].answers_resumed < entries["runs"].report["pages"]
    assert_holds(tmp_path, WORLD)
    assert tf.read_snapshot(tmp_path, "users").collect().height == len(WORLD.users)


def test_what_is_on_its_way_when_staging_fails_is_not_awaited_and_all_that_came_is_kept(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: Counter[str]
) -> None:
    sandbox = serve(world=WORLD)

    class Full(lake.ParquetSink):
        def write(self, frame: pl.DataFrame) -> None:
            if frame.height > 500:
                raise tf.SinkError("cannot write: No space left on device")
            super().write(frame)

    with monkeypatch.context() as patch:
        patch.setattr(lake, "ParquetSink", Full)
        with pytest.raises(tf.SinkError, match=r"No space left.*answers_kept"):
            tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    before = len(lists(sandbox))
    time.sleep(0.1)
    assert len(lists(sandbox)) == before, "nothing more is sent"
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert_holds(tmp_path, WORLD)
    assert (answered(lists(sandbox)) - clean).total() <= 8


PUBLISHING = lake._Publishing  # noqa: SLF001


@pytest.mark.parametrize(("owner", "step"), [(PUBLISHING, "check"), (PUBLISHING, "manifest"), (Folder, "publish")])
def test_a_failure_after_the_last_page_costs_no_page(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    sandbox = serve(world=WORLD)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail)
        with pytest.raises(KeyboardInterrupt):
            tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    before = len(sandbox.requests)
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert lists(sandbox, before) == []
    assert_holds(tmp_path, WORLD)


def test_ctrl_c_keeps_what_was_read(serve: Serve, tmp_path: Path, clean: Counter[str]) -> None:
    sandbox = serve(world=WORLD)
    seen: list[tf.ProgressEvent] = []

    def stop(event: tf.ProgressEvent) -> None:
        seen.append(event)
        if event.rows > 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupted:
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK), progress=stop)
    assert "answers are kept: the same snapshot within an hour goes on" in interrupted.value.__notes__[0]
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert_holds(tmp_path, WORLD)
    assert (answered(lists(sandbox)) - clean).total() <= 8


def test_a_full_disk_keeps_what_found_room(serve: Serve, tmp_path: Path, clean: Counter[str]) -> None:
    sandbox = serve(world=WORLD)
    job = (
        "import sys, tallyfy_frames as tf\n"
        "from dataclasses import replace\n"
        "try: tf.write_snapshot(sys.argv[1], settings=replace(tf.Settings.from_env(), page_size=50), progress=False)\n"
        "except tf.SinkError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", job, str(tmp_path / "lake")], env={**os.environ, **sandbox.environment},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "cannot write" in done.stdout
    assert "free some space" in done.stdout
    kept = answered(lists(sandbox))
    tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox, **QUICK))
    assert_holds(tmp_path / "lake", WORLD)
    assert kept.total() > 9
    assert (answered(lists(sandbox)) - clean).total() <= 8 + 1


NO_ANSWERS = {
    "html-200": tf.DecodeError, "half-json": tf.DecodeError, "empty-body": tf.DecodeError, "error-200": tf.DecodeError,
    "foreign-page": tf.PaginationError, "duplicate-row": tf.PaginationError,
}  # fmt: skip


@pytest.mark.parametrize("fault", NO_ANSWERS)
def test_a_maintenance_page_with_status_200_costs_no_more_than_one_with_503(
    serve: Serve, tmp_path: Path, clean: Counter[str], fault: str
) -> None:
    sandbox = serve(world=WORLD)
    for at in (9, 25):  # it may come back later
        sandbox.faults = [Fault(fault, at, None)]
        with pytest.raises(NO_ANSWERS[fault], match=r"answers_kept=\d+.*the same snapshot within an hour goes on from there"):
            tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    asked = len(lists(sandbox))
    tf.write_snapshot(tmp_path, settings=settings_for(still(sandbox), **QUICK))
    assert_holds(tmp_path, WORLD)
    assert len(lists(sandbox)) - asked < clean.total() - 9


REPEATING = {"bad-cell@9": tf.ContractError, "half-page@9+": tf.IncompleteRead, "total-low@1+": tf.IncompleteRead}


@pytest.mark.parametrize("fault", REPEATING)
def test_an_error_that_would_only_come_again_keeps_nothing(serve: Serve, tmp_path: Path, fault: str) -> None:
    sandbox = serve(world=World(3, 900), faults=[fault], quirks=["sort-ignored"] if "total" in fault else [])
    with pytest.raises(REPEATING[fault]) as caught:
        tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox, **QUICK))
    assert "kept" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [], "a root that was made for nothing is gone again"


def test_what_is_refused_beforehand_leaves_what_another_job_had_read(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=WORLD)
    tf.write_snapshot(tmp_path, tables=("users", "runs"), settings=settings_for(sandbox, **QUICK))
    sandbox.faults = [Fault("429-hour", sandbox.list_requests + 15)]
    with pytest.raises(tf.RateLimited):
        tf.write_snapshot(tmp_path, tables=("users", "runs"), settings=settings_for(sandbox, **QUICK))
    kept = (tmp_path / SPOOL_NAME).read_bytes()
    with pytest.raises(tf.ShrinkRefused):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert (tmp_path / SPOOL_NAME).read_bytes() == kept


def test_a_refused_shrink_keeps_nothing_because_rights_may_come_back(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 300))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
    with pytest.raises(tf.ShrinkRefused):
        tf.write_snapshot(tmp_path, {"status": "active"}, settings=settings_for(sandbox))
    assert not (tmp_path / SPOOL_NAME).exists()


@pytest.mark.parametrize("fault", ["429-hour@1", "token-revoked@1", "sql-500@1+"])
def test_a_root_made_for_a_job_that_had_read_nothing_is_gone_again(serve: Serve, tmp_path: Path, fault: str) -> None:
    with pytest.raises(tf.ApiError):
        tf.write_snapshot(tmp_path / "lake", settings=settings_for(serve(world=WORLD, faults=[fault]), **QUICK))
    assert list(tmp_path.iterdir()) == []


def test_a_root_made_for_a_job_that_has_read_something_holds_that_and_is_a_root(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=WORLD, faults=["429-hour@9"])
    with pytest.raises(tf.RateLimited):
        tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox, **QUICK))
    assert {place.name for place in (tmp_path / "lake").iterdir()} == {".lock", SPOOL_NAME}
    tf.write_snapshot(tmp_path / "lake", settings=settings_for(sandbox, **QUICK))
    assert {place.name for place in (tmp_path / "lake").iterdir()} == {".lock", "current", "snapshots"}


def stopped(sandbox: Sandbox, root: Path, **changes: Any) -> int:
    """A job that ends early; the requests so far."""
    sandbox.faults = [Fault("429-hour", sandbox.list_requests + 9)]
    with pytest.raises(tf.RateLimited):
        tf.write_snapshot(root, settings=settings_for(sandbox, **{**QUICK, **changes}))
    time.sleep(0.1)  # what was on its way is cut, but may be heard
    still(sandbox)
    return len(sandbox.requests)


OTHER_QUESTIONS: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "filters": ({"type": "form"}, {}),
    "archived": ({"archived": "only"}, {}),
    "page size": (None, {"page_size": 60}),
    "proof": (None, {"proof": "still"}),
}


@pytest.mark.parametrize("what", OTHER_QUESTIONS)
def test_another_question_drops_what_was_read_with_a_word(serve: Serve, tmp_path: Path, what: str) -> None:
    sandbox = serve(world=WORLD)
    before = stopped(sandbox, tmp_path)
    filters, changes = OTHER_QUESTIONS[what]
    with pytest.warns(tf.TallyfyFramesWarning, match="dropped: it answers another question"):
        manifest = tf.write_snapshot(tmp_path, filters, settings=settings_for(sandbox, **{**QUICK, **changes}))
    assert manifest.tables["runs"].report["requests"] == len(lists(sandbox, before))


def test_another_users_token_drops_what_was_read(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 1500))
    stopped(sandbox, tmp_path)
    sandbox.world.users.reverse()
    with pytest.warns(tf.TallyfyFramesWarning, match="dropped: it answers another question"):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert_holds(tmp_path, sandbox.world)


def test_a_new_token_of_the_same_user_goes_on(serve: Serve, tmp_path: Path, clean: Counter[str]) -> None:
    sandbox = serve(world=World(3, 1500))
    stopped(sandbox, tmp_path)
    sandbox.world.token = "another-token"
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert_holds(tmp_path, sandbox.world)
    assert (answered(lists(sandbox)) - clean).total() <= 8


def test_where_the_api_does_not_tell_the_user_only_the_same_token_goes_on(
    serve: Serve, tmp_path: Path, clean: Counter[str]
) -> None:
    """Trap 52: what an administrator's token was shown must not get into a guest's snapshot."""
    sandbox = serve(world=World(3, 1500), quirks=["me-forbidden"])
    stopped(sandbox, tmp_path / "same")
    before = stopped(sandbox, tmp_path / "other")
    tf.write_snapshot(tmp_path / "same", settings=settings_for(sandbox, **QUICK))
    assert len(lists(sandbox, before)) < clean.total()
    before, sandbox.world.token = len(sandbox.requests), "another-token"
    with pytest.warns(tf.TallyfyFramesWarning, match="dropped: it answers another question"):
        manifest = tf.write_snapshot(tmp_path / "other", settings=settings_for(sandbox, **QUICK))
    assert manifest.tables["runs"].report["requests"] == len(lists(sandbox, before))


def test_a_user_whom_the_api_no_longer_tells_is_another(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 1500))
    stopped(sandbox, tmp_path)
    sandbox.routes.quirks = frozenset({"me-forbidden"})
    with pytest.warns(tf.TallyfyFramesWarning, match="dropped: it answers another question"):
        tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))


def test_the_trace_of_a_token_is_not_the_token_and_is_another_in_each_organization(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=WORLD, quirks=["me-forbidden"])
    stopped(sandbox, tmp_path)
    header, _, _ = (tmp_path / SPOOL_NAME).read_bytes().partition(b"\n")
    binding = json.loads(header[2 * DIGEST_BYTES :])["binding"]
    assert len(binding["reader"]) == 32
    assert sandbox.token.encode() not in header
    assert hashlib.blake2b(sandbox.token.encode(), digest_size=16).hexdigest() != binding["reader"]
    elsewhere = tf.Settings(token=sandbox.token, org_id="0f", base_url=sandbox.base_url)
    assert lake._trace(elsewhere) != binding["reader"] == lake._trace(settings_for(sandbox))  # noqa: SLF001


def test_another_organization_or_address_drops_what_was_read(serve: Serve, tmp_path: Path) -> None:
    for other in (World(4, 900), World(3, 1500)):
        root = tmp_path / other.org_id
        stopped(serve(world=WORLD), root)
        sandbox = serve(world=other)
        with pytest.warns(tf.TallyfyFramesWarning, match="dropped: it answers another question"):
            tf.write_snapshot(root, settings=settings_for(sandbox, **QUICK))
        assert_holds(root, other)


def test_a_snapshot_published_in_between_drops_what_was_read(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=WORLD)
    stopped(sandbox, tmp_path)
    kept = (tmp_path / SPOOL_NAME).read_bytes()
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    (tmp_path / SPOOL_NAME).write_bytes(kept)
    before = len(sandbox.requests)
    with pytest.warns(tf.TallyfyFramesWarning, match="or a snapshot was published since"):
        manifest = tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert manifest.tables["runs"].report["requests"] == len(lists(sandbox, before))


@pytest.mark.parametrize("harm", ["old", "damaged"])
def test_an_old_or_damaged_spool_costs_its_pages_and_no_row(serve: Serve, tmp_path: Path, harm: str) -> None:
    sandbox = serve(world=WORLD)
    before = stopped(sandbox, tmp_path)
    place = tmp_path / SPOOL_NAME
    if harm == "old":
        os.utime(place, (time.time() - 3000 - 3601,) * 2)  # the API asked for 3000 s
    else:
        data = bytearray(place.read_bytes())
        data[len(data) // 2] ^= 4
        place.write_bytes(data)
    with pytest.warns(tf.TallyfyFramesWarning, match={"old": "more than an hour old", "damaged": "it is damaged"}[harm]):
        manifest = tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert manifest.tables["runs"].report["requests"] == len(lists(sandbox, before))
    assert_holds(tmp_path, WORLD)


def test_who_comes_back_when_the_api_allows_it_goes_on(serve: Serve, tmp_path: Path, clean: Counter[str]) -> None:
    sandbox = serve(world=WORLD)
    before = stopped(sandbox, tmp_path)
    status = (tmp_path / SPOOL_NAME).stat()
    os.utime(tmp_path / SPOOL_NAME, (status.st_atime, status.st_mtime - 3000 - 1800))
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    assert len(lists(sandbox, before)) < clean.total()
    assert_holds(tmp_path, WORLD)


def test_a_world_that_moved_in_between_is_still_read_whole(serve: Serve, tmp_path: Path) -> None:
    """What was there throughout is there: from the first request of the first run to the last answer of the second."""
    sandbox = serve(world=World(3, 1500), live=["delete:2", "create:2", "archive:1"])
    stopped(sandbox, tmp_path)
    tf.write_snapshot(tmp_path, settings=settings_for(sandbox, **QUICK))
    found = set(tf.read_snapshot(tmp_path).collect()["id"])
    assert sandbox.present_throughout({"archived": "true"}) <= found
    assert len(sandbox.present_throughout({"archived": "true"})) < 1500


def test_from_the_command_line_exit_code_6_then_0(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=WORLD, faults=["429-hour@12"])
    words = [*RUN, "snapshot", str(tmp_path)]
    options: dict[str, Any] = {
        "env": {**os.environ, **sandbox.environment},
        "capture_output": True,
        "text": True,
    }
    limited = subprocess.run(words, check=False, **options)
    assert limited.returncode == 6
    last = limited.stderr.splitlines()[-1]
    assert "retry_after_s=3000" in last
    assert "answers_kept=" in last
    assert re.search(r"the same snapshot until 20\S+Z goes on from there", last)
    before = len(sandbox.requests)
    done = subprocess.run(words, check=False, **options)
    assert done.returncode == 0, done.stderr
    assert len(lists(sandbox, before)) < len(lists(sandbox)[:before])
    assert_holds(tmp_path, WORLD)


def test_ctrl_c_on_the_command_line_leaves_within_a_second_and_says_what_is_kept(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=WORLD)
    job = subprocess.Popen(
        [*RUN, "snapshot", str(tmp_path)], env={**os.environ, **sandbox.environment}, stderr=subprocess.PIPE, text=True
    )
    while len(lists(sandbox)) < 6:
        assert job.poll() is None
        time.sleep(0.002)
    sandbox.latency_ms = 5000
    time.sleep(0.3)
    job.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, said = job.communicate(timeout=20)
    assert time.monotonic() - began < 1
    assert job.returncode == 130
    assert "Traceback" not in said
    assert "interrupted; " in said.splitlines()[-1]
    assert "answers are kept: the same snapshot within an hour goes on from there" in said.splitlines()[-1]
    assert (tmp_path / SPOOL_NAME).exists()


MANY = ("runs", "run_tasks", "run_kickoff_values", "template_steps", "activity", "users")


@pytest.mark.filterwarnings("ignore::tallyfy_frames.TallyfyFramesWarning")
@pytest.mark.parametrize("at", [3, 12, 25, 40])
def test_a_job_of_many_tables_goes_on_where_it_was(serve: Serve, tmp_path: Path, at: int) -> None:
    world = World(3, 400)
    whole = serve(world=world)
    tf.write_snapshot(tmp_path / "whole", tables=MANY, settings=settings_for(whole, **QUICK))
    sandbox = serve(world=world, faults=[f"sql-500@{at}+"])
    settings = settings_for(sandbox, **QUICK)
    with pytest.raises(tf.ServerError, match="the same snapshot"):
        tf.write_snapshot(tmp_path / "lake", tables=MANY, settings=settings)
    kept = [entry for entry in sandbox.requests if entry.status == 200]
    still(sandbox)
    manifest = tf.write_snapshot(tmp_path / "lake", tables=MANY, settings=settings)
    assert sum({entry.report["table"]: entry.answers_resumed for entry in manifest.tables.values()}.values()) >= len(kept) - 10
    assert len(sandbox.requests) < len(whole.requests) + 30
    for name in MANY:
        key, columns = tables.get(name).key, tables.get(name).names("data")
        one, other = (tf.read_snapshot(tmp_path / root, name).select(columns).collect().sort(key) for root in ("whole", "lake"))
        assert one.equals(other), name
