"""The program, installed as docs/scheduling.md says, needs nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deployed import ROOT, Machine, page_blocks, run_by

from tallyfy_frames.sandbox import Sandbox, World


def test_the_lines_of_the_page_install_a_program_that_works(tmp_path: Path) -> None:
    (block,) = page_blocks("bash")
    machine = Machine(tmp_path)
    machine.program.unlink()
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = run_by(["sh", "-e", "-c"], machine.moved(block), env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    with Sandbox(World(1, 40)) as sandbox:
        command = f'"{machine.program}" snapshot "{machine.lake}"'
        done = run_by(["sh", "-c"], command, env=sandbox.environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
