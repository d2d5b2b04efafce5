"""What a notebook shows of a load: a bar while it runs, and afterwards what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from kernel import Notebook

from tallyfy_frames.progress import REDRAWN_S
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]

HEAD = """import dataclasses, threading, warnings
import tallyfy_frames as tf
warnings.simplefilter("ignore")
settings = dataclasses.replace(tf.Settings.from_env(), page_size=10, in_flight_max=1, retry_wait_s=0.001)"""


pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def run(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Notebook]]:
    """Run cells against a sandbox."""

    def run(*cells: str, **options: object) -> Notebook:
        for name, value in serve(world=World(1, 120), **options).environment.items():
            monkeypatch.setenv(name, value)
        notebook = Notebook(HEAD, *cells)
        notebook.execute()
        return notebook

    return run


Run = Callable[..., Notebook]


def bars(notebook: Notebook) -> list[str]:
    """What was drawn, in turn."""
    return [message["content"]["data"].get("text/html", "") for message in notebook.displayed]


def test_a_bar_shows_how_far_a_load_is_and_goes_away(run: Run) -> None:
    notebook = run("tf.load_runs(settings=settings).height", latency_ms=40)
    first, *between, last = bars(notebook)
    assert "connecting" in first
    assert "aria-valuenow" not in first
    assert len(between) >= 3
    for bar in between:
        assert re.search(r"<b>runs</b>.* [0-9]+ pages · [0-9]+/100 rows · [0-9]+ rows/s · [0-9.]+ s left", bar)
    shares = [int(re.search(r'aria-valuenow="([0-9]+)"', bar)[1]) for bar in between]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 100
    assert last == ""
    display, result = notebook.outputs(1)
    assert (display.output_type, display.data) == ("display_data", {})
    assert result.data["text/plain"] == "100"


def test_a_bar_is_drawn_in_one_place_and_not_too_often(run: Run) -> None:
    displayed = run("tf.load_runs(settings=settings).height", latency_ms=15).displayed
    assert len({message["content"]["transient"]["display_id"] for message in displayed}) == 1
    assert [message["msg_type"] for message in displayed] == ["display_data"] + ["update_display_data"] * (len(displayed) - 1)
    moments = [message["header"]["date"] for message in displayed[:-1]]
    assert all((after - before).total_seconds() > 0.9 * REDRAWN_S for before, after in pairwise(moments))


@pytest.mark.parametrize(
    "ends",
    [
        "tf.load_runs(settings=settings)",
        "frames = tf.iter_runs(settings=settings)\nnext(frames)\nframes.close()",
        "thread = threading.Thread(target=lambda: tf.load('users', settings=settings))\nthread.start()\nthread.join()",
    ],
    ids=["by an error", "as nobody wants more", "in a thread"],
)
def test_a_bar_goes_away_however_a_load_ends(ends: str, run: Run) -> None:
    notebook = run(ends, faults=["token-revoked@9"])
    assert bars(notebook)[-1] == ""
    assert notebook.outputs(1)[0].data == {}


def test_no_bar_where_none_is_wanted(run: Run) -> None:
    assert run("tf.load_runs(settings=settings, progress=False).height").displayed == []


def test_a_report_says_what_a_load_did(run: Run) -> None:
    notebook = run(
        "report = tf.LoadReport()\nreport",
        "runs = tf.load_runs(settings=settings, report=report)\nreport",
        "tf.load_runs(settings=settings, report=report)",
        "report",
        faults=["html-502@3", "token-revoked@25"],
    )
    assert "nothing is loaded yet" in notebook.html(1)
    assert "✔ complete" in notebook.html(2)
    assert "✘" not in notebook.html(2)
    assert re.search(r">retries</th><td[^>]*><span>1 <", notebook.html(2))
    assert "<code>future_field</code>" in notebook.html(2)
    assert "✘ incomplete" in notebook.html(4)


def test_what_else_a_load_gives_is_shown_as_a_table(run: Run) -> None:
    notebook = run(
        "tf.load_dataset(include=['run_tasks', 'users'], settings=settings)",
        "tf.plan(['runs', 'users'], settings=settings, whole=True)",
        "import tempfile\ntf.write_snapshot(tempfile.mkdtemp(), tables=['runs', 'users'], settings=settings)",
    )
    for cell, told in ((1, "3 tables"), (2, "requests in all, about"), (3, "snapshot of ")):
        assert told in notebook.html(cell)
        assert re.search(r">(runs|users)</td><td[^>]*>[0-9]+</td>", notebook.html(cell))
    (plain,) = [output.data["text/plain"] for output in notebook.outputs(1) if output.output_type == "execute_result"]
    assert re.fullmatch(r"Dataset\(runs: [0-9]+ rows, run_tasks: [0-9]+ rows, users: [0-9]+ rows\)", plain)
