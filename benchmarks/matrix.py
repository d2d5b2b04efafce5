"""The fault matrix: every fault of the sandbox, and lists that move, against every tool. Runs in our environment.

    python benchmarks/run.py matrix        (make bench-matrix)

A tool is **right** when it ends well with every run exactly once and its cells as they are; **loud** when it fails; **silent**
when it ends well with anything else. Written to MATRIX.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from environments import HERE, versions
from harness import WORK, Cost, machine, run, say
from sections import DLT, SDK, SNAPSHOT, both

from tallyfy_frames.sandbox import FAULTS, Sandbox, World
from tallyfy_frames.sandbox.facts import Run
from tallyfy_frames.sandbox.routes import Routes
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import hex_id

TOOLS: Final = {"ours": SNAPSHOT, "SDK + pandas": SDK, "dlt": DLT}
RUNS: Final = 1000
STRUCK: Final = 4  # the list request that a fault strikes
TIME_LIMIT_S: Final = 60
SLOW_S: Final = 2.0
MOVED_A_PAGE: Final = 3
MOVES: Final = {
    "leaving": "after each page, 3 runs that were read already leave",
    "joining": "after each page, 3 runs join in front of all",
}
# Changes that the sandbox makes by itself, where it can; seen by every list request after the first.
LIVE: Final = {
    "create:1": "a new run at the end, before each page",
    "archive:1": "a run moves from the default list to the archived one, before each page",
    "swap:1": "a run leaves in front and one enters in the middle, before each page: the total stands",
    "late-commit:1": "a run appears below newer ones, before each page",
    "burst@5": "more runs than a page holds leave at once, before page 5",
    "all:1": "a bit of everything",
}
CAN_MOVE: Final = "live" in {field.name for field in fields(Sandbox)}
NAME_SEPARATOR: Final = "="


@dataclass(frozen=True)
class Cell:
    """What one tool made of one fault."""

    verdict: str  # right, loud, silent, no end
    how: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As it stands in the table."""
        word = {"silent": f"**silently wrong**: {self.how}", "no end": f"no end in {TIME_LIMIT_S} s"}.get(
            self.verdict, self.verdict
        )
        return "; ".join((word, *self.notes))


class MovingRoutes(Routes):
    """Routes over a world whose list changes after every page that shows rows."""

    def __init__(self, world: World, how: str, sandbox: Sandbox) -> None:
        """``how`` is a key of ``MOVES``."""
        super().__init__(world, Wire(world, plain=True), (), lambda: sandbox.base_url)
        self.how = how
        self.lock = threading.Lock()
        self.read: list[Run] = []
        self.joined = 0

    def runs(self, query: Mapping[str, str]) -> object:
        """The page, then the change."""
        with self.lock:
            answer: Any = super().runs(query)
            shown = {row["id"] for row in answer["data"]}
            if shown:
                known = {one.id for one in self.read}
                self.read += [one for one in self.world.runs if one.id in shown - known]
                (self.leave if self.how == "leaving" else self.join)()
                self.lists.clear()
            return answer

    def leave(self) -> None:
        """The oldest runs that were read go."""
        gone = {one.id for one in self.read[:MOVED_A_PAGE]}
        self.world.runs[:] = [one for one in self.world.runs if one.id not in gone]
        del self.read[:MOVED_A_PAGE]

    def join(self) -> None:
        """Runs come that are older than all."""
        first = self.world.runs[0]
        for _ in range(MOVED_A_PAGE):
            self.joined += 1
            moment = first.created_at - timedelta(seconds=self.joined)
            run_id = hex_id("joined", self.joined)
            self.world.runs.insert(0, replace(first, id=run_id, number=RUNS + self.joined, created_at=moment))


def world() -> World:
    """Runs that are all in the default list."""
    made = World(1, RUNS)
    for one in made.runs:
        one.archived_at = None
    return made


Cells = tuple[object, ...]
Facts = dict[str, list[Cells]]  # by id: what its cells may be, one entry a state that could be seen


