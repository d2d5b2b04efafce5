"""Ours and the bare download in one process, taking turns: prints the seconds of each round as JSON, the warm-up left out."""

from __future__ import annotations

import json
import os
import time
import warnings

from floor import download

import tallyfy_frames as tf

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
ACCESS = (os.environ["TALLYFY_BASE_URL"], os.environ["TALLYFY_ACCESS_TOKEN"], os.environ["TALLYFY_ORG_ID"])


def ours() -> None:
    """Every run as a DataFrame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tf.TallyfyFramesWarning)
        tf.load_runs(progress=False)


def floor() -> None:
    """Every page, thrown away."""
    download(*ACCESS, [""])


rounds = {"floor": [], "ours": []}
for turn in range(ROUNDS + 1):
    for name, act in (("floor", floor), ("ours", ours)):
        began = time.perf_counter()
        act()
        if turn:
            rounds[name].append(time.perf_counter() - began)
print(json.dumps(rounds))
