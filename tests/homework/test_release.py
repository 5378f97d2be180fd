"""A release gives nothing away and lacks nothing: every fault that is planted is named."""

import ast
import json
from pathlib import Path

import pytest
from tiny_homework import ARITH, BOTH, EIGHT, NINE, make_library

from minigrad.homework import release
from minigrad.homework.release import META, ReleaseError, Tree, checkout, faults, library, starter
from minigrad.homework.source import decode
from minigrad.homework.spec import Blank, Homework, all_blanks, homeworks

SECRET = "scaled_by_rate = _times(x, FACTOR * self.rate)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_library(tmp_path)


@pytest.fixture
def tree(root: Path) -> Tree:
    return starter(root, EIGHT, BOTH)


@pytest.fixture
def reference(root: Path) -> Tree:
    return library(root)


def look(tree: Tree, reference: Tree, **texts: str) -> list[str]:
    return faults(tree, reference, EIGHT, texts, BOTH)


def edit(tree: Tree, path: str, old: str, new: str) -> Tree:
    text = decode(tree[path])
    assert old in text
    return tree | {path: text.replace(old, new, 1).encode()}


def test_a_good_release_has_no_fault(tree: Tree, reference: Tree) -> None:
    assert look(tree, reference) == []
    assert sorted(tree) == [
        META, "README.md", "gans/__init__.py", "gans/players.py", "minigrad/__init__.py",
        "minigrad/arith.py", "minigrad/data/table.csv", "notebooks/hw8_story.ipynb",
        "pyproject.toml", "tests/hw8/test_hw8.py"]
    assert json.loads(tree[META]) == {"homework": "hw8"}


def test_what_students_see_in_an_open_file(tree: Tree) -> None:
    text = decode(tree["minigrad/arith.py"])
    assert '"hw8.Q2.double is not written yet; try: minigrad-hw hint hw8.Q2.double"' in text
    assert '"hw9.Q1.triple comes in hw9"' in text
    assert '"""3 x; comes in the next homework."""' in text  # docstrings are the specification
    assert "written with the helper" not in text and "_of_gradient" not in text
    namespace: dict = {}
    exec(compile(text, "arith", "exec"), namespace)
    with pytest.raises(NotImplementedError, match=r"hw8\.Q1\.Scale\.forward is not"):
        namespace["Scale"]().forward(1.0)


def test_a_notebook_comes_without_outputs_and_names(tree: Tree) -> None:
    notebook = json.loads(tree["notebooks/hw8_story.ipynb"])
    assert "somebody" not in str(notebook) and "ran it" not in str(notebook)
    assert [cell["metadata"] for cell in notebook["cells"]] == [{}, {}]
    assert notebook["cells"][1]["execution_count"] is None
    assert "".join(notebook["cells"][0]["source"]) == "A story.\nMore."


def test_equal_libraries_make_equal_releases(root: Path, tree: Tree) -> None:
    again = starter(root, EIGHT, BOTH)
    assert again == tree and list(again) == list(tree)


