"""No secret gets past the door, however deep it stands; everything else does, unchanged."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallyfy_frames import tables
from tallyfy_frames.frames.decode import decode
from tallyfy_frames.frames.masking import MASK, is_secret, masked, masked_json, masked_texts


@pytest.mark.parametrize(
    "key", ["hourly_rate", "name", "code", "country_code", "postcode", "curl", "linked_tasks", "text", "guest"]
)
def test_other_keys_are_left_alone(key: str) -> None:
    assert not is_secret(key)


SECRET_KEYS = ["webhook", "Webhook", "webhook_url", "link", "guest_link", "guest-links", "url", "URL", "full_url", "download_url", "href",
               "guest_code", "public_link", "ClientURL", "taskUrls", "thumbnailUrl"]  # fmt: skip


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_secrets_are_masked_at_any_depth(key: str) -> None:
    deep: Any = {key: "s3cret", "a": [{"b": {key: {"x": "s3cret"}}}], "c": [[{key: ["s3cret"]}]]}
    assert "s3cret" not in json.dumps(masked(deep))
    assert "s3cret" not in masked_texts([deep])[0]


@pytest.mark.parametrize("nothing", [None, "", 0, False, [], {}])
def test_where_there_is_no_value_there_is_no_secret(nothing: object) -> None:
    assert masked({"link": nothing}) == {"link": nothing}


def test_what_is_nested_too_deeply_is_not_written() -> None:
    deep: Any = {"link": "s3cret"}
    for _ in range(5_000):
        deep = {"a": [deep]}
    assert "nested" in masked_json({"id": "a", "x": deep})
    with pytest.raises(RecursionError):
        masked_texts([deep])


@pytest.mark.parametrize("name", tables.TABLES)
@pytest.mark.parametrize("key", ["url", "guest_link"])
def test_what_has_been_masked_shows_no_secret_in_any_column(name: str, key: str) -> None:
    spec = tables.get(name)
    inside: Any = {key: "s3cret", "x": [{key: "s3cret"}]}
    paths = {source.partition(".")[0] for column in spec.columns if column.reads != "stated" for source in column.sources}
    for path in [*paths, key, "new"]:
        cells = decode([{path: copy.deepcopy(inside)}, {path: [copy.deepcopy(inside)]}, {key: "s3cret"}], spec.columns)
        assert "s3cret" not in str(cells)


@pytest.mark.parametrize("name", tables.TABLES)
def test_masking_takes_nothing_from_a_known_column(name: str) -> None:
    for column in tables.get(name).columns:
        secret = [part for source in column.sources for part in source.split(".") if is_secret(part)]
        assert not secret or column.reads == "secret", f"{column.name} would always be masked: say reads='secret'"


# Keys and values that a search of text could mistake for one another.
near = st.sampled_from(["url", "URL", "guest_link", "code", "guest_code", "curl", "x", ":url", 'a"url', 'url"', "url\\\\", '\\\\"link', "ur\nl",
                        "link:", "url\u00e9", "\u212aey link", ",", "{", '"url":"s3cret"', '\\\\"url\\\\":'])  # fmt: skip
text_near = (
    st.sampled_from(
        ["s3cret", "", MASK, f"{MASK}x", "*", "**", "s3\\\\cret", 's3"cret', '","url":"s3cret', ":", "null", "url", "nothing"]
    )
    | near
)
json_near = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from([0.0, 1.5]) | text_near,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(near, inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=400)
@given(st.lists(json_near, max_size=5))
def test_texts_are_masked_as_their_values_are(values: list[Any]) -> None:
    assert masked_texts(values) == [msgspec.json.encode(masked(value)).decode() for value in values]


def test_numbers_beside_a_secret_keep_their_digits() -> None:
    number = msgspec.Raw(b"33.33333333333333333333")
    assert masked_texts([{"new_url": "s3cret", "n": number, "m": 2**70, "f": 1.0}]) == [
        '{"new_url":"***","n":33.33333333333333333333,"m":1180591620717411303424,"f":1.0}'
    ]
