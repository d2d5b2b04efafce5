"""One list of cases per kind of column: what each shape on the wire is read as, and whether that was a repair."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallyfy_frames import tables
from tallyfy_frames.api import protocol
from tallyfy_frames.api.protocol import Reply, Request, read_page
from tallyfy_frames.frames import decode as decode_module
from tallyfy_frames.frames.decode import MISSES_MAX, Cells, Fault, decode, decode_body
from tallyfy_frames.frames.flatten import flatten
from tallyfy_frames.frames.masking import MASK
from tallyfy_frames.frames.readers import READERS, Unreadable, shape
from tallyfy_frames.frames.shapes import STRANGE_MAX, Layout
from tallyfy_frames.frames.texts import Texts
from tallyfy_frames.sandbox import World
from tallyfy_frames.sandbox.lists import tasks
from tallyfy_frames.sandbox.wire import Wire
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
    ("json", [1, None], "[1,null]", False), ("json", "text", '"text"', False),
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


def test_the_first_source_that_is_there_counts() -> None:
    either = [column("bool", "active", "is_active")]
    cells = decode([{"active": True}, {"is_active": False}, {"active": False, "is_active": True}, {}], either)
    assert cells.columns["c"] == [True, False, False, None]


def test_unknown_keys_are_kept_by_path_and_counted() -> None:
    extra = Column("extra", pl.String(), (), "json", "data", None, "", True, False, None, None, ())
    found = [
        {"progress": {"complete": 1, "new": 2}, "more": {"x": 1}},
        {"progress": []},
        {"link": "https://secret"},
    ]
    cells = decode(found, [*PROGRESS, extra])
    assert [json.loads(text) if text else None for text in cells.columns["extra"]] == [
        {"more": {"x": 1}, "progress.new": 2}, None, {"link": MASK},
    ]  # fmt: skip
    assert cells.unknown == {"more": 1, "progress.new": 1, "link": 1}


def test_unknown_keys_are_told_in_the_same_order_whatever_the_rows() -> None:
    extra = Column("extra", pl.String(), (), "json", "data", None, "", True, False, None, None, ())
    rows: list[dict[str, Any]] = [{"b": 1, "a": 2, "progress": {"new": 3}}, {"progress": {"new": 3}, "a": 2, "b": 1}]
    assert decode(rows, [*PROGRESS, extra]).columns["extra"] == ['{"a":2,"b":1,"progress.new":3}'] * 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "data", "0", "2", "percent", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
RUNS = tables.get("runs")


@pytest.mark.parametrize("wrapped", [{"meta": {"n": 1}}, {"data": None, "meta": 1}, {"data": {"complete": 3}}])
def test_a_wrapper_is_no_unknown_key(wrapped: object) -> None:
    extra = Column("extra", pl.String(), (), "json", "data", None, "", True, False, None, None, ())
    cells = decode([{"progress": wrapped}], [*PROGRESS, extra])
    assert cells.columns["extra"] == [None]
    assert not cells.unknown


# Values as a column is sent them: mostly of its own type, so that a sieve lets them pass, and near what it must not.
numbers = st.integers(-2, 9) | st.sampled_from(
    [2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1]
)
words = st.sampled_from(
    ["", " ", "x", "nan", " NaN ", "-7", " 7 ", "1.5", "1e2", "True", "2031-04-05T06:07:08Z", "2031-04-05", "0000-00-00", "0000-00-00x",
     "-0001-11-30T00:00:00Z", "0001-01-01", "soon", "\uff12", str(2**63)]
)  # fmt: skip
OWN: dict[Reads, st.SearchStrategy[Any]] = {
    "text": words, "id": words, "int": numbers, "user_id": numbers, "float": numbers | st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(), "instant": words, "user_ids": st.lists(numbers, max_size=3), "ids": st.lists(words, max_size=3),
    "json": json_values,
}  # fmt: skip
any_value = json_values | words | numbers | st.sampled_from([msgspec.Raw(b"33.33333333333333333333"), msgspec.Raw(b"1e400")])


def read_one_by_one(reads: Reads, values: list[Any]) -> tuple[list[Any], list[tuple[int, str]], list[str]]:
    """Cells, faults and the shapes of what was repaired, by the reader alone."""
    cells: list[Any] = []
    faults: list[tuple[int, str]] = []
    shapes: list[str] = []
    for place, value in enumerate(values):
        cell, repaired = None, False
        if value is not None:
            try:
                cell, repaired = READERS[reads](value)
            except Unreadable as unreadable:
                faults.append((place, str(unreadable)))
        cells.append(cell)
        shapes += [shape(value, cell)] if repaired else []
    return cells, faults, shapes


def exactly(cells: list[Any]) -> list[str]:
    """Cells so that 1, 1.0 and True differ."""
    return [repr(cell) for cell in cells]


@pytest.mark.parametrize("reads", DTYPES)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_a_sieve_lets_nothing_pass_that_its_reader_would_change(reads: Reads, data: st.DataObject) -> None:
    hostile = data.draw(st.booleans())
    own = st.none() | OWN[reads]
    values = data.draw(st.lists(own | any_value if hostile else own, max_size=8))
    wanted, faults, shapes = read_one_by_one(reads, values)
    found = decode([{"c": value} for value in values], [column(reads)])
    cells = found.columns["c"]
    assert exactly(cells) == exactly(wanted)
    assert [(fault.row, fault.reason) for fault in found.faults] == faults
    assert found.shapes == Counter(("c", odd) for odd in shapes)


def assert_rows_are_read_alike_alone_and_together(rows: list[dict[str, Any]], columns: Sequence[Column]) -> None:
    together = decode(rows, columns)
    alone = [decode([row], columns) for row in rows]
    for name, cells in together.columns.items():
        assert exactly(cells) == exactly([one.columns[name][0] for one in alone]), name
    faults = {(place, fault.column, fault.reason) for place, one in enumerate(alone) for fault in one.faults}
    assert {(fault.row, fault.column, fault.reason) for fault in together.faults} == faults
    assert +together.shapes == sum((one.shapes for one in alone), Counter())
    assert +together.unknown == sum((one.unknown for one in alone), Counter())


def read_by_readers_alone(column: Column, values: Sequence[Any], cells: Cells) -> None:
    cells.columns[column.name], faults, shapes = read_one_by_one(column.reads, list(values))
    cells.faults += [Fault(row, column.name, reason) for row, reason in faults]
    cells.shapes.update((column.name, odd) for odd in shapes)


def decode_slowly(rows: list[dict[str, Any]], columns: Sequence[Column]) -> Cells:
    """Key by key and value by value: no page is looked at as a whole, and no column has a sieve."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_module, "seen", lambda *_: None)
        patch.setattr(decode_module, "read_column", read_by_readers_alone)
        patch.setattr(
            decode_module, "read_json", lambda columns, cells: [read_by_readers_alone(*one, cells) for one in columns]
        )
        return decode(rows, columns)


