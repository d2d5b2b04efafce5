"""How an application is given an access token: what to ask, and (status, headers, bytes) → a token or an error. No I/O.

Two grants of OAuth 2 (RFC 6749) are documented that need no browser and no password: with the application's own credentials
(§4.4), and with a user's refresh token (§6). Sources: Tallyfy's docs on authentication, which contradict one another about
address and lifetimes; so ``expires_in`` is believed as it comes, and a token without one is used until it is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tallyfy_frames.api import protocol
from tallyfy_frames.api.protocol import Reply
from tallyfy_frames.errors import ApiError, DecodeError, RateLimited, ServerError, SignInError
from tallyfy_frames.settings import REFRESH_HINT, Secret, Settings

# A token is renewed so long before its end: a request may be under way for a while, and our clock counts from the answer on.
MARGIN_S: Final = 60.0
MARGIN_SHARE: Final = 0.1  # of its life, at most

CLIENT_HINT: Final = "check TALLYFY_CLIENT_ID (it is a number) and TALLYFY_CLIENT_SECRET, which may be another by now"
ENDED_HINT: Final = f"the refresh token has ended, or was used before: sign in anew, and {REFRESH_HINT}"
FOREIGN_HINT: Final = "the application may belong to another organization: check TALLYFY_ORG_ID and TALLYFY_CLIENT_ID"
ROUTE_HINT: Final = (
    "set TALLYFY_TOKEN_URL: the docs name https://go.tallyfy.com/api/oauth/token, https://go.tallyfy.com/oauth/token "
    "and https://account.tallyfy.com/oauth/token"
)
HINTS: Final[Mapping[object, str]] = {  # by the word in ``error`` (RFC 6749 §5.2), else by status
    "invalid_client": CLIENT_HINT,  # the API says so of an id that is no number, too
    "invalid_grant": ENDED_HINT,
    401: CLIENT_HINT,
    403: FOREIGN_HINT,
    404: ROUTE_HINT,
    405: ROUTE_HINT,
}
REFUSED_HINT: Final = "the API refuses a new token, too: check that the application was not removed or its user deactivated"
# Sources disagree: the docs' Postman pages say so, the vendor's CLI recommends such a token for automation.
OWN_HINT: Final = (
    "one source says that an application's own token may not read runs, tasks and templates: use a user's refresh token or a "
    "personal access token; and check that the application is of this organization"
)


@dataclass(slots=True, eq=False)
class Token:
    """An access token, and what came with it."""

    access: Secret
    lasts_s: float = math.inf  # from the request for it on; inf: until it is refused
    refresh: Secret | None = None  # to be used next time, instead of the one before
    renew_at_s: float = math.inf  # by the clock of whoever asked for it
    worked: bool = False  # whether the API has let anyone in with it


def form(settings: Settings, refresh_token: Secret | None) -> dict[str, str]:
    """The fields to send, by grant. They hold secrets in the open: for the request alone."""
    secret = settings.client_secret
    fields = {"client_id": settings.client_id or "", "client_secret": secret.reveal() if isinstance(secret, Secret) else ""}
    if refresh_token is not None:
        return {"grant_type": "refresh_token", **fields, "refresh_token": refresh_token.reveal()}
    return {"grant_type": "client_credentials", **fields, "scope": "*"}  # as documented: all that the application may


def api_hints(settings: Settings) -> dict[int, str]:
    """What to try when the API refuses a token of this application."""
    own = {} if settings.refresh_token is not None else {403: OWN_HINT}
    return {401: REFUSED_HINT, **own}


def renew_after_s(lasts_s: float) -> float:
    """How old a token may get before the next one is asked for."""
    return lasts_s - min(MARGIN_S, MARGIN_SHARE * lasts_s) if math.isfinite(lasts_s) else lasts_s


def read(reply: Reply, *, url: str) -> Token:
    """The token of a 2xx answer; ``DecodeError`` if there is none in it. Nothing of the body is repeated."""
    found = _found(reply)
    if isinstance(found, Token):
        return found
    hint = f"something else may have answered: check the token URL, or try again later; {ROUTE_HINT}"
    error = DecodeError(f"the token route answered with status {reply.status}, but {found}", url=url, hint=hint)
    error.retriable = not found.startswith("with another kind")
    raise error


def _found(reply: Reply) -> Token | str:
    """The token, or what is wrong: raised elsewhere, since what a frame holds may be shown with an error."""
    body = protocol.json_of(reply)
    if not isinstance(body, dict):
        return "the body is no JSON object"
    access = _secret(body.get("access_token"))
    if access is None:
        return "without an access token"
    if str(body.get("token_type", "bearer")).lower() != "bearer":
        return "with another kind of token than a bearer's"
    return Token(access, _seconds(body.get("expires_in")), _secret(body.get("refresh_token")))


def _secret(value: object) -> Secret | None:
    return Secret(value) if isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]+", value) else None


def _seconds(value: object) -> float:
    """A lifetime; what says nothing usable says nothing."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        value = int(value)
    said = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    return float(value) if said and isinstance(value, int | float) else math.inf


def refusal(reply: Reply, *, url: str, refreshing: bool, now: datetime) -> ApiError:
    """The error that an answer other than 2xx stands for. ``reply`` is redacted: what it says may be repeated."""
    status = reply.status
    where = {"status": status, "url": url, "request_id": protocol.clean(reply.headers.get("x-request-id", "")) or None}
    if status >= 500:
        return ServerError("the token route failed", **where, hint="try again later")
    if status < 400:
        hint = f"redirects are never followed, since the secret would go along; {ROUTE_HINT}"
        return SignInError("the token route answered with a redirect", **where, hint=hint)
    said = protocol.message_of(reply)
    what = f"no access token: {said}" if said else "no access token"
    if status == 429:
        _, hint = protocol.ERROR_FOR_STATUS[429]
        return RateLimited(what, retry_after_s=protocol.retry_after_s(reply.headers, now), **where, hint=hint)
    body = protocol.json_of(reply)
    word = body.get("error") if isinstance(body, dict) else None
    hint = HINTS.get(word if isinstance(word, str) else None) or HINTS.get(status) or CLIENT_HINT
    if refreshing and hint is CLIENT_HINT and word != "invalid_client":
        hint = f"{CLIENT_HINT}; or {ENDED_HINT}"
    return SignInError(what, **where, hint=hint)
