"""Checkpoints: whole or not at all, never pickled, and any damage is told as one error."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syntax import ROOT

import minigrad as ndl
from minigrad import nn, serialize
from minigrad.serialize import CheckpointError, load, save

ARRAYS = {
    "layers.0.weight": np.arange(6, dtype="float32").reshape(2, 3),
    "step": np.asarray(7),
    "deep/name with spaces": np.array([True, False]),
    "empty": np.zeros((0, 4), dtype="float64"),
    "half": np.array([1.5], dtype="float16"),
    "turned": np.arange(6.0).reshape(2, 3).T,
    "file": np.ones(1),  # names that numpy.savez keeps for itself
    "allow_pickle": np.zeros(2),
    "arr_0": np.full(3, 9, dtype="uint8"),
    "": np.ones(2),
    "x": np.ones(1),
    "x.npy": np.zeros(1),
}


def check(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert list(got) == list(want)
    for name, array in want.items():
        assert got[name].dtype == array.dtype
        assert got[name].shape == array.shape
        np.testing.assert_array_equal(got[name], array)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# ------------------------------------------------------------------------------------ round trip


@pytest.mark.parametrize("compress", [False, True])
def test_round_trip(tmp_path, compress):
    path = tmp_path / "checkpoint.npz"
    meta = {"step": 3, "names": ["a", None, 1.5], "state": ndl.random.get_state()}
    save(path, ARRAYS, meta, compress=compress)
    arrays, back = load(path)
    check(arrays, ARRAYS)
    assert back == meta
    assert names(tmp_path) == ["checkpoint.npz"]
    with np.load(path, allow_pickle=False) as plain:  # NumPy reads it too
        np.testing.assert_array_equal(plain["layers.0.weight"], ARRAYS["layers.0.weight"])
    kinds = {info.compress_type for info in zipfile.ZipFile(path).infolist()}
    assert kinds == {zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED}


def test_without_metadata(tmp_path):
    save(tmp_path / "a.npz", {})
    assert load(tmp_path / "a.npz") == ({}, None)
    np.savez(tmp_path / "b.npz", x=np.ones(2))  # not written by save
    arrays, meta = load(tmp_path / "b.npz")
    assert list(arrays) == ["x"]
    assert meta is None


@settings(max_examples=40)
@given(shape=st.lists(st.integers(0, 4), max_size=3), dtype=st.sampled_from("fdlbB?eH"),
       name=st.text(st.characters(codec="utf-8", exclude_characters="\0/\\:"), max_size=8),
       seed=st.integers(0, 99))
def test_any_array_under_any_name(tmp_path_factory, shape, dtype, name, seed):
    path = tmp_path_factory.mktemp("any") / "a.npz"
    array = (np.random.default_rng(seed).standard_normal(shape) * 9).astype(dtype)
    save(path, {name: array})
    check(load(path)[0], {name: array})


def test_modules(tmp_path):
    path = tmp_path / "net.npz"
    net, twin = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
    net(ndl.randn(5, 2))
    serialize.save_module(path, net, {"epoch": 2})
    assert serialize.load_module(path, twin) == {"epoch": 2}
    check(twin.state_dict(), net.state_dict())
    other = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
    before = other.state_dict()
    for misfit in (other, nn.Linear(2, 3), nn.Linear(2, 3, dtype="float64")):
        with pytest.raises(CheckpointError, match=f"does not fit {type(misfit).__name__}"):
            serialize.load_module(path, misfit)
    check(other.state_dict(), before)


def test_an_optimizer_travels_too(tmp_path):
    net = nn.Linear(2, 2)
    opt = ndl.optim.Adam(net.parameters())
    opt.minimize(net(ndl.ones(1, 2)).sum())
    save(tmp_path / "a.npz", {f"opt.{k}": v for k, v in opt.state_dict().items()})
    arrays, _ = load(tmp_path / "a.npz")
    again = ndl.optim.Adam(nn.Linear(2, 2).parameters())
    again.load_state_dict({k.removeprefix("opt."): v for k, v in arrays.items()})
    assert again.t == 1
    np.testing.assert_array_equal(again.m, opt.m)


# --------------------------------------------------------------------------------- refused names


@pytest.mark.parametrize("arrays, text", [
    ({"__meta__": np.ones(1)}, "__meta__ is reserved"),
    ({"x": np.array([{}], dtype=object)}, "x holds Python objects"),
    ({"x": [1, "a", None]}, "x holds Python objects"),
    ({"x": np.array([(1, None)], dtype=[("a", int), ("b", object)])}, "x holds Python objects"),
])
def test_refused(tmp_path, arrays, text):
    path = tmp_path / "a.npz"
    with pytest.raises(CheckpointError, match=text):
        save(path, arrays)
    assert names(tmp_path) == []


def test_metadata_that_json_cannot_hold(tmp_path):
    save(tmp_path / "a.npz", {"x": np.ones(1)})
    with pytest.raises(TypeError):
        save(tmp_path / "a.npz", {}, {"x": np.ones(1)})
    assert list(load(tmp_path / "a.npz")[0]) == ["x"]


# --------------------------------------------------------------------------------------- damage


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.npz: no such file"):
        load(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match="damaged"):
        load(tmp_path)  # a folder


@pytest.fixture
def small(tmp_path) -> Path:
    path = tmp_path / "small.npz"
    save(path, {"a": np.arange(5, dtype="float32"), "b": np.asarray(3)}, {"k": [1, 2]})
    return path


def test_cut_short_anywhere(small):
    whole = small.read_bytes()
    for length in [*range(0, len(whole) - 60, 7), *range(len(whole) - 60, len(whole))]:
        small.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"small\.npz: damaged"):
            load(small)


@pytest.mark.parametrize("compress", [False, True])
def test_any_byte_wrong(small, compress):
    """Either the error, or the byte carried nothing and all values are as they were."""
    want, meta = load(small)
    save(small, want, meta, compress=compress)
    whole = small.read_bytes()
    found = 0
    for position in range(len(whole)):
        spoiled = bytearray(whole)
        spoiled[position] ^= 1 << position % 8
        small.write_bytes(spoiled)
        try:
            got = load(small)
        except CheckpointError as error:
            assert str(error).startswith(f"{small}: damaged")
            found += 1
        else:
            check(got[0], want)
            assert got[1] == meta
    assert found > len(whole) // 2


def test_another_compression_named(small):
    """One wrong byte, and the file is said to be packed with LZMA."""
    spoiled = bytearray(small.read_bytes())
    spoiled[spoiled.index(b"PK\x01\x02") + 10] = zipfile.ZIP_LZMA
    small.write_bytes(spoiled)
    with pytest.raises(CheckpointError, match=r"small\.npz: damaged"):
        load(small)


def test_pickles_are_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os._exit, (3,))

    path = tmp_path / "trap.npz"
    np.savez(path, x=np.array([Trap()], dtype=object))
    with pytest.raises(CheckpointError, match=r"trap\.npz: damaged.*(pickle|Object arrays)"):
        load(path)
    for value in (b"", b"PK", b"not an archive", b"\x80\x04N."):
        path.write_bytes(value)
        with pytest.raises(CheckpointError):
            load(path)
    with open(path, "wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(CheckpointError, match="not an npz file"):
        load(path)


@pytest.mark.parametrize("meta", [np.array("{"), np.ones(3), np.array(b"\xff")])
def test_metadata_that_is_no_json(tmp_path, meta):
    np.savez(tmp_path / "a.npz", __meta__=meta)
    with pytest.raises(CheckpointError, match="damaged"):
        load(tmp_path / "a.npz")


def test_more_bytes_than_the_array_has(tmp_path):
    save(tmp_path / "a.npz", {"x": np.ones(2)})
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        whole = archive.read("x.npy")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", whole + b"!")
    with pytest.raises(CheckpointError, match=r"x\.npy is longer than its array"):
        load(tmp_path / "b.npz")


def test_a_header_that_asks_for_too_much(tmp_path):
    """A shape of petabytes in the header of a few bytes."""
    path = tmp_path / "a.npz"
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776000,), }"
    head = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", head + b"1234")
    with pytest.raises(CheckpointError, match="damaged"):
        load(path)


# ------------------------------------------------------------------------------ whole or not at all


class FullDisk:
    """A file that takes so many bytes and then says that the disk is full."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data) -> int:
        if self.file.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None:
        self.file.close()


