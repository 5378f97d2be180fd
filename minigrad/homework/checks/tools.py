"""What the checks of all homeworks share: inputs to draw, and gradients by differences.

Leaves out: everything of minigrad: what is right is computed with NumPy alone, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy

from ..explain import SECOND

__all__ = ["Arrays", "away_from_zero", "normal", "numeric_gradients", "positive", "twice"]

Arrays = dict[str, numpy.ndarray]


def normal(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Standard normal numbers, float64."""
    return rng.standard_normal(shape)


def positive(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Numbers from 0.5 to 2, float64."""
    return rng.uniform(0.5, 2.0, shape)


def away_from_zero(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """Numbers of both signs with an absolute value from 0.5 to 2: no kink at 0 is near."""
    return rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def numeric_gradients(
    f: Callable[..., numpy.ndarray], inputs: Arrays, names: Sequence[str], eps: float = 1e-6
) -> Arrays:
    """The gradients of sum(upstream * f) with respect to the named inputs, as "grad of NAME".

    Central differences in float64, element by element; ``f`` takes the named arrays in order.
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
        found[f"grad of {name}"] = gradient
    return found


def twice(wanted: Arrays) -> Arrays:
    """The same outputs for a second call, as ``runs.tools.gradients`` names them."""
    return {**wanted, **{name + SECOND: value for name, value in wanted.items()}}
