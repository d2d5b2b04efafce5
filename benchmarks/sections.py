"""What is measured: each section returns tables, bars and raw figures for ``report.py``."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from harness import BOTH_LISTS, Cost, Server, Tool, median, reliable, rounds, rows_in, run, say

FLOOR: Final = Tool("bare download (httpx)", "floor", "floor.py")
FLOOR_THREADS: Final = replace(FLOOR, label="bare download, 8 threads", variables={"BENCH_THREADS": "8"})
FRAME: Final = Tool("ours, DataFrame", "ours", "ours_frame.py")
SNAPSHOT: Final = Tool("ours, snapshot", "ours", "ours_snapshot.py", writes=True)
SDK_FRAME: Final = Tool("SDK + pandas, DataFrame", "sdk", "sdk_pandas.py")
SDK: Final = Tool("SDK + pandas, Parquet", "sdk", "sdk_pandas.py", writes=True)
DLT: Final = Tool("dlt, Parquet", "dlt", "dlt_parquet.py", writes=True)
TASKS: Final = {"BENCH_WITH": "tasks"}
TASK_TABLES: Final = ("runs", "run_tasks")
TASKS_DATASET: Final = Tool("ours, DataFrames", "ours", "ours_dataset.py")
TASKS_ALONE: Final = Tool("ours, DataFrame of tasks", "ours", "ours_tasks.py")
TASKS_SNAPSHOT: Final = replace(SNAPSHOT, arguments=TASK_TABLES[1:])
TASKS_DLT: Final = replace(DLT, label="dlt, Parquet, child tables", variables={**TASKS, "BENCH_NESTING": "default"})
TASKS_DLT_LEAST: Final = replace(DLT, label="dlt, Parquet, tasks the deepest", variables={**TASKS, "BENCH_NESTING": "2"})
TASKS_DLT_FLAT: Final = replace(DLT, label="dlt, Parquet, tasks as JSON text", variables=TASKS)


@dataclass(frozen=True)
class Size:
    """How much to measure."""

    runs: int = 50_000
    rounds: int = 7
    latency_runs: int = 50_000
    latency_rounds: int = 3
    growth: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    requests: tuple[int, ...] = (60, 250, 1000, 2498, 5000, 20_000, 100_000)
    windows: tuple[int, ...] = (30, 10)
    tasks_runs: int = 20_000
    tasks_each: int = 12
    tasks_rounds: int = 3


QUICK: Final = Size(5000, 2, 2000, 1, (2000, 5000, 20_000), (60, 250, 2498), (4,), 1000, 12, 1)


def both(tool: Tool) -> Tool:
    """A tool that reads the archived runs, too."""
    return replace(tool, variables={**tool.variables, **BOTH_LISTS})


def bar(text: str, value: float, limit: float, *, least: bool = False, unit: str = "x") -> dict[str, Any]:
    """A bar and whether it is met."""
    return {"bar": text, "value": value, "limit": limit, "unit": unit, "met": value >= limit if least else value <= limit}


def cost_table(costs: dict[str, list[Cost]], base: str) -> dict[str, Any]:
    """Medians of each tool, and the ratio of its seconds to the first one's."""
    rows = [
        [
            label,
            f"{median(found):.2f}",
            f"{median(found) / median(costs[base]):.2f}",
            f"{median(found, lambda cost: cost.cpu_s):.2f}",
            f"{peak(found):.0f}",
            span([cost.seconds for cost in found]),
        ]
        for label, found in costs.items()
    ]
    return {"columns": ["tool", "s", f"x {base}", "CPU s", "peak MB", "range s"], "rows": rows}


def peak(costs: Sequence[Cost]) -> float:
    """The median of the peaks, in MB."""
    return median(costs, lambda cost: cost.peak_mb)


def span(seconds: Sequence[float], digits: int = 2) -> str:
    """The least and the most."""
    return f"{min(seconds):.{digits}f}-{max(seconds):.{digits}f}"


def raw(costs: dict[str, list[Cost]]) -> dict[str, Any]:
    """Every run's figures."""
    kept = ("seconds", "cpu_s", "peak_mb")
    return {label: [{name: round(asdict(c)[name], 4) for name in kept} for c in found] for label, found in costs.items()}


