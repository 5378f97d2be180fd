"""Work goes along from one homework to the next, whatever stands around it; nothing is overwritten.
"""

import ast
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_homework import EIGHT, NINE, blank, solved, tiny, written

from minigrad.homework import cli
from minigrad.homework.carry import Carried, carry
from minigrad.homework.release import META, Tree, checkout, starter
from minigrad.homework.source import body_of, decode, find, with_body
from minigrad.homework.spec import homeworks
from minigrad.homework.workplace import Workplace, write_tree

__all__ = ["tiny"]
FILE = "minigrad/arith.py"


@pytest.fixture
def old(tiny: Path, tmp_path: Path) -> Workplace:
    """hw8, solved."""
    write_tree(solved(starter(tiny, EIGHT), EIGHT), tmp_path / "hw8")
    return Workplace.at(tmp_path / "hw8")


@pytest.fixture
def new(tiny: Path) -> Tree:
    return starter(tiny, NINE)


def edit(place: Workplace, old: str, new: str, file: str = FILE) -> None:
    path = place.root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def run(tree: Tree, done: Carried, file: str = FILE) -> dict:
    """The names of a file as it is after the carrying over; it has to be importable."""
    text = decode((tree | done.files)[file])
    namespace: dict = {"__name__": "tiny"}
    exec(compile(text, file, "exec"), namespace)
    return namespace


def test_plain_work_goes_along(old: Workplace, new: Tree) -> None:
    done = carry(old, new)
    assert done.blanks == [b.id for b in EIGHT.blanks]
    assert (done.helpers, done.left, list(done.files)) == ([], [], [FILE])
    names = run(new, done)
    assert names["double"](4.0) == 8.0 and names["Scale"]().forward(2.0) == 4.0
    with pytest.raises(NotImplementedError, match="triple is not written yet"):
        names["triple"](1.0)
    assert decode(done.files[FILE]).count("### END") == 4
    assert carry(old, new | done.files).files == {}  # and once more changes nothing


def test_nothing_written_nothing_carried(tiny: Path, tmp_path: Path, new: Tree) -> None:
    write_tree(starter(tiny, EIGHT), tmp_path / "hw8")
    assert carry(Workplace.at(tmp_path / "hw8"), new) == Carried()


def test_what_is_written_is_never_touched(old: Workplace, new: Tree) -> None:
    mine = new | {FILE: written(new[FILE], blank("double"), "return x + x  # mine")}
    done = carry(old, mine)
    assert "hw8.Q2.double" not in done.blanks
    assert "return x + x  # mine" in decode(done.files[FILE])
    half = "y = x\nraise NotImplementedError('hw8.Q2.double is not written yet; begun')"
    mine = new | {FILE: written(new[FILE], blank("double"), half)}
    assert "    y = x\n" in decode(carry(old, mine).files[FILE])


@pytest.mark.parametrize("change", [
    lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t.rstrip("\n"),
    lambda t: "# coding: latin-1\n" + t.replace("# written", "# größer"),
    lambda t: "\n".join(line for line in t.split("\n") if "###" not in line),
    lambda t: t.replace("\n    ### END", "\n\n\n    ### END"),
    lambda t: t.replace("### END YOUR SOLUTION", "### end"),
], ids=["CRLF", "BOM", "no end of line", "latin-1", "no marks", "space before marks",
       "other marks"])
def test_files_in_other_shapes(old: Workplace, new: Tree, change) -> None:
    path = old.root / FILE
    text = change(path.read_text(encoding="utf-8"))
    path.write_bytes(text.encode("latin-1" if "latin" in text else "utf-8"))
    done = carry(old, new)
    assert len(done.blanks) == 3 and done.left == [] and done.helpers == []
    assert run(new, done)["double"](4.0) == 8.0
    assert ("größer" in decode(done.files[FILE])) == ("latin" in text)


def test_tabs(old: Workplace, new: Tree) -> None:
    path = old.root / FILE
    path.write_text(path.read_text().replace("    ", "\t"))
    edit(old, "class Scale:", "def helper(x):\n\tif x:\n\t\treturn x\n\n\nclass Scale:")
    edit(old, "\trate: float = 1.0\n", "\trate: float = 1.0\n\n\tdef more(self):\n\t\treturn 5\n\n")
    done = carry(old, new)
    assert len(done.blanks) == 3 and done.left == []
    names = run(new, done)
    assert names["Scale"]().forward(2.0) == 4.0 and names["Scale"]().more() == 5


