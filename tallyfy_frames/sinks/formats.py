"""The names of the formats a frame can be written in; light, so that the command line can list them."""

from enum import StrEnum


class Format(StrEnum):
    """How a frame is written."""

    csv = "csv"
    ndjson = "ndjson"
    parquet = "parquet"
