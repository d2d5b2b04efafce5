"""A stand-in for the runs list, on loopback, that costs the tools under test as little time as Python can.

    python benchmarks/server.py --runs 50000 [--archived-share 0.15] [--latency-ms 100] [--limit 100/60 --clock-speed 20]
    python benchmarks/server.py --runs 20000 --tasks 12

A few thousand distinct bodies come from the sandbox's world; every run is one of them with an id, a number, a name and an
instant of its own stamped in. Small lists are rendered whole before ``ready``, large ones page by page, so that memory stays
bounded. With ``--tasks`` each run brings so many when ``with=tasks`` asks for them; these are rendered page by page, always.
``GET /stats`` gives counters, ``GET /reset`` clears them and the limits. Standard library only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import math
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tallyfy_frames.sandbox.facts import Run
from tallyfy_frames.sandbox.lists import tasks as task_list
from tallyfy_frames.sandbox.wire import Wire
from tallyfy_frames.sandbox.world import START, World

BODIES: Final = 4000  # distinct ones; the world draws names, statuses, progress, answers and people for each
TIE_EVERY: Final = 33  # each so-manieth run shares the instant of the one before: 3 %
HELD_ROWS_MAX: Final = 200_000  # of 1.2 KB: lists up to this size are rendered before the first request
SPAN_S: Final = 390 * 86400  # all runs are created within it
PAGE_SIZE_DEFAULT: Final = 10
PAGE_SIZE_MAX: Final = 100
SCATTER: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd: number * SCATTER mod 2^128 is an id of its own for every number
TASK_FIRST: Final = 1 << 64  # tasks are numbered from here, so that none has the id of a run
INT64_MAX: Final = (1 << 63) - 1
SEND_BUFFER_BYTES: Final = 8 << 20
ENVELOPE: Final = (
    b'{"data":[%b],"meta":{"pagination":{"total":%d,"count":%d,"per_page":%d,"current_page":%d,"total_pages":%d,"links":%b}}}'
)


class Rows:
    """Every run's JSON text, by its number: 0 is the oldest."""

    def __init__(  # noqa: PLR0913 - as the command line
        self, count: int, archived_share: float, *, hostile: bool, hold: bool, tie_every: int, tasks_each: int
    ) -> None:
        """Render the distinct bodies; with ``hold`` every row, too."""
        world = World(1, BODIES)
        wire = Wire(world, plain=not hostile)
        self.tie_every = tie_every
        self.tasks_each = tasks_each
        self.step_ms = max(1, SPAN_S * 1000 // max(1, count))
        self.days = [(START + timedelta(days=day)).strftime("%Y-%m-%dT").encode() for day in range(SPAN_S // 86400 + 2)]
        self.clock = [b"%02d:%02d:%02d" % (s // 3600, s // 60 % 60, s % 60) for s in range(86400)]
        self.bodies: tuple[list[bytes], list[bytes]] = ([], [])  # shown, archived
        self.inside: tuple[list[bytes], list[bytes]] = ([], [])  # the tasks of each body
        pool = Pool(wire) if tasks_each else None
        for run in world.runs:
            archived = run.archived_at is not None
            body = wire.run(run)
            self.bodies[archived].append(stamped(within_64_bits(body) if tasks_each else body))
            if pool is not None:
                self.inside[archived].append(pool.tasks(run, tasks_each))
        # Archived runs are spread evenly.
        marks = [math.floor((n + 1) * archived_share) - math.floor(n * archived_share) for n in range(count)]
        self.archived = bytes(marks)
        self.lists = (
            array("I", (n for n, mark in enumerate(marks) if not mark)),
            array("I", (n for n, mark in enumerate(marks) if mark)),
        )
        self.held = [self.render(number) for number in range(count)] if hold else None

    def render(self, number: int) -> bytes:
        """One run."""
        bodies = self.bodies[self.archived[number]]
        return bodies[number % len(bodies)] % (scattered(number), number + 1, number + 1, self.instant(number))

    def instant(self, number: int) -> bytes:
        """When a run was created."""
        tied = number - (self.tie_every > 0 and number % self.tie_every == self.tie_every - 1)
        seconds, millis = divmod(tied * self.step_ms, 1000)
        day, second = divmod(seconds, 86400)
        return b"%b%b.%03dZ" % (self.days[day], self.clock[second], millis)

    def with_tasks(self, number: int, row: bytes) -> bytes:
        """A run and its tasks: each has an id and a number of its own, and the id and the creation time of its run."""
        inside = self.inside[self.archived[number]]
        run_id, made = scattered(number), self.instant(number)
        first = number * self.tasks_each
        stamps = [
            stamp
            for task in range(first, first + self.tasks_each)
            for stamp in (scattered(TASK_FIRST + task), task + 1, run_id, made)
        ]
        return b'%b,"tasks":{"data":[%b]}}' % (row[:-1], inside[number % len(inside)] % (*stamps,))

    def page(self, numbers: Sequence[int], *, tasks: bool) -> bytes:
        """The rows of these numbers, as they stand between the brackets."""
        held = self.held
        rows = [self.render(n) for n in numbers] if held is None else [held[n] for n in numbers]
        if tasks:
            rows = [*map(self.with_tasks, numbers, rows)]
        return b",".join(rows)


class Pool:
    """The tasks of the sandbox's runs, dealt out in turn: few of those runs have as many as are wanted."""

    def __init__(self, wire: Wire) -> None:
        """All that no rule hides, as the list has them."""
        found = [one for one in wire.world.tasks if one.run is not None and not one.task.hidden]
        self.bodies = [within_64_bits(task_list.LIST.body(wire, one, {})) for one in found]
        self.dealt = 0

    def tasks(self, run: Run, count: int) -> bytes:
        """The JSON text of as many for a run, with places for what is each one's own."""
        chosen = [self.bodies[(self.dealt + n) % len(self.bodies)] for n in range(count)]
        self.dealt += count
        order = ("id", "increment_id", "run_id", "created_at")
        own = {"checklist_id": run.template.id}
        return b",".join(templated(body | own | {"position": place}, order) for place, body in enumerate(chosen, start=1))


def within_64_bits(value: Any) -> Any:
    """The same, whole numbers cut to 64 bits: a tool that makes columns of answers refuses all for a longer one."""
    if isinstance(value, dict):
        return {key: within_64_bits(item) for key, item in value.items()}
    if isinstance(value, list):
        return [within_64_bits(item) for item in value]
    return min(value, INT64_MAX) if isinstance(value, int) else value


def scattered(number: int) -> bytes:
    """An id that no other number has."""
    return b"%032x" % (number * SCATTER & (1 << 128) - 1)


def stamped(body: dict[str, object]) -> bytes:
    """A run's JSON text with places for its id, number, name's number and instant, in that order."""
    return templated(body, ("id", "increment_id", "name", "created_at"))


def templated(body: dict[str, object], order: Sequence[str]) -> bytes:
    """An object's JSON text with places for the values of some keys, which come first; a name gets a number."""
    parts = []
    for name in (*order, *(key for key in body if key not in order)):
        text = json.dumps(body[name], ensure_ascii=False, separators=(",", ":")).replace("%", "%%")
        if name == "name":
            text = f'{text[:-1]} %d"'
        elif name in order:
            text = "%d" if name == "increment_id" else '"%b"'
        parts.append(f'"{name}":{text}')
    return ("{" + ",".join(parts) + "}").encode()


class Limit:
    """At most ``count`` accepted requests in any window of ``seconds``; refused ones do not count."""

    def __init__(self, text: str) -> None:
        """``COUNT/SECONDS``."""
        count, _, seconds = text.partition("/")
        self.count, self.seconds = int(count), float(seconds)
        self.accepted: deque[float] = deque()

    def wait_s(self, now_s: float) -> float:
        """Seconds until a request would be accepted; 0 when one would be now."""
        while self.accepted and self.accepted[0] <= now_s - self.seconds:
            self.accepted.popleft()
        return 0.0 if len(self.accepted) < self.count else self.accepted[0] + self.seconds - now_s


class Api:
    """The routes, the limits and the counters."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Render what will be served."""
        hold = options.render == "whole" or (options.render == "auto" and options.runs <= HELD_ROWS_MAX)
        self.rows = Rows(
            options.runs, options.archived_share, hostile=options.hostile, hold=hold, tie_every=options.tie_every,
            tasks_each=options.tasks,
        )  # fmt: skip
        self.limits = [Limit(text) for text in options.limit]
        self.latency_s = options.latency_ms / 1000
        self.speed = options.clock_speed
        world = World(1, 1)
        self.org_id, self.token = world.org_id, world.token
        self.bearer = f"bearer {world.token}".encode()
        self.me = json.dumps({"data": Wire(world, plain=True).user(world.me)}).encode()
        self.link = b""
        self.reset()

    def reset(self) -> None:
        """Forget all requests."""
        for limit in self.limits:
            limit.accepted.clear()
        self.requests = self.list_requests = self.refused = self.row_count = 0
        self.first_s = self.last_s = 0.0

    def stats(self) -> bytes:
        """The counters; times by the machine's monotonic clock."""
        return json.dumps({
            "requests": self.requests, "list_requests": self.list_requests, "accepted": self.requests - self.refused,
            "refused": self.refused, "rows": self.row_count, "first_s": self.first_s, "last_s": self.last_s,
        }).encode()  # fmt: skip

    def answer(self, head: bytes) -> bytes:
        """The whole HTTP answer to a request's head."""
        target, _, headers = head.partition(b"\r\n")
        path, _, query = target.split(b" ")[1].decode().partition("?")
        path = path.removeprefix("/api")
        if path == "/stats":
            return http(200, self.stats())
        if path == "/reset":
            self.reset()
            return http(200, b"{}")
        refusal = self.demand(headers.lower(), path)
        if refusal:
            return refusal
        now_s = time.monotonic()
        is_list = path.endswith("/runs")
        self.requests += 1
        self.list_requests += is_list
        self.first_s = self.first_s or now_s
        wait_s, left = self.admit(now_s * self.speed) if self.limits else (0.0, b"")
        if wait_s > 0:
            self.refused += 1
            after = b"Retry-After: %d\r\nX-RateLimit-Remaining: 0\r\n" % math.ceil(wait_s)
            return http(429, b'{"message":"Too many requests.","code":"RATE_LIMIT_EXCEEDED"}', after)
        if is_list:
            self.last_s = now_s
        if is_list or path in {"/me", f"/organizations/{self.org_id}/me"}:
            return http(200, self.runs(dict(parse_qsl(query))) if is_list else self.me, left)
        return http(404, b'{"error":true,"message":"Endpoint not found","code":"ENDPOINT_NOT_FOUND"}', left)

    def admit(self, now_s: float) -> tuple[float, bytes]:
        """Count a request against the limits: seconds to wait or 0, and the header that says how many are left."""
        wait_s = max(limit.wait_s(now_s) for limit in self.limits)
        if wait_s <= 0:
            for limit in self.limits:
                limit.accepted.append(now_s)
        return wait_s, b"X-RateLimit-Remaining: %d\r\n" % min(limit.count - len(limit.accepted) for limit in self.limits)

    def demand(self, headers: bytes, path: str) -> bytes | None:
        """A refusal, unless the three headers are there and the organization is the token's."""
        if b"accept: application/json\r\n" not in headers:
            return http(404, b"<html>Not Found</html>")
        if b"x-tallyfy-client: " not in headers:
            return http(404, b'{"error":true,"message":"Endpoint not found","code":"ENDPOINT_NOT_FOUND"}')
        if self.bearer not in headers:
            return http(401, b'{"message":"Unauthenticated."}')
        if path.startswith("/organizations/") and path.split("/")[2] != self.org_id:
            return http(403, b'{"error":true,"message":"You do not belong to this organization."}')
        return None

    def runs(self, query: dict[str, str]) -> bytes:
        """One page of a list, in its envelope; links keep the filters and drop ``per_page``, as the API's do."""
        numbers = self.rows.lists[query.get("archived") == "only"]
        size = min(PAGE_SIZE_MAX, int(query.get("per_page", PAGE_SIZE_DEFAULT)))
        page = max(1, int(query.get("page", 1)))
        total = len(numbers)
        pages = max(1, -(-total // size))
        if query.get("sort", "").startswith("-"):
            end = total - (page - 1) * size
            chosen = numbers[max(0, end - size) : max(0, end)][::-1]
        else:
            chosen = numbers[(page - 1) * size : page * size]
        self.row_count += len(chosen)
        kept = "".join(f"{name}={query[name]}&" for name in ("with", "sort", "archived") if name in query).encode()
        tasks = self.rows.tasks_each > 0 and "tasks" in query.get("with", "").split(",")
        links = [b'"%b":"%b?%bpage=%d"' % (name, self.link, kept, other)
                 for name, other in ((b"previous", page - 1), (b"next", page + 1)) if 1 <= other <= pages]  # fmt: skip
        return ENVELOPE % (
            self.rows.page(chosen, tasks=tasks), total, len(chosen), size, page, pages,
            b"{%b}" % b",".join(links) if links else b"[]",
        )  # fmt: skip


REASONS: Final = {200: b"OK", 401: b"Unauthorized", 403: b"Forbidden", 404: b"Not Found", 429: b"Too Many Requests"}


def http(status: int, body: bytes, headers: bytes = b"") -> bytes:
    """An answer in one piece."""
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status, REASONS[status], len(body), headers, body,
    )  # fmt: skip


class Connection(asyncio.Protocol):
    """One keep-alive connection: GET requests without bodies, answered in order."""

    def __init__(self, api: Api) -> None:
        """Nothing received yet."""
        self.api = api
        self.waiting = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a page leave in one piece."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's own promise for TCP
        transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request, after the latency."""
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head, self.waiting = self.waiting[: end + 2], self.waiting[end + 4 :]
            if self.api.latency_s:
                asyncio.get_running_loop().call_later(self.api.latency_s, self.reply, head)
            else:
                self.reply(head)

    def reply(self, head: bytes) -> None:
        """Send the answer, unless the client has gone."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(self.api.answer(head))


async def serve(api: Api, port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(api), "127.0.0.1", port, backlog=128)
    host, bound = server.sockets[0].getsockname()
    base_url = f"http://{host}:{bound}/api"
    api.link = f"{base_url}/organizations/{api.org_id}/runs".encode()
    for name, value in (("ACCESS_TOKEN", api.token), ("ORG_ID", api.org_id), ("BASE_URL", base_url)):
        print(f"export TALLYFY_{name}={value}")
    print("ready", flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the command line, render, serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50_000)
    parser.add_argument("--archived-share", type=float, default=0.0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--limit", action="append", default=[], metavar="COUNT/SECONDS")
    parser.add_argument(
        "--clock-speed", type=float, default=1.0, help="the limits' clock runs so many times as fast as real time"
    )
    parser.add_argument("--render", choices=("auto", "whole", "paged"), default="auto")
    parser.add_argument("--hostile", action="store_true", help="the shapes that were seen, not those that are documented")
    parser.add_argument("--tie-every", type=int, default=TIE_EVERY, help="of so many runs one shares its instant; 0: none")
    parser.add_argument("--tasks", type=int, default=0, help="so many of each run, when with=tasks asks for them")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    api = Api(options)
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a collection would land in somebody's measurement
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(api, options.port))


if __name__ == "__main__":
    main()