def assert_same(cells: Cells, wanted: Cells) -> None:
    for name, values in wanted.columns.items():
        assert exactly(cells.columns[name]) == exactly(values), name
    assert [*cells.columns] == [*wanted.columns]
    assert {(fault.row, fault.column, fault.reason) for fault in cells.faults} == {
        (fault.row, fault.column, fault.reason) for fault in wanted.faults
    }
    assert (+cells.shapes, +cells.unknown, cells.texts) == (+wanted.shapes, +wanted.unknown, wanted.texts)


# Rows as documented but for a few keys: nearly all of a page is seen at once, and the rest must come out the same.
documented = Wire(World(7, 60), plain=True)
odd_keys = st.sampled_from(["id", "name", "progress", "whole_progress", "owner_id", "created_at", "due_date", "starred", "collaborators", "groups",
                            "prerun", "late_tasks", "custom_fields", "new", "guest_link", "a key, no name", "data"])  # fmt: skip
odd_objects = st.dictionaries(
    st.sampled_from(["complete", "total", "percent", "approved", "new", "link", "data", "meta"]), any_value, max_size=3
)


@st.composite
def nearly_documented(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = [dict(documented.run(run)) for run in draw(st.lists(st.sampled_from(documented.world.runs), min_size=1, max_size=6))]
    for _ in range(draw(st.integers(0, 4))):
        row, key = draw(st.sampled_from(rows)), draw(odd_keys)
        if draw(st.booleans()):
            row.pop(key, None)
        else:
            row[key] = draw(any_value | odd_objects)
    return rows


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=200)
@given(nearly_documented(), st.booleans())
def test_a_page_seen_at_once_is_read_as_its_cells_one_by_one(rows: list[dict[str, Any]], forgets: bool) -> None:
    columns = [*RUNS.columns] if forgets else RUNS.columns  # other columns, as far as what was learned goes
    assert_same(decode(rows, columns), decode_slowly(rows, RUNS.columns))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=200)
