"""A student's folder: nothing is half written, nothing leads out of it, nothing is lost."""

import io
import json
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest
from tiny_homework import BOTH, EIGHT, NINE, blank, solved, tiny, written

from minigrad.homework import workplace
from minigrad.homework.release import META, checkout, starter
from minigrad.homework.spec import SpecError
from minigrad.homework.workplace import (
    Workplace,
    WorkplaceError,
    added_files,
    pack,
    release_tree,
    unpack,
    write,
    write_tree,
    zipped,
)

__all__ = ["tiny"]


@pytest.fixture
def place(tiny: Path, tmp_path: Path) -> Workplace:
    write_tree(starter(tiny, EIGHT), tmp_path / "hw8")
    return Workplace.at(tmp_path / "hw8")


def edit(place: Workplace, file: str, old: str, new: str) -> None:
    path = place.root / file
    assert old in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


# -------------------------------------------------------------------------------- finding a folder


def test_the_folder_is_found_from_within(place: Workplace) -> None:
    assert Workplace.around(place.root / "minigrad" / "data").root == place.root
    assert place.homework is EIGHT
    assert Workplace.at(place.root / "gans") is None


def test_a_folder_of_something_else(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkplaceError, match="not a homework folder"):
        Workplace.around(tmp_path)
    assert Workplace.at(tiny).homework is None  # the checkout


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"3", b"null", b'{"homework": "hw77"}', b'{"homework": 8}', b"{}",
    b'{"homework": ["hw8"]}', b"\xff\xfe", b'"homework"', b'{"homework": null}'])
def test_a_damaged_description_is_said(place: Workplace, content: bytes) -> None:
    (place.root / META).write_bytes(content)
    with pytest.raises(WorkplaceError, match="is damaged"):
        Workplace.around(place.root / "gans")


# -------------------------------------------------------------------------------------- states


@pytest.mark.parametrize(("content", "problem"), [
    (None, "No such file"), (b"def f(:", "SyntaxError"), ("x = 1".encode("utf-16"), "UTF-16"),
    (b"x = '\xe4'", "UTF-8"), (b"x = 1\n", "no function"), (b"", "no function"),
    (b"-" * 90_000 + b"1", "line|nested"), (b"\0" * 10, "null"),
])
def test_a_file_that_cannot_be_read_is_a_problem_not_an_error(
    place: Workplace, content: bytes | None, problem: str
) -> None:
    path = place.root / "minigrad" / "arith.py"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    states = place.states(EIGHT)
    assert [s.written for s in states] == [False] * 3
    assert re.search(problem, states[0].problem), states[0].problem
    with pytest.raises(WorkplaceError, match=r"minigrad/arith\.py"):
        place.reset(blank("double"))
    assert content is None or path.read_bytes() == content


def test_a_folder_in_the_place_of_a_file(place: Workplace) -> None:
    path = place.root / "minigrad" / "arith.py"
    path.unlink()
    path.mkdir()
    assert "directory" in place.state(blank("double")).problem


def test_states_of_a_file_in_progress(place: Workplace) -> None:
    edit(place, "minigrad/arith.py", 'raise NotImplementedError("hw8.Q2.double', 'y = 1\n'
         '    raise NotImplementedError("hw8.Q2.double')
    assert [s.written for s in place.states(EIGHT)] == [False, False, True]
    edit(place, "minigrad/arith.py", "    y = 1\n", "    y = (1\n")  # does not parse any more
    states = place.states(EIGHT)
    assert [s.written for s in states] == [False, False, True]
    assert all("line" in s.problem for s in states) and "y = (1" in states[2].body


def test_a_renamed_function_is_found_between_its_marks(place: Workplace) -> None:
    path = place.root / "minigrad" / "arith.py"
    path.write_bytes(written(path.read_bytes(), blank("double"), "return 2 * x"))
    edit(place, "minigrad/arith.py", "def double(", "def my_double(")
    state = place.state(blank("double"))
    assert (state.written, state.body.strip()) == (True, "return 2 * x")
    assert "no function double" in state.problem


# --------------------------------------------------------------------------------------- reset


def test_reset_opens_and_keeps_a_copy(place: Workplace) -> None:
    path = place.root / "minigrad" / "arith.py"
    path.write_bytes(written(path.read_bytes(), blank("double"), "return 2 * x"))
    os.chmod(path, 0o640)
    before = path.read_bytes()
    kept = place.reset(blank("double"))
    assert (kept / "minigrad" / "arith.py").read_bytes() == before
    assert path.read_bytes() == starter_text(place)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    again = place.reset(blank("double"))
    assert again != kept and (kept / "minigrad" / "arith.py").read_bytes() == before


