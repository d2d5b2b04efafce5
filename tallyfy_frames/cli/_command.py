"""What every command of the command line shares: options, how it ends, where its data goes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, Any

import typer

from tallyfy_frames.errors import SinkError, TallyfyFramesError
from tallyfy_frames.settings import Settings
from tallyfy_frames.voice import LogFormat, Voice

PrivacyOption = Annotated[
    str,
    typer.Option(
        "--privacy",
        help="Personal data: keep, drop, or hash: texts become keyed hashes, which still join (the key: TALLYFY_PRIVACY_KEY).",
    ),
]
LogOption = Annotated[LogFormat, typer.Option("--log-format", help="Words on standard error: text, or JSON lines.")]
InvalidOption = Annotated[
    str, typer.Option("--on-invalid", help="A value that breaks the contract: raise, null or quarantine.")
]

WaitOption = Annotated[
    float | None,
    typer.Option(
        "--max-wait-s",
        help=f"Seconds to wait, at most, when the API says to (429). Default: {Settings.max_wait_s:g}.",
        show_default=False,
    ),
]
PaceOption = Annotated[
    int | None,
    typer.Option(
        "--max-requests-per-minute",
        help="Requests in any minute, at most; they may come in a burst. Default: learned from what the API accepts.",
        show_default=False,
    ),
]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. One that dies before the command has heard of it is sent once more.

    A signal is raised in the midst of anything, and may be swallowed there: by a destructor, by a callback of the importer, by
    C code that asks whether an attribute is there.
    """

    number, what, code = signal.SIGINT, "interrupted", 130  # 128 and the signal
    heard = False

    def __del__(self) -> None:
        """Nobody holds it any more: it was heard, or it was swallowed."""
        if not self.heard:
            _listen(type(self))
            again = threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, self.number))
            again.daemon = True
            again.start()


class Terminated(Interrupted):
    """SIGTERM, as schedulers and service managers send it: whatever cleans up after Ctrl-C cleans up after this."""

    number, what, code = signal.SIGTERM, "terminated", 143


class HungUp(Terminated):
    """SIGHUP: the terminal is gone."""

    number, what, code = signal.SIGHUP, "hung up", 129


_asked: type[Interrupted] | None = None  # what the last signal asked for


def _listen(kind: type[Interrupted]) -> None:
    """Raise it where its signal finds the program; until it is heard or lost, more of the same change nothing."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        global _asked  # noqa: PLW0603 - signals are the process's
        signal.signal(kind.number, signal.SIG_IGN)  # `timeout` sends two: the second would end the cleaning up
        _asked = kind
        raise kind

    signal.signal(kind.number, stop)


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Python tells of what a destructor swallowed; of these we know."""
    if not issubclass(lost.exc_type, Interrupted):
        sys.__unraisablehook__(lost)


@contextlib.contextmanager
def speaking(log_format: LogFormat) -> Iterator[Voice]:
    """A voice for a command; an error of ours, or a signal, ends the program with its exit code and one line."""
    voice = Voice(log_format)
    if threading.current_thread() is threading.main_thread():
        for kind in (Interrupted, Terminated, HungUp):
            if signal.getsignal(kind.number) in {signal.SIG_DFL, signal.default_int_handler}:  # else somebody has chosen
                _listen(kind)
        sys.unraisablehook = _unraisable
    try:
        yield voice
    except TallyfyFramesError as error:
        raise typer.Exit(voice.fail(error)) from None
    except BaseException as error:
        # A library that a signal finds in native code may raise an error of its own instead (polars: a panic).
        asked = type(error) if isinstance(error, Interrupted) else _asked
        if asked is None:
            raise
        signal.signal(asked.number, signal.SIG_IGN)
        if isinstance(error, Interrupted):
            error.heard = True
        voice.say("error", "; ".join([asked.what, *getattr(error, "__notes__", ["nothing was written"])]))
        raise typer.Exit(asked.code) from None


@contextlib.contextmanager
def until_interrupted() -> Iterator[None]:
    """A block that Ctrl-C ends as it should end."""
    try:
        yield
    except Interrupted as error:
        error.heard = True


def put_out(data: bytes) -> None:
    """Write to standard output, in one piece. Whoever stopped reading has seen enough; anything else is an error."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, AttributeError, ValueError) as error:  # the latter two: standard output is closed
        with contextlib.suppress(OSError, AttributeError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reason = error.strerror if isinstance(error, OSError) else "it is closed"
        raise SinkError(f"cannot write to standard output: {reason}") from None


def settings_with(**given: float | None) -> Settings:
    """Those of the environment, but for what the command line gives."""
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(Settings.from_env(), **changes)


def quiet_retries() -> None:
    """Stamina would report retries by itself, on standard output where structlog is installed."""
    from stamina.instrumentation import set_on_retry_hooks  # noqa: PLC0415 - heavy

    set_on_retry_hooks([])
