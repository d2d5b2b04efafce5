"""The spool: what a dead job has read is used once more, whole and by its own question, or not at all."""

from __future__ import annotations

import itertools
import json
import os
import re
import resource
import signal
import stat
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames.lake.spool import FRESH_S, HEAD, SIZES, SPOOL_NAME, WAIT, WAIT_MAX_S, Spool
from tallyfy_frames.sandbox import Sandbox, World

BINDING: dict[str, Any] = {
    "base_url": "https://api.example.net/api",
    "organization_id": "0f",
    "reader": 1,
    "tables": {"runs": {"archived": "include", "tag_ids": ["a", "b"]}},
    "page_size": 100,
    "proof": "seen",
    "current": None,
    "contract_version": "1.0",
    "tallyfy_frames": "0.2.0",
}
ANSWERS = [("a", b"first of a"), ("b", b"of b" * 1000), ("a", b"second of a"), ("ü", b"\0\xff")]


def dies(root: Path, answers: list[tuple[str, bytes]] = ANSWERS) -> Path:
    """A job that keeps these answers, then is interrupted."""
    with pytest.raises(KeyboardInterrupt), Spool(root, BINDING) as spool:
        for key, data in answers:
            spool.put(key, data)
        raise KeyboardInterrupt
    return root / SPOOL_NAME


