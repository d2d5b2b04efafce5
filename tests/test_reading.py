"""What a caller reads with: arguments that would be misread are refused before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tallyfy_frames as tf
from tallyfy_frames import reading, tables


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"settings": "tok-0123"}, "settings must be Settings or None, not str"),
        ({"settings": {}}, "settings must be Settings or None, not dict"),
        ({"settings": tf.Settings}, "settings must be Settings or None, not type"),
        ({"report": {}}, "report must be a LoadReport or None, not dict"),
        ({"report": tf.LoadReport}, "report must be a LoadReport or None, not type"),
        ({"progress": "yes"}, "progress must be None, False or a function, not str"),
        ({"progress": True}, "progress must be None, False or a function, not bool"),
        ({"progress": 0}, "progress must be None, False or a function, not int"),
        ({"allow_incomplete": "no"}, "allow_incomplete must be True or False, not str"),
        ({"allow_incomplete": None}, "allow_incomplete must be True or False, not NoneType"),
        ({"on_invalid": None}, "use 'raise' or 'null' or 'quarantine'"),
        ({"limit": "5"}, "limit must be a whole number"),
        ({"created_since": 2031}, "created_since must be a date"),
    ],
)
def test_an_argument_of_another_kind_is_refused_with_what_was_expected(argument: dict[str, Any], says: str) -> None:
    for read in (tf.load_runs, tf.iter_runs, lambda **given: tf.load("users", **given)):
        with pytest.raises(tf.UsageError, match=says) as caught:  # not: no access token
            read(**argument)
        assert not isinstance(caught.value, tf.SettingsError)
        assert "tok-0123" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"settings": {}}, "settings must be Settings or None, not dict"),
        ({"allow_shrink": "no"}, "allow_shrink must be True or False, not str"),
        ({"tables": "runs"}, "tables must be a list of names"),
        ({"tables": 5}, "tables must be a list of names"),
        ({"tables": [[]]}, "tables must be a list of names"),
    ],
)
def test_so_is_one_of_a_snapshot(tmp_path: Path, argument: dict[str, Any], says: str) -> None:
    root = tmp_path / "lake"
    with pytest.raises(tf.UsageError, match=says):
        tf.write_snapshot(root, **{"settings": tf.Settings(token="tok-0123", org_id="0f"), **argument})
    assert not root.exists()


@pytest.mark.parametrize("piece", [1, 3, 10, 99])
def test_frames_are_put_in_order_piece_by_piece(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(reading, "GATHERED_ROWS", piece)
    table = tables.get("run_tasks")
    ids = [f"{number * 7 % 10:02d}" for number in range(10)]
    rows = (
        table.schema.to_frame()
        .clear(10)
        .with_columns(pl.Series("id", ids), position=pl.Series([number * 3 % 10 for number in range(10)], dtype=pl.Int64))
    )
    frames = [rows.head(4), rows.slice(4)]
    frame = reading.in_order(table, frames)
    assert frame.equals(rows.sort(table.rank))
    assert frame.schema == table.schema
    assert not frames
    assert reading.in_order(table, []).equals(table.schema.to_frame())
