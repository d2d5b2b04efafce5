"""Notebooks that tests run: their cells' outputs, and what a cell displayed while it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nbformat
from nbclient import NotebookClient


class Notebook(NotebookClient):
    """Cells of code, run one after the other; one that fails does not keep the next from running."""

    def __init__(self, *cells: str) -> None:
        self.displayed: list[Mapping[str, Any]] = []  # messages, in their order
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        super().__init__(notebook, timeout=120, kernel_name="python3", allow_errors=True)

    def process_message(self, msg: Mapping[str, Any], *args: Any) -> Any:
        if msg["msg_type"] in {"display_data", "update_display_data"}:
            self.displayed.append(msg)
        return super().process_message(msg, *args)

    def outputs(self, cell: int) -> list[Any]:
        return self.nb.cells[cell].outputs

    def html(self, cell: int) -> str:
        """What the last line of a cell shows."""
        (result,) = [output for output in self.outputs(cell) if output.output_type == "execute_result"]
        return str(result.data["text/html"])
