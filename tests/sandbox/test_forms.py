"""What is answered on forms: every type of field, the shapes its answers were seen in, and what they mean."""

from __future__ import annotations

from typing import Any

import pytest
from oracle import answers_of_run

from tallyfy_frames.sandbox import World
from tallyfy_frames.sandbox.forms import FIELD_TYPES


def given() -> list[dict[str, Any]]:
    return [
        row for seed in range(1, 4) for world in [World(seed, 300)] for run in world.runs for row in answers_of_run(world, run)
    ]


ROWS = given()
KICKOFF = [row for row in ROWS if row["task_id"] is None]
TASKS = [row for row in ROWS if row["task_id"] is not None]


def of(kind: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["field_type"] == kind and row["given"]]


@pytest.mark.parametrize("rows", [KICKOFF, TASKS], ids=["kick-off", "tasks"])
def test_every_type_is_asked_for_answered_left_empty_and_left_out(rows: list[dict[str, Any]]) -> None:
    assert set(FIELD_TYPES) == {row["field_type"] for row in rows}
    assert len(FIELD_TYPES) == 10
    for kind in FIELD_TYPES:
        mine = [row for row in rows if row["field_type"] == kind]
        assert {(row["given"], row["empty"]) for row in mine} == {(True, False), (True, True), (False, True)}, kind
        empties = [row["raw"] for row in mine if row["given"] and row["empty"]]
        assert all(empty in empties for empty in (None, "", [], {})), kind


def test_an_answer_may_outlive_its_field() -> None:
    for rows in (KICKOFF, TASKS):
        gone = [row for row in rows if not row["defined"]]
        assert gone
        assert all(row["given"] for row in gone)
    world = World(1, 300)
    defined = {field.id for template in world.templates for field in template.fields}
    defined |= {field.id for template in world.templates for step in template.steps for field in step.fields}
    assert not any(row["field_id"] in defined for run in world.runs for row in answers_of_run(world, run) if not row["defined"])


def test_a_form_may_have_two_fields_of_one_label() -> None:
    forms = [step.fields for template in World(1, 0).templates for step in template.steps]
    assert any(len({field.label for field in fields}) < len(fields) for fields in forms)
    assert all(len({field.id for field in fields}) == len(fields) for fields in forms)


def test_text_may_be_a_number_or_a_boolean_and_zero_and_false_say_nothing() -> None:
    meant = {repr(row["raw"]): (row["text"], row["number"], row["empty"]) for row in of("text")}
    assert meant["'4711'"] == ("4711", None, False)
    assert meant["42"] == ("42", 42, False)
    assert meant["1.5"] == ("1.5", 1.5, False)
    assert meant["12345678901234567890"] == ("12345678901234567890", 12345678901234567890, False)
    assert meant["True"] == ("true", None, False)
    assert meant["False"] == meant["0"] == (None, None, True)


def test_a_radio_is_bare_text_and_zero_is_an_answer() -> None:
    answered = [row for row in of("radio") if not row["empty"]]
    assert {row["raw"] for row in answered} == {"Gold", "Silver", "0"}
    assert all(row["text"] == row["raw"] and row["options"] == [row["raw"]] for row in answered)


def test_a_dropdown_is_an_object_and_now_and_then_bare_text() -> None:
    answered = [row for row in of("dropdown") if not row["empty"]]
    assert {type(row["raw"]) for row in answered} == {dict, str}
    assert {"id": 3, "text": "Größe, XL", "value": "xl"} in [row["raw"] for row in answered]
    assert all((row["raw"]["text"] if isinstance(row["raw"], dict) else row["raw"]) == row["options"][0] for row in answered)


def test_a_checklist_keeps_what_was_not_ticked_and_what_has_no_mark() -> None:
    entries = [(entry, row) for row in of("multiselect") if isinstance(row["raw"], list) for entry in row["raw"]]
    assert {entry.get("selected", "no mark") for entry, _ in entries} == {True, False, "no mark"}
    assert all((entry["id"] in row["option_ids"]) == (entry.get("selected") is True) for entry, row in entries)
    assert any(row["raw"] and row["empty"] for row in of("multiselect")), "nothing ticked is no answer"


def test_a_date_has_three_forms_all_of_them_utc() -> None:
    answered = [row for row in of("date") if not row["empty"]]
    assert {len(row["raw"]) for row in answered} == {len("2031-04-05T06:07:08.000Z"), len("2031-04-05T06:07:08Z"), 19, 10}
    assert all(row["raw"][:10] == f"{row['instant']:%Y-%m-%d}" for row in answered)
    assert all(f"{row['instant']:%H:%M:%S}" == (row["raw"][11:19] or "00:00:00") for row in answered)


def test_an_address_may_have_been_written_as_an_object() -> None:
    answered = [row for row in of("email") if not row["empty"]]
    assert {type(row["raw"]) for row in answered} == {dict, str}
    assert all(row["text"] == (row["raw"]["value"] if isinstance(row["raw"], dict) else row["raw"]) for row in answered)


def test_a_file_has_a_name_and_secret_addresses() -> None:
    files = [entry for row in of("file") if not row["empty"] for entry in row["raw"]]
    assert all(entry["url"].endswith(f"file/{entry['id']}/dl") for entry in files)
    assert {entry["source"] for entry in files} == {"local", "url"}
    full = {entry["full_url"].split("organizations")[0] for entry in files if "full_url" in entry}
    assert full == {"https://go.example.net/", "https://go.example.net/api/"}
    assert any("full_url" not in entry for entry in files)
    assert {len(row["filenames"]) for row in of("file") if not row["empty"]} == {1, 2}


def test_a_table_is_a_flat_list_or_a_list_of_rows() -> None:
    answered = [row for row in of("table") if not row["empty"]]
    flat = [row for row in answered if not isinstance(row["raw"][0], list)]
    assert 0 < len(flat) < len(answered)
    assert all(row["cells"] == [row["raw"]] for row in flat)
    assert all(row["cells"] == row["raw"] and len(row["raw"]) == 2 for row in answered if row not in flat)


def test_assignees_are_people_of_three_kinds() -> None:
    answered = [row for row in of("assignees_form") if not row["empty"]]
    assert all(row["raw"] == {"users": row["users"], "guests": row["guests"], "groups": row["groups"]} for row in answered)
    assert any(row["guests"] and row["groups"] for row in answered)


def test_text_of_several_lines_may_be_html() -> None:
    assert {"<p>long <b>text</b></p>", "two\nlines"} <= {row["text"] for row in of("textarea")}
