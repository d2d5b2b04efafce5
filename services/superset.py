"""A Superset on loopback, in an environment of its own (`superset.lock`), with our dashboards in it; tests start it, too.

``make superset`` runs this: sandbox, snapshot, DuckDB file, bundle, Superset; it serves until it is interrupted. For
``make pictures`` it has the dashboards drawn instead.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx

import tallyfy_frames as tf
from tallyfy_frames.dashboards.superset import write_bundle
from tallyfy_frames.sandbox import Sandbox, World

OTHERS: Final = Path(__file__).parents[1] / ".services"
PROGRAMS: Final = OTHERS / "superset" / "bin"
PORT: Final = 8088
STARTS_S: Final = 120
USER: Final = "admin"
TABLES: Final = ("runs", "run_tasks", "users")
RUNS: Final = 2000
DAYS: Final = 180
CONFIG: Final = """\
import os
SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_MEMORY"]
TALISMAN_ENABLED = False  # plain http, to loopback only
"""


class Superset:
    """A server, running within a ``with`` block. The administrator's password is another each time."""

    def __init__(self, home: Path, port: int = 0, memory: str | None = None) -> None:
        """Without ``port`` a free one. ``memory`` is an empty database for what Superset remembers; without one, a file.

        In a file (SQLite) its own table of datasets allows a name only once: bundles of two databases do not fit into it.
        """
        self.home = home
        self.memory = memory
        self.port = port or _free()
        self.address = f"http://127.0.0.1:{self.port}"
        self.password = secrets.token_urlsafe(12)
        self.key = secrets.token_hex(32)
        self.log = home / "log"
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        """Begin anew, with an administrator; return once it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "superset_config.py").write_text(CONFIG)
        (self.home / "memory.db").unlink(missing_ok=True)
        person = ["--firstname", "A", "--lastname", "B", "--email", "admin@example.net"]
        self._run("superset", "db", "upgrade")
        self._run("superset", "fab", "create-admin", "--username", USER, "--password", self.password, *person)
        self._run("superset", "init")
        serving = ["-w", "1", "-k", "gthread", "--threads", "8", "--timeout", "120", "--no-control-socket"]
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(
                [PROGRAMS / "gunicorn", *serving, "-b", f"127.0.0.1:{self.port}", "superset.app:create_app()"],
                env=self._environment(), cwd=self.home, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, by force if need be."""
        if self._client is not None:
            self._client.close()
        self.server.terminate()
        try:
            self.server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()

    @property
    def client(self) -> httpx.Client:
        """Signed in; what its API asks of whoever changes anything is with every request."""
        if self._client is None:
            client = httpx.Client(base_url=self.address, trust_env=False, timeout=120)
            who = {"username": USER, "password": self.password, "provider": "db", "refresh": True}
            token = client.post("/api/v1/security/login", json=who).raise_for_status().json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            client.headers["Referer"] = self.address
            client.headers["X-CSRFToken"] = client.get("/api/v1/security/csrf_token/").raise_for_status().json()["result"]
            self._client = client
        return self._client

    def bring(self, bundle: Path, passwords: Mapping[str, str] | None = None) -> None:
        """Import a bundle, over what an older one has brought."""
        form = {"passwords": json.dumps(passwords)} if passwords else {}
        files = {"bundle": (bundle.name, bundle.read_bytes(), "application/zip")}
        answer = self.client.post("/api/v1/assets/import/", files=files, data=form)
        if answer.status_code != 200:
            raise RuntimeError(f"Superset does not import the bundle ({answer.status_code}): {answer.text}")

    def looked_at(self, pages: Mapping[str, str], chromium: str, folder: Path) -> dict[str, Any]:
        """What a browser makes of pages, given by name and path; a picture of each goes into ``folder``. See `browse.py`."""
        wanted = {"address": self.address, "user": USER, "password": self.password, "chromium": chromium}
        asked = json.dumps(wanted | {"folder": str(folder), "pages": dict(pages)})
        command = [OTHERS / "browser" / "bin" / "python", Path(__file__).with_name("browse.py")]
        done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise RuntimeError(f"the browser ended early: {done.stderr}")
        return dict(json.loads(done.stdout))

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "FLASK_APP": "superset",
            "SUPERSET_CONFIG_PATH": str(self.home / "superset_config.py"),
            "SUPERSET_HOME": str(self.home),
            "SUPERSET_MEMORY": self.memory or f"sqlite:///{self.home}/memory.db",
            "SUPERSET_SECRET_KEY": self.key,
            "TZ": "UTC",
        }

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [PROGRAMS / program, *words], env=self._environment(), cwd=self.home, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} {words[0]} failed: {(done.stdout + done.stderr)[-2000:]}")

    def _wait(self) -> None:
        until_s = time.monotonic() + STARTS_S
        while time.monotonic() < until_s and self.server.poll() is None:
            try:
                if httpx.get(f"{self.address}/health", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise RuntimeError(f"Superset does not start; see {self.log}")


def main(pictures: Path | None = None) -> None:
    """Everything from nothing, then serve; or only draw the dashboards into ``pictures``."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has us in the background
        signal.signal(number, signal.default_int_handler)
    folder = Path("demo/superset").absolute()
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

    with Sandbox(World(1, RUNS, days=DAYS)) as sandbox:
        settings = tf.Settings(token=sandbox.token, org_id=sandbox.org_id, base_url=sandbox.base_url)
        warnings.simplefilter("ignore", tf.TallyfyFramesWarning)  # the sandbox sends unknown keys on purpose
        manifest = tf.write_snapshot(folder / "lake", tables=TABLES, settings=settings, allow_shrink=True)
    say(f"a snapshot of the sandbox: {manifest.location}")
    file = tf.write_duckdb(folder / "lake")
    say(f"views of it: {file}")
    bundle = write_bundle(folder / "bundle.zip", f"duckdb:///{file}")
    say(f"a bundle for Superset: {bundle}; it starts now, which takes a minute")
    pages = {name: f"/superset/dashboard/tallyfy-{name}/" for name in ("now", "flow")}
    port = _free(PORT)
    if port != PORT:
        say(f"port {PORT} is taken: it will be {port}")
    try:
        with Superset(folder / f"home-{port}", port) as superset:
            superset.bring(bundle)
            if pictures is not None:
                drawn = {f"dashboard-{name}": f"{path}?standalone=1" for name, path in pages.items()}
                superset.looked_at(drawn, shutil.which("chromium") or "chromium", pictures)
                say(f"drawn into {pictures}")
                return
            say("it is there:\n")
            for path in pages.values():
                print(f"  {superset.address}{path}")
            print(f"\n  user {USER}, password {superset.password}\n")
            print('The sandbox\'s today is 2031-06-01: in the time filter, choose dates; "last week" is long before.')
            print("Ctrl-C ends it, and what was changed in it is forgotten.", flush=True)
            superset.server.wait()
    except KeyboardInterrupt:
        say("ended")


def _free(port: int = 0) -> int:
    """``port``, or another if somebody has that."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: somebody may have had it just now
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return _free()
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
