"""One list of cases per kind of column: what each shape on the wire is read as, and whether that was a repair."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallyfy_frames import tables
from tallyfy_frames.api.protocol import Reply, Request, read_page
from tallyfy_frames.frames.decode import MASK, decode, is_secret, masked, masked_json
from tallyfy_frames.frames.flatten import flatten
from tallyfy_frames.tables._table import Column, Reads

DTYPES: dict[Reads, pl.DataType] = {
    "text": pl.String(), "id": pl.String(), "int": pl.Int64(), "user_id": pl.Int64(), "float": pl.Float64(), "bool": pl.Boolean(),
    "instant": pl.Datetime("us", "UTC"), "user_ids": pl.List(pl.Int64()), "ids": pl.List(pl.String()), "json": pl.String(),
}  # fmt: skip


def column(reads: Reads, *sources: str, name: str = "c") -> Column:
    return Column(name, DTYPES[reads], sources or ("c",), reads, "data", None, "", True, False, None, None, ())


UNREADABLE = object()

CASES: list[tuple[Reads, Any, Any, bool]] = [
    ("text", "", "", False), ("text", "x", "x", False), ("text", 5120, "5120", True), ("text", 1.5, UNREADABLE, False),
    ("text", True, UNREADABLE, False), ("text", [], UNREADABLE, False), ("text", {"a": 1}, UNREADABLE, False),
    ("id", "ab", "ab", False), ("id", "", None, True), ("id", 7, "7", True), ("id", {"id": "ab"}, "ab", True),
    ("id", {"id": 7}, "7", True), ("id", {}, UNREADABLE, False), ("id", [1], UNREADABLE, False),
    ("int", 7, 7, False), ("int", "7", 7, True), ("int", " 7 ", 7, True), ("int", "-7", -7, True), ("int", 7.0, 7, True),
    ("int", 2**62, 2**62, False), ("int", str(2**62), 2**62, True), ("int", 2**63, UNREADABLE, False),
    ("int", -(2**63), -(2**63), False), ("int", str(2**63), UNREADABLE, False), ("int", 1.5, UNREADABLE, False),
    ("int", "1.5", UNREADABLE, False), ("int", 1e300, UNREADABLE, False), ("int", True, UNREADABLE, False),
    ("int", "", None, True), ("int", "NaN", None, True), ("int", "seven", UNREADABLE, False), ("int", [], UNREADABLE, False),
    ("user_id", 5120, 5120, False), ("user_id", "5120", 5120, True), ("user_id", {"id": 5120}, 5120, True),
    ("user_id", {"user_id": "5120"}, 5120, True), ("user_id", 0, None, True), ("user_id", "0", None, True),
    ("user_id", {"id": None}, None, True), ("user_id", "pat@example.net", UNREADABLE, False),
    ("float", 37.5, 37.5, False), ("float", 37, 37.0, False), ("float", "37.5", 37.5, True), ("float", "1e2", 100.0, True),
    ("float", "nan", None, True), ("float", "", None, True), ("float", True, UNREADABLE, False), ("float", 2**60, UNREADABLE, False),
    ("float", msgspec.Raw(b"33.33333333333333333333"), 33.333333333333336, True), ("float", msgspec.Raw(b"1e400"), UNREADABLE, False), ("float", "x", UNREADABLE, False),
    ("bool", True, True, False), ("bool", 1, True, True), ("bool", 0, False, True), ("bool", "true", True, True),
    ("bool", "False", False, True), ("bool", "0", False, True), ("bool", "", None, True), ("bool", 2, UNREADABLE, False),
    ("bool", 1.0, UNREADABLE, False), ("bool", "yes", UNREADABLE, False), ("bool", [], UNREADABLE, False),
    ("instant", "2031-04-05T06:07:08Z", "2031-04-05T06:07:08Z", False), ("instant", "", None, True), ("instant", "NaN", None, True),
    ("instant", "nan", None, True), ("instant", "0000-00-00 00:00:00", None, True), ("instant", "0000-00-00", None, True),
    ("instant", "-0001-11-30T00:00:00Z", None, True), ("instant", 1933043228, UNREADABLE, False), ("instant", False, UNREADABLE, False),
    ("user_ids", [5120, 5121], [5120, 5121], False), ("user_ids", [], [], False), ("user_ids", {}, [], True),
    ("user_ids", ["5120"], [5120], True), ("user_ids", [{"user_id": 5120, "full_name": "x"}], [5120], True),
    ("user_ids", {"0": 5120, "2": 5121}, [5120, 5121], True), ("user_ids", {"data": [5120]}, [5120], True),
    ("user_ids", "5120,5121", UNREADABLE, False), ("user_ids", [1.5], UNREADABLE, False), ("user_ids", {"a": 1}, UNREADABLE, False),
    ("ids", ["ab"], ["ab"], False), ("ids", [7], ["7"], True), ("ids", [{"group_id": "ab"}], ["ab"], True),
    ("json", {}, "{}", False), ("json", [], "{}", True), ("json", {"a": [1, None]}, '{"a":[1,null]}', False),
    ("json", {"url": "x"}, '{"url":"***"}', False), ("json", "text", '"text"', False),
]  # fmt: skip


@pytest.mark.parametrize(("reads", "value", "wanted", "repaired"), CASES)
def test_each_shape_has_one_reading_or_none(reads: Reads, value: Any, wanted: Any, repaired: bool) -> None:
    cells = decode([{"c": value}], [column(reads)])
    assert cells.columns["c"] == [None if wanted is UNREADABLE else wanted]
    assert [fault.row for fault in cells.faults] == ([0] if wanted is UNREADABLE else [])
    assert cells.coerced["c"] == int(repaired)


@pytest.mark.parametrize("reads", DTYPES)
def test_missing_and_null_are_null_for_every_kind(reads: Reads) -> None:
    cells = decode([{}, {"c": None}], [column(reads)])
    assert cells.columns["c"] == [None, None]
    assert not cells.faults
    assert not +cells.coerced


def test_a_fault_names_its_cell_and_never_its_value() -> None:
    cells = decode([{"c": 1}, {"c": "secret name"}], [column("int")])
    (fault,) = cells.faults
    assert (fault.row, fault.column) == (1, "c")
    assert "secret" not in fault.reason


PROGRESS = [column("int", "progress.complete", name="complete"), column("float", "progress.percent", name="percent")]


@pytest.mark.parametrize(
    ("value", "complete", "percent", "repairs"),
    [
        ({"complete": 3, "percent": 37.5}, 3, 37.5, 0), ({"complete": "3"}, 3, None, 1), ([], None, None, 1), ({}, None, None, 0),
        (None, None, None, 0), (100, None, 100.0, 1), (37.5, None, 37.5, 1), ("50", None, 50.0, 1), ({"data": {"complete": 3}}, 3, None, 1),
        ({"data": None}, None, None, 0), ({"data": []}, None, None, 1),
    ],
)  # fmt: skip
def test_progress_in_every_shape(value: object, complete: int | None, percent: float | None, repairs: int) -> None:
    cells = decode([{"progress": value}], PROGRESS)
    assert (cells.columns["complete"], cells.columns["percent"]) == ([complete], [percent])
    assert cells.coerced.total() == repairs
    assert not cells.faults


@pytest.mark.parametrize("value", ["half", True, [1], {"data": "x"}, {"data": [1, 2]}, {"data": True}])
def test_progress_that_is_nothing_of_the_kind_is_a_fault(value: object) -> None:
    assert len(decode([{"progress": value}], PROGRESS).faults) == 1


def test_what_is_nested_beyond_reason_is_a_fault_not_a_crash() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = {"a": [deep]}
    extra = Column("extra", pl.String(), (), "json", "data", None, "", True, False, None, None, ())
    cells = decode(
        [{"prerun": deep, "new": deep, "progress": {"complete": deep}}], [column("json", "prerun"), *PROGRESS, extra]
    )
    assert {fault.column for fault in cells.faults} == {"c", "complete", "extra"}
    assert "nested" in masked_json({"id": "a", "x": deep})


def test_the_first_source_that_is_there_counts() -> None:
    either = [column("bool", "active", "is_active")]
    cells = decode([{"active": True}, {"is_active": False}, {"active": False, "is_active": True}, {}], either)
    assert cells.columns["c"] == [True, False, False, None]


def test_unknown_keys_are_kept_by_path_and_counted() -> None:
    extra = Column("extra", pl.String(), (), "json", "data", None, "", True, False, None, None, ())
    found = [{"progress": {"complete": 1, "new": 2}, "more": {"x": 1}}, {"progress": []}, {"link": "https://secret"}]
    cells = decode(found, [*PROGRESS, extra])
    assert [json.loads(text) if text else None for text in cells.columns["extra"]] == [
        {"more": {"x": 1}, "progress.new": 2}, None, {"link": MASK},
    ]  # fmt: skip
    assert cells.unknown == {"more": 1, "progress.new": 1, "link": 1}


@pytest.mark.parametrize(
    "key", ["hourly_rate", "name", "code", "country_code", "postcode", "curl", "linked_tasks", "text", "guest"]
)
def test_other_keys_are_left_alone(key: str) -> None:
    assert not is_secret(key)


@pytest.mark.parametrize(
    "key",
    ["webhook", "Webhook", "webhook_url", "link", "guest_link", "guest-links", "url", "URL", "full_url", "download_url", "href", "guest_code",
     "public_link", "ClientURL", "taskUrls", "thumbnailUrl"],
)  # fmt: skip
def test_secrets_are_masked_at_any_depth(key: str) -> None:
    deep: Any = {key: "s3cret", "a": [{"b": {key: {"x": "s3cret"}}}], "c": [[{key: ["s3cret"]}]]}
    assert "s3cret" not in json.dumps(masked(deep))
    assert masked({key: None}) == {key: None}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "data", "0", "2", "percent", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
RUNS = tables.get("runs")


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "name", "progress", "owner_id", "created_at", "starred", "collaborators", "groups", "prerun", "late_tasks", "new"), json_values)),
    min_size=1, max_size=5))  # fmt: skip
def test_any_rows_become_exactly_the_contracts_columns(rows: list[dict[str, Any]]) -> None:
    body = json.dumps(rows).encode()
    page = read_page(Request(()), Reply(200, {}, body), page=1, per_page=5, now=None)  # type: ignore[arg-type]
    cells = decode(page.rows, RUNS.columns)
    stated = {c.name: [None] * len(rows) for c in RUNS.columns if c.reads == "stated"}
    frame, _ = flatten(cells.columns, RUNS.columns, stated)
    assert frame.schema == RUNS.schema
    assert frame.height == len(rows)


@pytest.mark.parametrize(
    "text",
    [
        "1.10",
        "0.1",
        "33.33333333333333333333",
        "12345678901234567.25",
        "1e400",
        "1e-400",
        "5e-324",
        "100.0",
        "-0.5",
    ],
)
def test_no_number_in_kept_json_is_damaged(text: str) -> None:
    body = b'[{"prerun": {"f": ' + text.encode() + b"}}]"
    (row,) = read_page(Request(()), Reply(200, {}, body), page=1, per_page=1, now=None).rows  # type: ignore[arg-type]
    (kept,) = decode([row], [column("json", "prerun")]).columns["c"]
    number = kept.removeprefix('{"f":').removesuffix("}")
    from decimal import Decimal  # noqa: PLC0415

    assert Decimal(number) == Decimal(text)
