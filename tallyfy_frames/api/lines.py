"""Connections that end in time, or when they are told: httpx limits single reads, and can do neither."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

import httpcore


class Deadline(threading.local):
    """When the present thread's request must be done, by the monotonic clock."""

    at_s: float = float("inf")

    def left(self, timeout_s: float | None) -> float:
        """``timeout_s``, or less if the deadline comes sooner."""
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout
        return left_s if timeout_s is None else min(timeout_s, left_s)


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every step ends at the deadline: httpx limits single reads, so a drip could go on for ever."""

    def __init__(self, stream: httpcore.NetworkStream, lines: Lines) -> None:
        self.stream = stream
        self.lines = lines

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, self.lines.deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self.lines.deadline.left(timeout))

    def close(self) -> None:
        self.lines.closed(self)
        self.stream.close()

    def cut(self) -> None:
        """End it from another thread: whoever reads from it gets an error at once, which closing alone does not bring about."""
        with contextlib.suppress(OSError):
            self.stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _TimedStream:
        self.lines.closed(self)
        inner = self.stream.start_tls(ssl_context, server_hostname, self.lines.deadline.left(timeout))
        return self.lines.opened(inner)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


class Lines(httpcore.SyncBackend):
    """Opens connections that end at the deadline, and can cut them all, for good."""

    def __init__(self, deadline: Deadline) -> None:
        """None is open yet."""
        self.deadline = deadline
        self._open: set[_TimedStream] = set()
        self._cut = False
        self._lock = threading.Lock()  # connections come and go in several threads

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: Any, **options: Any) -> _TimedStream:
        """A connection, opened before the deadline."""
        return self.opened(super().connect_tcp(host, port, self.deadline.left(timeout), *rest, **options))

    def opened(self, stream: httpcore.NetworkStream) -> _TimedStream:
        """Keep an eye on a connection. One that comes after the end is closed again: nothing is to be sent."""
        timed = _TimedStream(stream, self)
        with self._lock:
            if not self._cut:
                self._open.add(timed)
                return timed
        stream.close()
        raise httpcore.ConnectError("ended")

    def closed(self, stream: _TimedStream) -> None:
        """It is no more, or goes on as part of another."""
        with self._lock:
            self._open.discard(stream)

    def cut(self) -> None:
        """End every connection, and let there be no further one."""
        with self._lock:
            self._cut = True
            streams = list(self._open)
        for stream in streams:
            stream.cut()
