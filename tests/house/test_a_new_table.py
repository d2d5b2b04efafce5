"""Adding a table costs one file, one line, and its list in the sandbox: shown by adding one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import settings_for
from jsonschema import Draft202012Validator

import tallyfy_frames as tf
from tallyfy_frames import contracts, tables
from tallyfy_frames.cli.load import _load_command
from tallyfy_frames.sandbox import Sandbox
from tallyfy_frames.sandbox.lists import LISTS
from tallyfy_frames.sandbox.lists._list import List

FILE = '''"""Snippets: texts to be inserted; the API calls them text-templates. Source: Tallyfy API docs."""

from dataclasses import dataclass

import polars as pl

from tallyfy_frames.tables._filters import Filters, parameter
from tallyfy_frames.tables._table import Rows, Table, column


@dataclass(frozen=True, kw_only=True)
class SnippetFilters(Filters):
    """Which snippets."""

    q: str | None = parameter("text to find in the title", personal=True)


class Snippets(Rows):
    """One row per snippet."""

    id: pl.String = column("id", about="The snippet's id", reads="id", nullable=False, unique=True)
    title: pl.String = column("title", about="Its title")
    body: pl.String = column("body", about="The text itself, maybe HTML", personal=True)


SNIPPETS = Table(name="snippets", path="text-templates", model=Snippets, filters=SnippetFilters, glance=("id", "title"))
'''
LINE = {"snippets": "a_new_table"}
FACTS = [{"id": f"{n:032x}", "title": f"Snippet {n}", "body": "Dear Pat"} for n in range(230)]
ROUTE = List("text-templates", 10, 100, lambda _, query: [one for one in FACTS if query.get("q", "") in one["title"]],
             lambda _wire, _draw, one: dict(one), lambda one: one["id"])  # fmt: skip


def test_one_file_one_line_and_its_list_bring_all_the_rest(
    serve: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_new_table.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "a_new_table", __import__("a_new_table"))
    monkeypatch.setattr(tables, "TABLES", {**tables.TABLES, **LINE})
    monkeypatch.setitem(LISTS, ROUTE.path, ROUTE)
    settings, report = settings_for(serve()), tf.LoadReport()
    frame = tf.load("snippets", settings=settings, report=report)
    assert frame["title"].to_list() == [one["title"] for one in FACTS]
    assert report.proof == "counted"
    assert tf.load("snippets", {"q": "Snippet 7"}, settings=settings).height == 11
    assert tf.load("snippets", settings=settings, privacy="drop")["body"].null_count() == 230
    tf.write_snapshot(tmp_path / "lake", tables=["runs", "snippets"], settings=settings)
    assert tf.read_snapshot(tmp_path / "lake", "snippets").collect().height == 230
    assert tf.plan(["snippets"], settings=settings).requests == report.requests
    contract = json.loads(contracts.text(tables.get("snippets")))
    Draft202012Validator(contract).validate(json.loads(frame.head(1).write_ndjson()))
    assert "The text itself" in contracts.dictionary(tables.get("snippets"))
    assert "--q" in [option for parameter in _load_command("snippets").params for option in parameter.opts]
