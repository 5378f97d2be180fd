"""The notebooks: whole, clean, and true when they are run from their first cell to their last.

Here trainings are cut short; the committed outputs are those of full runs.
"""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from syntax import ROOT

from gans.figures import FIGURES

PATHS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))  # the homework's are tests/homework's
SPEC = importlib.util.spec_from_file_location("notebooks_run", ROOT / "notebooks" / "run.py")
run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run)


def notebook(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[str]:
    return [cell.source for cell in notebook(path).cells if cell.cell_type == "code"]


def test_all_are_there():
    assert [path.name[:2] for path in PATHS] == [f"{i:02}" for i in range(1, 14)]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_committed_outputs_are_clean(path):
    assert path.stat().st_size <= run.LIMIT
    found = notebook(path)
    nbformat.validate(found)
    assert run.faults(found) == []
    outputs = [out for cell in found.cells if cell.cell_type == "code" for out in cell.outputs]
    shown = "".join(out.get("text", "") for out in outputs)
    assert shown.count("✓") >= 5, "claims are checked"
    assert "a fast run does not check this" not in shown, "outputs are of a full run"
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) >= 3, "someone who only looks at the pictures can tell the story"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_models_are_the_librarys(path):
    """A notebook defines no model: no class but in the tour of the engine, which makes an Op."""
    for text in code(path):
        plain = "\n".join(line for line in text.splitlines() if not line.startswith(("%", "!")))
        for node in ast.walk(ast.parse(plain)):
            if isinstance(node, ast.ClassDef):
                assert path.name.startswith("01") and "Op" in ast.unparse(node.bases[0])
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) \
                    else [node.module]
                tops = {name.split(".")[0] for name in names}
                known = {"minigrad", "gans", "numpy", "scipy", "sympy", "IPython"}
                assert tops <= known | sys.stdlib_module_names, names


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    done = subprocess.run([sys.executable, str(ROOT / "notebooks" / "run.py"), "--fast", path.stem],
                          capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not written" in done.stdout


def test_every_figure_is_shown_somewhere():
    """By the function of its name, or by the one that this draws with, on a tensor of the cell."""
    text = "\n".join(source for path in PATHS for source in code(path))
    drawn_by = {"computation-graph": "graph_of"}
    unused = [name for name, make in FIGURES.items() if not re.search(
        rf"\b{drawn_by.get(name, make.__name__)}\(", text)]
    assert unused == []


# the guard ---------------------------------------------------------------------------------------


def made(output=None, count=1) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell("1", execution_count=count,
                                     outputs=[output] if output else [])
    return nbformat.v4.new_notebook(cells=[cell])


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


@pytest.mark.parametrize("output, fault", [
    (stream("a warning", "stderr"), "writes to stderr"),
    (stream("saved /home/" + "ann/x.png"), "shows a path"),
    (stream("in /tmp/" + "ipykernel_1/2.py"), "shows a path"),
    (nbformat.v4.new_output("execute_result", {"text/plain": "'/usr/" + "lib/x'"}), "shows a path"),
    (stream("<Generator at 0x7FBFB4167A00>"), "shows an address"),
    (nbformat.v4.new_output("error", ename="ValueError", evalue="no"), "ValueError: no"),
])
def test_faults_are_found(output, fault):
    assert fault in run.faults(made(output))[0]


def test_what_may_stay():
    fine = made(stream("gans/gan.py, and/or 3/4, https://example.org/tmp/x"))
    assert run.faults(fine) == []
    assert "numbered [3]" in run.faults(made(count=3))[0]
    assert "numbered [None]" in run.faults(made(count=None))[0]


def test_a_cell_that_fails_ends_the_run_and_leaves_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "HERE", tmp_path)
    path = tmp_path / "x.ipynb"
    cell = nbformat.v4.new_code_cell("from gans.notebook import check\ncheck('one', 1, at_least=2)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    before = path.read_bytes()
    with pytest.raises(run.NotebookError, match="CheckFailed"):
        run.execute(path)
    assert path.read_bytes() == before


def test_a_notebook_that_is_too_large_is_not_written(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text("before")
    large = made(stream("x" * run.LIMIT))
    with pytest.raises(run.NotebookError, match="at most 1,000,000"):
        run.write(path, large)
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]
    assert run.write(path, made(stream("x"))) == path.stat().st_size
    assert json.loads(path.read_text())["nbformat"] == 4
