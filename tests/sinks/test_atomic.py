"""A file is replaced whole, or left alone."""

from pathlib import Path

import pytest

import tallyfy_frames as tf
from tallyfy_frames.sinks.atomic import replacing, write_text


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    place = tmp_path / "out.csv"
    place.write_text("old")
    with pytest.raises(RuntimeError), replacing(place) as file:
        file.write(b"half")
        raise RuntimeError
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_the_new_file_takes_its_place(tmp_path: Path) -> None:
    write_text(tmp_path / "out.csv", "new")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(tf.SinkError, match="cannot write"):
        write_text(tmp_path / "none" / "out.csv", "new")
