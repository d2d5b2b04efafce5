"""The sandbox's HTTP server: headers, limits and faults around ``routes.py``. The standard library alone.

It demands what the real API demands (``Authorization``, ``Accept``, ``X-Tallyfy-Client``), answers errors in the variants
that were seen, and keeps a log of requests for tests. Tokens come from ``tokens.py``.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tallyfy_frames.sandbox.facts import Run
from tallyfy_frames.sandbox.faults import EDITS, SPOILS, Fault, edit
from tallyfy_frames.sandbox.lists import LISTS
from tallyfy_frames.sandbox.live import Mover
from tallyfy_frames.sandbox.routes import QUIRKS, Refused, Routes
from tallyfy_frames.sandbox.tokens import WEEK_S, Tokens
from tallyfy_frames.sandbox.wire import Wire, http_date
from tallyfy_frames.sandbox.world import World

LIST_ROUTES: Final = frozenset({"runs", *LISTS})
LISTS_WITHIN: Final = frozenset({"steps", "tasks"})  # of a template, a run or a person
TOKEN_PATHS: Final = frozenset({"/oauth/token", "/api/oauth/token"})
SIGN_INS: Final = ("token", "application", "refresh")
HTML: Final = b"<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad Gateway</h1><!-- %s --></body></html>"
OVERSIZED_BYTES: Final = 200_000_000


@dataclass(slots=True)
class Logged:
    """One request and what it got; there before its answer is sent."""

    number: int  # counted from 1
    at_s: float  # monotonic clock
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    status: int = 0  # 0: no answer at all
    fault: str | None = None
    list_request: int = 0  # its number among the list requests that no limit refused, counted from 1; 0: it is none


class Limit:
    """At most ``count`` accepted requests in any window of ``seconds``; refused ones do not count."""

    def __init__(self, count: int, seconds: float) -> None:
        """An empty window."""
        self.count = count
        self.seconds = seconds
        self.accepted: deque[float] = deque()

    @classmethod
    def parse(cls, text: str) -> Limit:
        """``COUNT/SECONDS``."""
        count, _, seconds = text.partition("/")
        try:
            limit = cls(int(count), float(seconds))
        except ValueError:
            limit = cls(0, 0)
        if limit.count < 1 or limit.seconds <= 0:
            message = f"a limit is COUNT/SECONDS, such as 100/60, not {text!r}"
            raise ValueError(message)
        return limit

    def wait_s(self, now: float) -> float:
        """Seconds until the next request would be accepted; 0 when one would be now."""
        while self.accepted and self.accepted[0] <= now - self.seconds:
            self.accepted.popleft()
        return 0.0 if len(self.accepted) < self.count else self.accepted[0] + self.seconds - now


@dataclass
class Sandbox:
    """A server on loopback over one world; a context manager that serves from a thread.

    ``requests`` is the log, ``token_requests`` that of the token route, where ``token_faults`` strike. ``base_url``, ``token``
    and ``org_id`` are what a client needs, or :meth:`environment_of`. ``live`` makes the list move while it is read, ``script``
    moves it by hand: what to do just before the list request of a number is answered. Both change
    ``world`` itself.
    """

    world: World = field(default_factory=World)
    faults: Sequence[Fault | str] = ()
    token_faults: Sequence[Fault | str] = ()  # by the number of the token request
    quirks: Collection[str] = ()
    limits: Sequence[Limit | str] = ()
    live: Sequence[str] = ()
    live_seed: int = 1
    script: Mapping[int, Callable[[Mover], object]] = field(default_factory=dict)
    latency_ms: float = 0
    slow_s: float = 5.0  # how long the fault "slow" is silent, and "drip" drips
    token_uses: int | None = None  # requests that an access token lets in, if the route gave it; None: as many as there are
    token_lifetime_s: float = WEEK_S
    plain: bool = False  # documented shapes only
    foreign_origin: str = "http://127.0.0.1:9"  # where "foreign-next" and "foreign-redirect" point
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Logged] = field(default_factory=list, init=False)
    token_requests: list[Logged] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Check names, then bind."""
        unknown = sorted(set(self.quirks) - set(QUIRKS))
        if unknown:
            message = f"no quirk {', '.join(unknown)}; there are {', '.join(QUIRKS)}"
            raise ValueError(message)
        self.faults, self.token_faults = (
            [Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults]
            for faults in (self.faults, self.token_faults)
        )
        self.limits = [Limit.parse(limit) if isinstance(limit, str) else limit for limit in self.limits]
        # Held while an answer is made, not while it is sent: each shows one state of the world and of what is remembered of it.
        self.lock = threading.RLock()
        self.list_requests = 0
        self.revoked = False  # the personal token and the application, for good
        self.tokens = Tokens(self.world, self.quirks, self.token_uses, self.token_lifetime_s)
        self.routes = Routes(self.world, Wire(self.world, self.quirks, plain=self.plain), self.quirks, lambda: self.base_url)
        self.mover = Mover(self.routes, self.live, self.live_seed, self.script)
        self.server = _Server((self.host, self.port), _Handler)
        self.server.sandbox = self
        self.thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """The address, with the prefix of ``go.tallyfy.com/api``; the same routes answer without it."""
        return f"http://{self.host}:{self.server.server_address[1]}/api"

    @property
    def token(self) -> str:
        """The personal token, which lives until it is revoked."""
        return self.world.token

    @property
    def org_id(self) -> str:
        """The one organization it has."""
        return self.world.org_id

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a client at it, with the personal token."""
        return self.environment_of("token")

    def environment_of(self, sign_in: str) -> dict[str, str]:
        """The same for one of ``SIGN_INS``. What another way would need is blank: that is not given."""
        way = {"TALLYFY_ACCESS_TOKEN": self.token}
        if sign_in != "token":
            way = {"TALLYFY_ACCESS_TOKEN": "", "TALLYFY_CLIENT_ID": self.tokens.client_id}
            way |= {"TALLYFY_CLIENT_SECRET": self.tokens.client_secret}
        if sign_in == "refresh":
            way |= {"TALLYFY_REFRESH_TOKEN": self.tokens.refresh_token}
        return {**way, "TALLYFY_ORG_ID": self.org_id, "TALLYFY_BASE_URL": self.base_url}

    def serve(self) -> None:
        """Serve until interrupted."""
        self.server.serve_forever(poll_interval=0.05)

    def __enter__(self) -> Self:
        """Serve from a thread."""
        return self.start()

    def start(self) -> Self:
        """Serve from a thread, until the process ends or ``__exit__``."""
        self.thread = threading.Thread(target=self.serve, name="sandbox", daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop serving and free the port."""
        self.server.shutdown()
        self.server.server_close()

    def admit(self, now: float) -> tuple[float, int | None]:
        """Count a request against the limits: (seconds to wait or 0, requests left)."""
        with self.lock:
            limits: Iterable[Limit] = [limit for limit in self.limits if isinstance(limit, Limit)]
            wait_s = max((limit.wait_s(now) for limit in limits), default=0.0)
            if wait_s <= 0:
                for limit in limits:
                    limit.accepted.append(now)
            left = min((limit.count - len(limit.accepted) for limit in limits), default=None)
        return wait_s, left

    def log(self, path: str, query: dict[str, str], headers: dict[str, str], method: str = "GET") -> Logged:
        """A new entry of the log: a POST's is that of the token route."""
        with self.lock:
            log = self.requests if method == "GET" else self.token_requests
            entry = Logged(len(log) + 1, time.monotonic(), method, path, query, headers)
            log.append(entry)
        return entry

    def look(self, path: Sequence[str], query: Mapping[str, str], entry: Logged, target: str) -> object:
        """The answer, from one state of the world; ``entry`` learns its number and the fault that strikes it."""
        with self.lock:
            if _is_list(path):
                self.list_requests += 1
                number = entry.list_request = self.routes.request = self.list_requests
                entry.fault = next((f.name for f in self.faults if isinstance(f, Fault) and f.strikes(number)), None)
                self.mover.move(number)
            if entry.fault is not None and entry.fault not in EDITS | SPOILS:
                return None
            body = self.routes.answer(path, query)
            if entry.fault not in EDITS:
                return body
            first_page = {**query, "page": "1"}
            return edit(entry.fault, body, f"{self.foreign_origin}{target}", lambda: self.routes.answer(path, first_page))

    def present_throughout(
        self,
        wanted: Callable[[Run], bool] | Mapping[str, str] | None = None,
        *,
        since_request: int = 1,
        until_request: int | None = None,
    ) -> set[str]:
        """The ids of the runs that a complete read must hold: there, and wanted, in every state that could be seen.

        ``wanted`` is a predicate, or a query in the API's words (``{"archived": "only"}``; default: the default list). A union
        of lists is one question (``{"archived": "true"}``): a run that moves between them is in the union throughout. The
        states are those shown to the list requests ``since_request`` to ``until_request`` (default: the last so far).
        """
        with self.lock:
            query: Mapping[str, str] = {} if wanted is None or callable(wanted) else wanted
            accept = wanted if callable(wanted) else lambda run: self.routes.selects(run, query)
            return self.mover.throughout(accept, since_request, until_request or self.list_requests)

    def states_of(self, run_id: str, *, since_request: int = 1, until_request: int | None = None) -> list[Run]:
        """What the run was while it was there, in the states shown to those list requests: a row served is one of these."""
        with self.lock:
            states = self.mover.states_of(run_id, since_request, until_request or self.list_requests)
        return [run for run in states if run is not None]


