"""Ours: how many requests the tables named take by plan, as a dataset reads them or, after ``whole``, as a snapshot does."""

from __future__ import annotations

import sys

import tallyfy_frames as tf

whole, *tables = sys.argv[1:]
print(tf.plan(tables, whole=whole == "whole").requests)