def words(root: Path, binding: dict[str, Any] = BINDING) -> tuple[int, list[str]]:
    """How many answers the next job takes over, and what it says of those that it drops."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with Spool(root, binding) as spool:
            found = spool.found
    assert all(issubclass(warning.category, tf.TallyfyFramesWarning) for warning in said)
    return found, [str(warning.message) for warning in said]


def test_what_a_dead_job_has_kept_the_next_one_takes_in_the_order_it_came_each_once(tmp_path: Path) -> None:
    dies(tmp_path)
    with Spool(tmp_path, BINDING) as spool:
        assert (spool.found, spool.kept) == (4, 4)
        assert [spool.take("a"), spool.take("a"), spool.take("a")] == [b"first of a", b"second of a", None]
        assert [spool.take("b"), spool.take("b")] == [b"of b" * 1000, None]
        assert spool.take("ü") == b"\0\xff"
        assert spool.take("never put") is None


def test_nothing_is_said_and_nothing_found_where_nothing_was_left(tmp_path: Path) -> None:
    assert words(tmp_path) == (0, [])
    (tmp_path / SPOOL_NAME).touch()  # a job that died between its first two steps
    assert words(tmp_path) == (0, [])


def test_what_a_job_keeps_is_for_the_next_one_only(tmp_path: Path) -> None:
    with Spool(tmp_path, BINDING) as spool:
        spool.put("a", b"mine")
        assert spool.take("a") is None


def test_a_third_job_gets_what_the_first_two_have_read(tmp_path: Path) -> None:
    dies(tmp_path)
    dies(tmp_path, [("a", b"third of a"), ("c", b"of c")])
    with Spool(tmp_path, BINDING) as spool:
        assert spool.found == 6
        assert [spool.take("a") for _ in range(4)] == [b"first of a", b"second of a", b"third of a", None]


def test_the_start_is_that_of_the_first_of_these_jobs(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as spool:
        first = spool.began_at
        spool.put("a", b"x")
        raise KeyboardInterrupt
    dies(tmp_path)
    with Spool(tmp_path, BINDING) as spool:
        assert spool.began_at == first


def test_success_leaves_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path, BINDING) as spool:
        spool.put("a", b"x")
    assert list(tmp_path.iterdir()) == []


PASSING = [
    tf.RateLimited, tf.ServerError, tf.AuthError, tf.NotFound, tf.SinkError, OSError, MemoryError, KeyboardInterrupt, SystemExit,
]  # fmt: skip
STAYING = [
    tf.ContractError, tf.DecodeError, tf.FilterError, tf.IncompleteRead, tf.PaginationError, tf.ShrinkRefused, ZeroDivisionError,
]  # fmt: skip
NO_ANSWERS = [tf.DecodeError, tf.PaginationError]


@pytest.mark.parametrize("kind", [*PASSING, *STAYING])
def test_what_was_read_stays_after_an_error_that_may_pass_and_is_gone_after_one_that_came_of_it(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    with pytest.raises(kind), Spool(tmp_path, BINDING) as spool:
        spool.put("a", b"x")
        raise kind("x")
    assert words(tmp_path) == (1 if kind in PASSING else 0, [])


@pytest.mark.parametrize("kind", [*PASSING, *STAYING])
def test_what_was_read_stays_too_when_what_came_next_was_no_answer(tmp_path: Path, kind: type[BaseException]) -> None:
    with pytest.raises(kind), Spool(tmp_path, BINDING) as spool:
        spool.put("a", b"x")
        with spool.asking():
            raise kind("x")
    assert words(tmp_path) == (1 if kind in {*PASSING, *NO_ANSWERS} else 0, [])


def test_an_error_that_asking_again_does_not_help_against_keeps_nothing(tmp_path: Path) -> None:
    with pytest.raises(tf.DecodeError), Spool(tmp_path, BINDING) as spool:
        spool.put("a", b"x")
        with spool.asking():
            error = tf.DecodeError("larger than allowed")
            error.retriable = False
            raise error
    assert words(tmp_path) == (0, [])


@pytest.mark.parametrize(("kind", "stays"), [(tf.DecodeError, True), (tf.PaginationError, False)])
def test_a_page_that_contradicts_the_question_stops_no_more_than_two_jobs(
    tmp_path: Path, kind: type[Exception], stays: bool
) -> None:
    """It may have been asked for because of an answer that is kept; a maintenance page says nothing of that kind."""
    place = dies(tmp_path)
    with pytest.raises(kind), Spool(tmp_path, BINDING) as spool, spool.asking():
        raise kind("x")
    assert place.exists() == stays
    dies(tmp_path)
    with pytest.raises(kind), Spool(tmp_path, BINDING) as spool:
        spool.put("new", b"so it gets further")
        with spool.asking():
            raise kind("x")
    assert place.exists()


@pytest.mark.parametrize("kind", PASSING)
def test_nothing_is_left_by_a_job_that_had_read_nothing(tmp_path: Path, kind: type[BaseException]) -> None:
    with pytest.raises(kind) as caught, Spool(tmp_path, BINDING):
        raise kind("x")
    assert list(tmp_path.iterdir()) == []
    assert "kept" not in str(caught.value)


def test_whoever_sees_the_error_is_told_what_is_kept_and_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(tf.RateLimited) as limited, Spool(tmp_path, BINDING) as spool:
        spool.put("a", b"x")
        raise tf.RateLimited("refused", hint="wait")
    assert str(limited.value) == "refused (answers_kept=1); wait; the same snapshot within an hour goes on from there"
    with pytest.raises(KeyboardInterrupt) as interrupted, Spool(tmp_path, BINDING):
        raise KeyboardInterrupt
    assert interrupted.value.__notes__ == ["1 answers are kept: the same snapshot within an hour goes on from there"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_nobody_else_may_read_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        place = dies(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    place.chmod(0o644)
    assert stat.S_IMODE(dies(tmp_path).stat().st_mode) == 0o600


def test_a_record_that_ends_too_early_is_cut_off_and_the_rest_used(tmp_path: Path) -> None:
    place = dies(tmp_path)
    whole = place.read_bytes()
    sizes = [len(whole)]
    for kept in (3, 2, 1):
        (tmp_path / str(kept)).mkdir()
        sizes.append(dies(tmp_path / str(kept), ANSWERS[:kept]).stat().st_size)
    header = whole.index(b"\n") + 1
    for size in range(header, len(whole)):
        place.write_bytes(whole[:size])
        found = sum(size >= end for end in sizes)
        with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as spool:
            assert (spool.found, place.stat().st_size) == (found, max([header, *(end for end in sizes if end <= size)]))
            spool.put("new", b"after the cut")
            raise KeyboardInterrupt
        assert words(tmp_path) == (found + 1, [])


def test_a_flipped_bit_anywhere_drops_all_of_it_with_a_word(tmp_path: Path) -> None:
    whole = dies(tmp_path, ANSWERS[:2]).read_bytes()
    for position, bit in itertools.product(range(len(whole)), range(8)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
        (tmp_path / SPOOL_NAME).write_bytes(damaged)
        assert words(tmp_path) == (0, ["what an earlier job had read is dropped: it is damaged"]), (position, bit)


def parts(place: Path) -> list[bytes]:
    """The first line of a spool, then its records."""
    line, newline, rest = place.read_bytes().partition(b"\n")
    found = [line + newline]
    while rest:
        facts, _ = HEAD.unpack_from(rest)
        name_size, size, _ = SIZES.unpack_from(facts)
        end = HEAD.size + name_size + size
        found.append(rest[:end])
        rest = rest[end:]
    return found


MOVED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "in another order": lambda records: [records[2], records[1], records[0], records[3]],
    "the first is gone": lambda records: records[1:],
    "one is gone": lambda records: records[:1] + records[2:],
    "one is there twice": lambda records: records[:2] + records[1:],
    "all are there twice": lambda records: records * 2,
}


@pytest.mark.parametrize("how", MOVED)
def test_whole_records_that_do_not_stand_where_they_were_written_drop_all_of_it(tmp_path: Path, how: str) -> None:
    """The second answer under a key is another one than the first: it was given later."""
    line, *records = parts(dies(tmp_path))
    (tmp_path / SPOOL_NAME).write_bytes(line + b"".join(MOVED[how](records)))
    assert words(tmp_path) == (0, ["what an earlier job had read is dropped: it is damaged"])


def test_a_record_of_another_spool_drops_all_of_it_even_where_that_answered_the_same_question(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    place = dies(tmp_path / "one")
    line, first, *rest = parts(place)
    _, foreign, *_ = parts(dies(tmp_path / "other"))
    place.write_bytes(line + foreign + b"".join(rest))
    assert words(tmp_path / "one") == (0, ["what an earlier job had read is dropped: it is damaged"])
    assert first != foreign


@pytest.mark.parametrize("left", range(5))
def test_records_that_are_gone_from_the_end_are_asked_for_again(tmp_path: Path, left: int) -> None:
    line, *records = parts(dies(tmp_path))
    (tmp_path / SPOOL_NAME).write_bytes(line + b"".join(records[:left]))
    dies(tmp_path, [("new", b"after what was left")])
    assert words(tmp_path) == (left + 1, [])


@pytest.mark.parametrize("text", [b"{}\n", b"\n", b"[]\n", b"\xff\xfe\n", b"no line end", b"x" * 3_000_000])
def test_a_file_that_is_no_spool_is_dropped_with_a_word(tmp_path: Path, text: bytes) -> None:
    (tmp_path / SPOOL_NAME).write_bytes(text)
    assert words(tmp_path) == (0, ["what an earlier job had read is dropped: it is damaged"])


OTHER = {
    "base_url": "https://api.example.net/other", "organization_id": "0e", "reader": "9f2c", "page_size": 99,
    "tables": {"runs": {"archived": "include"}}, "proof": "still", "current": "20310601T120000Z-0123abcd",
    "contract_version": "1.1", "tallyfy_frames": "0.2.1",
}  # fmt: skip


@pytest.mark.parametrize("name", BINDING)
def test_answers_to_another_question_are_dropped_with_a_word(tmp_path: Path, name: str) -> None:
    dies(tmp_path)
    found, said = words(tmp_path, {**BINDING, name: OTHER[name]})
    assert found == 0
    assert said == ["what an earlier job had read is dropped: it answers another question, or a snapshot was published since"]


def test_a_dropped_spool_begins_anew_for_the_new_question(tmp_path: Path) -> None:
    dies(tmp_path)
    other = {**BINDING, "page_size": 50}
    with pytest.raises(KeyboardInterrupt), Spool(tmp_path, other) as spool:
        assert spool.take("a") is None
        spool.put("a", b"of 50")
        raise KeyboardInterrupt
    with Spool(tmp_path, other) as spool:
        assert [spool.take("a"), spool.take("a")] == [b"of 50", None]


@pytest.mark.parametrize(("age_s", "fresh"), [(FRESH_S - 60, True), (FRESH_S + 1, False), (-FRESH_S - 60, False)])
def test_an_hour_after_the_last_answer_it_is_dropped_with_a_word(tmp_path: Path, age_s: float, fresh: bool) -> None:
    place = dies(tmp_path)
    os.utime(place, (time.time() - age_s,) * 2)
    assert words(tmp_path) == (
        (4, []) if fresh else (0, ["what an earlier job had read is dropped: it is more than an hour old"])
    )


def is_told_to_wait(root: Path, wait_s: float | None, *answers: tuple[str, bytes]) -> tf.RateLimited:
    """A job that keeps these answers, then hears from the API when to come back."""
    with pytest.raises(tf.RateLimited) as caught, Spool(root, BINDING) as spool:
        for key, data in answers:
            spool.put(key, data)
        raise tf.RateLimited("refused", retry_after_s=wait_s)
    return caught.value


def until(error: tf.RateLimited) -> float:
    """The time until which it says that the next job goes on."""
    said = re.search(r"the same snapshot until (\S+Z) goes on from there$", str(error))
    return datetime.fromisoformat(said[1]).timestamp()


def grow_old(root: Path, seconds: float) -> None:
    """So much time passes, for the file."""
    place = root / SPOOL_NAME
    status = place.stat()
    os.utime(place, (status.st_atime, status.st_mtime - seconds))


@pytest.mark.parametrize(
    ("waited_s", "fresh"), [(0, True), (3560, True), (3560 + FRESH_S - 60, True), (3560 + FRESH_S + 1, False)]
)
def test_after_a_wait_that_the_api_asked_for_there_is_an_hour_left(tmp_path: Path, waited_s: float, fresh: bool) -> None:
    """An hourly budget that is used up in 40 seconds makes one wait for all but 40 seconds of the hour."""
    is_told_to_wait(tmp_path, 3560, *ANSWERS)
    grow_old(tmp_path, waited_s)
    assert words(tmp_path) == (
        (4, []) if fresh else (0, ["what an earlier job had read is dropped: it is more than an hour old"])
    )


def test_whoever_is_told_to_wait_is_told_until_when_it_goes_on(tmp_path: Path) -> None:
    said = is_told_to_wait(tmp_path, 3560, *ANSWERS)
    assert 0 <= time.time() + 3560 + FRESH_S - until(said) < 61  # in whole minutes


def test_whoever_is_told_to_wait_for_longer_than_answers_stay_fresh_is_promised_no_more_than_that(tmp_path: Path) -> None:
    assert until(is_told_to_wait(tmp_path, 7 * WAIT_MAX_S, *ANSWERS)) <= time.time() + WAIT_MAX_S + FRESH_S


def test_without_a_word_on_how_long_to_wait_it_is_an_hour(tmp_path: Path) -> None:
    said = is_told_to_wait(tmp_path, None, *ANSWERS)
    assert said.hint == "the same snapshot within an hour goes on from there"
    grow_old(tmp_path, FRESH_S + 1)
    assert words(tmp_path)[0] == 0


def test_an_answer_after_the_wait_begins_an_hour_of_its_own(tmp_path: Path) -> None:
    is_told_to_wait(tmp_path, 20_000, *ANSWERS)
    dies(tmp_path, [("new", b"x")])
    grow_old(tmp_path, FRESH_S + 1)
    assert words(tmp_path)[0] == 0


def test_no_wait_keeps_answers_for_more_than_a_day_however_often_the_api_asks(tmp_path: Path) -> None:
    is_told_to_wait(tmp_path, 7 * WAIT_MAX_S, *ANSWERS)
    for _ in range(24):
        is_told_to_wait(tmp_path, 7 * WAIT_MAX_S)
        grow_old(tmp_path, 3600)
    with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as spool:
        assert (spool.found, spool.kept) == (4, 4)
        raise KeyboardInterrupt
    grow_old(tmp_path, 3600)
    assert words(tmp_path)[0] == 0


@pytest.mark.parametrize("wait", [b"1e12", b"Infinity", b"NaN"])
def test_a_wait_that_nobody_can_have_been_asked_for_does_not_keep_answers_either(tmp_path: Path, wait: bytes) -> None:
    with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as spool:
        spool.put("a", b"x")
        spool._add(WAIT, wait, len(wait))  # noqa: SLF001
        raise KeyboardInterrupt
    grow_old(tmp_path, WAIT_MAX_S + FRESH_S + 1)
    assert words(tmp_path)[0] == 0


def test_a_wait_is_no_answer_and_can_be_torn_like_one(tmp_path: Path) -> None:
    is_told_to_wait(tmp_path, 3560, *ANSWERS)
    with Spool(tmp_path, BINDING) as spool:
        assert spool.take("") is None
    is_told_to_wait(tmp_path, 3560, *ANSWERS)
    line, *records = parts(tmp_path / SPOOL_NAME)
    (tmp_path / SPOOL_NAME).write_bytes(line + b"".join(records)[:-1])
    assert words(tmp_path) == (4, [])


def test_a_wait_without_answers_leaves_nothing(tmp_path: Path) -> None:
    assert is_told_to_wait(tmp_path, 3560).hint is None
    assert list(tmp_path.iterdir()) == []


def test_a_wait_for_which_the_disk_has_no_room_leaves_an_hour(tmp_path: Path, small_files_only: Callable[[int], None]) -> None:
    place = dies(tmp_path)
    before = place.stat()
    small_files_only(before.st_size + 10)
    assert is_told_to_wait(tmp_path, 3560).hint == "the same snapshot within an hour goes on from there"
    small_files_only(resource.RLIM_INFINITY)
    assert (place.stat().st_size, place.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert words(tmp_path) == (4, [])


def test_answers_do_not_get_fresher_by_being_taken_over(tmp_path: Path) -> None:
    place = dies(tmp_path)
    with place.open("ab") as file:
        file.write(b"torn")
    os.utime(place, (time.time() - 2000,) * 2)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as spool:
            assert spool.found == 4
            raise KeyboardInterrupt
        assert time.time() - place.stat().st_mtime > 1999


FOREIGN: list[Callable[[Path], None]] = [
    Path.mkdir, lambda place: place.symlink_to("target"), lambda place: place.hardlink_to(place.with_name("target")), os.mkfifo,
]  # fmt: skip


@pytest.mark.parametrize("make", FOREIGN)
def test_something_else_in_its_place_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "target").chmod(0o644)
    make(tmp_path / SPOOL_NAME)
    with pytest.raises(tf.SinkError, match=r"\.spool is no plain file of its own .*; remove it"):
        Spool(tmp_path, BINDING)
    assert (tmp_path / "target").read_text() == "precious"
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o644
    assert os.path.lexists(tmp_path / SPOOL_NAME)


def test_nothing_is_written_or_read_after_the_end(tmp_path: Path) -> None:
    dies(tmp_path)
    with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as spool:
        raise KeyboardInterrupt
    before = (tmp_path / SPOOL_NAME).read_bytes()
    with (tmp_path / "another file").open("wb") as other:  # which may well get the number that the spool's had
        late = threading.Thread(target=spool.put, args=("late", b"x"))
        late.start()
        late.join()
        assert spool.take("a") is None
        assert other.tell() == 0
    assert (tmp_path / SPOOL_NAME).read_bytes() == before
    assert (tmp_path / "another file").read_bytes() == b""


def test_many_threads_may_keep_answers_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as spool:

        def keep(thread: int) -> None:
            for n in range(200):
                spool.put(f"{thread}", f"{thread}/{n}".encode() * n)

        threads = [threading.Thread(target=keep, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        raise KeyboardInterrupt
    with Spool(tmp_path, BINDING) as spool:
        assert spool.found == spool.kept == 1600
        for thread in range(8):
            assert [spool.take(f"{thread}") for _ in range(200)] == [f"{thread}/{n}".encode() * n for n in range(200)]


def most_asked_at_once(spool: Spool, answers: int) -> list[int]:
    """Eight threads ask and keep; how many did so at the time of each answer."""
    seen: list[int] = []
    out: list[int] = []
    left = iter(range(answers))

    def work() -> None:
        for n in left:
            with spool.asking():
                out.append(n)
                time.sleep(0.002)
                seen.append(len(out))
                spool.put("new", b"x")
                out.remove(n)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def test_after_a_death_few_answers_are_on_their_way_at_first(tmp_path: Path) -> None:
    """So that many deaths together cost no more than a tenth of all answers, and one for each."""
    with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as first:
        assert max(most_asked_at_once(first, 40)) == 8
        raise KeyboardInterrupt
    with Spool(tmp_path, BINDING) as second:
        seen = most_asked_at_once(second, 120)
    assert all(count <= 1 + n // 10 for n, count in enumerate(seen))
    assert max(seen) == 8


def test_an_error_makes_room_for_the_next_and_the_end_for_all(tmp_path: Path) -> None:
    dies(tmp_path)
    with pytest.raises(KeyboardInterrupt), Spool(tmp_path, BINDING) as spool:
        with pytest.raises(ZeroDivisionError), spool.asking():
            raise ZeroDivisionError
        holder = spool.asking()
        holder.__enter__()
        late = threading.Thread(target=lambda: spool.asking().__enter__())
        late.start()
        late.join(0.05)
        assert late.is_alive()
        raise KeyboardInterrupt
    late.join(1)
    assert not late.is_alive()


@pytest.fixture
def small_files_only() -> Iterator[Callable[[int], None]]:
    """The kernel cuts a write at so many bytes of a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_an_error_and_leaves_no_torn_record(tmp_path: Path, small_files_only: Callable[[int], None]) -> None:
    data = os.urandom(1000)
    with pytest.raises(tf.SinkError, match=r"cannot write.*\.spool.*answers_kept=5.*free some space"), Spool(
        tmp_path, BINDING
    ) as spool:  # fmt: skip
        small_files_only(6000)
        while True:
            spool.put("a", data)
            size = (tmp_path / SPOOL_NAME).stat().st_size
    assert (tmp_path / SPOOL_NAME).stat().st_size == size
    small_files_only(resource.RLIM_INFINITY)
    with Spool(tmp_path, BINDING) as spool:
        assert [spool.take("a") for _ in range(6)] == [data] * 5 + [None]


