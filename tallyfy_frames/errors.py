"""Every error this package raises on purpose, sorted by what the caller can do about it.

TallyfyFramesError
├── UsageError            an argument is wrong: correct the call            (also a ValueError)
│   └── SettingsError     token, organization or address missing or wrong
├── FilterError           a filter that we, or the API, refuse: correct it
├── ApiError              the API answered with an error
│   ├── AuthError         401, 403: get a new token, or more rights
│   │   └── SignInError   an application was given no access token: check id, secret, refresh token and token URL
│   ├── NotFound          404: check organization and address
│   ├── RateLimited       429 for longer than we may wait: come back later
│   └── ServerError       5xx, or no answer at all, after every retry
├── DecodeError           an answer that is not what this route answers
├── ContractError         rows that break the table's published contract
├── PaginationError       pages that contradict each other or themselves
├── IncompleteRead        the list could not be shown to be complete
├── ShrinkRefused         a snapshot far smaller than the one it would replace
├── SinkError             a file or folder could not be written or read
├── LockHeld              another job is writing to the same root
└── MissingExtra          an optional library is not installed

A message says what happened, where, what was expected, and what to try. It never holds a token, nor a whole body: runs
hold personal data.
"""

from __future__ import annotations

import inspect
import warnings
from types import FrameType
from typing import Final

from tallyfy_frames.showing import one_line


class TallyfyFramesError(Exception):
    """Base of every error here. ``what`` happened, ``where`` (facts by name), and what to ``hint``."""

    retriable = False  # whether asking the API the same again may help

    def __init__(self, what: str, *, hint: str | None = None, **where: object) -> None:
        """Keep the facts as attributes, so that callers need not read them out of the text."""
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.where = {name: value for name, value in where.items() if value is not None}

    def __str__(self) -> str:
        """One line: what happened (where); what to try. Characters that a terminal would obey are shown escaped."""
        where = ", ".join(f"{name}={value}" for name, value in self.where.items())
        line = self.what + (f" ({where})" if where else "") + (f"; {self.hint}" if self.hint else "")
        return one_line(line)


class UsageError(TallyfyFramesError, ValueError):
    """An argument is of the wrong kind or out of its range."""


class SettingsError(UsageError):
    """Token, organization or address is missing or unusable."""


class FilterError(TallyfyFramesError):
    """A filter that does not exist, has no such value, or that the API refused or ignored."""


class ApiError(TallyfyFramesError):
    """The API answered with an error; ``where`` holds status, table and page."""


class AuthError(ApiError):
    """The token is missing, expired, revoked, or may not read this."""


class SignInError(AuthError):
    """The token route gave no access token: it does not know the application, or the refresh token has ended."""


class NotFound(ApiError):
    """No such route, organization or record, or none that this token may see."""


class RateLimited(ApiError):
    """The API asks us to wait; ``retry_after_s`` is how long, if it said so."""

    retriable = True

    def __init__(self, what: str, *, retry_after_s: float | None = None, hint: str | None = None, **where: object) -> None:
        """Keep the wait as a number, for the code that does the waiting."""
        super().__init__(what, hint=hint, retry_after_s=retry_after_s, **where)
        self.retry_after_s = retry_after_s


class ServerError(ApiError):
    """The server failed (5xx), or the connection did."""

    retriable = True


class DecodeError(TallyfyFramesError):
    """A 2xx answer that cannot be read as this route's answer: HTML, half a body, no ``data``."""

    retriable = True


class ContractError(TallyfyFramesError):
    """Rows that break the table's contract; ``where`` lists up to ten cells as id and column, never the value."""


class PaginationError(TallyfyFramesError):
    """An answer whose rows and stated page numbers do not fit together."""

    retriable = True


class IncompleteRead(TallyfyFramesError):
    """The list could not be shown to be complete, so nothing is returned as if it were."""


class ShrinkRefused(TallyfyFramesError):
    """A new snapshot has far fewer rows, or another reader's rights, than the current one."""


class SinkError(TallyfyFramesError):
    """A file, folder or disk refused a write or a read."""


class LockHeld(TallyfyFramesError):
    """Another job holds the root; the message names it."""


class MissingExtra(TallyfyFramesError):
    """An optional library is missing; the message holds the install command."""

    def __init__(self, library: str, extra: str) -> None:
        """Name the library and the extra that brings it."""
        super().__init__(f"{library} is not installed", hint=f"pip install 'tallyfy-frames[{extra}]'")


# The numbers the vendor's own CLI uses, where it has one (0-7); 10-12 are ours.
EXIT_CODES: Final[dict[type[TallyfyFramesError], int]] = {
    TallyfyFramesError: 1,
    UsageError: 2,
    AuthError: 3,
    NotFound: 5,
    RateLimited: 6,
    FilterError: 7,
    DecodeError: 10,
    ContractError: 10,
    PaginationError: 11,
    IncompleteRead: 11,
    ShrinkRefused: 11,
    LockHeld: 12,
}


def exit_code(error: TallyfyFramesError) -> int:
    """The process exit code for ``error``: that of its nearest listed ancestor."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


class TallyfyFramesWarning(UserWarning):
    """Something worth knowing that stops nothing: an unknown status word, keys that no column knows."""


def warn(message: str) -> None:
    """A ``TallyfyFramesWarning`` at the line that called this package, however deep inside it was noticed."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and _is_ours(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, TallyfyFramesWarning, stacklevel=level)


def _is_ours(frame: FrameType) -> bool:
    """By the module's name: what a dataclass generates has no file. Python 3.12 could skip by file, 3.11 cannot."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] == __name__.partition(".")[0]
