"""Tallyfy's processes, and everything around them, as typed polars frames.

``load_runs()`` reads every run into one frame, exactly once, or raises; ``write_snapshot()`` publishes them as Parquet,
partitioned by status; ``measures`` tells where the time goes. Start with the README; ``tallyfy-frames sandbox`` stands in for
the API.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from tallyfy_frames._version import __version__

if TYPE_CHECKING:
    from tallyfy_frames import measures
    from tallyfy_frames.account import load_organization
    from tallyfy_frames.databases.duckdb import write_duckdb
    from tallyfy_frames.databases.postgres import Synced, sync_postgres
    from tallyfy_frames.dataset import Dataset, load_dataset
    from tallyfy_frames.errors import (
        ApiError,
        AuthError,
        ContractError,
        DecodeError,
        FilterError,
        IncompleteRead,
        LockHeld,
        MissingExtra,
        NotFound,
        PaginationError,
        RateLimited,
        ServerError,
        SettingsError,
        ShrinkRefused,
        SignInError,
        SinkError,
        TallyfyFramesError,
        TallyfyFramesWarning,
        UsageError,
    )
    from tallyfy_frames.lake.manifest import Manifest
    from tallyfy_frames.lake.published import read_snapshot
    from tallyfy_frames.lake.snapshot import write_snapshot
    from tallyfy_frames.planning import RequestPlan, plan
    from tallyfy_frames.reading import iter_runs, load, load_runs
    from tallyfy_frames.reading import iter_table as iter  # noqa: A004 - the public name
    from tallyfy_frames.report import LoadReport, ProgressEvent
    from tallyfy_frames.settings import Settings
    from tallyfy_frames.tables.runs import RunFilters
    from tallyfy_frames.tables.users import UserFilters

_HOMES: Final = {
    "tallyfy_frames.account": ("load_organization",),
    "tallyfy_frames.databases.duckdb": ("write_duckdb",),
    "tallyfy_frames.databases.postgres": ("Synced", "sync_postgres"),
    "tallyfy_frames.dataset": ("Dataset", "load_dataset"),
    "tallyfy_frames.errors": (
        "ApiError", "AuthError", "ContractError", "DecodeError", "FilterError", "IncompleteRead", "LockHeld", "MissingExtra",
        "NotFound", "PaginationError", "RateLimited", "ServerError", "SettingsError", "ShrinkRefused", "SignInError",
        "SinkError", "TallyfyFramesError", "TallyfyFramesWarning", "UsageError",
    ),
    "tallyfy_frames.lake.manifest": ("Manifest",),
    "tallyfy_frames.lake.published": ("read_snapshot",),
    "tallyfy_frames.lake.snapshot": ("write_snapshot",),
    "tallyfy_frames.planning": ("RequestPlan", "plan"),
    "tallyfy_frames.reading": ("iter_runs", "iter_table", "load", "load_runs"),
    "tallyfy_frames.report": ("LoadReport", "ProgressEvent"),
    "tallyfy_frames.settings": ("Settings",),
    "tallyfy_frames.tables.runs": ("RunFilters",),
    "tallyfy_frames.tables.users": ("UserFilters",),
}  # fmt: skip
_ROOMS: Final = ("measures",)
_HOME_OF: Final = {name.removesuffix("_table"): (home, name) for home, names in _HOMES.items() for name in names}

# Without `iter`: a star import must not hide the builtin.
__all__ = sorted({*_HOME_OF, *_ROOMS, "__version__"} - {"iter"})  # noqa: PLE0605 - stated once, in _HOMES


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: importing this package costs next to nothing."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    home, own_name = _HOME_OF[name]
    return getattr(importlib.import_module(home), own_name)


def __dir__() -> list[str]:
    """Every public name, loaded or not."""
    return sorted({*_HOME_OF, *_ROOMS, "__version__"})
