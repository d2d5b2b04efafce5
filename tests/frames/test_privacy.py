"""Personal data is replaced or dropped in cells, before anything else sees it."""

from __future__ import annotations

import hashlib
import hmac

import polars as pl
import pytest

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.frames.decode import decode
from tallyfy_frames.frames.privacy import Privacy

KEY = b"a long random text"
RUNS, TASKS = tables.get("runs").columns, tables.get("tasks").columns


def hashed(text: str) -> str:
    return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()[:32]


def test_kept_is_as_it_was() -> None:
    cells = decode([{"id": "a", "name": "Pat"}], RUNS)
    assert Privacy().applied(cells, RUNS) is cells


def test_dropped_is_null_and_nothing_else_is_touched() -> None:
    cells = Privacy("drop").applied(decode([{"id": "a", "name": "Pat", "status": "active", "owner_id": 5}], RUNS), RUNS)
    assert (cells.columns["id"], cells.columns["status"], cells.columns["owner_id"]) == (["a"], ["active"], [5])
    assert cells.columns["name"] == [None]


def test_hashed_is_the_same_for_the_same_text_in_any_column_and_in_lists() -> None:
    rows = [{"id": "a", "title": "x@y.example", "owners": {"guests": ["x@y.example", "z@y.example"]}, "completer_guest": ""}]
    columns = Privacy("hash", KEY).applied(decode(rows, TASKS), TASKS).columns
    assert columns["title"] == [hashed("x@y.example")]
    assert columns["owner_guests"] == [[hashed("x@y.example"), hashed("z@y.example")]]
    assert columns["completer_guest"] == [None]
    assert columns["taskdata"] == [None]


def test_what_is_no_text_is_dropped_where_texts_are_hashed() -> None:
    answers = tables.get("run_kickoff_values").columns
    row = {"field_id": "f", "value": "42", "number": 42, "instant": "2031-04-05", "json": 42}
    columns = Privacy("hash", KEY).applied(decode([row], answers), answers).columns
    assert columns["value"] == [hashed("42")]
    assert columns["value_number"] == columns["value_at"] == [None]


def test_a_row_that_breaks_the_contract_is_not_kept_as_it_came() -> None:
    cells = decode([{"id": "a", "name": "Pat Six", "increment_id": "no number"}], RUNS)
    assert "Pat Six" in cells.row_text(0)
    for privacy in (Privacy("drop"), Privacy("hash", KEY)):
        assert "Pat Six" not in privacy.applied(cells, RUNS).row_text(0)


def test_another_key_makes_other_hashes_and_the_trace_of_a_key_is_no_key() -> None:
    one, other = Privacy("hash", KEY), Privacy("hash", b"another long random text")
    assert one.hashed("x") != other.hashed("x")
    assert one.facts()["key"] != other.facts()["key"]
    assert KEY.decode() not in str(one.facts()) + repr(one)
    assert Privacy("drop").facts() == {"mode": "drop"}


PEOPLE = {"email", "username", "first_name", "last_name", "full_name", "phone", "phone_1", "guests", "guest", "owner_guests",
          "completer_guest", "name", "title", "summary", "taskdata", "prerun", "value", "value_json", "json", "description",
          "actor", "last_known_ip", "custom_fields", "extra"}  # fmt: skip
OURS = {("folders", "name"), ("groups", "name"), ("groups", "description"),
        ("tags", "title"), ("templates", "title"), ("templates", "summary"), ("run_tags", "title"),
        ("template_steps", "title"), ("template_steps", "summary"), ("run_checklist", "title"), ("run_checklist", "summary")}  # fmt: skip


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_column_that_holds_personal_data_says_so(name: str) -> None:
    """By their names: what people are called, how they are reached, and what they write into runs."""
    for column in tables.get(name).columns:
        if column.name in PEOPLE and (name, column.name) not in OURS:
            assert column.personal, f"{name}.{column.name}"
        if column.personal:
            assert column.nullable, f"{name}.{column.name} cannot be dropped"
            assert column.name not in tables.get(name).key


def test_a_hash_needs_a_key_that_cannot_be_guessed() -> None:
    settings = {"token": "tok-0123", "org_id": "0f"}
    with pytest.raises(tf.SettingsError, match="TALLYFY_PRIVACY_KEY"):
        tf.load("users", settings=tf.Settings(**settings), privacy="hash")
    with pytest.raises(tf.SettingsError, match="fewer than 16 characters"):
        tf.load("users", settings=tf.Settings(**settings, privacy_key="short"), privacy="hash")
    with pytest.raises(tf.UsageError, match="'keep' or 'hash' or 'drop'"):
        tf.load("users", settings=tf.Settings(**settings), privacy="none")  # type: ignore[arg-type]
    with pytest.raises(tf.FilterError, match="personal data"):
        tf.load("runs", {"sort": "name"}, settings=tf.Settings(**settings), privacy="drop")
    assert "secret-key-of-ours" not in repr(tf.Settings(**settings, privacy_key="secret-key-of-ours"))


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_TOKEN", "tok-0123"), ("ORG_ID", "0f"), ("PRIVACY_KEY", KEY.decode())):
        monkeypatch.setenv(f"TALLYFY_{name}", value)
    assert tf.Settings.from_env().hashing_key() == KEY


def test_every_type_of_a_personal_column_can_be_dropped() -> None:
    kinds = {column.dtype.base_type() for name in tables.TABLES for column in tables.get(name).columns if column.personal}
    assert kinds <= {pl.String, pl.List, pl.Float64, pl.Datetime}
