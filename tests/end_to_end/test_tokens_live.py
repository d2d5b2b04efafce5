"""Tokens that end while everything else goes on, over a real socket: nothing is lost, and no secret is shown."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import FAST
from shell import run

import tallyfy_frames as tf
from tallyfy_frames.api import protocol
from tallyfy_frames.api.transport import Client
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]
WAYS = ("application", "refresh")


def settings_of(sandbox: Sandbox, way: str, **changes: Any) -> tf.Settings:
    given = tf.Settings.from_env(sandbox.environment_of(way))
    names = ("org_id", "base_url", "client_id", "client_secret", "refresh_token")
    return tf.Settings(**{**{name: getattr(given, name) for name in names}, **FAST, **changes})


def secrets_of(sandbox: Sandbox) -> list[str]:
    tokens = sandbox.tokens
    refreshes = [tokens.text(f"refresh-{number}") for number in range(tokens.refreshes + 1)]
    return [sandbox.token, tokens.client_secret, *tokens.issued, *refreshes]


def one_token_request_per_expiry(sandbox: Sandbox, uses: int) -> bool:
    """Each token was used up before the next was given, and the route was asked for no other."""
    accepted = sum(entry.status != 401 for entry in sandbox.requests)
    used = [one.used for one in sandbox.tokens.issued.values()]
    full, rest = divmod(accepted, uses)
    return used == [uses] * full + [rest] * (rest > 0) and len(sandbox.token_requests) == math.ceil(accepted / uses)


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_ends_every_50_requests_costs_one_token_request_each_and_loses_none_of_8_threads(
    serve: Serve, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tallyfy_frames")
    sandbox = serve(world=World(2, 3000), token_uses=50)
    wanted = [run.id for run in sandbox.world.runs]
    settings = settings_of(sandbox, way, in_flight_max=8)
    flying, most = Counter[str](), 0
    lock = threading.Lock()
    with Client(settings) as client, ThreadPoolExecutor(8) as crowd:

        def ask(run_id: str) -> str:
            nonlocal most
            with lock:
                flying["now"] += 1
                most = max(most, flying["now"])
            row = client.ask(protocol.Request(("organizations", sandbox.org_id, "runs", run_id)), protocol.read_item)
            with lock:
                flying["now"] -= 1
            return row["id"]

        assert list(crowd.map(ask, wanted)) == wanted, "each run once, as it was asked for"
    assert most == 8
    assert one_token_request_per_expiry(sandbox, 50)
    assert len(sandbox.token_requests) == 60
    answers = Counter(entry.status for entry in sandbox.requests)
    assert answers.keys() == {200, 401}
    assert answers[401] <= 8 * 59, "each thread met the end of each token once at most"
    assert Counter(entry.path.rpartition("/")[2] for entry in sandbox.requests if entry.status == 200) == Counter(wanted)
    shown = caplog.text + repr(settings) + repr(vars(settings)) + repr(client) + repr(vars(client))
    assert not [secret for secret in secrets_of(sandbox) if secret in shown]


@pytest.mark.parametrize("way", WAYS)
def test_a_load_over_tokens_that_end_holds_every_run_once(serve: Serve, way: str) -> None:
    sandbox = serve(world=World(1, 800), token_uses=50)
    runs = tf.load_runs({"archived": "include"}, settings=settings_of(sandbox, way, page_size=12), progress=False)
    assert sorted(runs["id"]) == sorted(run.id for run in sandbox.world.runs)
    assert len(sandbox.token_requests) >= 2
    assert one_token_request_per_expiry(sandbox, 50)


def test_a_snapshot_whose_token_ends_in_its_midst_is_whole_and_holds_no_secret(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(1, 400), token_uses=7)
    refresh = tmp_path / "refresh"
    refresh.write_text(sandbox.tokens.refresh_token)
    way = {"refresh_token_file": str(refresh), "page_size": 20}
    manifest = tf.write_snapshot(
        tmp_path / "lake", tables=("runs", "users", "tags"), settings=settings_of(sandbox, "refresh", **way)
    )
    assert manifest.rows == 400 + len(sandbox.world.users) + manifest.tables["tags"].rows
    assert sorted(tf.read_snapshot(tmp_path / "lake").collect()["id"]) == sorted(run.id for run in sandbox.world.runs)
    assert len(sandbox.token_requests) >= 4
    assert one_token_request_per_expiry(sandbox, 7)
    assert refresh.read_text().strip() == sandbox.tokens.refresh_token, "the next job has the one that is good"
    kept = b"".join(file.read_bytes() for file in (tmp_path / "lake").rglob("*") if file.is_file())
    assert not [secret for secret in secrets_of(sandbox) if secret.encode() in kept]
    manifest = tf.write_snapshot(tmp_path / "lake", settings=settings_of(sandbox, "refresh", **way), allow_shrink=True)
    assert manifest.tables["runs"].rows == 400


@pytest.mark.parametrize("way", WAYS)
def test_an_application_that_is_revoked_for_good_ends_with_exit_code_3_and_what_to_do(
    serve: Serve, tmp_path: Path, way: str
) -> None:
    sandbox = serve(world=World(1, 300), faults=["token-revoked@3"])
    for words in (["snapshot", tmp_path / "lake"], ["doctor"]):
        done = run(*words, env=sandbox.environment_of(way))
        assert done.returncode == 3, done.stderr
        assert "invalid_client" in done.stderr
        assert "check TALLYFY_CLIENT_ID (it is a number) and TALLYFY_CLIENT_SECRET" in done.stderr
        assert "Traceback" not in done.stderr
        assert not [secret for secret in secrets_of(sandbox) if secret in done.stdout + done.stderr]
    assert not (tmp_path / "lake" / "current").exists()


def test_a_token_route_that_fails_twice_is_asked_a_third_time(serve: Serve) -> None:
    for fault in ("sql-500@1x2", "html-502@1x2", "html-200@1x2", "half-json@1x2", "reset@1x2"):
        sandbox = serve(world=World(1, 30), token_faults=[fault])
        assert tf.load_runs(settings=settings_of(sandbox, "application"), progress=False).height > 0
        assert len(sandbox.token_requests) == 3, fault


def test_a_refresh_token_that_was_used_before_says_so(serve: Serve) -> None:
    sandbox = serve(world=World(1, 3))
    settings = settings_of(sandbox, "refresh", refresh_token="of-last-week")
    with pytest.raises(tf.SignInError, match="the refresh token has ended, or was used before: sign in anew") as caught:
        tf.load_runs(settings=settings, progress=False)
    assert caught.value.where["url"] == f"{sandbox.base_url}/oauth/token"
    assert tf.errors.exit_code(caught.value) == 3


def test_the_same_application_goes_on_where_a_job_of_it_died_and_another_does_not(serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(world=World(3, 900), quirks=["me-forbidden"], faults=["html-502@8+"])
    settings = settings_of(sandbox, "application", attempts=2, page_size=50)
    for _ in range(2):
        with pytest.raises(tf.ServerError):
            tf.write_snapshot(tmp_path, settings=settings)
    sandbox.faults = []
    manifest = tf.write_snapshot(tmp_path, settings=settings)
    assert manifest.tables["runs"].answers_resumed > 0
    sandbox.faults, sandbox.list_requests = list(serve(world=World(1, 1), faults=["html-502@8+"]).faults), 0
    with pytest.raises(tf.ServerError):
        tf.write_snapshot(tmp_path, settings=settings)
    sandbox.faults = []
    with pytest.warns(tf.TallyfyFramesWarning, match="dropped: it answers another question"):
        tf.write_snapshot(tmp_path, settings=settings_of(sandbox, "refresh", page_size=50))


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("token", "with a personal access token"),
        ("application", "as application 4001, with tokens from http://"),
        ("refresh", "as application 4001 and a user's refresh token, with tokens from http://"),
    ],
)
def test_doctor_says_how_one_signs_in(serve: Serve, way: str, says: str) -> None:
    sandbox = serve(world=World(1, 5))
    done = run("doctor", env=sandbox.environment_of(way))
    assert done.returncode == 0, done.stderr
    assert says in done.stderr
    assert done.stderr.count("✓") == 5
    assert len(sandbox.token_requests) == (way != "token")


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({"TALLYFY_CLIENT_SECRET": "other"}, {}, "✗ address and token: no access token: Client authentication failed"),
        ({"TALLYFY_TOKEN_URL": "/oauth/tokens"}, {}, "✗ address and token: no access token: Endpoint not found"),
        ({}, {"quirks": ["application-no-user-data"]}, "one source says that an application's own token may not read runs"),
        ({}, {"quirks": ["application-foreign"]}, "lacks permissions for this organization"),
    ],
)
def test_doctor_says_what_failed(serve: Serve, changes: dict[str, str], options: dict[str, Any], says: str) -> None:
    sandbox = serve(world=World(1, 5), **options)
    if "TALLYFY_TOKEN_URL" in changes:
        changes = {"TALLYFY_TOKEN_URL": sandbox.base_url + changes["TALLYFY_TOKEN_URL"]}
    done = run("doctor", env={**sandbox.environment_of("application"), **changes})
    assert done.returncode == 3, done.stderr
    assert says in done.stderr
    assert "✗" in done.stderr


def test_the_command_lines_sandbox_prints_the_variables_of_each_way() -> None:
    refused = run("sandbox", "--sign-in", "password")
    assert refused.returncode == 2
    assert "there are token, application, refresh" in refused.stderr


def test_the_way_of_signing_in_is_in_no_json_log(serve: Serve) -> None:
    sandbox = serve(world=World(1, 5), token_faults=["sql-500@1"])
    done = run("doctor", "--log-format", "json", env=sandbox.environment_of("refresh"))
    assert done.returncode == 0
    assert all(json.loads(line) for line in done.stderr.splitlines())
    assert not [secret for secret in secrets_of(sandbox) if secret in done.stderr]
