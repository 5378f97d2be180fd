"""Makes the tree that students start from, and proves that it gives nothing away.

A release is a dictionary from path to content: the library with the blanks open, the notebook
without outputs, the tests. ``faults`` looks at it as a stranger would: every file compiles, the
code outside the blanks is the library's by syntax tree, no line of a solution is left anywhere, no
helper or import is left without use.

Leaves out: zip files and folders that a student already works in (``workplace``).
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .source import END, SourceError, body_of, decode, find, opened, placeholder
from .spec import Blank, Homework, homeworks

__all__ = ["META", "ReleaseError", "Tree", "checkout", "faults", "library", "starter"]

Tree = dict[str, bytes]
META = ".minigrad-hw.json"
SKIPPED = ("__pycache__",)
LEFT_BEHIND = (".pyc", ".pyo", ".orig", ".rej", ".bak", ".swp", "~")  # by Python, git and editors
ENOUGH = 8  # letters and digits that make a line worth hiding
PYTEST = """[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
testpaths = ["tests"]
markers = ["{name}: {title}"]
"""
README = """# {name}: {title}

Write the bodies between the marks `### BEGIN YOUR SOLUTION` and `### END YOUR SOLUTION`. The
notebook `notebooks/{notebook}` tells the story and where to write. In this folder:

    minigrad-hw status          what is done and what comes next
    minigrad-hw check           check all, or one: minigrad-hw check {name}.Q1
    minigrad-hw watch           check again whenever a file is saved
    minigrad-hw hint {name}.Q1     a hint, then a better one
    minigrad-hw reset {blank}
                                begin a blank again (what you wrote is kept in a backup)
    minigrad-hw pack            the zip file to hand in
    minigrad-hw doctor          when something is odd
"""


class ReleaseError(RuntimeError):
    """There is nothing to release from, or what would be released is not fit for students."""


def checkout() -> Path | None:
    """The folder of the checkout that this package is run from; None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "setup.py").is_file() and (root / "notebooks").is_dir() else None


def library(root: Path) -> Tree:
    """The two packages below ``root`` without the homework system."""
    found: Tree = {}
    for package in ("minigrad", "gans"):
        for path in sorted((root / package).rglob("*")):
            name = path.relative_to(root)
            hidden = name.parts[:2] == ("minigrad", "homework") or any(
                part in SKIPPED or part.startswith(".") for part in name.parts)
            if path.is_file() and not hidden and not path.name.endswith(LEFT_BEHIND):
                found[name.as_posix()] = path.read_bytes()
    return found


def starter(root: Path, homework: Homework, all_homeworks: Iterable[Homework] = ()) -> Tree:
    """The tree of a homework with the blanks of all homeworks open.

    Raises
    ------
    ReleaseError
        If a blank is not in the library, or the notebook or the tests are missing.
    """
    tree = library(root)
    by_file: dict[str, list[Blank]] = {}
    for hw in all_homeworks or homeworks():
        for blank in hw.blanks:
            by_file.setdefault(blank.file, []).append(blank)
    for file, blanks in by_file.items():
        try:
            text = opened(decode(tree[file]), blanks, homework.number)
        except (KeyError, SourceError) as error:
            raise ReleaseError(f"{homework.name}: {file}: {error}") from error
        tree[file] = text.encode()
    notebooks = sorted((root / "notebooks").glob(f"{homework.name}_*.ipynb"))
    tests = sorted((root / "tests" / homework.name).glob("*.py"))
    if len(notebooks) != 1 or not tests:
        raise ReleaseError(f"{homework.name}: wants one notebooks/{homework.name}_*.ipynb and "
                           f"tests/{homework.name}/*.py, found {len(notebooks)} and {len(tests)}")
    tree[f"notebooks/{notebooks[0].name}"] = without_outputs(notebooks[0].read_bytes())
    for path in tests:
        tree[f"tests/{homework.name}/{path.name}"] = path.read_bytes()
    settings = {"name": homework.name, "title": homework.title, "notebook": notebooks[0].name,
                "blank": homework.blanks[0].name}
    tree["pyproject.toml"] = PYTEST.format(**settings).encode()
    tree["README.md"] = README.format(**settings).encode()
    tree[META] = (json.dumps({"homework": homework.name}, indent=1) + "\n").encode()
    return tree


