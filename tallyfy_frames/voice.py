"""What the command line says on standard error: plain words for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from tallyfy_frames.errors import TallyfyFramesError, exit_code
from tallyfy_frames.showing import one_line


class LogFormat(StrEnum):
    """How words on standard error look."""

    text = "text"
    json = "json"


class Voice:
    """Says things on standard error. Whatever came from the API is shown escaped."""

    def __init__(self, log_format: LogFormat) -> None:
        """Route warnings and the package's log records here, too."""
        self.log_format = log_format
        warnings.showwarning = self._warn
        logger = logging.getLogger("tallyfy_frames")
        logger.setLevel(logging.INFO if log_format is LogFormat.json else logging.WARNING)
        logger.handlers = [_Handler(self)]
        logger.propagate = False
        logging.getLogger("tallyfy_frames.lake.retention").setLevel(logging.INFO)  # what goes is told in any case

    def say(self, level: str, message: str, **facts: object) -> None:
        """One line."""
        if self.log_format is LogFormat.json:
            line = json.dumps({"time": datetime.now(UTC).isoformat(), "level": level, "message": message, **facts}, default=str)
        else:
            line = ("" if level == "info" else f"{level}: ") + one_line(message)
        print(line, file=sys.stderr)  # noqa: T201 - this is the one place that does

    def fail(self, error: TallyfyFramesError) -> int:
        """Say what went wrong; the exit code."""
        code = exit_code(error)
        self.say("error", str(error), error=type(error).__name__, exit_code=code, where=_shown(error.where))
        return code

    def _warn(self, message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        self.say("warning", str(message), category=category.__name__)


class _Handler(logging.Handler):
    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self.voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        self.voice.say(record.levelname.lower(), record.getMessage())


def _shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, int | float | str) else str(value) for name, value in facts.items()}
