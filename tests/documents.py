"""What our pages show, to be run as a reader would."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from shell import RUN

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page of the repository in that language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


def run_page(page: str, folder: Path, env: dict[str, str], language: str = "sh") -> tuple[int, str]:
    """Run a page's blocks in one shell, in an empty folder: exit code, and what was printed.

    The program is on the path, as after an installation. The shell ends at the first command that fails; whatever it left
    running ends with it.
    """
    programs = folder / "bin"
    programs.mkdir()
    (programs / "tallyfy-frames").write_text(f'#!/bin/sh\nexec {shlex.join(RUN)} "$@"\n')
    (programs / "tallyfy-frames").chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TALLYFY_")}
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[:1]])}
    work, said = folder / "work", folder / "said"
    work.mkdir()
    with said.open("wb") as out:
        shell = subprocess.Popen(
            ["sh", "-eu", "-c", "\n".join(blocks(page, language))],
            cwd=work, env={**clean, **path, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
        try:
            code = shell.wait(timeout=120)
        finally:
            with contextlib.suppress(ProcessLookupError):  # all of it has ended
                os.killpg(shell.pid, signal.SIGTERM)
    return code, said.read_text()