def without_outputs(content: bytes) -> bytes:
    """A notebook as students get it: no outputs, no numbers of cells, nothing of who ran it."""
    notebook = json.loads(content)
    for i, cell in enumerate(notebook["cells"], 1):
        cell["metadata"], cell["id"] = {}, f"cell-{i}"
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook["metadata"] = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


# ------------------------------------------------------------------------------------- the proof


def faults(
    tree: Tree, reference: Tree, homework: Homework, texts: Mapping[str, str] | None = None,
    all_homeworks: Iterable[Homework] = (),
) -> list[str]:
    """What is wrong with a release, one line each; ``texts`` are documents that students read too.
    """
    specs = tuple(all_homeworks or homeworks())
    blanks = [blank for hw in specs for blank in hw.blanks]
    found = [*_uncompiled(tree)]
    if found:
        return found
    found += _foreign(tree, reference, homework)
    lost = missing_blanks(tree, blanks)
    if lost:  # what follows looks at the functions
        return found + lost
    found += _open_faults(tree, homework, blanks)
    found += _changed_outside(tree, reference, blanks)
    found += _dangling(tree, reference, blanks)
    found += _leaks(tree, reference, specs, texts or {})
    return found


def _uncompiled(tree: Tree) -> list[str]:
    found = []
    for path, content in tree.items():
        if path.endswith(".py"):
            try:
                compile(decode(content), path, "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                found.append(f"{path} does not compile: {error}")
    return found


def _foreign(tree: Tree, reference: Tree, homework: Homework) -> list[str]:
    """Files that students must not get, or need and do not get."""
    own = re.compile(rf"notebooks/{homework.name}_\w+\.ipynb|tests/{homework.name}/\w+\.py|"
                     rf"README\.md|pyproject\.toml|{re.escape(META)}")
    found = [f"{path} is no part of a release" for path in tree
             if path not in reference and not own.fullmatch(path)]
    found += [f"{path} is missing" for path in (*reference, "README.md", "pyproject.toml")
              if path not in tree]
    for what, count in (("notebook", sum(p.startswith("notebooks/") for p in tree)),
                        ("test", sum(p.startswith("tests/") for p in tree))):
        if not count:
            found.append(f"there is no {what} of {homework.name}")
    try:
        named = json.loads(tree[META])["homework"]
    except (KeyError, TypeError, ValueError):
        named = None
    if named != homework.name:
        found.append(f"{META} does not say that this is {homework.name}")
    return found + [f"{path} is of the homework system" for path in tree
                    if path.startswith("minigrad/homework")]


def _open_faults(tree: Tree, homework: Homework, blanks: list[Blank]) -> list[str]:
    """Blanks that are not open, or whose marks are not where they belong."""
    found = []
    for blank in blanks:
        text = decode(tree[blank.file])
        if body_of(text, blank.name).text.strip() != placeholder(blank, homework.number):
            found.append(f"{blank.id} is not open in {blank.file}")
        if text.count(f"SOLUTION {blank.id}\n") != 1:
            found.append(f"{blank.id}: its mark has to stand once in {blank.file}")
    for file in {blank.file for blank in blanks}:
        text = decode(tree[file])
        wanted = sum(blank.file == file for blank in blanks)
        if text.count(END) != wanted:
            found.append(f"{file}: {text.count(END)} ends of solutions, want {wanted}")
    return found


def _without_bodies(text: str, names: set[str]) -> str:
    """The syntax tree of a text as a string, the bodies of these functions left out."""
    tree = ast.parse(text)
    for name in names:
        node = _node(tree, name)
        documented = ast.get_docstring(node, clean=False) is not None
        node.body = [*node.body[:1 if documented else 0], ast.Pass()]
    return ast.dump(tree)


def _node(tree: ast.Module, name: str) -> ast.FunctionDef:
    scope: ast.AST = tree
    for part in name.split("."):
        scope = [child for child in ast.iter_child_nodes(scope)
                 if getattr(child, "name", None) == part][-1]
    return scope


def _changed_outside(tree: Tree, reference: Tree, blanks: list[Blank]) -> list[str]:
    found = []
    for path, content in reference.items():
        if path not in tree or (tree[path] == content):
            continue
        names = {blank.name for blank in blanks if blank.file == path}
        if not path.endswith(".py") or _without_bodies(decode(tree[path]), names) != \
                _without_bodies(decode(content), names):
            found.append(f"{path} differs from the library outside its blanks")
    return found


def _names(text: str) -> Counter:
    """How often each name is used in a text; attributes count as ``.name``."""
    counts: Counter = Counter()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            counts[node.id] += 1
        elif isinstance(node, ast.Attribute):
            counts[f".{node.attr}"] += 1
    return counts


def _dangling(tree: Tree, reference: Tree, blanks: list[Blank]) -> list[str]:
    """Imports and private functions that only solutions use and that no blank declares as given."""
    found = []
    for path in sorted({blank.file for blank in blanks}):
        before, after = _names(decode(reference[path])), _names(decode(tree[path]))
        text = decode(tree[path])
        given = {name for blank in blanks if blank.file == path for name in blank.given}
        own = {blank.name.split(".")[-1] for blank in blanks}
        exported = _exported(text)
        unused = {name.removeprefix(".") for name in _bound(text)
                  if before[name] and not after[name]}
        for name in sorted(unused - given - own - exported):
            found.append(f"{path}: {name} is left without use; list it in `given` of the blank "
                         "that needs it")
        found += [f"{path}: {name} is listed in `given`, but used elsewhere or not at all"
                  for name in sorted(given - unused)]
    return found


def _exported(text: str) -> set[str]:
    """The names in ``__all__`` of a module."""
    return {element.value for node in ast.parse(text).body if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
            for element in ast.walk(node.value) if isinstance(element, ast.Constant)}


def _bound(text: str) -> set[str]:
    """The names that a module imports or defines for itself; private methods as ``.name``."""
    names = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {f".{f.name}" for f in node.body if isinstance(f, ast.FunctionDef)
                          and f.name.startswith("_") and not f.name.startswith("__")}
    return names


def solution_lines(reference: Tree, blanks: Iterable[Blank]) -> dict[str, str]:
    """The lines that stand in exactly one blank and nowhere else in the library, with its id.

    What a docstring or a comment of the library says does not count: there it gives a line away.
    """
    everywhere = "\n".join(_flat(_code(decode(content))) for path, content in reference.items()
                           if path.endswith(".py"))
    found = {}
    for blank in blanks:
        body = body_of(decode(reference[blank.file]), blank.name).text
        for line in map(_plain, body.split("\n")):
            letters = sum(c.isalnum() for c in line)
            if letters >= ENOUGH and not line.startswith("#") \
                    and everywhere.count(line) == _flat(_without_comments(body)).count(line):
                found[line] = blank.id
    return found


def _code(text: str) -> str:
    """A text without docstrings and without lines that are comments."""
    lines = text.split("\n")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) \
                and isinstance(node.value.value, str):
            lines[node.lineno - 1:node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return _without_comments("\n".join(lines))


def _without_comments(text: str) -> str:
    lines = map(_plain, text.split("\n"))
    return "\n".join(line for line in lines if not line.startswith("#"))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _plain(line: str) -> str:
    return " ".join(line.split("  #")[0].split())


def _leaks(tree: Tree, reference: Tree, specs: tuple[Homework, ...],
           texts: Mapping[str, str]) -> list[str]:
    """Lines of solutions that can be read in the release, in hints or in documents."""
    blanks = [blank for hw in specs for blank in hw.blanks]
    secret = solution_lines(reference, blanks)
    found, read = [], {}
    for path, content in tree.items():
        if path.endswith(".ipynb"):
            try:
                notebook = json.loads(content)
                read[path] = "\n".join(_texts(notebook))
                if any(cell.get("outputs") for cell in notebook["cells"]):
                    found.append(f"{path} has outputs")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                found.append(f"{path} is no notebook: {error!r}")
        elif b"\0" not in content[:1000]:  # a file of text, whatever its name
            read[path] = content.decode("utf-8", "replace")
    read |= {f"hint of {blank.id}": "\n".join(blank.hints) for blank in blanks} | dict(texts)
    for path, text in read.items():
        flat = _flat(text)
        for line, blank_id in secret.items():
            if line in flat:
                found.append(f"{path} gives away a line of {blank_id}: {line}")
    return found


def _texts(value: object) -> Iterator[str]:
    """All text in a notebook: sources, outputs, whatever else; a list of lines as one text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        yield "".join(value)
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def missing_blanks(reference: Tree, blanks: Iterable[Blank]) -> list[str]:
    """Blanks that are not functions of the library."""
    found = []
    for blank in blanks:
        try:
            find(decode(reference[blank.file]), blank.name)
        except (KeyError, SourceError) as error:
            found.append(f"{blank.id}: {blank.file}: {error}")
    return found
