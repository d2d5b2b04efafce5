"""Ours: a snapshot of both lists, partitioned by status, checked and published, into the folder named."""

from __future__ import annotations

import sys

import tallyfy_frames as tf

tf.write_snapshot(sys.argv[1], progress=False)
