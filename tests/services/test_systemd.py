"""Systemd takes the units; and a systemd that boots in a container runs the service, with all that is denied to it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import sysconfig
import uuid
from pathlib import Path

import pytest
from beside import there
from deployed import DEPLOY, PROGRAM, ROOT, Machine, unit

from tallyfy_frames.sandbox import Sandbox, World

UNITS = ["tallyfy-snapshot.service", "tallyfy-snapshot.timer"]
EXPOSED_MOST = 15  # of 100, as `systemd-analyze security` counts: what asks an API over the network cannot come to 0
USER = 990
FAILED = 99


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [there("systemd-analyze"), *words]
    return subprocess.run(command, env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True, check=False)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    copies = [tmp_path / name for name in UNITS]
    for copy in copies:
        copy.write_text(machine.moved((DEPLOY / copy.name).read_text()))
    done = analyze("verify", *copies)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_would_say_so_if_something_were(tmp_path: Path) -> None:
    copy = tmp_path / UNITS[0]
    copy.write_text((DEPLOY / UNITS[0]).read_text().replace("Type=oneshot", "Type=once"))
    assert "Type" in analyze("verify", copy).stderr


def test_the_timer_goes_off_each_night() -> None:
    (when,) = unit(UNITS[1])["OnCalendar"]
    done = analyze("calendar", "--iterations=3", "--base-time=2026-06-01 12:34:56 UTC", when)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"2026-06-.. ..:..:..", done.stdout) == [f"2026-06-0{day} 03:17:00" for day in (2, 3, 4)]


def test_the_service_is_exposed_to_little() -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSED_MOST}", DEPLOY / UNITS[0])
    assert done.returncode == 0, done.stdout


class Container:
    """A machine with systemd and the units, and little else: this one's /usr and Python, and the checkout, to be read only."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root, root / "var/lib/tallyfy"
        self.binds = [
            "/usr",
            f"{sys.base_prefix}:/opt/python",
            f"{sysconfig.get_path('purelib')}:/opt/site",
            f"{ROOT}:/opt/checkout",
        ]
        (root / "usr").mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        (self.root / "var/lib/prometheus/node-exporter").mkdir(parents=True)
        os.chown(self.root / "var/lib/prometheus/node-exporter", USER, USER)
        self.put("etc/os-release", "ID=test\n")
        self.put("etc/machine-id", "")  # without one systemd takes it for the first boot, and asks questions
        self.put("etc/passwd", f"root:x:0:0::/root:/bin/sh\ntallyfy:x:{USER}:{USER}::/var/lib/tallyfy:/usr/sbin/nologin\n")
        self.put("etc/group", f"root:x:0:\ntallyfy:x:{USER}:\n")
        python = "LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/checkout:/opt/site exec /opt/python/bin/python3"
        self.put(PROGRAM, f'#!/bin/sh\n{python} -m tallyfy_frames "$@"\n', mode=0o755)
        for name in UNITS:
            self.put(f"etc/systemd/system/{name}", (DEPLOY / name).read_text())
        # The container ends when the service has, with no try left; and nobody waits for five minutes.
        ends = "[Unit]\nOnFailure=failed.service\n[Service]\nExecStartPost=+/bin/systemctl --force exit 0\nRestartSec=0\n"
        told = "StandardOutput=append:/var/told\nStandardError=append:/var/told\n"
        self.put(f"etc/systemd/system/{UNITS[0]}.d/test.conf", ends + told)
        self.put(
            "etc/systemd/system/failed.service", f"[Service]\nType=oneshot\nExecStart=/bin/systemctl --force exit {FAILED}\n"
        )

    def put(self, name: str, text: str, *, mode: int = 0o644) -> None:
        """A file."""
        place = self.root / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def start(self, sandbox: Sandbox, *, token: str | None = None) -> tuple[int, list[int]]:
        """Boot, start the service, and shut down: 0 if it went well, FAILED if not; and the exit codes that the program told."""
        self.put("etc/tallyfy/token", token or sandbox.token, mode=0o400)  # root's: the service cannot read it by itself
        self.put("etc/tallyfy/env", f"TALLYFY_ORG_ID={sandbox.org_id}\nTALLYFY_BASE_URL={sandbox.base_url}\n")
        (self.root / "var/told").unlink(missing_ok=True)
        command = [
            there("timeout"), "60", there("systemd-nspawn"), "--quiet", "--kill-signal=SIGKILL", f"--machine=test-{uuid.uuid4().hex}", "--register=no", "--keep-unit", "--link-journal=no",
            f"--directory={self.root}", *(f"--bind-ro={bind}" for bind in self.binds), "--boot", "--", f"--unit={UNITS[0]}",
        ]  # fmt: skip
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        told = self.root / "var/told"
        assert told.exists(), done.stdout + done.stderr
        return done.returncode, [int(code) for code in re.findall(r'"exit_code": (\d+)', told.read_text())]

    def published(self) -> list[Path]:
        """The snapshots there are."""
        return list((self.state / "lake/snapshots").glob("*/manifest.json"))


@pytest.fixture
def container(tmp_path: Path) -> Container:
    there("systemd-nspawn")
    if os.geteuid() != 0:
        pytest.skip("needs root, to boot a container")
    return Container(tmp_path / "root")


def test_the_service_takes_a_snapshot_and_checks_it_with_no_more_rights_than_it_has(container: Container) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        assert container.start(sandbox) == (0, [])
    metrics = container.root / "var/lib/prometheus/node-exporter/tallyfy.prom"
    (manifest,) = container.published()
    for place in (metrics, manifest, *manifest.parent.rglob("*.parquet")):
        assert place.stat().st_uid == USER
        assert place.stat().st_mode & 0o444 == 0o444, "others may read it"
    assert sum(file["rows"] for file in json.loads(manifest.read_text())["tables"]["runs"]["files"]) == 40


def test_another_job_that_is_at_it_is_no_failure(container: Container) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        container.start(sandbox)
        with (container.state / "lake/.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert container.start(sandbox) == (0, [12])
    assert len(container.published()) == 1


def test_a_server_that_fails_for_a_while_is_asked_again(container: Container) -> None:
    with Sandbox(World(1, 40), faults=["html-502@1x5"]) as sandbox:
        assert container.start(sandbox) == (0, [1])
    assert len(container.published()) == 1


def test_a_token_that_is_refused_fails_at_once(container: Container) -> None:
    with Sandbox(World(1, 40)) as sandbox:
        assert container.start(sandbox, token="no-such-token") == (FAILED, [3])
