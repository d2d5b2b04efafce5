"""The conversation as values: what we ask, and (status, headers, bytes) → a page, an item or an error. No I/O.

Every answer is judged by itself here: HTML, half a body, no ``data``, an error envelope with status 200, or rows that do not
fit the page the answer says it is. Whether the pages together make a whole list is `walk.py`'s question.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeAlias
from urllib.parse import quote_plus

import msgspec

from tallyfy_frames.api import query
from tallyfy_frames.errors import (
    ApiError,
    AuthError,
    DecodeError,
    FilterError,
    NotFound,
    PaginationError,
    RateLimited,
    ServerError,
    TallyfyFramesError,
)

Row: TypeAlias = dict[str, Any]

# Sent with every request. Without Accept errors are HTML; without X-Tallyfy-Client the API looks empty (404 or 401).
HEADERS: Final = {"Accept": "application/json", "X-Tallyfy-Client": "APIClient", "Accept-Encoding": "gzip, deflate"}
MESSAGE_MAX: Final = 200  # characters of an API message that we repeat
# What may name somebody: not in messages, which go to logs. A test holds this to what the tables' filters say.
PRIVATE_PARAMS: Final = frozenset({"q", "guests", "actor_email", "search", "custom_field_value"})

AUTH_HINT: Final = (
    "get a new personal access token (logging out of the web app ends the old one), "
    "and check that it belongs to this organization"
)
ERROR_FOR_STATUS: Final[Mapping[int, tuple[type[TallyfyFramesError], str]]] = {
    401: (AuthError, AUTH_HINT),
    403: (
        AuthError,
        "the token's user may not read this, or belongs to another organization: check TALLYFY_ORG_ID and its rights",
    ),
    404: (NotFound, "check TALLYFY_ORG_ID and TALLYFY_BASE_URL; what the token's user may not see looks like this, too"),
    422: (FilterError, "the API refuses a parameter"),
    429: (RateLimited, "wait that long, or set Settings(max_wait_s=…) (--max-wait-s) higher"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A GET below the base URL: path segments and query pairs. It holds no address and no token."""

    path: tuple[str, ...]
    pairs: query.Pairs = ()

    @property
    def target(self) -> str:
        """Path and query, percent-encoded, without a leading slash."""
        text = query.query_string(self.pairs)
        return query.path(self.path) + (f"?{text}" if text else "")

    @property
    def shown(self) -> str:
        """The same for messages: what may name somebody is left out."""
        pairs = tuple((name, "…" if name in PRIVATE_PARAMS else value) for name, value in self.pairs)
        text = "&".join(f"{name}={value}" for name, value in pairs)
        return "/".join(self.path[2:] or self.path) + (f"?{text}" if text else "")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: header names in lower case, body decompressed."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)  # personal data, or an access token: a traceback may show what a frame holds


