"""What a lecturer must be able to verify before a class sees a homework, each point measured.

The points are those of the homework system's specification that need no grader. A point is a
function from a ``Bench`` to a ``Finding``; its number is the same wherever it is printed.

Known wrong and alternative right bodies are data of the tests, ``tests/homework/bodies``: a
checkout is needed. They are so many that a bench can be told to try a share of them: always the
same ones, at least one wrong body of every blank and one right solution of every question. How many
there are is counted on all of them.

Leaves out: everything about submissions of others, which is the grader's.
"""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import io
import json
import py_compile
import queue
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .carry import carry
from .check import Outcome
from .cli import meant
from .release import Tree, checkout, faults, library, missing_blanks, starter
from .report import LINES, message, score
from .runner import Runner, Verdict
from .source import body_of, decode, opened, with_body
from .spec import Blank, Homework, Question, SpecError, all_blanks, homeworks
from .workplace import Workplace, write_tree

__all__ = ["POINTS", "Bench", "Bodies", "Finding", "Point", "Wrong", "bodies_of", "chosen", "pages"]

Entry = TypeVar("Entry")

SEEDS = 10
WRONG_EACH, RIGHT_EACH, CAUSES = 3, 5, 0.8


@dataclass(frozen=True)
class Wrong:
    """A known-wrong body of a blank, and what the message about it has to say."""

    blank: str
    cause: str
    body: str


@dataclass(frozen=True)
class Bodies:
    """The wrong and the alternative right bodies of a homework."""

    wrong: tuple[Wrong, ...]
    right: tuple[tuple[str, Mapping[str, str]], ...]  # question, {blank: body}


@dataclass
class Finding:
    """One acceptance point: whether it holds, in numbers, and what is against it."""

    text: str
    against: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # worth knowing, and allowed

    @property
    def holds(self) -> bool:
        """Whether nothing is against it."""
        return not self.against


def bodies_of(root: Path, homework: Homework) -> Bodies:
    """The bodies in ``tests/homework/bodies``; KeyError for one that names no blank."""
    path = root / "tests" / "homework" / "bodies" / f"{homework.name}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    known = {blank.id for blank in homework.blanks}
    wrong = tuple(Wrong(**entry) for entry in table.get("wrong", ()))
    right = tuple((entry["question"], entry["bodies"]) for entry in table.get("right", ()))
    named = {w.blank for w in wrong} | {b for _, bodies in right for b in bodies}
    if named - known:
        raise KeyError(f"{path.name}: no blanks of {homework.name}: {sorted(named - known)}")
    return Bodies(wrong, right)


def chosen(entries: Sequence[Entry], group: Callable[[Entry], str], share: int) -> list[Entry]:
    """One in ``share`` of the entries of every group, at least one, in their order.

    Which ones is decided by a hash of what they say: the same ones in every run and on every
    machine, wherever they stand, and no matter what is added to other groups.
    """
    groups: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        groups.setdefault(group(entry), []).append(i)
    kept: set[int] = set()
    for rows in groups.values():
        rows.sort(key=lambda i: hashlib.sha256(repr(entries[i]).encode()).digest())
        kept.update(rows[:max(1, round(len(rows) / share))])
    return [entry for i, entry in enumerate(entries) if i in kept]


def _counted(tried: Sequence[Any], entries: Sequence[Any]) -> str:
    return str(len(tried)) if len(tried) == len(entries) else f"{len(tried)} of {len(entries)}"


