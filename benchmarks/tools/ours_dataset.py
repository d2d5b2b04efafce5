"""Ours: runs and their tasks, as one DataFrame each. Prints how many there are, if each is there once and in its run."""

from __future__ import annotations

import tallyfy_frames as tf

dataset = tf.load_dataset(include=["run_tasks"], progress=False)
runs, tasks = dataset.runs, dataset.run_tasks
once = runs["id"].n_unique() == runs.height and tasks["id"].n_unique() == tasks.height
at_home = tasks["run_id"].is_in(runs["id"].implode()).all()
print(f"{runs.height}+{tasks.height}" if once and at_home else "not each once")
