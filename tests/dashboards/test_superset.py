"""A bundle for Superset: whose address it takes, and what of that it keeps to itself."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tallyfy_frames.dashboards.superset import write_bundle
from tallyfy_frames.errors import UsageError

SECRET = "hunter2"


def address(uri: str, folder: Path) -> str:
    """The address of the database in a bundle for ``uri``."""
    with zipfile.ZipFile(write_bundle(folder / "bundle.zip", uri)) as bundle:
        (place,) = (name for name in bundle.namelist() if "/databases/" in name)
        return json.loads(bundle.read(place))["sqlalchemy_uri"]


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        (f"postgresql://u:{SECRET}@h:5432/db?sslmode=require", "postgresql://u:XXXXXXXXXX@h:5432/db?sslmode=require"),
        (f"postgresql+psycopg2://u:a@{SECRET}@h/db", "postgresql+psycopg2://u:XXXXXXXXXX@h/db"),
        (f"postgresql://u:%2F{SECRET}@h/db", "postgresql://u:XXXXXXXXXX@h/db"),
        (f"postgresql://:{SECRET}@[::1]/db", "postgresql://:XXXXXXXXXX@[::1]/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
    ],
)
def test_a_password_is_left_out(uri: str, kept: str, tmp_path: Path) -> None:
    assert address(uri, tmp_path) == kept


@pytest.mark.parametrize("path", ["/srv/a b/lake.duckdb", "/srv/#1/lake.duckdb", "/srv/50%/lake.duckdb"])
@pytest.mark.parametrize("asked", ["", "?access_mode=READ_WRITE"])
def test_a_duckdb_file_is_opened_read_only_whatever_its_path(path: str, asked: str, tmp_path: Path) -> None:
    assert address(f"duckdb:///{path}{asked}", tmp_path) == f"duckdb:///{path}?access_mode=READ_ONLY"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (f"postgresql://u:a/{SECRET}@h/db", "a sign in its password that ends it"),
        (f"postgresql://u:a/b?{SECRET}@h/db", "a sign in its password that ends it"),
        (f"postgresql://u:a/b#{SECRET}@h/db", "a sign in its password that ends it"),
        (f"postgresql://h/db?password={SECRET}", "a password behind its"),
        (f"postgresql://h/db?Password={SECRET}", "a password behind its"),
        (f"postgresql://h/db?sslpassword={SECRET}", "a password behind its"),
        (f"postgresql://u:{SECRET}@h/", "names no host or no database"),
        (f"mysql://u:{SECRET}@h/db", "neither DuckDB's nor PostgreSQL's"),
        (f"postgresql://u:{SECRET}@[::1/db", "neither DuckDB's nor PostgreSQL's"),
        ("duckdb:///lake.duckdb", "its whole path"),
        (f"duckdb://{SECRET}//srv/lake.duckdb", "its whole path"),
    ],
)
def test_what_superset_could_not_use_or_would_show_is_refused_and_not_repeated(uri: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        address(uri, tmp_path)
    assert SECRET not in str(refused.value)
    assert [*tmp_path.iterdir()] == []
