"""``python -m minigrad.homework.instructor``: what a lecturer does with a homework.

    verify [hw1 ...] [--quick | --all]           measure the acceptance points
    release hw1 [--out FOLDER]                   the zip file for the students
    key course.key                               a new course key, for the hidden cases
    grade hw1 SUBMISSIONS --csv grades.csv       grade a class
    regrade hw1 SUBMISSIONS                      grade again, and say what changed
    stats grades                                 a page about the class
    diff grades-before grades                    what differs between two gradings
    gradescope hw1                               the zip file for Gradescope

Leaves out: what the walls around a submission cannot stop (docs/homework/security.md).
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .acceptance import POINTS, Bench, Finding, Point, pages
from .grading import gradescope
from .grading.changes import differences
from .grading.grade import Setting, grade_class
from .grading.isolation import IsolationError, Mode, choose
from .grading.points import GRADER_POINTS
from .grading.results import Result, ResultError, State, read_results, result_name
from .grading.secret import SecretError, fingerprint, new_key, read_key
from .grading.statistics import page
from .grading.submission import SubmissionError, found
from .release import ReleaseError, checkout, faults, library, starter
from .spec import Homework, SpecError, homework, homeworks
from .workplace import WorkplaceError, release_tree, write, zipped

__all__ = ["main"]

SHARE = 3  # of the known-wrong and alternative right bodies, in verify --quick
KEY = Path("course.key")
ALL_POINTS = (*POINTS, *GRADER_POINTS)
UNSAFE = """No walls: submissions run with your rights. Each of them could read the solution, the
course key and other submissions, change results and files, use the network, and leave processes.
Do this only with code that you would run yourself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.work(options)
    except KeyboardInterrupt:
        print("instructor: interrupted; what was written is valid, and the same command finishes "
              "it", file=sys.stderr)
        return 130
    except (SpecError, ReleaseError, WorkplaceError, IsolationError, ResultError, SecretError,
            SubmissionError, OSError) as error:
        print(f"instructor: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m minigrad.homework.instructor", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    names = [point.name for point in ALL_POINTS]

    verify = commands.add_parser("verify", help="measure the acceptance points")
    verify.set_defaults(work=_verify)
    verify.add_argument("homeworks", nargs="*", metavar="hwN", help="all by default")
    how = verify.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true",
                     help="what needs no grader, and one wrong or right body in "
                     f"{SHARE}: under 5 minutes (the default)")
    how.add_argument("--all", action="store_true", help="everything: under 60 minutes")
    verify.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1),
                        help="how many trees are worked on at once")
    verify.add_argument("--only", nargs="+", metavar="NAME", choices=names,
                        help="only these points: " + " ".join(names))
    verify.add_argument("--notes", action="store_true", help="print what is allowed but worth "
                        "knowing: wrong bodies whose cause is not named")
    verify.add_argument("--resume", type=Path, metavar="FILE",
                        help="keep what was measured in this file, and measure only what is not "
                        "in it; another version of the code measures all again")

    release = commands.add_parser("release", help="make the zip file for the students")
    release.set_defaults(work=_release)
    release.add_argument("homeworks", nargs="+", metavar="hwN")
    release.add_argument("--out", type=Path, default=Path.cwd(), metavar="FOLDER",
                         help="where minigrad-hwN.zip is written (here)")

    key = commands.add_parser("key", help="make a course key")
    key.set_defaults(work=_key)
    key.add_argument("file", type=Path, nargs="?", default=KEY, help=f"({KEY})")

    def grading(name: str, help_: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_)
        sub.add_argument("homework", metavar="hwN")
        sub.add_argument("submissions", type=Path, help="a folder of zip files and folders")
        sub.add_argument("--key", type=Path, default=KEY, help=f"the course key ({KEY})")
        sub.add_argument("--release", type=Path, metavar="ZIP",
                         help="what the students were given (default: made from the checkout)")
        sub.add_argument("--out", type=Path, default=Path("grades"), metavar="FOLDER",
                         help="a JSON file and a text for each submission (grades)")
        sub.add_argument("--csv", type=Path, metavar="FILE",
                         help="the table of the class (grades.csv, named like the folder)")
        sub.add_argument("--deadline", type=_moment, metavar="2026-11-20T23:59",
                         help="mark what is newer as late; it loses no points")
        sub.add_argument("--isolation", default="auto",
                         choices=("auto", "namespaces", "uid", "none"), help="the walls (auto)")
        sub.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1),
                         help="how many submissions are graded at once")
        sub.add_argument("--time-factor", type=float, default=1.0, metavar="X",
                         help="multiply all limits of time, for a slow machine (1)")
        return sub

    sub = grading("grade", "grade a class")
    sub.set_defaults(work=_grade)
    sub.add_argument("--again", action="store_true",
                     help="grade also what was graded before with the same code and key")
    sub = grading("regrade", "grade again, and say what changed")
    sub.set_defaults(work=_regrade)
    sub.add_argument("--only", nargs="+", metavar="NAME", help="only these submissions")

    stats = commands.add_parser("stats", help="a page about the class")
    stats.set_defaults(work=_stats)
    stats.add_argument("grades", type=Path, help="the folder of results")
    stats.add_argument("--out", type=Path, default=Path("statistics.html"), metavar="FILE")
    stats.add_argument("--names", action="store_true",
                       help="with the names of submissions: not for publishing")

    diff = commands.add_parser("diff", help="what differs between two gradings")
    diff.set_defaults(work=_diff)
    diff.add_argument("old", type=Path, help="a folder of results")
    diff.add_argument("new", type=Path, help="another one")

    sub = commands.add_parser("gradescope", help="make the zip file for Gradescope")
    sub.set_defaults(work=_gradescope)
    sub.add_argument("homework", metavar="hwN")
    sub.add_argument("--key", type=Path, default=KEY, help=f"the course key ({KEY})")
    sub.add_argument("--release", type=Path, metavar="ZIP",
                     help="what the students were given (default: made from the checkout)")
    sub.add_argument("--out", type=Path, metavar="ZIP", help="(gradescope-hwN.zip)")
    sub.add_argument("--time-factor", type=float, default=1.0, metavar="X",
                     help="multiply all limits of time (1)")
    return parser


