"""Submissions are read without being believed: what counts is taken, the rest is said in words."""

import hashlib
import io
import os
import random
import shutil
import struct
import subprocess
import sys
import time
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_submissions import odd_submissions, packed

from minigrad.homework.grading import submission
from minigrad.homework.grading.submission import (
    SubmissionError,
    about,
    found,
    read,
    tree_of,
)
from minigrad.homework.release import META, Tree, checkout, library, starter
from minigrad.homework.source import body_of, decode, parse, with_body
from minigrad.homework.spec import homework
from minigrad.homework.workplace import Workplace, pack, write_tree, zipped

HW1 = homework("hw1")
FIRST = HW1.blanks[0].file
START = starter(checkout(), HW1)


def solutions() -> Tree:
    """The files of hw1 with its blanks written."""
    reference, tree = library(checkout()), {}
    for blank in HW1.blanks:
        text = decode(tree.get(blank.file, START[blank.file]))
        body = body_of(decode(reference[blank.file]), blank.name).text
        tree[blank.file] = with_body(text, blank.name, body, blank.id).encode()
    return tree


SOLVED = solutions()
FULL = {META: START[META], **SOLVED}


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes, str], Path]:
    def one(content: bytes, name: str = "it.zip") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path
    return one


def of(path: Path, deadline: datetime | None = None) -> submission.Submission:
    return read(path, HW1, START, deadline)


def refused(path: Path) -> str:
    with pytest.raises(SubmissionError) as caught:
        of(path)
    return str(caught.value)


