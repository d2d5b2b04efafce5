"""What stands inside a row becomes rows: literals as the sources show them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tallyfy_frames import tables
from tallyfy_frames.api import protocol
from tallyfy_frames.errors import DecodeError
from tallyfy_frames.frames.decode import decode
from tallyfy_frames.frames.parts import MAKERS, make
from tallyfy_frames.frames.texts import Text, Texts
from tallyfy_frames.tables._table import Part

TAG = {"id": 41, "tag_id": "ee" * 16}


@pytest.mark.parametrize(
    ("included", "records"),
    [
        ({"data": [TAG]}, [TAG]),
        ({"data": [TAG], "meta": {}}, [TAG]),
        ([TAG], [TAG]),
        ({"data": TAG}, [TAG]),
        (TAG, [TAG]),
        ({"0": TAG, "2": TAG}, [TAG, TAG]),
        (["vip"], [{"value": "vip"}]),
        *((nothing, []) for nothing in (None, [], {}, "", {"data": None}, {"data": []}, {"data": {}})),
    ],
)
def test_records_are_found_in_a_wrapper_or_without_one(included: Any, records: list[Any]) -> None:
    assert [*MAKERS["items"](included)] == records


def test_each_row_says_how_many_are_in_it() -> None:
    part = tables.get("run_tags").part
    assert part is not None
    assert make(part, {"tags": [{"data": [TAG, TAG]}, None, [TAG]]}) == ([TAG] * 3, [2, 0, 1])


def test_an_undocumented_include_is_kept_as_it_came() -> None:
    made = MAKERS["json"]
    assert [*made({"data": {"read": True}})] == [{"json": {"read": True}}]
    assert [*made([1, "two", {"three": 3}])] == [{"json": 1}, {"json": "two"}, {"json": {"three": 3}}]
    assert [*made({"total": 3})] == [{"json": {"total": 3}}]
    assert [*made(None)] == [*made([])] == []


def test_owners_are_users_guests_and_groups_in_any_shape() -> None:
    tasks = [
        {"id": "t1", "owners": {"users": [5120, {"id": 5121, "full_name": "x"}], "guests": ["a@b.example"], "groups": ["77"]}},
        {"id": "t2", "owners": []},
        {"id": "t3", "owners": None},
        {"id": "t4"},
        {"id": "t5", "owners": {"users": [0, None, ""], "guests": [{"email": "c@d.example"}], "groups": {"data": [{"id": 7}]}}},
        {"id": "t6", "owners": {"users": {"0": 1, "2": 2}, "taskUrls": [["x"]]}},
        {"id": "t7", "owners": {"data": {"users": [7]}}},
    ]
    assert [*MAKERS["owners"]({"data": tasks})] == [
        {"task_id": "t1", "kind": "user", "user": 5120},
        {"task_id": "t1", "kind": "user", "user": {"id": 5121, "full_name": "x"}},
        {"task_id": "t1", "kind": "guest", "guest": "a@b.example"},
        {"task_id": "t1", "kind": "group", "group": "77"},
        {"task_id": "t5", "kind": "guest", "guest": {"email": "c@d.example"}},
        {"task_id": "t5", "kind": "group", "group": {"id": 7}},
        {"task_id": "t6", "kind": "user", "user": 1},
        {"task_id": "t6", "kind": "user", "user": 2},
        {"task_id": "t7", "kind": "user", "user": 7},
    ]


def answer(kind: str | None, given: Any) -> dict[str, Any]:
    """What is made of one answer, without what is the same for all."""
    (row,) = MAKERS["kickoff_answers"](
        {"f": given}, [] if kind is None else [{"id": "f", "field_type": kind, "options": OPTIONS}]
    )
    return {name: value for name, value in row.items() if name in ANSWER and value is not None}


OPTIONS = [{"id": 6, "text": "Silver"}, {"id": 7, "text": "Gold"}]
ANSWER = ("value", "number", "instant", "items", "options", "users", "guests", "groups")
FILES = [{"id": "x", "filename": "a.pdf", "url": "organizations/o/file/x/dl"}, {"id": "y", "filename": "b.pdf"}]
PEOPLE = {"users": [5120], "guests": ["a@b.example"], "groups": ["77"]}
CHOSEN = [
    {"id": 1, "text": "A", "value": None, "required": False, "selected": True},
    {"id": 2, "text": "B", "selected": False},
    {"id": 3, "text": "C"},
    {"id": 4, "text": "D", "selected": "1"},
]


@pytest.mark.parametrize(
    ("kind", "given", "made"),
    [
        ("text", "Acorn Ltd", {"value": "Acorn Ltd"}),
        ("text", "42", {"value": "42", "number": 42.0}),
        ("text", "-37.50", {"value": "-37.50", "number": -37.5}),
        ("text", 42, {"value": "42", "number": 42}),
        ("text", 0, {"value": "0", "number": 0}),
        ("text", True, {"value": "true"}),
        ("text", 12345678901234567890, {"value": "12345678901234567890"}),
        ("text", msgspec.Raw(b"0.1234567890123456789"), {"value": "0.1234567890123456789", "number": 0.12345678901234568}),
        ("text", msgspec.Raw(b"1e999"), {"value": "1e999"}),
        ("text", "12345678901234567890", {"value": "12345678901234567890"}),
        ("text", "1e3", {"value": "1e3"}),
        ("text", "2031-04-05", {"value": "2031-04-05"}),
        ("textarea", "<p>42</p>", {"value": "<p>42</p>"}),
        ("textarea", "42", {"value": "42"}),
        ("radio", "Gold", {"value": "Gold", "items": ["Gold"], "options": [7]}),
        ("radio", "0", {"value": "0", "items": ["0"], "options": []}),
        ("radio", 0, {}),
        ("dropdown", {"id": 2, "text": "Gold", "value": None}, {"value": "Gold", "items": ["Gold"], "options": [2]}),
        ("dropdown", "Gold", {"value": "Gold", "items": ["Gold"], "options": [7]}),
        ("dropdown", False, {}),
        ("multiselect", CHOSEN, {"value": "A, D", "items": ["A", "D"], "options": [1, 4]}),
        ("multiselect", [CHOSEN[1]], {"items": [], "options": []}),
        ("multiselect", {"0": CHOSEN[0], "3": CHOSEN[3]}, {"value": "A, D", "items": ["A", "D"], "options": [1, 4]}),
        ("date", "2031-04-05T06:07:08.000Z", {"value": "2031-04-05T06:07:08.000Z", "instant": "2031-04-05T06:07:08.000Z"}),
        ("date", "2031-04-05 06:07:08", {"value": "2031-04-05 06:07:08", "instant": "2031-04-05 06:07:08"}),
        ("date", "2031-04-05", {"value": "2031-04-05", "instant": "2031-04-05"}),
        ("date", "5 April", {"value": "5 April"}),
        ("date", "2031-02-30", {"value": "2031-02-30"}),
        ("email", "a+b@example.net", {"value": "a+b@example.net"}),
        ("email", {"value": "a@b.example"}, {"value": "a@b.example"}),
        ("email", {"value": None}, {}),
        ("radio", 7, {"value": "7", "items": ["7"], "options": []}),
        ("date", "9999-12-31T23:59:59-14:00", {"value": "9999-12-31T23:59:59-14:00"}),
        (
            "assignees_form",
            {"users": [{"id": 5, "email": "u@b.example"}], "guests": [{"id": 12, "email": "g@b.example"}]},
            {
                "value": "5, g@b.example",
                "items": ["5", "g@b.example"],
                "users": [{"id": 5, "email": "u@b.example"}],
                "guests": [{"id": 12, "email": "g@b.example"}],
                "groups": [],
            },
        ),
        ("file", FILES, {"value": "a.pdf, b.pdf", "items": ["a.pdf", "b.pdf"]}),
        ("table", ["one", None, 3], {"value": '["one",null,3]', "items": ["one", "", "3"]}),
        ("table", [["one"], ["two"]], {"value": '[["one"],["two"]]'}),
        ("assignees_form", PEOPLE, {"value": "5120, a@b.example, 77", "items": ["5120", "a@b.example", "77"], **PEOPLE}),
        *((kind, nothing, {}) for kind in ("text", "multiselect", "file", "table") for nothing in (None, "", [], {})),
        (None, "Gold", {"value": "Gold"}),
        (None, CHOSEN, {"value": "A, D", "items": ["A", "D"], "options": [1, 4]}),
        (None, [["one"], ["two"]], {"value": '[["one"],["two"]]'}),
        (None, ["one", True, 3], {"value": "one, true, 3", "items": ["one", "true", "3"]}),
        (None, FILES, {"value": "a.pdf, b.pdf", "items": ["a.pdf", "b.pdf"]}),
        (None, PEOPLE, {"value": "5120, a@b.example, 77", "items": ["5120", "a@b.example", "77"], **PEOPLE}),
        (None, {"what": "is this"}, {"value": '{"what":"is this"}'}),
    ],
)
def test_an_answer_is_read_by_the_type_of_its_field(kind: str | None, given: Any, made: dict[str, Any]) -> None:
    assert answer(kind, given) == made


def test_an_answer_whose_field_was_deleted_is_there_without_its_question() -> None:
    rows = [
        *MAKERS["kickoff_answers"](
            {"gone": "x", "kept": "y"}, {"data": [{"id": "kept", "label": "Why?", "field_type": "text"}]}
        )
    ]
    assert [(row["field_id"], row["label"], row["value"]) for row in rows] == [("kept", "Why?", "y"), ("gone", None, "x")]


def test_a_field_without_an_answer_is_there_too() -> None:
    (row,) = MAKERS["kickoff_answers"]([], [{"id": "f", "label": "Why?", "position": 1}])
    assert (row["field_id"], row["label"], row["position"], row.get("value"), row.get("json")) == ("f", "Why?", 1, None, None)


def test_an_older_api_lists_the_fields_of_the_kick_off_form_with_their_values() -> None:
    (row,) = MAKERS["kickoff_answers"]([{"id": "f", "label": "Why?", "field_type": "text", "value": "so"}], None)
    assert (row["field_id"], row["label"], row["value"]) == ("f", "Why?", "so")


FIELD = {"id": "f", "task_id": "t", "label": "Why?", "field_type": "text"}


@pytest.mark.parametrize(
    ("field", "taskdata", "value"),
    [
        ({**FIELD, "field_value": "live"}, [], "live"),
        ({**FIELD, "value": "docs"}, [], "docs"),
        ({**FIELD, "field_value": None, "value": "docs"}, {"f": "task"}, "docs"),
        (FIELD, {"f": "task"}, "task"),
        ({**FIELD, "task_id": None}, {"f": "task"}, "task"),
        (FIELD, [], None),
    ],
)
def test_a_tasks_answer_stands_in_its_field_or_in_its_task(field: dict[str, Any], taskdata: Any, value: str | None) -> None:
    tasks = {"data": [{"id": "t", "step_id": "s", "taskdata": taskdata}]}
    (row,) = MAKERS["task_answers"]({"data": [field]}, tasks)
    assert (row["field_id"], row.get("value"), row["label"]) == ("f", value, "Why?")
    assert row["task_id"] == (None if field["task_id"] is None and not taskdata else "t")


def test_a_tasks_answer_without_a_field_is_there_with_its_task() -> None:
    tasks = [{"id": "t", "step_id": "s", "taskdata": {"gone": ["x"]}}]
    (row,) = MAKERS["task_answers"](None, tasks)
    assert (row["field_id"], row["task_id"], row["step_id"], row["label"], row["items"]) == ("gone", "t", "s", None, ["x"])


def test_what_is_made_of_answers_is_all_known_to_their_tables() -> None:
    field = {"id": "f", "checklist_id": "t", "field_type": "text", "label": "Name", "guidance": None, "value": "Acorn"}
    for name, rows in (
        ("run_kickoff_values", MAKERS["kickoff_answers"]({"f": "Acorn", "gone": "Birch"}, [field])),
        ("run_form_values", MAKERS["task_answers"]([field], [{"id": "t", "step_id": "s", "taskdata": {"gone": ["Birch"]}}])),
    ):
        known = {source for column in tables.get(name).columns for source in column.sources}
        assert {key for row in rows for key in row} <= known


SHAPED = (
    '[{"id":1,"tag_id":"a"},{"id":2}]',
    '{"data":[{"id":1,"tag_id":"a"},{"id":2.50}]}',
    '{"data":[{"id":1}],"meta":{"n":[1]}}',
    "null",
    "[]",
    '{"data":[]}',
)
ODD = ('{"data":{"id":1}}', '{"id":1}', '{"0":{"id":1}}', '{"data":null}', "{}", '""', '"vip"', '["vip",{"id":1},null]', "7")


@pytest.mark.parametrize("odd", [(), *((one,) for one in ODD)])
def test_what_is_text_still_becomes_the_rows_that_it_would_as_objects(odd: tuple[str, ...]) -> None:
    part = tables.get("run_tags").part
    assert part is not None
    texts = [*SHAPED, *odd]
    values: list[Any] = [Text(msgspec.Raw(text.encode()), protocol.number) for text in texts]
    reader = msgspec.json.Decoder(float_hook=protocol.number)
    rows, counts = make(part, {"tags": [*values, None]})
    objects = make(part, {"tags": [*map(reader.decode, texts), None]})
    assert ([*rows], counts) == objects
    assert [rows[place] for place in range(len(rows))] == objects[0]
    assert [*rows[1:3]] == objects[0][1:3]


def test_text_of_which_one_row_is_no_object_is_read_all_the_same() -> None:
    rows, counts = make(
        Part(of="runs", keys=("tags",)), {"tags": [Text(msgspec.Raw(b'{"data":["vip",{"id":1},null]}'), protocol.number)]}
    )
    assert counts == [3]
    assert isinstance(rows, Texts)
    assert [*rows] == [{"value": "vip"}, {"id": 1}, {"value": None}]


@pytest.mark.parametrize("damaged", [b'"\xff"', b'{"data":[{"id":"\xff"}]}'])
def test_text_that_cannot_be_read_after_all_is_an_error_of_ours(damaged: bytes) -> None:
    part = tables.get("run_tags").part
    assert part is not None
    with pytest.raises(DecodeError, match="not JSON"):
        decode(make(part, {"tags": [Text(msgspec.Raw(damaged), protocol.number)]})[0], tables.get("run_tags").columns)


def test_a_kick_off_answer_that_says_nothing_does_not_hide_the_one_its_field_holds() -> None:
    (row,) = MAKERS["kickoff_answers"]({"f": None}, [{"id": "f", "field_type": "text", "value": "Acorn"}])
    assert row["value"] == "Acorn"


def test_an_unanswered_field_that_names_its_step_alone_is_in_the_task_made_of_it() -> None:
    tasks = [{"id": "t", "step_id": "s", "taskdata": []}]
    (row,) = MAKERS["task_answers"]([{"id": "f", "step_id": "s"}], tasks)
    assert (row["task_id"], row["step_id"]) == ("t", "s")


@pytest.mark.parametrize("odd", [{"a": 1}, [1], True, 5])
def test_an_id_that_is_none_is_no_crash(odd: Any) -> None:
    assert [*MAKERS["kickoff_answers"]({}, [{"id": odd}])]
    assert [
        *MAKERS["task_answers"](
            [{"id": odd, "task_id": odd, "step_id": odd}], [{"id": odd, "step_id": odd, "taskdata": {"f": 1}}]
        )
    ]


def test_a_field_whose_id_is_a_number_is_the_one_that_is_answered() -> None:
    field = {"id": 5120, "field_type": "text", "label": "Why?"}
    (row,) = MAKERS["kickoff_answers"]({"5120": "so"}, [field])
    assert (row["field_id"], row["label"], row["value"]) == ("5120", "Why?", "so")
    (row,) = MAKERS["task_answers"]([field], [{"id": 7, "taskdata": {"5120": "so"}}])
    assert (row["field_id"], row["task_id"], row["value"]) == ("5120", "7", "so")
