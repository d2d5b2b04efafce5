"""Sends requests, one at a time, and tries again where that can help. The only file that imports httpx, or sleeps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpcore
import httpx
import stamina

from tallyfy_frames._version import __version__
from tallyfy_frames.api import protocol
from tallyfy_frames.api.protocol import Reply, Request
from tallyfy_frames.errors import DecodeError, FilterError, RateLimited, ServerError, SettingsError, TallyfyFramesError
from tallyfy_frames.settings import Settings

Answer = TypeVar("Answer")

logger: Final = logging.getLogger(__name__)
logging.getLogger("stamina").addHandler(logging.NullHandler())  # it reports each retry; we do, too, with more to say

RETRY_WAIT_MAX_S: Final = 8.0  # between attempts; as the vendor's CLI
# What we ask for, and so what may come. Anything else (gzip twice over, say) could unpack to any size in one step.
ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})


@dataclass(slots=True)
class Traffic:
    """What the conversation cost so far."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0  # answers of 429
    waited_s: float = 0.0  # because of them
    received_bytes: int = 0  # bodies, decompressed


class Client:
    """A conversation with one organization, over one keep-alive connection pool. A context manager.

    It only ever speaks to the origin of ``settings.base_url``: URLs are built here, links and redirects are not followed.
    """

    def __init__(self, settings: Settings, *, transport: httpx.BaseTransport | None = None) -> None:
        """Prepare the connection; nothing is sent yet. ``transport`` replaces the network in tests."""
        self.settings = settings
        self.traffic = Traffic()
        self._deadline = _Deadline()
        try:
            self._http = httpx.Client(
                headers={
                    **protocol.HEADERS,
                    "Authorization": f"Bearer {settings.secret.reveal()}",
                    "User-Agent": f"tallyfy-frames/{__version__}",
                },
                timeout=httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s),
                follow_redirects=False,
                # Proxy and CA settings from the environment, but not for loopback: a proxy would read a plain-http token.
                # httpx takes no credentials from .netrc unless told to, and is not.
                trust_env=not settings.is_loopback,
                transport=transport,
            )
        except (ValueError, ImportError, OSError) as error:
            hint = "look at HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            raise SettingsError(f"the proxy or CA settings in the environment cannot be used: {error}", hint=hint) from None
        _limit_total(self._http, self._deadline)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, request: Request, read: Callable[[Request, Reply], Answer]) -> Answer:
        """What ``read`` makes of the answer, asking again where an error says that may help.

        Raises the last error once ``settings.attempts`` are used up, and ``RateLimited`` at once if the API asks for a
        longer wait than ``settings.max_wait_s``.
        """
        settings = self.settings
        for attempt in stamina.retry_context(
            on=self._wait_before_retry,
            attempts=settings.attempts,
            timeout=None,
            wait_initial=settings.retry_wait_s,
            wait_max=RETRY_WAIT_MAX_S,
            wait_jitter=settings.retry_wait_s,
        ):
            with attempt:
                self.traffic.retries += attempt.num > 1
                try:
                    return self._read(request, self._send(request), read)
                except TallyfyFramesError as error:
                    if error.retriable:
                        error.where["attempt"] = f"{attempt.num} of {settings.attempts}"
                    logger.info("%s: %s", type(error).__name__, error)
                    raise
        raise AssertionError  # stamina leaves its loop by returning or raising

    def pause(self) -> None:
        """Wait as long as before a second attempt."""
        time.sleep(self.settings.retry_wait_s)

    def _read(self, request: Request, reply: Reply, read: Callable[[Request, Reply], Answer]) -> Answer:
        """Read the answer. An error is made from a copy without the token, in case the API repeats it."""
        try:
            protocol.check(request, reply, now=datetime.now(UTC))
            return read(request, reply)
        except TallyfyFramesError:
            pass  # left behind with all it holds: the next lines raise it anew
        reply = protocol.redacted(reply, self.settings.secret.reveal())
        protocol.check(request, reply, now=datetime.now(UTC))
        return read(request, reply)

    def _wait_before_retry(self, error: Exception) -> bool | float:
        """Whether to ask again; a number is the wait in seconds that the API asked for."""
        if not isinstance(error, TallyfyFramesError) or not error.retriable:
            return False
        if not isinstance(error, RateLimited):
            return True
        self.traffic.throttled += 1
        wait_s = error.retry_after_s
        last = str(error.where.get("attempt", "")).startswith(f"{self.settings.attempts} ")
        if wait_s is None or last:
            return True
        if wait_s > self.settings.max_wait_s:
            return False
        self.traffic.waited_s += wait_s
        logger.warning("429: waiting %g s, as the API asks", wait_s)
        return wait_s

    def _send(self, request: Request) -> Reply:
        """One request, one answer, within the limits of time and size."""
        settings = self.settings
        self.traffic.requests += 1
        self._deadline.at_s = time.monotonic() + settings.total_timeout_s
        body = bytearray()
        try:
            with self._http.stream("GET", f"{settings.base_url}/{request.target}") as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                if headers.get("content-encoding", "").strip().lower() not in ENCODINGS:
                    raise DecodeError("the answer is packed in a way nobody asked for", url=request.shown)
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > settings.max_answer_bytes:
                        raise _too_large(request, settings.max_answer_bytes)
                self.traffic.received_bytes += len(body)
                return Reply(response.status_code, headers, bytes(body))
        except httpx.HTTPError as error:
            late = time.monotonic() >= self._deadline.at_s
            what = (
                f"no whole answer in {settings.total_timeout_s:g} s"
                if late
                else f"the connection failed: {type(error).__name__}"
            )
            hint = f"check the network and TALLYFY_BASE_URL ({settings.base_url})"
            raise ServerError(what, url=request.shown, hint=hint) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            what = f"the address cannot be sent: {type(error).__name__}"
            raise FilterError(what, hint="shorten the filters, and check TALLYFY_BASE_URL") from None


def _too_large(request: Request, limit: int) -> DecodeError:
    error = DecodeError(
        f"the answer is larger than {limit} bytes",
        url=request.shown,
        hint="set Settings(page_size=…) lower, or max_answer_bytes higher",
    )
    error.retriable = False
    return error


@dataclass(slots=True)
class _Deadline:
    """When the present request must be done, by the monotonic clock."""

    at_s: float = float("inf")

    def left(self, timeout_s: float | None) -> float:
        """``timeout_s``, or less if the deadline comes sooner."""
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout
        return left_s if timeout_s is None else min(timeout_s, left_s)


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every step ends at the deadline: httpx limits single reads, so a drip could go on for ever."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self.stream = stream
        self.deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, self.deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self.deadline.left(timeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _TimedStream:
        return _TimedStream(self.stream.start_tls(ssl_context, server_hostname, self.deadline.left(timeout)), self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


class _TimedBackend(httpcore.SyncBackend):
    """Opens such connections."""

    def __init__(self, deadline: _Deadline) -> None:
        self.deadline = deadline

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: Any, **options: Any) -> _TimedStream:
        stream = super().connect_tcp(host, port, self.deadline.left(timeout), *rest, **options)
        return _TimedStream(stream, self.deadline)


def _limit_total(client: httpx.Client, deadline: _Deadline) -> None:
    """Hold every connection of ``client``, proxies included, to ``deadline``.

    httpx has no limit on a whole answer and no public way to its connections; its version is pinned, and tests hold this.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = _TimedBackend(deadline)  # noqa: SLF001
