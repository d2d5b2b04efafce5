"""`schemas/` and the data dictionary are the printed edition of `tallyfy_frames/tables/`."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from jsonschema import Draft202012Validator

from tallyfy_frames import contracts, tables

ROOT = Path(__file__).parents[2]

RUNS_IN_ORDER = """
id increment_id checklist_id checklist_title name summary status type owner_id started_by parent_id
progress_complete progress_total progress_percent progress_approved progress_rejected
whole_progress_complete whole_progress_total whole_progress_percent whole_progress_approved whole_progress_rejected
created_at started_at last_updated completed_at archived_at due_date max_task_deadline due_date_passed due_soon late_tasks
prerun prerun_status prerun_completed_at prerun_completed_by prerun_length starred is_public can_add_oot assign_someone_else
has_open_issue collaborators users groups custom_fields extra
pagination_total pagination_count pagination_per_page pagination_current_page pagination_total_pages organization_id loaded_at
""".split()  # noqa: SIM905 - as the design states them


def test_what_is_committed_is_what_the_tables_say(tmp_path: Path) -> None:
    contracts.write_all(tmp_path, tmp_path / "data-dictionary.md")
    for made in tmp_path.iterdir():
        kept = ROOT / ("docs" if made.suffix == ".md" else "schemas") / made.name
        assert kept.read_text() == made.read_text(), f"run `make contracts`: {kept.name} is not what the tables say"
    assert {place.stem for place in (ROOT / "schemas").glob("*.json")} == set(tables.TABLES)


def test_runs_have_the_decided_columns_in_the_decided_order() -> None:
    spec = tables.get("runs")
    assert spec.schema.names() == RUNS_IN_ORDER
    assert {name for name, dtype in spec.schema.items() if dtype == pl.List(pl.Int64)} == {"collaborators", "users"}
    assert {column.name for column in spec.columns if not column.nullable} == {"id", "organization_id", "loaded_at"}
    assert spec.schema["groups"] == pl.List(pl.String)
    assert all(
        dtype == pl.Int64 for name, dtype in spec.schema.items() if name in {"owner_id", "started_by", "prerun_completed_by"}
    )


@pytest.mark.parametrize("name", tables.TABLES)
def test_each_contract_is_a_json_schema_and_each_column_says_what_it_is(name: str) -> None:
    contract = json.loads((ROOT / "schemas" / f"{name}.json").read_text())
    Draft202012Validator.check_schema(contract)
    for column, facts in contract["properties"].items():
        assert len(facts["description"]) > 5, column
        assert facts["x-class"] in {"data", "volatile", "provenance"}
    for column in tables.get(name).columns:
        assert column.sources or column.reads in {"stated", "parent", "place"} or column.name == "extra"
        counted = column.dtype in (pl.Int64, pl.Float64) and column.reads in {"int", "float"} and column.kind != "provenance"
        assert not counted or column.unit or column.name == "increment_id", f"{column.name} counts something: in which unit?"


def test_user_ids_join_across_tables() -> None:
    assert tables.get("users").schema["id"] == tables.get("runs").schema["owner_id"] == pl.Int64
