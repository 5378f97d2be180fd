"""Frames that are cut off, enormous or no frames at all are refused."""

import io
import json
import struct
import tracemalloc

import numpy
import pytest

from minigrad.homework import wire
from minigrad.homework.wire import FrameError, read_frame, write_frame


def sent(header: dict, arrays: list) -> bytes:
    stream = io.BytesIO()
    write_frame(stream, header, arrays)
    return stream.getvalue()


def part(content: bytes) -> bytes:
    return struct.pack(">Q", len(content)) + content


def npy(shape: object, descr: str = "<f8", data: bytes = b"", order: bool = False,
        version: bytes = b"\x01\x00") -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return b"\x93NUMPY" + version + size + header + data


@pytest.mark.parametrize("array", [
    numpy.arange(6.0).reshape(2, 3), numpy.arange(6.0).reshape(2, 3).T, numpy.float32(2.5),
    numpy.zeros((0, 4)), numpy.array([numpy.nan, -numpy.inf]), numpy.ones((2, 1, 2), "?"),
    numpy.arange(3, dtype=">i2"), numpy.ones(2, complex), numpy.arange(10)[::-2],
    numpy.asfortranarray(numpy.arange(24).reshape(2, 3, 4)),
])
def test_arrays_come_as_they_were_sent(array) -> None:
    header, (got,) = read_frame(io.BytesIO(sent({"run": "ä"}, [array])))
    assert header == {"run": "ä", "arrays": 1}
    assert got.dtype == array.dtype and got.shape == array.shape
    assert numpy.array_equal(got, array, equal_nan=True)
    got[...] = 0  # it is the receiver's own


def test_frames_follow_each_other_and_end() -> None:
    stream = io.BytesIO(sent({"a": 1}, []) + sent({"b": 2}, [numpy.ones(3)] * 2))
    assert read_frame(stream) == ({"a": 1, "arrays": 0}, [])
    assert len(read_frame(stream)[1]) == 2
    assert read_frame(stream) is None


def test_every_truncation_is_noticed() -> None:
    whole = sent({"a": 1}, [numpy.ones(2)])
    for length in range(1, len(whole)):
        with pytest.raises(FrameError):
            read_frame(io.BytesIO(whole[:length]))


def test_every_flipped_bit_is_a_frame_or_an_error() -> None:
    whole = sent({"a": 1}, [numpy.ones(2, "f4")])
    for place in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        try:
            header, _ = read_frame(io.BytesIO(bytes(damaged)))
        except FrameError:
            continue
        assert isinstance(header, dict)


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"3", b"null", b'"arrays"', b"{}", b'{"arrays": -1}', b'{"arrays": 1.0}',
    b'{"arrays": "1"}', b'{"arrays": false}', b'{"arrays": null}', b'{"arrays": 1001}',
    b"\xff\xfe", b"[" * 200_000, b'{"arrays": ' + b"9" * 5000 + b"}", b'[{"arrays": 0}]',
])
def test_headers_that_are_none(text: bytes) -> None:
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(part(text)))


@pytest.mark.parametrize("content", [
    b"", b"\x93NUMPY", b"PK\x03\x04" + b"0" * 50, npy("(2,)", data=b"0" * 15),
    npy("(2,)", data=b"0" * 17), npy("(-1,)", data=b"0" * 8), npy("(-1, -1)", data=b"0" * 8),
    npy("(10**9, 10**9)"), npy("(1000000000, 1000000000)"), npy("(4294967296, 4294967296)"),
    npy("(9223372036854775807,)"), npy("(True,)", data=b"0" * 8)[:-4], npy("(1.0,)"), npy("3"),
    npy("(1,)", "|O", b"cposix\nsystem\n(S'true'\ntR."), npy("(1,)", "|V8", b"0" * 8),
    npy("(1,)", "<U2", b"0" * 8), npy("(1,)", "<M8[s]", b"0" * 8), npy("(1,)", "nonsense"),
    npy("(0, 99999999999999999999)"), npy("(" + "1," * 100 + ")", data=b"0" * 8),
    npy("(" * 3000 + ")" * 3000), npy("()", data=b""), npy("(1,)", data=b"0" * 8,
                                                            version=b"\x03\x00"),
    npy("__import__('os').system('true')"), npy("(1,)", data=b"0" * 8, version=b"\x09\x00"),
    b"\x93NUMPY\x01\x00\xff\xff{'descr'", b"\x93NUMPY\x01\x00\x05\x00'''\n ",
], ids=range(28))
def test_arrays_that_are_none(content: bytes) -> None:
    frame = part(b'{"arrays": 1}') + part(content)
    with pytest.raises(FrameError):
        read_frame(io.BytesIO(frame))


def test_a_declared_shape_allocates_nothing() -> None:
    frame = part(b'{"arrays": 1}') + part(npy("(30000000,)", data=b"0" * 8))
    tracemalloc.start()
    with pytest.raises(FrameError, match="30000000"):
        read_frame(io.BytesIO(frame))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


class Endless(io.RawIOBase):
    """A stream that would give what it is asked for, and remembers the largest wish."""

    def __init__(self, begin: bytes) -> None:
        self.begin, self.largest = begin, 0

    def read(self, size: int = -1) -> bytes:
        self.largest = max(self.largest, size)
        assert size < 10**6, "this would fill the memory"
        found, self.begin = self.begin[:size], self.begin[size:]
        return found + b"\0" * (size - len(found))


@pytest.mark.parametrize("size", [wire.LARGEST + 1, 2**40, 2**64 - 1])
def test_enormous_parts_are_not_read(size: int) -> None:
    for begin in (b"", part(b'{"arrays": 2}') + part(npy("()", data=b"0" * 8))):
        with pytest.raises(FrameError, match="are the most"):
            read_frame(Endless(begin + struct.pack(">Q", size)))


def test_many_parts_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    one = numpy.zeros(100)
    frame = sent({}, [one] * 3)
    monkeypatch.setattr(wire, "LARGEST", 2000)
    with pytest.raises(FrameError, match="are the most"):
        read_frame(io.BytesIO(frame))
    with pytest.raises(ValueError, match="too much for one answer"):
        sent({}, [one] * 3)
    assert len(read_frame(io.BytesIO(sent({}, [one])))[1]) == 1


@pytest.mark.parametrize("array", [
    numpy.array([object()]), numpy.array(["text"]), numpy.zeros(2, "M8[s]"), numpy.zeros(1, "V3"),
    numpy.zeros(1, [("a", "O")]), numpy.zeros(1, [("a", "f8")]), "text", None, [[1], [2, "a"]],
], ids=range(9))
def test_only_numbers_are_sent(array) -> None:
    stream = io.BytesIO()
    with pytest.raises(ValueError):
        write_frame(stream, {"a": 1}, [numpy.ones(2), array])
    assert stream.getvalue() == b""  # nothing half sent


def test_headers_that_json_cannot_say() -> None:
    stream = io.BytesIO()
    with pytest.raises(TypeError):
        write_frame(stream, {"a": numpy.ones(2)}, [])
    assert stream.getvalue() == b""
    assert json.loads(sent({"arrays": 99}, [])[8:]) == {"arrays": 0}  # not the caller's count
