"""An organization at work: its runs are those of the last so many days."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from tallyfy_frames.sandbox import World
from tallyfy_frames.sandbox.facts import NOW


@pytest.mark.parametrize(("days", "runs"), [(1, 1), (1, 60), (180, 300), (36_500, 60)])
def test_runs_are_spread_over_the_days_that_are_asked_for(days: int, runs: int) -> None:
    begun = [run.created_at for run in World(1, runs, days=days).runs]
    assert len(begun) == runs
    assert NOW - timedelta(days=days) <= begun[0]
    assert NOW - timedelta(hours=1, seconds=1) <= begun[-1] <= NOW - timedelta(hours=1)
    assert all(first <= then for first, then in pairwise(begun))


def test_nothing_has_happened_yet_that_is_still_to_come() -> None:
    runs = World(1, 300, days=3).runs
    assert max(task.completed_at for run in runs for task in run.tasks if task.completed_at) <= NOW
    assert max(run.last_updated for run in runs) <= NOW
