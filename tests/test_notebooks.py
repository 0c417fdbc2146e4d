"""The notebooks as files: short cells, no logic of their own, in step with their text, with outputs that tell no path.

That they run is tested by nbmake (`make test`), in their small size.
"""

import ast
import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))
NAMES = {"embeddings", "correlations", "ranking", "parameter_prediction", "your_network"}
LINES = 20
PATHS = re.compile(r"(?<![\w.:/])/(?:home|root|work|tmp|Users|usr|opt|var|mnt|private)/|[A-Z]:\\\\Users")
LOGIC = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.Try, ast.If)


def source(path):
    return jupytext.read(path)


def executed(path):
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_all_notebooks_are_there():
    folder = NOTEBOOKS[0].parent
    assert {path.stem for path in NOTEBOOKS} == NAMES == {path.stem for path in folder.glob("*.ipynb")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_and_only_call_the_package(path):
    for cell in code(source(path)):
        assert len(cell.source.splitlines()) <= LINES, cell.source
        tree = ast.parse(re.sub(r"^%", "# %", cell.source, flags=re.MULTILINE))
        found = [type(node).__name__ for node in ast.walk(tree) if isinstance(node, LOGIC)]
        assert not found, f"{found} in\n{cell.source}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_text_and_notebook_are_in_step(path):
    written, run = source(path), executed(path)
    assert [(c.cell_type, c.source) for c in written.cells] == [(c.cell_type, c.source) for c in run.cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_there_complete_and_tell_no_path(path):
    cells = code(executed(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    for output in outputs:
        if "data" in output:
            output["data"] = {kind: value for kind, value in output["data"].items() if kind != "image/png"}
        text = json.dumps(output)
        assert not PATHS.search(text), text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_measured_number_is_written_by_hand(path):
    """Decimal numbers and percentages in prose would be those of an earlier run; intervals' levels are no results."""
    for cell in source(path).cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"`[^`]*`|arXiv:\S+|95 %|90 %", "", cell.source)
            assert not re.search(r"\d[.,]\d|\d %", prose), cell.source


def test_what_is_forbidden_is_found():
    assert PATHS.search('"/tmp/x/y"')
    assert not PATHS.search("https://example.org/tmp/x")
    assert any(isinstance(node, LOGIC) for node in ast.walk(ast.parse("def f(): pass")))