def _moment(text: str) -> datetime:
    """A moment with a time zone; that of this machine where none is named."""
    try:
        if ":" not in text:
            raise ValueError("no time")
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date with a time, such as 2026-11-20T23:59") from error


# ------------------------------------------------------------------------------------------ verify


def _verify(options: argparse.Namespace) -> int:
    chosen = [homework(name) for name in options.homeworks] or list(homeworks())
    quick = {point.name for point in POINTS} | {"forged"}
    failed = 0
    began = time.perf_counter()
    with Bench(copies=options.processes, share=1 if options.all else SHARE) as bench:
        known = _Known(options.resume, bench)
        for number, point in enumerate(ALL_POINTS, 1):
            if point.name not in (options.only or (quick if not options.all else [point.name])):
                continue
            print(f"{number}. {point.title}  [{point.name}]", flush=True)
            for hw in [hw for hw in chosen if point.only in ("", hw.name)]:
                finding, seconds, before = known.finding(point, hw, bench)
                word = "ok  " if finding.holds else "FAIL"
                print(f"   {word} {hw.name}: {finding.text}  ({seconds:.1f} s"
                      f"{', before' if before else ''})", flush=True)
                failed += not finding.holds
                for line in finding.against:
                    print("        " + line.replace("\n", "\n        "))
                for line in finding.notes if options.notes else ():
                    print("        note: " + line)
    print(f"{failed} of the points do not hold; " if failed else "all hold; ",
          f"{(time.perf_counter() - began) / 60:.1f} minutes", sep="")
    return 1 if failed else 0


