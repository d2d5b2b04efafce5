"""A snapshot as SQL: a file for DuckDB, a schema in PostgreSQL."""
