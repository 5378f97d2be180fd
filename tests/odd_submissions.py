"""Forty submissions of a class as it is: good, late, packed in odd ways, broken and hostile.

``odd_submissions`` writes them into a folder and says what grading each has to give: ("done",
points), or ("done", None) for anything below all points, or ("refused", 0). Twelve can be run.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from minigrad.homework.release import META
from minigrad.homework.source import decode, opened, with_body
from minigrad.homework.spec import Homework
from minigrad.homework.workplace import zipped

__all__ = ["Expectation", "odd_submissions", "packed"]

Expectation = tuple[str, int | None]
ALL, PART, NONE, REFUSED = ("done", 100), ("done", None), ("done", 0), ("refused", 0)
BOM = b"\xef\xbb\xbf"
PIECE = 400_000  # bytes of the largest pieces; small enough to be written in a moment


def packed(
    files: Mapping[str, bytes], change: Callable[[zipfile.ZipFile], None] | None = None,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A zip file; ``change`` may falsify its table before that is written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
        if change is not None:
            change(archive)
    return buffer.getvalue()


def odd_submissions(
    folder: Path, homework: Homework, starter: Mapping[str, bytes], solved: Mapping[str, bytes]
) -> dict[str, Expectation]:
    """Write 40 submissions into ``folder``; what each has to give, by its name.

    Parameters
    ----------
    homework : Homework
        hw1.
    starter : mapping of str to bytes
        Its starter.
    solved : mapping of str to bytes
        The files of the homework with the blanks written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    full = {META: starter[META], **solved}
    expected = {}
    for write in (_complete, _in_part, _nothing_in_it, _foreign, _hostile, _ambiguous, _damaged):
        expected |= write(folder, homework, dict(starter), full)
    return expected


