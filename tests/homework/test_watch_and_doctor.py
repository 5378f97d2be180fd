"""The watcher never jumps ahead and says when it is done; the doctor survives every damage."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_homework import EIGHT, blank, tiny, written

from minigrad.homework import doctor, watch
from minigrad.homework.release import META, Tree, checkout, library, starter
from minigrad.homework.spec import homeworks
from minigrad.homework.workplace import Workplace, write_tree

__all__ = ["tiny"]
FILE = "minigrad/arith.py"
Q1, Q2 = EIGHT.questions


@pytest.fixture
def place(tiny: Path, tmp_path: Path) -> Workplace:
    write_tree(starter(tiny, EIGHT), tmp_path / "hw8")
    return Workplace.at(tmp_path / "hw8")


class Session:
    """A watcher on a script: each step edits the folder, and then an event comes.

    A question passes when all its blanks are written.
    """

    def __init__(self, place: Workplace, steps: list[Callable[[], object]]) -> None:
        self.place, self.steps = place, steps
        self.looks: list[str] = []
        self.said: list[str] = []
        self.before_step: list[int] = []  # how many looks there were

    def events(self) -> Iterator[None]:
        yield
        for step in self.steps:
            self.before_step.append(len(self.looks))
            step()
            yield

    def look(self, questions: list) -> bool:
        self.looks += [question.id for question in questions]
        return all(self.place.state(b).written and not self.place.state(b).problem
                   for q in questions for b in q.blanks)

    def run(self) -> list[list[str]]:
        """The looks after each step; the first entry is before all."""
        watch.watch(self.place, EIGHT, EIGHT.questions, self.look, self.said.append, self.events())
        bounds = [0, *self.before_step, len(self.looks)]
        return [self.looks[a:b] for a, b in itertools.pairwise(bounds)]


def write_body(place: Workplace, name: str, body: str) -> Callable[[], object]:
    path = place.root / FILE
    return lambda: path.write_bytes(written(path.read_bytes(), blank(name), body))


def replace(place: Workplace, old: str, new: str) -> Callable[[], object]:
    path = place.root / FILE

    def step() -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return step


def test_it_begins_where_work_is_left_and_ends_when_all_is_done(place: Workplace) -> None:
    session = Session(place, [
        write_body(place, "Scale.forward", "return x"),
        write_body(place, "Scale.backward", "return 1"), lambda: None,
        write_body(place, "double", "return 2 * x"), lambda: pytest.fail("not ended")])
    assert session.run() == [["hw8.Q1"], ["hw8.Q1"], ["hw8.Q1"], ["hw8.Q1"], ["hw8.Q2"]]
    assert "hw8.Q1 is done. When you edit hw8.Q2 (Double)" in session.said[1]
    assert session.said[-1].startswith("all questions that you watched are done (hw8.Q1, hw8.Q2)")


def test_all_done_at_once(place: Workplace) -> None:
    for name in ("Scale.forward", "Scale.backward", "double"):
        write_body(place, name, "return 1")()
    session = Session(place, [lambda: pytest.fail("not ended")])
    assert session.run() == [["hw8.Q1", "hw8.Q2"]]
    assert len(session.said) == 2 and "all questions" in session.said[1]


def test_it_begins_at_the_second_when_the_first_is_done(place: Workplace) -> None:
    write_body(place, "Scale.forward", "return 1")()
    write_body(place, "Scale.backward", "return 1")()
    session = Session(place, [lambda: None])
    assert session.run() == [["hw8.Q1", "hw8.Q2"], ["hw8.Q2"]]
    assert not any("all questions" in line for line in session.said)


def test_it_follows_the_edits_and_notices_what_was_broken_again(place: Workplace) -> None:
    session = Session(place, [
        write_body(place, "double", "return 2 * x"),  # Q2 first, of the student's own will
        lambda: None,
        write_body(place, "double", ""),  # and spoilt
        write_body(place, "Scale.forward", "return 1"),
        write_body(place, "Scale.backward", "return 1"),
    ])
    one, two = ["hw8.Q1"], ["hw8.Q2"]
    assert session.run() == [one, two, two, two, one, one]
    assert "When you edit hw8.Q1" in session.said[1]
    assert "When you edit hw8.Q2" in session.said[-1]  # not done any more
    assert not any("all questions" in line for line in session.said)


@pytest.mark.parametrize("broken", [
    ("return x", "return (x"), ("FACTOR = 2.0", "FACTOR = 2.0)"), ("FACTOR", "\0"),
])
def test_a_file_that_does_not_parse_jumps_nowhere(
    place: Workplace, broken: tuple[str, str]
) -> None:
    """Space around a body, and marks that are gone, are no edits of other questions."""
    write_body(place, "Scale.forward", "return x")()
    replace(place, 'raise NotImplementedError("hw8.Q2', '\n\n    raise NotImplementedError("hw8.Q2'
            )()
    replace(place, "    ### BEGIN YOUR SOLUTION hw9.Q1.triple\n", "")()
    session = Session(place, [replace(place, *broken), replace(place, *reversed(broken))])
    assert session.run() == [["hw8.Q1"]] * 3


def test_a_file_that_vanishes_jumps_nowhere(place: Workplace) -> None:
    content = (place.root / FILE).read_bytes()
    session = Session(place, [(place.root / FILE).unlink,
                              lambda: (place.root / FILE).write_bytes(content)])
    assert session.run() == [["hw8.Q1"]] * 3


def test_nothing_that_is_saved_during_the_first_look_is_missed(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps = iter(range(3))
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: next(naps))  # StopIteration: missed
    events = watch.changes(place.root)
    looks: list[str] = []

    class Enough(Exception):
        pass

    def look(questions: list) -> bool:
        looks.append(questions[0].id)
        if len(looks) == 1:  # while the checks run, the student saves
            write_body(place, "double", "return 2 * x")()
            return False
        raise Enough

    with pytest.raises(Enough):
        watch.watch(place, EIGHT, EIGHT.questions, look, lambda text: None, events)
    assert looks == ["hw8.Q1", "hw8.Q2"]


def test_changes_of_a_folder(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gans = place.root / "gans"
    (gans / "nowhere.py").symlink_to(tmp_path / "nothing.py")
    (gans / "loop.py").symlink_to(gans / "loop.py")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            (gans / "new.py").write_text("x = 1")
        assert len(naps) < 10

    monkeypatch.setattr(watch.time, "sleep", nap)
    events = watch.changes(place.root)
    next(events)
    next(events)
    assert naps == [watch.PAUSE_S] * 3  # nothing happened, and nothing was said, until then


# --------------------------------------------------------------------------------------- doctor


@pytest.fixture(scope="module")
def released() -> Tree:
    """The files of hw1 that belong to the library."""
    reference = library(checkout())
    return {path: content for path, content in starter(checkout(), homeworks()[0]).items()
            if path in reference or path == META}


@pytest.fixture
def real(
    released: Tree, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Workplace:
    """A real hw1, its files linked to one copy; without the child."""
    monkeypatch.setattr(doctor, "_child", lambda place: iter(()))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    root = tmp_path_factory.mktemp("doctor") / "hw1"
    for path, content in released.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith((".py", ".json")):
            (root / path).write_bytes(content)
        else:
            os.symlink(checkout() / path, root / path)
    return Workplace.at(root)



@pytest.fixture
def small(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A folder of the tiny library; without the child."""
    monkeypatch.setattr(doctor, "_child", lambda place: iter(()))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return place


