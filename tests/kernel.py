"""Notebooks that tests run against a sandbox: what their cells show, and what a cell displayed while it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tallyfy_frames.sandbox import Sandbox

HEAD = """import dataclasses, tempfile, threading, warnings
import tallyfy_frames as tf
warnings.simplefilter("ignore")
settings = dataclasses.replace(tf.Settings.from_env(), page_size=10, in_flight_max=1, retry_wait_s=0.001)"""

# What the libraries of notebooks do while they start and stop a kernel is theirs.
QUIETLY = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Notebook(NotebookClient):
    """Cells of code, numbered from 1; one that fails does not keep the next from running."""

    def __init__(self, *cells: str) -> None:
        self.displayed: list[Mapping[str, Any]] = []  # messages, in their order
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (HEAD, *cells)])
        super().__init__(notebook, timeout=120, kernel_name="python3", allow_errors=True)

    def process_message(self, msg: Mapping[str, Any], *args: Any) -> Any:
        if msg["msg_type"] in {"display_data", "update_display_data"}:
            self.displayed.append(msg)
        return super().process_message(msg, *args)

    def against(self, sandbox: Sandbox) -> Notebook:
        """Run it."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in sandbox.environment.items():
                patch.setenv(name, value)
            self.execute()
        return self

    def outputs(self, cell: int) -> list[Any]:
        return self.nb.cells[cell].outputs

    def html(self, cell: int) -> str:
        """What the last line of a cell shows."""
        (result,) = [output for output in self.outputs(cell) if output.output_type == "execute_result"]
        return str(result.data["text/html"])

    def bars(self) -> list[str]:
        """Progress as it was drawn, in turn."""
        return [message["content"]["data"].get("text/html", "") for message in self.displayed]