class _Known:
    """What was measured before, on the same code."""

    def __init__(self, file: Path | None, bench: Bench) -> None:
        self.file = file
        self.code = f"{bench.share}:{_fingerprint(bench.root)}" if file else ""
        self.found: dict[str, Any] = {}
        if file is not None and file.exists():
            try:
                table = json.loads(file.read_text(encoding="utf-8"))
                self.found = table["found"] if table["code"] == self.code else {}
            except (ValueError, KeyError, TypeError) as error:
                raise SpecError(f"{file.name} is no file of verify --resume: {error}") from error

    def finding(self, point: Point, hw: Homework, bench: Bench) -> tuple[Finding, float, bool]:
        """The finding, how long it took, and whether that was before; only what holds is kept."""
        name = f"{point.name} {hw.name}"
        if name in self.found:
            text, seconds = self.found[name]
            return Finding(text), seconds, True
        began = time.perf_counter()
        finding = point.measure(bench, hw)
        seconds = time.perf_counter() - began
        if self.file is not None and finding.holds:
            self.found[name] = [finding.text, seconds]
            write(self.file.absolute(), json.dumps(
                {"code": self.code, "found": self.found}, indent=1).encode())
        return finding, seconds, False


def _fingerprint(root: Path) -> str:
    """SHA-256 of all that the points depend on."""
    sha = hashlib.sha256()
    folders = ("minigrad", "gans", "tests", "notebooks", "docs")
    for path in sorted(p for folder in folders for p in (root / folder).rglob("*")):
        if path.suffix in (".py", ".toml", ".ipynb", ".md") and path.is_file():
            sha.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return sha.hexdigest()


# ------------------------------------------------------------------------------- before the grading


def _release(options: argparse.Namespace) -> int:
    """Write the zip files; none that has a fault."""
    root = checkout()
    if root is None:
        raise ReleaseError("a release is made from a checkout: the notebooks and tests of the "
                           "homeworks are not in the installed package")
    for hw in [homework(name) for name in options.homeworks]:
        tree = starter(root, hw)
        wrong = faults(tree, library(root), hw, pages(root))
        if wrong:
            raise ReleaseError(f"{hw.name} is not fit for students:\n  " + "\n  ".join(wrong))
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"minigrad-{hw.name}.zip"
        content = zipped(tree)
        write(path, content)
        print(f"{path.name}: {len(content):,} bytes, {len(tree)} files, {len(hw.blanks)} blanks, "
              f"SHA-256 {hashlib.sha256(content).hexdigest()}")
    return 0


def _key(options: argparse.Namespace) -> int:
    print(f"{options.file.name}: fingerprint {fingerprint(new_key(options.file))}. Keep it, and "
          "keep it to yourself: with it, hidden cases are known.")
    return 0


def _gradescope(options: argparse.Namespace) -> int:
    key = read_key(options.key)
    hw, tree = release_tree(options.homework, options.release)
    files = gradescope.autograder_zip(hw, tree, key, gradescope.library(),
                                      patience=options.time_factor)
    path = options.out or Path(f"gradescope-{hw.name}.zip")
    content = zipped(files, gradescope.EXECUTABLE)
    write(path.absolute(), content)
    os.chmod(path, 0o600)
    print(f"{path.name}: {len(content):,} bytes, course key {fingerprint(key)}. The solution and "
          "the key are in it: give it to Gradescope and to nobody else.")
    return 0


# ------------------------------------------------------------------------------------ the grading


def _setting(options: argparse.Namespace) -> Setting:
    if options.processes < 1 or not 0 < options.time_factor < float("inf"):
        raise SpecError("--processes and --time-factor are above 0")
    hw, tree = release_tree(options.homework, options.release)
    key = read_key(options.key)
    _refuse_folder(options, hw)
    table = _table(options)
    if table.is_dir():
        raise SpecError(f"{table.name} is a folder; name a file with --csv")
    table.touch()  # that it can be written is known before anything is graded
    mode = choose(options.isolation)
    if mode is Mode.NONE:
        print(UNSAFE, file=sys.stderr)
        options.processes = 1
    return Setting(hw, tree, key, mode, options.time_factor, options.deadline)