def odd(place: Workplace | None) -> list[str]:
    return [text for good, text in doctor.examine(place) if not good and "on the path" not in text]


def test_a_whole_folder_is_healthy(small: Workplace) -> None:
    assert odd(small) == []
    assert len(list(doctor.examine(small))) >= 9
    assert odd(None) == []


@pytest.mark.parametrize(("path", "content", "says"), [
    (FILE, None, f"missing: {FILE}"),
    ("minigrad/data/table.csv", None, "missing: minigrad/data/table.csv"),
    (FILE, b"def f(:", f"{FILE}: line 1: SyntaxError"),
    (FILE, "x = 1".encode("utf-16"), "UTF-16"),
    (FILE, b"x = '\xe4'", "no UTF-8 text"), (FILE, b"\0", "null"),
    (FILE, b"", f"{FILE}: there is no function double"),
    (FILE, b"-" * 100_000 + b"1", FILE),
    ("gans/players.py", b"", "changed or gone outside the blanks: other in gans/players.py"),
    ("gans/__init__.py", b"def f(:", "gans/__init__.py: line 1"),
])
def test_damaged_files_are_named(small: Workplace, path: str, content: bytes | None, says: str
                                 ) -> None:
    (small.root / path).unlink()
    if content is not None:
        (small.root / path).write_bytes(content)
    found = odd(small)
    assert any(says in text for text in found), found
    assert not any(str(small.root) in text for text in found)


@pytest.mark.parametrize(("old", "new", "says"), [
    ("    ### END YOUR SOLUTION\n", "", f"marks are missing in {FILE}"),
    ("### BEGIN YOUR SOLUTION hw8.Q2.double", "###", f"marks are missing in {FILE}"),
    ("def double", "def doubled", f"{FILE}: there is no function double"),
    ("class Scale", "class Scales", f"{FILE}: there is no function Scale.forward"),
    ("return _times(x, 4.0)", "return 4 * x", "outside the blanks: quadruple in"),
    ("def quadruple", "def fourfold", "outside the blanks: quadruple in"),
])
def test_damage_within_a_file(small: Workplace, old: str, new: str, says: str) -> None:
    replace(small, old, new)()
    found = odd(small)
    assert len(found) == 1 and says in found[0], found


def test_the_surroundings_are_looked_at(small: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert [text.split(":")[0] for text in odd(small)] == [
        "PYTHONPATH is set", "the folder cannot be written"]


def test_the_whole_folder_gone(small: Workplace) -> None:
    (small.root / "minigrad").rename(small.root / "other")
    assert any(text.startswith("missing: minigrad/") for text in odd(small))


def test_a_property_and_its_setter_are_no_change(real: Workplace) -> None:
    text = (real.root / "minigrad" / "autograd.py").read_text()
    assert ".setter" in text  # or this tests nothing
    assert odd(real) == []
    (real.root / "minigrad" / "autograd.py").write_text(text.replace(".setter", ".deleter", 1))
    assert any("outside the blanks" in one for one in odd(real))


def test_the_child_of_a_real_folder(real: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (good, text), = doctor._child(real)
    assert good and ("UNSOLVED" in text or "BLOCKED" in text)
    (real.root / "minigrad" / "__init__.py").write_text("import os\nos._exit(3)\n")
    (good, text), = doctor._child(real)
    assert not good and "DIED" in text