def speed(size: Size) -> dict[str, Any]:
    """No latency, no limits: what the processor does."""
    with Server.start(size.runs) as server:
        say(f"speed: {size.runs} runs in one process")
        tool = Tool("in process", "ours", "in_process.py", {"BENCH_ROUNDS": str(size.rounds)})
        inside = json.loads(run(tool, server.environment).out)
        say("speed: whole processes to a DataFrame")
        frames = rounds([FLOOR, FLOOR_THREADS, FRAME, SDK_FRAME], server, size.rounds, size.runs)
    with Server.start(size.runs, "--archived-share", "0.15") as server:
        say("speed: whole processes to Parquet, both lists")
        files = rounds([both(tool) for tool in (FLOOR, SNAPSHOT, SDK, DLT)], server, size.rounds, size.runs)
    floor_s, ours_s = (statistics.median(inside[name]) for name in ("floor", "ours"))
    frame_s, snapshot_s = median(frames[FRAME.label]), median(files[SNAPSHOT.label])
    return {
        "title": f"Speed: {size.runs:,} runs, no latency, no limits",
        "about": f"Medians of {size.rounds} rounds in which the tools take turns. In process: one process, after a warm-up, "
        "the default list. Parquet: 15 % of the runs are archived, and every tool reads both lists.",
        "tables": [
            {
                "title": "In one process",
                "columns": ["", "s", "x bare download", "range s"],
                "rows": [
                    [label, f"{seconds:.3f}", f"{seconds / floor_s:.2f}", span(inside[name], 3)]
                    for name, label, seconds in (("floor", FLOOR.label, floor_s), ("ours", FRAME.label, ours_s))
                ],
            },
            {"title": "Whole processes, to a DataFrame"} | cost_table(frames, FLOOR.label),
            {"title": "Whole processes, to Parquet"} | cost_table(files, FLOOR.label),
        ],
        "bars": [
            bar("in process, to a DataFrame: at most 2.5 x the bare download", ours_s / floor_s, 2.5),
            bar("whole process, to a DataFrame: at most 2 x the bare download", frame_s / median(frames[FLOOR.label]), 2),
            bar("… at least 7 x faster than the SDK with pandas", median(frames[SDK_FRAME.label]) / frame_s, 7, least=True),
            bar("whole process, to a snapshot: at most 2.2 x the bare download", snapshot_s / median(files[FLOOR.label]), 2.2),
            bar("… at least 6 x faster than dlt to Parquet", median(files[DLT.label]) / snapshot_s, 6, least=True),
        ],
        "raw": {"in process": inside, "to a DataFrame": raw(frames), "to Parquet": raw(files)},
    }


def latency(size: Size) -> dict[str, Any]:
    """100 ms an answer, no limits: what pages in flight buy."""
    with Server.start(size.latency_runs, "--latency-ms", "100") as server:
        say(f"latency: {size.latency_runs} runs, 100 ms an answer")
        costs = rounds([FLOOR, FLOOR_THREADS, FRAME], server, size.latency_rounds, size.latency_runs)
        costs |= rounds([SDK_FRAME, DLT], server, 1, size.latency_runs)
    ratio = median(costs[FLOOR.label]) / median(costs[FRAME.label])
    return {
        "title": f"Latency: {size.latency_runs:,} runs, 100 ms an answer, no limits",
        "about": f"Whole processes; medians of {size.latency_rounds}, the peers once. The bare download walks page by page.",
        "tables": [cost_table(costs, FLOOR.label)],
        "bars": [bar("at least 5 x faster than a sequential walk", ratio, 5, least=True)],
        "raw": raw(costs),
    }


# The documented limits, and how many times as fast their clock runs: so that they allow 50 to 400 requests a second.
LIMITS: Final[dict[tuple[str, ...], int]] = {
    ("600/60",): 20,
    ("140/10",): 15,
    ("12/5",): 20,
    ("100/60",): 60,
    ("1000/3600", "100/60"): 240,
}
PAGE_SIZE_LIMITED: Final = 25
ROWS_LIMITED: Final = 18  # new ones that such a page brings, since pages overlap


def least_s(requests: int, limits: Sequence[str]) -> float:
    """The least seconds between the first and the last of so many requests."""
    parsed = [(int(count), float(seconds)) for count, seconds in (limit.split("/") for limit in limits)]
    sent = [deque([-math.inf] * count, maxlen=count) for count, _ in parsed]
    now_s = 0.0
    for _ in range(requests):
        now_s = max(now_s, *(times[0] + seconds for times, (_, seconds) in zip(sent, parsed, strict=True)))
        for times in sent:
            times.append(now_s)
    return now_s