def _put(folder: Path, name: str, content: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def _tree(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        _put(folder, name, content)


def _complete(folder: Path, homework: Homework, starter: dict, full: dict) -> dict:
    name = homework.name
    canvas = f"doejane_12345_67890_{name}-submission.zip"
    late = f"roerichard_LATE_12346_67891_{name}-submission.zip"
    moodle = "Max Muster_4711_assignsubmission_file"
    windows, nested = "windows.zip", "everything"
    _put(folder, canvas, zipped(full))
    _put(folder, late, zipped(full))
    _put(folder / moodle, f"{name}-submission.zip", zipped(full))
    _put(folder / moodle, "__MACOSX/._x.zip", b"Mac OS X")
    _put(folder / moodle, ".DS_Store", b"\0\0\0\1Bud1")
    crlf = {f"{name}\\" + path.replace("/", "\\"): BOM + content.replace(b"\n", b"\r\n")
            for path, content in full.items() if path != META}
    _put(folder, windows, packed(crlf, lambda archive: setattr(archive, "comment", b"7-Zip")))
    planted = {f"tests/{name}/test_{name}.py": b"def test():\n    pass\n",
               "conftest.py": b"raise SystemExit(0)\n", "sitecustomize.py": b"raise SystemExit\n",
               "numpy.py": b"raise SystemExit(0)\n", "minigrad/homework/checks/hw1.py": b"",
               "minigrad/helper.py": b"TWO = 2\n", "minigrad/ops/x.pth": b"import os\n"}
    _tree(folder / nested / name / name, {**starter, **full, **planted})
    return dict.fromkeys((canvas, late, moodle, windows, nested), ALL)


def _in_part(folder: Path, homework: Homework, starter: dict, full: dict) -> dict:
    blank = homework.blanks[0]
    text = decode(full[blank.file])
    wrong = with_body(text, blank.name, "return a * b", blank.id).encode()
    _put(folder, "one wrong.zip", zipped({**full, blank.file: wrong}))
    half = dict(full)
    for file in {b.file for b in homework.blanks}:
        reopened = [b for b in homework.blanks[len(homework.blanks) // 2:] if b.file == file]
        half[file] = opened(decode(half[file]), reopened, homework.number).encode()
    _put(folder, "half.zip", zipped(half))
    single = f"poejohn_12347_67892_{Path(blank.file).stem}-1.py"
    _put(folder, single, full[blank.file])
    _put(folder, "syntax.zip", zipped({**full, blank.file: text.encode() + b"\ndef f(:\n"}))
    _put(folder, "utf16.zip", zipped({**full, blank.file: text.encode("utf-16")}))
    table = "=cmd('calc')!A0.zip"
    _put(folder, table, zipped({name: starter[name] for name in full}))
    links = {name: content for name, content in full.items() if name != blank.file}
    _tree(folder / "links", {**links, "notes.txt": full[blank.file]})
    (folder / "links" / blank.file).symlink_to(folder / "links" / "notes.txt")
    os.mkfifo(folder / "links" / "minigrad" / "waiting.py")
    (folder / "links" / "gans").symlink_to(folder)
    return {**dict.fromkeys(("one wrong.zip", "half.zip", single, "syntax.zip", "utf16.zip",
                             "links"), PART), table: NONE}


def _nothing_in_it(folder: Path, homework: Homework, starter: dict, full: dict) -> dict:
    notebook = next(content for name, content in starter.items() if name.endswith(".ipynb"))
    (folder / "empty").mkdir()
    files = {"Zoë 名 \N{PARTY POPPER}.zip": packed({}), "n" * 246 + ".zip": b"",
             "story.ipynb": notebook, "story.zip": packed({"story.ipynb": notebook}),
             f"{homework.name}-ann.zip": zipped({**full, META: json.dumps(
                 {"homework": f"hw{homework.number + 1}"}).encode()})}
    _tree(folder, files)
    return dict.fromkeys((*files, "empty"), REFUSED)


def _foreign(folder: Path, homework: Homework, starter: dict, full: dict) -> dict:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in full.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    files = {"tree.tar.gz": buffer.getvalue(), "renamed.zip": b"Rar!\x1a\x07\x01\0" + b"\0" * 99,
             "tree.7z": b"7z\xbc\xaf\x27\x1c" + b"\0" * 99,
             "noise.zip": bytes(i * i * 31 % 251 for i in range(999)),
             "lzma.zip": packed(full, method=zipfile.ZIP_LZMA)}
    _tree(folder, files)
    return dict.fromkeys(files, REFUSED)


def _hostile(folder: Path, homework: Homework, starter: dict, full: dict) -> dict:
    file = homework.blanks[0].file

    def overlapping(archive: zipfile.ZipFile) -> None:
        entries = archive.infolist()
        entries[1].header_offset = entries[0].header_offset

    def locked(archive: zipfile.ZipFile) -> None:
        for entry in archive.infolist():
            entry.flag_bits |= 1

    slip = {f"../../{name}": content for name, content in full.items()}
    absolute = {f"{'C:' * (i % 2)}/{name}": content for i, (name, content)
                in enumerate(full.items())}
    red = "\x1b[31mred\nname.zip"
    files = {
        "bomb.zip": packed({**full, file: b"#" * (PIECE * 50)}), "overlap.zip": packed(
            {file: b"0" * PIECE, f"x/{file}": b""}, overlapping),
        red: packed(slip), "absolute.zip": packed(absolute), "password.zip": packed(full, locked),
        "many.zip": packed({**full, **{f"minigrad/more{i}.py": b"" for i in range(201)}})}
    _tree(folder, files)
    (folder / "link.zip").symlink_to(next(folder.glob("doejane*")))
    (folder / "link").symlink_to(folder / "everything")
    os.mkfifo(folder / "pipe.zip")
    _put(folder, "unreadable.zip", b"whoever may read everything finds this")
    (folder / "unreadable.zip").chmod(0)
    return dict.fromkeys((*files, "link.zip", "link", "pipe.zip", "unreadable.zip"), REFUSED)


def _ambiguous(folder: Path, homework: Homework, starter: dict, full: dict) -> dict:
    file = homework.blanks[0].file
    latin = os.fsdecode(b"Zo\xeb.zip")

    files = {
        "twice.zip": packed({**full, f"./{file}": full[file]}),  # two ways to write one name
        "case.zip": packed({**full, "minigrad/extra.py": b"", "minigrad/Extra.py": b""}),
        "two folders.zip": packed({f"{top}/{name}": content for top in ("final", "final2")
                                   for name, content in full.items()}),
        latin: packed({"a.zip": zipped(full), "b.zip": zipped(full)}),
        "deep.zip": packed({"a.zip": packed({"b.zip": zipped(full)})})}
    _tree(folder, files)
    return dict.fromkeys(files, REFUSED)


def _damaged(folder: Path, homework: Homework, starter: dict, full: dict) -> dict:
    file = homework.blanks[0].file

    def falsified(archive: zipfile.ZipFile) -> None:
        archive.getinfo(file).CRC ^= 1

    whole = zipped(full)
    files = {"cut.zip": whole[:len(whole) // 2], "sum.zip": packed(full, falsified)}
    _tree(folder, files)
    return dict.fromkeys(files, REFUSED)
