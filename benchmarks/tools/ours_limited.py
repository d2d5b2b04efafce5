"""Ours under limits that nobody told it of, as patient as they may ask for.

Small pages: a limit counts requests, and rows would only keep the processor busy.
"""

from __future__ import annotations

import dataclasses
import os

import tallyfy_frames as tf
from tallyfy_frames.api import transport

transport.CLOCK.speed = float(os.environ.get("BENCH_CLOCK_SPEED", "1"))  # as the server's limits
settings = dataclasses.replace(tf.Settings.from_env(), page_size=int(os.environ["BENCH_PAGE_SIZE"]), max_wait_s=4000.0)
print(tf.load_runs(settings=settings, progress=False).height)
