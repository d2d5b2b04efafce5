"""A file is replaced whole, or left alone."""

import os
import stat
from pathlib import Path

import pytest

import tallyfy_frames as tf
from tallyfy_frames.atomic import replacing, write_bytes


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    place = tmp_path / "out.csv"
    place.write_text("old")
    with pytest.raises(RuntimeError), replacing(place) as file:
        file.write(b"half")
        raise RuntimeError
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_the_new_file_takes_its_place(tmp_path: Path) -> None:
    write_bytes(tmp_path / "out.csv", b"new")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["new"]


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(tf.SinkError, match="cannot write"):
        write_bytes(tmp_path / "none" / "out.csv", b"new")


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    target = tmp_path / "data" / "runs.csv"
    target.write_text("old")
    for name, leads_to in (("latest.csv", "data/runs.csv"), ("chain.csv", "latest.csv"), ("new.csv", "data/new.csv")):
        (tmp_path / name).symlink_to(leads_to)
        write_bytes(tmp_path / name, name.encode())
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / leads_to).read_text() == name
    assert target.read_text() == "chain.csv"
    assert {place.name for place in (tmp_path / "data").iterdir()} == {"runs.csv", "new.csv"}


def test_what_is_no_file_is_refused_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    (tmp_path / "round").symlink_to("round")
    for name, says in (
        ("pipe", "pipe or a device"),
        ("link", "pipe or a device"),
        (".", "a folder"),
        ("round", "cannot write"),
    ):
        with pytest.raises(tf.SinkError, match=says):
            write_bytes(tmp_path / name, b"new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert {place.name for place in tmp_path.iterdir()} == {"pipe", "link", "round"}


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o664])
def test_the_mode_of_a_file_stays_from_the_first_byte_on(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "out.csv"
    place.write_text("old")
    place.chmod(mode)
    with replacing(place) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode
        file.write(b"new")
    assert stat.S_IMODE(place.stat().st_mode) == mode
    assert place.read_text() == "new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_the_owner_and_group_of_a_file_stay(tmp_path: Path) -> None:
    place = tmp_path / "out.csv"
    place.write_text("old")
    os.chown(place, 12345, 23456)
    write_bytes(place, b"new")
    assert (place.stat().st_uid, place.stat().st_gid) == (12345, 23456)