class Bench:
    """A copy of the library in a temporary folder, in which bodies are put in and taken out.

    A context manager. With several copies, ``each`` works on all of them at the same time: a check
    is a process of its own.

    Parameters
    ----------
    root : Path, optional
        The checkout; by default that of this module.
    copies : int
    share : int
        Of the wrong and of the alternative right bodies, one in ``share`` is tried; see ``chosen``.
    """

    def __init__(self, root: Path | None = None, copies: int = 1, share: int = 1) -> None:
        self.root = root or checkout()
        self.share = share
        if self.root is None:
            raise FileNotFoundError("the homework can be verified in a checkout only: the tests "
                                    "hold the known-wrong bodies, and a wheel has no tests")
        self.reference: Tree = library(self.root)
        self.others = [Bench(self.root) for _ in range(copies - 1)]

    def __enter__(self) -> Bench:
        for other in self.others:
            other.__enter__()
        self._folder = tempfile.TemporaryDirectory(prefix="minigrad-bench-")
        self.tree = Path(self._folder.name) / "tree"
        for path, content in self.reference.items():
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / path).write_bytes(content)
        # By the content of a file, not by its time: bodies change more than once a second.
        compileall.compile_dir(self.tree, quiet=2,
                               invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
        return self

    def __exit__(self, *exc: object) -> None:
        self._folder.cleanup()
        for other in self.others:
            other.__exit__(*exc)

    def each(self, work: Callable[[Bench, Any], Any], items: Sequence[Any]) -> list[Any]:
        """``work(bench, item)`` for every item, in their order, on all copies at once."""
        free: queue.SimpleQueue = queue.SimpleQueue()
        for bench in (self, *self.others):
            free.put(bench)

        def one(item: Any) -> Any:
            bench = free.get()
            try:
                return work(bench, item)
            finally:
                free.put(bench)

        with ThreadPoolExecutor(1 + len(self.others)) as pool:
            return list(pool.map(one, items))

    @contextlib.contextmanager
    def with_bodies(self, bodies: Mapping[Blank, str]) -> Iterator[None]:
        """Inside, the tree has these bodies."""
        texts = {blank.file: decode(self.reference[blank.file]) for blank in bodies}
        for blank, body in bodies.items():
            texts[blank.file] = with_body(texts[blank.file], blank.name, body)
        with self.with_texts(texts):
            yield

    @contextlib.contextmanager
    def with_open(self, blanks: Sequence[Blank], number: int) -> Iterator[None]:
        """Inside, these blanks are open, as in the tree of homework ``number``."""
        texts = {}
        for file in {blank.file for blank in blanks}:
            texts[file] = opened(decode(self.reference[file]),
                                 [b for b in blanks if b.file == file], number)
        with self.with_texts(texts):
            yield

    @contextlib.contextmanager
    def with_texts(self, texts: Mapping[str, str]) -> Iterator[None]:
        """Inside, these files have other texts."""
        try:
            for file, text in texts.items():
                (self.tree / file).write_text(text, encoding="utf-8")
            yield
        finally:
            for file in texts:
                (self.tree / file).write_bytes(self.reference[file])

    def check(self, homework: Homework, questions: Sequence[Question] = (), seed: int = 0
              ) -> list[Verdict]:
        """The verdicts on the questions, all by default."""
        with Runner(self.tree, homework, caches=False) as runner:
            return [runner.run(check, seed) for question in questions or homework.questions
                    for check in question.checks]

    def messages(self, verdicts: Sequence[Verdict]) -> list[str]:
        """What a student would read about the checks that did not pass."""
        return [message(v, self.tree, all_blanks()) for v in verdicts if not v.passed]


# -------------------------------------------------------------------------------------- the points


def reference_scores(bench: Bench, homework: Homework) -> Finding:
    """The reference scores 100 under 10 seeds."""

    def under(one: Bench, seed: int) -> tuple[int, list[str]]:
        verdicts = one.check(homework, seed=seed)
        return score(verdicts), [f"seed {seed}:\n{text}"
                                 for text in one.messages(verdicts)]

    found = bench.each(under, range(SEEDS))
    scores = [points for points, _ in found]
    return Finding(f"{min(scores)} to {max(scores)} of 100 under {SEEDS} seeds",
                   [text for _, texts in found for text in texts])


def starter_scores(bench: Bench, homework: Homework) -> Finding:
    """The starter scores 0, every check UNSOLVED or BLOCKED."""
    with bench.with_open([*all_blanks().values()], homework.number):
        verdicts = bench.check(homework)
    bad = [v for v in verdicts if v.outcome not in (Outcome.UNSOLVED, Outcome.BLOCKED)]
    counts = [sum(v.outcome is o for v in verdicts) for o in (Outcome.UNSOLVED, Outcome.BLOCKED)]
    return Finding(f"{score(verdicts)} points, {counts[0]} UNSOLVED, {counts[1]} BLOCKED",
                   [f"{v.check.id}: {v.outcome.value} {v.text}" for v in bad])


def pages(root: Path) -> dict[str, str]:
    """The documents that students read besides the release: the README and the pages of docs."""
    found = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
            for path in found if not {"_generated", "_build"} & set(path.parts)}