@given(nearly_documented(), nearly_documented())
def test_an_answer_is_read_as_its_rows_are_or_not_at_all(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    columns = [*RUNS.columns]
    decode(before, columns)
    body = msgspec.json.encode({"data": rows, "meta": {"n": 1}})
    again = msgspec.json.Decoder(float_hook=protocol.number).decode(body)["data"]
    wanted = decode(again, [*RUNS.columns])
    found = decode_body(body, columns, protocol.number)
    if found is not None:
        assert found[1] == {"n": 1}
        assert_same(found[0], wanted)
    else:
        decode(again, columns)
        shape = Layout.of(columns).shape
        assert wanted.faults or not shape.closed or decode_body(body, columns, protocol.number) is not None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"data": []}', b'{"data": null}', b'{"data": [1]}', b'{"data": {"id": "a"}}', b'{"data": [{"id": "a"}]',
             b'{"data": [{"id": "a"}], "error": true}', b'{"data": [{"id": "\xff"}]}', b"<html>", b'[{"id": "a"}]'],
)  # fmt: skip
def test_what_is_no_plain_answer_is_left_to_others(body: bytes) -> None:
    columns = [column("id", "id")]
    decode([{"id": "a"}], columns)
    assert decode_body(b'{"data": [{"id": "a"}]}', columns, float) is not None
    assert decode_body(body, columns, float) is None


def test_digits_that_a_double_does_not_hold_are_counted_and_kept_in_an_answer_too() -> None:
    columns = [*PROGRESS, column("json", "prerun", name="prerun")]
    decode([{"progress": {"percent": 1.5}, "prerun": {}}], columns)
    body = b'{"data": [{"progress": {"percent": 33.33333333333333333333}, "prerun": {"a": 33.33333333333333333333}}]}'
    found = decode_body(body, columns, protocol.number)
    assert found is not None
    assert found[0].columns == {
        "complete": [None],
        "percent": [33.333333333333336],
        "prerun": ['{"a":33.33333333333333333333}'],
    }
    assert +found[0].coerced == {"percent": 1}


def test_threads_that_learn_at_once_read_the_same() -> None:
    wire = Wire(World(5, 400))
    pages = [[wire.run(run) for run in wire.world.runs[start : start + 50]] for start in range(0, 400, 50)]
    wanted = [decode(page, [*RUNS.columns]) for page in pages]
    columns = [*RUNS.columns]
    with ThreadPoolExecutor(8) as pool:
        for cells, same in zip(pool.map(lambda page: decode(page, columns), pages * 3), wanted * 3, strict=True):
            assert_same(cells, same)


def test_keys_without_end_are_not_expected_without_end() -> None:
    extra = Column("extra", pl.String(), (), "json", "data", None, "", True, False, None, None, ())
    columns = [column("int", "a"), extra]
    for n in range(3 * STRANGE_MAX):
        (text,) = decode([{"a": 1, f"key{n}": n, "a key, no name": 2}], columns).columns["extra"]
        assert json.loads(text) == {f"key{n}": n, "a key, no name": 2}
    assert len(Layout.of(columns).strange) <= STRANGE_MAX


def test_rows_stay_as_they_are() -> None:
    row = {"id": "a", "prerun": {"url": "s3cret"}, "link": "s3cret", "progress": {"percent": "x"}, "late_tasks": [1]}
    same = copy.deepcopy(row)
    cells = decode([row], RUNS.columns)
    assert row == same
    assert json.loads(cells.texts[0]) == {**same, "prerun": {"url": MASK}, "link": MASK}


def test_rows_are_read_alike_alone_and_in_blocks() -> None:
    world = World(3, 300)
    wire = Wire(world)
    rows = [wire.run(run) for run in world.runs]
    rows[100] |= {"late_tasks": "many", "new": 1}
    rows[101] |= {"late_tasks": 1.5, "progress": {"percent": True, "newer": 1}}
    assert_rows_are_read_alike_alone_and_together(rows, RUNS.columns)


any_rows = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "name", "progress", "owner_id", "created_at", "starred", "collaborators",
                                                      "groups", "prerun", "late_tasks", "new", "newer"), any_value)),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(any_rows)
def test_any_rows_are_read_alike_alone_and_together(rows: list[dict[str, Any]]) -> None:
    assert_rows_are_read_alike_alone_and_together(rows, RUNS.columns)


