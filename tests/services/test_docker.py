"""The Dockerfile without Docker: its instructions carried out in a folder, and the program run from there as nobody."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from beside import there
from deployed import DEPLOY, ROOT, Machine, dockerfile, run_by

from tallyfy_frames.sandbox import Sandbox, World

LINUX = (
    "manylinux2014_x86_64",
    "manylinux_2_28_x86_64",
)  # what wheels are made for that run in the image (glibc 2.28 or later)


def test_a_linter_finds_nothing() -> None:
    done = subprocess.run([there("hadolint", "lint/bin"), DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_linter_would_say_so_if_something_were_wrong(tmp_path: Path) -> None:
    careless = tmp_path / "Dockerfile"
    careless.write_text((DEPLOY / "Dockerfile").read_text().replace("3.13-slim", "latest"))
    assert (
        "DL3007"
        in subprocess.run([there("hadolint", "lint/bin"), careless], capture_output=True, text=True, check=False).stdout
    )


def test_the_requirements_are_there_for_the_images_python() -> None:
    (version,) = {
        step.text.split()[0].removeprefix("python:").removesuffix("-slim") for step in dockerfile() if step.name == "FROM"
    }
    platforms = [word for platform in LINUX for word in ("--platform", platform)]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run", "--target", "unused",
        "--only-binary", ":all:", "--python-version", version, *platforms,
        "--require-hashes", "--requirement", str(DEPLOY / "requirements.lock"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Image:
    """What the instructions leave behind, below a folder instead of ``/``."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder)
        shutil.rmtree(self.machine.folder / "opt")
        self.user, self.entrypoint = "", [""]
        work = folder
        for step in dockerfile():
            match step.name:
                case "WORKDIR":
                    work = folder / step.text.lstrip("/")
                    work.mkdir()
                case "COPY" if "--from=" not in step.text:  # from stage to stage: here both are one
                    *sources, target = step.text.split()
                    for source in sources:
                        self.copy(ROOT / source, work / target)
                case "RUN":
                    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where `python` is
                    done = run_by(["sh", "-e", "-c"], self.machine.moved(step.text), env={**os.environ, "PATH": path}, cwd=work)
                    assert done.returncode == 0, done.stdout + done.stderr
                case "USER":
                    self.user = step.text
                case "ENTRYPOINT":
                    self.entrypoint = json.loads(self.machine.moved(step.text))

    @staticmethod
    def copy(source: Path, target: Path) -> None:
        """As COPY does: of a folder, what is in it."""
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / source.name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become nobody")
def test_the_image_runs_the_program_as_nobody_who_writes_to_its_volume_alone(tmp_path: Path) -> None:
    image = Image(tmp_path)
    user, group = map(int, image.user.split(":"))
    assert min(user, group) > 0, "a number, from which Kubernetes can tell that it is not root"
    # In the image everybody may read Python; on the machine of a test it may lie in somebody's home.
    reads_all = [
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ]
    nobody = [there("setpriv"), f"--reuid={user}", f"--regid={group}", "--clear-groups", *reads_all]
    with Sandbox(World(1, 40)) as sandbox:
        token = image.machine.secret(sandbox.token)
        env = {"TALLYFY_ACCESS_TOKEN_FILE": str(token), "TALLYFY_ORG_ID": sandbox.org_id, "TALLYFY_BASE_URL": sandbox.base_url}
        for command in ("snapshot", "verify"):
            words = [*nobody, *image.entrypoint, command, str(tmp_path / "lake")]
            done = subprocess.run(words, env=env, cwd="/", capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    theirs = {place.relative_to(tmp_path).parts[0] for place in tmp_path.rglob("*") if place.lstat().st_uid == user}
    assert theirs == {"lake"}
    assert list((tmp_path / "lake/current/").rglob("*.parquet"))


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    copied = {
        word for step in dockerfile() if step.name == "COPY" and "--from" not in step.text for word in step.text.split()[:-1]
    }
    everything, *lines = [
        line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert everything == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_no_step_of_the_build_hears_of_a_secret() -> None:
    assert not [
        step for step in dockerfile() if step.name in {"ARG", "ENV"} or re.search("token|secret", step.text, re.IGNORECASE)
    ]
