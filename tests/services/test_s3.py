"""The S3 server that other tests rely on does what they rely on."""

from __future__ import annotations

import obstore
import pytest
from beside import Bucket
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store


@pytest.fixture
def store(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return S3Store.from_url(s3.root)


def test_a_bucket_is_fresh_and_keeps_what_it_is_given(s3: Bucket, store: S3Store) -> None:
    assert s3.objects() == []
    obstore.put(store, "a/b", b"c")
    assert s3.objects() == ["lake/a/b"]
    assert obstore.get(store, "a/b").bytes().to_bytes() == b"c"


def test_of_two_who_make_the_same_object_one_is_told_so(store: S3Store) -> None:
    obstore.put(store, "lock", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "lock", b"second", mode="create")
