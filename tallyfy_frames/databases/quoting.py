"""Names and texts as SQL takes them, whatever is in them: DuckDB, and PostgreSQL with standard_conforming_strings."""

from __future__ import annotations


def identifier(name: str) -> str:
    """A name."""
    return '"' + name.replace('"', '""') + '"'


def string(text: str) -> str:
    """A text."""
    return "'" + text.replace("'", "''") + "'"