@dataclass(frozen=True, slots=True)
class Stated:
    """What ``meta.pagination`` says; None where it says nothing. Hints, never proof."""

    total: int | None = None
    count: int | None = None
    per_page: int | None = None
    current_page: int | None = None
    total_pages: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one answer, in its order, and what it states of itself."""

    rows: tuple[Row, ...]
    stated: Stated


def organization(org_id: str, *segments: str) -> tuple[str, ...]:
    """A path below ``organizations/{org}``."""
    return ("organizations", org_id, *segments)


def list_request(path: Sequence[str], params: Mapping[str, object], *, page: int, per_page: int, sort: str | None) -> Request:
    """One page of a list: always rebuilt from our own parameters, because ``links.next`` may name another host."""
    paging = {"sort": sort, "page": page, "per_page": per_page}
    return Request(tuple(path), query.encode({**params, **paging}))


def read_page(request: Request, reply: Reply, *, page: int) -> Page:
    """The rows of a list answer. Raises ``DecodeError`` if it cannot be one; :func:`judge` says whether it contradicts itself.

    A body is ``{"data": […], "meta": {…}}``; a bare list was seen, too. A body with neither is an error, never an empty page.
    """
    body = _json(request, reply)
    rows = body if isinstance(body, list) else body.get("data") if isinstance(body, dict) else None
    if not isinstance(rows, list) or (isinstance(body, dict) and body.get("error")):
        said = _message(body)
        what = f"the API reports an error with status 200: {said}" if said else "the answer holds no list of rows"
        raise DecodeError(what, url=request.shown, page=page, hint="the API or something before it misbehaves; try again later")
    if not all(isinstance(row, dict) for row in rows):
        raise DecodeError("a row of the answer is not an object", url=request.shown, page=page, hint="try again later")
    stated = read_stated(body.get("meta") if isinstance(body, dict) else None)
    return Page(tuple(rows), stated)


def judge(request: Request, stated: Stated, keys: Sequence[object], *, page: int) -> None:
    """Refuse an answer that contradicts itself. One that is shorter than its total would have it merely proves less.

    ``keys`` stand for its rows.
    """
    where: dict[str, Any] = {"url": request.shown, "page": page}
    if stated.current_page is not None and stated.current_page != page:
        raise PaginationError("the answer is another page than the one asked for", stated_page=stated.current_page, **where)
    if len({*keys}) < len(keys):
        raise PaginationError("the answer holds the same row twice", **where)
    if stated.count is not None and stated.count != len(keys):
        raise PaginationError(
            "the answer does not hold as many rows as it states", rows=len(keys), stated=stated.count, **where
        )


def read_stated(meta: object) -> Stated:
    """``meta.pagination``; numbers may be text, anything may be absent, ``links`` (an object or ``[]``) is not read."""
    found = meta.get("pagination", meta) if isinstance(meta, dict) else None
    if not isinstance(found, dict):
        return Stated()
    return Stated(**{name: _whole(found.get(name)) for name in Stated.__slots__})


def _whole(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def read_item(request: Request, reply: Reply) -> Any:
    """What ``{"data": …}`` holds, or the body itself where nothing wraps it."""
    body = _json(request, reply)
    if isinstance(body, dict) and "data" in body:
        body = body["data"]
    if not isinstance(body, dict | list):
        raise DecodeError("the answer holds no data", url=request.shown)
    return body


def number(text: str) -> object:
    """A JSON number with a fraction: a float, unless that would change it; then its own text, kept to the digit."""
    value = float(text)
    if len(text) <= 15 and "e" not in text.lower():  # a double holds 15 digits whatever they are
        return value
    try:
        exact = math.isfinite(value) and Decimal(repr(value)) == Decimal(text)
    except InvalidOperation:  # an exponent beyond all reason
        exact = False
    return value if exact else msgspec.Raw(text.encode())


_decoder: Final = msgspec.json.Decoder(float_hook=number)


def _json(request: Request, reply: Reply) -> object:
    """The body as JSON, refusing what is cut, not UTF-8, or something else."""
    try:
        return _decoder.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind = reply.headers.get("content-type", "no content type").split(";")[0]
        what = f"status {reply.status}, but the body is not JSON"
        hint = "an HTML page here means that something before the API answered: check TALLYFY_BASE_URL, or try again later"
        raise DecodeError(what, url=request.shown, content_type=clean(kind), bytes=len(reply.body), hint=hint) from None


def check(request: Request, reply: Reply, *, now: datetime, hints: Mapping[int, str] | None = None) -> None:
    """Raise the error that a non-2xx answer stands for; ``hints`` by status say better what to try."""
    status = reply.status
    if 200 <= status < 300:  # any 2xx; the docs show 201 for a GET
        return
    where = {"status": status, "url": request.shown, "request_id": clean(reply.headers.get("x-request-id", "")) or None}
    if 300 <= status < 400:
        hint = "redirects are never followed, since the token would go along: check TALLYFY_BASE_URL"
        raise ApiError("the API answered with a redirect", **where, hint=hint)
    if status >= 500:  # these bodies quote SQL and stack traces: not repeated
        raise ServerError("the server failed", **where, hint="try again later")
    said = message_of(reply)
    kind, hint = ERROR_FOR_STATUS.get(status, (ApiError, "check the filters"))
    hint = (hints or {}).get(status, hint)
    what = f"the API refused: {said}" if said else "the API refused"
    if kind is RateLimited:
        raise RateLimited(what, retry_after_s=retry_after_s(reply.headers, now), hint=hint, **where)
    raise kind(what, hint=hint, **where)


def redacted(reply: Reply, *secrets: str) -> Reply:
    """``reply`` without ``secrets``, however JSON or a form spells them: what errors are made from."""
    spellings = {spelling for secret in secrets for spelling in (secret, secret.replace("/", "\\/"), quote_plus(secret))}
    body, headers = reply.body, dict(reply.headers)
    for spelling in sorted(spellings, key=len, reverse=True):  # one may begin with another
        body = body.replace(spelling.encode(), b"***")
        headers = {name: value.replace(spelling, "***") for name, value in headers.items()}
    return Reply(reply.status, headers, body)


def message_of(reply: Reply) -> str:
    """What the body of an error says; "" if nothing readable."""
    return _message(json_of(reply))


def json_of(reply: Reply) -> object:
    """The body as JSON, None if it is none."""
    try:
        return _decoder.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _message(body: object) -> str:
    """What an error body says, in any of the forms seen; "" if nothing readable.

    ``error`` is true, a word, or an object; ``message`` may be missing; ``errors`` holds text, lists or objects by field.
    """
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    parts: list[object] = [body.get("message"), body.get("error_description")]
    if isinstance(error, dict):
        parts += [error.get("message"), error.get("code")]
    elif isinstance(error, str):
        parts.append(error)
    try:
        parts.append(_flat(body.get("errors")))
    except RecursionError:
        parts.append("errors nested too deeply to repeat")
    said = [part for part in parts if isinstance(part, str) and part]
    return clean("; ".join(dict.fromkeys(said)))


def _flat(errors: object) -> str:
    if isinstance(errors, dict):
        return "; ".join(f"{name}: {_flat(value)}" for name, value in errors.items())
    if isinstance(errors, list):
        return ", ".join(_flat(value) for value in errors)
    return str(errors) if errors else ""


def clean(text: str) -> str:
    """Foreign text for a message: one line, no control characters, cut to a bounded length."""
    plain = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} else c for c in text[: 4 * MESSAGE_MAX])
    plain = re.sub(r"\s+", " ", plain).strip()
    return plain if len(plain) <= MESSAGE_MAX else plain[: MESSAGE_MAX - 1] + "…"


def requests_left(headers: Mapping[str, str]) -> int | None:
    """What ``X-RateLimit-Remaining`` says, if it does."""
    return _whole(headers.get("x-ratelimit-remaining"))


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for: a number or an HTTP date; None if it says nothing usable, or a past date.

    A date is read by the server's own clock, if its ``Date`` tells that; else by ours, ``now``.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]+)?", text):
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    seconds = (until - (_http_date(headers.get("date", "")) or now)).total_seconds()
    return seconds if seconds > 0 else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
