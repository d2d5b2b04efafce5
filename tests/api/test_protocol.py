"""(status, headers, bytes) → a page or the right error, on literals."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallyfy_frames as tf
from tallyfy_frames.api.protocol import (
    Reply,
    Request,
    Stated,
    check,
    judge,
    list_request,
    read_item,
    read_page,
    redacted,
    retry_after_s,
)

NOW = datetime(2031, 6, 1, 12, 0, tzinfo=UTC)
ASKED = Request(("organizations", "0f", "runs"), (("q", "Pat Doe"), ("page", "1")))


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {"content-type": "application/json", **headers}, data)


def page(body: object, number: int = 1) -> Any:
    return read_page(ASKED, reply(body), page=number)


def listed(rows: list[Any], **pagination: Any) -> dict[str, Any]:
    return {"data": rows, "meta": {"pagination": pagination}}


TWO = [{"id": "a"}, {"id": "b"}]


def test_a_request_is_rebuilt_from_our_own_parameters() -> None:
    request = list_request(("organizations", "0f", "runs"), {"status": "active"}, page=3, per_page=100, sort="created_at")
    assert request.target == "organizations/0f/runs?status=active&sort=created_at&page=3&per_page=100"


def test_messages_show_the_request_without_its_free_text() -> None:
    assert ASKED.shown == "runs?q=…&page=1"


@pytest.mark.parametrize("links", [[], {}, None, {"next": "x"}, {"previous": None, "next": "x"}, {"prev": "x"}, ["x"], 7])
def test_links_may_have_any_shape(links: object) -> None:
    assert page(listed(TWO, total=2, per_page=2, current_page=1, links=links)).stated.total == 2


@pytest.mark.parametrize(
    ("meta", "stated"),
    [
        (
            {"pagination": {"total": 31, "count": 2, "per_page": 2, "current_page": 1, "total_pages": 16}},
            Stated(31, 2, 2, 1, 16),
        ),
        ({"pagination": {"total": "31", "per_page": "2"}}, Stated(total=31, per_page=2)),
        ({"pagination": {"total": 2**63, "total_pages": "9" * 5000}}, Stated()),
        ({"pagination": {"total": -1, "count": True, "per_page": 1.5, "current_page": "x"}}, Stated()),
        ({"total": 31}, Stated(total=31)),
        ({"pagination": []}, Stated()),
        ([], Stated()),
        (None, Stated()),
    ],
)
def test_meta_is_read_as_far_as_it_goes(meta: object, stated: Stated) -> None:
    assert page({"data": TWO, "meta": meta}).stated == stated


def test_a_bare_list_is_a_page() -> None:
    assert [row["id"] for row in page(TWO).rows] == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        {"data": None}, {"data": {}}, {}, None, 7, "text", {"error": True, "message": "no"}, {"message": "no"},
        {"error": True, "data": []}, [None], [7], {"data": [{"id": 1}, None]},
    ],
)  # fmt: skip
def test_a_body_without_a_list_of_rows_is_an_error_never_an_empty_page(body: object) -> None:
    with pytest.raises(tf.DecodeError):
        page(body)


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b'{"data": [', b'{"data": [{"id": "\xff"}]}', b'{"data":[NaN]}', b"\xef\xbb\xbf[]", b"[] x", b"[" * 100_000, b'{"data":[1e400x]}']
)  # fmt: skip
def test_bytes_that_are_no_json_are_an_error(data: bytes) -> None:
    with pytest.raises(tf.DecodeError, match="not JSON"):
        page(data)


@pytest.mark.parametrize(
    ("rows", "pagination"),
    [
        (TWO, {"total": 5, "per_page": 2, "current_page": 2}),
        ([{"id": "a"}, {"id": "a"}], {"total": 5, "per_page": 2, "current_page": 1}),
        ([{"id": "a"}, {"id": "a"}], {}),
        ([{"id": "a"}], {"count": 2}),
    ],
    ids=["foreign", "doubled", "doubled, no total", "fewer than counted"],
)
def test_an_answer_that_contradicts_itself_is_an_error(rows: list[Any], pagination: dict[str, int]) -> None:
    said = page(listed(rows, **pagination))
    with pytest.raises(tf.PaginationError):
        judge(ASKED, said.stated, [row["id"] for row in said.rows], page=1)


@pytest.mark.parametrize("rows", [[], [{"id": "e"}]])
def test_a_page_shorter_than_its_total_would_have_it_is_a_page_that_shows_less(rows: list[Any]) -> None:
    assert list(page(listed(rows, total=5, per_page=2, current_page=1)).rows) == rows


def test_an_item_comes_bare_or_wrapped() -> None:
    assert read_item(ASKED, reply({"data": {"id": 1}})) == read_item(ASKED, reply({"id": 1})) == {"id": 1}
    with pytest.raises(tf.DecodeError):
        read_item(ASKED, reply({"data": None}))


ENVELOPES = [
    ({"error": True, "message": "too long"}, "too long"),
    ({"message": "too long"}, "too long"),
    ({"error": True, "message": "too long", "code": "X"}, "too long"),
    ({"error": True, "errors": {"name": ["too long"]}}, "name: too long"),
    ({"message": "no", "errors": {"name": "too long"}}, "no; name: too long"),
    ({"errors": {"tasks": [{"12": {"title": ["too long"]}}]}}, "tasks: 12: title: too long"),
    ({"error": "invalid_client", "error_description": "too long"}, "too long; invalid_client"),
    ({"error": {"code": "SEATS", "message": "too long", "details": {}}}, "too long; SEATS"),
    ({"message": "too\nlong\x1b[31m\u202e"}, "too long [31m"),
]


@pytest.mark.parametrize(("body", "said"), ENVELOPES)
def test_every_error_envelope_says_what_it_says(body: object, said: str) -> None:
    with pytest.raises(tf.ApiError) as caught:
        check(ASKED, reply(body, 400), now=NOW)
    assert caught.value.what == f"the API refused: {said}"


@pytest.mark.parametrize("body", [b"<html>Not Found</html>", b"", b"[]", b"7", b'{"errors": null}'])
def test_an_error_without_words_is_still_its_status(body: bytes) -> None:
    with pytest.raises(tf.NotFound) as caught:
        check(ASKED, reply(body, 404), now=NOW)
    assert caught.value.where["status"] == 404
    assert "html" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "retriable"),
    [
        (301, tf.ApiError, False), (302, tf.ApiError, False), (400, tf.ApiError, False), (401, tf.AuthError, False),
        (403, tf.AuthError, False), (404, tf.NotFound, False), (409, tf.ApiError, False), (418, tf.ApiError, False),
        (422, tf.FilterError, False), (429, tf.RateLimited, True), (500, tf.ServerError, True), (503, tf.ServerError, True),
    ],
)  # fmt: skip
def test_each_status_has_its_error(status: int, kind: type[tf.TallyfyFramesError], retriable: bool) -> None:
    with pytest.raises(kind) as caught:
        check(ASKED, reply({"message": "x"}, status), now=NOW)
    assert type(caught.value) is kind
    assert caught.value.retriable is retriable


def test_any_2xx_is_fine() -> None:
    for status in (200, 201, 204):
        check(ASKED, reply({}, status), now=NOW)


@pytest.mark.parametrize("status", [200, 400, 401, 422, 429])
def test_a_token_that_the_api_repeats_is_in_no_error(status: int) -> None:
    token = "eyJ" + "x/y" * 300
    body = {"error": True, "message": f"bad header: Bearer {token}"}
    for spelled in (json.dumps(body), json.dumps(body).replace("/", "\\/")):
        said = redacted(Reply(status, {"x-request-id": token, "content-type": token}, spelled.encode()), token)
        with pytest.raises(tf.TallyfyFramesError) as caught:
            check(ASKED, said, now=NOW)
            read_page(ASKED, said, page=1)
        assert "xy" not in str(caught.value).replace("/", "").replace("\\", "")
        assert "***" in str(caught.value)


def test_a_long_message_is_cut() -> None:
    with pytest.raises(tf.ApiError) as caught:
        check(ASKED, reply({"message": "x" * 5000}, 400), now=NOW)
    assert len(caught.value.what) < 250


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0), ("0", 0.0), (" 12 ", 12.0), ("1.5", 1.5), (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), None), ("soon", None),
        ("Mon, 1 Jan 99999999999999999999 00:00:00 GMT", None), ("\u0661\u0662", None), ("-3", None), ("", None), ("nan", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": header}, NOW) == seconds


def test_a_date_to_wait_for_is_read_by_the_clock_of_the_server() -> None:
    headers = {"retry-after": "Sun, 01 Jun 2031 15:00:30 GMT", "date": "Sun, 01 Jun 2031 15:00:00 GMT"}
    assert retry_after_s(headers, NOW) == 30
    assert retry_after_s({**headers, "date": "soon"}, NOW) == 3 * 3600 + 30


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with contextlib.suppress(tf.TallyfyFramesError):
        page(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda c: (
            st.lists(c, max_size=4)
            | st.dictionaries(
                st.sampled_from(["data", "meta", "pagination", "total", "error", "message", "errors", "id"]), c, max_size=4
            )
        ),
    ),
    st.integers(200, 599),
)
def test_no_json_crashes_either_reader(body: object, status: int) -> None:
    with contextlib.suppress(tf.TallyfyFramesError):
        check(ASKED, reply(body, status), now=NOW)
        page(body)
