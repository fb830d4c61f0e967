"""The example notebooks, executed from a copy as a user would; nothing of a run is kept in them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in (EXAMPLES / "notebooks").glob("*.ipynb"))
NEEDED = {"monitoring_with_mlflow": ["mlflow", "sklearn"], "own_algorithm": []}
QUICK = "own_algorithm"


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / "notebooks" / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == QUICK else pytest.mark.slow) for n in NAMES])
def test_a_notebook_runs_from_its_first_cell_to_its_last(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in NEEDED.get(name, ["sklearn"]):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    for folder in ("notebooks", "wmla_script"):
        shutil.copytree(EXAMPLES / folder, tmp_path / folder, ignore=shutil.ignore_patterns("hpo-runs"))
    notebook = read(name)
    place = {"metadata": {"path": str(tmp_path / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pages = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert any('class="state finished"' in page for page in pages), "no study is shown as finished"
    assert not any("widget-view" in str(output.get("data", {})) for output in shown), "what is kept needs a kernel"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_without_outputs_and_with_its_explanations(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), "clear all outputs, please"
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    assert len(notebook.cells) - len(code) >= 3 and "kernelspec" in notebook.metadata
