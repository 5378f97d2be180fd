"""The watcher never jumps ahead and says when it is done; the doctor survives every damage."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_homework import EIGHT, blank, tiny, written

from minigrad.homework import doctor, watch
from minigrad.homework.release import META, checkout, library, starter
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
        write_body(place, "Scale.forward", "return x"), write_body(place, "Scale.backward", "return 1"),
        lambda: None, write_body(place, "double", "return 2 * x"), lambda: pytest.fail("not ended")])
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
        write_body(place, "Scale.forward", "return 1"), write_body(place, "Scale.backward", "return 1"),
    ])
    assert session.run() == [["hw8.Q1"], ["hw8.Q2"], ["hw8.Q2"], ["hw8.Q2"], ["hw8.Q1"], ["hw8.Q1"]]
    assert "When you edit hw8.Q1" in session.said[1]
    assert "When you edit hw8.Q2" in session.said[-1]  # not done any more
    assert not any("all questions" in line for line in session.said)


@pytest.mark.parametrize("broken", [
    ("return x", "return (x"), ("FACTOR = 2.0", "FACTOR = 2.0)"), ("FACTOR", "\0"),
])
def test_a_file_that_does_not_parse_jumps_nowhere(place: Workplace, broken: tuple[str, str]) -> None:
    """Space around a body, and marks that are gone, are no edits of other questions."""
    write_body(place, "Scale.forward", "return x")()
    replace(place, 'raise NotImplementedError("hw8.Q2', '\n\n    raise NotImplementedError("hw8.Q2')()
    replace(place, "    ### BEGIN YOUR SOLUTION hw9.Q1.triple\n", "")()
    session = Session(place, [replace(place, *broken), replace(place, *reversed(broken))])
    assert session.run() == [["hw8.Q1"]] * 3


def test_a_file_that_vanishes_jumps_nowhere(place: Workplace) -> None:
    content = (place.root / FILE).read_bytes()
    session = Session(place, [(place.root / FILE).unlink,
                              lambda: (place.root / FILE).write_bytes(content)])
    assert session.run() == [["hw8.Q1"]] * 3


def test_nothing_that_is_saved_during_the_first_look_is_missed(place: Workplace) -> None:
    events = watch.changes(place.root, pause=0.0)
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


def test_changes_of_a_folder(place: Workplace, tmp_path: Path) -> None:
    gans = place.root / "gans"
    (gans / "nowhere.py").symlink_to(tmp_path / "nothing.py")
    (gans / "loop.py").symlink_to(gans / "loop.py")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            (gans / "new.py").write_text("x = 1")
        assert len(naps) < 10

    watch_time, watch.time.sleep = watch.time.sleep, nap
    try:
        events = watch.changes(place.root)
        next(events)
        next(events)
    finally:
        watch.time.sleep = watch_time
    assert naps == [watch.PAUSE_S] * 3  # nothing happened, and nothing was said, until then


# --------------------------------------------------------------------------------------- doctor


@pytest.fixture
def real(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A real hw1, its files linked to one copy; without the child."""
    monkeypatch.setattr(doctor, "_child", lambda place: iter(()))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    root = tmp_path_factory.mktemp("doctor") / "hw1"
    for path, content in REAL.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith((".py", ".json")):
            (root / path).write_bytes(content)
        else:
            os.symlink(checkout() / path, root / path)
    return Workplace.at(root)


REAL = {path: content for path, content in library(checkout()).items()
        if path.startswith(("minigrad/", "gans/"))}
REAL = {path: content for path, content in starter(checkout(), homeworks()[0]).items()
        if path in REAL or path == META}
MATMUL = "minigrad/ops/matmul.py"


def odd(place: Workplace | None) -> list[str]:
    return [text for good, text in doctor.examine(place) if not good and "on the path" not in text]


def test_a_whole_folder_is_healthy(real: Workplace) -> None:
    assert odd(real) == []
    assert len(list(doctor.examine(real))) >= 9
    assert odd(None) == []


@pytest.mark.parametrize(("path", "content", "says"), [
    (MATMUL, None, f"missing: {MATMUL}"),
    ("minigrad/data/files/digits.npz", None, "missing: minigrad/data/files/digits.npz"),
    (MATMUL, b"def f(:", f"{MATMUL}: line 1: SyntaxError"),
    (MATMUL, "x = 1".encode("utf-16"), "UTF-16"),
    (MATMUL, b"x = '\xe4'", "no UTF-8 text"), (MATMUL, b"\0", "null"),
    (MATMUL, b"", "hw1.Q1.MatMul.compute (minigrad/ops/matmul.py: there is no function"),
    (MATMUL, b"-" * 100_000 + b"1", MATMUL),
    ("gans/gan.py", b"", "changed or gone outside the blanks"),
    ("gans/gan.py", b"def f(:", "gans/gan.py: line 1"),
])
def test_damaged_files_are_named(real: Workplace, path: str, content: bytes | None, says: str
                                 ) -> None:
    (real.root / path).unlink()
    if content is not None:
        (real.root / path).write_bytes(content)
    found = odd(real)
    assert any(says in text for text in found), found
    assert not any(str(real.root) in text for text in found)


@pytest.mark.parametrize(("old", "new", "says"), [
    ("        ### END YOUR SOLUTION\n", "", "marks are missing in minigrad/ops/matmul.py"),
    ("### BEGIN YOUR SOLUTION hw1.Q1.MatMul.compute", "###", "marks are missing"),
    ("def compute", "def computed", "hw1.Q1.MatMul.compute (minigrad/ops/matmul.py: there is no"),
    ("class MatMul", "class Matmul", "changed or gone outside the blanks: MatMul."),
])
def test_damage_within_a_file(real: Workplace, old: str, new: str, says: str) -> None:
    path = real.root / MATMUL
    text = path.read_text()
    assert old in text
    if says.startswith("changed"):
        text += "\n"
    path.write_text(text.replace(old, new, 1))
    found = odd(real)
    if says.startswith("changed") and not any(says in one for one in found):
        says = "there is no function MatMul."  # all its methods are blanks
    assert any(says in one for one in found), found


def test_a_property_and_its_setter_are_no_change(real: Workplace) -> None:
    text = (real.root / "minigrad" / "autograd.py").read_text()
    assert ".setter" in text  # or this tests nothing
    assert not any("outside the blanks" in one for one in odd(real))
    (real.root / "minigrad" / "autograd.py").write_text(text.replace(".setter", ".deleter", 1))
    assert any("outside the blanks" in one for one in odd(real))


def test_the_surroundings_are_looked_at(real: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert [text.split(":")[0] for text in odd(real)] == [
        "PYTHONPATH is set", "the folder cannot be written"]


def test_the_whole_folder_gone(real: Workplace) -> None:
    (real.root / "minigrad").rename(real.root / "other")
    assert any(text.startswith("missing: minigrad/") for text in odd(real))


def test_the_child_of_a_real_folder(real: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (good, text), = doctor._child(real)
    assert good and "UNSOLVED" in text or "BLOCKED" in text
    (real.root / "minigrad" / "__init__.py").write_text("import os\nos._exit(3)\n")
    (good, text), = doctor._child(real)
    assert not good and "DIED" in text
