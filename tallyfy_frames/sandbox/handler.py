"""What becomes of one request: the headers and rights that are demanded, limits, faults, and the answer on the wire.

Errors come in the variants that were seen. What it answers, and the log of requests, are the `Sandbox`'s.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tallyfy_frames.sandbox.faults import EDITS, SPOILS, Fault
from tallyfy_frames.sandbox.routes import Refused
from tallyfy_frames.sandbox.wire import http_date

if TYPE_CHECKING:
    from tallyfy_frames.sandbox.server import Logged, Sandbox

TOKEN_PATHS: Final = frozenset({"/oauth/token", "/api/oauth/token"})
HTML: Final = b"<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad Gateway</h1><!-- %s --></body></html>"
OVERSIZED_BYTES: Final = 200_000_000


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128
    sandbox: Sandbox

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "tallyfy-frames-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60
    server: Server
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
        """Anything, in one piece; the log learns its status."""
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