def laid(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


# ------------------------------------------------------------------------------------- whole ones


def test_what_pack_makes_is_taken_whole(tmp_path: Path) -> None:
    write_tree({**START, **SOLVED, "gans/mine.py": b"ONE = 1\n"}, tmp_path / "hw1")
    tree = pack(Workplace.at(tmp_path / "hw1"), HW1)
    path = tmp_path / "hw1-submission.zip"
    path.write_bytes(zipped(tree))
    taken = of(path)
    assert taken.files == tree and taken.notes == () and taken.student == "hw1-submission"
    run = tree_of(taken, START)
    assert run["gans/mine.py"] == b"ONE = 1\n" and META not in run and FIRST in run
    assert all(name.startswith(("minigrad/", "gans/")) for name in run)
    assert run[FIRST] == SOLVED[FIRST] != START[FIRST]
    assert set(run) - {"gans/mine.py"} == {n for n in START if n.startswith(("minigrad", "gans"))}
    whole = of(tmp_path / "hw1")
    assert (whole.digest, whole.files) == (taken.digest, taken.files) and whole.notes == ()


def test_the_digest_is_of_names_and_contents_and_of_nothing_else(put: Callable) -> None:
    one = of(put(packed(FULL))).digest
    assert one == of(put(packed({f"a/b/{n}": c for n, c in reversed(FULL.items())}))).digest
    assert one == of(put(packed({**FULL, "other.txt": b"x"}))).digest
    assert one == of(put(packed(SOLVED))).digest  # the description is not hashed
    changed = {**FULL, FIRST: FULL[FIRST] + b"#"}
    assert one != of(put(packed(changed))).digest
    digests = {of(put(packed({**FULL, f"minigrad/{n}.py": c}))).digest
               for n, c in (("a", b""), ("b", b""), ("a", b"1"), ("aa", b""))}
    assert len(digests | {one}) == 5
    parts = [part for name in sorted(SOLVED) for part in (name.encode(), SOLVED[name])]
    assert one == hashlib.sha256(
        b"".join(struct.pack(">Q", len(part)) + part for part in parts)).hexdigest()


names = st.from_regex(r"(minigrad|gans)(/[a-z]{5,7})?/[a-z]{6,8}q\.py", fullmatch=True)
extras = st.from_regex(r"(tests|notes|data)/[a-z]{1,5}\.(txt|py|csv)", fullmatch=True)


@settings(max_examples=60)
@given(st.dictionaries(names, st.binary(max_size=99), max_size=4),
       st.dictionaries(extras, st.binary(max_size=99), max_size=4),
       st.dictionaries(st.sampled_from(sorted(SOLVED)), st.binary(max_size=99), min_size=1),
       st.randoms())
def test_a_tree_is_the_same_however_it_is_packed(
    tmp_path_factory: pytest.TempPathFactory, added: Tree, extra: Tree, blanks: Tree,
    rng: random.Random,
) -> None:
    folder = tmp_path_factory.mktemp("packed")
    tree = blanks | added
    ways = []
    for i, top in enumerate(("", "hw1/", "Jane Doe/hw1/hw1/")):
        files = {top + n: c for n, c in {**tree, **extra, "__MACOSX/._x.py": b"\0"}.items()}
        ways.append(laid(folder / str(i), files))
        order = rng.sample(sorted(files), len(files))
        content = packed({n: files[n] for n in order}, method=rng.choice((0, 8)))
        (folder / f"{i}.zip").write_bytes(content)
        backslashes = packed({n.replace("/", "\\"): c for n, c in files.items()})
        (folder / f"windows{i}.zip").write_bytes(b"#!/bin/sh\n" * 9 + backslashes)
        (folder / f"inner{i}.zip").write_bytes(packed({"x/y.zip": content, **extra}))
        ways += [folder / f"{kind}{i}.zip" for kind in ("", "windows", "inner")]
    taken = [of(way) for way in ways]
    shutil.rmtree(folder)
    assert all(one.files == tree for one in taken)
    assert len({one.digest for one in taken}) == 1


# ------------------------------------------------------------------------------- what is left out


def test_extra_files_are_left_out_and_never_make_it_fail(put: Callable) -> None:
    planted = ("conftest.py", "sitecustomize.py", "numpy.py", "minigrad.pth", "gans.pth",
               "minigrad/x.pth", "minigrad/homework/worker.py", "minigrad/Homework/worker.py",
               "tests/hw1/test_hw1.py", "tests/minigrad/new.py", "notebooks/gans.py",
               "minigrad/my-notes.py", "minigrad/1.py", "minigrad/a.b/c.py", "minigrad.py",
               "gans.py", "minigrad/" + "x" * 200 + ".py", "minigrad/a\n.py", "minigrad/ .py",
               "Minigrad/new.py", "minigrad/new.PY", "minigrad/new.pyc", "minigrad/new.so",
               # what hides a module of the library, or is hidden by it
               "minigrad/autograd/__init__.py", "minigrad/ops/matmul/__init__.py",
               "minigrad/ops/matmul/deeper/x.py", "minigrad/ops.py", "minigrad/nn.py",
               "minigrad/OPS/matmul/a.py", "minigrad/Autograd.py", "gans/GAN.py")
    few = {name: b"x = 1\n" for name in SOLVED} | {META: b"{}"}
    for name in planted:
        taken = of(put(packed({**few, name: b"raise SystemExit\n"})))
        assert taken.files == few, name
        said = submission._short(name)
        assert taken.notes == (f"left out: 1 file, e.g. {said}",), name
    taken = of(put(packed({**FULL, **dict.fromkeys(planted, b"x")})))
    assert taken.files == FULL and len(taken.notes) == 1
    assert taken.notes[0].startswith(f"left out: {len(planted)} files, e.g. ")
    hidden = (".git/config", ".DS_Store", "__MACOSX/._x", "minigrad/__pycache__/x.pyc",
              ".ipynb_checkpoints/x.ipynb", f".minigrad-hw/backups/1/{FIRST}", "minigrad/.x.py")
    taken = of(put(packed({**FULL, **dict.fromkeys(hidden, b"x")})))
    assert taken.files == FULL and taken.notes == ()


def test_added_modules_are_taken(put: Callable) -> None:
    added = {"minigrad/helper.py": b"A = 1\n", "gans/new/__init__.py": b"", "gans/new/x.py": b"",
             "minigrad/ops/sitecustomize.py": b"", "minigrad/ops/größe.py": b"",
             "minigrad/homeworks.py": b""}
    taken = of(put(packed({**FULL, **added})))
    assert taken.files == {**FULL, **added} and taken.notes == ()
    apple = {unicodedata.normalize("NFD", name): content for name, content in added.items()}
    assert apple.keys() != added.keys()
    assert of(put(packed({**FULL, **apple}))).files == taken.files


def test_a_changed_file_of_the_library_is_not_run_and_the_student_is_told(put: Callable) -> None:
    own = "minigrad/ops/__init__.py"
    windows = {name: content.replace(b"\n", b"\r\n") for name, content in START.items()
               if name.endswith(".py")}
    assert of(put(packed({**windows, **FULL}))).notes == ()
    taken = of(put(packed({**START, **FULL, own: START[own] + b"print(1)\n"})))
    assert taken.notes == (f"changed, but no part of hw1; the library's own is run: {own}",)
    assert own not in taken.files and tree_of(taken, START)[own] == START[own]
    test = next(name for name in START if name.startswith("tests/"))
    taken = of(put(packed({**START, **FULL, test: b""})))
    assert taken.notes == (f"left out: 1 file, e.g. {test}",)


def test_files_that_were_not_handed_in_are_named(put: Callable) -> None:
    taken = of(put(packed({META: START[META], FIRST: SOLVED[FIRST]})))
    assert list(taken.files) == [META, FIRST]
    (note,) = taken.notes
    assert note.startswith("not handed in") and "minigrad/autograd.py" in note
    assert tree_of(taken, START)["minigrad/autograd.py"] == START["minigrad/autograd.py"]
    taken = of(put(packed(SOLVED)))
    assert taken.notes == (f"it has no {META}, and is taken for hw1",)


# ------------------------------------------------------------------------------------ where it is


def test_the_tree_is_found_some_folders_down(put: Callable, tmp_path: Path) -> None:
    for top in ("hw1", "hw1/hw1", "Zoë's homework (final)/x/y"):
        taken = of(put(packed({f"{top}/{name}": c for name, c in FULL.items()})))
        assert taken.files == FULL and taken.notes == ()
    copy = {f"old/{name}": b"" for name in SOLVED}
    taken = of(put(packed({**FULL, **copy})))  # only one has a description, and it holds the other
    assert taken.files == FULL and "left out" in taken.notes[0]
    both = {f"{top}/{name}": c for name, c in FULL.items() for top in ("one", "two")}
    for files in (both, {**SOLVED, **copy}, {**FULL, "old/" + META: FULL[META], **copy}):
        said = refused(put(packed(files)))
        assert "not clear which counts" in said
        assert ("one, two" in said) == (files is both) and ("the top, old" in said) == (
            files is not both)
    deep = "/".join("d" * 50)
    assert "nested too deeply" in refused(put(packed({f"{deep}/{FIRST}": b""})))
    laid(tmp_path / "deep" / deep, {FIRST: b""})
    assert "nested too deeply" in refused(tmp_path / "deep")


def test_a_zip_in_a_zip_or_folder_is_opened_once(put: Callable, tmp_path: Path) -> None:
    inner = packed({f"hw1/{name}": c for name, c in FULL.items()})
    taken = of(put(packed({"up/hw1-submission.zip": inner, "up/README.txt": b""})))
    assert taken.files == FULL
    assert taken.notes == ("it is taken from up/hw1-submission.zip, a zip file inside",)
    assert of(laid(tmp_path / "folder", {"a.ZIP": inner})).files == FULL
    assert "archive inside, b.zip" in refused(put(packed({"a.zip": packed({"b.zip": inner})})))
    assert "a.zip, b.zip" in refused(put(packed({"a.zip": inner, "b.zip": inner})))
    assert "not clear" in refused(put(packed({"a.zip": inner, "matmul.py": b""})))
    # what pack left in the folder that is then handed in as a whole
    taken = of(put(packed({**FULL, "hw1-submission.zip": packed({FIRST: b"old"})})))
    assert taken.files == FULL


def test_single_files_are_taken_by_their_name(put: Callable, tmp_path: Path) -> None:
    name = "minigrad/ops/matmul.py"
    for own in ("matmul.py", "doejane_LATE_12345_67890_matmul.py", "matmul (2).py", "matmul-1.py",
                "Jane Doe_12_assignsubmission_file_matmul.py"):
        taken = of(put(SOLVED[name], own))
        assert taken.files == {name: SOLVED[name]}
        assert f"{own} is taken as {name}" in taken.notes
    bare = {name.rpartition("/")[2]: content for name, content in SOLVED.items()}
    assert of(put(packed(bare))).files == SOLVED
    assert of(laid(tmp_path / "bare", {f"ops/{n}": c for n, c in bare.items()})).files == SOLVED
    for own in ("solution.py", "__init__.py", "tensor.py", ".py", "matmul.PY.py"):
        assert "no file of hw1" in refused(put(b"x = 1", own))
    assert "not clear which is minigrad/ops/matmul.py: a/matmul.py or b/matmul.py" in refused(
        put(packed({"a/matmul.py": b"", "b/matmul.py": b""})))


def test_of_another_homework(put: Callable) -> None:
    for named in ("hw2", "hw99", "\x1b[31mhw1"):
        told = packed({**FULL, META: b'{"homework": "%s"}' % named.encode().replace(
            b"\x1b", b"\\u001b")})
        assert refused(put(told)).endswith(" not of hw1")
    later = packed({META: b'{"homework": "hw4"}', "gans/gan.py": b""})
    assert refused(put(later)) == "it is a submission of hw4, not of hw1"
    for damaged in (b"", b"{", b"[1]", b'{"homework": [1]}', b"[" * 99999, b"\xff", b"\0"):
        assert of(put(packed({**FULL, META: damaged}))).digest == of(put(packed(FULL))).digest
    hw4 = homework("hw4")  # the files of earlier homeworks belong to a later one's
    earlier = {FIRST: b"mine", "gans/gan.py": b"mine", META: b'{"homework": "hw4"}'}
    assert read(put(packed(earlier)), hw4, START).files == earlier
    assert "gans/gan.py" not in of(put(packed({**FULL, "gans/gan.py": b"mine"}))).files


def test_what_is_said_where_there_is_nothing_to_take(put: Callable, tmp_path: Path) -> None:
    assert "minigrad-hw pack" in refused(put(b"", "story.ipynb")) + refused(put(b"{}", "s.ipynb"))
    assert "a notebook, s.ipynb" in refused(put(b"{}", "s.ipynb"))
    assert "a notebook, a/s.ipynb" in refused(put(packed({"a/s.ipynb": b"", "x.csv": b""})))
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(put(packed({}))) and "empty" in refused(tmp_path / "empty")
    assert "0 bytes" in refused(put(b""))
    for magic, word in ((b"Rar!\x1a\7", "RAR"), (b"7z\xbc\xaf'\x1c", "7z"), (b"\x1f\x8b8", "gzip"),
                        (b"%PDF-1", "PDF"), (b"<!DOCTYPE html>", "web page"),
                        (b"\0" * 257 + b"ustar", "tar"), (b"whatever", "no zip file")):
        assert word in refused(put(magic + b"\0" * 99)) and "pack" in refused(put(magic + b"12"))
    assert "x/tree.7z" in refused(put(packed({"x/tree.7z": b"", "notes.txt": b""})))
    assert "only 2 files, e.g. a.csv" in refused(put(packed({"a.csv": b"", "b.csv": b""})))
    assert refused(tmp_path / "nowhere") == "it cannot be read: No such file or directory"
    assert str(tmp_path) not in refused(put(b"x" * 9, "\x1b[31m\n.zip"))
    with pytest.raises(SubmissionError, match="nowhere cannot be read"):
        found(tmp_path / "nowhere")


# ----------------------------------------------------------------------------------- zip files


def test_names_that_lead_out_are_never_taken(put: Callable) -> None:
    few = {name: b"x = 1\n" for name in SOLVED}
    for lead in ("/", "../", "hw1/../", "C:/", "c:\\hw1\\", "..\\", "\\\\server\\share\\", "a/../"):
        stray = {lead + name: b"" for name in few}
        said = refused(put(packed(stray)))
        assert "leads out of the folder" in said and lead.replace("\\", "/") in said
        taken = of(put(packed({**few, META: b"{}", **stray})))
        assert taken.files == {**few, META: b"{}"} and "leads out of the folder" in taken.notes[0]
    dots = {"./" + name.replace("/", "//./"): c for name, c in FULL.items()}
    assert of(put(packed(dots))).files == FULL


def test_links_and_devices_in_a_zip_are_not_taken(put: Callable) -> None:
    for kind in (0o120777, 0o010644, 0o020644, 0o060644, 0o140755):
        def mark(archive: zipfile.ZipFile, kind: int = kind) -> None:
            archive.getinfo(FIRST).external_attr = kind << 16
        taken = of(put(packed({**FULL, FIRST: b"/etc/passwd"}, mark)))
        assert FIRST not in taken.files and any("not taken" in note and FIRST in note
                                                for note in taken.notes)


def test_a_name_twice_is_refused_where_it_counts(put: Callable) -> None:
    def rename(archive: zipfile.ZipFile) -> None:  # both entries are called alike
        for record in (archive.infolist()[-1],):
            record.filename = record.orig_filename = FIRST

    other = FIRST.replace("elementwise", "elementwisf")
    content = packed({**FULL, other: b"x"}, rename).replace(other.encode(), FIRST.encode())
    assert zipfile.ZipFile(io.BytesIO(content)).namelist().count(FIRST) == 2
    assert "not clear which counts" in refused(put(content))
    for one, two in ((FIRST, f"./{FIRST}"), ("gans/New.py", "gans/new.py"),
                     ("gans/gr\xf6.py", "gans/gro\u0308.py"), ("gans/fi.py", "gans/\ufb01.py")):
        said = refused(put(packed({**FULL, one: b"x", two: b"x"})))
        assert "the names are the same" in said
    assert of(put(packed({**FULL, "a.txt": b"", "./a.txt": b"", "A.txt": b""}))).files == FULL


def test_bombs_are_stopped_at_the_limit(put: Callable) -> None:
    path = put(packed({**FULL, FIRST: b"#" * (64 * 2**20)}))
    assert path.stat().st_size < 2**18
    tracemalloc.start()
    assert "is larger than 1 MB" in refused(path)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 16 * 2**20
    bomb = b"\0" * (64 * 2**20)
    left = put(packed({**FULL, "data.bin": bomb, "README.md": bomb}))
    tracemalloc.start()
    assert of(left).files == FULL
    assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    tracemalloc.stop()
    inner = put(packed({"a.zip": packed(FULL) + bomb}))
    assert "a.zip is larger than 20 MB" in refused(inner)


def test_limits(put: Callable, tmp_path: Path) -> None:
    added = {f"gans/more{i}.py": b"" for i in range(submission.MOST_FILES - len(FULL))}
    assert len(of(put(packed({**FULL, **added}))).files) == submission.MOST_FILES
    assert "more than 200 files" in refused(put(packed({**FULL, **added, "gans/last.py": b""})))
    largest = {f"gans/more{i}.py": b"#" * 2**20 for i in range(9)}
    assert len(of(put(packed({**FULL, **largest}))).files) == len(FULL) + 9
    ten = {**largest, "gans/last.py": b"#" * 2**20}
    assert "larger than 10 MB together" in refused(put(packed({**FULL, **ten})))
    assert "is larger than 1 MB" in refused(put(packed({**FULL, "gans/a.py": b"#" * (2**20 + 1)})))
    crowd = {f"x/{i}": b"" for i in range(submission.MOST_ENTRIES)}
    assert "more than 5,000 files" in refused(put(packed({**FULL, **crowd})))
    assert "more than 5,000 files" in refused(laid(tmp_path / "crowd", {**FULL, **crowd}))
    sparse = tmp_path / "sparse.zip"
    with open(sparse, "wb") as file:
        file.truncate(2**40)
    assert "larger than 50 MB" in refused(sparse)


def test_damaged_encrypted_and_foreign_zips(put: Callable) -> None:
    whole = packed(FULL)
    for end in (1, 3, 10, len(whole) // 2, len(whole) - 1, len(whole) - 30):
        assert "zip file" in refused(put(whole[:end]))
    for name, was_lied in (("CRC", FIRST), ("file_size", FIRST), ("compress_size", FIRST)):
        def lie(archive: zipfile.ZipFile, name: str = name, file: str = was_lied) -> None:
            info = archive.getinfo(file)
            setattr(info, name, getattr(info, name) // 2 + 7)
        assert f"damaged at {FIRST}" in refused(put(packed(FULL, lie)))

    def huge(archive: zipfile.ZipFile) -> None:  # a size of 2**40 has to stand in a zip64 field
        archive.getinfo(FIRST).file_size = 2**40

    assert of(put(packed(FULL, huge))).files == FULL
    for flag in (1, 0x40):
        def lock(archive: zipfile.ZipFile, flag: int = flag) -> None:
            for info in archive.infolist():
                info.flag_bits |= flag
        assert "protected with a password" in refused(put(packed(SOLVED, lock)))
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert f"method {method}" in refused(put(packed(SOLVED, method=method)))
    broken = packed({**FULL, "notes.txt": b"abc" * 99}, lambda a: setattr(
        a.getinfo("notes.txt"), "CRC", 1))
    assert of(put(broken)).files == FULL  # what is not taken need not be whole

    for offset in (2**62, 2**64 - 1):
        def far(archive: zipfile.ZipFile, offset: int = offset) -> None:
            archive.getinfo(FIRST).header_offset = offset
        assert "damaged" in refused(put(packed(FULL, far)))
    commented = packed(FULL, lambda a: setattr(a, "comment", b"c" * 999))
    assert of(put(commented)).files == FULL
    assert of(put(b"MZ a program that unpacks itself" * 99 + whole)).files == FULL


def test_names_made_to_take_long(put: Callable) -> None:
    for part in ("_1", "-1", "e\u0301", "\u0315\u0300", "a/", "LATE_", "a_111_222_"):
        long = {part * (60_000 // len(part.encode())) + f"{i}.py": b"" for i in range(30)}
        start = time.process_time()
        assert of(put(packed({**FULL, **long}))).files == FULL
        refused(put(packed(long)))
        shorter = {part * (4000 // len(part.encode())) + f"{i}.py": b"" for i in range(30)}
        refused(put(packed(shorter)))
        assert time.process_time() - start < 5


def test_overlapping_entries_are_refused(put: Callable) -> None:
    def overlap(archive: zipfile.ZipFile) -> None:
        first, *others = archive.infolist()
        for info in others:
            info.header_offset = first.header_offset

    assert "overlap" in refused(put(packed({f"{i}.txt": b"0" * 999 for i in range(9)}, overlap)))


BASE = packed({META: START[META], FIRST: b"x = 1\n" * 9, "gans/new.py": b"", "notes.txt": b"abc"})


@settings(max_examples=300)
@given(st.one_of(
    st.binary(max_size=300),
    st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255)), max_size=6),
    st.tuples(st.integers(0, len(BASE)), st.integers(0, len(BASE)))))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes | list | tuple
) -> None:
    if isinstance(damage, bytes):
        content = damage
    elif isinstance(damage, tuple):
        content = BASE[:damage[0]] + BASE[damage[1]:]
    else:
        mutable = bytearray(BASE)
        for at, value in damage:
            mutable[at] = value
        content = bytes(mutable)
    path = tmp_path_factory.getbasetemp() / "any.zip"
    path.write_bytes(content)
    for _ in range(2):
        try:
            taken = of(path)
        except SubmissionError as error:
            said = [str(error)]
        else:
            said = list(taken.notes)
            assert set(taken.files) <= {*FULL, "gans/new.py"}
        assert all("\x1b" not in text and "\n" not in text and len(text) <= 500 for text in said)
        path.write_bytes(packed({"x.zip": content}))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
                          st.integers(0, 0xFFFF)), max_size=5),
       st.lists(st.binary(max_size=40), min_size=2, max_size=2))
