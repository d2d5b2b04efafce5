"""No fault, alone or in pairs, ends in a frame with rows missing, doubled or changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import polars as pl
import pytest
import stamina
from conftest import SkippingClock, settings_for
from oracle import actual, expected_run, matching

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.api import transport
from tallyfy_frames.sandbox import FAULTS, Sandbox, World, handler

WORLD = World(7, 75)
DATA = tables.get("runs").names("data")
QUICK = {"page_size": 10, "max_answer_bytes": 400_000, "attempts": 3, "max_wait_s": 5}

# What a load does with a fault that strikes once, in the middle, and with one that stays.
ONCE = {
    "429-hour": tf.RateLimited, "token-revoked": tf.AuthError, "foreign-redirect": tf.ApiError, "oversized": tf.DecodeError,
    "echo-token": tf.ApiError, "bad-cell": tf.ContractError, "no-id": tf.ContractError,
}  # fmt: skip
HARMLESS = {"slow", "drip", "foreign-next", "total-high", "total-low"}  # totals are hints
STAYS = {
    **ONCE, "429-seconds": tf.RateLimited, "429-date": tf.RateLimited, "429-garbage": tf.RateLimited, "html-502": tf.ServerError,
    "sql-500": tf.ServerError, "html-200": tf.DecodeError, "cut-body": tf.ServerError, "half-json": tf.DecodeError,
    "half-page": tf.IncompleteRead, "empty-page": tf.IncompleteRead, "empty-list": tf.IncompleteRead, "empty-body": tf.DecodeError,
    "data-null": tf.DecodeError, "error-200": tf.DecodeError, "echo-token-200": tf.DecodeError, "reset": tf.ServerError,
    "duplicate-row": tf.PaginationError, "wrong-page": tf.IncompleteRead,
    "foreign-page": tf.PaginationError, "broken-row": tf.DecodeError,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Retries at once, waits that are over at once, and an oversized answer that is merely large."""
    monkeypatch.setattr(handler, "OVERSIZED_BYTES", 2_000_000)
    monkeypatch.setattr(transport, "CLOCK", SkippingClock())
    stamina.set_testing(True, attempts=3, cap=True)
    yield
    stamina.set_testing(False)


@cache
def wanted() -> dict[str, dict[str, Any]]:
    return {run.id: expected_run(run) for run in matching(WORLD, {})}


def assert_whole(frame: pl.DataFrame) -> None:
    got = actual(frame.select(DATA).to_dicts())
    assert len(got) == len(wanted())
    for row in got:
        assert row == wanted()[row["id"]]


def load(*faults: str, foreign: str = "http://127.0.0.1:9", page_size: int = 10, quirks: Sequence[str] = ()) -> pl.DataFrame:
    with Sandbox(WORLD, faults=faults, slow_s=0.02, foreign_origin=foreign, quirks=quirks) as sandbox:
        return tf.load_runs(settings=settings_for(sandbox, **{**QUICK, "page_size": page_size}))


