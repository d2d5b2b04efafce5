"""Who we are to the API and how patient we are. The only reader of the environment.

There is exactly one way to sign in: a token, or an application (id and secret), alone or with a user's refresh token. A token
beside an application is refused rather than preferred: the two may see different rows, and nothing would tell which was used.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from tallyfy_frames.atomic import refusals, replacing
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
CLIENT_HINT: Final = "an application signs in with TALLYFY_CLIENT_ID and TALLYFY_CLIENT_SECRET (or TALLYFY_CLIENT_SECRET_FILE)"
REFRESH_HINT: Final = "set TALLYFY_REFRESH_TOKEN (or TALLYFY_REFRESH_TOKEN_FILE) to what came with the last access token"
# The variable of each secret that we sign in with: the setting, what it is called, where it comes from.
SECRETS: Final = {
    "TALLYFY_ACCESS_TOKEN": ("token", "access token", ACCESS_HINT),
    "TALLYFY_CLIENT_SECRET": ("client_secret", "client secret", CLIENT_HINT),
    "TALLYFY_REFRESH_TOKEN": ("refresh_token", "refresh token", REFRESH_HINT),
}
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

    Either ``token``, or ``client_id`` and ``client_secret`` (and ``refresh_token``): blank is not given. All times are seconds.
    Raises ``SettingsError`` for anything that could not work or would expose a secret.
    """

    token: Secret | str | None = field(default=None, repr=False)  # a Secret, once checked; so are the other secrets
    org_id: str
    base_url: str = DEFAULT_BASE_URL
    client_id: str | None = None  # of an application; a number, say the docs
    client_secret: Secret | str | None = field(default=None, repr=False)
    refresh_token: Secret | str | None = field(default=None, repr=False)  # of a user: the application reads what that user may
    refresh_token_file: Path | str | None = None  # where the next one is kept, if an answer brings one
    token_url: str | None = None  # where access tokens come from; None: see token_route
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
        self._check_secrets()
        for name in ("org_id", "base_url"):
            if not isinstance(getattr(self, name), str):
                raise SettingsError(f"{name} must be text, not {type(getattr(self, name)).__name__}")
        self._one_way_to_sign_in()
        if isinstance(self.privacy_key, str):
            object.__setattr__(self, "privacy_key", Secret(self.privacy_key))
        object.__setattr__(self, "org_id", _checked_org(self.org_id))
        object.__setattr__(self, "base_url", _checked_url(self.base_url, "base URL", f"the default is {DEFAULT_BASE_URL}"))
        if self.token_url is not None:
            self._check_token_url(self.token_url)
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

    def _check_secrets(self) -> None:
        for name, what, hint in SECRETS.values():
            given = getattr(self, name)
            secret = given if isinstance(given, Secret | None) else Secret(given)
            del given  # no frame on the way to an error holds it in the open
            object.__setattr__(self, name, secret and _checked_secret(secret, what, hint))

    def _one_way_to_sign_in(self) -> None:
        """Refuse none, two, and half of one."""
        object.__setattr__(self, "client_id", _checked_client_id(self.client_id))
        application = {"client_id": self.client_id, "client_secret": self.client_secret, "refresh_token": self.refresh_token}
        given = [name for name, value in application.items() if value is not None]
        if self.token is not None and given:
            hint = "leave one of them out: they may see different rows, and nothing would tell which was used"
            raise SettingsError(f"two ways to sign in: an access token, and {' and '.join(given)}", hint=hint)
        if self.token is None and not given:
            raise SettingsError("no access token", hint=f"{ACCESS_HINT}; {CLIENT_HINT}")
        if given and (self.client_id is None or self.client_secret is None):
            missing = " and ".join(name for name in ("client_id", "client_secret") if name not in given)
            raise SettingsError(f"{' and '.join(given)} without {missing}", hint=CLIENT_HINT)

    def _check_token_url(self, token_url: str) -> None:
        if not isinstance(token_url, str):
            raise SettingsError(f"token_url must be text, not {type(token_url).__name__}")
        checked = _checked_url(token_url, "token URL", f"the default is {DEFAULT_BASE_URL}/oauth/token")
        if self.token is None and (urlsplit(checked).hostname in LOOPBACK) != self.is_loopback:
            # What is meant for a sandbox does not belong to the API, and the other way round.
            what = "one of token URL and base URL is on this machine, the other is not"
            raise SettingsError(what, base_url=self.base_url, token_url=checked, hint="check TALLYFY_TOKEN_URL")
        object.__setattr__(self, "token_url", checked)

    @property
    def token_route(self) -> str:
        """Where access tokens come from: ``token_url``, or ``oauth/token`` below the base URL.

        The docs name three places and contradict one another. For the default base URL this is the one with the most sources
        (their Postman pages, their integration guide, an older client); and where the base URL is another (staging, a
        sandbox), no secret goes to production.
        """
        return self.token_url or f"{self.base_url}/oauth/token"

    @property
    def credentials(self) -> tuple[str | Secret | None, ...]:
        """What we sign in with: where these differ, somebody else may be reading."""
        return (self.token, self.client_id, self.client_secret, self.refresh_token)

    def keep_refresh_token(self, new: Secret) -> None:
        """Put it into the file that the next job reads, if there is one; ``SinkError`` if that cannot be written."""
        if self.refresh_token_file is not None:
            place = Path(self.refresh_token_file)
            with refusals(place):
                place.touch(mode=0o600)  # for its owner only, if it is not there; else it keeps its mode
            with replacing(place) as file:
                file.write(f"{new.reveal()}\n".encode())

    def hashing_key(self) -> bytes:
        """The key of privacy="hash"; ``SettingsError`` if there is none, or one that could be guessed."""
        key = self.privacy_key.reveal() if isinstance(self.privacy_key, Secret) else ""
        if len(key) < KEY_CHARS_MIN:
            what = "privacy='hash' needs a key" if not key else f"the privacy key has fewer than {KEY_CHARS_MIN} characters"
            raise SettingsError(what, hint=KEY_HINT)
        return key.encode()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from ``TALLYFY_ACCESS_TOKEN``, ``TALLYFY_ORG_ID`` and ``TALLYFY_BASE_URL``.

        Or, instead of the token, from ``TALLYFY_CLIENT_ID``, ``TALLYFY_CLIENT_SECRET``, ``TALLYFY_REFRESH_TOKEN`` and
        ``TALLYFY_TOKEN_URL``. A file may hold a secret that is not set: ``…_FILE``; a new refresh token is written back to its
        own. And ``TALLYFY_PRIVACY_KEY``, which only privacy="hash" needs.
        """
        given = os.environ if environ is None else environ
        secrets = {name: Secret(given.get(name, "")) for name in SECRETS}
        paths = {name: given.get(f"{name}_FILE", "") for name in SECRETS if not secrets[name].reveal()}
        org_id, base_url = given.get("TALLYFY_ORG_ID", ""), given.get("TALLYFY_BASE_URL") or DEFAULT_BASE_URL
        client_id, token_url = given.get("TALLYFY_CLIENT_ID"), given.get("TALLYFY_TOKEN_URL") or None
        privacy_key = Secret(given.get("TALLYFY_PRIVACY_KEY", "").strip()) if given.get("TALLYFY_PRIVACY_KEY") else None
        del given, environ  # they hold secrets in the open, and a traceback may show what a frame holds
        for name, path in paths.items():
            if path:
                secrets[name] = _secret_in(path, name)
        return cls(
            token=secrets["TALLYFY_ACCESS_TOKEN"],
            client_secret=secrets["TALLYFY_CLIENT_SECRET"],
            refresh_token=secrets["TALLYFY_REFRESH_TOKEN"],
            org_id=org_id,
            base_url=base_url,
            client_id=client_id,
            refresh_token_file=paths.get("TALLYFY_REFRESH_TOKEN") or None,
            token_url=token_url,
            privacy_key=privacy_key,
        )

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine (a sandbox)."""
        return urlsplit(self.base_url).hostname in LOOPBACK