def nothing_leaks(bench: Bench, homework: Homework) -> Finding:
    """The release compiles, is the library outside the blanks, and gives nothing away."""
    against = missing_blanks(bench.reference, homework.blanks)
    if not against:
        tree = starter(bench.root, homework)
        against = faults(tree, bench.reference, homework, pages(bench.root))
        return Finding(f"{len(tree)} files, {len(homework.blanks)} blanks, "
                       f"{len(against)} faults", against)
    return Finding(f"{len(against)} blanks are not in the library", against)


def single_blanks(bench: Bench, homework: Homework) -> Finding:
    """Every single open blank is named by a check of its question; nothing else is WRONG."""

    def without(one: Bench, blank: Blank) -> list[str]:
        with one.with_open([blank], homework.number):
            verdicts = one.check(homework)
        fine = (Outcome.PASS, Outcome.UNSOLVED, Outcome.BLOCKED)
        against = [f"{blank.id} open: {v.check.id} is {v.outcome.value}: {v.text}"
                   for v in verdicts if v.outcome not in fine]
        if not any(v.outcome is Outcome.UNSOLVED and v.blank == blank.id
                   and v.check.question == blank.question for v in verdicts):
            against.append(f"{blank.id} open: no check of {blank.question} names it")
        return against

    found = bench.each(without, homework.blanks)
    return Finding(f"{len(homework.blanks)} blanks opened one by one",
                   [line for lines in found for line in lines])


def later_open(bench: Bench, homework: Homework) -> Finding:
    """Every question passes with all later ones open, also those of later homeworks."""
    against = []
    later_homeworks = [b for hw in homeworks() if hw.number > homework.number for b in hw.blanks]
    for i, question in enumerate(homework.questions):
        later = [b for q in homework.questions[i + 1:] for b in q.blanks] + later_homeworks
        with bench.with_open(later, homework.number):
            verdicts = bench.check(homework, [question])
        against += bench.messages(verdicts)
    return Finding(f"{len(homework.questions)} questions, all later blanks open", against)


def wrong_bodies(bench: Bench, homework: Homework) -> Finding:
    """At least 3 known-wrong bodies a blank are caught by their own question, 80 % by cause."""
    known = bodies_of(bench.root, homework).wrong
    wrong = chosen(known, lambda entry: entry.blank, bench.share)
    blanks = {blank.id: blank for blank in homework.blanks}
    questions = {question.id: question for question in homework.questions}

    def caught(one: Bench, entry: Wrong) -> tuple[list[Verdict], list[str]]:
        blank = blanks[entry.blank]
        with one.with_bodies({blank: entry.body}):
            verdicts = one.check(homework, [questions[blank.question]])
            messages = one.messages(verdicts)
        return [v for v in verdicts if not v.passed and blank.id in v.check.blanks], messages

    against, missed, unnamed, longest = [], [], [], 0
    for blank in homework.blanks:
        count = sum(entry.blank == blank.id for entry in known)
        if count < WRONG_EACH:
            against.append(f"{blank.id}: {count} known-wrong bodies, want {WRONG_EACH}")
    for entry, (failed, messages) in zip(wrong, bench.each(caught, wrong), strict=True):
        longest = max([longest, *(len(text.split("\n")) for text in messages)])
        if not failed:
            missed.append(f"{entry.blank} is not caught:\n{entry.body.strip()}")
            continue
        first = failed[0]  # the one that a student sees
        said = f"{first.outcome.value} {first.text} {first.cause}".lower()
        if entry.cause.lower() not in said:
            unnamed.append(f"{entry.blank}: {entry.cause!r} is not in: {said}")
    against += missed
    if longest > LINES:
        against.append(f"a message has {longest} lines")
    named = len(wrong) - len(missed) - len(unnamed)
    rate = named / max(len(wrong), 1)
    if rate < CAUSES:
        against += unnamed
    return Finding(f"{_counted(wrong, known)} wrong bodies tried, {len(wrong) - len(missed)} "
                   f"caught, {named} ({rate:.0%}) with the cause named, messages of at most "
                   f"{longest} lines", against, unnamed)


