"""A notebook that loaded hostile data, in a browser: nothing of it runs, all of it is shown, and it looks well in both themes."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
from beside import there
from kernel import QUIETLY, Notebook
from nbconvert import HTMLExporter

from tallyfy_frames.sandbox import Sandbox, World

pytestmark = QUIETLY

NAMES = [
    "<script>document.title = 'it ran'</script>",
    "<img src=nowhere onerror=\"document.title = 'it ran'\">",
    "</code></td></table><h1>outside</h1>",
    "{{7*7}}",
    "=1+1",
    "$\\frac{1}{2}$",
    "a\u202eb\x1b[31mc",
]
SHOWN = [*NAMES[:-1], "a\\u202eb\\x1b[31mc"]

# Of the colours of what is shown: how light the page is, and how well text and bars stand out from what is behind them.
MEASURE = """<script>
const colour = (element, name) => getComputedStyle(element)[name].match(/[0-9.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
const behind = element => { const c = colour(element, "backgroundColor"); return c[3] === 0 ? behind(element.parentElement) : c };
const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
const shown = [...document.querySelectorAll(".jp-OutputArea-output *")];
const texts = shown.filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
const bars = shown.filter(element => element.getAttribute("role") === "progressbar");
document.title = JSON.stringify({
  page: light(behind(document.querySelector(".jp-OutputArea-output"))),
  contrasts: texts.map(element => contrast(colour(element, "color"), behind(element))),
  bars: bars.map(bar => [100 * bar.firstChild.getBoundingClientRect().width / bar.clientWidth,
                         contrast(colour(bar, "borderTopColor"), behind(bar)),
                         contrast(colour(bar.firstChild, "backgroundColor"), behind(bar))]),
});
</script>"""


@pytest.fixture(scope="module")
def notebook() -> Notebook:
    """A load whose runs have hostile names and fields, one that failed, and all else that shows itself."""
    world = World(1, 120)
    for number, run in enumerate(world.runs):
        name = NAMES[number % len(NAMES)]
        run.name, run.unknown = name, {name: 1}
    with Sandbox(world, latency_ms=40, faults=["html-502@3"]) as sandbox:
        return Notebook(
            "report = tf.LoadReport()\ntf.load_runs({'archived': 'include'}, settings=settings, report=report).select('name')[:7]",
            "report",
            "try:\n    tf.load_runs(settings=dataclasses.replace(settings, token='gone'), report=report)\n"
            "except tf.AuthError:\n    pass\nreport",
            "tf.load_dataset(settings=settings)",
            "tf.plan(['runs', 'users'], settings=settings, whole=True)",
            "tf.write_snapshot(tempfile.mkdtemp(), tables=['runs', 'users'], settings=settings)",
        ).against(sandbox)


def page(cells: list[nbformat.NotebookNode], theme: str, place: Path) -> str:
    """The address of a notebook as a page of its own."""
    text, _ = HTMLExporter(theme=theme).from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    place.write_text(text)
    return place.as_uri()


def browse(address: str, profile: Path, *what: str) -> str:
    """What Chromium says of a page. The scripts that notebooks load from elsewhere are not there: it reaches nobody."""
    command = [
        there("chromium"),
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
        *("--window-size=1000,2600", f"--user-data-dir={profile}", *what, address),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def drawn(text: str) -> nbformat.NotebookNode:
    """A cell that shows some HTML."""
    output = nbformat.v4.new_output("display_data", data={"text/html": text})
    return nbformat.v4.new_code_cell("tf.load_runs()", outputs=[output])


def title(dom: str) -> str:
    return re.findall(r"<title>(.*?)</title>", dom)[0]


def shown(dom: str) -> str:
    """The text of a page, of all but its own scripts and styles."""
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"(?s)<(script|style)\b.*?</\1>", "", dom)))


def test_nothing_that_the_api_sends_runs_and_all_of_it_is_shown(notebook: Notebook, tmp_path: Path) -> None:
    dom = browse(page(notebook.nb.cells, "light", tmp_path / "page.html"), tmp_path / "profile", "--dump-dom")
    assert title(dom) == "Notebook"
    assert "<h1>outside" not in dom
    text = shown(dom)
    for name in SHOWN:
        assert name in text
    assert "\x1b" not in notebook.html(2)
    assert "\u202e" not in notebook.html(2)
    for words in (
        "✔ complete, proof: seen",
        "✘ incomplete: rows may be missing",
        "8 tables",
        "requests in all",
        "snapshot of ",
    ):
        assert words in text


@pytest.mark.parametrize("name", NAMES[:2])
def test_what_is_not_escaped_would_have_run(name: str, tmp_path: Path) -> None:
    address = page([drawn(f"<div>{name}</div>")], "light", tmp_path / "page.html")
    assert title(browse(address, tmp_path / "profile", "--dump-dom")) == "it ran"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_bar_and_tables_can_be_read_in_both_themes(theme: str, notebook: Notebook, tmp_path: Path) -> None:
    unknown, known = notebook.bars()[0], next(bar for bar in notebook.bars()[3:] if "aria-valuenow" in bar)
    cells = [drawn(unknown), drawn(known), *notebook.nb.cells[2:]]
    address, picture = page(cells, theme, tmp_path / "page.html"), tmp_path / f"{theme}.png"
    browse(address, tmp_path / "profile", f"--screenshot={picture}")  # to be looked at
    assert picture.read_bytes().startswith(b"\x89PNG")
    (tmp_path / "page.html").write_text((tmp_path / "page.html").read_text() + MEASURE)
    measured = json.loads(html.unescape(title(browse(address, tmp_path / "profile", "--dump-dom"))))
    assert (measured["page"] > 0.5) == (theme == "light")
    assert len(measured["contrasts"]) > 100, "every text that cells show"
    assert min(measured["contrasts"]) >= 4.5, "what WCAG 2 asks of text"
    (full, frame, _), (filled, *contrasts) = measured["bars"]
    percent = int(re.findall(r'aria-valuenow="([0-9]+)"', known)[0])
    assert full == pytest.approx(100, abs=1)
    assert filled == pytest.approx(percent, abs=1)
    assert min(frame, *contrasts) >= 3, "what WCAG 2 asks of all else"
