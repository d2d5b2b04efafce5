"""Texts as they are shown, whoever wrote them: on a terminal, and as HTML in a notebook, where all of them are escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

ENTRIES_MAX: Final = 8  # of a list in a cell of a table
SIGNS_MAX: Final = 60  # of a text of the API in one
# A notebook's own style aligns all to the right. Colours are its theme's.
CELL: Final = "text-align:{side};vertical-align:top;white-space:{space}"


def printable(text: str) -> str:
    """Text as a terminal may show it: control and direction characters become visible escapes, all but the end of a line."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """The same, with line ends visible, too."""
    return printable(text).replace("\n", "\\n")


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


class Html(str):
    """What :func:`tag` made. Only this is taken for HTML; text that it is joined to makes text of it again."""

    __slots__ = ()


def tag(name: str, *content: str, **attributes: str) -> Html:
    """An element; content that is not :class:`Html` is text, and is escaped. Attributes: ``aria_label`` for ``aria-label``."""
    inside = "".join(one if isinstance(one, Html) else html.escape(one_line(one)) for one in content)
    given = "".join(f' {key.replace("_", "-")}="{html.escape(one_line(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{inside}</{name}>")


def quoted(text: str) -> Html:
    """Words of others, cut where they are long. Notebooks look for formulas (``$…$``) everywhere but in code."""
    return tag("code", text if len(text) <= SIGNS_MAX else f"{text[:SIGNS_MAX]}…")


def counted(counts: Mapping[str, Any]) -> Html:
    """Words of others, each with how often it came, most often first; cut where they are many.

    Where a word has such counts of its own, they stand beside it, on a line for each.
    """
    entries = []
    for name, count in sorted(counts.items(), key=lambda entry: -_sum(entry[1]))[:ENTRIES_MAX]:
        if isinstance(count, Mapping):
            entries.append(tag("div", quoted(name), ": ", counted(count)))
        else:
            entries.append(tag("span", ", " if entries else "", quoted(name), f" {count:,}"))
    return tag("span", *entries, f" … and {len(counts) - ENTRIES_MAX:,} more" if len(counts) > ENTRIES_MAX else "")


def _sum(count: Any) -> int:
    return sum(count.values()) if isinstance(count, Mapping) else count


def facts(title: str, rows: Iterable[tuple[str, str]]) -> Html:
    """A title, and a table of names and values below it."""
    lines = (tag("tr", _cell("th", name), _cell("td", value)) for name, value in rows)
    return tag("div", tag("div", title), tag("table", tag("tbody", *lines)))


def grid(title: str, head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> Html:
    """A title, and a table with a head below it. Numbers are aligned to the right."""
    rows = [*rows]
    sides = ["right" if any(isinstance(row[n], int) for row in rows) else "left" for n in range(len(head))]
    names = (_cell("th", name, side) for name, side in zip(head, sides, strict=True))
    lines = (
        tag(
            "tr",
            *(_cell("td", f"{one:,}" if isinstance(one, int) else one, side) for one, side in zip(row, sides, strict=True)),
        )
        for row in rows
    )
    return tag("div", tag("div", title), tag("table", tag("thead", tag("tr", *names)), tag("tbody", *lines)))


def _cell(name: str, content: str, side: str = "left") -> Html:
    return tag(name, content, style=CELL.format(side=side, space="nowrap" if name == "th" else "normal"))