def test_a_raise_forgotten_below_the_work(old: Workplace, new: Tree) -> None:
    path = old.root / FILE
    path.write_bytes(written(path.read_bytes(), blank("double"), "return 2 * x\nraise NotImpl"
                             "ementedError('hw8.Q2.double is not written yet; try: x')"))
    done = carry(old, new)
    assert len(done.blanks) == 3 and run(new, done)["double"](4.0) == 8.0


LINES = st.lists(st.sampled_from([
    "y = x", "if x:\n    y = 1\nelse:\n    y = 2", 'y = """low\n    x\n  """', "# a comment",
    "y = [\n1,\n   2]", "", "def inner(a):\n    return a", "y = 1; z = 2", "for y in x: pass",
    "y = f'''{x}\n    b'''", "y = 'a\\\n  b'", "    # deep comment", "with x as y:\n\treturn y",
]), min_size=1, max_size=6)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, unit=st.sampled_from(["    ", "  ", "\t"]), end=st.sampled_from(["\n", "\r\n"]),
       name=st.sampled_from(["double", "Scale.backward"]))
def test_any_body_goes_along(
    old: Workplace, new: Tree, lines: list[str], unit: str, end: str, name: str
) -> None:
    path = old.root / FILE
    before = path.read_bytes()
    try:
        body = "\n".join([*lines, "return x"])
        text = with_body(decode(before), name, body, blank(name).id)
        wanted = ast.dump(find(text, name))
        if "'''" not in body and '"""' not in body and "\t" not in body and "'a" not in body:
            text = text.replace("    ", unit)  # or it would change what the strings say
        path.write_bytes(text.replace("\n", end).encode())
        done = carry(old, new)
        assert blank(name).id in done.blanks and done.left == []
        assert ast.dump(find(decode(done.files[FILE]), name)) == wanted
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("body", ["", "pass", "# only words", "..."])
def test_an_emptied_blank_is_not_carried(old: Workplace, new: Tree, body: str) -> None:
    path = old.root / FILE
    path.write_bytes(written(path.read_bytes(), blank("double"), body))
    assert carry(old, new).blanks == [b.id for b in EIGHT.blanks[:2]]


# --------------------------------------------------------------------------------- what was added


ADDED = '''
import math as maths
from collections import abc, deque, OrderedDict as Ordered
import os.path
from operator import *
try:
    import numpy_that_there_is_not as gpu
except ImportError:
    gpu = None
if gpu is None:
    MODE, LEVEL = "plain", 3

# how small is small
EPSILON: float = maths.exp(-7)


@op.call
class Table(abc.Sized):
    """A class before the class that uses it.

  low text
"""

    def __len__(self):
        return 3


def cached(function):
    return function


class Scale:'''
METHODS = '''    rate: float = 1.0
    slope = intercept = EPSILON

    # about the next one
    @property
    def size(self):
        return self._size

    @size.setter
    def size(self, value, unit=EPSILON):
        self._size = value

    a_first = staticmethod(lambda: 1); b_second = 2

    @cached
    def zzz(self): return len(Table)

'''


def test_what_was_added_goes_along_in_order(old: Workplace, new: Tree) -> None:
    """Also where a method's decorator or default needs what stands above the class."""
    edit(old, "\nclass Scale:", ADDED)
    edit(old, "    rate: float = 1.0\n", METHODS)
    edit(old, "def quadruple(", "LAST = quadruple_of = None\n\n\ndef quadruple(")
    with (old.root / FILE).open("a") as file:
        file.write("\n\ndef behind(x):\n    return [\nx]\n# end\n")
    edit(old, "    return _hidden_helper(x) if math", "    return LEVEL - 3 + (x * 2) if math")
    done = carry(old, new)
    assert done.left == [] and len(done.blanks) == 3
    names = run(new, done)
    assert names["EPSILON"] == names["Scale"].intercept and names["deque"] and names["Ordered"]
    one = names["Scale"]()
    one.size = 4
    assert one.size == 4 and one.zzz() == 3 and one.a_first() == 1 and one.b_second == 2
    assert names["double"](4.0) == 8.0 and names["behind"](1) == [1] and names["LAST"] is None
    assert names["add"] and names["os"].path
    assert "low text" in names["Table"].__class__.__doc__
    text = decode(done.files[FILE])
    assert text.count("# how small is small\nEPSILON") == 1
    assert text.count("    # about the next one\n    @property") == 1
    assert text.startswith('"""Arithmetic') and names["__doc__"]
    for what in ("EPSILON", "Table", "Scale.size", "Scale.zzz", "behind", "gpu", "MODE",
                 "import math as maths", "from collections import deque, OrderedDict as Ordered",
                 "import os.path", "from operator import *"):
        assert f"{what} in {FILE}" in done.helpers
    assert not any("abc" in line for line in done.helpers)
    assert carry(old, new | done.files).files == {}