def facts(one: Run) -> Cells:
    """What is checked of a run."""
    return (
        one.name,
        one.status,
        one.increment_id,
        one.created_at.replace(microsecond=one.created_at.microsecond // 1000 * 1000),
        None if one.progress is None else float(one.progress.percent),
    )


def found(folder: Path) -> list[tuple[Any, Cells]]:
    """(id, cells) of every row in a tool's Parquet files."""
    rows = []
    root = (folder / "current").resolve() if (folder / "current").exists() else folder
    for file in root.rglob("*.parquet"):
        status = file.parent.name.partition(NAME_SEPARATOR)[2] if file.parent.name.startswith("status=") else None
        if status is None and file.parent.name != "runs":
            continue
        for row in pq.ParquetFile(file).read().to_pylist():
            progress = row.get("progress_percent")
            if isinstance(row.get("progress"), str):
                progress = json.loads(row["progress"])["percent"]
            number, moment = row.get("increment_id"), row.get("created_at")
            cells = (
                row.get("name"),
                status or row.get("status"),
                number,
                moment,
                None if progress is None else float(progress),
            )
            rows.append((row.get("id"), cells))
    return rows


def judge(cost: Cost, expected: Facts, optional: Collection[str] = ()) -> Cell:
    """The verdict. Rows whose id is in ``optional`` may be there or not."""
    if cost.status == -9:
        return Cell("no end")
    if cost.status != 0 or cost.folder is None:
        return Cell("loud")
    rows = found(cost.folder)
    times = Counter(run_id for run_id, _ in rows)
    missing = len(expected.keys() - times.keys())
    doubled = sum(count - 1 for count in times.values())
    foreign = sum(run_id not in expected and run_id not in optional for run_id in times)
    changed = sum(run_id in expected and cells not in expected[run_id] for run_id, cells in rows)
    if not (missing or doubled or foreign or changed):
        return Cell("right")
    how = [f"{len(expected) - missing} of {len(expected)}"]
    how += [
        f"{count} {word}"
        for count, word in ((doubled, "doubled"), (foreign, "that do not exist"), (changed, "changed"))
        if count
    ]
    return Cell("silent", ", ".join(how))


@contextmanager
def foreign_origin() -> Iterator[tuple[str, list[str]]]:
    """Another origin, which answers with an empty list; and the tokens that were sent to it."""
    tokens: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.append(self.headers.get("Authorization", ""))
            meta = {"total": 0, "count": 0, "per_page": 100, "current_page": 1, "total_pages": 1, "links": []}
            body = json.dumps({"data": [], "meta": {"pagination": meta}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_address[1]}", tokens
    finally:
        server.shutdown()
        server.server_close()


def strike(tool: str, fault: str | None = None, moves: str | None = None) -> Cell:
    """One tool against one fault, or one way to move."""
    made = world()
    before = list(made.runs)
    with foreign_origin() as (origin, tokens):
        options = {"live": [moves]} if moves in LIVE else {}
        sandbox = Sandbox(made, [fault] if fault else (), plain=True, slow_s=SLOW_S, foreign_origin=origin, **options)
        if moves in MOVES:
            sandbox.routes = MovingRoutes(made, moves, sandbox)
        with sandbox:
            # A snapshot reads both lists; the others read the archived one where runs can move there.
            command = both(TOOLS[tool]) if moves in LIVE else TOOLS[tool]
            cost = run(command, sandbox.environment, timeout_s=TIME_LIMIT_S, keep=True)
    if moves in LIVE:
        stayed = sandbox.present_throughout({"archived": "true"})
        expected = {run_id: [facts(state) for state in sandbox.states_of(run_id)] for run_id in stayed}
        seen = {*made.runs_by_id, *sandbox.mover.log.changes}
    else:
        after = {one.id for one in made.runs}
        expected = {one.id: [facts(one)] for one in before if one.id in after}
        seen = {one.id for one in before} | after
    cell = judge(cost, expected, seen - expected.keys())
    shown = sandbox.token in cost.out + cost.err
    notes = [text for text, true in (("token sent elsewhere", any(tokens)), ("token in its output", shown)) if true]
    if cost.folder is not None:
        shutil.rmtree(cost.folder.parent)
    lines = cost.err.strip().splitlines() or [""]
    why = lines[-1][:150] if cost.status else ""
    say(f"{fault or moves or 'quiet'}: {tool}: {cell.verdict} {cell.how} ({cost.seconds:.1f} s) {why}")
    return replace(cell, notes=tuple(notes))


def table(title: str, cells: Mapping[tuple[str, str], Cell], rows: Mapping[str, str]) -> list[str]:
    """One table of the document."""
    lines = ["", f"## {title}", "", f"| | {' | '.join(TOOLS)} |", "|---" * (len(TOOLS) + 1) + "|"]
    return lines + [f"| {about} | {' | '.join(str(cells[row, tool]) for tool in TOOLS)} |" for row, about in rows.items()]


def render(
    once: Mapping[tuple[str, str], Cell], lasting: Mapping[tuple[str, str], Cell], moving: Mapping[tuple[str, str], Cell]
) -> str:
    """The whole document."""
    count = {tool: Counter(cell.verdict for part in (once, lasting, moving) for (_, name), cell in part.items() if name == tool)
             for tool in TOOLS}  # fmt: skip
    commit, python = machine()["commit"], machine()["Python"]
    tools = "; ".join(f"{name}: {', '.join(f'{k} {v}' for k, v in versions(name).items())}" for name in ("ours", "sdk", "dlt"))
    kinds = {name: f"`{name}`: {about}" for name, about in FAULTS.items()}
    lines = [
        "# The fault matrix",
        "",
        f"Made by `make bench-matrix` on {datetime.now(UTC):%Y-%m-%d} and kept (commit {commit}, Python {python}; {tools}).",
        "",
        f"{RUNS:,} runs in the sandbox, documented shapes, 100 a page, every tool to Parquet as in the benchmarks.",
        "",
        "- *right*: ended well, every run there once; name, status, number, creation and progress as they are",
        "- *loud*: failed, and said so",
        "- *silently wrong*: ended well, and rows are missing, doubled or changed",
        "",
        "Of a list that moves, the runs that were there throughout are asked for. What ends after more than",
        f"{TIME_LIMIT_S} s is stopped: it waits, as a rule, for an hour that the answer named.",
        "Of `bad-cell`: dlt puts the odd value into a column of its own and leaves the cell empty.",
        "Of *a bit of everything*: ours misses a run that was archived and restored again while the two lists were read one",
        "after the other, which it does not promise to see (the README says what it cannot do); of one list it misses none.",
        "",
        f"| tool | right | loud | no end in {TIME_LIMIT_S} s | silently wrong |",
        "|---|---:|---:|---:|---:|",
        *(f"| {tool} | {n['right']} | {n['loud']} | {n['no end']} | {n['silent']} |" for tool, n in count.items()),
        *table(f"Once: request {STRUCK} of the list is struck", once, kinds),
        *table(
            f"Lasting: request {STRUCK} and all that follow",
            lasting,
            {k: v for k, v in kinds.items() if (k, "ours") in lasting},
        ),
        *table("A list that moves", moving, {k: v for k, v in {**MOVES, **LIVE}.items() if (k, "ours") in moving}),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few faults; written to .work/")
    parser.add_argument("--fault", action="append", help="these alone; written to .work/")
    options = parser.parse_args()
    partial = options.quick or options.fault
    names = options.fault or (["empty-page", "html-502", "foreign-redirect"] if options.quick else list(FAULTS))
    movements = {**MOVES, **(LIVE if CAN_MOVE else {})}
    for tool in TOOLS:
        if strike(tool) != Cell("right"):
            message = f"{tool} is not right where nothing is wrong: set it up properly first"
            raise SystemExit(message)
    with ThreadPoolExecutor(2) as pool:
        tasks = {
            ("once", name, tool): pool.submit(strike, tool, f"{name}@{STRUCK}") for name in names for tool in TOOLS
        } | {
            ("lasting", name, tool): pool.submit(strike, tool, f"{name}@{STRUCK}+")
            for name in names if name != "token-revoked" for tool in TOOLS
        } | {
            ("moving", name, tool): pool.submit(strike, tool, None, name) for name in movements for tool in TOOLS
        }  # fmt: skip
        cells = {key: task.result() for key, task in tasks.items()}
    parts = [
        {(name, tool): cell for (part, name, tool), cell in cells.items() if part == wanted}
        for wanted in ("once", "lasting", "moving")
    ]
    if partial:
        for key, cell in cells.items():
            say(f"{' '.join(key)}: {cell}")
        return
    (HERE / "MATRIX.md").write_text(render(*parts), encoding="utf-8")
    WORK.mkdir(exist_ok=True)


if __name__ == "__main__":
    main()
