"""The files of deploy/ as the programs they are written for read them, and the folders they name moved to where a test may write."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PROGRAM = "/opt/tallyfy-frames/bin/tallyfy-frames"


@dataclass(frozen=True)
class Machine:
    """A folder that stands for the machine: what is installed and kept there."""

    folder: Path

    def __post_init__(self) -> None:
        """Install the program, as it is in this checkout."""
        for place in (self.program.parent, self.state, self.metrics.parent):
            place.mkdir(parents=True)
        words = shlex.join([sys.executable, "-m", "tallyfy_frames"])
        self.program.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {words} "$@"\n')
        self.program.chmod(0o755)

    @property
    def program(self) -> Path:
        """The command line."""
        return Path(f"{self.folder}{PROGRAM}")

    @property
    def state(self) -> Path:
        """Where jobs may keep things."""
        return self.folder / "var/lib/tallyfy"

    @property
    def lake(self) -> Path:
        """The root of the snapshots."""
        return self.state / "lake"

    @property
    def metrics(self) -> Path:
        """What node_exporter picks up."""
        return self.folder / "var/lib/prometheus/node-exporter/tallyfy.prom"

    def moved(self, text: str) -> str:
        """The text, with every folder of a real machine moved into this one."""
        return re.sub(r"(?<![\w/])/(?=(opt|etc|lake|var/lib|run/secrets)\b)", f"{self.folder}/", text)

    def secret(self, token: str) -> Path:
        """The file that holds the token, for its owner alone."""
        place = self.folder / "etc/tallyfy/token"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(mode=0o600)
        place.write_text(token + "\n")
        return place


def crontab() -> tuple[dict[str, str], list[str]]:
    """Its variables, and its commands: what stands behind the five fields, which hold no ``%`` (cron would cut there)."""
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    variables = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
    commands = [line.split(maxsplit=5)[5] for line in lines if not re.match(r"\w+=", line)]
    assert not any("%" in command for command in commands)
    return variables, commands


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a systemd unit, each with all its values."""
    settings: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def service_commands(machine: Machine) -> list[list[str]]:
    """What the service starts, one after the other, as words."""
    commands = [machine.moved(command) for command in unit("tallyfy-snapshot.service")["ExecStart"]]
    return [shlex.split(command.replace("%S", str(machine.state.parent))) for command in commands]


@dataclass(frozen=True)
class Step:
    """An instruction of the Dockerfile."""

    name: str
    text: str


def dockerfile() -> list[Step]:
    """Its instructions, each on one line."""
    text = "\n".join(line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [Step(*line.split(maxsplit=1)) for line in lines if line]


def run_by(shell: list[str], command: str, *, env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
    """What a scheduler's shell makes of a command, with no environment but the given one."""
    return subprocess.run([*shell, command], env=env, capture_output=True, text=True, timeout=600, check=False, **options)


def page_blocks(language: str) -> list[str]:
    """The blocks of docs/scheduling.md in a language: sh runs anywhere, bash in an empty ``/opt``; those in none need a real machine."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/scheduling.md").read_text(), flags=re.DOTALL)