@pytest.mark.parametrize("room", [0, 100, 4000])
@pytest.mark.parametrize("compress", [False, True])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, room, compress):
    path = tmp_path / "a.npz"
    save(path, ARRAYS, 1)
    real_open = open
    monkeypatch.setattr(
        serialize, "open", lambda *args: FullDisk(real_open(*args), room), raising=False)
    noise = np.random.default_rng(0).standard_normal(2000)
    with pytest.raises(CheckpointError, match=r"cannot write .*a\.npz: No space left.*unchanged"):
        save(path, {"big": noise}, 2, compress=compress)
    monkeypatch.undo()
    assert names(tmp_path) == ["a.npz"]
    arrays, meta = load(path)
    check(arrays, ARRAYS)
    assert meta == 1


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_at_the_last_moment(tmp_path, monkeypatch, call):
    path = tmp_path / "a.npz"
    save(path, ARRAYS, 1)

    def fail(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(serialize.os, call, fail)
    with pytest.raises(CheckpointError, match="Input/output error"):
        save(path, {}, 2)
    monkeypatch.undo()
    assert names(tmp_path) == ["a.npz"]
    assert load(path)[1] == 1


def test_a_folder_that_cannot_be_synced(tmp_path, monkeypatch):
    """The new file stands by then: no error may say that it does not."""

    def refuse(*args):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(serialize.os, "open", refuse)
    save(tmp_path / "a.npz", ARRAYS, 3)
    monkeypatch.undo()
    assert load(tmp_path / "a.npz")[1] == 3


def test_an_error_that_is_none_of_the_disk(tmp_path):
    """A writer that fails, or Ctrl-C: the old file stays, nothing lies about, the error passes."""
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    for error in (KeyboardInterrupt, ZeroDivisionError):

        def write(file, error=error):
            file.write(b"half")
            raise error

        with pytest.raises(error):
            serialize.write_atomically(path, write)
        assert names(tmp_path) == ["a.npz"]
        assert path.read_bytes() == b"old"


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "none" / "a.npz", tmp_path / "file" / "a.npz"):
        with pytest.raises(CheckpointError, match="cannot write"):
            save(path, ARRAYS)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(CheckpointError, match="cannot write"):
        save(folder, ARRAYS)
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts need root")
def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this system lets us mount nothing")
    try:
        path = disk / "a.npz"
        save(path, {"x": np.arange(1000)}, 1)
        with pytest.raises(CheckpointError, match="No space left on device"):
            save(path, {"x": np.random.default_rng(0).standard_normal(20_000)}, 2)
        assert names(disk) == ["a.npz"]
        assert load(path)[1] == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


