"""Servers, child processes and what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from environments import HERE, ROOT, environment_of, python_of

WORK: Final = HERE / ".work"
BOTH_LISTS: Final = {"BENCH_LISTS": ",only"}


@dataclass
class Server:
    """A running ``server.py``."""

    process: subprocess.Popen[str]
    environment: dict[str, str]

    @classmethod
    @contextlib.contextmanager
    def start(cls, runs: int, *options: str) -> Iterator[Server]:
        """Start one, wait until it is ready, and stop it in the end."""
        command = [sys.executable, str(HERE / "server.py"), "--runs", str(runs), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        environment = {}
        try:
            for line in process.stdout or ():
                if line == "ready\n":
                    break
                name, _, value = line.removeprefix("export ").strip().partition("=")
                environment[name] = value
            yield cls(process, environment)
        finally:
            process.kill()
            process.wait()

    def _get(self, route: str) -> dict[str, Any]:
        url = self.environment["TALLYFY_BASE_URL"].removesuffix("/api") + route
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)

    def stats(self) -> dict[str, Any]:
        """Its counters since the last reset."""
        return self._get("/stats")

    def reset(self) -> None:
        """Its counters and limits back to nothing."""
        self._get("/reset")


@dataclass(frozen=True)
class Tool:
    """A command to measure: a script of ``tools/`` in an environment."""

    label: str
    env: str
    script: str
    variables: Mapping[str, str] = field(default_factory=dict)
    writes: bool = False
    arguments: Sequence[str] = ()


@dataclass(frozen=True)
class Cost:
    """What one run of a tool took."""

    seconds: float
    cpu_s: float
    peak_mb: float
    status: int
    out: str
    err: str
    folder: Path | None = None


def run(tool: Tool, server_environment: Mapping[str, str], *, timeout_s: float | None = None, keep: bool = False) -> Cost:
    """One run, from before the interpreter starts until the process is gone. Peaks are the kernel's own figure.

    This process must stay small: a child's peak is never less than what its parent held when it forked.
    """
    WORK.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=WORK)) / "out"
    command = [
        str(python_of(tool.env)),
        str(HERE / "tools" / tool.script),
        *tool.arguments,
        *([str(folder)] if tool.writes else []),
    ]
    environment = {**environment_of(tool.env), **server_environment, **tool.variables}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err, cwd=folder.parent)
        status, usage = _wait(process, timeout_s)
        seconds = time.perf_counter() - began
        out.seek(0)
        err.seek(0)
        texts = out.read(), err.read()
    if not keep:
        shutil.rmtree(folder.parent)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, status, *texts, folder if keep else None)


def _wait(process: subprocess.Popen[bytes], timeout_s: float | None) -> tuple[int, Any]:
    """The exit status (negative: a signal) and what the kernel counted."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        pid, status, usage = os.wait4(process.pid, 0 if deadline is None else os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        if deadline is not None and time.monotonic() > deadline:
            process.kill()
            deadline = None
        time.sleep(0.02)


def rounds(tools: Sequence[Tool], server: Server, count: int, expected_rows: int | str) -> dict[str, list[Cost]]:
    """Each tool ``count`` times, taking turns. A run that fails, or prints other rows than expected, is done again once."""
    costs: dict[str, list[Cost]] = {tool.label: [] for tool in tools}
    for _ in range(count):
        for tool in tools:
            costs[tool.label].append(reliable(tool, server, expected_rows))
    return costs


def reliable(tool: Tool, server: Server, expected_rows: int | str) -> Cost:
    """One run that succeeded; a second attempt is reported, a third there is not."""
    for attempt in (1, 2):
        cost = run(tool, server.environment, keep=tool.writes)
        found = rows_in(cost.folder) if cost.folder else cost.out.split()[0] if cost.out.split() else ""
        if cost.folder:
            shutil.rmtree(cost.folder.parent)
        if cost.status == 0 and found in {"", str(expected_rows)}:
            return cost
        say(f"  {tool.label}: attempt {attempt} ended with {cost.status} and {found or 'no'} rows: {cost.err[-300:]}")
    message = f"{tool.label} failed twice"
    raise RuntimeError(message)


def rows_in(folder: Path) -> str:
    """How many runs a tool left, ``+`` how many tasks if it left any; where one is not there once, what is wrong with them."""
    command = [str(python_of("ours")), str(HERE / "tools" / "check.py"), str(folder)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    texts = [
        str(rows) if rows == ids else f"{rows} ({ids} distinct)"
        for rows, ids in ((found["rows"], found["ids"]), (found["tasks"], found["task_ids"]))
    ]
    if found["strays"]:
        return f"{'+'.join(texts)}, of {found['strays']} runs that are not there"
    return "+".join(texts if found["tasks"] else texts[:1])


def median(costs: Sequence[Cost], of: Callable[[Cost], float] = lambda cost: cost.seconds) -> float:
    """The median of some runs."""
    return statistics.median(of(cost) for cost in costs)


def machine() -> dict[str, str]:
    """What this is measured on."""
    cpu = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "memory": f"{int(memory) / 2**20:.0f} GB",
        "system": f"{os.uname().sysname} {os.uname().release.split('-')[0]}",
        "Python": sys.version.split()[0],
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude", "*"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)
