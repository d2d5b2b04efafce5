"""Who we are to the API: from arguments and the environment, with nothing that could not work or would leak."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

import tallyfy_frames as tf
from tallyfy_frames.sandbox import Sandbox, World

GOOD = {"token": "tok", "org_id": "0f"}


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
    assert settings.secret.reveal() == "tok"
    with pytest.raises(tf.SettingsError, match="cannot read the token file"):
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
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(changes: dict[str, object], says: str) -> None:
    with pytest.raises(tf.SettingsError, match=says):
        tf.Settings(**{**GOOD, **changes})


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