def right_bodies(bench: Bench, homework: Homework) -> Finding:
    """At least 5 alternative right solutions a question score all its points."""
    known = bodies_of(bench.root, homework).right
    right = chosen(known, lambda alternative: alternative[0], bench.share)
    blanks = {blank.id: blank for blank in homework.blanks}
    questions = {question.id: question for question in homework.questions}

    def refused(one: Bench, alternative: tuple[str, Mapping[str, str]]) -> list[str]:
        question, bodies = alternative
        with one.with_bodies({blanks[b]: body for b, body in bodies.items()}):
            return one.messages(one.check(homework, [questions[question]]))

    against = []
    for question in homework.questions:
        count = sum(q == question.id for q, _ in known)
        if count < RIGHT_EACH:
            against.append(f"{question.id}: {count} alternatives, want {RIGHT_EACH}")
    against += [text for texts in bench.each(refused, right) for text in texts]
    return Finding(f"{_counted(right, known)} alternative right solutions tried", against)


def points_add_up(bench: Bench, homework: Homework) -> Finding:
    """The points of the checks add up to 100."""
    points = [question.points for question in homework.questions]
    against = [] if sum(points) == 100 else [f"{sum(points)} points"]
    return Finding(f"{' + '.join(map(str, points))} = {sum(points)}", against)


def carried_over(bench: Bench, homework: Homework) -> Finding:
    """Started one after the other, hw1 to this one, work is carried over: 100 without an edit."""
    with tempfile.TemporaryDirectory(prefix="minigrad-carry-") as folder:
        before, carried = None, 0
        for hw in homeworks():
            if hw.number > homework.number:
                break
            tree = starter(bench.root, hw)
            if before is not None:
                done = carry(before, tree)
                carried += len(done.blanks)
                tree |= done.files
                against = [f"{hw.name}: {line}" for line in (*done.left, *done.helpers)]
            place = Workplace(Path(folder) / hw.name, hw)
            write_tree(tree, place.root)
            for file in {blank.file for blank in hw.blanks}:  # what a student does
                text = decode((place.root / file).read_bytes())
                for blank in hw.blanks:
                    if blank.file == file:
                        body = body_of(decode(bench.reference[file]), blank.name).text
                        text = with_body(text, blank.name, body, blank.id)
                (place.root / file).write_text(text, encoding="utf-8")
            before = place
        with Runner(place.root, homework) as runner:
            verdicts = [runner.run(check) for check in homework.checks]
    against = [] if homework.number == 1 else against
    against += bench.messages(verdicts)
    return Finding(f"{carried} blanks carried over, {score(verdicts)} of 100", against)


COMMAND = re.compile(r"(?:[`!]|^ *|: )minigrad-hw ([a-z]+(?: [\w./-]+)*)", re.MULTILINE)


def commands_work(bench: Bench, homework: Homework) -> Finding:
    """Every command printed in notebooks, documents, hints and placeholders is one that works."""
    tree = starter(bench.root, homework)
    read = {path: decode(content) for path, content in tree.items()
            if path.endswith((".py", ".md"))}
    for path, content in tree.items():
        if path.endswith(".ipynb"):
            cells = json.loads(content)["cells"]
            read[path] = "\n".join("".join(cell["source"]) for cell in cells)
    read |= pages(bench.root)
    read |= {blank.id: "\n".join(blank.hints) for blank in homework.blanks}
    found = {(path, words) for path, text in read.items() for words in COMMAND.findall(text)}
    against = []
    for path, words in sorted(found):
        try:
            with contextlib.redirect_stderr(io.StringIO()) as said:
                meant([word.rstrip(".") for word in words.split()])
        except (LookupError, SpecError, SystemExit) as error:
            problem = said.getvalue().strip().splitlines()[-1:] or [str(error)]
            against.append(f"{path}: minigrad-hw {words}: {problem[0]}")
    return Finding(f"{len(found)} commands", against)


@dataclass(frozen=True)
class Point:
    """An acceptance point: its name for the command line, and what measures it.

    ``only`` names the homework that it is measured with, where that says enough of all.
    """

    name: str
    measure: Callable[[Bench, Homework], Finding]
    only: str = ""

    @property
    def title(self) -> str:
        """What has to hold."""
        return (self.measure.__doc__ or "").strip().partition("\n\n")[0].rstrip(".")


POINTS: tuple[Point, ...] = (
    Point("reference", reference_scores),
    Point("starter", starter_scores),
    Point("leaks", nothing_leaks),
    Point("sweep", single_blanks),
    Point("later", later_open),
    Point("wrong", wrong_bodies),
    Point("right", right_bodies),
    Point("points", points_add_up),
    Point("carry", carried_over),
    Point("commands", commands_work),
)
