"""What starting costs: ratios of whole processes, measured side by side, each the median of several."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import pytest

from tallyfy_frames.sandbox import Sandbox, World

ROUNDS = 7


def seconds(command: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.perf_counter() - began


def medians(*commands: list[str], env: dict[str, str] | None = None) -> list[float]:
    """Median seconds of each command, the commands taking turns; one round is not counted."""
    whole = {**os.environ, **(env or {})}
    rounds = [[seconds(command, whole) for command in commands] for _ in range(ROUNDS + 1)][1:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.slow
def test_importing_costs_no_more_than_polars() -> None:
    ours, theirs = medians(python("import tallyfy_frames"), python("import polars"))
    assert ours <= 1.3 * theirs, (ours, theirs)


@pytest.mark.slow
def test_help_comes_at_once() -> None:
    (help_s,) = medians([sys.executable, "-m", "tallyfy_frames", "--help"])
    assert help_s <= 0.6


@pytest.mark.slow
def test_one_row_cold_costs_little_more_than_the_libraries() -> None:
    with Sandbox(World(1, 20)) as sandbox:
        ours, theirs = medians(
            [sys.executable, "-m", "tallyfy_frames", "load", "runs", "--limit", "1"],
            python("import polars, pandera.polars, httpx"),
            env=sandbox.environment,
        )
    assert ours <= 2.5 * theirs, (ours, theirs)
