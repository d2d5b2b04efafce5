"""Who we are to the API and how patient we are. The only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tallyfy_frames.errors import SettingsError

DEFAULT_BASE_URL: Final = "https://go.tallyfy.com/api"
PAGE_SIZE_MAX: Final = 100  # the server's cap (vendor's CLI and SDK); what it does above is not documented
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

ACCESS_HINT: Final = (
    "in Tallyfy open Settings > Integrations > REST API, copy the personal access token, "
    "and set TALLYFY_ACCESS_TOKEN (or TALLYFY_ACCESS_TOKEN_FILE)"
)
ORG_HINT: Final = "it is the 32-character id in the address of your organization's settings; set TALLYFY_ORG_ID"


class Secret(str):
    """A string that prints as stars, so that a repr, a log line or a traceback cannot leak it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Never the value."""
        return "'***'"

    def __str__(self) -> str:
        """Never the value either; :meth:`reveal` is the one way to it."""
        return "***"

    def __format__(self, spec: str) -> str:
        """Never the value either."""
        return "***"

    def reveal(self) -> str:
        """The value itself, for the one header that needs it."""
        return str.__str__(self)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to reach one organization. ``Settings.from_env()`` reads the environment.

    All times are seconds. Raises ``SettingsError`` for anything that could not work or would expose the token.
    """

    token: str = field(repr=False)
    org_id: str
    base_url: str = DEFAULT_BASE_URL
    page_size: int = PAGE_SIZE_MAX  # rows per request
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0  # silence within one answer
    total_timeout_s: float = 300.0  # one whole answer
    max_answer_bytes: int = 64 * 1024 * 1024  # one answer, decompressed
    attempts: int = 5  # how often one request is tried in all
    retry_wait_s: float = 0.5  # before the second attempt; doubles from there, to 8 s
    max_wait_s: float = 120.0  # the longest wait the API may ask of us (429) before we give up

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is sent."""
        object.__setattr__(self, "token", Secret(_checked_token(self.token)))
        object.__setattr__(self, "org_id", _checked_org(self.org_id))
        object.__setattr__(self, "base_url", _checked_base_url(self.base_url))
        if not 1 <= self.page_size <= PAGE_SIZE_MAX:
            what = f"page_size must be 1 to {PAGE_SIZE_MAX}, not {self.page_size}"
            raise SettingsError(what, hint="the API serves at most 100 rows a page")
        if self.attempts < 1:
            raise SettingsError(f"attempts must be at least 1, not {self.attempts}")
        for name in ("connect_timeout_s", "read_timeout_s", "total_timeout_s", "max_answer_bytes"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("retry_wait_s", "max_wait_s"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} must not be negative, not {getattr(self, name)}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from ``TALLYFY_ACCESS_TOKEN`` (or ``…_FILE``), ``TALLYFY_ORG_ID`` and ``TALLYFY_BASE_URL``."""
        environ = os.environ if environ is None else environ
        token = environ.get("TALLYFY_ACCESS_TOKEN", "")
        if not token and (path := environ.get("TALLYFY_ACCESS_TOKEN_FILE")):
            try:
                token = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise SettingsError(
                    f"cannot read the token file: {reason}", TALLYFY_ACCESS_TOKEN_FILE=path, hint=ACCESS_HINT
                ) from None
        return cls(
            token=token,
            org_id=environ.get("TALLYFY_ORG_ID", ""),
            base_url=environ.get("TALLYFY_BASE_URL") or DEFAULT_BASE_URL,
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine (a sandbox)."""
        return urlsplit(self.base_url).hostname in LOOPBACK


def _checked_token(token: str) -> str:
    value = (token.reveal() if isinstance(token, Secret) else token).strip()
    if not value:
        raise SettingsError("no access token", hint=ACCESS_HINT)
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        # A pasted "Bearer …", a line break inside, or typographic characters: none of them can go into the header.
        what = "the access token holds spaces or characters that no token has"
        raise SettingsError(what, hint="copy the token alone, without the word Bearer")
    return value


def _checked_org(org_id: str) -> str:
    value = org_id.strip()
    if not value:
        raise SettingsError("no organization id", hint=ORG_HINT)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise SettingsError("the organization id holds characters that no id has", hint=ORG_HINT)
    return value


def _checked_base_url(base_url: str) -> str:
    value = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise SettingsError("the base URL is not an http(s) address", hint=f"the default is {DEFAULT_BASE_URL}")
    if parts.username or parts.password or parts.query or parts.fragment:
        what = "the base URL holds a user, password, query or fragment"
        raise SettingsError(what, hint="give scheme, host and path only")
    if parts.scheme == "http" and host not in LOOPBACK:
        what = "plain http would send the token readable to everyone on the way"
        raise SettingsError(what, host=host, hint="use https; http is for loopback only")
    return value
