"""The built wheel works outside the source tree, with nothing of it at hand."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tallyfy_frames.sandbox import Sandbox, World

ROOT = Path(__file__).parents[2]


def test_the_wheel_alone_loads_and_snapshots(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tallyfy_frames/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"tallyfy_frames"}
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path / "site"),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    code = (
        "import tallyfy_frames as tf, sys; assert tf.__file__.startswith(sys.argv[1]), tf.__file__;"
        "print(tf.load_runs().height, tf.write_snapshot(sys.argv[2]).rows, tf.read_snapshot(sys.argv[2]).collect().height)"
    )
    with Sandbox(World(1, 30)) as sandbox:
        env = {**os.environ, **sandbox.environment, "PYTHONPATH": str(tmp_path / "site")}
        command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "site"), str(tmp_path / "lake")]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        shown = sum(run.archived_at is None for run in sandbox.world.runs)
    assert done.stdout.split() == [str(shown), "30", "30"], done.stderr
