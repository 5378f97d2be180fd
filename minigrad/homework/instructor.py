"""``python -m minigrad.homework.instructor``: what a lecturer does with a homework.

    verify [hw1 ...] [--quick] [--only NAME]     measure the acceptance points
    release hw1 [--out FOLDER]                   the zip file for the students

Leaves out: grading, which is work on code of others.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .acceptance import POINTS, Bench, pages
from .release import ReleaseError, checkout, faults, library, starter
from .spec import SpecError, homework, homeworks
from .workplace import write, zipped

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m minigrad.homework.instructor",
                                     description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="measure the acceptance points")
    verify.add_argument("homeworks", nargs="*", metavar="hwN", help="all by default")
    verify.add_argument("--quick", action="store_true",
                        help="what needs no grader, in under 5 minutes (so far that is all)")
    verify.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1),
                        help="how many trees are worked on at once")
    verify.add_argument("--only", nargs="+", metavar="NAME", choices=[p.name for p in POINTS],
                        help="only these points: " + " ".join(p.name for p in POINTS))
    verify.add_argument("--notes", action="store_true", help="print what is allowed but worth "
                        "knowing: wrong bodies whose cause is not named")
    release = commands.add_parser("release", help="make the zip file for the students")
    release.add_argument("homeworks", nargs="+", metavar="hwN")
    release.add_argument("--out", type=Path, default=Path.cwd(), metavar="FOLDER",
                         help="where minigrad-hwN.zip is written (here)")
    options = parser.parse_args(arguments)
    try:
        return _verify(options) if options.command == "verify" else _release(options)
    except (SpecError, ReleaseError, FileNotFoundError) as error:
        print(f"instructor: {error}", file=sys.stderr)
        return 2


def _verify(options: argparse.Namespace) -> int:
    chosen = [homework(name) for name in options.homeworks] or list(homeworks())
    failed = 0
    with Bench(copies=options.processes) as bench:
        for number, point in enumerate(POINTS, 1):
            if options.only and point.name not in options.only:
                continue
            print(f"{number}. {point.title}  [{point.name}]", flush=True)
            for hw in chosen:
                began = time.perf_counter()
                finding = point.measure(bench, hw)
                seconds = time.perf_counter() - began
                word = "ok  " if finding.holds else "FAIL"
                print(f"   {word} {hw.name}: {finding.text}  ({seconds:.1f} s)", flush=True)
                failed += not finding.holds
                for line in finding.against:
                    print("        " + line.replace("\n", "\n        "))
                for line in finding.notes if options.notes else ():
                    print("        note: " + line)
    return 1 if failed else 0


def _release(options: argparse.Namespace) -> int:
    """Write the zip files; none that has a fault."""
    root = checkout()
    if root is None:
        raise ReleaseError("a release is made from a checkout: the notebooks and tests of the "
                           "homeworks are not in the installed package")
    for hw in [homework(name) for name in options.homeworks]:
        tree = starter(root, hw)
        found = faults(tree, library(root), hw, pages(root))
        if found:
            raise ReleaseError(f"{hw.name} is not fit for students:\n  " + "\n  ".join(found))
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"minigrad-{hw.name}.zip"
        content = zipped(tree)
        write(path, content)
        print(f"{path.name}: {len(content):,} bytes, {len(tree)} files, {len(hw.blanks)} blanks, "
              f"SHA-256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
