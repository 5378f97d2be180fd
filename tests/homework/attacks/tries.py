"""Handed in with every attack as ``minigrad/tries.py``: how attempts are made and told.

The harness puts constants in front: paths and numbers of the grader that no student would know.

Leaves out: any attack.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

LIBRARY = ctypes.CDLL(None, use_errno=True)
MARK = "minigrad-attack"


def system(number: int, *arguments: Any) -> int:
    """A system call by its number on x86-64; OSError for a refusal."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    found = LIBRARY.syscall(ctypes.c_long(number), *given)
    if found == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def called(name: str, *arguments: Any) -> int:
    """A function of the C library; OSError for a refusal."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    found = getattr(LIBRARY, name)(*given)
    if found == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def attempt(attempts: Mapping[str, Callable[[], Any]]) -> NoReturn:
    """Try all, then raise an error that says what succeeded, or that all was refused."""
    got, refused = [], []
    for name, one in attempts.items():
        try:
            found = one()
        except OSError as error:
            refused.append(f"{name} {errno.errorcode.get(error.errno, error)}")
        except BaseException as error:
            refused.append(f"{name} {type(error).__name__}")
        else:
            got.append(f"{name} {found!r:.60}")
    told = f"all {len(refused)} refused: {', '.join(refused)}"
    raise RuntimeError(f"GOT OUT: {', '.join(got)}" if got else told)


def worker_frame() -> Any:
    """The frame of the worker's ``main``, with all that it holds."""
    frame = sys._getframe()
    while frame is not None and not (
            frame.f_code.co_name == "main" and "answers" in frame.f_locals):
        frame = frame.f_back
    return frame
