"""Sends requests, at the pace that the API allows, and tries again where that can help. Safe to call from several threads.

The only file that sends or sleeps. It shares httpx with `auth.py`, which signs the requests of applications; over `lines.py`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
import stamina

from tallyfy_frames._version import __version__
from tallyfy_frames.api import grant, protocol
from tallyfy_frames.api.auth import tokens_of
from tallyfy_frames.api.lines import Deadline, Lines
from tallyfy_frames.api.pace import Pace, Sent
from tallyfy_frames.api.protocol import Reply, Request
from tallyfy_frames.errors import DecodeError, FilterError, RateLimited, ServerError, SettingsError, TallyfyFramesError
from tallyfy_frames.settings import Secret, Settings

Result = TypeVar("Result")

logger: Final = logging.getLogger(__name__)
logging.getLogger("stamina").addHandler(logging.NullHandler())  # it reports each retry; we do, too, with more to say

RETRY_WAIT_MAX_S: Final = 8.0  # between attempts; as the vendor's CLI
WAKE_S: Final = 0.1
# What we ask for, and so what may come. Anything else (gzip twice over, say) could unpack to any size in one step.
ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})


class Clock:
    """The time that waits are measured in: real time, unless a simulation runs ``speed`` times as fast."""

    speed = 1.0

    def now_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic() * self.speed

    def wait(self, event: threading.Event, seconds: float) -> None:
        """So long, or until ``event`` is set.

        In short steps: Python hears of Ctrl-C when a wait ends, and the handler that polars installs lets waits go on.
        """
        end_s = self.now_s() + seconds
        while (left_s := end_s - self.now_s()) > 0 and not event.wait(min(left_s / self.speed, WAKE_S)):
            pass


CLOCK: Clock = Clock()


@dataclass(slots=True)
class Traffic:
    """What the conversation cost so far."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0  # answers of 429
    waited_s: float = 0.0  # because of them, or so as not to get more: by the request that waited longest
    received_bytes: int = 0  # bodies, decompressed


