"""Running the command line as a stranger would: another process, and no environment of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RUN = [sys.executable, "-m", "tallyfy_frames"]
# The same, but retries do not wait: for answers that stay bad through all of them.
RUN_QUICKLY = [
    sys.executable,
    "-c",
    "import stamina; stamina.set_testing(True, attempts=5); from tallyfy_frames.cli import app; app(prog_name='tallyfy-frames')",
]


def run(
    *words: str | Path, env: dict[str, str] | None = None, quickly: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """What the program printed and how it ended."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TALLYFY_")}
    command = [*(RUN_QUICKLY if quickly else RUN), *map(str, words)]
    return subprocess.run(
        command, env={**clean, **(env or {})}, capture_output=True, text=True, timeout=120, check=False, **options
    )
