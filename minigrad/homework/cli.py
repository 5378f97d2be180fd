"""``minigrad-hw``: the student's tool.

It is the installed package, and runs the student's code only in a child process: whatever is
broken there is reported, and nothing of it is imported here.

Leaves out: grading. Hidden checks are the same programs on other inputs.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .carry import Carried, carry
from .check import Outcome
from .doctor import changed_outside, examine
from .release import Tree
from .report import message, place_of, score, table
from .runner import PUBLIC_CASES, PUBLIC_SEED, Runner, Verdict
from .spec import (
    Blank,
    CheckSpec,
    Homework,
    Question,
    SpecError,
    all_blanks,
    homework,
    homeworks,
)
from .watch import watch
from .workplace import (
    Workplace,
    WorkplaceError,
    added_files,
    pack,
    release_tree,
    write,
    write_tree,
    zipped,
)

__all__ = ["UnknownTarget", "main", "meant", "parser"]

MESSAGES = 3  # that are printed in full; more would not be read
PATIENCE = 2  # checks that may take too long: what makes one loop for ever mostly stops others too
EPILOG = """begin with:
  minigrad-hw start hw1        makes the folder hw1; go into it, open notebooks/hw1_autograd.ipynb
  minigrad-hw status           what is done, what comes next
"""


class UnknownTarget(LookupError):
    """What was named is no homework, question, check or blank."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, 1 if something is not solved, 2 for misuse."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except (WorkplaceError, SpecError, UnknownTarget) as error:
        print(f"minigrad-hw: {error.args[0]}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # who read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"minigrad-hw: {error}; nothing was lost", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="minigrad-hw", epilog=EPILOG,
                                     description="The homeworks of minigrad: start, check, hint.",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable, text: str, target: str = "", tree: bool = True
                ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        sub.set_defaults(run=run)
        if target:
            sub.add_argument("target", nargs=None if target == "one" else "?", metavar="NAME",
                             help="hw1, hw1.Q2, MatMul.gradient or the id of a check")
        if tree:
            sub.add_argument("--tree", type=Path, metavar="DIR",
                             help="the homework folder (default: the one you are in)")
        return sub

    sub = command("start", _start, "make the folder of a homework", tree=False)
    sub.add_argument("homework", metavar="hw1")
    sub.add_argument("--into", type=Path, metavar="DIR", help="the folder to make (hw1)")
    sub.add_argument("--release", type=Path, metavar="ZIP", help="the zip from your lecturer")
    sub.add_argument("--from", dest="old", type=Path, metavar="DIR",
                     help="the folder of the homework before (default: the one beside it)")
    command("status", _status, "show what is written and what comes next", "maybe")
    sub = command("check", _check, "run the public checks", "maybe")
    sub.add_argument("--seed", type=int, default=PUBLIC_SEED, help="draw other inputs")
    sub.add_argument("--cases", type=int, default=PUBLIC_CASES, metavar="N",
                     help=f"how many inputs for each check ({PUBLIC_CASES})")
    sub.add_argument("--all", action="store_true", help="print every message, not the first few")
    sub.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    sub = command("list", _list, "list the checks, for programs", "maybe")
    sub.add_argument("--json", action="store_true", help="as JSON")
    command("watch", _watch, "check again whenever a file is saved", "maybe")
    sub = command("hint", _hint, "show a hint; asked again, a better one", "one")
    sub.add_argument("--all", action="store_true", help="show all three")
    command("reset", _reset, "begin a blank again; the file is kept in a backup", "one")
    sub = command("pack", _pack, "make the zip file to hand in")
    sub.add_argument("--out", type=Path, metavar="ZIP", help="where to (hw1-submission.zip)")
    command("doctor", _doctor, "look for what is odd in the installation and the folder")
    return parser


# --------------------------------------------------------------------------------- what is meant


def meant(words: Sequence[str]) -> None:
    """Refuse the words of a command that names what there is not; nothing is run.

    Raises
    ------
    UnknownTarget, SpecError
        For a homework, question, check or blank that there is none of.
    SystemExit
        From argparse, for an unknown command or option.
    """
    options = parser().parse_args(words)
    target = getattr(options, "target", None) or getattr(options, "homework", None)
    if target is None:
        return
    named = target.split(".")[0]
    known = [hw for hw in homeworks() if hw.name == named]
    for hw in known or homeworks():
        try:
            _checks(hw, target)
            return
        except UnknownTarget as error:
            problem = error
    raise problem


def _place(options: argparse.Namespace) -> Workplace:
    if options.tree is None:
        return Workplace.around(Path.cwd())
    found = Workplace.at(options.tree.resolve())
    if found is None:
        raise WorkplaceError(f"{options.tree} is no homework folder")
    return found


def _homework(place: Workplace, target: str | None) -> Homework:
    """The homework of a target, or of the folder."""
    name = (target or "").split(".")[0]
    if name.startswith("hw") and name[2:].isdigit():
        return homework(name)
    if place.homework is not None:
        return place.homework
    if target:
        found = [hw for hw in homeworks() if any(_is_meant(b.id, target) for b in hw.blanks)]
        if found:
            return found[0]
    raise WorkplaceError("this is the library itself, which is the solution: go into your homework "
                         "folder, or name a homework: minigrad-hw check hw1")


def _is_meant(full: str, target: str) -> bool:
    return full == target or full.endswith("." + target)


def _checks(hw: Homework, target: str | None) -> list[CheckSpec]:
    """The checks that a target names: of a homework, question or blank, or one check."""
    if target in (None, hw.name):
        return list(hw.checks)
    found = [c for c in hw.checks if c.question == target or c.id == target
             or any(_is_meant(b, target) for b in c.blanks)]
    if found:
        return found
    raise UnknownTarget(f"nothing is called {target!r}{_similar(hw, target)}; there are {hw.name}, "
                        f"{', '.join(q.id for q in hw.questions)}, checks such as "
                        f"{hw.checks[0].id} and blanks such as {hw.blanks[0].name}")


def _blanks_of(hw: Homework, target: str) -> list[Blank]:
    """The blanks that a target names."""
    found = [b for b in hw.blanks if b.question == target or _is_meant(b.id, target)]
    if found:
        return found
    raise UnknownTarget(f"no blank is called {target!r}{_similar(hw, target)}; minigrad-hw status "
                        "lists them")


def _similar(hw: Homework, target: str) -> str:
    """A question of what may have been meant."""
    names = [hw.name, *(q.id for q in hw.questions), *(c.id for c in hw.checks),
             *(b.id for b in hw.blanks), *(b.name for b in hw.blanks)]
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(target.lower(), by_lower, 1) or difflib.get_close_matches(
        f"{hw.name}.{target}".lower(), by_lower, 1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


# ------------------------------------------------------------------------------------- commands


def _start(options: argparse.Namespace) -> int:
    into = _into(options)
    hw, fresh = release_tree(options.homework, options.release)
    place = Workplace.at(into) if into.is_dir() else None
    if place is not None and place.homework is not hw:
        raise WorkplaceError(f"{into.name} is the folder of something else; nothing was changed")
    old = _earlier(hw, into, options.old)
    tree = fresh
    if place is not None:  # it is there: open blanks are filled, missing files put back
        there = (*fresh, *added_files(place))
        tree = fresh | {name: (into / name).read_bytes() for name in there
                        if (into / name).is_file()}
    done = carry(old, tree) if old is not None else None
    carried = done.files if done else {}
    if place is None:
        write_tree({**tree, **carried}, into)
        print(f"made {_shown(into)}: {hw.title}, {len(hw.blanks)} blanks, 100 points")
    else:
        print(f"{_shown(into)} is there already; what you wrote in it stays as it is")
        missing = {name: tree[name] for name in fresh if not (into / name).is_file()}
        _put(place, {**missing, **carried})
        for name in missing:
            print(f"  was missing, put back: {name}")
    _say_carried(hw, old, done)
    notebook = next((name for name in tree if name.endswith(".ipynb")), "")
    print(f"next: go into {_shown(into)}, read {notebook}, and try: minigrad-hw status")
    return 0


def _into(options: argparse.Namespace) -> Path:
    """The folder to make: the one given, else one beside the homework folder that one is in."""
    if options.into is not None:
        return options.into.resolve()
    try:
        return Workplace.around(Path.cwd()).root.parent / options.homework
    except WorkplaceError:
        return Path.cwd() / options.homework


def _put(place: Workplace, files: Tree) -> None:
    """Write files into a folder, after copies were made of those that are there."""
    there = [name for name in files if (place.root / name).is_file()]
    if there:
        print(f"the files as they were: {place.back_up(there).relative_to(place.root)}")
    for name, content in files.items():
        (place.root / name).parent.mkdir(parents=True, exist_ok=True)
        write(place.root / name, content)


def _say_carried(hw: Homework, old: Workplace | None, done: Carried | None) -> None:
    """What came along from the folder of an earlier homework, and what did not."""
    if old is None or done is None:
        if hw.number > 1:
            print("no folder of an earlier homework lies beside it, so that its blanks are open "
                  f"too; to take your work along: minigrad-hw start {hw.name} --from FOLDER")
        return
    print(f"carried over from {_shown(old.root)}: {len(done.blanks)} blanks that were open here")
    for what, lines in (("added by you, carried over too", done.helpers),
                        ("not carried over", done.left)):
        for line in lines:
            print(f"  {what}: {line}")


def _earlier(hw: Homework, into: Path, given: Path | None) -> Workplace | None:
    """The folder whose work is carried over: the one given, or the nearest one beside ``into``."""
    if given is not None:
        found = Workplace.at(given.resolve())
        if found is None or found.homework is None:
            raise WorkplaceError(f"{given} is no homework folder")
        return found
    for number in range(hw.number - 1, 0, -1):
        beside = into.parent / f"hw{number}"
        found = Workplace.at(beside) if beside.is_dir() else None
        if found is not None and found.homework is not None:
            return found
    return None


def _shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def _status(options: argparse.Namespace) -> int:
    place = _place(options)
    hw = _homework(place, options.target)
    passed = place.noted("passed")
    print(f"{hw.name}: {hw.title}")
    upcoming = None
    for question in hw.questions:
        states = [place.state(blank) for blank in question.blanks]
        done = sum(check.points for check in question.checks if passed.get(check.id))
        print(f"{question.id}  {question.title}: {done} of {question.points} points at the last "
              "check")
        for state in states:
            word = "unreadable" if state.problem else ("written" if state.written else "open")
            print(f"    {word:10} {state.blank.name:34} {place_of(place.root, state.blank)}")
            if state.problem:
                print(f"               {state.problem}")
        if upcoming is None and done < question.points:
            upcoming = question
    if upcoming is None:
        print(f"all public checks of {hw.name} passed; hand in with: minigrad-hw pack")
    else:
        print(f"next: {upcoming.id}, {upcoming.title}; try: minigrad-hw check {upcoming.id}")
    return 0


def _check(options: argparse.Namespace) -> int:
    place = _place(options)
    hw = _homework(place, options.target)
    if options.cases < 1 or options.seed < 0:
        raise UnknownTarget("--cases is at least 1, and --seed at least 0")
    verdicts = run_checks(place, hw, _checks(hw, options.target), options.seed, options.cases)
    about = [b.id for b in hw.blanks if options.target and _is_meant(b.id, options.target)]
    # who asks for one blank is told of checks that need others too, but not judged by them
    judged = [v for v in verdicts if not about or v.blank in about
              or v.outcome not in (Outcome.UNSOLVED, Outcome.BLOCKED)]
    if options.json:
        print(json.dumps([_as_json(v, place) for v in verdicts]))
    else:
        most = len(verdicts) if options.all else MESSAGES
        print(summary(place, hw, judged, [v for v in verdicts if v not in judged], most))
    return 0 if judged and all(v.passed for v in judged) else 1


def run_checks(place: Workplace, hw: Homework, checks: Sequence[CheckSpec],
               seed: int = PUBLIC_SEED, cases: int = PUBLIC_CASES) -> list[Verdict]:
    """The verdicts, noted for ``status`` where the folder is a student's."""
    visible = [check for check in checks if check.visible]
    verdicts: list[Verdict] = []
    with Runner(place.root, hw) as runner:
        for check in visible:
            slow = sum(v.outcome is Outcome.TIMEOUT for v in verdicts)
            verdicts.append(runner.run(check, seed, range(cases)) if slow < PATIENCE else Verdict(
                check, Outcome.TIMEOUT, check.blanks[0], f"not run, since {PATIENCE} checks before "
                "it took too long", seed=seed))
    if place.homework is not None:
        noted = place.noted("passed") | {v.check.id: int(v.passed) for v in verdicts}
        place.note("passed", noted)
    return verdicts


def summary(place: Workplace, hw: Homework, verdicts: Sequence[Verdict],
            later: Sequence[Verdict] = (), most: int = MESSAGES) -> str:
    """What ``check`` prints: a line for each question, the first messages, the score.

    What is wrong comes first, then the first blank that is not written, then what waits for which
    blank. ``later`` are checks that cannot be run yet and do not count.
    """
    blanks = all_blanks()
    of = {outcome: [v for v in verdicts if v.outcome is outcome] for outcome in Outcome}
    wrong = [v for v in verdicts if not v.passed and v not in of[Outcome.UNSOLVED]
             and v not in of[Outcome.BLOCKED]]
    once = _once(wrong)
    told = [message(v, place.root, blanks) for v in once[:most]]
    if len(once) > most:
        told.append(f"and {len(once) - most} more; all of them: minigrad-hw check --all")
    if len(wrong) > len(once):
        more = len(wrong) - len(once)
        told.append(f"the same is behind {more} more check{'s' if more > 1 else ''}")
    outside = changed_outside(place) if wrong else []
    if outside:
        told.append(f"changed outside the blanks: {', '.join(outside[:3])}; is that why?")
    unsolved = _once(of[Outcome.UNSOLVED])
    first = unsolved if most >= len(verdicts) else unsolved[:1]
    told += [message(v, place.root, blanks) for v in first]
    for group, wait in ((of[Outcome.BLOCKED], "wait"), (later, "can be run later, which wait")):
        counts = Counter(v.blank for v in group)
        told += [f"{n} check{'s' if n > 1 else ''} {wait}{'s' if n == 1 and wait == 'wait' else ''}"
                 f" for {blank}  {place_of(place.root, blanks[blank])}"
                 for blank, n in counts.most_common(most)]
    points = sum(v.check.points for v in verdicts)
    end = f"{score(verdicts)} of {points} points"
    if verdicts and all(v.passed for v in verdicts):
        end += ". All public checks passed; hidden checks use other inputs."
    return "\n\n".join([*filter(None, [table(hw, verdicts)]), *told, end])


def _once(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Without those that say the same of the same place: one error stops many checks."""
    found: dict[Any, Verdict] = {}
    for v in verdicts:
        key: Any = v.check.id
        if v.outcome is not Outcome.WRONG:
            key = (v.outcome, v.text, v.file, v.line) if v.file else (v.outcome, v.blank, v.text)
        found.setdefault(key, v)
    return list(found.values())


def _as_json(verdict: Verdict, place: Workplace) -> dict[str, Any]:
    return {"id": verdict.check.id, "outcome": verdict.outcome.value, "blank": verdict.blank,
            "points": verdict.check.points, "seed": verdict.seed, "case": verdict.case,
            "message": "" if verdict.passed else message(verdict, place.root, all_blanks())}


def _list(options: argparse.Namespace) -> int:
    place = _place(options)
    hw = _homework(place, options.target)
    ids = [check.id for check in _checks(hw, options.target) if check.visible]
    print(json.dumps(ids) if options.json else "\n".join(ids))
    return 0


def _watch(options: argparse.Namespace) -> int:
    place = _place(options)
    hw = _homework(place, options.target)
    chosen = {check.question for check in _checks(hw, options.target)}

    def look(questions: Sequence[Question]) -> bool:
        checks = [check for question in questions for check in question.checks]
        verdicts = run_checks(place, hw, checks, PUBLIC_SEED)
        print(f"\n{time.strftime('%H:%M:%S')}\n{summary(place, hw, verdicts, most=1)}", flush=True)
        return all(v.passed for v in verdicts)

    watch(place, hw, [q for q in hw.questions if q.id in chosen], look, print)
    return 0


def _hint(options: argparse.Namespace) -> int:
    place = _place(options)
    hw = _homework(place, options.target)
    if options.target == hw.name:
        raise UnknownTarget(f"name a question or a blank: {hw.questions[0].id}, "
                            f"{hw.blanks[0].name}")
    blanks = _blanks_of(hw, options.target)
    passed = place.noted("passed")
    waiting = [b for b in blanks if not place.state(b).written or not all(
        passed.get(c.id) for c in hw.checks if b.id == c.blanks[0])]
    blank = (waiting or blanks)[0]
    given = place.noted("hints")
    count = len(blank.hints) if options.all else min(given.get(blank.id, 0) + 1, len(blank.hints))
    print(f"{blank.id}  {place_of(place.root, blank)}")
    for i, text in enumerate(blank.hints[:count], 1):
        print(f"  hint {i} of {len(blank.hints)}: {text}")
    if blank.given:
        print(f"  in this file for you: {', '.join(blank.given)}")
    if place.homework is not None:
        place.note("hints", {**given, blank.id: count})
    if count < len(blank.hints):
        print(f"a better one: minigrad-hw hint {blank.id}")
    return 0


def _reset(options: argparse.Namespace) -> int:
    place = _place(options)
    blanks = _blanks_of(_homework(place, options.target), options.target)
    if len(blanks) > 1:
        raise UnknownTarget(f"{options.target} has several blanks; name one: "
                            f"{', '.join(b.id for b in blanks)}")
    kept = place.reset(blanks[0])
    print(f"{blanks[0].id} is open again; the file as it was: "
          f"{(kept / blanks[0].file).relative_to(place.root)}")
    return 0


def _pack(options: argparse.Namespace) -> int:
    place = _place(options)
    hw = place.homework
    if hw is None:
        raise WorkplaceError("this is the library itself; pack works in a homework folder")
    files = pack(place, hw)
    out = (options.out or place.root / f"{hw.name}-submission.zip").resolve()
    write(out, zipped(files))
    states = place.states(hw)
    print(f"{_shown(out)}: {len(files)} files, "
          f"{sum(s.written for s in states)} of {len(states)} blanks written")
    careful = [f"{s.blank.id} is open" for s in states if not s.written and not s.problem]
    careful += dict.fromkeys(s.problem for s in states if s.problem)
    careful += [f"changed outside the blanks, which may not count: {text}"
                for text in changed_outside(place)]
    for text in careful:
        print(f"  careful: {text}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    try:
        place = _place(options)
    except WorkplaceError as error:
        place = None
        print(f"ODD  {error.args[0]}")
    odd = 0
    for good, text in examine(place):
        odd += not good
        print(f"{'ok ' if good else 'ODD'}  {text}")
    return 1 if odd or place is None else 0
