"""Whatever the API sends is shown as text: by a terminal, and by a notebook."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tallyfy_frames.showing import ENTRIES_MAX, counted, duration, facts, grid, one_line, printable, quoted, tag

HOSTILE = [
    "<script>document.title='ran'</script>",
    "<img src=x onerror=alert(1)>",
    "</code></td></table><h1>out",
    "\"' onmouseover='alert(1)",
    "&lt;b&gt;",
    "{{7*7}}",
    "=1+1",
    "$\\href{javascript:alert(1)}{x}$",
]
OBEYED = ["\x1b[31m", "\x00", "\u202e", "\x9b", "\x7f", "\u2066", "\u200b", "\ud800"]


class Read(HTMLParser):
    """The tags of an HTML text, its attributes, and the text that it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.shown = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.shown += data


@pytest.mark.parametrize("text", OBEYED)
def test_what_a_terminal_would_obey_is_shown_escaped(text: str) -> None:
    assert text not in printable(f"a{text}b")
    assert printable("Größe 日本 🎉\n") == "Größe 日本 🎉\n"


def test_the_end_of_a_line_is_shown_where_a_line_is_wanted() -> None:
    assert one_line("a\nb\r") == "a\\nb\\r"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_notebook_shows_what_would_be_markup_as_it_came(text: str) -> None:
    table = grid(text, (text, "n"), [(text, 1), (quoted(text), 2)])
    read = Read(tag("div", text, table, facts(text, [(text, counted({text: {text: 3}}))]), title=text))
    assert read.shown.count(text) == 9
    assert {*read.tags} == {"div", "table", "thead", "tbody", "tr", "th", "td", "span", "code"}
    assert {name for name, _ in read.attributes} == {"title", "style"}
    assert ("title", text) in read.attributes


@pytest.mark.parametrize("text", OBEYED)
def test_a_notebook_shows_what_would_turn_text_around_or_hide_in_it(text: str) -> None:
    read = Read(quoted(f"a{text}b"))
    assert read.shown == one_line(f"a{text}b")
    assert text not in read.shown


def test_html_that_is_joined_to_text_is_text() -> None:
    assert Read(tag("p", "a " + tag("b", "c"))).tags == ["p"]


def test_long_words_and_long_lists_are_cut() -> None:
    assert Read(quoted("x" * 10_000)).shown == "x" * 60 + "…"
    read = Read(counted({f"key{n}": n for n in range(1000)}))
    assert read.shown.startswith("key999 999, key998 998, ")
    assert read.shown.endswith(f" … and {1000 - ENTRIES_MAX} more")
    assert read.tags.count("code") == ENTRIES_MAX


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h")]
)
def test_a_duration_is_told_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_column_with_numbers_is_aligned_to_the_right() -> None:
    read = Read(grid("t", ("a", "b", "c"), [("x", 1000, 2), ("y", "", "?")]))
    sides = [str(value).partition(";")[0].removeprefix("text-align:") for name, value in read.attributes if name == "style"]
    assert sides == ["left", "right", "right"] * 3
    assert read.shown == "tabcx1,0002y?"
    assert Read(grid("t", ("a", "b"), [])).shown == "tab"