def test_any_names_and_contents_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, int]], contents: list[bytes]
) -> None:
    def mark(archive: zipfile.ZipFile) -> None:
        for info, (_, mode) in zip(archive.infolist(), names, strict=False):
            info.external_attr = mode << 16

    files = dict.fromkeys((name for name, _ in names), b"") | {FIRST: contents[0],
                                                               META: contents[1]}
    path = tmp_path_factory.getbasetemp() / "names.zip"
    path.write_bytes(packed(files, mark))
    try:
        taken = of(path)
    except SubmissionError as error:
        assert str(error).isprintable()
    else:
        assert all(note.isprintable() for note in taken.notes)
        assert set(taken.files) <= {FIRST, META}


# --------------------------------------------------------------------------------------- folders


def test_nothing_but_plain_files_is_opened(tmp_path: Path) -> None:
    root = laid(tmp_path / "it", FULL)
    secret = laid(tmp_path / "secret", {"minigrad/new.py": b"S", "key": b"S"})
    (root / FIRST).unlink()
    (root / FIRST).symlink_to(secret / "key")
    (root / "gans").symlink_to(secret / "minigrad")
    (root / "minigrad" / "loop").symlink_to(root)
    os.mkfifo(root / "minigrad" / "pipe.py")
    (root / "minigrad" / "ops" / "deep").symlink_to("/dev/zero")
    taken = of(root)
    assert taken.files == {name: c for name, c in FULL.items() if name != FIRST}
    assert any(note.startswith("not taken, a link: ") and FIRST in note for note in taken.notes)
    assert "not taken, no plain file: minigrad/pipe.py" in taken.notes
    for name in ("link", "link.zip", "matmul.py"):
        (tmp_path / name).symlink_to(root)
        assert "a link to somewhere else" in refused(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.zip")
    assert "no file and no folder" in refused(tmp_path / "pipe.zip")
    with pytest.raises(SubmissionError, match=r"pipe\.zip is no plain file"):
        submission._content(tmp_path / "pipe.zip", 9)  # had it been a file a moment ago
    (tmp_path / "key.py").symlink_to(secret / "key")
    with pytest.raises(SubmissionError, match=r"key\.py cannot be read"):
        submission._content(tmp_path / "key.py", 9)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    root = laid(tmp_path / os.fsdecode(b"Zo\xeb"), FULL)
    try:
        laid(root, {os.fsdecode(b"minigrad/\xff\x1b.py"): b"", "gans/a\nb.py": b""})
    except OSError:
        pytest.skip("this file system wants names in UTF-8")
    taken = of(root)
    assert taken.files == FULL and taken.name == taken.student == "Zo?"
    assert taken.notes == ("left out: 2 files, e.g. gans/a?b.py",)


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="there are no users here")
def test_unreadable_files_and_folders(tmp_path: Path) -> None:
    for name, closed in (("file", FIRST), ("folder", "minigrad/ops"), ("whole", ".")):
        (laid(tmp_path / name, FULL) / closed).chmod(0)
    (tmp_path / "zip.zip").write_bytes(packed(FULL))
    (tmp_path / "zip.zip").chmod(0)
    for folder in (tmp_path, *list(tmp_path.parents)[:-1]):
        if os.geteuid() == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011) if folder == tmp_path else None
    program = f"""
import os, sys
from pathlib import Path
from minigrad.homework.grading.submission import SubmissionError, read
from minigrad.homework.release import checkout, starter
from minigrad.homework.spec import homework
hw1 = homework("hw1")
start = starter(checkout(), hw1)
os.chdir({str(tmp_path)!r})
if os.geteuid() == 0:
    os.setuid(65534)
for name in ("file", "folder", "whole", "zip.zip"):
    try:
        print(name, read(Path(name), hw1, start).notes)
    except SubmissionError as error:
        print(name, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=60, check=True, cwd=checkout())
    file, folder, whole, single = done.stdout.strip().split("\n")
    assert file == "file elementwise.py cannot be read: Permission denied"
    assert "a folder that cannot be read: minigrad/ops" in folder
    assert whole == "whole the folder cannot be read: Permission denied"
    assert single == "zip.zip zip.zip cannot be read: Permission denied"
    (tmp_path / "whole").chmod(0o755)
    (tmp_path / "folder" / "minigrad" / "ops").chmod(0o755)


def test_a_folder_without_end(tmp_path: Path) -> None:
    here = os.getcwd()
    root = laid(tmp_path / "it", FULL)
    os.chdir(root)
    try:
        for _ in range(700):  # its path is longer than any system call takes
            os.mkdir("dddddddd")
            os.chdir("dddddddd")
    finally:
        os.chdir(here)
    taken = of(root)
    assert taken.files == FULL and "nested too deeply" in taken.notes[0]
    subprocess.run(["rm", "-rf", str(root)], check=True)


# ----------------------------------------------------------------------------- odd Python files


@pytest.mark.parametrize("content, said", [
    (b"x = 1\n", ""), (b"x = 1\r\ny = 2\r\n", f"line ends of Windows: 1 file, e.g. {FIRST}"),
    (b"\xef\xbb\xbfx = 1\n", f"begins with a byte order mark: 1 file, e.g. {FIRST}"),
    ("x = 1\n".encode("utf-16"), "line 1: the file is in UTF-16; save it as UTF-8"),
    ("x = 1\ny = 'ä'\n".encode("latin-1"), "line 2: the file is no UTF-8 text"),
    ("# coding: latin-1\nx = 'ä'\n".encode("latin-1"), ""),
    (b"# coding: undefined\nx = 1\n", "undefined encoding"),
    (b"# coding: nonsense\nx = 1\n", "unknown encoding"),
    (b"# coding: rot13\nx = 1\n", "not a text encoding"),
    (b"x = 1\ny = \0\n", "line 2: holds a NUL byte"),
    (b"x = 1\n\ndef f(:\n", "line 3: SyntaxError"), (b"if x:\npass\n", "line 2: IndentationError"),
    (b"(" * 9999, "line 1: SyntaxError: too many nested parentheses"),
    (b"-" * 9999 + b"1", "nested too deeply"), (b"+".join([b"1"] * 9999), "nested too deeply"),
    (b"x" * 2**17 + b"x", "131,073 bytes; its syntax was not looked at"),
    (b"f('\x1b[31m' =)\n", "line 1: SyntaxError"), (b"9" * 9999, "line 1: SyntaxError"),
])
def test_odd_files_are_taken_as_they_are(put: Callable, content: bytes, said: str) -> None:
    taken = of(put(packed({**FULL, FIRST: content})))
    assert taken.files[FIRST] == content
    assert len(taken.notes) == bool(said)
    if said:
        assert said in taken.notes[0] and FIRST in taken.notes[0] and taken.notes[0].isprintable()


def test_many_broken_files_are_not_all_named(put: Callable) -> None:
    broken = {f"gans/more{i:03}.py": b"(" for i in range(50)}
    notes = of(put(packed({**FULL, **broken}))).notes
    assert len(notes) == 6 and notes[-1] == "and 45 more files that do not compile"
    assert notes[0].startswith("gans/more000.py: line 1: SyntaxError: '(' was never closed")


def test_syntax_trees_are_not_kept(put: Callable) -> None:
    parse.cache_clear()
    of(put(packed(FULL)))
    assert parse.cache_info().currsize == 0


HARD = [  # each of n characters at most
    "'-' * n", "'not ' * (n // 4)", "'lambda:' * (n // 7)", "'a;' * (n // 2)", "'1,' * (n // 2)",
    "'+'.join('1' * (n // 2))", "'**'.join('1' * (n // 3))", "'<'.join('1' * (n // 2))",
    "'a' + '.a' * (n // 2 - 1)", "'a' + '()' * (n // 2 - 1)", "'a=' * (n // 2 - 1) + '1'",
    "'1 if 1 else ' * (n // 13) + '1'", "'if 1:\\n pass\\n' + 'elif 1:\\n pass\\n' * (n // 16)",
    "'@a\\n' * (n // 3 - 9) + 'def f():pass'", "'[' * 199 + ']' * 199", "'\"' * n",
    "''.join(' ' * i + 'if 1:\\n' for i in range(99)) + ' ' * 99 + 'pass'",
    "'f\"' + '{' * 500 + '\"'", "'# coding: punycode\\n' + '-a' * (n // 3)",
    "'{' * 60 + ':' + '}' * 60", "'(' * n", "'lambda:' * 800 + '1'", "'~' * 2000 + '1'"]


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_no_text_of_the_largest_size_brings_the_parser_down() -> None:
    program = f"""
