"""Cron itself takes the crontab."""

from __future__ import annotations

import subprocess

import pytest
from beside import there
from deployed import DEPLOY


def read_by_cron(text: str) -> subprocess.CompletedProcess[str]:
    """A dry run of Debian's crontab(1): it says what it could not read."""
    return subprocess.run([there("crontab"), "-n", "-"], input=text, capture_output=True, text=True, check=False)


def test_cron_can_read_it() -> None:
    done = read_by_cron((DEPLOY / "crontab").read_text())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("broken", ["17 25 * * * true\n", "17 * * *\n", "17 * * * * true"])
def test_cron_would_say_so_if_it_could_not(broken: str) -> None:
    assert read_by_cron(broken).returncode != 0