@pytest.mark.parametrize("at", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_strikes_once_is_overcome_or_raised(fault: str, at: int) -> None:
    if fault in ONCE:
        with pytest.raises(ONCE[fault]):
            load(f"{fault}@{at}")
    else:
        assert_whole(load(f"{fault}@{at}"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_raises_its_error(fault: str) -> None:
    if fault in HARMLESS:
        assert_whole(load(f"{fault}@3+"))
    else:
        with pytest.raises(STAYS[fault]) as caught:
            load(f"{fault}@3+")
        assert type(caught.value) is STAYS[fault]


def test_every_fault_has_its_expectation() -> None:
    assert set(FAULTS) == HARMLESS | set(STAYS)


PAIRS = list(itertools.combinations(FAULTS, 2))
# Where faults strike, and how many rows a page holds: the last has a page end just where a low total would put the list's end.
LAYOUTS = {"{a}@3 {b}@4+": 10, "{a}@1 {b}@2": len([run for run in WORLD.runs if not run.archived_at]) - 3}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("first", FAULTS)
def test_faults_in_pairs_are_overcome_or_raised(first: str, layout: str) -> None:
    for a, b in PAIRS:
        if a != first:
            continue
        try:
            frame = load(*layout.format(a=a, b=b).split(), page_size=LAYOUTS[layout])
        except tf.TallyfyFramesError:
            continue
        assert_whole(frame)


@pytest.mark.slow
@pytest.mark.parametrize("quirk", ["no-total", "bare-list", "sort-ignored"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_where_the_api_states_less_is_overcome_or_raised(fault: str, quirk: str) -> None:
    for at in (1, 4):
        try:
            frame = load(f"{fault}@{at}", quirks=[quirk])
        except tf.TallyfyFramesError:
            continue
        assert_whole(frame)


@pytest.mark.parametrize("page_size", range(60, 69))
@pytest.mark.parametrize("fault", ["total-low", "total-high", "half-page", "empty-list", "duplicate-row"])
def test_a_fault_at_the_very_end_of_the_list_is_overcome_or_raised(fault: str, page_size: int) -> None:
    for spec in (f"{fault}@1", f"{fault}@1+", f"{fault}@2"):
        try:
            frame = load(spec, page_size=page_size)
        except tf.TallyfyFramesError:
            continue
        if spec != "empty-list@1+":  # an API that says again and again that there is nothing is believed
            assert_whole(frame)


@pytest.mark.parametrize("at", range(1, 16))
@pytest.mark.parametrize("fault", ["empty-list", "empty-page", "half-page", "total-low", "html-200"])
def test_a_fault_that_stays_while_both_lists_are_read_is_overcome_or_raised(fault: str, at: int) -> None:
    with Sandbox(WORLD, faults=[f"{fault}@{at}+"]) as sandbox:
        try:
            frame = tf.load_runs({"archived": "include"}, settings=settings_for(sandbox, **QUICK))
        except tf.TallyfyFramesError:
            return
    believed = {"empty-list": range(1, 2)}  # from the first request on, nothing tells that there is more
    assert at in believed.get(fault, ()) or set(frame["id"]) == {run.id for run in WORLD.runs}


def test_neither_link_nor_redirect_to_another_origin_is_followed() -> None:
    with Sandbox(World(8, 5)) as elsewhere:
        origin = elsewhere.base_url.removesuffix("/api")
        assert_whole(load("foreign-next@1+", foreign=origin))
        with pytest.raises(tf.ApiError, match="redirects are never followed"):
            load("foreign-redirect@2", foreign=origin)
        assert elsewhere.requests == []


def test_the_limit_of_requests_is_met_by_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CLOCK", transport.Clock())
    with Sandbox(WORLD, limits=["5/0.5"]) as sandbox:
        report = tf.LoadReport()
        frame = tf.load_runs(settings=settings_for(sandbox, page_size=10), report=report)
    assert_whole(frame)
    assert report.throttled >= 1
    assert report.waited_s >= 1


@pytest.mark.parametrize(("fault", "limits"), [("slow@2+", {"read_timeout_s": 0.05}), ("drip@2+", {"total_timeout_s": 0.05})])
def test_a_slow_answer_is_cut_at_its_time_limit(fault: str, limits: dict[str, float]) -> None:
    with Sandbox(WORLD, faults=[fault], slow_s=0.5) as sandbox, pytest.raises(tf.ServerError):
        tf.load_runs(settings=settings_for(sandbox, **QUICK, **limits))


@pytest.mark.parametrize("policy", ["null", "quarantine"])
def test_a_bad_value_costs_its_cell_or_its_row_and_no_other(policy: Any) -> None:
    report = tf.LoadReport()
    with Sandbox(WORLD, faults=["bad-cell@3", "no-id@5"]) as sandbox:
        frame = tf.load_runs(settings=settings_for(sandbox, **QUICK), on_invalid=policy, report=report)
    for row in actual(frame.select(DATA).to_dicts()):
        facts = wanted()[row["id"]]
        assert row == facts or {**row, "increment_id": facts["increment_id"]} == facts
    assert report.quarantined is not None
    assert report.rows_quarantined == report.quarantined.height == {"null": 1, "quarantine": 2}[policy]
    assert report.values_nulled == ({"increment_id": 1} if policy == "null" else {})
    # Pages overlap: a row that is bad in one answer may be good in another.
    assert 0 <= len(wanted()) - frame.height <= report.rows_quarantined