@pytest.mark.parametrize("path", [
    "minigrad/homework/x.py", "minigrad/__pycache__/x.cpython-311.pyc", "minigrad/arith.py~",
    "minigrad/arith.py.orig", "minigrad/.arith.py.swp", "gans/.ipynb_checkpoints/a.ipynb",
    "minigrad/arith.py.rej", "gans/.DS_Store", "minigrad/data/.hidden/x.txt",
])
def test_what_editors_leave_is_no_part_of_the_library(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(ARITH)
    assert path not in library(root)


# -------------------------------------------------------------------------------- planted faults


@pytest.mark.parametrize(("path", "old", "new", "says"), [
    ("minigrad/arith.py", "return _times(x, 4.0)", "return _times(x, 5.0)",
     "minigrad/arith.py differs from the library outside"),
    ("minigrad/arith.py", '"""2 x."""', '"""2 x, doubled."""', "differs from the library outside"),
    ("minigrad/arith.py", "lambda g: True", "lambda g: False", "differs from the library outside"),
    ("minigrad/arith.py", "FACTOR = 2.0", "FACTOR = 2", "differs from the library outside"),
    ("minigrad/arith.py", "class Scale:", "@op.call\nclass Scale:", "differs from the library"),
    ("gans/__init__.py", "", "x = 1\n", "gans/__init__.py differs from the library outside"),
    ("minigrad/data/table.csv", "1", "2", "minigrad/data/table.csv differs from the library"),
    ("minigrad/arith.py", "    ### BEGIN YOUR SOLUTION hw8.Q2.double\n", "",
     "hw8.Q2.double: its mark has to stand once"),
    ("minigrad/arith.py", "    ### BEGIN YOUR SOLUTION hw8.Q2.double\n",
     "    ### BEGIN YOUR SOLUTION hw8.Q2.double\n" * 2, "hw8.Q2.double: its mark has to stand"),
    ("minigrad/arith.py", "    ### END YOUR SOLUTION\n", "", "4 ends of solutions"),
    ("minigrad/arith.py", "    ### END YOUR SOLUTION\n", "    ### END YOUR SOLUTION\n" * 2,
     "ends of solutions"),
    ("minigrad/arith.py", "hw8.Q2.double is not written yet; try", "hw8.Q2.double: write it, or",
     "hw8.Q2.double is not open in minigrad/arith.py"),
    ("minigrad/arith.py", "        raise NotImpl", "        # a hint\n        raise NotImpl",
     "hw8.Q1.Scale.forward is not open"),
    ("minigrad/arith.py", "def double(", "def doubled(", "there is no function double"),
    ("minigrad/arith.py", "FACTOR = 2.0", "FACTOR = 2.0)", "minigrad/arith.py does not compile"),
    ("tests/hw8/test_hw8.py", "assert", "assert (", "tests/hw8/test_hw8.py does not compile"),
    ("minigrad/arith.py", "FACTOR = 2.0", "FACTOR = 2.0\nreturn", "does not compile"),
    ("notebooks/hw8_story.ipynb", "{", "", "notebooks/hw8_story.ipynb is no notebook"),
    (META, "hw8", "hw9", "does not say that this is hw8"),
    (META, "{", "", "does not say that this is hw8"),
    (META, '"homework"', '"home"', "does not say that this is hw8"),
])
def test_changes_are_named(tree: Tree, reference: Tree, path: str, old: str, new: str, says: str
                           ) -> None:
    found = look(edit(tree, path, old, new), reference)
    if "ends" in says and new == "":
        says = "3 ends of solutions, want 4"
    assert any(says in one for one in found), found


@pytest.mark.parametrize("path", [
    "gans/players.py", "minigrad/arith.py", "minigrad/data/table.csv", "minigrad/__init__.py", META,
    "README.md", "pyproject.toml", "notebooks/hw8_story.ipynb", "tests/hw8/test_hw8.py"])
def test_missing_files_are_named(tree: Tree, reference: Tree, path: str) -> None:
    del tree[path]
    found = look(tree, reference)
    assert any(path in one or f"no {path[:4]}" in one for one in found), found


@pytest.mark.parametrize(("path", "says"), [
    ("minigrad/homework/hw8.toml", "is of the homework system"),
    ("minigrad/homework/checks/hw8.py", "is of the homework system"),
    ("minigrad/solutions.py", "is no part of a release"),
    ("tests/homework/bodies/hw8.toml", "is no part of a release"),
    ("tests/hw9/test_hw9.py", "is no part of a release"),
    ("notebooks/hw9_story.ipynb", "is no part of a release"),
    ("notebooks/hw8/../x.ipynb", "is no part of a release"),
    ("conftest.py", "is no part of a release"),
    (".git/config", "is no part of a release"),
])
def test_foreign_files_are_named(tree: Tree, reference: Tree, path: str, says: str) -> None:
    content = tree["notebooks/hw8_story.ipynb"] if path.endswith("ipynb") else b""
    assert f"{path} {says}" in look(tree | {path: content}, reference)


LEAK = "gives away a line of hw8.Q1.Scale.forward: " + SECRET


def notebook_with(where: str) -> bytes:
    cell: dict = {"cell_type": "code", "metadata": {}, "id": "a", "source": ["1\n"],
                  "outputs": [], "execution_count": None}
    lines = ["def forward(self, x):\n", f"    {SECRET}\n"]
    if where == "source":
        cell["source"] = lines
    elif where == "text":
        cell["source"] = "".join(lines)
    elif where == "outputs":
        cell["outputs"] = [{"output_type": "stream", "text": lines}]
    elif where == "data":
        cell["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": lines[1]}}]
    else:
        cell["metadata"] = {"note": lines}
    return json.dumps({"cells": [cell], "metadata": {}}).encode()


