"""The walls: which there are is measured, the filter says what it should, a cell holds its tree."""

import os
import struct
import subprocess
import sys

import pytest

from minigrad.homework.grading import cell as cell_module
from minigrad.homework.grading import isolation
from minigrad.homework.grading.isolation import Cell, IsolationError, Mode, Wall, choose, measured

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cells need Linux")
STARTER = {"minigrad/__init__.py": b"x = 1\n", "minigrad/a.py": b"y = 2\n"}


# ---- what is measured


@linux
@pytest.mark.parametrize("mode", [Mode.NAMESPACES, Mode.UID])
def test_every_wall_of_a_mode_stands_or_it_is_refused(mode):
    try:
        walls = measured(mode)
    except IsolationError as error:
        pytest.skip(f"not tested here: {error}")
    assert {wall.name for wall in walls} == set(isolation.TITLES.values())
    open_ones = [wall.name for wall in walls if not wall.stands]
    if open_ones:
        with pytest.raises(IsolationError, match="a submission could"):
            choose(mode.value)
    else:
        assert choose(mode.value) is mode


@linux
def test_without_walls_the_probe_gets_out():
    """So it is no wonder of the probe that it stays in."""
    stands = {wall.name: wall.stands for wall in measured(Mode.NONE)}
    for name in ("solution", "secret", "files", "network", "grader", "processes", "programs"):
        assert not stands[isolation.TITLES[name]], name


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0,
                    reason="only root may change to another user")
