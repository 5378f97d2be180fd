"""One seeded generator on the host: every random number of the engine comes from here.

Numbers are drawn on the host and uploaded where the device is a GPU, so that runs on the CPU and
on a GPU share every number. The generator starts at seed 0, so a program that sets no seed repeats
too. The engine draws only through ``random(size, dtype)``, ``standard_normal(size, dtype)``,
``integers`` and ``permutation``; any object with these four methods may stand in for it.

Leaves out: generators on the device, and independent streams (make a ``numpy.random.Generator``).
"""

from __future__ import annotations

import copy
from typing import Any

import numpy

__all__ = ["generator", "get_state", "manual_seed", "set_generator", "set_state"]

_generator: Any = None  # made at first use: importing numpy.random takes a while


def generator() -> Any:
    """The generator in use, a ``numpy.random.Generator`` unless another was set."""
    return _generator if _generator is not None else manual_seed(0)


def set_generator(g: Any) -> Any:
    """Put ``g`` in the generator's place and return the one that was there.

    Raises
    ------
    TypeError
        If ``g`` lacks one of the four methods that the engine draws through.
    """
    global _generator
    wanted = ("random", "standard_normal", "integers", "permutation")
    missing = [name for name in wanted if not callable(getattr(g, name, None))]
    if missing:
        raise TypeError(f"set_generator: {type(g).__name__} has no method {', '.join(missing)}")
    previous = generator()
    _generator = g
    return previous


def manual_seed(seed: int) -> Any:
    """Start a new generator from ``seed`` (a non-negative integer) and return it."""
    global _generator
    _generator = numpy.random.default_rng(seed)
    return _generator


def get_state() -> dict[str, Any]:
    """The generator's state as a dictionary that JSON can hold (for checkpoints)."""
    return copy.deepcopy(generator().bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Continue from a state that ``get_state`` gave.

    Raises
    ------
    ValueError
        If the state is of another kind of bit generator.
    """
    generator().bit_generator.state = state
