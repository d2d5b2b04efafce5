"""What traps are tested with: a check that holds, and sabotages that each take its handling out, so that it fails.

Traps have the numbers of the list that the sandbox was built from. `traps_in_lists.py` has those of asking for the right rows and
getting all of them, `traps_in_rows.py` those of what stands in rows; `test_traps.py` runs both, and accounts for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeAlias

import polars as pl
import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames import pipeline, tables
from tallyfy_frames.api.steps import Answer, Ask
from tallyfy_frames.frames.readers import READERS
from tallyfy_frames.landing import Landing
from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sandbox.facts import Run

Check: TypeAlias = Callable[[pytest.MonkeyPatch, Any], None]
Sabotage: TypeAlias = Callable[[pytest.MonkeyPatch], None]

WORLD: Final = World(11, 120)
RUNS: Final = tables.get("runs")
EVERYTHING: Final = {"archived": "include"}


@dataclass(frozen=True, slots=True)
class Trap:
    """``dies_of``: what naive handling dies of, where it is not a wrong result or one of our errors."""

    check: Check
    sabotages: Sequence[Sabotage]
    dies_of: type[Exception]


TRAPS: Final[dict[int, Trap]] = {}


def trap(number: int, *sabotages: Sabotage, dies_of: type[Exception] = AssertionError) -> Callable[[Check], Check]:
    """Register a check, and the ways to take its handling out; its docstring says what the trap is."""

    def register(check: Check) -> Check:
        assert number not in TRAPS
        TRAPS[number] = Trap(check, sabotages, dies_of)
        return check

    return register


def patching(target: Any, name: str, value: Any) -> Sabotage:
    """Take handling out by putting something naive in its place."""
    return lambda patch: patch.setattr(target, name, value)


def reading(reads: str, read: Callable[[Any], Any]) -> Sabotage:
    """The same of what reads the values of a kind of column."""
    return lambda patch: patch.setitem(READERS, reads, lambda value: (read(value), False))


def reading_pages_until(last: Callable[[Ask, Answer, Landing], Any]) -> Sabotage:
    """The same of the walk: one page after the other, until one seems to be the last."""

    def read(walk: Any, fetch: Any, **_: Any) -> Iterator[tuple[Ask, Answer, Landing]]:
        for page in count(1):
            ask = Ask(page, page, walk.plan.per_page, walk.plan.order)
            answer, landing = fetch(ask)
            yield ask, answer, landing
            if last(ask, answer, landing):
                return

    return patching(pipeline, "fly", read)


@contextmanager
def serving(*faults: str, world: World = WORLD, **options: Any) -> Iterator[Sandbox]:
    with Sandbox(world, faults=faults, **options) as sandbox:
        yield sandbox


def load(filters: Any = None, *faults: str, world: World = WORLD, page_size: int = 100, **options: Any) -> pl.DataFrame:
    with serving(*faults, world=world) as sandbox:
        return tf.load_runs(filters, settings=settings_for(sandbox, page_size=page_size), **options)


def shown(world: World = WORLD) -> list[Run]:
    return [run for run in world.runs if run.archived_at is None]