import sys, threading, time
from minigrad.homework.grading.submission import PARSED, _fault
n = PARSED - 20
def look():
    for text in ({", ".join(HARD)}):
        assert len(text) <= PARSED, text[:20]
        start = time.process_time()
        _fault(text.encode())
        assert time.process_time() - start < 10, text[:20]
look()
thread = threading.Thread(target=look)
thread.start()
thread.join()
# not ru_maxrss: that of a new process begins with what the one had that started it
print(int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=300, cwd=checkout())
    assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
    assert int(done.stdout) < 500  # MB


# ------------------------------------------------------------------------------- who, and when


@pytest.mark.parametrize("name, student, late", [
    ("doejane_LATE_12345_67890_hw1.zip", "doejane", True),
    ("doejane_12345_67890_hw1-submission-1.zip", "doejane", False),  # Canvas marks who is
    ("Jane Doe_123456_assignsubmission_file_hw1.zip", "Jane Doe", None),
    ("Jane Doe_123456_assignsubmission_file_", "Jane Doe", None),
    ("Jane Doe_123456_assignsubmission_file", "Jane Doe", None),
    ("Homework 1_jdoe_attempt_2024-02-03-12-00-00_hw1.zip", "jdoe", None),
    ("hw1-jane.zip", "jane", None), ("hw1_jane doe.zip", "jane doe", None),
    ("hw1-submission-jane.zip", "jane", None), ("jane-hw1-submission.zip", "jane", None),
    ("jane_hw1.zip", "jane", None), ("hw1-submission.zip", "hw1-submission", None),
    ("hw1-submission (3).zip", "hw1-submission (3)", None), ("doe.zip", "doe", None),
    ("hw1.tar.gz", "hw1", None), ("doe_LATE.zip", "doe", True), ("PLATE.zip", "PLATE", None),
    ("jane.v2.final.zip", "jane.v2.final", None), (".zip", ".zip", None), ("LATE", "LATE", True),
    ("=cmd()", "=cmd()", None), ("a\x1b[31m\nb.zip", "a??b", None), ("x" * 255, "x" * 255, None),
    ("_" * 200 + "1_" * 27, ("1_" * 27)[:-1], None), ("a_111_222_" * 20, "a", False),
])
def test_who_and_late_by_name(tmp_path: Path, name: str, student: str, late: bool | None) -> None:
    (tmp_path / name).write_bytes(b"")
    start = time.process_time()
    shown, who, is_late = about(tmp_path / name)
    assert (who, is_late) == (student, late) and shown.isprintable()
    assert time.process_time() - start < 0.5


