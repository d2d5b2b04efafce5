"""Each tool's own environment below ``benchmarks/.envs/``, made from its lock with hashes checked.

Ours gets our dependencies alone and finds the project through PYTHONPATH: what is measured is the tree as it lies here, and
importing it costs what an installed wheel would.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
# What each lock is made of; the locks hold exact versions and hashes.
NEEDS: Final = {
    "ours": None,  # pyproject.toml
    "floor": ("httpx==0.28.1",),
    "sdk": ("tallyfy==3.1.0", "pandas", "pyarrow"),
    "dlt": ("dlt[filesystem,parquet]", "orjson"),
}
SHOWN: Final = {  # the packages whose versions are worth reading
    "ours": ("polars", "pyarrow", "httpx", "msgspec", "pandera"),
    "floor": ("httpx",),
    "sdk": ("tallyfy", "pandas", "pyarrow", "requests"),
    "dlt": ("dlt", "pyarrow", "requests", "orjson"),
}


def lock_of(name: str) -> Path:
    """A tool's lock."""
    return HERE / "requirements" / f"{name}.lock"


def python_of(name: str) -> Path:
    """The Python of a tool's environment, which is made if it is not there or its lock has changed."""
    folder = HERE / ".envs" / name
    python = folder / "bin" / "python"
    stamp = folder / "made-from"
    digest = hashlib.sha256(lock_of(name).read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        print(f"making the environment of {name} …", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "--requirement", str(lock_of(name))], check=True)
        stamp.write_text(digest)
    return python


def environment_of(name: str) -> dict[str, str]:
    """The variables a tool runs with: nothing of the caller's but what finding programs takes."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    return kept | ({"PYTHONPATH": str(ROOT)} if name == "ours" else {})


def versions(name: str) -> dict[str, str]:
    """The versions that matter for a tool, from its lock."""
    locked = dict(re.findall(r"^([a-z0-9-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", lock_of(name).read_text(), flags=re.MULTILINE))
    return {package: locked[package] for package in SHOWN[name]}


def lock() -> None:
    """Make the locks anew from the newest releases that fit; needs uv on the PATH."""
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header",
               "--no-annotate", "--quiet", "--upgrade"]  # fmt: skip
    for name, needs in NEEDS.items():
        source, text = ("pyproject.toml", None) if needs is None else ("-", "\n".join(needs))
        command = ["uv", "pip", "compile", source, *options, "-o", str(lock_of(name))]
        subprocess.run(command, check=True, cwd=ROOT, input=text, text=True)


if __name__ == "__main__":
    lock()
