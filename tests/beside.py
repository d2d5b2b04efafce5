"""Programs of others, which tests run beside ours: each in an environment of its own, made by ``make test-services``.

There a test that skips has failed: REQUIRE_ALL=1 says that everything it needs was to be there. Elsewhere it says what it lacks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import httpx
import polars as pl
import pytest

OTHERS = Path(__file__).parents[1] / ".services"


def there(program: str, folder: str | None = None) -> str:
    """Where a program is: in a folder of .services/, or on the PATH, or where Debian has PostgreSQL's. Skips if it is not."""
    postgres = sorted(
        map(str, Path("/usr/lib/postgresql").glob("*/bin")), key=lambda place: int(place.split("/")[-2]), reverse=True
    )
    path = str(OTHERS / folder) if folder else ":".join([os.environ["PATH"], "/usr/sbin", "/sbin", *postgres])
    found = shutil.which(program, path=path)
    if found is None:
        pytest.skip(f"{program} is not here; make test-services brings it where it may")
    return found


def yaml(text: str) -> Any:
    """What a YAML text says; the reader is that of check-jsonschema."""
    code = "import json, sys; from ruamel.yaml import YAML; json.dump(YAML(typ='safe').load(sys.stdin), sys.stdout)"
    read = subprocess.run([there("python", "lint/bin"), "-c", code], input=text, capture_output=True, text=True, check=True)
    return json.loads(read.stdout)


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket that is empty, and how to reach it."""

    name: str
    endpoint: str

    @property
    def root(self) -> str:
        """A place in it for snapshots."""
        return f"s3://{self.name}/lake"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to know."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "nobody-may-see-this",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def objects(self) -> list[str]:
        """The names of all objects (of a bucket that holds no more than a thousand)."""
        listed = httpx.get(f"{self.endpoint}/{self.name}", params={"list-type": "2"}, trust_env=False).raise_for_status().text
        return re.findall(r"<Key>(.*?)</Key>", listed)


@dataclass(frozen=True)
class Database:
    """A database that is empty, on a server that ``pg_ctl`` starts and stops."""

    name: str
    host: str
    port: int
    cluster: Path

    def dsn(self, user: str = "postgres", **more: str) -> str:
        """How to reach it; anybody gets in but ``guarded``, who has a password."""
        words = {"host": self.host, "port": self.port, "dbname": self.name, "user": user, **more}
        return " ".join(f"{word}='{value}'" for word, value in words.items())

    def uri(self, user: str = "postgres", password: str | None = None) -> str:
        """The same, as SQLAlchemy takes it."""
        return f"postgresql://{user}{f':{password}' if password else ''}@{self.host}:{self.port}/{self.name}"

    def read(self, query: str, user: str = "postgres") -> pl.DataFrame:
        """What a query finds."""
        with adbc_driver_postgresql.dbapi.connect(self.dsn(user)) as connection, connection.cursor() as cursor:
            return pl.DataFrame(cursor.execute(query).fetch_arrow_table())

    def run(self, *statements: str, user: str = "postgres") -> None:
        """Carry out statements, each in a transaction of its own."""
        with (
            adbc_driver_postgresql.dbapi.connect(self.dsn(user), autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)

    def control(self, *words: str) -> None:
        """``pg_ctl``, as the user to whom the server belongs."""
        log = str(self.cluster / "log")
        as_server(there("pg_ctl"), "-D", str(self.cluster / "data"), "-l", log, "-w", *words, folder=self.cluster)


@contextmanager
def created(cluster: Database) -> Iterator[Database]:
    """A fresh database on a server."""
    name = f"test_{uuid.uuid4().hex}"
    cluster.run(f"create database {name}")
    yield Database(name, cluster.host, cluster.port, cluster.cluster)
    cluster.run(f"drop database {name} with (force)")


def as_server(*command: str, folder: Path) -> None:
    """Run a program of PostgreSQL's: as the user postgres where we are root, which it refuses."""
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]}, **user)