def test_a_folders_name_is_whole(tmp_path: Path) -> None:
    (tmp_path / "Doe, J. Jane").mkdir()
    assert about(tmp_path / "Doe, J. Jane") == ("Doe, J. Jane", "Doe, J. Jane", None)


def test_late_by_time(tmp_path: Path) -> None:
    at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    path, folder = tmp_path / "a.zip", laid(tmp_path / "b", FULL)
    path.write_bytes(packed(FULL))  # the times in it are of 1980
    for one, timed in ((path, path), (folder, folder / META)):
        os.utime(timed, (0, at.timestamp()))
        assert of(one, at).late is False and of(one).late is None
        assert of(one, at - timedelta(seconds=1)).late is True
    os.utime(folder / FIRST, (0, at.timestamp() + 99999))  # deeper, so it is the student's time
    assert of(folder, at).late is False
    (folder / META).unlink()  # a folder without a file has its own time
    os.utime(folder, (0, at.timestamp()))
    assert of(folder, at).late is False
    assert of(folder, at - timedelta(seconds=1)).late is True
    late = path.rename(tmp_path / "a_LATE_11111_22222_x.zip")
    assert of(late, at).late is True and of(late).late is True
    assert about(tmp_path / "nowhere", at)[2] is None
    with pytest.raises(ValueError, match="time zone"):
        of(late, datetime(2024, 5, 1))