def _refuse_folder(options: argparse.Namespace, hw: Homework) -> None:
    """SpecError if the results would be mixed with something else."""
    if options.out.resolve().is_relative_to(options.submissions.resolve()):
        raise SpecError(f"{options.out.name} lies in the folder of the submissions: results would "
                        "be taken for some of them; name another one with --out")
    if any(options.out.glob("*.json")):
        others = {r.homework for r in read_results(options.out)} - {hw.name}
        if others:
            raise SpecError(f"{options.out.name} holds results of {min(others)}; name another "
                            f"folder for those of {hw.name} with --out")


def _table(options: argparse.Namespace) -> Path:
    """Where the CSV is written."""
    path = options.csv or options.out.with_name(options.out.name + ".csv")
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    return path.absolute()


def _grade(options: argparse.Namespace) -> int:
    paths = found(options.submissions)
    if not paths:
        raise SpecError(f"there is nothing to grade in {options.submissions}")
    setting = _setting(options)
    print(f"{len(paths)} submissions of {setting.homework.name}, walls: {setting.mode.value}, "
          f"course key {fingerprint(setting.key)}")
    results = grade_class(paths, setting, options.out, _table(options), options.processes,
                          options.again)
    late = sum(result.late is True for result in results)
    if setting.deadline is not None:
        print(f"{late} of {len(results)} are late, by their names or else by the dates of the "
              f"files; the deadline was {setting.deadline.isoformat(' ', 'minutes')}")
        if 2 * late > len(results):
            print("instructor: more than half are late: copying and downloading change the dates "
                  "of files", file=sys.stderr)
    counts = collections.Counter(result.student for result in results)
    several = sorted(student for student, n in counts.items() if student and n > 1)
    if several:
        print(f"instructor: more than one submission, each with its own row, of "
              f"{', '.join(several)}", file=sys.stderr)
    return _said(results, _table(options))


def _said(results: Sequence[Result], table: Path) -> int:
    counts = {state: sum(r.state == state for r in results) for state in State.ALL}
    print(f"{table.name}: " + ", ".join(f"{n} {state}" for state, n in counts.items() if n))
    if counts[State.FAILED]:
        print("instructor: the grader failed on some submissions; they have no score. Mend the "
              "reason and give the same command again.", file=sys.stderr)
    return 1 if counts[State.FAILED] or counts[State.WAITING] else 0


def _regrade(options: argparse.Namespace) -> int:
    """Grade again into the same folder; the results before are kept beside it."""
    old = read_results(options.out)
    paths = found(options.submissions)
    unknown = set(options.only or ()) - {path.name for path in paths}
    if unknown:
        raise SpecError(f"there is no submission {min(unknown)} in {options.submissions}")
    setting = _setting(options)
    kept = _numbered(options.out)
    last = _numbered(options.out, -1)
    if last.is_dir() and any(result.state == State.WAITING for result in old):
        kept, old = last, read_results(last)  # an earlier regrade was cut off
    else:
        shutil.copytree(options.out, kept)
    again = [path for path in paths if not options.only or path.name in options.only]
    names = {result_name(path.name) for path in again}
    others = [result for result in read_results(options.out) if result.file not in names]
    grade_class(again, setting, options.out, _table(options), options.processes, again=True,
                beside=others)
    results = read_results(options.out)
    lines = differences(old, results)
    print("\n".join(lines) or "nothing changed")
    print(f"the results before are in {kept.name}")
    return _said(results, _table(options))


def _numbered(folder: Path, step: int = 0) -> Path:
    """The first name beside the folder that does not exist yet, or so many before that."""
    number = 1
    while folder.with_name(f"{folder.name}-before-{number}").exists():
        number += 1
    return folder.with_name(f"{folder.name}-before-{number + step}")


# ------------------------------------------------------------------------------- after the grading


def _stats(options: argparse.Namespace) -> int:
    results = read_results(options.grades)
    hw = homework(results[0].homework)
    write(options.out.absolute(),
          page(results, hw, f"Results of {hw.name}", names=options.names).encode())
    print(f"{options.out.name}: {len(results)} submissions"
          f"{'' if options.names else ', without names'}")
    return 0


def _diff(options: argparse.Namespace) -> int:
    """Print the differences; the status is 1 if there are any, as that of diff."""
    lines = differences(read_results(options.old), read_results(options.new))
    print("\n".join(lines) or "no differences")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
