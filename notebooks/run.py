"""Run notebooks from their first cell to their last, and write them back with their outputs.

    python notebooks/run.py                  all of them, in order
    python notebooks/run.py 03 07            those whose names begin so
    python notebooks/run.py --fast           trainings cut short; nothing is written

Needs the extra "test" or "notebooks". What would tell one machine from another is left out of the
files: no times, no paths, no warnings; a cell that writes to stderr or fails ends the run.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image, ImageChops

HERE = Path(__file__).resolve().parent
LIMIT = 1_000_000  # bytes of one file
PATH = re.compile(r"(?<![\w./:~-])/(?:home|Users|root|work|tmp|usr|opt|var)/\w|[A-Z]:\\\\?Users")
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")  # of an object in memory: another one each time
CELL_SECONDS = 240  # after which a cell is given up; on two idle cores none takes over 60


class NotebookError(RuntimeError):
    """A notebook failed, or may not be kept as it is."""


def faults(notebook: nbformat.NotebookNode) -> list[str]:
    """What must not be in a notebook that others get, one line each."""
    found = []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"not run from top to bottom in one go: cells are numbered {counts}")
    for i, cell in enumerate(cells, 1):
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {i}: {output.ename}: {output.evalue}")
            elif output.output_type == "stream" and output.name == "stderr":
                found.append(f"cell {i} writes to stderr: {output.text.strip()[:200]}")
            words = output.get("text", "") + "".join(
                text for kind, text in output.get("data", {}).items() if kind.startswith("text/"))
            for what, pattern in (("a path", PATH), ("an address", ADDRESS)):
                found += [f"cell {i} shows {what}: {line.strip()[:200]}"
                          for line in words.splitlines() if pattern.search(line)]
    return found


def execute(path: Path, fast: bool = False) -> nbformat.NotebookNode:
    """The notebook in ``path``, run in its folder.

    Raises
    ------
    NotebookError
        If a cell fails or the result has a fault.
    """
    notebook = nbformat.read(path, as_version=4)
    os.environ["MINIGRAD_NOTEBOOKS"] = "fast" if fast else "full"
    # where minigrad-hw is, also if the environment is not active
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    try:
        NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3",
                       resources={"metadata": {"path": str(HERE)}}).execute()
    except CellExecutionError as error:
        raise NotebookError(f"{path.name}: {error}") from error
    for i, cell in enumerate(notebook.cells, 1):
        cell.metadata = nbformat.from_dict({})
        cell.id = f"cell-{i}"
        for output in cell.get("outputs", []):
            if picture := output.get("data", {}).get("image/png"):
                output.data["image/png"] = with_palette(picture)
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"}})
    if found := faults(notebook):
        raise NotebookError(f"{path.name}: " + "\n  ".join(found))
    return notebook


def with_palette(picture: str) -> str:
    """A PNG picture (base64) in at most 256 colours, which makes figures a third as large.

    It stays as it was where that would be no smaller, or where a colour would move by more than 24
    of 255: photographs keep theirs.
    """
    before = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    after = before.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    difference = ImageChops.difference(before, after.convert("RGB"))
    if max(high for _, high in difference.getextrema()) > 24:
        return picture
    content = io.BytesIO()
    after.save(content, format="png", optimize=True)
    smaller = base64.b64encode(content.getvalue()).decode()
    return smaller if len(smaller) < len(picture) else picture


def write(path: Path, notebook: nbformat.NotebookNode) -> int:
    """Replace the file; its size in bytes. NotebookError if it would be too large."""
    text = nbformat.writes(notebook) + "\n"
    size = len(text.encode())
    if size > LIMIT:
        raise NotebookError(f"{path.name}: {size:,} bytes with outputs, at most {LIMIT:,}")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="how their names begin (all)")
    parser.add_argument("--fast", action="store_true", help="cut trainings short, write nothing")
    options = parser.parse_args()
    paths = sorted(HERE.glob("*.ipynb"))
    chosen = [p for p in paths if not options.names or p.name.startswith(tuple(options.names))]
    if not chosen:
        print(f"no notebook begins with {options.names}; there are {[p.name for p in paths]}",
              file=sys.stderr)
        return 2
    failed = 0
    for path in chosen:
        began = time.perf_counter()
        try:
            notebook = execute(path, options.fast)
            size = "not written" if options.fast else f"{write(path, notebook):9,} bytes"
        except NotebookError as error:
            failed, size = failed + 1, f"FAILED\n{error}"
        print(f"{path.stem:35} {time.perf_counter() - began:6.1f} s  {size}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