def _is_list(path: Sequence[str]) -> bool:
    if path[:1] != ["organizations"]:
        return False
    return path[-1] in LIST_ROUTES if len(path) == 3 else len(path) > 3 and path[-1] in LISTS_WITHIN


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    sandbox: Sandbox

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tallyfy-frames-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60
    server: _Server
    entry: Logged
    error_pages: ClassVar[dict[int, str]] = {401: "Unauthenticated.", 404: "Not Found"}

    def log_message(self, *_: object) -> None:
        """Standard error stays quiet; ``Sandbox.requests`` is the log."""

    def do_GET(self) -> None:
        """Answer one request."""
        sandbox = self.server.sandbox
        split = urlsplit(self.path)
        query = {name: value for name, value in parse_qsl(split.query.replace("+", "%2B"), keep_blank_values=True)}  # noqa: C416
        path = [unquote(part) for part in split.path.split("/") if part]
        if path[:1] == ["api"]:
            path = path[1:]
        if sandbox.latency_ms:
            time.sleep(sandbox.latency_ms / 1000)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.entry = sandbox.log(split.path, query, headers)

        def answer() -> None:
            self.demand_headers()
            self.demand_rights(path)
            self.answer(path, query)

        self.guarded(answer)

    def do_POST(self) -> None:
        """Answer a request for a token."""
        sandbox = self.server.sandbox
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if sandbox.latency_ms:
            time.sleep(sandbox.latency_ms / 1000)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.entry = sandbox.log(self.path, {}, headers, "POST")
        self.guarded(lambda: self.answer_token(body))

    def guarded(self, answer: Callable[[], object]) -> None:
        """What ``answer`` sends, or what it refuses."""
        try:
            answer()
        except Refused as refused:
            self.send_json(refused.status, refused.body)
        except OSError:
            raise  # the client went away
        except Exception as error:  # noqa: BLE001 - a bug here must not look like a network fault
            self.send_json(500, {"message": f"sandbox: {type(error).__name__}"})

    def answer(self, path: Sequence[str], query: Mapping[str, str]) -> None:
        """What the limits, the fault of the hour and the world make of a request."""
        sandbox = self.server.sandbox
        wait_s, left = sandbox.admit(time.monotonic())
        if wait_s > 0:
            self.refuse_pace(wait_s)
            return
        body = sandbox.look(path, query, self.entry, self.path)
        fault = self.entry.fault
        if fault is not None and fault not in EDITS:
            self.strike(fault, body)
            return
        self.send_json(200, body, {} if left is None else {"X-RateLimit-Remaining": str(left)})

    def answer_token(self, body: bytes) -> None:
        """What the fault of the hour and the application make of a request for a token. The API's limits are not for it."""
        sandbox, number = self.server.sandbox, self.entry.number
        if self.path not in TOKEN_PATHS:
            raise Refused(404, {"error": True, "message": "Endpoint not found", "code": "ENDPOINT_NOT_FOUND"})
        faults = (fault.name for fault in sandbox.token_faults if isinstance(fault, Fault) and fault.strikes(number))
        self.entry.fault = next(faults, None)
        with sandbox.lock:
            answer = None
            if self.entry.fault is None or self.entry.fault in SPOILS:
                answer = sandbox.tokens.answer(self.headers.get("Content-Type", ""), body, revoked=sandbox.revoked)
        if self.entry.fault is not None:
            self.strike(self.entry.fault, answer)
        else:
            self.send_json(200, answer, {"Cache-Control": "no-store"})

    def demand_headers(self) -> None:
        """The three headers; each one missing looks as it does in production."""
        authorization = self.headers.get("Authorization", "")
        if self.headers.get("Accept") != "application/json":
            raise Refused(404, {"html": True})
        if not self.headers.get("X-Tallyfy-Client"):
            raise Refused(404, {"error": True, "message": "Endpoint not found", "code": "ENDPOINT_NOT_FOUND"})
        sandbox = self.server.sandbox
        with sandbox.lock:
            admitted = not sandbox.revoked and sandbox.tokens.admits(authorization)
        if not admitted:
            raise Refused(401, {"message": "Unauthenticated."})

    def demand_rights(self, path: Sequence[str]) -> None:
        """The token belongs to one organization; that of an application may be of less use."""
        self.server.sandbox.tokens.demand_rights(self.headers.get("Authorization", ""), path)
        if path[:1] == ["organizations"] and (len(path) < 2 or path[1] != self.server.sandbox.org_id):
            if "wrong-org-404" in self.server.sandbox.quirks:
                raise Refused(404, {"error": True, "message": "Not found", "code": "RESOURCE_NOT_FOUND"})
            raise Refused(403, {"error": True, "message": "You do not belong to this organization."})

    def refuse_pace(self, wait_s: float) -> int:
        """429 until the window has room."""
        body = {"message": "Too many requests.", "code": "RATE_LIMIT_EXCEEDED"}
        return self.send_json(429, body, {"Retry-After": str(max(1, int(wait_s) + 1)), "X-RateLimit-Remaining": "0"})

    def send_json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> int:
        """JSON with its headers, in one piece; an error to a client that accepts anything is HTML."""
        if isinstance(body, Mapping) and body.get("html"):
            return self.send_bytes(status, HTML % b"Not Found", "text/html; charset=UTF-8")
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return self.send_bytes(status, data, "application/json", headers)

    def send_bytes(self, status: int, data: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> int:
        self.entry.status = status
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Request-Id", f"sandbox-{self.entry.number}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        return status

    def strike(self, fault: str, answer: object) -> int:  # noqa: C901, PLR0911, PLR0912
        """An answer replaced, cut or withheld."""
        sandbox = self.server.sandbox
        too_many = {"message": "Too many requests.", "code": "RATE_LIMIT_EXCEEDED"}
        now = datetime.now(UTC)
        match fault:
            case "429-seconds":
                return self.send_json(429, too_many, {"Retry-After": "1"})
            case "429-date":
                return self.send_json(429, too_many, {"Retry-After": http_date(now + timedelta(seconds=2))})
            case "429-hour":
                hourly = {"message": "The hourly limit of this organization is used up.", "code": "RATE_LIMIT_EXCEEDED"}
                return self.send_json(429, hourly, {"Retry-After": "3000"})
            case "429-garbage":
                return self.send_json(429, too_many, {"Retry-After": "soon"})
            case "html-502":
                return self.send_bytes(502, HTML % b"upstream", "text/html")
            case "sql-500":
                message = "SQLSTATE[42S22]: Column not found (SQL: select * from secret_table)"
                return self.send_json(500, {"message": message})
            case "html-200":
                return self.send_bytes(200, HTML % b"maintenance", "text/html")
            case "empty-body":
                return self.send_bytes(200, b"", "application/json")
            case "error-200":
                return self.send_json(200, {"error": True, "message": "Something went wrong."})
            case "echo-token-200":
                return self.send_json(200, {"error": True, "message": f"bad header: {self.headers['Authorization']}"})
            case "echo-token":
                return self.send_json(400, {"message": f"bad header: {self.headers['Authorization']}"})
            case "foreign-redirect":
                return self.send_bytes(302, b"", "text/html", {"Location": f"{sandbox.foreign_origin}{self.path}"})
            case "token-revoked":
                sandbox.revoked = True
                return self.send_json(401, {"message": "Unauthenticated."})
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return 0
            case "oversized":
                body = gzip.compress(b'{"data":["' + b"x" * OVERSIZED_BYTES + b'"]}', compresslevel=1)
                return self.send_bytes(200, body, "application/json", {"Content-Encoding": "gzip"})
        data = json.dumps(answer, ensure_ascii=False).encode()
        match fault:
            case "slow":
                time.sleep(sandbox.slow_s)
                return self.send_bytes(200, data, "application/json")
            case "half-json":
                return self.send_bytes(200, data[: len(data) // 2], "application/json")
        self.entry.status = 200
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.flush()
        if fault == "drip":
            for position in range(20):
                self.wfile.write(data[position : position + 1])
                self.wfile.flush()
                time.sleep(sandbox.slow_s / 20)
            self.wfile.write(data[20:])
        else:  # cut-body
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        self.wfile.flush()
        return 200
