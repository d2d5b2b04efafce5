"""Who we are to the API and how patient we are. The only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from tallyfy_frames.errors import SettingsError

DEFAULT_BASE_URL: Final = "https://go.tallyfy.com/api"
PAGE_SIZE_MAX: Final = 100  # the server's cap (vendor's CLI and SDK); what it does above is not documented
LEAST: Final[dict[str, int | float]] = {  # of each setting that is a number; a whole one where this is
    "page_size": 1, "attempts": 1, "max_answer_bytes": 1, "connect_timeout_s": 0.001, "read_timeout_s": 0.001,
    "total_timeout_s": 0.001, "retry_wait_s": 0.0, "max_wait_s": 0.0, "in_flight_max": 1, "max_requests_per_minute": 1,
}  # fmt: skip
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

ACCESS_HINT: Final = (
    "in Tallyfy open Settings > Integrations > REST API, copy the personal access token, "
    "and set TALLYFY_ACCESS_TOKEN (or TALLYFY_ACCESS_TOKEN_FILE)"
)
KEY_CHARS_MIN: Final = 16
KEY_HINT: Final = "set TALLYFY_PRIVACY_KEY to a long random text (openssl rand -hex 32), and keep it: other keys, other hashes"
ORG_HINT: Final = "it is the 32-character id in the address of your organization's settings; set TALLYFY_ORG_ID"


class Secret:
    """A text that no repr, log line, traceback or JSON shows; :meth:`reveal` is the one way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep ``text``."""
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one header that needs it."""
        return self._text

    def __repr__(self) -> str:
        """Never the text."""
        return "'***'"

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same text."""
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        """As equal secrets are equal."""
        return hash((Secret, self._text))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to reach one organization. ``Settings.from_env()`` reads the environment.

    All times are seconds. Raises ``SettingsError`` for anything that could not work or would expose the token.
    """

    token: Secret | str = field(repr=False)  # a Secret, once checked
    org_id: str
    base_url: str = DEFAULT_BASE_URL
    page_size: int = PAGE_SIZE_MAX  # rows per request
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0  # silence within one answer
    total_timeout_s: float = 300.0  # one whole answer, from connecting to its last byte
    max_answer_bytes: int = 64 * 1024 * 1024  # one answer, decompressed
    attempts: int = 5  # how often one request is tried in all
    retry_wait_s: float = 0.5  # before the second attempt; doubles from there, to 8 s
    max_wait_s: float = 120.0  # the longest wait the API may ask of us (429) before we give up
    in_flight_max: int = 8  # requests on their way at the same time: few at first, more while answers are clean
    max_requests_per_minute: int | None = None  # in any minute, maybe in a burst; None: learned from what the API accepts
    privacy_key: Secret | str | None = field(default=None, repr=False)  # of the hashes that privacy="hash" makes
    proof: Literal["seen", "still"] = "seen"  # how completeness is shown: "still" asks for less on long lists, and assumes more

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is sent."""
        object.__setattr__(self, "token", self.token if isinstance(self.token, Secret) else Secret(self.token))
        for name in ("org_id", "base_url"):
            if not isinstance(getattr(self, name), str):
                raise SettingsError(f"{name} must be text, not {type(getattr(self, name)).__name__}")
        object.__setattr__(self, "token", _checked_token(self.secret))
        if isinstance(self.privacy_key, str):
            object.__setattr__(self, "privacy_key", Secret(self.privacy_key))
        object.__setattr__(self, "org_id", _checked_org(self.org_id))
        object.__setattr__(self, "base_url", _checked_base_url(self.base_url))
        for name, least in LEAST.items():
            value, kinds = getattr(self, name), (int,) if isinstance(least, int) else (int, float)
            if value is None and name == "max_requests_per_minute":
                continue
            if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < float("inf"):
                raise SettingsError(f"{name} must be {'whole, ' if kinds == (int,) else ''}from {least}, not {value!r}")
        if self.page_size > PAGE_SIZE_MAX:
            what = f"page_size must be 1 to {PAGE_SIZE_MAX}, not {self.page_size}"
            raise SettingsError(what, hint="the API serves at most 100 rows a page")
        if self.proof not in {"seen", "still"}:
            raise SettingsError(f"proof={self.proof!r}", hint="use 'seen' or 'still'")

    @property
    def secret(self) -> Secret:
        """The token, in the form that hides it."""
        return self.token if isinstance(self.token, Secret) else Secret(self.token)

    def hashing_key(self) -> bytes:
        """The key of privacy="hash"; ``SettingsError`` if there is none, or one that could be guessed."""
        key = self.privacy_key.reveal() if isinstance(self.privacy_key, Secret) else ""
        if len(key) < KEY_CHARS_MIN:
            what = "privacy='hash' needs a key" if not key else f"the privacy key has fewer than {KEY_CHARS_MIN} characters"
            raise SettingsError(what, hint=KEY_HINT)
        return key.encode()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from ``TALLYFY_ACCESS_TOKEN`` (or ``…_FILE``), ``TALLYFY_ORG_ID``, ``TALLYFY_BASE_URL``.

        And ``TALLYFY_PRIVACY_KEY``, which only privacy="hash" needs.
        """
        given = os.environ if environ is None else environ
        token = Secret(given.get("TALLYFY_ACCESS_TOKEN", ""))
        path = None if token.reveal() else given.get("TALLYFY_ACCESS_TOKEN_FILE")
        org_id, base_url = given.get("TALLYFY_ORG_ID", ""), given.get("TALLYFY_BASE_URL") or DEFAULT_BASE_URL
        privacy_key = Secret(given.get("TALLYFY_PRIVACY_KEY", "").strip()) if given.get("TALLYFY_PRIVACY_KEY") else None
        del given, environ  # they hold the token in the open, and a traceback may show what a frame holds
        if path:
            token = _token_in(path)
        return cls(token=token, org_id=org_id, base_url=base_url, privacy_key=privacy_key)

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine (a sandbox)."""
        return urlsplit(self.base_url).hostname in LOOPBACK


def _token_in(path: str) -> Secret:
    """The token that a file holds."""
    try:
        return Secret(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror
    except UnicodeDecodeError:
        reason = "it is not text"
    # Raised out here: the decoder's own error holds all that was in the file.
    raise SettingsError(f"cannot read the token file: {reason}", TALLYFY_ACCESS_TOKEN_FILE=path, hint=ACCESS_HINT)


def _checked_token(token: Secret) -> Secret:
    """The token without space around it. No frame on the way to an error holds it in the open."""
    if not isinstance(token.reveal(), str | None):
        raise SettingsError(f"the access token must be text, not {type(token.reveal()).__name__}", hint=ACCESS_HINT)
    if not token.reveal() or not token.reveal().strip():
        raise SettingsError("no access token", hint=ACCESS_HINT)
    if not re.fullmatch(r"[\x21-\x7e]+", token.reveal().strip()):
        # A pasted "Bearer …", a line break inside, or typographic characters: none of them can go into the header.
        what = "the access token holds spaces or characters that no token has"
        raise SettingsError(what, hint="copy the token alone, without the word Bearer")
    return Secret(token.reveal().strip())


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
    if not re.fullmatch(r"[0-9a-f:.]+|([a-z0-9_-]+\.)*[a-z0-9_-]+", host) or re.search(r"[\x00-\x20]", value):
        raise SettingsError("the base URL's host is no host name", hint=f"the default is {DEFAULT_BASE_URL}")
    if parts.username or parts.password or "?" in value or "#" in value:
        what = "the base URL holds a user, password, query or fragment"
        raise SettingsError(what, hint="give scheme, host and path only")
    if parts.scheme == "http" and host not in LOOPBACK:
        what = "plain http would send the token readable to everyone on the way"
        raise SettingsError(what, host=host, hint="use https; http is for loopback only")
    return value
