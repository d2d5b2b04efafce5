"""What a notebook shows of a load: a bar while it runs, and afterwards what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from kernel import QUIETLY, Notebook

from tallyfy_frames.progress import REDRAWN_S
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]

pytestmark = QUIETLY

GONE = {"text/html": "", "text/plain": ""}


def test_a_bar_shows_how_far_a_load_is_and_goes_away(serve: Serve) -> None:
    notebook = Notebook("tf.load_runs(settings=settings).height").against(serve(world=World(1, 120), latency_ms=40))
    first, *between, last = notebook.bars()
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
    assert (display.output_type, display.data) == ("display_data", GONE)
    assert result.data["text/plain"] == "100"


def test_a_bar_is_drawn_in_one_place_and_not_too_often(serve: Serve) -> None:
    displayed = Notebook("tf.load_runs(settings=settings)").against(serve(world=World(1, 120), latency_ms=15)).displayed
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
def test_a_bar_goes_away_however_a_load_ends(ends: str, serve: Serve) -> None:
    notebook = Notebook(ends).against(serve(world=World(1, 120), faults=["token-revoked@9"]))
    assert notebook.bars()[-1] == ""
    assert notebook.outputs(1)[0].data == GONE


def test_no_bar_where_none_is_wanted(serve: Serve) -> None:
    assert Notebook("tf.load_runs(settings=settings, progress=False)").against(serve(world=World(1, 120))).displayed == []


def test_a_report_says_what_a_load_did(serve: Serve) -> None:
    notebook = Notebook(
        "report = tf.LoadReport()\nreport",
        "runs = tf.load_runs(settings=settings, report=report)\nreport",
        "tf.load_runs(settings=settings, report=report)",
        "report",
    ).against(serve(world=World(1, 120), faults=["html-502@3", "token-revoked@25"]))
    assert "nothing is loaded yet" in notebook.html(1)
    assert "✔ complete" in notebook.html(2)
    assert "✘" not in notebook.html(2)
    assert re.search(r">retries</th><td[^>]*><span>1 <", notebook.html(2))
    assert "<code>future_field</code>" in notebook.html(2)
    assert "✘ incomplete" in notebook.html(4)


def test_what_else_a_load_gives_is_shown_as_a_table(serve: Serve) -> None:
    notebook = Notebook(
        "tf.load_dataset(include=['run_tasks', 'users'], settings=settings)",
        "tf.plan(['runs', 'users'], settings=settings, whole=True)",
        "tf.write_snapshot(tempfile.mkdtemp(), tables=['runs', 'users'], settings=settings)",
    ).against(serve(world=World(1, 120)))
    for cell, told in ((1, "3 tables"), (2, "requests in all, about"), (3, "snapshot of ")):
        assert told in notebook.html(cell)
        assert re.search(r">(runs|users)</td><td[^>]*>[0-9]+</td>", notebook.html(cell))
    (plain,) = [output.data["text/plain"] for output in notebook.outputs(1) if output.output_type == "execute_result"]
    assert re.fullmatch(r"Dataset\(runs: [0-9]+ rows, run_tasks: [0-9]+ rows, users: [0-9]+ rows\)", plain)