# ------------------------------------------------------------------------------------- a class


def test_forty_odd_submissions(tmp_path: Path) -> None:
    folder = tmp_path / "class"
    expected = odd_submissions(folder, HW1, START, SOLVED)
    paths = found(folder)
    assert len(expected) == 40 and {path.name for path in paths} == set(expected)
    taken, why = {}, {}
    for path in paths:
        try:
            taken[path.name] = of(path, datetime.now(UTC))
        except SubmissionError as error:
            why[path.name] = str(error)
    assert set(why) == {name for name, (state, _) in expected.items() if state == "refused"}
    assert len(taken) == 12
    for name, one in taken.items():
        complete = tree_of(one, START)
        assert (all(complete[f].replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf") == SOLVED[f]
                    for f in SOLVED)) == (expected[name] == ("done", 100)), name
    texts = [*why.values(), *(note for one in taken.values() for note in one.notes),
             *(one.student for one in taken.values())]
    assert all(text.isprintable() and str(tmp_path) not in text for text in texts)
    assert len(set(why.values())) >= 20  # a reason of its own for nearly each
    late = [one for name, one in taken.items() if "LATE" in name]
    assert [one.late for one in late] == [True]
    assert sum(one.digest == late[0].digest for one in taken.values()) == 3  # copies of one work


def test_what_is_found_in_a_folder(tmp_path: Path) -> None:
    for name in ("b.zip", "a.py", ".hidden", "c.txt", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"")
    for name in ("d", "__MACOSX"):
        (tmp_path / name).mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert [p.name for p in found(tmp_path)] == ["a.py", "b.zip", "c.txt", "d", "dangling"]


def test_zip64_records_that_lie(put: Callable) -> None:
    whole = packed(FULL)
    end = whole.rindex(b"PK\5\6")
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2**60, 2**60, 2**60, 2**60)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    assert "damaged" in refused(put(whole[:end] + record + locator + whole[end:]))
