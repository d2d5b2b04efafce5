"""Every error: its place in the tree, its exit code, its one line."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable

import pytest

from tallyfy_frames import errors

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TallyfyFramesError)]

CODES = {
    "TallyfyFramesError": 1, "UsageError": 2, "SettingsError": 2, "FilterError": 7, "ApiError": 1, "AuthError": 3, "SignInError": 3, "NotFound": 5,
    "RateLimited": 6, "ServerError": 1, "DecodeError": 10, "ContractError": 10, "PaginationError": 11, "IncompleteRead": 11,
    "ShrinkRefused": 11, "SinkError": 1, "LockHeld": 12, "MissingExtra": 1,
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL)
def test_each_error_has_its_exit_code(kind: type[errors.TallyfyFramesError]) -> None:
    error = kind("duckdb", "sql") if kind is errors.MissingExtra else kind("it broke")
    assert errors.exit_code(error) == CODES[kind.__name__]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    for kind in ALL:
        assert f"{kind.__name__}" in (errors.__doc__ or "")
    assert set(CODES) == {kind.__name__ for kind in ALL}


def test_a_message_says_what_where_and_what_to_try() -> None:
    error = errors.RateLimited("still 429", retry_after_s=12, table="runs", page=3, request_id=None, hint="try later")
    assert str(error) == "still 429 (retry_after_s=12, table=runs, page=3); try later"


def test_a_missing_extra_names_the_command() -> None:
    assert "pip install 'tallyfy-frames[plot]'" in str(errors.MissingExtra("altair", "plot"))


def function_of(module: str, source: str, **names: object) -> Callable[[], object]:
    """``deep`` as ``source`` defines it in a module of that name."""
    home = types.ModuleType(module)
    vars(home).update(names)
    exec(compile(source, f"{module}.py", "exec"), vars(home))  # noqa: S102 - frames of a module that is not there
    return vars(home)["deep"]


def test_a_warning_points_at_the_line_that_called_the_package_however_deep_it_was_noticed() -> None:
    notice = function_of("tallyfy_frames.low", "def deep():\n    warn('odd')", warn=errors.warn)
    stream = function_of("tallyfy_frames", "def deep():\n    yield 1\n    inner()", inner=notice)
    gather = function_of("tallyfy_frames.high", "def deep():\n    return list(inner())", inner=stream)
    for call in (notice, gather, lambda: list(stream())):
        with pytest.warns(errors.TallyfyFramesWarning, match="odd") as warned:
            call()
        assert [warning.filename for warning in warned] == [__file__]
    stranger = function_of("tallyfy_frames_of_others", "def deep():\n    inner()", inner=notice)
    with pytest.warns(errors.TallyfyFramesWarning) as warned:
        stranger()
    assert [warning.filename for warning in warned] == ["tallyfy_frames_of_others.py"]