def test_a_disk_without_room_for_the_first_line_is_an_error(tmp_path: Path, small_files_only: Callable[[int], None]) -> None:
    small_files_only(10)
    with pytest.raises(tf.SinkError, match="cannot write"):
        Spool(tmp_path, BINDING)
    small_files_only(resource.RLIM_INFINITY)
    assert words(tmp_path) == (0, [])


def test_no_secret_of_the_world_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[bytes] = []  # as they are before they are packed
    put = Spool.put
    monkeypatch.setattr(Spool, "put", lambda spool, key, data: (answers.append(key.encode() + data), put(spool, key, data)))
    with Sandbox(World(3, 250), faults=["429-hour@7"]) as sandbox:
        with pytest.raises(tf.RateLimited, match="answers_kept"):
            tf.write_snapshot(tmp_path, settings=settings_for(sandbox))
        wire = json.dumps([sandbox.routes.wire.run(run) for run in sandbox.world.runs]).encode()
    text = (tmp_path / SPOOL_NAME).read_bytes() + b"".join(answers)
    assert sum(run.id.encode() in text for run in sandbox.world.runs) > 100
    for secret in (b"secret-hook", b"secret-guest", b"/dl", sandbox.token.encode(), b"Bearer"):
        assert secret not in text
    assert b"secret-hook" in wire