def cache_folder() -> Path:
    """Where this user's jobs may leave what is of no use to anybody else: the user's cache, or, without a home, below /tmp."""
    chosen, home = os.environ.get("XDG_CACHE_HOME"), Path("~").expanduser()
    if chosen or os.access(home, os.W_OK):
        return (Path(chosen) if chosen else home / ".cache") / "tallyfy-frames"
    return Path(tempfile.gettempdir()) / f"tallyfy-frames-{os.getuid()}"


def check_endpoint() -> None:
    """An object store's endpoint must be an address: the library for it ends the program otherwise."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3"):
        value = os.environ.get(name)
        if value and not re.fullmatch(r"https?://[^\s/]+/?.*", value):
            raise SettingsError(f"{name} is no http(s) address", hint="it begins with https://, or http:// on loopback")


def _secret_in(path: str, name: str) -> Secret:
    """What the file of that variable holds. An empty one is an error: it was named to be used."""
    _, what, hint = SECRETS[name]
    reason: str | None = "it is empty"
    try:
        found = Secret(Path(path).read_text(encoding="utf-8"))
        if found.reveal().strip():
            return found
    except OSError as error:
        reason = error.strerror
    except UnicodeDecodeError:
        reason = "it is not text"
    # Raised out here: the decoder's own error holds all that was in the file.
    raise SettingsError(f"cannot read the file of the {what}: {reason}", **{f"{name}_FILE": path}, hint=hint)


def _checked_secret(secret: Secret, what: str, hint: str) -> Secret | None:
    """The secret without space around it, None if it is blank. No frame on the way to an error holds it in the open."""
    if not isinstance(secret.reveal(), str):
        raise SettingsError(f"the {what} must be text, not {type(secret.reveal()).__name__}", hint=hint)
    if not secret.reveal().strip():
        return None
    if not re.fullmatch(r"[\x21-\x7e]+", secret.reveal().strip()):
        # A pasted "Bearer …", a line break inside, or typographic characters: none of them can go into a header.
        what = f"the {what} holds spaces or characters that no {what.rpartition(' ')[2]} has"
        raise SettingsError(what, hint="copy it alone, without the word Bearer")
    return Secret(secret.reveal().strip())


def _checked_client_id(client_id: str | None) -> str | None:
    if client_id is not None and not isinstance(client_id, str):
        raise SettingsError(f"client_id must be text, not {type(client_id).__name__}", hint=CLIENT_HINT)
    value = (client_id or "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", value):
        raise SettingsError("the client id holds spaces or characters that no id has", hint="it is a number")
    return value or None


def _checked_org(org_id: str) -> str:
    value = org_id.strip()
    if not value:
        raise SettingsError("no organization id", hint=ORG_HINT)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise SettingsError("the organization id holds characters that no id has", hint=ORG_HINT)
    return value


def _checked_url(url: str, name: str, hint: str) -> str:
    value = url.strip().rstrip("/")
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise SettingsError(f"the {name} is not an http(s) address", hint=hint)
    if not re.fullmatch(r"[0-9a-f:.]+|([a-z0-9_-]+\.)*[a-z0-9_-]+", host) or re.search(r"[\x00-\x20]", value):
        raise SettingsError(f"the {name}'s host is no host name", hint=hint)
    if parts.username or parts.password or "?" in value or "#" in value:
        what = f"the {name} holds a user, password, query or fragment"
        raise SettingsError(what, hint="give scheme, host and path only")
    if parts.scheme == "http" and host not in LOOPBACK:
        what = "plain http would send secrets readable to everyone on the way"
        raise SettingsError(what, host=host, hint="use https; http is for loopback only")
    return value