class Client:
    """A conversation with one organization, over one pool of keep-alive connections. A context manager.

    It only ever speaks to the origin of ``settings.base_url``, and of ``settings.token_route`` where an application signs in:
    URLs are built here, links and redirects are not followed.
    """

    def __init__(self, settings: Settings, *, transport: httpx.BaseTransport | None = None) -> None:
        """Prepare the connection; nothing is sent yet. ``transport`` replaces the network in tests."""
        self.settings = settings
        self.traffic = Traffic()
        self._deadline = Deadline()
        self._stopped = threading.Event()
        self._answered = threading.Event()  # anew for every answer: it may let those go who wait for their turn
        self._lock = threading.Lock()  # over the traffic and the pace
        self._pace = Pace(max_requests_per_minute=settings.max_requests_per_minute, backoff_s=settings.retry_wait_s)
        self._waited_to_s = float("-inf")
        self._refusals = 0  # rounds in a row that ended with 429: those under way at the same time are one
        self._refused_s = float("-inf")
        token = settings.token
        # None where there is a token that stays the same: it is in every request's headers, and costs nothing more.
        self._tokens = None if isinstance(token, Secret) else tokens_of(settings, CLOCK.now_s)
        self._hints = {} if self._tokens is None else grant.api_hints(settings)
        try:
            self._http = httpx.Client(
                headers={
                    **protocol.HEADERS,
                    **({"Authorization": f"Bearer {token.reveal()}"} if isinstance(token, Secret) else {}),
                    "User-Agent": f"tallyfy-frames/{__version__}",
                },
                # Proxy and CA settings from the environment, but not for loopback: a proxy would read a plain-http token.
                # httpx takes no credentials from .netrc unless told to, and is not.
                trust_env=not settings.is_loopback,
                transport=transport,
            )
        except (ValueError, ImportError, OSError) as error:
            hint = "look at HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
            raise SettingsError(f"the proxy or CA settings in the environment cannot be used: {error}", hint=hint) from None
        self._lines = Lines(self._deadline)
        _hold(self._http, self._lines)
        # What a client decides for each request (proxy, headers, cookies, redirects) is the same for all of ours: one origin.
        # Deciding it once, and then asking the transport itself, saves a quarter of the time that a request takes here.
        sample = self._http.build_request("GET", settings.base_url)
        self._origin, self._headers = sample.url, sample.headers
        self._wire = self._http._transport_for_url(sample.url)  # noqa: SLF001
        self._token_wire = self._http._transport_for_url(httpx.URL(settings.token_route))  # noqa: SLF001 - maybe another proxy
        self._token_request = Request((settings.token_route,))  # as errors name it
        timeout = httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s)
        self._extensions = {"timeout": timeout.as_dict()}

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End what is under way, and close the connections."""
        self._stopped.set()
        with self._lock:
            self._answered.set()
        self._lines.cut()  # nobody waits any more for what is under way
        self._http.close()

    def ask(self, request: Request, read: Callable[[Request, Reply], Result]) -> Result:
        """What ``read`` makes of the answer, asking again where an error says that may help.

        Raises the last error once ``settings.attempts`` are used up, and ``RateLimited`` at once if the API asks for a
        longer wait than ``settings.max_wait_s``. A 429 is nobody's own: it is over when any request gets through.
        """
        settings = self.settings
        while True:
            try:
                return self._ask(request, read)
            except RateLimited as error:
                refusals = self._refusals
                if refusals >= settings.attempts or (error.retry_after_s or 0) > settings.max_wait_s:
                    error.where["attempt"] = f"{refusals} of {settings.attempts}"
                    raise

    def _ask(self, request: Request, read: Callable[[Request, Reply], Result]) -> Result:
        """As :meth:`ask`, but for 429."""
        settings = self.settings
        for attempt in stamina.retry_context(
            on=lambda error: isinstance(error, TallyfyFramesError) and error.retriable and not isinstance(error, RateLimited),
            attempts=settings.attempts,
            timeout=None,
            wait_initial=settings.retry_wait_s,
            wait_max=RETRY_WAIT_MAX_S,
            wait_jitter=settings.retry_wait_s,
        ):
            with attempt:
                with self._lock:
                    self.traffic.retries += attempt.num > 1
                try:
                    return self._read(request, self._send(request), read)
                except TallyfyFramesError as error:
                    if error.retriable and not isinstance(error, RateLimited):
                        error.where["attempt"] = f"{attempt.num} of {settings.attempts}"
                    logger.info("%s: %s", type(error).__name__, error)
                    raise
        raise AssertionError  # stamina leaves its loop by returning or raising

    def pause(self) -> None:
        """Wait as long as before a second attempt."""
        CLOCK.wait(self._stopped, self.settings.retry_wait_s)

    def _read(self, request: Request, reply: Reply, read: Callable[[Request, Reply], Result]) -> Result:
        """Read the answer. An error is made from a copy without the token, in case the API repeats it."""
        try:
            protocol.check(request, reply, now=datetime.now(UTC), hints=self._hints)
            return read(request, reply)
        except TallyfyFramesError:
            pass  # left behind with all it holds: the next lines raise it anew
        reply = self._redacted(reply)
        protocol.check(request, reply, now=datetime.now(UTC), hints=self._hints)
        return read(request, reply)

    def _redacted(self, reply: Reply) -> Reply:
        if self._tokens is not None:
            return protocol.redacted(reply, *self._tokens.secrets)
        token = self.settings.token
        return protocol.redacted(reply, token.reveal()) if isinstance(token, Secret) else reply

    def _send(self, request: Request) -> Reply:
        """The answer to one request, signed."""
        try:
            url = self._origin.copy_with(raw_path=self._origin.raw_path + f"/{request.target}".encode())
            asked = httpx.Request("GET", url, headers=self._headers, extensions=self._extensions)
        except (httpx.InvalidURL, UnicodeError) as error:
            what = f"the address cannot be sent: {type(error).__name__}"
            raise FilterError(what, hint="shorten the filters, and check TALLYFY_BASE_URL") from None
        return self._send_in_turn(request, asked) if self._tokens is None else self._send_signed(request, asked, self._tokens)

    def _send_signed(self, request: Request, asked: httpx.Request, tokens: httpx.Auth) -> Reply:
        """The same with a token that lives, for which there may be requests of its own before and after."""
        flow = tokens.sync_auth_flow(asked)
        try:
            current = next(flow)
            while True:
                ours = current is asked
                try:
                    reply = self._send_in_turn(request if ours else self._token_request, current)
                except TallyfyFramesError as error:
                    flow.throw(error)
                    raise
                try:
                    current = flow.send(httpx.Response(reply.status) if ours else _unpacked(reply))
                except StopIteration:
                    return reply
        finally:
            flow.close()

    def _send_in_turn(self, request: Request, asked: httpx.Request) -> Reply:
        """One request when the pace allows it; its answer tells the pace. A 429 for a token is one like any other."""
        sent = self._wait_for_turn(request)
        reply = None
        try:
            reply = self._exchange(request, asked)
            return reply
        finally:
            with self._lock:
                now_s = CLOCK.now_s()
                self._answered.set()
                if not self._stopped.is_set():  # else it stays set
                    self._answered = threading.Event()
                if reply is None or reply.status >= 500:
                    self._pace.failed(sent)
                elif reply.status == 429:
                    self.traffic.throttled += 1
                    asked_s = protocol.retry_after_s(reply.headers, datetime.now(UTC))
                    pause_s = self._pace.refused(sent, now_s, asked_s)
                    if sent.at_s > self._refused_s:
                        self._refusals, self._refused_s = self._refusals + 1, now_s
                    if pause_s <= self.settings.max_wait_s:  # else an error says it
                        logger.warning("429: waiting %g s%s", pause_s, "" if asked_s is None else ", as the API asks")
                else:
                    # The token route counts by itself, if it does.
                    left = None if request is self._token_request else protocol.requests_left(reply.headers)
                    self._pace.accepted(sent, now_s, left)
                    if sent.at_s > self._refused_s:
                        self._refusals = 0

    def _wait_for_turn(self, request: Request) -> Sent:
        """Hold back until the pace lets this request go."""
        began_s = CLOCK.now_s()
        while not self._stopped.is_set():
            with self._lock:
                now_s = CLOCK.now_s()
                wait_s, asked_s, answered = self._pace.wait_s(now_s), self._pace.asked_s(now_s), self._answered
                if wait_s <= 0:
                    # Requests wait at the same time: what another one has counted already is not counted again. Before any 429
                    # they only wait for room, as more of them get on their way.
                    if self.traffic.throttled or self.settings.max_requests_per_minute:
                        self.traffic.waited_s += max(0.0, now_s - max(began_s, self._waited_to_s))
                    self._waited_to_s = now_s
                    return self._pace.sent(now_s)
            if asked_s > self.settings.max_wait_s:
                _, hint = protocol.ERROR_FOR_STATUS[429]
                raise RateLimited("the API asks us to wait", retry_after_s=round(asked_s, 1), url=request.shown, hint=hint)
            CLOCK.wait(answered, wait_s)
        raise _ended(request)

    def _exchange(self, request: Request, asked: httpx.Request) -> Reply:
        """One request, one answer, within the limits of time and size."""
        settings, for_token = self.settings, request is self._token_request
        with self._lock:
            self.traffic.requests += 1
        self._deadline.at_s = time.monotonic() + settings.total_timeout_s
        try:
            response = (self._token_wire if for_token else self._wire).handle_request(asked)
            try:
                return self._receive(request, response)
            finally:
                response.close()
        except httpx.HTTPError as error:
            failure = self._failure(request, type(error).__name__)
            if not for_token:
                raise failure from (None if self._stopped.is_set() else error)
        raise failure  # out here: a frame on the way there may hold the secrets that were being sent

    def _failure(self, request: Request, kind: str) -> ServerError:
        """The error for a connection that failed."""
        if self._stopped.is_set():
            return _ended(request)
        settings = self.settings
        late = time.monotonic() >= self._deadline.at_s
        what = f"no whole answer in {settings.total_timeout_s:g} s" if late else f"the connection failed: {kind}"
        address = f"TALLYFY_BASE_URL ({settings.base_url})"
        if request is self._token_request:
            address = f"TALLYFY_TOKEN_URL ({settings.token_route})"
        return ServerError(what, url=request.shown, hint=f"check the network and {address}")

    def _receive(self, request: Request, response: httpx.Response) -> Reply:
        """The whole answer, if it is packed as asked and not too large."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        if headers.get("content-encoding", "").strip().lower() not in ENCODINGS:
            raise DecodeError("the answer is packed in a way nobody asked for", url=request.shown)
        chunks, size = [], 0
        for chunk in response.iter_bytes():
            chunks.append(chunk)
            size += len(chunk)
            if size > self.settings.max_answer_bytes:
                raise _too_large(request, self.settings.max_answer_bytes)
        with self._lock:
            self.traffic.received_bytes += size
        return Reply(response.status_code, headers, b"".join(chunks))


def _unpacked(reply: Reply) -> httpx.Response:
    headers = {name: value for name, value in reply.headers.items() if name != "content-encoding"}
    return httpx.Response(reply.status, headers=headers, content=reply.body)


def _ended(request: Request) -> ServerError:
    """For whoever still asks when nobody wants to know."""
    error = ServerError("the conversation was ended", url=request.shown)
    error.retriable = False
    return error


def _too_large(request: Request, limit: int) -> DecodeError:
    error = DecodeError(
        f"the answer is larger than {limit} bytes",
        url=request.shown,
        hint="set Settings(page_size=…) lower, or max_answer_bytes higher",
    )
    error.retriable = False
    return error


def _hold(client: httpx.Client, lines: Lines) -> None:
    """Have every connection of ``client``, proxies included, opened by ``lines``.

    httpx has no limit on a whole answer and no public way to its connections; its version is pinned, and tests hold this.
    """
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = lines  # noqa: SLF001