@pytest.mark.parametrize("where", ["source", "text", "outputs", "data", "metadata"])
def test_leaks_in_a_notebook(tree: Tree, reference: Tree, where: str) -> None:
    path = "notebooks/hw8_story.ipynb"
    found = look(tree | {path: notebook_with(where)}, reference)
    assert f"{path} {LEAK}" in found
    assert (f"{path} has outputs" in found) == (where in ("outputs", "data"))


def test_leaks_elsewhere(tree: Tree, reference: Tree) -> None:
    other = "value_of_game = quadruple(x) - 1.5"
    wrapped = SECRET.replace(" ", "\n     ", 2)
    test = tree["tests/hw8/test_hw8.py"] + f"# {wrapped.replace(chr(10), ' ')}\n".encode()
    plain = tree["minigrad/data/table.csv"] + SECRET.encode()
    path = "tests/hw8/test_hw8.py"
    assert f"{path} {LEAK}" in look(tree | {path: test}, reference)
    assert f"README.md {LEAK}" in look(tree | {"README.md": wrapped.encode()}, reference)
    # in files of any kind, also when the library itself has them
    table = {"minigrad/data/table.csv": plain}
    assert f"minigrad/data/table.csv {LEAK}" in look(tree | table, reference | table)
    assert f"guide.md {LEAK}" in look(tree, reference, **{"guide.md": f"write {SECRET}"})
    # those of later homeworks too
    found = look(tree, reference, page=other)
    assert found == [f"page gives away a line of hw9.Q1.play: {other}"]


def with_library_text(root: Path, old: str, new: str) -> tuple[Tree, Tree]:
    path = root / "minigrad" / "arith.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return starter(root, EIGHT, BOTH), library(root)


@pytest.mark.parametrize(("old", "new"), [
    ('"""A layer."""', f'"""A layer: {SECRET}."""'),
    ('"""A layer."""', f'"""A layer.\n\n    {SECRET}\n    """'),
    ("    rate: float", f"    # {SECRET}\n    rate: float"),
    ("FACTOR = 2.0", f"FACTOR = 2.0  # then {SECRET}"),
])
def test_a_leak_in_a_docstring_or_comment_of_the_library(root: Path, old: str, new: str) -> None:
    assert look(*with_library_text(root, old, new)) == [f"minigrad/arith.py {LEAK}"]


def test_a_line_that_stands_twice_in_its_blank_is_still_secret(root: Path) -> None:
    tree, reference = with_library_text(
        root, "    return sum([x] * 3, start=0.0)",
        "    if x:\n        return sum([x] * 3, start=0.0)\n    return sum([x] * 3, start=0.0)")
    assert look(tree, reference, page="see: return sum([x] * 3, start=0.0)") == [
        "page gives away a line of hw9.Q1.triple: return sum([x] * 3, start=0.0)"]


def test_a_line_that_stands_elsewhere_is_no_secret(root: Path) -> None:
    tree, reference = with_library_text(
        root, '    """4 x."""', f'    """4 x."""\n    if x < 0:\n        self = x; {SECRET} * 1')
    assert look(tree, reference, page=SECRET) == []


def test_hints_give_no_line_away(tree: Tree, reference: Tree) -> None:
    def with_hint(hw: Homework) -> Homework:
        question = hw.questions[0]
        first = question.blanks[0]
        told = Blank(first.id, first.file, first.name, ("a", "b", f"write `{SECRET}`"))
        question = type(question)(question.id, question.title, question.needs,
                                  (told, *question.blanks[1:]), question.checks)
        return Homework(hw.name, hw.title, (question, *hw.questions[1:]))

    found = faults(tree, reference, EIGHT, {}, (with_hint(EIGHT), NINE))
    assert found == [f"hint of hw8.Q1.Scale.forward {LEAK}"]


