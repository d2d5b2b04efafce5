"""Ours under limits that nobody told it of, no more patient than by default: a snapshot into the folder named.

Whenever a wait is longer than that, it raises; the same is asked again when the wait is over, as a scheduler would. Prints the
waits, in seconds of the limit's clock.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading

import tallyfy_frames as tf
from tallyfy_frames.api import transport

transport.CLOCK.speed = float(os.environ.get("BENCH_CLOCK_SPEED", "1"))  # as the server's limits
settings = dataclasses.replace(tf.Settings.from_env(), page_size=int(os.environ["BENCH_PAGE_SIZE"]))
waits_s: list[float] = []
while True:
    try:
        tf.write_snapshot(sys.argv[1], settings=settings, progress=False)
        break
    except tf.RateLimited as error:
        if error.retry_after_s is None or len(waits_s) > 99:
            raise
        waits_s.append(error.retry_after_s)
        transport.CLOCK.wait(threading.Event(), error.retry_after_s)
print(json.dumps(waits_s))
