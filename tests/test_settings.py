"""Who we are to the API: from arguments and the environment, with nothing that could not work or would leak."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

import tallyfy_frames as tf
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.settings import Secret, cache_folder

GOOD = {"token": "tok", "org_id": "0f"}
APPLICATION = {"token": None, "client_id": "4711", "client_secret": "s"}


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYFY_ACCESS_TOKEN", "tok")
    monkeypatch.setenv("TALLYFY_ORG_ID", "0f")
    settings = tf.Settings.from_env()
    assert settings.base_url == "https://go.tallyfy.com/api"
    assert settings == tf.Settings(**GOOD)


def test_a_token_file_serves_where_no_token_is_set(tmp_path: Path) -> None:
    place = tmp_path / "token"
    place.write_text("tok\n")
    settings = tf.Settings.from_env({"TALLYFY_ACCESS_TOKEN_FILE": str(place), "TALLYFY_ORG_ID": "0f"})
    assert settings == tf.Settings(**GOOD)
    with pytest.raises(tf.SettingsError, match="cannot read the file of the access token"):
        tf.Settings.from_env({"TALLYFY_ACCESS_TOKEN_FILE": str(tmp_path / "none"), "TALLYFY_ORG_ID": "0f"})


@pytest.mark.parametrize(
    "url", ["https://go.tallyfy.com/api/", "https://api.tallyfy.com", "http://127.0.0.1:8000/api", "http://localhost:1"]
)
def test_either_base_works_and_loopback_may_be_plain(url: str) -> None:
    assert not tf.Settings(**GOOD, base_url=url).base_url.endswith("/")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"token": ""}, "no access token"),
        ({"token": "  \n"}, "no access token"),
        ({"token": "Bearer tok"}, "without the word Bearer"),
        ({"token": "tok\nX-Header: 1"}, "characters that no token has"),
        ({"token": "tök"}, "characters that no token has"),
        ({"org_id": ""}, "no organization id"),
        ({"org_id": "../me"}, "characters that no id has"),
        ({"base_url": "http://go.tallyfy.com/api"}, "plain http"),
        ({"base_url": "http://127.0.0.1.example.net"}, "plain http"),
        ({"base_url": "ftp://go.tallyfy.com"}, "not an http"),
        ({"base_url": "go.tallyfy.com"}, "not an http"),
        ({"base_url": "https://go.tallyfy.com:port"}, "not an http"),
        ({"base_url": "https://user:pass@go.tallyfy.com"}, "user, password"),
        ({"base_url": "https://go.tallyfy.com/api?x=1"}, "user, password, query"),
        ({"page_size": 0}, "page_size must be whole"),
        ({"page_size": 101}, "page_size must be 1 to 100"),
        ({"attempts": 0}, "attempts must be"),
        ({"attempts": 2.5}, "attempts must be whole"),
        ({"page_size": "50"}, "page_size must be whole"),
        ({"page_size": True}, "page_size must be whole"),
        ({"token": None}, "no access token"),
        ({"token": 123}, "the access token must be text, not int"),
        ({"org_id": 5}, "org_id must be text"),
        ({"base_url": None}, "base_url must be text"),
        ({"base_url": "https://ex..ample.com"}, "no host name"),
        ({"base_url": "https://-\u00e4.com"}, "no host name"),
        ({"base_url": "https://go.tallyfy.com/api?"}, "query or fragment"),
        ({"base_url": "https://go.tallyfy.com/a\x01pi"}, "no host name"),
        ({"read_timeout_s": 0}, "read_timeout_s must be from"),
        ({"max_wait_s": -1}, "max_wait_s must be from"),
        ({"client_id": "4711"}, "two ways to sign in: an access token, and client_id;"),
        ({"client_id": "4711", "client_secret": "s"}, "two ways to sign in"),
        ({"refresh_token": "r"}, "two ways to sign in"),
        ({"token": None, "client_id": "4711"}, "client_id without client_secret"),
        ({"token": None, "client_id": "4711", "client_secret": " "}, "client_id without client_secret"),
        ({"token": None, "client_secret": "s"}, "client_secret without client_id"),
        ({"token": None, "refresh_token": "r"}, "refresh_token without client_id and client_secret"),
        ({"token": None, "client_id": "4711", "refresh_token": "r"}, "client_id and refresh_token without client_secret"),
        ({**APPLICATION, "client_id": 4711}, "client_id must be text, not int"),
        ({**APPLICATION, "client_id": "47 11"}, "the client id holds spaces"),
        ({**APPLICATION, "client_secret": "s\nx"}, "the client secret holds spaces or characters that no secret has"),
        ({**APPLICATION, "client_secret": b"s"}, "the client secret must be text, not bytes"),
        ({**APPLICATION, "refresh_token": "Bearer r"}, "the refresh token holds spaces or characters that no token has"),
        ({**APPLICATION, "token_url": "http://go.tallyfy.com/oauth/token"}, "plain http would send secrets"),
        ({**APPLICATION, "token_url": "https://go.tallyfy.com/oauth/token?x=1"}, "the token URL holds a user, password, query"),
        ({**APPLICATION, "token_url": "go.tallyfy.com/oauth/token"}, "the token URL is not an http"),
        ({**APPLICATION, "token_url": 5}, "token_url must be text"),
        ({**APPLICATION, "token_url": "http://127.0.0.1:1/oauth/token"}, "on this machine, the other is not"),
        (
            {**APPLICATION, "base_url": "http://127.0.0.1:1/api", "token_url": "https://go.tallyfy.com/oauth/token"},
            "on this machine, the other is not",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(changes: dict[str, object], says: str) -> None:
    with pytest.raises(tf.SettingsError, match=says):
        tf.Settings(**{**GOOD, **changes})


def test_an_application_signs_in_instead_of_a_token_and_blank_is_not_given() -> None:
    names = {
        "TALLYFY_ACCESS_TOKEN": "",
        "TALLYFY_CLIENT_ID": " 4711 ",
        "TALLYFY_CLIENT_SECRET": "s\n",
        "TALLYFY_REFRESH_TOKEN": "",
    }
    settings = tf.Settings.from_env({**names, "TALLYFY_ORG_ID": "0f"})
    assert settings == tf.Settings(client_id="4711", client_secret="s", org_id="0f", token=" ")
    assert settings.token is settings.refresh_token is None
    assert settings.token_route == "https://go.tallyfy.com/api/oauth/token"
    elsewhere = {"TALLYFY_BASE_URL": "https://staging.go.tallyfy.com/api/", "TALLYFY_ORG_ID": "0f"}
    assert tf.Settings.from_env({**names, **elsewhere}).token_route == "https://staging.go.tallyfy.com/api/oauth/token"
    named = {"TALLYFY_TOKEN_URL": "https://account.tallyfy.com/oauth/token/", "TALLYFY_ORG_ID": "0f"}
    assert tf.Settings.from_env({**names, **named}).token_route == "https://account.tallyfy.com/oauth/token"


def test_secrets_of_an_application_may_lie_in_files_and_the_next_refresh_token_is_put_into_its_own(tmp_path: Path) -> None:
    secret, refresh = tmp_path / "secret", tmp_path / "refresh"
    secret.write_text("s\n")
    refresh.write_text("r1\n")
    refresh.chmod(0o640)
    names = {"TALLYFY_CLIENT_ID": "4711", "TALLYFY_CLIENT_SECRET_FILE": str(secret), "TALLYFY_ORG_ID": "0f"}
    settings = tf.Settings.from_env({**names, "TALLYFY_REFRESH_TOKEN_FILE": str(refresh)})
    assert settings == tf.Settings(
        client_id="4711", client_secret="s", refresh_token="r1", refresh_token_file=str(refresh), org_id="0f"
    )
    settings.keep_refresh_token(Secret("r2"))
    assert (refresh.read_text(), refresh.stat().st_mode & 0o777) == ("r2\n", 0o640)
    refresh.unlink()
    settings.keep_refresh_token(Secret("r3"))
    assert (refresh.read_text(), refresh.stat().st_mode & 0o777) == ("r3\n", 0o600), "a new one is for its owner alone"
    given = tf.Settings.from_env({**names, "TALLYFY_REFRESH_TOKEN": "r1", "TALLYFY_REFRESH_TOKEN_FILE": str(refresh)})
    assert given.refresh_token_file is None, "a file that was not read is not written"
    given.keep_refresh_token(Secret("r4"))
    assert refresh.read_text() == "r3\n"


def test_a_file_that_was_named_must_hold_something(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name, what in (
        ("CLIENT_SECRET", "client secret"),
        ("REFRESH_TOKEN", "refresh token"),
        ("ACCESS_TOKEN", "access token"),
    ):
        with pytest.raises(tf.SettingsError, match=f"cannot read the file of the {what}: it is empty") as caught:
            tf.Settings.from_env({f"TALLYFY_{name}_FILE": str(tmp_path / "empty"), "TALLYFY_ORG_ID": "0f"})
        assert caught.value.where == {f"TALLYFY_{name}_FILE": str(tmp_path / "empty")}


def test_every_secret_hides_in_every_repr() -> None:
    settings = tf.Settings(client_id="4711", client_secret="sec-ret", refresh_token="ref-resh", org_id="0f")
    shown = f"{settings} {settings!r} {vars(settings)} {settings.credentials}"
    assert "sec-ret" not in shown
    assert "ref-resh" not in shown


def test_the_token_hides_in_every_repr() -> None:
    settings = tf.Settings(token="tok-secret", org_id="0f")
    assert "tok-secret" not in f"{settings} {settings!r} {settings.token} {settings.token!r} {vars(settings)}"


def told(call: Callable[[], object]) -> str:
    """All that a traceback with the value of every local variable would show of a failed call."""
    with pytest.raises(tf.TallyfyFramesError) as caught:
        call()
    shown, error = "", caught.value
    while error is not None:
        shown += "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        error = error.__context__
    return shown


TOKEN = "tok-0123456789"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"TALLYFY_ACCESS_TOKEN": f"Bearer {TOKEN}"}, "without the word Bearer"),
        ({"TALLYFY_ACCESS_TOKEN": f"{TOKEN}\x7f"}, "characters that no token has"),
        ({"TALLYFY_ORG_ID": ""}, "no organization id"),
        ({"TALLYFY_ORG_ID": "../me"}, "characters that no id has"),
        ({"TALLYFY_BASE_URL": "http://go.tallyfy.com/api"}, "plain http"),
        ({"TALLYFY_BASE_URL": "https://go.tallyfy.com:port"}, "not an http"),
        ({"TALLYFY_ACCESS_TOKEN": "", "TALLYFY_ACCESS_TOKEN_FILE": "none", "OTHER": TOKEN}, "No such file"),
        ({"TALLYFY_ACCESS_TOKEN": "", "TALLYFY_ACCESS_TOKEN_FILE": "bytes"}, "it is not text"),
        ({"TALLYFY_ACCESS_TOKEN": "", "TALLYFY_ACCESS_TOKEN_FILE": "words"}, "without the word Bearer"),
        ({"TALLYFY_CLIENT_ID": "4711", "TALLYFY_CLIENT_SECRET": TOKEN}, "two ways to sign in"),
        ({"TALLYFY_ACCESS_TOKEN": "", "TALLYFY_CLIENT_SECRET": TOKEN}, "client_secret without client_id"),
        ({"TALLYFY_ACCESS_TOKEN": "", "TALLYFY_CLIENT_ID": "1", "TALLYFY_CLIENT_SECRET_FILE": "words"}, "no secret has"),
    ],
)
def test_no_frame_on_the_way_to_an_error_holds_the_token_in_the_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bytes").write_bytes(b"\xff" + TOKEN.encode())
    Path("words").write_text(f"Bearer {TOKEN}")
    for name, value in {"TALLYFY_ACCESS_TOKEN": TOKEN, "TALLYFY_ORG_ID": "0f", **changes}.items():
        monkeypatch.setenv(name, value)
    for call in (tf.Settings.from_env, tf.load_runs, lambda: tf.write_snapshot("lake")):
        shown = told(call)
        assert says in shown
        assert TOKEN not in shown


def test_nor_does_one_on_the_way_to_what_the_api_refuses(
    serve: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**serve(world=World(1, 5)).environment, "TALLYFY_ACCESS_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    for call in (tf.load_runs, lambda: list(tf.iter_runs()), lambda: tf.write_snapshot(tmp_path / "lake")):
        shown = told(call)
        assert "get a new personal access token" in shown
        assert TOKEN not in shown


def test_jobs_work_in_the_users_cache_or_without_a_home_below_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "tallyfy-frames"
    monkeypatch.setenv("HOME", "/nonexistent")
    assert cache_folder() == Path(tempfile.gettempdir()) / f"tallyfy-frames-{os.getuid()}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "tallyfy-frames"
