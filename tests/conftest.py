"""What every test may ask for: a running sandbox, and settings that point at one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hypothesis
import pytest

from tallyfy_frames.api import auth, transport
from tallyfy_frames.sandbox import Sandbox
from tallyfy_frames.settings import Settings

# Checks that stand outside of test files say what they found, too.
pytest.register_assert_rewrite("charted", "end_to_end.traps_in_lists", "end_to_end.traps_in_rows", "measured")

# How fast inputs are made says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile("shared", suppress_health_check=[hypothesis.HealthCheck.too_slow], deadline=None)
hypothesis.settings.load_profile("shared")

# Retries in tests wait next to nothing; how long they wait in earnest is tested on its own.
FAST = {"retry_wait_s": 0.001}


class SkippingClock(transport.Clock):
    """Time in which nobody waits: who would wait so long finds that it has passed."""

    def __init__(self) -> None:
        self.skipped_s = 0.0
        self.waited: list[float] = []

    def now_s(self) -> float:
        return super().now_s() + self.skipped_s

    def wait(self, event: threading.Event, seconds: float) -> None:
        self.waited.append(seconds)
        self.skipped_s += seconds
        time.sleep(0.0005)  # let another thread have its turn


class FakeClock(transport.Clock):
    """Time that passes only by waiting for it; it remembers the waits."""

    def __init__(self) -> None:
        self.time_s = 1000.0
        self.waits: list[float] = []

    def now_s(self) -> float:
        return self.time_s

    def wait(self, event: threading.Event, seconds: float) -> None:
        self.waits.append(seconds)
        self.time_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of every client that is made."""
    clock = FakeClock()
    monkeypatch.setattr(transport, "CLOCK", clock)
    return clock


def settings_for(sandbox: Sandbox, **changes: object) -> Settings:
    return Settings(token=sandbox.token, org_id=sandbox.org_id, base_url=sandbox.base_url, **{**FAST, **changes})


@pytest.fixture
def serve() -> Iterator[Callable[..., Sandbox]]:
    """Start a sandbox; it stops with the test."""
    with ExitStack() as stack:

        def start(**options: object) -> Sandbox:
            return stack.enter_context(Sandbox(**options))

        yield start


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caller's token, nor a proxy, nor what another test was given."""
    for name in [name for name in os.environ if name.startswith("TALLYFY_")]:
        monkeypatch.delenv(name)
    auth._TOKENS.clear()  # noqa: SLF001 - of the process
