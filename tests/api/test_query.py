"""Filter values as the API reads them."""

from datetime import UTC, date, datetime

import pytest

from tallyfy_frames.api.query import encode, path, query_string
from tallyfy_frames.errors import UsageError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (5120, "5120"),
        ("a b", "a b"),
        (["a", "b"], "a,b"),
        ((5120, 5121), "5120,5121"),
        (date(2031, 4, 5), "2031-04-05"),
        (datetime(2031, 4, 5, 6, tzinfo=UTC), "2031-04-05"),
    ],
)
def test_values_are_spelled_as_the_api_reads_them(value: object, text: str) -> None:
    assert encode({"x": value}) == (("x", text),)


def test_a_value_of_none_is_not_sent() -> None:
    assert encode({"status": None, "page": 2}) == (("page", "2"),)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a b", "q=a%20b"), ("a+b", "q=a%2Bb"), ("R&D", "q=R%26D"), ("50%", "q=50%25"), ("ß", "q=%C3%9F"), ("a,b", "q=a,b")],
)
def test_a_space_is_never_a_plus(value: str, text: str) -> None:
    assert query_string((("q", value),)) == text


def test_a_path_segment_cannot_leave_its_place() -> None:
    assert path(("guests", "a+b@example.net", "x/y")) == "guests/a%2Bb%40example.net/x%2Fy"


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_a_segment_that_climbs_is_refused(segment: str) -> None:
    with pytest.raises(UsageError):
        path(("runs", segment))