def test_no_two_graders_have_the_same_user(monkeypatch, tmp_path):
    """Whether in one process or in two; a number is free again when its cell ends."""
    free = isolation.USERS[-2:]
    monkeypatch.setattr(isolation, "USERS", free)
    program = ("import sys\nfrom minigrad.homework.grading import isolation\n"
               f"isolation.USERS = {free!r}\nuser, claim = isolation._unused_user()\n"
               "print(user, flush=True)\nsys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as other:
        theirs = int(other.stdout.readline())
        ours, claim = isolation._unused_user()
        assert {theirs, ours} == set(free)
        with pytest.raises(IsolationError, match="no unused user"):
            isolation._unused_user()
        claim.close()
        again, claim = isolation._unused_user()
        assert again == ours
        other.stdin.close()
        other.wait(20)
        last, other_claim = isolation._unused_user()
        assert last == theirs
        claim.close()
        other_claim.close()


def test_auto_takes_the_first_mode_whose_walls_all_stand(monkeypatch):
    def found(mode):
        if mode is Mode.NAMESPACES:
            raise IsolationError("namespaces: unshare was refused")
        return [Wall("read the solution", True, ""), Wall("reach the network", network, "")]

    monkeypatch.setattr(isolation, "measured", found)
    network = True
    assert choose("auto") is Mode.UID
    network = False
    with pytest.raises(IsolationError) as error:
        choose("auto")
    for part in ("unshare was refused", "uid: a submission could reach the network",
                 "--isolation none"):
        assert part in str(error.value)
    assert choose("none") is Mode.NONE
    with pytest.raises(IsolationError, match="unshare was refused"):
        choose("namespaces")


def test_other_systems_have_no_cells(monkeypatch):
    monkeypatch.setattr(isolation.sys, "platform", "darwin")
    with pytest.raises(IsolationError, match="Linux only, this is darwin"):
        measured(Mode.NAMESPACES)


# ---- a cell's files


@linux
def test_a_cell_has_the_tree_of_one_submission_at_a_time():
    with Cell(Mode.NONE, STARTER) as cell:
        cell.put({**STARTER, "minigrad/a.py": b"y = 3\n", "minigrad/new.py": b"z = 4\n"})
        assert (cell.tree / "minigrad/a.py").read_bytes() == b"y = 3\n"
        compiled = sorted(p.name.split(".")[0] for p in cell.tree.rglob("*.pyc"))
        assert compiled == ["__init__"]  # what a student wrote is compiled in the cell only
        cell.put({"minigrad/__init__.py": b"x = 1\n"})
        assert sorted(p.name for p in cell.tree.rglob("*.py")) == ["__init__.py"]
        folder = cell.root.parent
    assert not folder.exists()


@linux
def test_everyone_may_read_a_cell_whatever_the_umask():
    before = os.umask(0o077)
    try:
        with Cell(Mode.NONE, STARTER) as cell:
            cell.put(STARTER)
            for path in [cell.root, *cell.root.rglob("*")]:
                assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path
    finally:
        os.umask(before)


@linux
def test_there_is_nothing_of_the_solution_or_another_library_in_a_cell():
    with Cell(Mode.NAMESPACES, STARTER) as cell:
        files = [path.relative_to(cell.root).as_posix() for path in cell.root.rglob("*.py")]
    assert any(name.endswith("numpy/__init__.py") for name in files)
    assert any(name.endswith("/dataclasses.py") for name in files)
    for word in ("site-packages/pip", "scipy", "torch", "homework", "minigrad", "gans", "/test/"):
        assert not [name for name in files if word in name], word


# ---- the filter, run by an interpreter of its own


def decision(program: bytes, architecture: int, number: int, first: int = 0) -> int:
    """What the kernel would do with a call: the words of linux/filter.h, one by one."""
    data = struct.pack("<IIQQ", number, architecture, 0, first)
    value, at = 0, 0
    while True:
        code, yes, no, k = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("<I", data, k)
        elif code == 0x06:
            return k
        else:
            held = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            at += yes if held else no


MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_refuses_what_it_names_and_nothing_else(machine):
    program = cell_module.filter_program(machine)
    which = list(MACHINES).index(machine)
    refused = {numbers[which] for numbers in cell_module.REFUSED.values()} - {None}
    assert len(refused) == sum(n[which] is not None for n in cell_module.REFUSED.values())
    clone, prctl = cell_module.CLONE[which], cell_module.PRCTL[which]
    for number in range(600):
        want = EPERM if number in refused else ENOSYS if number == 435 else ALLOW
        want = EPERM if number == clone else want  # without the flag of a thread
        assert decision(program, MACHINES[machine], number) == want, number
    assert decision(program, MACHINES[machine], clone, 0x3D0F00) == ALLOW  # of a thread
    assert decision(program, MACHINES[machine], prctl, 1) == EPERM
    assert decision(program, MACHINES[machine], prctl, 4) == ALLOW
    assert decision(program, 0x40000003, 41) == KILL  # calls of 32 bits have other numbers
    if machine == "x86_64":
        assert decision(program, MACHINES[machine], 0x40000000 | 41) == KILL
    assert len(program) // 8 < 4096


def test_there_is_no_filter_for_other_processors():
    assert cell_module.filter_program("riscv64") == b""


# ---- what a killed grader leaves


@linux
def test_cells_of_killed_graders_are_removed_and_those_in_use_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation.tempfile, "tempdir", str(tmp_path))
    abandoned, young = tmp_path / "minigrad-cell-abandoned", tmp_path / "minigrad-cell-young"
    for folder in (abandoned, young):
        (folder / "root").mkdir(parents=True)
    with Cell(Mode.NONE, STARTER) as used:
        for folder in (abandoned, used.root.parent):
            os.utime(folder, (0, 0))
        with Cell(Mode.NONE, STARTER):
            assert not abandoned.exists()
            assert young.exists() and used.root.exists()


@linux
def test_a_second_cell_is_as_good_as_the_first():
    def files(cell):
        return {p.relative_to(cell.root) for p in cell.root.rglob("*") if p.is_file()}

    with Cell(Mode.NAMESPACES, STARTER) as one:
        one.put(STARTER)
        with Cell(Mode.NAMESPACES, STARTER) as two:
            assert files(two) == {f for f in files(one) if f.parts[0] != "tree"}
        assert files(one)


@linux
def test_cells_of_one_grader_have_different_users(monkeypatch):
    monkeypatch.setattr(isolation, "USERS", range(61184, 61186))
    if not isolation._is_root():
        pytest.skip("only root may change to another user")
    with Cell(Mode.UID, STARTER) as one, Cell(Mode.UID, STARTER) as two:
        assert {one.user, two.user} == {61184, 61185}
        with pytest.raises(IsolationError, match="no unused user"), Cell(Mode.UID, STARTER):
            pass
    before = {path.name for path in isolation.Path(isolation.tempfile.gettempdir()).glob(
        f"{isolation.PREFIX}*")}
    assert not {one.root.parent.name, two.root.parent.name} & before


@linux
def test_a_cell_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(FileExistsError), Cell(Mode.NONE, {"a": b"", "a/b": b""}):
        pass
    assert list(tmp_path.iterdir()) == []
