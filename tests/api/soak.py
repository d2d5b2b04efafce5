"""``python tests/api/soak.py [histories]``: many random histories over all cores, as a table; fails if one was read wrongly."""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from api.histories import Reading, history

from tallyfy_frames.api import overlap

CHUNK = 500


def faults(reading: Reading) -> list[str]:
    """What must not be, however the list moved and whatever the server got wrong."""
    found = []
    if reading.silent and (reading.walk.proof != "still" or not reading.server.listed.entered):
        found.append(f"{len(reading.lost)} rows lost silently with proof={reading.walk.proof}")
    if reading.requests > reading.requests_max:
        found.append(f"{reading.requests} requests where {reading.requests_max} must do")
    if reading.error is not None and not reading.justified:
        found.append(f"raised without need: {reading.error}")
    if reading.error is None and reading.walk.proof is None:
        found.append("ended without proof")
    return found


def chunk(start: int) -> tuple[dict[str, Counter[str]], list[str]]:
    """Histories from a seed on: four of five with overlapping pages, one of them with plain ones."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    wrong = []
    for seed in range(start, start + CHUNK):
        proof = "still" if seed % 5 == 4 else "seen"
        overlap.STILL_PAGES_MIN = 2 if proof == "still" else 25
        drawn = history(seed, proof)
        reading = drawn.read()
        row = table[drawn.kind]
        row["histories"] += 1
        row[reading.walk.proof or "raised"] += 1
        if reading.error is not None:
            row["unchanged"] += not drawn.server.listed.changes  # raised though nothing moved: what came proves nothing
        else:
            row["requests"] += reading.requests
            row["pages"] += reading.pages if drawn.plan.limit is None and drawn.plan.since is None else 0
            row["whole"] += reading.requests if drawn.plan.limit is None and drawn.plan.since is None else 0
        if drawn.server.honest and drawn.rate < 1:
            row["fair"] += 1
            row["fair raised"] += reading.error is not None
        row["silent"] += reading.silent
        wrong += [f"seed {seed} ({drawn.kind}, {proof}): {fault}" for fault in faults(reading)]
    return dict(table), wrong


COLUMNS = ("histories", "seen", "still", "counted", "raised", "unchanged", "fair", "fair raised", "silent")


def main(histories: int) -> int:
    """Print the table; 1 if any history was read wrongly."""
    total: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for table, faulty in pool.map(chunk, range(0, histories, CHUNK)):
            wrong += faulty
            for kind, row in table.items():
                total[kind] += row
                total["all"] += row
    lines = [f"{'movement':26}" + "".join(f"{name:>12}" for name in COLUMNS) + "   requests per page"]
    for kind in [*sorted(set(total) - {"all"}), "all"]:
        row = total[kind]
        counts = "".join(f"{row[name]:12,}" for name in COLUMNS)
        lines.append(f"{kind:26}{counts}{row['whole'] / max(1, row['pages']):20.2f}")
    lines += [
        "",
        "unchanged: raised though nothing moved: what the server got wrong leaves nothing that could prove the list complete",
    ]
    lines += ["fair: an honest server and less than one change per request, on lists of up to a dozen pages"]
    lines += ["silent: rows lost with proof 'still' after one entered in the middle, which it says it cannot see", *wrong, ""]
    sys.stdout.write("\n".join(lines))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