WRITER = """
import sys
import numpy as np
from minigrad.serialize import save
path = sys.argv[1]
i = 0
while True:
    save(path, {f"x{k}": np.full(20_000, i) for k in range(5)}, i)
    if i == 0:
        print("ready", flush=True)
    i += 1
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_killed_while_saving(tmp_path):
    """kill -9 at any moment leaves a file that loads, with all arrays of one save."""
    path = tmp_path / "a.npz"
    seen = set()
    for attempt in range(6):
        path.unlink(missing_ok=True)
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT,
                                 stdout=subprocess.PIPE)
        try:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(0.02 + 0.011 * attempt)
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        arrays, i = load(path)
        assert len(arrays) == 5
        for array in arrays.values():
            np.testing.assert_array_equal(array, np.full(20_000, i))
        seen.add(i)
    assert max(seen) > 0  # it was saving when it was killed
    left = [name for name in names(tmp_path) if name != "a.npz"]
    assert all(name.startswith(".a.npz.") and name.endswith(".tmp") for name in left)


def test_saving_over_an_open_file(tmp_path):
    """A reader of the old file is not disturbed, and two paths do not share a temporary file."""
    path = tmp_path / "a.npz"
    save(path, {"x": np.zeros(3)})
    with np.load(path) as old:
        save(path, {"x": np.ones(3)})
        if os.name == "posix":
            np.testing.assert_array_equal(old["x"], np.zeros(3))
    np.testing.assert_array_equal(load(path)[0]["x"], np.ones(3))


def test_text_can_be_written_atomically(tmp_path):
    path = tmp_path / "config.json"
    serialize.write_atomically(str(path), lambda f: f.write(json.dumps({"a": 1}).encode()))
    assert json.loads(path.read_text()) == {"a": 1}
