"""What parent and child send each other: a header in JSON and arrays as ``.npy`` bytes.

Nothing is unpickled: an array of objects is refused on both sides. Only NumPy and the standard
library, since the file is copied into the child's folder.

Leaves out: encryption and anything that would make the child trustworthy; the parent trusts no
frame further than its numbers.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
from typing import Any, BinaryIO

import numpy

__all__ = ["FrameError", "read_frame", "write_frame"]

LARGEST = 64 * 2**20  # bytes of a frame
LARGEST_HEADER = 2**20
MOST = 1000  # arrays of one frame
DEEPEST = 5  # lists in lists of a header: writing deeper ones into a message could fail
KINDS = "fiubc"  # of arrays: numbers and truth values
LENGTH = struct.Struct(">Q")
MAGIC = b"\x93NUMPY"
LENGTHS = {b"\1\0": struct.Struct("<H"), b"\2\0": struct.Struct("<I")}  # of the header
LONGEST = 10_000  # bytes of a header of an array
HEADER = re.compile(rb"\{'descr': '(?P<dtype>[<>|=][a-zA-Z]\d{1,3})', "
                    rb"'fortran_order': (?P<fortran>True|False), "
                    rb"'shape': \((?P<shape>[\d, ]*)\), \} *\n?")


class FrameError(ValueError):
    """What came is no frame, or larger than any frame may be."""


def write_frame(stream: BinaryIO, header: dict[str, Any], arrays: list[numpy.ndarray]) -> None:
    """Send a header and arrays of numbers.

    Raises
    ------
    ValueError
        If an array holds objects or anything else than numbers, or the frame is too large; nothing
        is sent then.
    """
    parts = [json.dumps({**header, "arrays": len(arrays)}).encode()]
    if len(parts[0]) > LARGEST_HEADER:
        raise ValueError(f"a header of {len(parts[0]):,} bytes; {LARGEST_HEADER:,} are the most")
    for array in map(numpy.asarray, arrays):
        if array.dtype.kind not in KINDS:
            raise ValueError(f"arrays of numbers are sent, got one of {array.dtype}")
        buffer = io.BytesIO()
        numpy.lib.format.write_array(buffer, array, allow_pickle=False)
        parts.append(buffer.getvalue())
    size = sum(map(len, parts))
    if size > LARGEST or len(arrays) > MOST:
        raise ValueError(f"{len(arrays)} arrays of {size:,} bytes are too much for one answer; "
                         f"{MOST:,} of {LARGEST:,} are the most")
    for part in parts:
        stream.write(LENGTH.pack(len(part)))
        stream.write(part)
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], list[numpy.ndarray]] | None:
    """The next header and its arrays; None at the end of the stream.

    Raises
    ------
    FrameError
        If the stream ends within a frame, or the frame is not what ``write_frame`` writes.
    """
    first = stream.read(LENGTH.size)
    if not first:
        return None
    try:
        text = _rest(stream, first, LARGEST_HEADER)
        header = json.loads(text)
        count = header["arrays"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FrameError(f"no header: {error}") from error
    if not isinstance(header, dict) or type(count) is not int or not 0 <= count <= MOST:
        raise FrameError(f"a frame of {str(count)[:20]} arrays")
    if _is_deep(header):
        raise FrameError(f"a header of more than {DEEPEST} lists in each other")
    left = LARGEST - len(text)
    arrays = []
    for _ in range(count):
        content = _rest(stream, stream.read(LENGTH.size), left)
        left -= len(content)
        try:
            arrays.append(_array(content))
        except (ValueError, TypeError, MemoryError, OverflowError, struct.error) as error:
            raise FrameError(f"no array of numbers: {error}") from error
    return header, arrays


def _is_deep(header: dict[str, Any]) -> bool:
    """Whether there are more than DEEPEST lists or dictionaries in each other."""
    level: list[Any] = [header]
    for _ in range(DEEPEST):
        level = [below for one in level
                 for below in (one.values() if isinstance(one, dict) else one)
                 if isinstance(below, dict | list)]
    return bool(level)


def _array(content: bytes) -> numpy.ndarray:
    """An array from ``.npy`` bytes that are exactly as many as its shape says.

    NumPy's own reader would first allocate whatever shape the header declares. It also reads the
    header as Python, which two threads must not do at the same time in Python 3.11.
    """
    if not content.startswith(MAGIC):
        raise ValueError("no .npy bytes")
    length = LENGTHS.get(content[6:8])
    if length is None:
        raise ValueError(f"version {tuple(content[6:8])} of the format")
    start = 8 + length.size
    (size,) = length.unpack_from(content, 8)
    header = HEADER.fullmatch(content[start:start + min(size, LONGEST)])
    if header is None:
        raise ValueError("a header that says not what an array is")
    dtype = numpy.dtype(header["dtype"].decode())
    if dtype.kind not in KINDS:
        raise ValueError(f"elements of {dtype}")
    shape = tuple(int(n) for n in header["shape"].split(b",") if n.strip())
    start += size
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"{len(content) - start} bytes for the shape {shape} of {dtype}")
    flat = numpy.frombuffer(content, dtype, offset=start).copy()
    return flat.reshape(shape, order="F" if header["fortran"] == b"True" else "C")


def _rest(stream: BinaryIO, length: bytes, most: int) -> bytes:
    if len(length) != LENGTH.size:
        raise FrameError("the stream ends within a frame")
    (size,) = LENGTH.unpack(length)
    if size > most:
        raise FrameError(f"a part of {size:,} bytes; {most:,} are the most")
    content = stream.read(size)
    if len(content) != size:
        raise FrameError("the stream ends within a frame")
    return content