def limited(limits: Sequence[str], windows: int, clock: int, tool: Tool) -> dict[str, Any]:
    """One load under limits, by the limits' own clock."""
    wanted = int(limits[0].split("/")[0]) * windows
    options = [part for limit in limits for part in ("--limit", limit)]
    runs = wanted * (ROWS_LIMITED if "BENCH_PAGE_SIZE" in tool.variables else 100)
    with Server.start(runs, *options, "--clock-speed", str(clock)) as server:
        variables = {**tool.variables, "BENCH_CLOCK_SPEED": str(clock)}
        cost = run(replace(tool, variables=variables), server.environment, keep=tool.writes)
        stats = server.stats()
    facts = {"limits": ", ".join(limits), "windows": windows, "clock": clock, "tool": tool.label, "status": cost.status}
    if cost.folder:
        facts |= {"left": rows_in(cost.folder), "runs": runs, "said": cost.out.strip()}
        shutil.rmtree(cost.folder.parent)
    if cost.status != 0:
        return facts | {"error": (cost.err.strip().splitlines() or ["no word"])[-1][:200], **stats}
    took_s = (stats["last_s"] - stats["first_s"]) * clock
    least = least_s(stats["accepted"], limits)
    return (
        facts
        | stats
        | {"took_s": took_s, "least_s": least, "ratio": took_s / least, "refused_share": stats["refused"] / stats["requests"]}
    )


def waited(resumed: dict[str, Any]) -> int:
    """How many times a load raised because of a wait and was then asked again."""
    return len(json.loads(resumed["said"] or "[]"))


def limits(size: Size) -> dict[str, Any]:
    """Each documented limit, learned: how close to the least time it allows."""
    ours = Tool("ours", "ours", "ours_limited.py", {"BENCH_PAGE_SIZE": str(PAGE_SIZE_LIMITED)})
    found = []
    for rates, clock in LIMITS.items():
        for windows in size.windows:
            say(f"limits: {' and '.join(rates)}, {windows} windows, clock x {clock}")
            found.append(limited(rates, windows, clock, ours))
            say(f"  {found[-1].get('ratio', found[-1].get('error'))}")
    rates, clock = [*LIMITS.items()][-1]
    windows = min(3, *size.windows)
    say(f"limits: {' and '.join(rates)}, {windows} windows, by default")
    resumed = limited(
        rates, windows, clock, replace(ours, label="ours, max_wait_s by default", script="ours_resumed.py", writes=True)
    )
    found.append(resumed)
    say(f"  {resumed.get('ratio', resumed.get('error'))}, {resumed['left']} rows of {resumed['runs']}, waits {resumed['said']}")
    real = 10 if max(size.windows) > 4 else 2
    for tool in (ours, replace(SDK_FRAME, label="SDK + pandas"), DLT):
        say(f"limits: 12/5 in real time, {real} windows, {tool.label}")
        found.append(limited(["12/5"], real, 1, tool))
        say(f"  {found[-1].get('ratio', found[-1].get('error'))}")
    scaled = [one for one in found if one["clock"] > 1 and "ratio" in one and one is not resumed]
    rows = [
        [
            *(one["tool"], one["limits"], one["windows"], f"x {one['clock']}", one["accepted"]),
            *(
                (f"{one['took_s']:.0f}", f"{one['least_s']:.0f}", f"{one['ratio']:.3f}", f"{100 * one['refused_share']:.1f} %")
                if "ratio" in one
                else (one["error"], "", "", "")
            ),
        ]
        for one in found
    ]
    bars = []
    for windows, limit in ((30, 1.15), (10, 1.25)):
        some = [one for one in scaled if one["windows"] == windows]
        if some:
            worst = max(one["ratio"] for one in some)
            bars.append(bar(f"each limit, {windows} windows: at most {limit} x the least time (the worst)", worst, limit))
    if scaled:
        worst = max(one["refused_share"] for one in scaled)
        bars.append(bar("at most 5 % of requests answered 429 (the worst)", 100 * worst, 5, unit="%"))
    bars.append(
        bar(
            "an hourly limit, max_wait_s by default: raises, and goes on when asked again",
            waited(resumed), resumed["windows"] - 1, least=True, unit="times",
        )
    )  # fmt: skip
    whole = float(resumed["status"] == 0 and resumed["left"] == str(resumed["runs"]))
    bars.append(bar("… every row once", whole, 1, least=True, unit=""))
    return {
        "title": "Limits: each documented one, learned from answers alone",
        "about": "Seconds from the first request to the last, by the limit's clock; both sides' clocks run so many times as "
        "fast, 12/5 also in real time. Least: what a sliding window allows for so many accepted requests.",
        "tables": [
            {
                "columns": ["tool", "limit", "windows", "clock", "requests", "s", "least s", "ratio", "answered 429"],
                "rows": rows,
            }
        ],
        "bars": bars,
        "raw": found,
    }