def test_a_method_behind_a_last_blank(old: Workplace, new: Tree) -> None:
    """The class's last method is a blank, with its mark; the new one belongs into the class."""
    edit(old, "\n\ndef double(", "\n    def extra(self):\n        return 9\n\n\ndef double(")
    spaced = new[FILE].replace(b"\n        ### END", b"\n\n        ### END")
    for tree in (new, new | {FILE: spaced}):
        done = carry(old, tree)
        assert run(tree, done)["Scale"]().extra() == 9
        assert done.helpers == [f"Scale.extra in {FILE}"] and done.left == []


def test_helpers_go_along_without_a_body(tiny: Path, tmp_path: Path, new: Tree) -> None:
    """Also in files that have no blank; imports alone do not."""
    write_tree(starter(tiny, EIGHT), tmp_path / "hw8")
    place = Workplace.at(tmp_path / "hw8")
    edit(place, '"""Tiny."""\n', '"""Tiny."""\nimport json\n', "minigrad/__init__.py")
    edit(place, "import math\n", "import math\nimport json\n")
    assert carry(place, new) == Carried()
    with (place.root / "minigrad/__init__.py").open("a") as file:
        file.write("\n\ndef mine():\n    return json.dumps(1)\n")
    done = carry(place, new)
    assert list(done.files) == ["minigrad/__init__.py"] and done.left == []
    assert run(new, done, "minigrad/__init__.py")["mine"]() == "1"


def test_files_that_were_added(old: Workplace, new: Tree) -> None:
    (old.root / "minigrad" / "mine").mkdir()
    (old.root / "minigrad" / "mine" / "a.py").write_bytes(b"x = '\xe4'  # no text\r\n")
    (old.root / "gans" / "link.py").symlink_to("/etc/hostname")
    (old.root / "gans" / "folder.py").mkdir()
    (old.root / "gans" / "a\nb.py").write_text("")
    done = carry(old, new)
    assert done.files["minigrad/mine/a.py"] == b"x = '\xe4'  # no text\r\n"
    assert done.helpers == ["the file minigrad/mine/a.py"]
    assert len(done.left) == 1 and "a\\nb.py" in done.left[0]
    assert set(done.files) == {FILE, "minigrad/mine/a.py"}
    # one that is there already is never overwritten
    again = carry(old, new | {"minigrad/mine/a.py": b"other"})
    assert set(again.files) == {FILE}
    assert any("minigrad/mine/a.py is there already" in line for line in again.left)


# --------------------------------------------------------------------------------- what is left


@pytest.mark.parametrize(("before", "after", "says"), [
    ("return _times(x, 4.0)", "return x * 4.0", "quadruple in minigrad/arith.py is no blank"),
    ("def quadruple(x: float)", "def quadruple(x)", "quadruple in minigrad/arith.py is no blank"),
    ("FACTOR = 2.0", "FACTOR = 3.0", "minigrad/arith.py: FACTOR = 3.0"),
    ("FACTOR = 2.0", "FACTOR = 2.0\nprint(FACTOR)", "minigrad/arith.py: print(FACTOR)"),
    ("FACTOR = 2.0", "FACTOR = 2.0\nFACTOR += 1", "minigrad/arith.py: FACTOR += 1"),
    ("FACTOR = 2.0", "FACTOR, EXTRA = 2.0, 1", "minigrad/arith.py: FACTOR, EXTRA = 2.0, 1"),
    ("rate: float = 1.0", "rate: float = 2.0", "minigrad/arith.py: rate: float = 2.0"),
    ("class Scale:", "class Scale(dict):", "the bases of Scale"),
    ("def double(x: float)", "def double(y: float)", "the parameters of double"),
    ("def quadruple", "op.pos.x = 1\ndef quadruple", "minigrad/arith.py: op.pos.x = 1"),
])
def test_other_changes_are_listed(old: Workplace, new: Tree, before: str, after: str, says: str
                                  ) -> None:
    edit(old, before, after)
    done = carry(old, new)
    assert len(done.left) == 1 and says in done.left[0], done.left
    assert len(done.blanks) == 3


