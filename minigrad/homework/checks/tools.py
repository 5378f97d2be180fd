"""What the checks of all homeworks share: inputs to draw, and gradients by differences.

Leaves out: everything of minigrad: what is right is computed with NumPy alone, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar

import numpy

from ..explain import SECOND

__all__ = [
    "Arrays", "IllConditioned", "away_from_zero", "bent_at_zero", "normal", "numeric_gradients",
    "positive", "twice", "well_conditioned",
]

Arrays = dict[str, numpy.ndarray]
MARGIN = 1e-3  # far more than a step of 1e-6 moves anything in the tiny networks of the checks
LARGEST = 100.0  # of what is differenced and of its slopes: beyond, rounding takes too many digits
_strict: ContextVar[bool] = ContextVar("strict", default=False)


class IllConditioned(ArithmeticError):
    """Differences do not tell the gradient here well enough to judge anyone by it."""


def normal(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Standard normal numbers, float64."""
    return rng.standard_normal(shape)


def positive(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Numbers from 0.5 to 2, float64."""
    return rng.uniform(0.5, 2.0, shape)


def away_from_zero(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Numbers of both signs with an absolute value from 0.5 to 2: no kink at 0 is near."""
    return rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def well_conditioned(
    draw: Callable[[numpy.random.Generator], Arrays], want: Callable[[Arrays], object]
) -> Callable[[numpy.random.Generator], Arrays]:
    """Draws until differences can be trusted in ``want``, which may be a whole training step.

    They cannot near a kink, across which a difference is the slope of neither side (``want`` tells
    its kinks by ``bent_at_zero``), and where a game explodes.
    """
    def drawn(rng: numpy.random.Generator) -> Arrays:
        while True:
            inputs = draw(rng)
            before = _strict.set(True)
            try:
                want({name: numpy.asarray(value) for name, value in inputs.items()})
            except IllConditioned:
                continue
            finally:
                _strict.reset(before)
            return inputs

    return drawn


def bent_at_zero(x: numpy.ndarray) -> numpy.ndarray:
    """x, which a function with a kink at 0 is about to be given.

    Raises
    ------
    IllConditioned
        Within ``well_conditioned``, where an element of x is nearer to 0 than ``MARGIN``.
    """
    if _strict.get() and abs(x).min() < MARGIN:
        raise IllConditioned(f"a kink is nearer than {MARGIN} to an element of {x}")
    return x


def numeric_gradients(
    f: Callable[..., numpy.ndarray], inputs: Arrays, names: Sequence[str], eps: float = 1e-6
) -> Arrays:
    """The gradients of sum(upstream * f) with respect to the named inputs, as "grad of NAME".

    Central differences in float64, element by element; ``f`` takes the named arrays in order.

    Raises
    ------
    IllConditioned
        Within ``well_conditioned``, where a value or a slope is above ``LARGEST``.
    """
    arrays = [numpy.array(inputs[name], dtype="float64") for name in names]
    found = {}
    for name, a in zip(names, arrays, strict=True):
        gradient = numpy.zeros_like(a)
        for index in numpy.ndindex(a.shape):
            middle = a[index]
            a[index] = middle + eps
            above = f(*arrays)
            a[index] = middle - eps
            below = f(*arrays)
            a[index] = middle
            gradient[index] = (inputs["upstream"] * (above - below)).sum() / (2 * eps)
            if _strict.get() and max(abs(above).max(), abs(gradient[index])) > LARGEST:
                raise IllConditioned(f"the slope by {name} is {gradient[index]} at {above}")
        found[f"grad of {name}"] = gradient
    return found


def twice(wanted: Arrays) -> Arrays:
    """The same outputs for a second call, as ``runs.tools.gradients`` names them."""
    return {**wanted, **{name + SECOND: value for name, value in wanted.items()}}