def test_many_keys_that_some_rows_lack_are_found_all_the_same() -> None:
    names = [f"k{n}" for n in range(2 * MISSES_MAX)]
    rows = [{name: n for name in names if name != missing} for n, missing in enumerate(names)]
    cells = decode(rows, [column("int", name, name=name) for name in names])
    assert cells.columns == {name: [None if name == missing else n for n, missing in enumerate(names)] for name in names}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "name", "progress", "owner_id", "created_at", "starred", "collaborators", "groups", "prerun", "late_tasks", "new"), json_values)),
    min_size=1, max_size=5))  # fmt: skip
def test_any_rows_become_exactly_the_contracts_columns(rows: list[dict[str, Any]]) -> None:
    sent = [Reply(200, {}, json.dumps([row]).encode()) for row in rows]  # a page each: two of one id would be refused
    pages = [read_page(Request(()), reply, page=1) for reply in sent]
    cells = decode([row for page in pages for row in page.rows], RUNS.columns)
    frame, _ = flatten(cells, RUNS.columns, [({}, len(rows))])
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
    (row,) = read_page(Request(()), Reply(200, {}, body), page=1).rows
    (kept,) = decode([row], [column("json", "prerun")]).columns["c"]
    number = kept.removeprefix('{"f":').removesuffix("}")
    from decimal import Decimal  # noqa: PLC0415

    assert Decimal(number) == Decimal(text)


def test_rows_that_are_text_still_are_read_as_objects_are() -> None:
    world = World(7, 40)
    wire, columns = Wire(world, plain=True), tables.get("run_tasks").columns
    bodies = [tasks.LIST.body(wire, one, {}) for one in world.tasks if one.run is not None][:60]
    raws = [msgspec.Raw(json.dumps(body, indent=1).encode()) for body in bodies]
    expected = decode(bodies, columns)
    assert decode(Texts(raws, protocol.number), columns) == expected
    raws[5] = msgspec.Raw(json.dumps(bodies[5] | {"position": "third", "novel": {"link": "x"}}).encode())
    odd = decode(Texts(raws, protocol.number), columns)
    assert [fault.row for fault in odd.faults] == [5]
    assert odd.columns["extra"][5] == '{"novel":{"link":"***"}}'
    assert "x" not in odd.texts[5].split(":")
    assert odd.columns["id"] == expected.columns["id"]


def test_the_run_that_a_task_names_itself_is_nothing_new() -> None:
    cells = decode([{"id": "a1", "run_id": "b2"}, {"id": "a2", "run_id": "b2"}], tables.get("run_tasks").columns)
    assert (cells.unknown, cells.columns["extra"]) == (Counter(), [None, None])


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("pat@example.net", ["pat@example.net"]),
        ({"id": 12, "email": "pat@example.net"}, ["pat@example.net"]),
        ({"email": "pat@example.net"}, ["pat@example.net"]),
        ({"id": 12}, ["12"]),
        ({"email": ""}, []),
    ],
)
def test_a_guest_is_an_address_or_an_object_that_has_it(sent: Any, read: list[str]) -> None:
    cells = decode([{"id": "a", "owners": {"guests": [sent]}}], tables.get("tasks").columns)
    assert (cells.faults, cells.columns["owner_guests"]) == ([], [read])


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (["Draft"], "Draft"),
        ("Draft", "Draft"),
        ([], None),
        (["a", "b"], '["a","b"]'),
        ([True], "true"),
        ({"link": "x"}, '{"link":"***"}'),
        (["https://hooks.example.net/secret"], "***"),
    ],
)
def test_what_was_there_before_is_text_or_json_and_no_address(sent: Any, read: str | None) -> None:
    cells = decode([{"id": 1, "old_value": sent}], tables.get("activity").columns)
    assert (cells.faults, cells.columns["old_value"]) == ([], [read])


def test_scalars_of_the_feed_come_in_lists_of_one_and_now_and_then_of_several() -> None:
    row = {"id": 1, "verb": ["created"], "description": ["one", "two"], "actor_id": [5120], "actor_type": ["App\\Models\\User"]}
    cells = decode([row], tables.get("activity").columns)
    assert cells.faults == []
    assert cells.columns["verb"] == ["created"]
    assert cells.columns["description"] == ['["one","two"]']
    assert cells.columns["actor_id"] == [5120]
    assert cells.columns["actor_type"] == ["User"]
    assert decode([row | {"actor_id": [1, 2]}], tables.get("activity").columns).faults[0].column == "actor_id"