def cell_of(costs: Sequence[Cost] | None) -> str:
    """A peak, and seconds in brackets."""
    return "not run" if costs is None else f"{peak(costs):.0f} ({median(costs):.1f})"


def memory(size: Size) -> dict[str, Any]:
    """What a snapshot of many runs holds in memory at its peak."""
    costs: dict[int, dict[str, list[Cost]]] = {}
    for count in size.growth:
        with Server.start(count, "--archived-share", "0.15", "--render", "paged") as server:
            tools = [both(tool) for tool in (FLOOR, SNAPSHOT, DLT, SDK)]
            costs[count] = {}
            for tool in tools[:3] if count > 200_000 else tools:
                say(f"memory: {count} runs, {tool.label}")
                costs[count][tool.label] = [reliable(tool, server, count)]
    peaks = {count: peak(found[SNAPSHOT.label]) for count, found in costs.items()}
    least, most = sorted(peaks)[-2:]
    per_run = (peaks[most] - peaks[least]) * 2**20 / (most - least)
    rows = [[label, *(cell_of(found.get(label)) for found in costs.values())] for label in costs[size.growth[0]]]
    return {
        "title": "Memory: a snapshot of both lists",
        "about": "Peak resident MB of the whole process, and in brackets its seconds; once each. The SDK keeps every run as an "
        "object, so it is not run on the largest list.",
        "tables": [{"columns": ["tool", *(f"{count:,} runs" for count in size.growth)], "rows": rows}],
        "bars": [
            bar(f"peak of a snapshot of {most:,} runs: at most 500 MB", peaks[most], 500, unit="MB"),
            bar(f"growth from {least:,} to {most:,} runs, ids alone: at most 150 bytes a run", per_run, 150, unit="B"),
        ],
        "raw": {str(count): raw(found) for count, found in costs.items()},
    }


def growth(size: Size) -> dict[str, Any]:
    """Whether a run costs the same in a long list as in a short one."""
    tool = Tool("ours, frames as they come", "ours", "ours_rows.py")
    found: dict[int, list[float]] = {count: [] for count in size.growth}
    for count in size.growth:
        with Server.start(count, "--archived-share", "0.15", "--render", "paged") as server:
            for _ in range(1 if count > 200_000 else 3):
                say(f"growth: {count} runs")
                server.reset()
                told = json.loads(run(tool, server.environment).out)
                if told["rows"] != count:
                    message = f"{told['rows']} rows of {count}"
                    raise RuntimeError(message)
                found[count].append(told["last_s"] - server.stats()["first_s"])
    each = {count: statistics.median(seconds) / count * 1e6 for count, seconds in found.items()}
    least, most = sorted(each)[-2:]
    return {
        "title": "Growth: from the first request to the last row",
        "about": "`iter_runs` over both lists, each frame dropped when the next comes; pages rendered as they are asked for.",
        "tables": [
            {
                "columns": ["runs", "s", "µs a run"],
                "rows": [
                    [f"{count:,}", f"{statistics.median(found[count]):.2f}", f"{each[count]:.1f}"] for count in size.growth
                ],
            }
        ],
        "bars": [
            bar(
                f"seconds a run from {least:,} to {most:,} runs: flat within 20 %",
                100 * abs(each[most] / each[least] - 1),
                20,
                unit="%",
            )
        ],
        "raw": found,
    }


def requests(size: Size) -> dict[str, Any]:
    """How many requests a quiet list costs."""
    rows, figures = [], []
    for ties, option in (("none", "0"), ("3 %", "33")):
        for count in size.requests:
            pages = math.ceil(count / 100)
            with Server.start(count, "--tie-every", option) as server:
                for proof, allowed in (("seen", math.floor(1.16 * pages + 3)), ("still", pages + 3)):
                    say(f"requests: {count} runs, {proof}, ties: {ties}")
                    server.reset()
                    run(Tool("ours", "ours", "ours_requests.py", arguments=(proof,)), server.environment)
                    asked = server.stats()["list_requests"]
                    rows.append([f"{count:,}", ties, pages, proof, asked, allowed])
                    figures.append({"runs": count, "ties": ties, "proof": proof, "requests": asked, "allowed": allowed})
    bars = []
    for proof, text in (("seen", "at most 1.16 x pages + 3"), ("still", "at most pages + 3")):
        for ties in ("none", "3 %"):
            over = [one["requests"] - one["allowed"] for one in figures if (one["proof"], one["ties"]) == (proof, ties)]
            bars.append(bar(f"`{proof}`, ties: {ties}: {text}: requests above it (the worst)", max(over), 0, unit=""))
    return {
        "title": "Requests: a list that does not move",
        "about": "Counted by the server; pages of 100. Ties: runs that share the instant of the one before. With `still` a "
        "joint within an instant is asked for again, since a database may serve such rows in another order each time.",
        "tables": [{"columns": ["runs", "ties", "pages", "proof", "requests", "allowed"], "rows": rows}],
        "bars": bars,
        "raw": figures,
    }


