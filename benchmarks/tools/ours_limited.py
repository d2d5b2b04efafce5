"""Ours against a server whose limits run on a clock ``BENCH_CLOCK_SPEED`` times as fast, with our own clock scaled alike.

Small pages: a limit counts requests, and rows would only keep the processor busy.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading

import tallyfy_frames as tf
from tallyfy_frames.api import transport

SPEED = float(os.environ.get("BENCH_CLOCK_SPEED", "1"))

if SPEED != 1:
    if not hasattr(transport, "CLOCK"):
        sys.exit("no clock to scale")

    class FastClock(transport.Clock):
        """Seconds pass ``SPEED`` times as fast."""

        def now_s(self) -> float:
            """Scaled monotonic seconds."""
            return super().now_s() * SPEED

        def wait(self, event: threading.Event, seconds: float) -> None:
            """Wait so many scaled seconds, or until the event."""
            super().wait(event, seconds / SPEED)

    transport.CLOCK = FastClock()

settings = dataclasses.replace(tf.Settings.from_env(), page_size=int(os.environ["BENCH_PAGE_SIZE"]), max_wait_s=4000.0)
print(tf.load_runs(settings=settings, progress=False).height)