def starter_text(place: Workplace) -> bytes:
    return starter(workplace.checkout(), place.homework)["minigrad/arith.py"]


def test_reset_of_a_file_in_another_encoding(place: Workplace) -> None:
    path = place.root / "minigrad" / "arith.py"
    text = "# coding: latin-1\n# Größe\n" + path.read_text().replace("\n", "\r\n")
    path.write_bytes(text.encode("latin-1"))
    place.reset(blank("double"))
    assert compile(path.read_bytes(), "arith", "exec")
    assert "# Größe" in path.read_bytes().decode("utf-8")


def test_reset_in_the_library_is_refused(tiny: Path) -> None:
    before = (tiny / "minigrad" / "arith.py").read_bytes()
    with pytest.raises(WorkplaceError, match="the library itself"):
        Workplace.at(tiny).reset(blank("double"))
    assert (tiny / "minigrad" / "arith.py").read_bytes() == before


# --------------------------------------------------------------------------------------- notes


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": "x", "b": [1]}', b"\xff", b"3"])
def test_damaged_notes_are_no_notes(place: Workplace, content: bytes) -> None:
    place.note("hints", {"a": 1})
    assert place.noted("hints") == {"a": 1}
    (place.root / ".minigrad-hw" / "hints.json").write_bytes(content)
    assert place.noted("hints") == {}
    place.note("hints", {"a": 2})
    assert place.noted("hints") == {"a": 2}


def test_notes_that_cannot_be_written_stop_nothing(place: Workplace) -> None:
    (place.root / ".minigrad-hw").write_text("a file")
    place.note("passed", {"a": 1})
    assert place.noted("passed") == {}


# --------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("broken", ["fsync", "replace", "fdopen"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, exists: bool
) -> None:
    path = tmp_path / "work.py"
    if exists:
        path.write_text("old")

    class Full(io.BytesIO):
        def __init__(self, handle: int, mode: str) -> None:
            os.close(handle)
            super().__init__()

        def write(self, content: bytes) -> int:
            raise OSError(28, "No space left on device")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workplace.os, broken, Full if broken == "fdopen" else fail)
    with pytest.raises(OSError, match="No space"):
        write(path, b"new")
    monkeypatch.undo()
    assert files_below(tmp_path) == (["work.py"] if exists else [])
    assert not exists or path.read_text() == "old"
    write(path, b"new")
    assert path.read_text() == "new"


def test_a_full_disk_while_a_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                            ) -> None:
    done = []

    def fail(path: Path, content: bytes) -> None:
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        done.append(path)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        write_tree({f"a/{i}.py": b"x" for i in range(5)}, tmp_path / "hw")
    assert len(done) == 2 and list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(WorkplaceError, match="there is no folder"):
        write(tmp_path / "no" / "x.zip", b"")
    (tmp_path / "file").write_text("mine")
    for into in ("file", "link"):
        if into == "link":
            (tmp_path / "empty").mkdir()
            (tmp_path / "link").symlink_to(tmp_path / "empty")
        with pytest.raises(WorkplaceError, match="is no folder; nothing was changed"):
            write_tree({"a.py": b""}, tmp_path / into)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with pytest.raises(WorkplaceError, match="not empty; nothing was changed"):
        write_tree({"a.py": b""}, tmp_path / "full")
    assert files_below(tmp_path / "full") == ["mine"]
    with pytest.raises(OSError):  # a file and a folder of one name
        write_tree({"a": b"", "a/b": b""}, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    write_tree({"a/b.py": b"1"}, tmp_path / "empty")
    assert files_below(tmp_path / "empty") == ["a/b.py"]
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o755


KILLED = """
import os, sys
from pathlib import Path
from minigrad.homework.workplace import write, write_tree
root, n = Path(sys.argv[1]), 0
(root / "ready").touch()
while True:
    n += 1
    write(root / "work.py", str(n % 10).encode() * 300_000)
    write_tree({f"d{i}/f.py": b"x" * 1000 for i in range(30)}, root / f"hw{n}")
"""


def test_killed_while_it_writes(tmp_path: Path) -> None:
    """At every moment a file is an old one or a new one, and a folder is whole or not there."""
    (tmp_path / "work.py").write_bytes(b"0" * 300_000)
    for round_ in range(4):
        (tmp_path / "ready").unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)],
                                   env={**os.environ, "PYTHONPATH": str(checkout())})
        while not (tmp_path / "ready").exists():
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(0.03 + 0.017 * round_)
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = (tmp_path / "work.py").read_bytes()
        assert len(content) == 300_000 and len(set(content)) == 1
        for made in tmp_path.glob("hw*"):
            assert len(files_below(made)) == 30
            for one in made.rglob("*.py"):
                assert one.stat().st_size == 1000
                one.unlink()
            shutil.rmtree(made)


