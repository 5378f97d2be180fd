"""Checks of homework 1: operations, gradients, order of a graph, backward pass, gradient checker.

Gradients are compared with differences in float64, for a random upstream; forward values with
another formula in NumPy.

Leaves out: error messages, and whatever a right formula need not do (dtypes that are mixed,
gradients that nobody wants).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from ..check import Check, Fault, Kind, Outcome
from ..runs import hw1 as runs
from .tools import Arrays, away_from_zero, normal, numeric_gradients, positive, twice

__all__ = ["CHECKS"]

Rng = numpy.random.Generator


def _sizes(rng: Rng, count: int, low: int = 2, high: int = 4) -> tuple[int, ...]:
    """``count`` different sizes."""
    return tuple(int(n) for n in rng.permutation(numpy.arange(low, max(high + 1, low + count)))
                 [:count])


def _named(prefix: str, wanted: Arrays) -> Arrays:
    return {f"{prefix}: {name}": value for name, value in wanted.items()}


def _twice(output: numpy.ndarray) -> Arrays:
    return twice({"output": output})


# ------------------------------------------------------------------------------ Q1: forward


def _div_inputs(rng: Rng) -> Arrays:
    """The four shapes of ``runs.QUOTIENTS``, of which every pair broadcasts to that of a."""
    m, n = _sizes(rng, 2)
    shapes = {"a": (m, n), "b": [(n,), (1, n)][rng.integers(2)], "c": (m, 1), "d": ()}
    return {name: away_from_zero(rng, *shape) for name, shape in shapes.items()}


def _quotients(inputs: Arrays, f: Callable) -> Arrays:
    wanted: Arrays = {}
    for x, y in runs.QUOTIENTS:
        wanted |= _named(f"{x} / {y}", _twice(f(inputs[x], inputs[y])))
    return wanted


def _power_inputs(rng: Rng) -> Arrays:
    m, n = _sizes(rng, 2)
    return {"a": positive(rng, m, n), "b": away_from_zero(rng, m, n)}


def _power(x: numpy.ndarray, s: float) -> numpy.ndarray:
    """A whole power as a product, another by the logarithm."""
    if not isinstance(s, int):
        return numpy.exp(s * numpy.log(x))
    product = numpy.ones(x.shape)
    for _ in range(abs(s)):
        product = product * x
    return product if s >= 0 else 1.0 / product


def _of_powers(f: Callable) -> Callable[[Arrays], Arrays]:
    """The outputs of ``runs.power`` if a power were f."""

    def wanted(inputs: Arrays) -> Arrays:
        found: Arrays = {}
        for name, scalars in runs.POWERS.items():
            for s in scalars:
                found |= _named(f"{name} ** {s}", _twice(f(inputs[name], s)))
        return found

    return wanted


def _matmul_inputs(rng: Rng) -> Arrays:
    m, k, n = _sizes(rng, 3, 2, 5)
    return {"a": normal(rng, m, k), "b": normal(rng, k, n)}


def _batched_inputs(rng: Rng) -> Arrays:
    p, m, k, n = _sizes(rng, 4, 2, 5)
    return {"a": normal(rng, p, m, k), "b": normal(rng, p, k, n), "c": normal(rng, k, n),
            "d": normal(rng, m, k), "e": normal(rng, 1, m, k), "f": normal(rng, p, 1, m, k),
            "g": normal(rng, 2, k, n)}


def _batched(inputs: Arrays) -> Arrays:
    wanted: Arrays = {}
    for name, (x, y) in runs.PRODUCTS.items():
        product = numpy.einsum("...ij,...jk->...ik", inputs[x], inputs[y])
        wanted |= _named(name, _twice(product))
    return wanted


def _three_axes(rng: Rng) -> Arrays:
    return {"a": normal(rng, *_sizes(rng, 3))}


def _reductions(reduce: Callable, inputs: Arrays) -> Arrays:
    wanted: Arrays = {}
    for axes, keepdims in runs.AXES:
        value = reduce(inputs["a"], axes, keepdims)
        wanted |= _named(f"axes {axes}, keepdims {keepdims}", _twice(value))
    return wanted


def _rows(a: numpy.ndarray, axes: Any) -> tuple[numpy.ndarray, list[int]]:
    """``a`` with the reduced axes as one axis in front, and which axes these are."""
    listed = sorted(axis % a.ndim for axis in (
        range(a.ndim) if axes is None else axes if isinstance(axes, tuple) else (axes,)))
    front = numpy.moveaxis(a, listed, range(len(listed)))
    return front.reshape(-1, *front.shape[len(listed):]), listed


def _one_by_one(step: Callable, a: numpy.ndarray, axes: Any, keepdims: bool) -> numpy.ndarray:
    """A reduction made of steps from one element to the next."""
    rows, listed = _rows(a, axes)
    total = rows[0]
    for row in rows[1:]:
        total = step(total, row)
    return numpy.expand_dims(total, tuple(listed)) if keepdims else total


def _sum(a: numpy.ndarray, axes: Any, keepdims: bool) -> numpy.ndarray:
    return _one_by_one(numpy.add, a, axes, keepdims)


def _log_sum_exp(a: numpy.ndarray, axes: Any, keepdims: bool) -> numpy.ndarray:
    return _one_by_one(numpy.logaddexp, a, axes, keepdims)


def _naive_log_sum_exp(a: numpy.ndarray, axes: Any, keepdims: bool) -> numpy.ndarray:
    return numpy.log(_sum(numpy.exp(a), axes, keepdims))


def _large(rng: Rng) -> Arrays:
    """Numbers around +1000 and -1000, in turns along one axis: no shift suits all groups."""
    return {"a": _far_apart(rng, normal(rng, *_sizes(rng, 3)))}


def _far_apart(rng: Rng, a: numpy.ndarray) -> numpy.ndarray:
    axis = int(rng.integers(a.ndim))
    signs = (-1.0) ** (numpy.arange(a.shape[axis]) + rng.integers(2))
    return a + 1000.0 * signs.reshape([-1 if i == axis else 1 for i in range(a.ndim)])


def _broadcast_inputs(rng: Rng) -> Arrays:
    p, m, n = _sizes(rng, 3)
    return {"a": normal(rng, m, 1), "b": normal(rng, n), "c": normal(rng, p, 1, n),
            "d": normal(rng), "e": normal(rng, p, m, n), "shape": numpy.array([p, m, n])}


def _broadcast(inputs: Arrays) -> Arrays:
    wanted: Arrays = {}
    for name in "abcde":
        filled = numpy.ones(tuple(inputs["shape"])) * inputs[name]
        wanted |= _named(name, _twice(filled))
    return wanted


def _swapped(inputs: Arrays) -> Arrays:
    letters = {None: "ijk->ikj", (0, 1): "ijk->jik", (-1, 0): "ijk->kji"}
    wanted: Arrays = {}
    for axes in runs.SWAPS:
        wanted |= _named(f"axes {axes}", _twice(numpy.einsum(letters[axes], inputs["a"])))
    return wanted


def _float32(inputs: Arrays) -> Arrays:
    return {name: a.astype("float32") if a.dtype.kind == "f" else a for name, a in inputs.items()}


def _forward_float32_inputs(rng: Rng) -> Arrays:
    n = int(rng.integers(2, 5))
    return _float32({"a": positive(rng, n, n), "b": positive(rng, n, n)})


def _forward_float32(inputs: Arrays) -> Arrays:
    a, b = inputs["a"].astype("float64"), inputs["b"].astype("float64")
    return _float32({
        "a ** 3": a * a * a,
        "a ** 0.5": numpy.sqrt(a),
        "a / b": a * b**-1,
        "a @ b": numpy.einsum("ij,jk->ik", a, b),
        "sum of a": _sum(a, 0, False),
        "log-sum-exp of a": _log_sum_exp(a, 0, False),
        "a broadcast": numpy.stack([a, a]),
        "a transposed": numpy.einsum("ij->ji", a),
    })


_LSE_SUSPECTS = {
    "the largest element was subtracted, and not added again at the end":
    lambda inputs: _reductions(lambda a, axes, keepdims: _log_sum_exp(a, axes, keepdims)
                               - a.max(axis=axes, keepdims=keepdims), inputs),
    "the logarithm is missing":
    lambda inputs: _reductions(lambda a, axes, keepdims: numpy.exp(
        _log_sum_exp(a, axes, keepdims)), inputs),
    "this is the sum: exp and logarithm are missing": lambda inputs: _reductions(_sum, inputs),
}

_FORWARD = (
    Check("hw1.Q1.div", runs.div, _div_inputs,
          lambda inputs: _quotients(inputs, lambda a, b: a * b**-1.0), suspects={
              "the operands are swapped: b / a":
              lambda inputs: _quotients(inputs, lambda a, b: b / a)}),
    Check("hw1.Q1.power", runs.power, _power_inputs, _of_powers(_power), suspects={
        "this is the product: a * scalar": _of_powers(lambda a, s: a * s),
        "base and exponent are swapped: scalar ** a": _of_powers(lambda a, s: float(s) ** a),
        "the logarithm of a negative number is NaN: take the power itself":
        _of_powers(lambda a, s: numpy.exp(s * numpy.log(a))),
        "the sign of negative elements is lost": _of_powers(lambda a, s: _power(abs(a), s))}),
    Check("hw1.Q1.matmul", runs.matmul, _matmul_inputs,
          lambda inputs: _twice(numpy.einsum("ij,jk->ik", inputs["a"], inputs["b"]))),
    Check("hw1.Q1.matmul.batched", runs.matmul_batched, _batched_inputs, _batched),
    Check("hw1.Q1.summation", runs.summation, _three_axes,
          lambda inputs: _reductions(_sum, inputs)),
    Check("hw1.Q1.broadcast_to", runs.broadcast_to, _broadcast_inputs, _broadcast),
    Check("hw1.Q1.transpose", runs.transpose, _three_axes, _swapped),
    Check("hw1.Q1.logsumexp", runs.logsumexp, _three_axes,
          lambda inputs: _reductions(_log_sum_exp, inputs), suspects=_LSE_SUSPECTS),
    Check("hw1.Q1.logsumexp.large", runs.logsumexp, _large,
          lambda inputs: _reductions(_log_sum_exp, inputs), suspects={
              "exp overflows, or underflows to 0: shift by the largest element first":
              lambda inputs: _reductions(_naive_log_sum_exp, inputs), **_LSE_SUSPECTS}),
    Check("hw1.Q1.float32", runs.forward_float32, _forward_float32_inputs, _forward_float32,
          tol=1e-5, blames={
              "a **": "PowerScalar.compute", "a / b": "EWiseDiv.compute",
              "a @ b": "MatMul.compute", "sum of a": "Summation.compute",
              "log-sum-exp of a": "LogSumExp.compute", "a broadcast": "BroadcastTo.compute",
              "a transposed": "Transpose.compute"}),
)


# ----------------------------------------------------------------------------- Q2: backward


def _sum_to_inputs(*patterns: str) -> Callable[[Rng], Arrays]:
    """Shapes to sum (p, m, n) to; a letter of a pattern is a size, a 1 an axis of size 1."""

    def inputs(rng: Rng) -> Arrays:
        sizes = dict(zip("pmn", _sizes(rng, 3), strict=True))
        shapes = {f"shape {k}": numpy.array([sizes.get(c, 1) for c in pattern], dtype="int64")
                  for k, pattern in enumerate(patterns)}
        return {"upstream": normal(rng, *sizes.values()), **shapes}

    return inputs


def _sum_to(inputs: Arrays) -> Arrays:
    """Every element of the gradient goes to where broadcasting would have taken a copy from."""
    grad = inputs["upstream"]
    wanted: Arrays = {}
    for name in sorted(set(inputs) - {"upstream"}):
        shape = tuple(int(n) for n in inputs[name])
        size = int(numpy.prod(shape))
        source = numpy.broadcast_to(numpy.arange(size).reshape(shape), grad.shape)
        total = numpy.bincount(source.ravel(), weights=grad.ravel(), minlength=size)
        wanted[f"{grad.shape} to {shape}"] = total.reshape(shape)
    return twice(wanted)


def _gradients(f: Callable, names: Sequence[str]) -> Callable[[Arrays], Arrays]:
    return lambda inputs: twice(numeric_gradients(f, inputs, names))


def _div_gradient_inputs(rng: Rng) -> Arrays:
    n = int(rng.integers(2, 5))
    return {"a": normal(rng, n, n), "b": away_from_zero(rng, n, n), "upstream": normal(rng, n, n)}


def _div_broadcast_inputs(rng: Rng) -> Arrays:
    inputs = _div_inputs(rng)
    return {**inputs, "upstream": normal(rng, *inputs["a"].shape)}


def _div_broadcast(inputs: Arrays) -> Arrays:
    wanted: Arrays = {}
    for x, y in runs.QUOTIENTS:
        wanted |= _named(f"{x} / {y}", _gradients(numpy.divide, (x, y))(inputs))
    return wanted


def _power_gradient_inputs(rng: Rng) -> Arrays:
    m, n = _sizes(rng, 2)
    with_zero = away_from_zero(rng, m, n)
    with_zero[rng.integers(m), rng.integers(n)] = 0.0
    return {"a": positive(rng, m, n), "b": away_from_zero(rng, m, n), "c": with_zero,
            "upstream": normal(rng, m, n)}


def _power_gradient(inputs: Arrays) -> Arrays:
    wanted: Arrays = {}
    for name, scalars in runs.SLOPES.items():
        for s in scalars:
            f = lambda x, s=s: _power(x, s)  # noqa: E731 - one formula
            wanted |= _named(f"{name} ** {s}", _gradients(f, name)(inputs))
    return wanted


def _slopes(f: Callable) -> Callable[[Arrays], Arrays]:
    """The gradients of ``runs.power_gradient`` if the derivative of a power were f."""
    return lambda inputs: {
        f"{name} ** {s}: grad of {name}": inputs["upstream"] * f(inputs[name], float(s))
        for name, scalars in runs.SLOPES.items() for s in scalars}


def _log_gradient_inputs(rng: Rng) -> Arrays:
    m, n = _sizes(rng, 2)
    return {"a": positive(rng, m, n), "upstream": normal(rng, m, n)}


def _matmul_gradient_inputs(rng: Rng) -> Arrays:
    n = int(rng.integers(2, 5))
    return {name: normal(rng, n, n) for name in ("a", "b", "upstream")}


def _batched_gradient_inputs(rng: Rng) -> Arrays:
    p, m, k, n = _sizes(rng, 4, 2, 5)
    return {"a": normal(rng, p, m, k), "b": normal(rng, p, k, n), "upstream": normal(rng, p, m, n)}


def _batch_broadcast_inputs(rng: Rng) -> Arrays:
    p, m, k, n = _sizes(rng, 4, 2, 5)
    batches = [((p, 2), ()), ((), (p, 2)), ((p, 1), (1, 2)), ((p, 2), (2,))]
    a, b = batches[rng.integers(len(batches))]
    return {"a": normal(rng, *a, m, k), "b": normal(rng, *b, k, n),
            "upstream": normal(rng, p, 2, m, n)}


def _reduction_gradient_inputs(rng: Rng) -> Arrays:
    m, n = _sizes(rng, 2)
    shape = [(m, n, n), (n, m, n), (n, n, m)][rng.integers(3)]
    return {"a": normal(rng, *shape), "upstream": normal(rng, *shape)}


def _large_gradient_inputs(rng: Rng) -> Arrays:
    inputs = _reduction_gradient_inputs(rng)
    return {**inputs, "a": _far_apart(rng, inputs["a"])}


def _reduction_gradients(reduce: Callable) -> Callable[[Arrays], Arrays]:

    def want(inputs: Arrays) -> Arrays:
        wanted: Arrays = {}
        for axes, keepdims in runs.AXES:
            part = {**inputs, "upstream": runs.reduced(inputs["upstream"], axes, keepdims)}
            f = lambda a, axes=axes, keepdims=keepdims: reduce(a, axes, keepdims)  # noqa: E731
            wanted |= _named(f"axes {axes}, keepdims {keepdims}", _gradients(f, "a")(part))
        return wanted

    return want


def _not_normalised(inputs: Arrays) -> Arrays:
    wanted: Arrays = {}
    for axes, keepdims in runs.AXES:
        up = runs.reduced(inputs["upstream"], axes, True)
        wanted[f"axes {axes}, keepdims {keepdims}: grad of a"] = up * numpy.exp(inputs["a"])
    return wanted


def _plain_softmax(inputs: Arrays) -> Arrays:
    wanted: Arrays = {}
    for axes, keepdims in runs.AXES:
        up, e = runs.reduced(inputs["upstream"], axes, True), numpy.exp(inputs["a"])
        wanted[f"axes {axes}, keepdims {keepdims}: grad of a"] = (
            up * e / e.sum(axis=axes, keepdims=True))
    return wanted


def _broadcast_to_gradient_inputs(rng: Rng) -> Arrays:
    p, m, n = _sizes(rng, 3)
    return {"a": normal(rng, m, 1), "b": normal(rng, n), "c": normal(rng, p, 1, n),
            "d": normal(rng), "e": normal(rng, p, m, n), "upstream": normal(rng, p, m, n)}


def _broadcast_to_gradient(inputs: Arrays) -> Arrays:
    wanted: Arrays = {}
    for name in "abcde":
        f = lambda x: numpy.ones(inputs["upstream"].shape) * x  # noqa: E731 - one formula
        wanted |= _gradients(f, name)(inputs)
    return wanted


def _every_op_inputs(rng: Rng) -> Arrays:
    n = int(rng.integers(2, 5))
    return _float32({"a": positive(rng, n, n), "b": positive(rng, n, n), "c": positive(rng, n),
                     "upstream": normal(rng, n, n)})


def _gradients_float32(inputs: Arrays) -> Arrays:
    inputs = {name: a.astype("float64") for name, a in inputs.items()}
    row, shape = {**inputs, "upstream": inputs["upstream"][0]}, inputs["a"].shape
    return _float32({
        **_named("EWiseDiv", _gradients(numpy.divide, "ab")(inputs)),
        **_named("EWiseDiv, broadcast", _gradients(numpy.divide, "ac")(inputs)),
        **_named("PowerScalar", _gradients(lambda a: a * a * a, "a")(inputs)),
        **_named("Log", _gradients(numpy.log, "a")(inputs)),
        **_named("MatMul", _gradients(numpy.matmul, "ab")(inputs)),
        **_named("Summation", _gradients(lambda a: _sum(a, 0, False), "a")(row)),
        **_named("LogSumExp", _gradients(lambda a: _log_sum_exp(a, 0, False), "a")(row)),
        **_named("BroadcastTo", _gradients(lambda c: numpy.ones(shape) * c, "c")(inputs)),
    })


_DEPENDS = {
    "EWiseDiv": {"a": ("upstream", "b"), "b": ("upstream", "a", "b")},
    "EWiseDiv, broadcast": {"a": ("upstream", "c"), "c": ("upstream", "a", "c")},
    "PowerScalar": {"a": ("upstream", "a")},
    "Log": {"a": ("upstream", "a")},
    "MatMul": {"a": ("upstream", "b"), "b": ("upstream", "a")},
    "Summation": {"a": ("upstream",)},
    "LogSumExp": {"a": ("upstream", "a")},
    "BroadcastTo": {"c": ("upstream",)},
}
"""What the gradient of each input depends on, by operation."""


_OPERATIONS = {
    "EWiseDiv": (lambda a, b: a / b, "ab"),
    "EWiseDiv, broadcast": (lambda a, c: a / c, "ac"),
    "PowerScalar": (lambda a: a * a * a, "a"),
    "Log": (numpy.log, "a"),
    "MatMul": (lambda a, b: a @ b, "ab"),
    "Summation": (lambda a: a.sum(0), "a"),
    "LogSumExp": (lambda a: numpy.log(numpy.exp(a).sum(0)), "a"),
    "BroadcastTo": (lambda c: numpy.stack([c] * len(c)), "c"),
}
"""The operations of ``runs.recorded``, for complex numbers too, and the names of their inputs."""


def _recorded_inputs(rng: Rng) -> Arrays:
    inputs = {name: a.astype("float64") for name, a in _every_op_inputs(rng).items()}
    return {**inputs, **{f"direction {k}": normal(rng, *inputs[k].shape) for k in "abc"}}


def _second_order_of(name: str, inputs: Arrays) -> Arrays:
    """The gradients of sum(direction * gradient), by the upstream gradient and by the inputs.

    Summed over all inputs this is sum(upstream * slope of the operation along the directions). The
    slope comes from a step in the imaginary direction, without a difference and so without
    rounding: it can be differentiated once more.
    """
    f, names = _OPERATIONS[name]
    rows = inputs["upstream"][0] if name in ("Summation", "LogSumExp") else inputs["upstream"]
    directions = [inputs[f"direction {k}"] for k in names]

    def along(first: numpy.ndarray, *xs: numpy.ndarray) -> numpy.ndarray:
        moved = [x + 1e-30j * d for x, d in zip(xs, directions, strict=True)]
        return first * f(*moved).imag / 1e-30

    found = numeric_gradients(along, {**inputs, "first": rows, "upstream": numpy.ones(())},
                              ("first", *names))
    return {"upstream": found.pop("grad of first"),
            **{key.removeprefix("grad of "): value for key, value in found.items()}}


def _judge_recorded(inputs: Arrays, outputs: Mapping[str, numpy.ndarray]) -> Fault | None:
    for op, gradients in _DEPENDS.items():
        for name, sources in gradients.items():
            for source in sources:
                if not outputs[f"{op}: grad of {name} from {source}"]:
                    return Fault(
                        f"{op}: grad of {name} does not depend on {source} by recorded operations: "
                        "yours is a constant there, want an expression",
                        "a gradient has to be computed with Tensors all the way, not with "
                        "cached_data, numpy() or new Tensors: else it cannot be differentiated "
                        "again")
        for source, want in _second_order_of(op, inputs).items():
            got = outputs[f"{op}: second order by {source}"]
            if got.shape != want.shape:
                return Fault(f"{op}: the gradient, differentiated again by {source}: shape got "
                             f"{got.shape}, want {want.shape}", "", Outcome.SHAPE)
            wrong = ~(numpy.abs(got - want) <= 1e-6 * max(1.0, float(numpy.abs(want).max())))
            if wrong.any():
                at = numpy.unravel_index(int(numpy.abs(got - want).argmax()), want.shape)
                return Fault(
                    f"{op}: the gradient, differentiated again by {source}: {int(wrong.sum())} of "
                    f"{want.size} elements differ; worst {tuple(int(i) for i in at)}: yours "
                    f"{got[at]:+.6g}, want {want[at]:+.6g}",
                    "a part of the gradient is a constant (from cached_data, numpy() or a new "
                    "Tensor) and does not change with the inputs: compute with Tensors all the "
                    "way")
    return None


def _gradient_check(
    name: str, run: Callable, inputs: Callable, want: Callable, tol: float = 1e-6,
    suspects: Mapping[str, Callable] | None = None,
) -> Check:
    return Check(f"hw1.Q2.{name}", run, inputs, want, tol, Kind.GRADIENT, suspects or {})


_BACKWARD = (
    _gradient_check("sum_to.added", runs.sum_to, _sum_to_inputs("mn", "n", ""), _sum_to),
    _gradient_check("sum_to.stretched", runs.sum_to, _sum_to_inputs("pm1", "1mn", "p11", "111"),
                    _sum_to),
    _gradient_check("sum_to.both", runs.sum_to, _sum_to_inputs("m1", "1n", "11", "1", "pmn"),
                    _sum_to),
    _gradient_check("div", runs.div_gradient, _div_gradient_inputs,
                    _gradients(numpy.divide, "ab"), suspects={
                        "the square is missing: the slope by b is -a / b^2": lambda inputs: {
                            "grad of b": -inputs["upstream"] * inputs["a"] / inputs["b"]},
                        "x / b * b is x again: to divide by b twice, write x / (b * b)":
                        lambda inputs: {"grad of b": -inputs["upstream"] * inputs["a"]},
                        "these are the gradients of a b": lambda inputs: {
                            "grad of a": inputs["upstream"] * inputs["b"]},
                        "the gradients stand in the wrong order: first that of a":
                        lambda inputs: {"grad of a": -inputs["upstream"] * inputs["a"]
                                        / inputs["b"] ** 2}}),
    _gradient_check("div.broadcast", runs.div_broadcast_gradient, _div_broadcast_inputs,
                    _div_broadcast),
    _gradient_check("power", runs.power_gradient, _power_gradient_inputs, _power_gradient,
                    suspects={
                        "the exponent goes down by one: a ** (scalar - 1)":
                        _slopes(lambda a, s: s * a**s),
                        "the factor scalar in front is lost": _slopes(lambda a, s: a ** (s - 1)),
                        "something is divided by a, which is NaN where a is 0; the power "
                        "a ** (scalar - 1) is not": _slopes(lambda a, s: s * a**s / a),
                        "the logarithm of a negative number is NaN: take the power itself":
                        _slopes(lambda a, s: s * numpy.exp((s - 1) * numpy.log(a))),
                        "the sign of negative elements is lost":
                        _slopes(lambda a, s: s * abs(a) ** (s - 1))}),
    _gradient_check("log", runs.log_gradient, _log_gradient_inputs, _gradients(numpy.log, "a"),
                    suspects={
                        "multiplied by a instead of divided": lambda inputs: {
                            "grad of a": inputs["upstream"] * inputs["a"]},
                        "divided by the output instead of the input": lambda inputs: {
                            "grad of a": inputs["upstream"] / numpy.log(inputs["a"])}}),
    _gradient_check("matmul", runs.matmul_gradient, _matmul_gradient_inputs,
                    _gradients(numpy.matmul, "ab"), suspects={
                        "the operands stand in the wrong order: dA = G B^T, dB = A^T G":
                        lambda inputs: {
                            "grad of a": inputs["b"].T @ inputs["upstream"],
                            "grad of b": inputs["upstream"] @ inputs["a"].T},
                        "the gradients stand in the wrong order: first that of a":
                        lambda inputs: {"grad of a": inputs["a"].T @ inputs["upstream"]}}),
    _gradient_check("matmul.batched", runs.matmul_gradient, _batched_gradient_inputs,
                    _gradients(numpy.matmul, "ab")),
    _gradient_check("matmul.broadcast", runs.matmul_gradient, _batch_broadcast_inputs,
                    _gradients(numpy.matmul, "ab")),
    _gradient_check("summation", runs.summation_gradient, _reduction_gradient_inputs,
                    _reduction_gradients(_sum)),
    _gradient_check("logsumexp", runs.logsumexp_gradient, _reduction_gradient_inputs,
                    _reduction_gradients(_log_sum_exp),
                    suspects={"exp(a) is not divided by its sum": _not_normalised}),
    _gradient_check("logsumexp.large", runs.logsumexp_gradient, _large_gradient_inputs,
                    _reduction_gradients(_log_sum_exp), tol=1e-5, suspects={
                        "exp overflows, or underflows to 0: use the output, which is node":
                        _plain_softmax}),
    _gradient_check("broadcast_to", runs.broadcast_to_gradient, _broadcast_to_gradient_inputs,
                    _broadcast_to_gradient),
    _gradient_check("float32", runs.gradients_float32, _every_op_inputs, _gradients_float32,
                    tol=1e-5),
    Check("hw1.Q2.recorded", runs.recorded, _recorded_inputs, _judge_recorded,
          kind=Kind.PROPERTY),
)


# ------------------------------------------------------------------- Q3: topological order

LEAF = (-1, -1)


def _expression(rng: Rng) -> Arrays:
    """A tree: two values that were not used yet are added, until one is left."""
    parents = [LEAF] * int(rng.integers(4, 7))
    unused = list(range(len(parents)))
    while len(unused) > 1:
        first, second = (unused.pop(int(rng.integers(len(unused)))) for _ in range(2))
        parents.append((first, second))
        if rng.random() < 0.3:
            parents.append((len(parents) - 1, -1))
        unused.append(len(parents) - 1)
    return _graph(rng, parents, [len(parents) - 1])


def _diamonds(rng: Rng) -> Arrays:
    """Every value is made from the last one and any earlier one, or from the last one twice."""
    parents = [LEAF, LEAF, (0, 1)]
    middle = int(rng.integers(9, 13))
    for k in range(3, middle):
        pair = (k - 1, int(rng.integers(k - 1)))
        parents.append(pair if rng.random() < 0.5 else pair[::-1])
    parents += [(k - 1, k - 1) for k in range(middle, int(rng.integers(19, 24)))]
    return _graph(rng, parents, [len(parents) - 1])


def _ladder(rng: Rng) -> Arrays:
    """Every value is made from the last one twice: about 60 values, and 2^60 paths."""
    n = int(rng.integers(56, 65))
    return _graph(rng, [LEAF] + [(k - 1, k - 1) for k in range(1, n)], [n - 1])


def _several_roots(rng: Rng) -> Arrays:
    """Roots of which one is made from another, one comes twice and one stands apart."""
    parents = [LEAF, LEAF, LEAF, (0, 1), (3, 0)]
    for k in range(5, int(rng.integers(7, 11))):
        parents.append((k - 1, int(rng.choice([0, 1, 3]))))
    top, apart = len(parents) - 1, len(parents)
    parents += [(2, -1), (top, apart)]
    roots = rng.permutation([top, 4, top, apart])  # the last value is not among their inputs
    return _graph(rng, parents, roots)


def _chain(rng: Rng) -> Arrays:
    """One value made from another, about 5,000 times."""
    n = int(rng.integers(4900, 5101))
    return _graph(rng, [LEAF, *((k, -1) for k in range(n - 1))], [n - 1])


def _graph(rng: Rng, parents: list[tuple[int, int]], roots: Any) -> Arrays:
    """A graph whose values are numbered at random, so that no number tells who comes first."""
    numbers = numpy.append(rng.permutation(len(parents)), -1)  # -1 stays -1
    rows = numpy.empty((len(parents), 2), dtype="int64")
    rows[numbers[:-1]] = numbers[numpy.array(parents)]
    return {"parents": rows, "roots": numbers[numpy.array(roots)]}


def _judge_order(inputs: Arrays, outputs: Mapping[str, numpy.ndarray]) -> Fault | None:
    """Every value once, none that does not belong there, and inputs first."""
    made_from = [[i for i in row if i >= 0] for row in inputs["parents"].tolist()]
    belongs: set[int] = set()
    stack = inputs["roots"].tolist()
    while stack:
        k = stack.pop()
        if k not in belongs:
            belongs.add(k)
            stack += made_from[k]
    order, again = ([int(k) for k in outputs[name].reshape(-1)]
                    for name in ("order", "order, second call"))
    if -1 in order or sorted(order) != sorted(again):
        return Fault(f"for the same list a first call returns {len(order)} values and a second "
                     f"{len(again)}, or values of another graph; want {len(belongs)} each time",
                     "something is kept from one call to the next: make lists, sets and "
                     "dictionaries anew in each call")
    if not outputs["list kept, order"]:
        return Fault("the list that was given is another one afterwards; want it as it was",
                     "input mutated: the list belongs to the caller; take a copy of it")
    position: dict[int, int] = {}
    for at, k in enumerate(order):
        if k not in belongs:
            return Fault(f"place {at} holds a value from which the roots were not made; want only "
                         f"those {len(belongs)} from which they were",
                         "only inputs, inputs of inputs and so on belong into the order")
        if k in position:
            return Fault(f"value {k} stands twice, at place {position[k]} and at {at}; want "
                         f"{len(belongs)} places, each value once",
                         "a value that was seen before is put again: keep the ids of those that "
                         "you have seen")
        position[k] = at
    missing = sorted(belongs - set(order))
    if missing:
        return Fault(f"{len(order)} values, want {len(belongs)}; value {missing[0]} is missing",
                     "values are missing: visit all inputs of every value, of all roots")
    for k in order:
        for i in made_from[k]:
            if position[i] > position[k]:
                turned = all(position[j] > position[n] for n in order for j in made_from[n])
                return Fault(f"value {k} stands at place {position[k]}, its input {i} at "
                             f"{position[i]}; want the input first",
                             "the order is turned round: inputs come first" if turned else
                             "a value was put before all of its inputs: put it when its inputs "
                             "are done, not when it is found")
    return None


_ORDER = tuple(
    Check(f"hw1.Q3.{name}", runs.order, inputs, _judge_order, kind=Kind.PROPERTY)
    for name, inputs in (("expression", _expression), ("diamonds", _diamonds),
                         ("ladder", _ladder), ("roots", _several_roots), ("chain", _chain)))


# ----------------------------------------------------------------- Q4: the backward pass


def _matrices(*names: str) -> Callable[[Rng], Arrays]:
    """Arrays of one shape with two axes."""

    def inputs(rng: Rng) -> Arrays:
        m, n = _sizes(rng, 2)
        return {name: normal(rng, m, n) for name in names}

    return inputs


def _fanout(inputs: Arrays) -> Arrays:
    return {**_named("(a b + a) a", _gradients(lambda a, b: (a * b + a) * a, "ab")(inputs)),
            **_named("(a + b) + a", _gradients(lambda a, b: 2 * a + b, "ab")(inputs))}


def _last_use_only(inputs: Arrays) -> Arrays:
    a, b, up = (inputs[name] for name in ("a", "b", "upstream"))
    return {"(a b + a) a: grad of a": up * a * b, "(a + b) + a: grad of a": up}


def _first_use_only(inputs: Arrays) -> Arrays:
    a, b, up = (inputs[name] for name in ("a", "b", "upstream"))
    return {"(a b + a) a: grad of a": up * (a * b + a), "(a + b) + a: grad of a": up}


def _added_in_place(inputs: Arrays) -> Arrays:
    """(a + b) + a, if b's piece is the Tensor to which a's second piece was added."""
    return {"(a + b) + a: grad of a": 4 * inputs["upstream"],
            "(a + b) + a: grad of b": 2 * inputs["upstream"]}


def _shared(inputs: Arrays) -> Arrays:
    u = inputs["a"] * inputs["b"]
    return {**_gradients(lambda a, b: a * b + numpy.exp(a * b) * a * b, "ab")(inputs),
            **_gradients(lambda u: u + numpy.exp(u) * u, "u")({**inputs, "u": u})}


def _two_outputs_inputs(rng: Rng) -> Arrays:
    m, n = _sizes(rng, 2)
    return {"a": normal(rng, m, n), "b": normal(rng, m, n), "upstream": normal(rng, 2, m, n)}


def _three_rows(rng: Rng) -> Arrays:
    n = int(rng.integers(2, 5))
    return {"a": normal(rng, 3, n), "upstream": normal(rng, n)}


def _broadcast_backward_inputs(rng: Rng) -> Arrays:
    m, n = _sizes(rng, 2)
    shapes = [(m, n), (n,), (m, 1), ()]
    inputs = {name: normal(rng, *shapes[k])
              for name, k in zip("abcd", rng.permutation(4), strict=True)}
    return {**inputs, "upstream": normal(rng, m, n)}


def _none(inputs: Arrays) -> Arrays:
    """a b + b c, where b counts only as the first factor."""
    b, c, up = (inputs[name] for name in ("b", "c", "upstream"))
    return {"grad of a": up * b, "grad of b": up * c, "c has no gradient": numpy.array(1)}


def _slope(inputs: Arrays) -> Callable:
    """The derivative of a a b + exp(a b) by a, worked out by hand."""
    return lambda a, b: inputs["first"] * b * (2 * a + numpy.exp(a * b))


def _second_order(inputs: Arrays) -> Arrays:
    return _gradients(_slope(inputs), "ab")(inputs)


def _backward_check(name: str, run: Callable, inputs: Callable, want: Callable,
                    suspects: Mapping[str, Callable] | None = None) -> Check:
    return Check(f"hw1.Q4.{name}", run, inputs, want, 1e-6, Kind.GRADIENT, suspects or {})


_TWO = _matrices("a", "b", "upstream")
_SECOND = _matrices("a", "b", "first", "upstream")
_WALK = (
    _backward_check("fanout", runs.fanout, _TWO, _fanout, {
        "a is used several times, and only the last part counts: parts have to be added":
        _last_use_only,
        "a is used several times, and only the first part counts: parts have to be added":
        _first_use_only,
        "a piece was changed in place, and other values have got the same Tensor: add into a new "
        "Tensor": _added_in_place}),
    _backward_check("shared", runs.shared, _TWO, _shared),
    _backward_check("outputs", runs.two_outputs, _two_outputs_inputs, _gradients(
        lambda a, b: numpy.stack([a * b, (a * b) ** 2 + a]), "ab"), {
        "an output has a gradient from the start, and what arrives is added to it":
        lambda inputs: _gradients(lambda a, b: (a * b) ** 2 + a, "ab")(
            {**inputs, "upstream": inputs["upstream"][1]})}),
    _backward_check("broadcast", runs.broadcast_backward, _broadcast_backward_inputs,
                    _gradients(lambda a, b, c, d: (a + b) * c * d, "abcd")),
    Check("hw1.Q4.none", runs.none, _matrices("a", "b", "c", "upstream"), _none, suspects={
        "where an op gives None nothing is to be added, not even zeros":
        lambda inputs: {"c has no gradient": numpy.array(0)}}),
    _backward_check("backward", runs.backward, _TWO, _gradients(lambda a, b: a * a * b, "ab")),
    _backward_check("tuples", runs.tuples, _three_rows, _gradients(
        lambda a: a[0] * a[1] + a[2] * a[0], "a")),
    _backward_check("second_order", runs.second_order, _SECOND, _second_order),
    _backward_check("after_backward", runs.after_backward, _SECOND,
                    lambda inputs: {"a.grad": _slope(inputs)(inputs["a"], inputs["b"]),
                                    **_second_order(inputs)}),
)


# ------------------------------------------------------------------- Q5: gradient checker


def _small(rng: Rng, *shape: int) -> numpy.ndarray:
    return rng.uniform(-0.9, 0.9, shape)


def _numeric_inputs(rng: Rng) -> Arrays:
    m, n = _sizes(rng, 2)
    return {"a": normal(rng, m, n), "upstream": normal(rng, m, n), "b": _small(rng),
            "of b": normal(rng), "c": _small(rng, 2, m, n), "of c": normal(rng, 2, m, n)}


def _several_inputs(rng: Rng) -> Arrays:
    m, k, n = _sizes(rng, 3)
    return {"a": _small(rng, m, k), "b": _small(rng, k, n), "upstream": normal(rng, m, n),
            "other": normal(rng, k, n)}


def _differences(
    cases: Callable[[Arrays], runs.Slopes], high: float = 1.0, low: float = -1.0,
    width: float | None = None, left: float = 0.0, step: float | None = None,
    cotangent: Callable[[int, numpy.ndarray], numpy.ndarray] = lambda k, c: c,
) -> Callable[[Arrays], Arrays]:
    """Differences as they are asked for, or with a mistake.

    An element is moved by ``high`` and ``low`` steps, the difference taken over ``width`` of them,
    and the element left ``left`` steps from where it was.
    """

    def want(inputs: Arrays) -> Arrays:
        wanted: Arrays = {}
        for name, f, arrays, i, given, eps in cases(inputs):
            at, h = [numpy.array(a) for a in arrays], step or eps
            cotangents = [cotangent(k, c) for k, c in enumerate(given)]
            slopes = numpy.zeros(at[i].shape)
            for index in numpy.ndindex(slopes.shape):
                middle, totals = at[i][index], []
                for side in (high, low):
                    at[i][index] = middle + side * h
                    totals.append(sum(numpy.vdot(c, y)
                                      for c, y in zip(cotangents, f(at), strict=True)))
                at[i][index] = middle + left * h
                slopes[index] = (totals[0] - totals[1]) / ((width or high - low) * h)
            wanted[name] = slopes
        return wanted

    return want


def _numeric_check(name: str, run: Callable, inputs: Callable, cases: Callable) -> Check:
    one_sided = "one-sided differences: go a step up and a step down"
    back = "an element is not put back before the next one is moved"
    return Check(f"hw1.Q5.{name}", run, inputs, _differences(cases), tol=1e-7, suspects={
        one_sided: _differences(cases, low=0.0),
        f"{one_sided} (yours goes down only)": _differences(cases, high=0.0),
        "from the step down to the step up it is two steps: divide by 2 eps":
        _differences(cases, width=1.0),
        f"{one_sided}, and divide by what lies between":
        _differences(cases, low=0.0, width=2.0),
        back: _differences(cases, left=-1.0),
        f"{back} (it stays a step up)": _differences(cases, left=1.0),
        "the cotangent is not used":
        _differences(cases, cotangent=lambda k, c: numpy.ones_like(c)),
        "only the first output counts: sum over all of them":
        _differences(cases, cotangent=lambda k, c: c if k == 0 else 0 * c),
        "eps is not used: the step is always the same": _differences(cases, step=1e-5)})


def _planted_inputs(rng: Rng) -> Arrays:
    m, n = _sizes(rng, 2)
    return {"a": positive(rng, m, n), "b": positive(rng, m, n), "row": positive(rng, n),
            "square": positive(rng, n, n), "chosen": numpy.array([rng.integers(m),
                                                                  rng.integers(n)])}


_ACCEPTED = {
    "zero": ("a gradient that is 0", "are the two gradients compared at all?"),
    "sign": ("a gradient of the wrong sign", "compare differences, not absolute values"),
    "twice": ("a gradient twice too large", "are the two gradients compared at all?"),
    "a thousandth": ("a gradient too large by a thousandth",
                     "the tolerance is too wide, or relative to something else"),
    "unsummed": ("a gradient of shape (m, n) for an input of shape (n,)",
                 "compare the shape before the numbers"),
    "kept axis": ("a gradient of shape (1, n) for an input of shape (n,)",
                  "compare the shape before the numbers: broadcasting makes them fit"),
    "transposed": ("a transposed gradient", "compare element by element"),
    "ignored": ("a gradient that ignores out_grad",
                "draw a random upstream gradient: with ones it is not seen"),
    "mean": ("a gradient that takes the mean of out_grad",
             "draw a different upstream for every element: with a constant it is not seen"),
    "last": ("a gradient that is wrong in the last element only", "look at every element"),
    "chosen": ("a gradient that is wrong in one element only", "look at every element"),
    "NaN": ("a gradient with a NaN in it",
            "NaN compares as False: ask whether all elements are near, not whether one is far"),
    "second": ("a gradient that is wrong for the second input only", "look at every input"),
    "None": ("None as the gradient of an input that counts",
             "where grad gives None the gradient is 0: compare that too"),
}
"""What must be rejected: the op in words, and what an accepting checker may have forgotten."""

_REJECTED = {
    "a a": "y = a * a", "exp": "y = exp(a)", "a b": "y = a * b", "log": "y = log(a)",
    "large values": "y = 1e8 * a * a: the tolerance is relative to the largest element",
    "product with a row": "y = a * row, a broadcast", "transpose": "y = a transposed",
    "row sums": "y = a.sum(1), whose upstream is smaller than a",
    "near enough": "a gradient too large by a thousandth, with tol=0.01",
    "lists": "y = a * b, with a nested list and a number as inputs",
    "unused": "y = a, with a second input that does not count (grad gives None: it is 0)",
}
"""What must be accepted."""


def _slots(kinds: tuple[str, ...]) -> Callable[[Rng], Arrays]:
    """Which op is put where: each kind at least once, others again, in any order."""

    def inputs(rng: Rng) -> Arrays:
        again = rng.integers(len(kinds), size=SLOTS - len(kinds))
        slots = rng.permutation(numpy.concatenate([numpy.arange(len(kinds)), again]))
        return {**_planted_inputs(rng), "slots": slots}

    return inputs


SLOTS = 12


def _judge_checker(kinds: tuple[str, ...]) -> Callable[..., Fault | None]:
    """Every wrong op has to be rejected and every right one accepted, wherever it stands.

    The mistakes are told in the order of ``kinds``: the plainest one first.
    """

    def judge(inputs: Arrays, outputs: Mapping[str, numpy.ndarray]) -> Fault | None:
        slots, answers = inputs["slots"], outputs["rejected"]
        if answers.shape != slots.shape:
            return Fault(f"rejected: shape got {answers.shape}, want {slots.shape}",
                         "one answer for each op", Outcome.SHAPE)
        for number, name in enumerate(kinds):
            kind, which = name.split(": ")
            given = answers[slots == number].tolist()
            if kind == "right" and any(answer not in (0, 2) for answer in given):
                return Fault("a right op is rejected: yours GradientError, want none; "
                             f"{_REJECTED[which]}", "compare with the numeric gradient for the "
                             "same upstream, within tol")
            if kind == "wrong" and any(answer != 1 for answer in given):
                what, cause = _ACCEPTED[which]
                if 2 in given:
                    cause = "raise GradientError: what is returned is not looked at"
                return Fault(f"{what} is accepted: yours no error, want GradientError", cause)
        return None

    return judge


_CHECKER = (
    _numeric_check("numeric", runs.numeric, _numeric_inputs, runs.one_output),
    _numeric_check("numeric.several", runs.numeric_several, _several_inputs,
                   runs.two_outputs_each),
    *(Check(f"hw1.Q5.{name}", run, _slots(kinds), _judge_checker(kinds), kind=Kind.PROPERTY)
      for name, run, kinds in (
          ("values", runs.planted_values, runs.OF_VALUES),
          ("upstream", runs.planted_upstream, runs.OF_UPSTREAM),
          ("everywhere", runs.planted_everywhere, runs.EVERYWHERE),
          ("shapes", runs.planted_shapes, runs.OF_SHAPES))),
)


CHECKS: tuple[Check, ...] = (*_FORWARD, *_BACKWARD, *_ORDER, *_WALK, *_CHECKER)
"""All checks of the homework, in order."""
