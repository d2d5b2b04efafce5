"""Sends requests, one at a time, and tries again where that can help. The only file that imports httpx."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
import stamina

from tallyfy_frames._version import __version__
from tallyfy_frames.api import protocol
from tallyfy_frames.api.protocol import Reply, Request
from tallyfy_frames.errors import DecodeError, RateLimited, ServerError, TallyfyFramesError
from tallyfy_frames.settings import Secret, Settings

Answer = TypeVar("Answer")

logger: Final = logging.getLogger(__name__)
logging.getLogger("stamina").addHandler(logging.NullHandler())  # it reports each retry; we do, too, with more to say

RETRY_WAIT_MAX_S: Final = 8.0  # between attempts; as the vendor's CLI
CHUNK_BYTES: Final = 65536


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
        self._token = settings.token.reveal() if isinstance(settings.token, Secret) else settings.token
        self._http = httpx.Client(
            headers={
                **protocol.HEADERS,
                "Authorization": f"Bearer {self._token}",
                "User-Agent": f"tallyfy-frames/{__version__}",
            },
            timeout=httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s),
            follow_redirects=False,
            # Proxy and CA settings from the environment, but not for loopback: a proxy would read a plain-http token.
            # httpx takes no credentials from .netrc unless told to, and is not.
            trust_env=not settings.is_loopback,
            transport=transport,
        )

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
                    reply = self._send(request)
                    protocol.check(request, reply, now=datetime.now(UTC), hide=self._token)
                    return read(request, reply)
                except TallyfyFramesError as error:
                    if error.retriable:
                        error.where["attempt"] = f"{attempt.num} of {settings.attempts}"
                    logger.info("%s: %s", type(error).__name__, error)
                    raise
        raise AssertionError  # stamina leaves its loop by returning or raising

    def _wait_before_retry(self, error: Exception) -> bool | float:
        """Whether to ask again; a number is the wait in seconds that the API asked for."""
        if not isinstance(error, TallyfyFramesError) or not error.retriable:
            return False
        if not isinstance(error, RateLimited):
            return True
        self.traffic.throttled += 1
        wait_s = error.retry_after_s
        if wait_s is None:
            return True
        if wait_s > self.settings.max_wait_s:
            return False
        self.traffic.waited_s += wait_s
        return wait_s

    def _send(self, request: Request) -> Reply:
        """One request, one answer, within the limits of time and size."""
        self.traffic.requests += 1
        url = f"{self.settings.base_url}/{request.target}"
        deadline = time.monotonic() + self.settings.total_timeout_s
        body = bytearray()
        try:
            with self._http.stream("GET", url) as response:
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    body += chunk
                    if len(body) > self.settings.max_answer_bytes:
                        raise _too_large(request, self.settings.max_answer_bytes)
                    if time.monotonic() > deadline:
                        what = f"the answer took longer than {self.settings.total_timeout_s:g} s"
                        raise ServerError(what, url=request.shown, hint="try again later, or raise total_timeout_s")
                self.traffic.received_bytes += len(body)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status_code, headers, bytes(body))
        except httpx.HTTPError as error:
            what = f"the connection failed: {type(error).__name__}"
            hint = f"check the network and TALLYFY_BASE_URL ({self.settings.base_url})"
            raise ServerError(what, url=request.shown, hint=hint) from error


def _too_large(request: Request, limit: int) -> DecodeError:
    error = DecodeError(
        f"the answer is larger than {limit} bytes", url=request.shown, hint="lower page_size, or raise max_answer_bytes"
    )
    error.retriable = False
    return error
