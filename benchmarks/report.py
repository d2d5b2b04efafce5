"""Raw results → ``RESULTS.md``."""

from __future__ import annotations

from typing import Any


def render(results: dict[str, Any]) -> str:
    """The whole document: every section that was ever measured, each with its date and machine."""
    lines = [
        "# Results",
        "",
        "Written by `make bench`; [README.md](README.md) says what is measured and how. Ratios are what to read: tools take",
        "turns on one machine, each in its own environment. Raw figures: [results.json](results.json). The fault matrix:",
        "[MATRIX.md](MATRIX.md).",
        "",
        "## Bars",
        "",
        "| section | bar | measured | |",
        "|---|---|---|---|",
    ]
    for name, section in results["sections"].items():
        lines += [
            f"| {name} | {one['bar']} | {one['value']:.2f} {one['unit']} | {'met' if one['met'] else '**MISSED**'} |"
            for one in section["bars"]
        ] or [f"| {name} | | not measured yet | |"]
    for section in results["sections"].values():
        lines += ["", f"## {section['title']}", "", section["about"], ""]
        for table in section["tables"]:
            lines += [f"{table['title']}:", ""] if table.get("title") else []
            lines += _table(table)
        lines.append(
            f"`{section['command']}`, {section['date']}, {_machine(section['machine'])}; load before: {section['load']}."
        )
    lines += ["", "## Versions", ""]
    lines += [f"- {name}: {', '.join(f'{k} {v}' for k, v in found.items())}" for name, found in results["versions"].items()]
    return "\n".join(lines) + "\n"


def _table(table: dict[str, Any]) -> list[str]:
    head = "| " + " | ".join(table["columns"]) + " |"
    rule = "|---" + "|---:" * (len(table["columns"]) - 1) + "|"
    return [head, rule, *("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in table["rows"]), ""]


def _machine(machine: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" if name in {"Python", "commit"} else value for name, value in machine.items())