def test_a_renamed_function(old: Workplace, new: Tree) -> None:
    edit(old, "def double(", "def my_double(")
    done = carry(old, new)  # its body is found between the marks
    assert len(done.blanks) == 3 and run(new, done)["double"](4.0) == 8.0
    assert any("double is not in minigrad/arith.py of hw8" in line for line in done.left)
    edit(old, "### BEGIN YOUR SOLUTION hw8.Q2.double", "#")
    done = carry(old, new)
    assert len(done.blanks) == 2 and "my_double in minigrad/arith.py" in done.helpers
    assert any("double is not in minigrad/arith.py of hw8" in line for line in done.left)


def test_a_file_that_does_not_parse(old: Workplace, new: Tree) -> None:
    with (old.root / FILE).open("a") as file:
        file.write("\ndef broken(:\n")
    done = carry(old, new)
    assert len(done.blanks) == 3 and run(new, done)["double"](4.0) == 8.0
    assert any("arith.py of hw8 cannot be read: line" in line for line in done.left)


def test_a_body_that_does_not_parse(old: Workplace, new: Tree) -> None:
    edit(old, "    return _hidden_helper(x)", "    return (_hidden_helper(x)")
    done = carry(old, new)
    assert done.blanks == [b.id for b in EIGHT.blanks[:2]]
    assert any("hw8.Q2.double does not fit" in line for line in done.left)
    assert "### BEGIN YOUR SOLUTION hw8.Q2.double\n    raise" in decode(done.files[FILE])


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfex", b"x = '\xe4'", b"\0"])
def test_old_files_that_are_gone_or_no_text(old: Workplace, new: Tree, content) -> None:
    (old.root / FILE).unlink()
    if content is not None:
        (old.root / FILE).write_bytes(content)
    done = carry(old, new)
    assert done.blanks == [] and done.files == {}
    assert any("arith.py" in line for line in done.left)
    assert not any(str(old.root) in line for line in done.left)


def test_a_folder_of_which_little_is_left(old: Workplace, new: Tree) -> None:
    (old.root / "gans" / "players.py").unlink()
    (old.root / "gans" / "__init__.py").unlink()
    (old.root / "gans").rmdir()
    done = carry(old, new)
    assert len(done.blanks) == 3
    assert done.left == ["gans/players.py of hw8 cannot be read: No such file or directory"]


@pytest.mark.parametrize("content", [b"def f(:", b"\xff\xfe", b"-" * 100_000 + b"1"])
def test_a_new_file_that_is_broken(old: Workplace, new: Tree, content: bytes) -> None:
    done = carry(old, new | {FILE: content})
    assert done.files == {} and "cannot be read in the new folder" in done.left[0]


def test_a_new_file_without_the_function(old: Workplace, new: Tree) -> None:
    done = carry(old, new | {FILE: new[FILE].replace(b"def double", b"def twice")})
    assert len(done.blanks) == 2
    assert any("hw8.Q2.double does not fit" in line for line in done.left)


def test_a_file_in_another_order(old: Workplace, new: Tree) -> None:
    path = old.root / FILE
    text = path.read_text()
    begin, end = text.index("def quadruple"), text.index("def triple")
    path.write_text(text[:begin] + "def one():\n    return 1\n\n\n" + text[end:]
                    + "\n\ndef two():\n    return 2\n\n\n" + text[begin:end])
    done = carry(old, new)
    names = run(new, done)
    assert (names["one"](), names["two"](), names["quadruple"](1.0)) == (1, 2, 4.0)
    assert done.left == [] and len(done.blanks) == 3


def test_additions_to_a_class_on_one_line_are_left_out(old: Workplace, new: Tree) -> None:
    edit(old, "class Scale:",
         "class Mark:\n    def more(self):\n        return 1\n\n\nclass Scale:")
    tree = new | {FILE: new[FILE] + b"\n\nclass Mark: pass\n"}
    done = carry(old, tree)
    assert len(done.blanks) == 3 and run(tree, done)["double"](4.0) == 8.0
    assert not hasattr(run(tree, done)["Mark"], "more")
    assert any("Mark" in line for line in done.left), done.left


# ------------------------------------------------------------------------------- from the command


def start(*words: str) -> int:
    return cli.main(["start", *words])


