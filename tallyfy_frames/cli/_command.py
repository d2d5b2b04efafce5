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


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers and service managers send it: whatever cleans up after Ctrl-C cleans up after this."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` sends two: the second would end the cleaning up
    raise Terminated


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """What came while Python ran a destructor or a callback of its importer is swallowed there: it is sent once more."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number = signal.SIGINT
    if issubclass(lost.exc_type, Terminated):
        number = signal.SIGTERM
        signal.signal(number, _terminate)
    again = threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, number))
    again.daemon = True
    again.start()


@contextlib.contextmanager
def speaking(log_format: LogFormat) -> Iterator[Voice]:
    """A voice for a command; an error of ours, or a signal, ends the program with its exit code and one line."""
    voice = Voice(log_format)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
        sys.unraisablehook = _send_again
    try:
        yield voice
    except TallyfyFramesError as error:
        raise typer.Exit(voice.fail(error)) from None
    except KeyboardInterrupt as error:
        what, code = ("terminated", 143) if isinstance(error, Terminated) else ("interrupted", 130)  # 128 and the signal
        voice.say("error", "; ".join([what, *getattr(error, "__notes__", ["nothing was written"])]))
        raise typer.Exit(code) from None


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