# ------------------------------------------------------------------------------------- zip files


def make_zip(path: Path, entries: list, **more: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand there twice
        with zipfile.ZipFile(path, "w", **more) as archive:
            for entry, content in entries:
                archive.writestr(entry, content)
    return path


def info(name: str, mode: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    entry.external_attr = mode << 16
    return entry


GOOD = (META, '{"homework": "hw8"}')


def test_zips_are_equal_byte_for_byte(tiny: Path, tmp_path: Path) -> None:
    tree = starter(tiny, EIGHT)
    first = zipped(tree)
    time.sleep(0.01)
    assert zipped(dict(reversed(tree.items()))) == first
    (tmp_path / "a.zip").write_bytes(first)
    assert unpack(tmp_path / "a.zip") == tree
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {e.date_time for e in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {(e.create_system, e.external_attr) for e in archive.infolist()} == {
            (3, 0o644 << 16)}


@pytest.mark.parametrize(("entries", "says"), [
    ([GOOD, ("../x.py", "")], "leads out"), ([GOOD, ("a/../../x.py", "")], "leads out"),
    ([GOOD, ("/etc/x", "")], "leads out"), ([GOOD, ("C:/x.py", "")], "leads out"),
    ([GOOD, ("c:x.py", "")], "leads out"), ([GOOD, (info("..\\x.py"), "")], "leads out"),
    ([GOOD, (info("\\\\host\\share\\x"), "")], "leads out"),
    ([GOOD, (info("a\\b.py"), "")], "no plain path"), ([GOOD, ("a/./b.py", "")], "no plain path"),
    ([GOOD, ("a//b.py", "")], "no plain path"), ([GOOD, ("./b.py", "")], "no plain path"),
    ([GOOD, ("a\nb.py", "")], "no plain path"), ([GOOD, ("a\x1b[2J.py", "")], "no plain path"),
    ([GOOD, (info("a.py", stat.S_IFLNK | 0o777), "/etc/passwd")], "a link or a device"),
    ([GOOD, (info("a.py", stat.S_IFIFO), "")], "a link or a device"),
    ([GOOD, ("a.py", "1"), ("a.py", "2")], "twice"),
    ([GOOD, ("a.py", "1"), ("A.py", "2")], "twice"),
    ([GOOD, GOOD], "twice"), ([("a.py", "")], "is no release"), ([], "is no release"),
    ([("hw8/" + META, "{}")], "is no release"),
])
def test_zips_that_are_refused(tmp_path: Path, entries: list, says: str) -> None:
    with pytest.raises(WorkplaceError, match=says):
        unpack(make_zip(tmp_path / "a.zip", entries))
    assert files_below(tmp_path) == ["a.zip"]


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = make_zip(tmp_path / "a.zip", [GOOD, ("a", b"\0" * 3_000_000)],
                    compression=zipfile.ZIP_DEFLATED)
    assert len(unpack(bomb)["a"]) == 3_000_000
    monkeypatch.setattr(workplace, "LARGEST", 2_000_000)
    with pytest.raises(WorkplaceError, match="larger than any release"):
        unpack(bomb)


@pytest.mark.parametrize("declared", [10, 10_000_000])
def test_a_bomb_that_lies_about_its_size(tmp_path: Path, declared: int) -> None:
    """No more than what is declared is unpacked, and the lie is noticed."""
    path = make_zip(tmp_path / "a.zip", [GOOD, ("a", b"\0" * 5_000_000)],
                    compression=zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    true = struct.pack("<I", 5_000_000)
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, struct.pack("<I", declared)))
    tracemalloc.start()
    with pytest.raises(WorkplaceError, match=r"a\.zip"):
        unpack(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert declared > 10 or peak < 1_000_000


def test_a_damaged_zip_is_said(tmp_path: Path) -> None:
    whole = zipped({META: b'{"homework": "hw8"}', "a.py": os.urandom(200), "b.py": b"x" * 999})
    path = tmp_path / "a.zip"
    for length in range(0, len(whole), 23):
        path.write_bytes(whole[:length])
        with pytest.raises(WorkplaceError):
            unpack(path)
    outcomes = set()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tree = unpack(path)
            except WorkplaceError:
                outcomes.add("refused")
            else:  # a time or a name was hit, but no content
                outcomes.add("read")
                assert tree[META] == b'{"homework": "hw8"}'
    assert "refused" in outcomes


def test_zips_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with pytest.raises(WorkplaceError, match="No such file"):
        unpack(path)
    with pytest.raises(WorkplaceError, match="cannot be read"):
        unpack(tmp_path)
    content = bytearray(zipped({META: b"{}", "a.py": b"1"}))
    for signature, flag in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        begin = 0
        while (begin := content.find(signature, begin)) >= 0:
            content[begin + flag] |= 1  # encrypted
            begin += 4
    path.write_bytes(bytes(content))
    with pytest.raises(WorkplaceError, match=r"encrypted|password"):
        unpack(path)


@pytest.mark.parametrize(("content", "says"), [
    (b'{"homework": "hw9"}', "is a release of hw9, not of hw8"), (b"{", "damaged"),
    (b"[]", "damaged"), (b"{}", "damaged"), (b"\xff", "damaged"),
    (b'{"homework": null}', "release of None"),
])
def test_releases_of_something_else(tiny: Path, tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({META: content}))
    with pytest.raises(WorkplaceError, match=says):
        release_tree("hw8", tmp_path / "a.zip")


def test_where_a_homework_comes_from(tiny: Path, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    hw, tree = release_tree("hw8", None)
    (tmp_path / "a.zip").write_bytes(zipped(tree))
    assert release_tree("hw8", tmp_path / "a.zip") == (hw, tree) and hw is EIGHT
    with pytest.raises(SpecError, match="no homework 'hw77'"):
        release_tree("hw77", None)
    (tiny / "notebooks" / "hw9_story.ipynb").unlink()
    with pytest.raises(WorkplaceError, match="hw9: wants one notebooks"):
        release_tree("hw9", None)
    monkeypatch.setattr(workplace, "checkout", lambda: None)
    with pytest.raises(WorkplaceError, match=r"installed as a wheel.*minigrad-hw8\.zip"):
        release_tree("hw8", None)


# ----------------------------------------------------------------------------------------- pack


def test_what_is_handed_in(place: Workplace, tiny: Path) -> None:
    assert set(pack(place, EIGHT)) == {META, "minigrad/arith.py"}
    assert set(pack(place, NINE)) == {META, "minigrad/arith.py", "gans/players.py"}
    (place.root / "minigrad" / "mine").mkdir()
    (place.root / "minigrad" / "mine" / "my_helper.py").write_text("x = 1")
    (place.root / "gans" / "big.npz").write_bytes(b"1")
    (place.root / "other.py").write_text("")
    assert set(pack(place, EIGHT)) == {META, "minigrad/arith.py", "minigrad/mine/my_helper.py"}
    assert zipped(pack(place, EIGHT)) == zipped(pack(place, EIGHT))
    (place.root / "minigrad" / "arith.py").unlink()
    with pytest.raises(WorkplaceError, match=r"minigrad/arith\.py cannot be read: No such file"):
        pack(place, EIGHT)


def test_links_and_folders_are_no_added_files(place: Workplace, tmp_path: Path) -> None:
    gans = place.root / "gans"
    (tmp_path / "secret.py").write_text("SECRET")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.py").write_text("SECRET")
    (gans / "link.py").symlink_to(tmp_path / "secret.py")
    (gans / "nowhere.py").symlink_to(tmp_path / "nothing.py")
    (gans / "loop.py").symlink_to(gans / "loop.py")
    (gans / "linked").symlink_to(tmp_path / "outside", target_is_directory=True)
    (gans / "folder.py").mkdir()
    os.mkfifo(gans / "pipe.py")
    assert added_files(place) == []
    assert set(pack(place, EIGHT)) == {META, "minigrad/arith.py"}


@pytest.mark.parametrize("name", [b"\xff.py", b"a\nb.py", b"\x1b[2J.py"])
def test_odd_names_are_said(place: Workplace, name: bytes) -> None:
    with open(os.path.join(os.fsencode(place.root / "gans"), name), "w"):
        pass
    with pytest.raises(WorkplaceError, match="has an odd name; rename it") as caught:
        pack(place, EIGHT)
    assert str(caught.value).isascii() and str(caught.value).isprintable()


def test_a_solved_folder_is_packed_as_it_is(tiny: Path, tmp_path: Path) -> None:
    write_tree(solved(starter(tiny, EIGHT), EIGHT), tmp_path / "hw8")
    place = Workplace.at(tmp_path / "hw8")
    assert all(state.written for state in place.states(EIGHT))
    assert not any(state.written for state in place.states(NINE))
    (tmp_path / "s.zip").write_bytes(zipped(pack(place, EIGHT)))
    tree = unpack(tmp_path / "s.zip")
    assert json.loads(tree[META]) == {"homework": "hw8"}
    assert len(BOTH) == 2
