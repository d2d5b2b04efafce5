"""Servers that tests run beside us; and under ``make test-services`` no test may skip."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from beside import Bucket, Database, as_server, created, there


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where everything was to be there, what lacks something has failed."""
    report: Any = yield
    if report.skipped and os.environ.get("REQUIRE_ALL"):
        report.outcome, report.longrepr = "failed", f"REQUIRE_ALL, and yet: {call.excinfo and call.excinfo.value}"
    return report


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server on loopback, which takes any key and forgets everything when it stops."""
    log = tmp_path_factory.mktemp("moto") / "log"
    command = [there("moto_server", "moto/bin"), "-H", "127.0.0.1", "-p", "0"]
    environment = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as server:
        try:
            yield _address(server, log)
        finally:
            server.terminate()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, as it says itself, once it answers."""
    for _ in range(600):
        if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text()):
            httpx.get(found[1], trust_env=False).raise_for_status()
            return found[1]
        try:
            server.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"moto_server does not listen: {log.read_text()}")


@pytest.fixture
def s3(s3_endpoint: str) -> Bucket:
    """A fresh bucket."""
    bucket = Bucket(f"test-{uuid.uuid4().hex}", s3_endpoint)
    httpx.put(f"{s3_endpoint}/{bucket.name}", trust_env=False).raise_for_status()
    return bucket


@pytest.fixture(scope="session")
def cluster() -> Iterator[Database]:
    """A PostgreSQL server on loopback, and its database ``postgres``."""
    initdb = there("initdb")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not below pytest's own, which the server's user cannot enter
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        locale = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        as_server(initdb, "-D", str(folder / "data"), *locale, folder=folder)
        access = folder / "data" / "pg_hba.conf"
        access.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{access.read_text()}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n"
        with (folder / "data" / "postgresql.auto.conf").open("a") as file:
            file.write(settings)
        server = Database("postgres", "127.0.0.1", port, folder)
        server.control("start")
        try:
            server.run("create role guarded login password 'nobody-may-see-this'", "create role reader login")
            yield server
        finally:
            server.control("stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(cluster: Database) -> Iterator[Database]:
    """A fresh database."""
    with created(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def lasting_database(cluster: Database) -> Iterator[Database]:
    """The same for all tests of a file."""
    with created(cluster) as database:
        yield database
