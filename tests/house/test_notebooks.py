"""Notebooks run as they are, against the sandbox they start themselves: no token, no network."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("place", sorted(FOLDER.glob("*.ipynb")), ids=lambda place: place.stem)
def test_a_notebook_runs_and_shows_what_it_promises(place: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(place, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert sum(kind.startswith("application/vnd.vegalite") or kind == "image/png" for kind in kinds) >= 2
    assert any("shape:" in output.get("data", {}).get("text/plain", "") for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]
