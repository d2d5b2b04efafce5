"""Signs requests with a token that lives: renewed before its end, and when the API refuses it. Safe in several threads.

One thread asks for a new token, the others wait for it; those who were refused with an old one use the new one. A token, and
what came with it, outlives the client that asked for it: a snapshot opens several, and a refresh token is good for one use.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Final, TypeAlias

import httpx

from tallyfy_frames.api import grant, protocol
from tallyfy_frames.api.grant import Token
from tallyfy_frames.api.protocol import Reply
from tallyfy_frames.errors import ServerError, SinkError, TallyfyFramesError, warn
from tallyfy_frames.settings import Secret, Settings

Flow: TypeAlias = Generator[httpx.Request, httpx.Response, None]

logger: Final = logging.getLogger(__name__)

SENDS_MAX: Final = 4  # of one request: a token may end once more while the request that renewed it waits for its turn
REMEMBERED: Final = 32  # tokens that may still be under way, and so in an answer that repeats them


class Tokens(httpx.Auth):
    """The tokens of one application, or of one user through it."""

    def __init__(self, settings: Settings, now_s: Callable[[], float]) -> None:
        """Know none yet. ``now_s`` is a clock that never goes back."""
        self._settings = settings
        self._now_s = now_s
        self._token: Token | None = None
        self._refresh = settings.refresh_token if isinstance(settings.refresh_token, Secret) else None
        secrets = (settings.client_secret, settings.refresh_token)
        self._given = [secret for secret in secrets if isinstance(secret, Secret)]
        self._seen: tuple[Secret, ...] = ()
        self._lock = threading.Lock()  # held by whoever asks for a token
        self._answers = 0
        self._failed: TallyfyFramesError | None = None  # the last of them, if it was none

    @property
    def secrets(self) -> list[str]:
        """All that no message may repeat."""
        return [secret.reveal() for secret in (*self._given, *self._seen)]

    def sync_auth_flow(self, request: httpx.Request) -> Flow:
        """``request`` with a token, after a request for one where none lives; and again if a 401 says that it was dead.

        A second 401 is the answer, unless the second token worked for others and ended, too. What the flow is told of a
        request that failed (``throw``) reaches those who wait for the same token.
        """
        refused = None
        for _ in range(SENDS_MAX):
            token = self._token
            if token is None or token is refused or self._now_s() >= token.renew_at_s:
                token = yield from self._renewed(token, request)
            request.headers["Authorization"] = f"Bearer {token.access.reveal()}"
            response = yield request
            if response.status_code != 401:
                token.worked = True
                return
            if refused is not None and not token.worked:
                return
            refused = token

    def _renewed(self, old: Token | None, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, Token]:
        """The token after ``old``. Who waited while somebody asked for it gets the same answer, be it an error."""
        answers = self._answers
        with self._lock:
            if self._token is not old and self._token is not None:
                return self._token
            if self._answers > answers and self._failed is not None:
                raise copy.deepcopy(self._failed)
            self._failed = None
            asked_s = self._now_s()
            try:
                token = self._read((yield self._request_of(request)))
            except TallyfyFramesError as error:
                if error.retriable or not isinstance(error, ServerError):  # else: this client was ended, others were not
                    self._failed = copy.deepcopy(error)
                raise
            finally:
                self._answers += 1
            token.renew_at_s = asked_s + grant.renew_after_s(token.lasts_s)
            unkept = self._keep(token)
            self._token = token
        logger.info("a new access token: good for %g s, or until it is refused", token.lasts_s)
        if unkept is not None:
            warn(f"a new refresh token could not be kept, and the old one may be good no more: {unkept}")
        return token

    def _request_of(self, request: httpx.Request) -> httpx.Request:
        """The request for a token, with the names that ``request`` goes by and its patience."""
        headers = {name: request.headers[name] for name in (*protocol.HEADERS, "User-Agent") if name in request.headers}
        url, form = self._settings.token_route, grant.form
        return httpx.Request(
            "POST", url, data=form(self._settings, self._refresh), headers=headers, extensions=request.extensions
        )

    def _read(self, response: httpx.Response) -> Token:
        """The token that was answered, or the error."""
        reply = Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.read())
        url = self._settings.token_route
        if response.is_success:
            return grant.read(reply, url=url)
        reply = protocol.redacted(reply, *self.secrets)
        raise grant.refusal(reply, url=url, refreshing=self._refresh is not None, now=datetime.now(UTC))

    def _keep(self, token: Token) -> SinkError | None:
        """Remember what came; the file first, since the old refresh token may be good no more. The error, if it refuses."""
        self._seen = (*self._seen[-REMEMBERED:], token.access)
        if self._refresh is None or token.refresh is None or token.refresh == self._refresh:
            return None
        unkept = None
        try:
            self._settings.keep_refresh_token(token.refresh)
        except SinkError as error:
            unkept = SinkError(error.what, hint=error.hint, **error.where)  # without the frames, which held it
        self._seen = (*self._seen, token.refresh)
        self._refresh = token.refresh
        _TOKENS[_key(self._settings, self._refresh)] = self
        return unkept


_Key: TypeAlias = tuple[object, ...]
_TOKENS: Final[dict[_Key, Tokens]] = {}  # of this process, also under each later refresh token: files hold those


def tokens_of(settings: Settings, now_s: Callable[[], float]) -> Tokens:
    """Those of the application that ``settings`` sign in with, the same in the whole process."""
    return _TOKENS.setdefault(_key(settings, settings.refresh_token), Tokens(settings, now_s))


def _key(settings: Settings, refresh_token: Secret | str | None) -> _Key:
    return (settings.token_route, settings.client_id, settings.client_secret, refresh_token)