def test_start_carries_over_and_again(
    tiny: Path, tmp_path: Path, old: Workplace, capsys: pytest.CaptureFixture
) -> None:
    into = tmp_path / "hw9"
    assert start("hw9", "--into", str(into)) == 0
    assert "carried over from" in capsys.readouterr().out
    text = (into / FILE).read_text()
    assert "hw8.Q2.double is not written" not in text
    # work in the new folder, then late work in the old one
    (into / FILE).write_bytes(written((into / FILE).read_bytes(), blank("triple"), "return 3 * x"))
    mine = written((into / FILE).read_bytes(), blank("double"), "return x + x  # mine")
    (into / FILE).write_bytes(mine)
    edit(old, "def quadruple(", "def late(x):\n    return x\n\n\ndef quadruple(")
    assert start("hw9", "--into", str(into)) == 0
    said = capsys.readouterr().out
    assert "is there already" in said and "late in minigrad/arith.py" in said
    text = (into / FILE).read_text()
    assert "return x + x  # mine" in text and "return 3 * x" in text and "def late(x)" in text
    (kept,) = (into / ".minigrad-hw" / "backups").iterdir()
    assert (kept / FILE).read_bytes() == mine
    before = {p: p.read_bytes() for p in into.rglob("*") if p.is_file()}
    assert start("hw9", "--into", str(into)) == 0  # nothing left to do
    assert {p: p.read_bytes() for p in into.rglob("*") if p.is_file()} == before


def test_start_never_overwrites_an_added_file(tiny: Path, tmp_path: Path, old: Workplace) -> None:
    (old.root / "minigrad" / "mine.py").write_text("x = 1\n")
    into = tmp_path / "hw9"
    assert start("hw9", "--into", str(into)) == 0
    (into / "minigrad" / "mine.py").write_text("x = 2  # better\n")
    assert start("hw9", "--into", str(into)) == 0
    assert (into / "minigrad" / "mine.py").read_text() == "x = 2  # better\n"


@pytest.mark.parametrize("content", ["def f(:", "\0", "x = 1\n"])
def test_start_into_a_folder_that_is_broken(
    tiny: Path, tmp_path: Path, old: Workplace, capsys: pytest.CaptureFixture, content: str
) -> None:
    into = tmp_path / "hw9"
    start("hw9", "--into", str(into))
    (into / FILE).write_text(content)
    assert start("hw9", "--into", str(into)) == 0
    assert "not carried over" in capsys.readouterr().out
    assert (into / FILE).read_text() == content


def test_start_on_a_full_disk(
    tiny: Path, tmp_path: Path, old: Workplace, capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    into = tmp_path / "hw9"
    write_tree(starter(tiny, NINE), into)
    before = (into / FILE).read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minigrad.homework.workplace.os.fsync", fail)
    assert start("hw9", "--into", str(into)) == 2
    assert "No space left" in capsys.readouterr().err
    assert (into / FILE).read_bytes() == before
    assert not [p for p in into.rglob(".*") if p.name.startswith(".arith")]


def test_start_where_something_else_is(
    tiny: Path, tmp_path: Path, old: Workplace, capsys: pytest.CaptureFixture
) -> None:
    assert start("hw9", "--into", str(old.root)) == 2
    assert "is the folder of something else" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    assert start("hw9", "--into", str(tmp_path / "mine")) == 2
    assert "not empty; nothing was changed" in capsys.readouterr().err
    assert start("hw9", "--into", str(tmp_path / "a"), "--from", str(tmp_path / "mine")) == 2
    assert start("hw9", "--into", str(tmp_path / "a"), "--release", str(tmp_path / "no.zip")) == 2
    (old.root / META).write_text("{")
    assert start("hw9", "--into", str(tmp_path / "a"), "--from", str(old.root)) == 2
    assert "is damaged" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


# ------------------------------------------------------------------------------------- real ones


def test_the_real_homeworks_are_carried_without_a_word(tmp_path: Path) -> None:
    """Solved hw1 into hw3: every body, no complaint."""
    root = checkout()
    first, third = homeworks()[0], homeworks()[2]
    tree = starter(root, first)
    for one in first.blanks:
        body = body_of((root / one.file).read_text(encoding="utf-8"), one.name).text
        tree[one.file] = written(tree[one.file], one, body)
    write_tree({path: content for path, content in tree.items() if path.endswith((".py", META))},
               tmp_path / "hw1")
    new = {path: content for path, content in starter(root, third).items()
           if path.endswith(".py")}
    done = carry(Workplace.at(tmp_path / "hw1"), new)
    assert done.blanks == [one.id for one in sorted(first.blanks, key=lambda b: done.blanks.index(
        b.id))] and len(done.blanks) == len(first.blanks)
    assert (done.left, done.helpers) == ([], [])
