"""Ours: the tasks of runs alone, as one DataFrame. Prints of how many runs and how many there are, if each is there once."""

from __future__ import annotations

import tallyfy_frames as tf

tasks = tf.load("run_tasks", progress=False)
print(f"{tasks['run_id'].n_unique()}+{tasks.height}" if tasks["id"].n_unique() == tasks.height else "not each once")
