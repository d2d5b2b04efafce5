"""A table → its published contract: JSON Schema of one row, as NDJSON prints it.

``schemas/*.json`` are these, committed; ``python -m tallyfy_frames.contracts DIR`` writes them anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from tallyfy_frames import tables
from tallyfy_frames.tables._table import Column, Table

CONTRACT_VERSION: Final = "1.0"  # major: a column dropped, renamed or retyped; minor: a column added
TYPES: Final[Mapping[object, Mapping[str, Any]]] = {
    pl.String: {"type": "string"},
    pl.Int64: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    pl.Float64: {"type": "number"},
    pl.Boolean: {"type": "boolean"},
    pl.Datetime: {"type": "string", "format": "date-time"},
}


def contract(table: Table) -> dict[str, Any]:
    """The JSON Schema of one row: every column is there, in order, and null where nothing is known."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": table.name,
        "description": table.about,
        "x-contract-version": CONTRACT_VERSION,
        "x-key": [*table.key],
        "type": "object",
        "properties": {column.name: _property(column) for column in table.columns},
        "required": [column.name for column in table.columns],
        "additionalProperties": False,
    }


def _property(column: Column) -> dict[str, Any]:
    facts = _type(column.dtype)
    if column.nullable:
        facts["type"] = [facts["type"], "null"]
    if column.ge is not None:
        facts["minimum"] = column.ge
    if column.le is not None:
        facts["maximum"] = column.le
    if column.reads in {"json", "json_list"}:
        facts["contentMediaType"] = "application/json"
    told = {
        "description": column.about,
        "x-type": _type_name(column.dtype),
        "x-class": column.kind,
        "x-unit": column.unit,
        "x-source": list(column.sources) or None,
        "x-words-seen": list(column.words) or None,
        "x-personal": column.personal or None,
        "x-refers": column.refers,
    }
    return facts | {name: value for name, value in told.items() if value is not None}


def _type(dtype: pl.DataType) -> dict[str, Any]:
    if isinstance(dtype, pl.List):
        inner = dtype.inner
        return {"type": "array", "items": dict(TYPES[inner.base_type()])}
    return dict(TYPES[dtype.base_type()])


def _type_name(dtype: pl.DataType) -> str:
    return "Datetime(us, UTC)" if isinstance(dtype, pl.Datetime) else str(dtype)


def text(table: Table) -> str:
    """The contract as it is committed."""
    return json.dumps(contract(table), indent=1, ensure_ascii=False) + "\n"


def dictionary(table: Table) -> str:
    """The data dictionary of a table, as Markdown."""
    lines = [
        f"## {table.name}",
        "",
        f"{table.about} {_route(table)} Key: {', '.join(f'`{name}`' for name in table.key)}.",
        "",
        "| column | type | null | unit | class | source | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for column in table.columns:
        cells = [
            f"`{column.name}`", _type_name(column.dtype), "yes" if column.nullable else "never", column.unit or "", column.kind,
            ", ".join(f"`{source}`" for source in column.sources), column.notes,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _route(table: Table) -> str:
    """Where the rows come from."""
    if table.part is None:
        return f"Route: `{table.path.replace('{}', '{id}')}`."
    asked = [
        f"`with={','.join(table.part.includes)}`",
        *(f"`{name}={str(value).lower()}`" for name, value in table.part.params.items()),
    ]
    return f"Inside `{table.part.of}`, asked for by {', '.join(asked)}."


def write_all(folder: Path, docs: Path) -> None:
    """Write every contract into ``folder`` and the data dictionary into ``docs``."""
    specs = [tables.get(name) for name in tables.TABLES]
    for spec in specs:
        (folder / f"{spec.name}.json").write_text(text(spec), encoding="utf-8")
    head = "# Data dictionary\n\nGenerated from the tables; `make contracts` writes it anew.\n"
    docs.write_text("\n".join([head, *map(dictionary, specs)]), encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]), Path(sys.argv[2]))
