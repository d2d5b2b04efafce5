"""Filters: the API's own names, refused where the API would ignore them."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

import tallyfy_frames as tf
from tallyfy_frames import tables
from tallyfy_frames.api.protocol import PRIVATE_PARAMS
from tallyfy_frames.tables._filters import ARGUMENTS
from tallyfy_frames.tables.runs import RunFilters


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"statsu": "active"}, "did you mean status"),
        ({"check_list_id": "x"}, "checklist_id"),
        ({"updated_since": "2031-01-01"}, "the API ignores it"),
        ({"zzz": 1}, "the filters are q, status"),
        ({"page": 2}, "pages are walked for you"),
        ({"per_page": 50}, "settings.page_size"),
        ({"with": "tasks"}, "include="),
        ({"without_pagination": True}, "settings.page_size"),
        ({"blueprint_id": "x"}, "use that"),
        ({"sort_by": "name"}, "use that"),
        ({"status": "completed"}, "use 'complete'"),
        ({"status": "in-progress"}, "use 'active'"),
        ({"status": "archived"}, "archived='only'"),
        ({"status": ["active", "completed"]}, "use 'complete'"),
        ({"status": []}, "status is empty"),
        ({"status": ""}, "status is empty"),
        ({"owners": []}, "owners is empty"),
        ({"owners": [""]}, "owners is empty"),
        ({"owners": [True]}, "owners must be text"),
        ({"owners": 1.5}, "must be a list"),
        ({"checklist_id": "a,b"}, "takes one value"),
        ({"checklist_id": ["a"]}, "must be text"),
        ({"q": "  "}, "q is empty"),
        ({"starred": "true"}, "must be True or False"),
        ({"starred": 1}, "must be True or False"),
        ({"untagged": False}, "no source says"),
        ({"me": False}, "no source says"),
        ({"form_fields_values": False}, "no source says"),
        ({"status": "Active"}, "did you mean 'active'"),
        ({"created_since": "2031-01-01"}, "created_since= is an argument"),
        ({"limit": 5}, "limit= is an argument of load"),
        ({"report": None}, "report= is an argument of load"),
        ({"type": "Form"}, "did you mean 'form'"),
        ({"owners": "pat@example.net"}, "owners must be user ids, not 'pat@example.net'"),
        ({"owners": [5120, "me"]}, "the table users has them"),
        ({"owners": -1}, "owners must be user ids"),
        ({"owners": b"12"}, "must be a list"),
        ({"status": {"active": 1}}, "must be a list"),
        ({"archived": True}, "sources disagree"),
        ({"archived": "true"}, "sources disagree"),
        ({"archived": "yes"}, "'only' or 'include'"),
        ({"task_status": "complete"}, "'completed'"),
        ({"sort": "last_updated"}, "the API honours created_at"),
        ("active", "filters are a mapping"),
    ],
)
def test_a_filter_that_cannot_be_right_is_refused_with_what_would_be(filters: Any, says: str) -> None:
    with pytest.raises(tf.FilterError, match=says.replace("(", r"\(")):
        RunFilters.parse(filters)


@pytest.mark.parametrize("given", [{"status": "paused"}, {"type": "banana"}])
def test_a_word_in_no_documentation_warns_and_is_sent(given: dict[str, Any]) -> None:
    (word,) = given.values()
    with pytest.warns(tf.TallyfyFramesWarning, match=f"'{word}' is in no documentation") as warned:
        filters = RunFilters(**given)
    assert [warning.filename for warning in warned] == [__file__], "it points at the call, not into the library"
    assert filters.listings()[0].params == given


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("5120,5121", ("5120", "5121")),
        ([5120, "5121"], ("5120", "5121")),
        (5120, ("5120",)),
        (" 1 , 2 ", ("1", "2")),
        (("1",), ("1",)),
    ],
)
def test_a_list_is_a_list_or_comma_separated_text(given: Any, kept: tuple[str, ...]) -> None:
    assert RunFilters(owners=given).owners == kept


def test_status_words_and_archived_are_read_list_by_list() -> None:
    lists = RunFilters(status="active,complete", archived="include", q="x", sort="name").listings()
    assert [dict(listing.params) for listing in lists] == [
        {"q": "x", "status": "active"},
        {"q": "x", "status": "complete"},
        {"q": "x", "status": "active", "archived": "only"},
        {"q": "x", "status": "complete", "archived": "only"},
    ]


def test_a_mapping_and_the_dataclass_are_the_same() -> None:
    given = {"status": ["active"], "starred": True}
    assert RunFilters.parse(given) == RunFilters(**given) == RunFilters.parse(RunFilters(**given))
    assert RunFilters.parse(None) == RunFilters()


def test_every_argument_beside_the_filters_is_known_as_one() -> None:
    beside = set(inspect.signature(tf.load).parameters) - {"table", "filters"}
    assert beside == ARGUMENTS | {"created_since"}, "which is told of with all that end in _since"


@pytest.mark.parametrize("unset", [{"status": None}, {}])
def test_none_is_not_set(unset: dict[str, Any]) -> None:
    assert RunFilters.parse(unset).given() == {}


def test_what_may_name_somebody_is_left_out_of_messages() -> None:
    personal = {
        field.name
        for name in tables.TABLES
        for field in dataclasses.fields(tables.get(name).filters)
        if field.metadata.get("personal")
    }
    assert personal == PRIVATE_PARAMS
