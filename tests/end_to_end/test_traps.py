"""The traps of the API, by number: each that touches what we read has a check that holds, and fails without its handling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
import stamina
from end_to_end import traps_in_lists, traps_in_rows  # noqa: F401 - which fills TRAPS
from end_to_end.traps import TRAPS

import tallyfy_frames as tf

TOUCHED: Final = {
    1,
    2,
    3,
    6,
    7,
    8,
    9,
    13,
    14,
    15,
    16,
    17,
    19,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    32,
    33,
    39,
    40,
    41,
    44,
    45,
    47,
    49,
    50,
    51,
}


@pytest.fixture(autouse=True)
def quick_retries(request: pytest.FixtureRequest) -> Iterator[None]:
    stamina.set_testing("[22" not in request.node.name, attempts=2, cap=True)
    yield
    stamina.set_testing(False)


@pytest.mark.parametrize("number", sorted(TRAPS))
def test_trap(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    TRAPS[number].check(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("number", "way"), [(number, way) for number in sorted(TRAPS) for way in range(len(TRAPS[number].sabotages))]
)
def test_trap_bites_once_its_handling_is_taken_out(
    number: int, way: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    one = TRAPS[number]
    one.sabotages[way](monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, tf.TallyfyFramesError, one.dies_of)):
        one.check(monkeypatch, tmp_path)


def test_every_trap_that_touches_what_we_read_is_here() -> None:
    assert set(TRAPS) == TOUCHED
