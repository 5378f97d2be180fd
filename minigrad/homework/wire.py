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
import struct
import tokenize
from typing import Any, BinaryIO

import numpy

__all__ = ["FrameError", "read_frame", "write_frame"]

LARGEST = 256 * 2**20  # bytes of a frame
MOST = 1000  # arrays of one frame
KINDS = "fiubc"  # of arrays: numbers and truth values
LENGTH = struct.Struct(">Q")


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
        text = _rest(stream, first, LARGEST)
        header = json.loads(text)
        count = header["arrays"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FrameError(f"no header: {error}") from error
    if not isinstance(header, dict) or type(count) is not int or not 0 <= count <= MOST:
        raise FrameError(f"a frame of {count!r} arrays")
    left = LARGEST - len(text)
    arrays = []
    for _ in range(count):
        content = _rest(stream, stream.read(LENGTH.size), left)
        left -= len(content)
        try:
            arrays.append(_array(content))
        except (ValueError, EOFError, SyntaxError, TypeError, RecursionError, MemoryError,
                OverflowError, tokenize.TokenError) as error:
            raise FrameError(f"no array of numbers: {error}") from error
    return header, arrays


def _array(content: bytes) -> numpy.ndarray:
    """An array from ``.npy`` bytes that are exactly as many as its shape says.

    NumPy's own reader would first allocate whatever shape the header declares.
    """
    file = io.BytesIO(content)
    version = numpy.lib.format.read_magic(file)
    if version == (1, 0):
        shape, is_fortran, dtype = numpy.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, is_fortran, dtype = numpy.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version} of the format")
    if dtype.kind not in KINDS:
        raise ValueError(f"elements of {dtype}")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{len(content) - file.tell()} bytes for the shape {shape} of {dtype}")
    flat = numpy.frombuffer(content, dtype, offset=file.tell()).copy()
    return flat.reshape(shape, order="F" if is_fortran else "C")


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
