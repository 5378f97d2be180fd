"""What the run functions of all homeworks share.

``lib`` is a function from the name of a module to that module of the student's tree.

Leaves out: anything that judges an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

__all__ = ["Arrays", "call", "changed", "gradients", "scripted_random", "tensor", "tensors"]

Arrays = dict[str, numpy.ndarray]


def tensor(lib: Callable, array: numpy.ndarray, requires_grad: bool = True) -> Any:
    """A Tensor with these values and this dtype."""
    return lib("minigrad").Tensor(array, dtype=array.dtype, requires_grad=requires_grad)


def tensors(lib: Callable, inputs: Arrays, names: Sequence[str]) -> list[Any]:
    """Leaves with the values of the named inputs; it is noticed if these are changed."""
    found = [tensor(lib, inputs[name]) for name in names]
    _made.extend((name, inputs[name], x) for name, x in zip(names, found, strict=True))
    return found


_made: list[tuple[str, numpy.ndarray, Any]] = []


def changed() -> list[str]:
    """The names of leaves that ``tensors`` made and that were written to since; then forgets them.
    """
    names = [name for name, array, x in _made
             if not numpy.array_equal(array, x.cached_data, equal_nan=array.dtype.kind == "f")]
    _made.clear()
    return names


def call(lib: Callable, op: Callable, inputs: Arrays, names: Sequence[str]) -> dict[str, Any]:
    """The output of an op at the named inputs."""
    return {"output": op(*tensors(lib, inputs, names))}


def gradients(lib: Callable, op: Callable, inputs: Arrays, names: Sequence[str]) -> dict[str, Any]:
    """The op's own gradients for the input "upstream", asked for twice.

    The op's ``gradient`` is called by hand: no other part of a backward pass is needed.
    """
    node = op(*tensors(lib, inputs, names))
    upstream = tensor(lib, inputs["upstream"])
    outputs = {}
    for suffix in ("", ", second call"):
        found = node.op.gradient_as_tuple(upstream, node)
        if len(found) != len(names):
            raise ValueError(f"{type(node.op).__name__}.gradient returned {len(found)} gradients "
                             f"for {len(names)} inputs")
        for name, gradient in zip(names, found, strict=True):
            outputs[f"grad of {name}{suffix}"] = gradient
    return outputs


class scripted_random:
    """A generator for ``minigrad.random.set_generator`` that hands out given numbers in order.

    Uniform and normal draws come from the same list, whatever is asked for.
    """

    def __init__(self, numbers: numpy.ndarray) -> None:
        self.numbers, self.used = numbers.reshape(-1), 0

    def _next(self, size: Any, dtype: Any) -> numpy.ndarray:
        shape = (size,) if isinstance(size, int) else tuple(size or ())
        count = int(numpy.prod(shape))
        if self.used + count > self.numbers.size:
            raise ValueError(f"more random numbers were drawn than the {self.numbers.size} that "
                             "are needed")
        taken = self.numbers[self.used:self.used + count].reshape(shape)
        self.used += count
        return taken.astype(dtype)

    def random(self, size: Any = None, dtype: Any = "float64") -> numpy.ndarray:
        return self._next(size, dtype)

    def standard_normal(self, size: Any = None, dtype: Any = "float64") -> numpy.ndarray:
        return self._next(size, dtype)
