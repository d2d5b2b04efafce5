"""Ours: every run of the lists asked for, as one DataFrame. ``BENCH_LISTS``: "" the default list, ",only" the archived too."""

from __future__ import annotations

import os

import tallyfy_frames as tf

filters = {"archived": "include"} if os.environ.get("BENCH_LISTS") == ",only" else None
print(tf.load_runs(filters, progress=False).height)
