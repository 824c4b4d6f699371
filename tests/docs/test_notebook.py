"""The notebook of the documentation, executed by a real kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import okazja

pytest.importorskip("nbclient", reason="runs the notebook; the extra `test` brings it")
pytest.importorskip("ipykernel", reason="is the kernel; the extra `test` brings it")

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"

EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
for cell in notebook.cells:
    if cell.cell_type == "code":
        cell.outputs = []
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()  # raises what a cell raises
nbformat.write(notebook, sys.argv[2])
"""


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def shown(cell: dict[str, Any]) -> list[object]:
    """Its outputs; where they vary from run to run, only in which forms they come."""
    varies = "varies" in cell["metadata"].get("tags", [])
    data = [output.get("data", output) for output in cell["outputs"]]
    return [sorted(forms) for forms in data] if varies else data


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("notebook")
    finished = subprocess.run(
        [sys.executable, "-c", EXECUTE, NOTEBOOK, folder / "executed.ipynb"],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=110,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(okazja.__file__).parents[1]), "IPYTHONDIR": str(folder)},
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return code_cells(folder / "executed.ipynb")


def test_its_outputs_are_those_that_a_reader_gets(executed: list[dict[str, Any]]) -> None:
    for stored, now in zip(code_cells(NOTEBOOK), executed, strict=True):
        assert shown(now) == shown(stored), stored["source"]


def test_progress_comparison_and_tree_are_more_than_text(executed: list[dict[str, Any]]) -> None:
    rich = [
        "".join(output["data"]["text/html"])
        for cell in executed
        for output in cell["outputs"]
        if "text/html" in output.get("data", {})
    ]
    bar, table, tree = rich
    assert 'value="1000" max="1000"' in bar
    assert table.count("<tr") == 4
    assert "count_primes" in tree


def test_it_has_no_paths_of_the_machine_that_ran_it() -> None:
    text = NOTEBOOK.read_text("utf-8")
    assert not [folder for folder in ("/home/", "/root/", "/tmp/", "/work/") if folder in text]
