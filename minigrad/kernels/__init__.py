"""Plain functions from arrays to arrays: the simple forms and, beside them, the fast paths.

``active()`` is the module that the ops call: ``kernels.fast`` as a rule, ``kernels.reference``
inside ``with reference_kernels():`` or when the variable ``MINIGRAD_KERNELS`` is set to
``reference`` before the first kernel runs. Both offer the same functions; the reference is the
oracle of every fast path and what students write.

Leaves out: Tensors. No kernel knows of the graph.
"""

from __future__ import annotations

import functools
import os
from contextlib import ContextDecorator
from types import ModuleType

from . import fast, reference, windows

__all__ = ["active", "fast", "reference", "reference_kernels", "windows"]

_chosen: list[ModuleType] = []


def active() -> ModuleType:
    """The kernels in use: the module ``fast`` or the module ``reference``.

    Raises
    ------
    ValueError
        If the variable ``MINIGRAD_KERNELS`` is set to something else than ``fast`` or
        ``reference``.
    """
    return _chosen[-1] if _chosen else _from_environment()


@functools.cache
def _from_environment() -> ModuleType:
    name = os.environ.get("MINIGRAD_KERNELS", "fast")
    if name not in ("fast", "reference"):
        raise ValueError(f"MINIGRAD_KERNELS must be 'fast' or 'reference', got {name!r}")
    return reference if name == "reference" else fast


class reference_kernels(ContextDecorator):
    """Inside, the whole library runs on the simple kernels: context manager and decorator."""

    def __enter__(self) -> reference_kernels:
        _chosen.append(reference)
        return self

    def __exit__(self, *exc: object) -> None:
        _chosen.pop()