def tasks(size: Size) -> dict[str, Any]:
    """Runs with their tasks: what it costs to make rows of both."""
    runs, each = size.tasks_runs, size.tasks_each
    ours = [TASKS_DATASET, TASKS_ALONE, TASKS_SNAPSHOT]
    with Server.start(runs, "--tasks", str(each), "--tie-every", "0") as server:
        say(f"tasks: {runs} runs of {each} tasks")
        everyone = [replace(FLOOR, variables=TASKS), *ours, TASKS_DLT, TASKS_DLT_LEAST, TASKS_DLT_FLAT]
        costs = rounds(everyone, server, size.tasks_rounds, f"{runs}+{runs * each}")
        counted = [(tool, *asked_and_planned(tool, server, tables, whole=tool.writes))
                   for tool, tables in zip(ours, (TASK_TABLES, TASK_TABLES[1:], TASK_TABLES), strict=True)]  # fmt: skip
    cpu_s = {label: median(found, lambda cost: cost.cpu_s) for label, found in costs.items()}
    dlt_s = cpu_s[TASKS_DLT.label]
    shared = [
        [label, f"{1000 * median(found) / runs:.2f}", f"{1000 * cpu_s[label] / runs:.2f}", f"{cpu_s[label] / dlt_s:.3f}"]
        for label, found in costs.items()
    ]
    alone_mb = peak(costs[TASKS_ALONE.label])
    return {
        "title": f"Tasks: {runs:,} runs `with=tasks`, {each} each, no latency, no limits",
        "about": f"Whole processes; medians of {size.tasks_rounds} rounds in which the tools take turns. A round counts only "
        "if every run and every task is there once. By default dlt makes columns or tables of all that is nested, of answers "
        "by field id, too; with tasks the deepest, what is nested in them stays JSON text.",
        "tables": [
            {"title": "Whole processes"} | cost_table(costs, FLOOR.label),
            {
                "title": "A run and its tasks",
                "columns": ["tool", "ms a run", "CPU ms a run", "x CPU of dlt, child tables"],
                "rows": shared,
            },
            {
                "title": "Requests, counted by the server, and as planned",
                "columns": ["tool", "requests", "planned"],
                "rows": [[tool.label, asked, planned] for tool, asked, planned in counted],
            },
        ],
        "bars": [
            *(
                bar(f"{tool.label}: at most 1/10 of the CPU of dlt's to child tables", cpu_s[tool.label] / dlt_s, 0.1)
                for tool in (TASKS_DATASET, TASKS_SNAPSHOT)
            ),
            bar(f"peak of {runs * each:,} tasks as a DataFrame: at most 600 MB", alone_mb, 600, unit="MB"),
            bar(
                "requests beside those planned (the worst)", max(abs(asked - planned) for _, asked, planned in counted),
                0, unit="",
            ),
        ],
        "raw": raw(costs) | {"requests": {tool.label: [asked, planned] for tool, asked, planned in counted}},
    }  # fmt: skip


def asked_and_planned(tool: Tool, server: Server, tables: Sequence[str], *, whole: bool) -> tuple[int, int]:
    """The requests that a tool of ours sends, and those that a plan of the same tables says it will."""
    say(f"tasks: requests, {tool.label}")
    server.reset()
    cost = run(tool, server.environment)
    asked = server.stats()["requests"]
    plan = Tool("plan", "ours", "ours_plan.py", arguments=("whole" if whole else "chosen", *tables))
    told = run(plan, server.environment)
    if cost.status or told.status:
        message = f"{tool.label}: {cost.err or told.err}"
        raise RuntimeError(message)
    return asked, int(told.out)


SECTIONS: Final[dict[str, Callable[[Size], dict[str, Any]]]] = {
    "speed": speed, "latency": latency, "limits": limits, "memory": memory, "growth": growth, "requests": requests,
    "tasks": tasks,
}  # fmt: skip


def load() -> float:
    """How busy the machine is, before we make it so."""
    return round(os.getloadavg()[0], 2)
