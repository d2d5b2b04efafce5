"""What `import tallyfy_frames` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tallyfy_frames as tf


def test_every_public_name_is_there_and_sorted() -> None:
    assert list(tf.__all__) == sorted(tf.__all__)
    assert {*tf.__all__, "iter"} == set(dir(tf)), "a star import must not hide the builtin"
    for name in dir(tf):
        assert getattr(tf, name) is not None
    for name in (
        "load_runs",
        "iter_runs",
        "load",
        "write_snapshot",
        "read_snapshot",
        "RunFilters",
        "Settings",
        "LoadReport",
        "measures",
    ):
        assert name in tf.__all__


def test_public_functions_and_classes_say_what_they_give() -> None:
    for name in tf.__all__:
        thing = getattr(tf, name)
        assert name == "__version__" or (thing.__doc__ or "").strip(), name


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_rnus'"):
        _ = tf.load_rnus


def test_importing_loads_nothing_heavy() -> None:
    heavy = "{'polars', 'pandera', 'httpx', 'pyarrow', 'rich', 'typer', 'altair', 'msgspec'}"
    code = f"import sys, tallyfy_frames; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