@pytest.mark.parametrize(("given", "says"), [
    (("_hidden_helper",), "math is left without use"),
    (("math",), "_hidden_helper is left without use"),
    (("_hidden_helper", "math", "_times"), "_times is listed in `given`, but used elsewhere"),
    (("_hidden_helper", "math", "nothing"), "nothing is listed in `given`, but used elsewhere"),
])
def test_helpers_and_imports_that_only_solutions_use(
    tree: Tree, reference: Tree, given: tuple[str, ...], says: str
) -> None:
    def with_given(hw: Homework) -> Homework:
        question = hw.questions[1]
        blank = question.blanks[0]
        told = Blank(blank.id, blank.file, blank.name, blank.hints, given)
        return Homework(hw.name, hw.title, (hw.questions[0], type(question)(
            question.id, question.title, question.needs, (told,), question.checks)))

    found = faults(tree, reference, EIGHT, {}, (with_given(EIGHT), NINE))
    assert len(found) == 1 and says in found[0] and found[0].startswith("minigrad/arith.py"), found


def test_an_import_is_not_used_by_an_attribute_of_its_name(root: Path) -> None:
    """As ``grad`` of a module and ``.grad`` of a tensor."""
    tree, reference = with_library_text(root, "def quadruple(x: float) -> float:\n",
                                        "def quadruple(x: float) -> float:\n    x.math = 1\n")
    assert look(tree, reference) == []
    tree, reference = with_library_text(root, "    x.math = 1\n", "    math.pi\n")
    assert any("math is listed in `given`, but used elsewhere" in one
               for one in look(tree, reference))


def test_a_private_method_that_only_a_solution_uses(root: Path) -> None:
    tree, reference = with_library_text(
        root, "        scaled_by_rate = ", "        self._shift()\n        scaled_by_rate = ")
    assert look(tree, reference) == []
    tree, reference = with_library_text(
        root, "    rate: float = 1.0\n", "    rate: float = 1.0\n    def _shift(self): return 0\n")
    assert look(tree, reference) == ["minigrad/arith.py: _shift is left without use; list it in "
                                     "`given` of the blank that needs it"]


@pytest.mark.parametrize("damage", [
    lambda r: (r / "notebooks/hw8_story.ipynb").unlink(),
    lambda r: (r / "notebooks/hw8_b.ipynb").write_text("{}"),
    lambda r: (r / "tests/hw8/test_hw8.py").unlink(),
    lambda r: (r / "minigrad/arith.py").unlink(),
    lambda r: (r / "minigrad/arith.py").write_text("def f(:"),
    lambda r: (r / "minigrad/arith.py").write_text(ARITH.replace("def double", "def dbl")),
    lambda r: (r / "minigrad/arith.py").write_bytes(ARITH.encode("utf-16")),
], ids=range(7))
def test_a_library_that_does_not_fit_is_refused(root: Path, damage) -> None:
    damage(root)
    with pytest.raises(ReleaseError, match="hw8"):
        starter(root, EIGHT, BOTH)


def test_missing_blanks_are_named(reference: Tree) -> None:
    blanks = [b for hw in BOTH for b in hw.blanks]
    assert release.missing_blanks(reference, blanks) == []
    assert len(release.missing_blanks(edit(reference, "minigrad/arith.py", "def double", "def d"),
                                      blanks)) == 1
    del reference["gans/players.py"]
    assert "gans/players.py" in release.missing_blanks(reference, blanks)[0]


# -------------------------------------------------------------------------------------- real ones


@pytest.fixture(scope="module")
def real() -> tuple[Tree, Tree]:
    root = checkout()
    return starter(root, homeworks()[0]), library(root)


def test_the_first_homework_can_be_released(real: tuple[Tree, Tree]) -> None:
    tree, reference = real
    assert faults(tree, reference, homeworks()[0]) == []
    assert not [path for path in tree if path.startswith("minigrad/homework")]
    assert set(reference) <= set(tree)


def test_every_line_of_every_real_solution_would_be_seen(real: tuple[Tree, Tree]) -> None:
    tree, reference = real
    blanks = [*all_blanks().values()]
    lines = release.solution_lines(reference, blanks)
    hidden = {one.id for one in blanks} - set(lines.values())
    assert len(hidden) <= len(blanks) / 5, sorted(hidden)  # all lines also stand elsewhere
    small = {path: tree[path] for path in (META, "README.md")}
    found = release._leaks({**small, "README.md": "\n".join(lines).encode()}, reference,
                           homeworks(), {})
    assert len(found) == len(lines)
    for path, content in tree.items():
        if path.endswith(".py"):
            ast.parse(decode(content))
