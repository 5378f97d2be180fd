"""The registry of operations: for every public op, how to draw a call, its value, a wrong call.

A `Trial` is one drawn call: a function of Tensors, float64 inputs, and an oracle written with
NumPy or SciPy alone, from the mathematical definition, not from minigrad's formula. Values are
seeded normals, moved away from kinks; hypothesis draws shapes, axes, options and the seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import scipy.special
from hypothesis import strategies as st

from minigrad import Tensor, TensorTuple, ops
from minigrad.autograd import constant
from minigrad.errors import DTypeError, ShapeError

Array = np.ndarray


@dataclass(frozen=True)
class Trial:
    """One call: `f` maps Tensors to a Tensor or TensorTuple, `oracle` arrays to its value(s)."""

    f: Callable[..., Tensor | TensorTuple]
    inputs: Sequence[Array]
    oracle: Callable[..., Any]


@dataclass(frozen=True)
class Wrong:
    """A call that must raise `error` with a message that contains `text`."""

    call: Callable[[], Any]
    error: type[Exception]
    text: str


@dataclass(frozen=True)
class Case:
    """One public op; `make` draws a Trial."""

    name: str
    make: Callable[[Draw], Trial]
    wrong: tuple[Wrong, ...]
    examples: int

    @property
    def id(self) -> str:
        return f"{self.name}-{self.make.__name__}"


class Draw:
    """Draws shapes, axes and options from hypothesis, and values from a generator with its seed."""

    def __init__(self, draw: Callable[[st.SearchStrategy], Any]) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def int(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def shape(self, ndim: tuple[int, int] = (0, 3), side: tuple[int, int] = (0, 3)) -> tuple:
        return self.draw(hnp.array_shapes(
            min_dims=ndim[0], max_dims=ndim[1], min_side=side[0], max_side=side[1]))

    def shapes(self, count: int) -> tuple[tuple[int, ...], ...]:
        """Shapes that broadcast together: 0-d, added axes, one or several stretched, empty."""
        return self.draw(hnp.mutually_broadcastable_shapes(
            num_shapes=count, min_dims=0, max_dims=3, min_side=0, max_side=3)).input_shapes

    def axes(self, ndim: int) -> int | tuple[int, ...] | None:
        """None, one axis or several distinct ones, counted from either end."""
        kind = self.pick("none", "one", "several") if ndim else self.pick("none", "several")
        if kind == "none":
            return None
        signed = [axis - ndim * self.pick(0, 1) for axis in range(ndim)]
        if kind == "one":
            return self.pick(*signed)
        return tuple(self.draw(st.permutations(signed)))[:self.int(0, ndim)]

    def normal(self, shape: Sequence[int]) -> Array:
        return np.asarray(self.rng.standard_normal(tuple(shape)))

    def apart(self, shape: Sequence[int], *points: float) -> Array:
        """Normals that keep 0.05 away from the points."""
        x = self.normal(shape)
        for point in points:
            x = np.where(np.abs(x - point) < 0.05, point + 0.1, x)
        return np.asarray(x)

    def positive(self, shape: Sequence[int]) -> Array:
        return np.asarray(0.3 + np.abs(self.normal(shape)))

    def distinct(self, shape: Sequence[int], offset: float = 0.0) -> Array:
        """Numbers that differ by 0.1 at least from each other (offset 0.05: from another draw)."""
        n = int(np.prod(shape, dtype=int))
        return ((self.rng.permutation(n) - n // 2) * 0.1 + offset).reshape(tuple(shape))


CASES: list[Case] = []


def case(name: str, *wrong: Wrong, examples: int = 20) -> Callable:
    """Register the decorated maker of Trials under the name of the op."""

    def register(make: Callable[[Draw], Trial]) -> Callable[[Draw], Trial]:
        CASES.append(Case(name, make, wrong, examples))
        return make

    return register


def ones(*shape: int, dtype: str = "float32") -> Tensor:
    return constant(np.ones(shape, dtype=dtype))


# ---------------------------------------------------------------------------- elementwise


def smooth(function: Callable, oracle: Callable, draw: Callable) -> Callable[[Draw], Trial]:
    def unary(d: Draw) -> Trial:
        return Trial(function, [draw(d)], oracle)

    return unary


def not_a_tensor(name: str, op: str) -> Wrong:
    return Wrong(lambda: getattr(ops, name)(np.ones(3)), TypeError, f"{op}: wants Tensors")


for _name, _op, _oracle, _draw in [
    ("negate", "Negate", np.negative, lambda d: d.normal(d.shape())),
    ("exp", "Exp", np.exp, lambda d: d.normal(d.shape())),
    ("log", "Log", np.log, lambda d: d.positive(d.shape())),
    ("sqrt", "EWiseSqrt", np.sqrt, lambda d: d.positive(d.shape())),
    ("tanh", "Tanh", np.tanh, lambda d: d.normal(d.shape())),
    ("sigmoid", "Sigmoid", scipy.special.expit, lambda d: d.normal(d.shape())),
    ("softplus", "Softplus", lambda a: np.logaddexp(0, a), lambda d: d.normal(d.shape())),
    ("relu", "ReLU", lambda a: (a + np.abs(a)) / 2, lambda d: d.apart(d.shape(), 0)),
    ("abs", "EWiseAbs", np.abs, lambda d: d.apart(d.shape(), 0)),
    ("gelu", "Tanh", lambda a: a * scipy.special.expit(
        np.sqrt(8 / np.pi) * (a + 0.044715 * a**3)), lambda d: d.normal(d.shape())),
]:
    case(_name, not_a_tensor(_name, _op))(smooth(getattr(ops, _name), _oracle, _draw))


@case("leaky_relu", not_a_tensor("leaky_relu", "LeakyReLU"),
      Wrong(lambda: ops.leaky_relu(ones(2), "0.2"), TypeError, "LeakyReLU"))
def leaky_relu(d: Draw) -> Trial:
    slope = d.pick(0.0, 0.2, 1.0, 2.0, -0.5)
    return Trial(lambda a: ops.leaky_relu(a, slope), [d.apart(d.shape(), 0)],
                 lambda a: np.where(a >= 0, 1.0, slope) * a)


@case("elu", not_a_tensor("elu", "ELU"))
def elu(d: Draw) -> Trial:
    alpha = d.pick(1.0, 0.5)
    return Trial(lambda a: ops.elu(a, alpha), [d.apart(d.shape(), 0)],
                 lambda a: np.where(a >= 0, a, alpha * np.exp(a) - alpha))


@case("clip",
      Wrong(lambda: ops.clip(np.ones(3), 0, 1), TypeError, "Clip: wants Tensors"),
      Wrong(lambda: ops.clip(ones(2), 1.0, 0.0), ValueError, "low <= high"))
def clip(d: Draw) -> Trial:
    low, high = d.pick((-0.5, 0.7), (-np.inf, 0.2), (0.0, np.inf), (0.3, 0.3))
    return Trial(lambda a: ops.clip(a, low, high), [d.apart(d.shape(), low, high)],
                 lambda a: np.maximum(np.minimum(a, high), low))


@case("masked",
      Wrong(lambda: ops.masked(ones(3), np.ones((2, 3), bool)), ShapeError, "Masked: a mask of"),
      Wrong(lambda: ops.masked(ones(3), np.ones(2, bool)), ShapeError, "Masked: shapes"),
      Wrong(lambda: ops.masked(np.ones(3), np.ones(3)), TypeError, "Masked: wants Tensors"))
def masked(d: Draw) -> Trial:
    shape = d.shape()
    rows = d.pick(shape, shape[1:], tuple(1 for _ in shape))
    mask = np.asarray(d.rng.random(rows) < 0.5)
    given = d.pick(mask, 1.0 * mask, np.asarray(mask, "float32"))
    return Trial(lambda a: ops.masked(a, given), [d.normal(shape)],
                 lambda a: np.where(mask, a, 0))


def does_not_fit(name: str, op: str) -> Wrong:
    return Wrong(lambda: getattr(ops, name)(ones(2, 3), ones(2)), ShapeError, f"{op}: shapes")


def mixed_floats(name: str, op: str) -> Wrong:
    return Wrong(lambda: getattr(ops, name)(ones(2), ones(2, dtype="float64")), DTypeError,
                 f"{op}: operands of float32 and float64")


def broadcast(name: str, oracle: Callable, first: Callable, second: Callable) -> None:
    op = {"add": "EWiseAdd", "sub": "EWiseSub", "multiply": "EWiseMul", "divide": "EWiseDiv",
          "div": "EWiseDiv", "power": "EWisePow", "maximum": "EWiseMaximum",
          "minimum": "EWiseMinimum"}[name]

    def binary(d: Draw) -> Trial:
        a, b = d.shapes(2)
        return Trial(getattr(ops, name), [first(d, a), second(d, b)], oracle)

    case(name, does_not_fit(name, op), mixed_floats(name, op),
         Wrong(lambda: getattr(ops, name)(np.ones(2), ones(2)), TypeError, f"{op}: wants Tensors"),
         examples=30)(binary)


broadcast("add", np.add, Draw.normal, Draw.normal)
broadcast("sub", np.subtract, Draw.normal, Draw.normal)
broadcast("multiply", np.multiply, Draw.normal, Draw.normal)
broadcast("divide", np.divide, Draw.normal, lambda d, s: np.asarray(d.positive(s) * d.pick(1, -1)))
broadcast("div", np.divide, Draw.normal, Draw.positive)
broadcast("power", lambda a, b: np.exp(b * np.log(a)), Draw.positive, Draw.normal)
broadcast("maximum", np.maximum, Draw.distinct, lambda d, s: d.distinct(s, 0.05))
broadcast("minimum", np.minimum, Draw.distinct, lambda d, s: d.distinct(s, 0.05))


@case("maximum", Wrong(lambda: ops.maximum(ones(2), "1"), TypeError, "wants a Tensor or a number"))
def maximum_of_number(d: Draw) -> Trial:
    return Trial(lambda a: ops.maximum(a, 0.2), [d.apart(d.shape(), 0.2)],
                 lambda a: np.where(a > 0.2, a, 0.2))


@case("minimum", Wrong(lambda: ops.minimum(ones(2), None), TypeError, "wants a Tensor or a number"))
def minimum_of_number(d: Draw) -> Trial:
    return Trial(lambda a: ops.minimum(a, 0), [d.apart(d.shape(), 0)],
                 lambda a: np.where(a < 0, a, 0))


@case("where",
      Wrong(lambda: ops.where(np.ones((2, 3), bool), ones(2), ones(2)), ShapeError, "Where"),
      Wrong(lambda: ops.where(np.ones(2), ones(2), ones(2)), DTypeError, "must be a bool"),
      Wrong(lambda: ops.where(np.ones(2, bool), 1.0, 2.0), TypeError, "must be a Tensor"))
def where(d: Draw) -> Trial:
    condition, a, b = d.shapes(3)
    condition = d.rng.random(condition) < 0.5
    kept = d.pick(condition, Tensor(condition))
    return Trial(lambda a, b: ops.where(kept, a, b), [d.normal(a), d.normal(b)],
                 lambda a, b: condition * a + (1 - condition) * b)


@case("where", Wrong(lambda: ops.where(np.ones(2, bool), ones(2), None), TypeError, "number"))
def where_with_number(d: Draw) -> Trial:
    shape = d.shape()
    condition = d.rng.random(shape) < 0.5
    if d.pick(True, False):
        return Trial(lambda a: ops.where(condition, a, 2), [d.normal(shape)],
                     lambda a: condition * a + (1 - condition) * 2)
    return Trial(lambda a: ops.where(condition, -0.5, a), [d.normal(shape)],
                 lambda a: condition * -0.5 + (1 - condition) * a)


def with_scalar(name: str, op: str, oracle: Callable, scalars: Sequence, draw: Callable) -> None:
    def scalar(d: Draw) -> Trial:
        s = d.pick(*scalars)
        return Trial(lambda a: getattr(ops, name)(a, s), [draw(d, d.shape())],
                     lambda a: oracle(a, float(s)))

    case(name,
         Wrong(lambda: getattr(ops, name)(ones(2), np.ones(2)), TypeError, f"{op}: wants a Tensor"),
         Wrong(lambda: getattr(ops, name)(np.ones(2), 2), TypeError, f"{op}: wants Tensors"),
    )(scalar)


SCALARS = (2, -1.5, 0, True, np.float64(0.25), np.float32(3), np.int64(-2), np.asarray(0.5))
with_scalar("add_scalar", "AddScalar", np.add, SCALARS, Draw.normal)
with_scalar("mul_scalar", "MulScalar", np.multiply, SCALARS, Draw.normal)
with_scalar("divide_scalar", "DivScalar", np.divide, [s for s in SCALARS if s], Draw.normal)
with_scalar("power_scalar", "PowerScalar", np.float_power, (0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.7),
            Draw.positive)


@case("power_scalar", Wrong(lambda: ops.power_scalar(ones(2), 1j), TypeError, "PowerScalar"))
def whole_power_of_negatives(d: Draw) -> Trial:
    exponent = d.pick(0, 1, 2, 3, -1)
    return Trial(lambda a: ops.power_scalar(a, exponent), [np.asarray(d.apart(d.shape(), 0))],
                 lambda a: np.float_power(a, exponent))


# ----------------------------------------------------------------------------- reductions


def wrong_axes(name: str, op: str) -> tuple[Wrong, ...]:
    function = getattr(ops, name)
    return (
        Wrong(lambda: function(ones(2, 3), 2), ShapeError, f"{op}: axis 2 is out of range"),
        Wrong(lambda: function(ones(2, 3), (0, -3)), ShapeError, f"{op}: axis -3 is out of range"),
        Wrong(lambda: function(ones(2, 3), (1, -1)), ShapeError, f"{op}: axes (1, -1) name an"),
    )


def reduction(name: str, op: str, oracle: Callable, draw: Callable, empty: int) -> None:
    def reduced(d: Draw) -> Trial:
        shape = d.shape(side=(empty, 3))
        axes, keepdims = d.axes(len(shape)), d.pick(False, True)
        numpy_axes = tuple(range(len(shape))) if axes is None else axes
        return Trial(lambda a: getattr(ops, name)(a, axes, keepdims), [draw(d, shape)],
                     lambda a: oracle(a, axis=numpy_axes, keepdims=keepdims))

    nothing = () if empty == 0 else (
        Wrong(lambda: getattr(ops, name)(ones(2, 0), 1), ShapeError, op),)
    case(name, *wrong_axes(name, op), *nothing, examples=30)(reduced)


def scipy_logsumexp(a: Array, axis: Any, keepdims: bool) -> Array:
    # SciPy takes an empty tuple of axes for all of them
    return a if axis == () else scipy.special.logsumexp(a, axis=axis, keepdims=keepdims)


reduction("summation", "Summation", np.sum, Draw.normal, 0)
reduction("mean", "mean", np.mean, Draw.normal, 1)
reduction("var", "mean", np.var, Draw.normal, 1)
reduction("max", "Max", np.max, Draw.distinct, 1)
reduction("logsumexp", "LogSumExp", scipy_logsumexp, Draw.normal, 1)


@case("logsoftmax",
      Wrong(lambda: ops.logsoftmax(ones()), ShapeError, "LogSoftmax: wants"),
      Wrong(lambda: ops.logsoftmax(ones(2, 0)), ShapeError, "LogSoftmax: wants"))
def logsoftmax(d: Draw) -> Trial:
    shape = (*d.shape((0, 2)), d.int(1, 4))
    return Trial(ops.logsoftmax, [d.normal(shape)],
                 lambda a: scipy.special.log_softmax(a, axis=-1) if a.size else a)


# ---------------------------------------------------------------------- order and shape


@case("transpose",
      Wrong(lambda: ops.transpose(ones(3)), ShapeError, "Transpose: axes"),
      Wrong(lambda: ops.transpose(ones(2, 3), (0, 2)), ShapeError, "Transpose: axes (0, 2)"),
      Wrong(lambda: ops.transpose(ones(2, 3), (0, 1, 2)), ShapeError, "use permute"))
def transpose(d: Draw) -> Trial:
    shape = d.shape((2, 4))
    axes = d.pick(None, (0, 1), (-1, 0), (1, 1), [0, -1])
    return Trial(lambda a: ops.transpose(a, axes), [d.normal(shape)],
                 lambda a: np.swapaxes(a, *(axes or (-2, -1))))


@case("permute",
      Wrong(lambda: ops.permute(ones(2, 3), (0, 0)), ShapeError, "Permute: axes (0, 0)"),
      Wrong(lambda: ops.permute(ones(2, 3), (0, 3)), ShapeError, "Permute: axes (0, 3)"),
      Wrong(lambda: ops.permute(ones(2, 3), (1,)), ShapeError, "Permute: axes (1,)"))
def permute(d: Draw) -> Trial:
    shape = d.shape((0, 4), (0, 2))
    axes = tuple(axis - len(shape) * d.pick(0, 1)
                 for axis in d.draw(st.permutations(range(len(shape)))))
    return Trial(lambda a: ops.permute(a, axes), [d.normal(shape)],
                 lambda a: np.moveaxis(a, axes, range(a.ndim)))


@case("reshape",
      Wrong(lambda: ops.reshape(ones(2, 3), (4, 2)), ShapeError, "Reshape: shape (2, 3)"),
      Wrong(lambda: ops.reshape(ones(2, 3), (-1, -1)), ShapeError, "Reshape"),
      Wrong(lambda: ops.reshape(ones(2, 3), (-1, 4)), ShapeError, "Reshape"),
      Wrong(lambda: ops.reshape(ones(2, 3), (-2, -3)), ShapeError, "Reshape"))
def reshape(d: Draw) -> Trial:
    shape = d.shape()
    n = int(np.prod(shape, dtype=int))
    new = d.pick((n,), n, (1, n, 1), (n, 1), shape[::-1], *([-1, (1, -1)] if n else []))
    return Trial(lambda a: ops.reshape(a, new), [d.normal(shape)],
                 lambda a: np.array(list(a.flat)).reshape(new))


@case("broadcast_to",
      Wrong(lambda: ops.broadcast_to(ones(2, 3), (2, 4)), ShapeError, "BroadcastTo"),
      Wrong(lambda: ops.broadcast_to(ones(2, 3), (3,)), ShapeError, "BroadcastTo"),
      Wrong(lambda: ops.broadcast_to(ones(2), (2, 1)), ShapeError, "BroadcastTo"))
def broadcast_to(d: Draw) -> Trial:
    shape, other = d.shapes(2)
    full = np.broadcast_shapes(shape, other)
    return Trial(lambda a: ops.broadcast_to(a, full), [d.normal(shape)],
                 lambda a: a + np.zeros(full))


@case("flip", *wrong_axes("flip", "Flip"))
def flip(d: Draw) -> Trial:
    shape = d.shape()
    axes = d.axes(len(shape))
    named = range(len(shape)) if axes is None else np.atleast_1d(axes).astype(int) % (
        len(shape) or 1)
    index = tuple(slice(None, None, -1 if axis in named else 1) for axis in range(len(shape)))
    return Trial(lambda a: ops.flip(a, axes), [d.normal(shape)], lambda a: a[index])


@case("pad",
      Wrong(lambda: ops.pad(ones(2, 3), [(1, 1)]), ShapeError, "Pad: wants one pair"),
      Wrong(lambda: ops.pad(ones(2), [(0, -1)]), ShapeError, "Pad: wants one pair"))
def pad(d: Draw) -> Trial:
    shape = d.shape((0, 3), (0, 2))
    widths = [(d.int(0, 2), d.int(0, 2)) for _ in shape]
    return Trial(lambda a: ops.pad(a, widths), [d.normal(shape)],
                 lambda a: np.pad(a, widths) if a.ndim else a)


@case("reflection_pad",
      Wrong(lambda: ops.reflection_pad(ones(2, 3), [(1, 1)]), ShapeError, "reflection_pad: wants"),
      Wrong(lambda: ops.reflection_pad(ones(2), [(2, 0)]), ShapeError, "must be 0 to 1"),
      Wrong(lambda: ops.reflection_pad(ones(2), [(0, -1)]), ShapeError, "must be 0 to 1"))
def reflection_pad(d: Draw) -> Trial:
    shape = d.shape((1, 3), (1, 3))
    widths = [(d.int(0, size - 1), d.int(0, size - 1)) for size in shape]
    return Trial(lambda a: ops.reflection_pad(a, widths), [d.normal(shape)],
                 lambda a: np.pad(a, widths, mode="reflect"))


def comb(ndim: int, axes: Sequence[int], dilation: int) -> Array:
    """One 1 among zeros: the Kronecker product with it puts zeros after each element."""
    tooth = np.zeros([dilation + 1 if axis in axes else 1 for axis in range(ndim)])
    tooth[(0,) * ndim] = 1
    return tooth


@case("dilate",
      Wrong(lambda: ops.dilate(ones(2), 0, -1), ShapeError, "Dilate: dilation must be"))
def dilate(d: Draw) -> Trial:
    shape = d.shape((1, 3), (0, 2))
    axes = d.axes(len(shape))
    axes = tuple(range(len(shape))) if axes is None else axes
    dilation = d.int(0, 2)
    positive = [axis % len(shape) for axis in np.atleast_1d(axes).astype(int)]
    return Trial(lambda a: ops.dilate(a, axes, dilation), [d.normal(shape)],
                 lambda a: np.kron(a, comb(a.ndim, positive, dilation)))


@case("undilate",
      Wrong(lambda: ops.undilate(ones(2), 0, -1), ShapeError, "UnDilate: dilation must be"),
      Wrong(lambda: ops.undilate(ones(3), 0, 1), ShapeError, "UnDilate: sizes on axes"))
def undilate(d: Draw) -> Trial:
    dilation, n, m = d.int(0, 2), d.int(0, 2), d.int(0, 3)
    shape = (n * (dilation + 1), m)
    return Trial(lambda a: ops.undilate(a, (0,), dilation), [d.normal(shape)],
                 lambda a: a.reshape(n, dilation + 1, m)[:, 0])


# ------------------------------------------------------------------ many into one, and back


@case("stack",
      Wrong(lambda: ops.stack([ones(2), ones(3)]), ShapeError, "Stack: shapes must be equal"),
      Wrong(lambda: ops.stack([ones(2)], 2), ShapeError, "Stack: axis 2 is out of range"),
      Wrong(lambda: ops.stack([]), ShapeError, "stack: wants at least one"),
      Wrong(lambda: ops.stack(ones(2, 2)), TypeError, "stack: wants a list or tuple"),
      Wrong(lambda: ops.stack([ones(2), ones(2, dtype="float64")]), DTypeError, "Stack: dtypes"))
def stack(d: Draw) -> Trial:
    shape = d.shape((0, 2))
    axis = d.int(-len(shape) - 1, len(shape))
    return Trial(lambda *a: ops.stack(a, axis), [d.normal(shape) for _ in range(d.int(1, 3))],
                 lambda *a: np.stack(a, axis))


@case("split",
      Wrong(lambda: ops.split(ones(2), 1), ShapeError, "Split: axis 1 is out of range"),
      Wrong(lambda: ops.split(ones(), 0), ShapeError, "Split: axis 0 is out of range"))
def split(d: Draw) -> Trial:
    shape = d.shape((1, 3), (1, 3))
    axis = d.int(-len(shape), len(shape) - 1)
    return Trial(lambda a: ops.split(a, axis), [d.normal(shape)],
                 lambda a: tuple(a.take(i, axis) for i in range(a.shape[axis])))


@case("concat",
      Wrong(lambda: ops.concat([ones(2, 3), ones(2, 4)], 0), ShapeError, "Concat: shapes must be"),
      Wrong(lambda: ops.concat([ones(2), ones(2, 2)]), ShapeError, "Concat: shapes must be"),
      Wrong(lambda: ops.concat([ones(2)], 1), ShapeError, "Concat: axis 1 is out of range"),
      Wrong(lambda: ops.concat([]), ShapeError, "concat: wants at least one"),
      Wrong(lambda: ops.concat(ones(2)), TypeError, "concat: wants a list or tuple"),
      Wrong(lambda: ops.concat([ones(2), ones(2, dtype="float64")]), DTypeError, "Concat: dtypes"))
def concat(d: Draw) -> Trial:
    shape = list(d.shape((1, 3), (0, 2)))
    axis = d.int(-len(shape), len(shape) - 1)
    arrays = []
    for _ in range(d.int(1, 3)):
        shape[axis] = d.int(0, 2)
        arrays.append(d.normal(shape))
    return Trial(lambda *a: ops.concat(a, axis), arrays, lambda *a: np.concatenate(a, axis))


@case("make_tuple",
      Wrong(lambda: ops.make_tuple(np.ones(2)), TypeError, "MakeTensorTuple: wants Tensors"))
def make_tuple(d: Draw) -> Trial:
    arrays = [d.normal(d.shape((0, 2))) for _ in range(d.int(1, 3))]
    return Trial(ops.make_tuple, arrays, lambda *a: a)


@case("tuple_get_item",
      Wrong(lambda: ops.tuple_get_item(ops.split(ones(2, 3)), 2), IndexError, "TupleGetItem: ind"),
      Wrong(lambda: ops.split(ones(2, 3))[-3], IndexError, "TupleGetItem: index"))
def tuple_get_item(d: Draw) -> Trial:
    n = d.int(1, 3)
    index = d.int(-n, n - 1)
    return Trial(lambda a: ops.tuple_get_item(ops.split(a, 0), index), [d.normal((n, 2))],
                 lambda a: a[index])


@case("tuple_get_item", Wrong(lambda: ops.make_tuple(ones(2))[1], IndexError, "index"))
def item_of_made_tuple(d: Draw) -> Trial:
    return Trial(lambda a, b: ops.tuple_get_item(ops.make_tuple(a, b), d.pick(1)),
                 [d.normal((2,)), d.normal((3,))], lambda a, b: b)


# ---------------------------------------------------------------------------------- index


@case("getitem",
      Wrong(lambda: ones(2, 3)[2], IndexError, "getitem: index 2"),
      Wrong(lambda: ones(2, 3)[:, [0, -4]], IndexError, "axis 1 of shape (2, 3)"),
      Wrong(lambda: ones(2, 3)[0, 0, 0], IndexError, "getitem: 3 indices"),
      Wrong(lambda: ones(2, 3)[..., 0, ...], IndexError, "Ellipsis"),
      Wrong(lambda: ones(2, 3)[0.5], DTypeError, "getitem: an index must be"),
      Wrong(lambda: ones(2, 3)["a"], DTypeError, "getitem: an index must be"),
      Wrong(lambda: ones(2, 3)[True], IndexError, "single bool"),
      Wrong(lambda: ones(2, 3)[np.ones(3, bool)], IndexError, "a mask of shape (3,)"),
      Wrong(lambda: ones(2, 3)[np.ones((2, 3, 1), bool)], IndexError, "a mask of shape (2, 3, 1)"),
      Wrong(lambda: ones(2, 3)[..., np.ones(2, bool)], IndexError, "mask of shape (2,) at axis 1"))
def basic_index(d: Draw) -> Trial:
    shape = d.shape()
    index = d.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=5))
    return Trial(lambda a: a[index], [d.normal(shape)], lambda a: a[index])


@case("getitem", Wrong(lambda: ones(2, 3)[[[0, 2]]], IndexError, "getitem: index 0 to 2"))
def array_index(d: Draw) -> Trial:
    shape = d.shape((1, 3), (1, 3))
    index = d.draw(hnp.integer_array_indices(
        shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)))
    index = index[:d.int(1, len(index))]
    given = tuple(Tensor(i) if d.pick(True, False) else i for i in index)
    given = given[0] if len(given) == 1 else given
    return Trial(lambda a: a[given], [d.normal(shape)], lambda a: a[index])


@case("getitem", Wrong(lambda: ones(3)[np.ones((), bool)], IndexError, "single bool"))
def mixed_index(d: Draw) -> Trial:
    """Slices, integers, lists, negative ones, masks and None in one index."""
    shape = (3, 2, 3)
    index = d.pick(
        ([0, 0, -1], slice(None), slice(None, None, -1)),
        (slice(1, None), [1, 0, 1]),
        (0, slice(None), [2, 2]),
        ([0, 1], slice(None), [1, 2]),
        ([[0], [2]], [[1, 0]], None),
        (..., [], 1),
        (np.array([True, False, True]), 1),
        (np.arange(6).reshape(3, 2) % 2 == 0, slice(0, 2)),
        (slice(None), None, np.array([False, True])),
        ([True, False, False],),
        (np.zeros((3, 2, 3), bool),),
        (np.uint8(2), np.int64(-1)),
        (range(2),),
        (np.array([True, True, False]), slice(None), [0, 2]),
    )
    as_numpy_wants = tuple(np.asarray(i, dtype=None if len(i) else int)
                           if isinstance(i, list | range) else i for i in index)
    return Trial(lambda a: a[index], [d.normal(shape)], lambda a: a[as_numpy_wants])


@case("embedding",
      Wrong(lambda: ops.embedding([0, 3], ones(3, 2)), IndexError, "embedding: indices must lie"),
      Wrong(lambda: ops.embedding([-1], ones(3, 2)), IndexError, "embedding: indices must lie"),
      Wrong(lambda: ops.embedding([0], ones(3)), ShapeError, "embedding: weight must be"),
      Wrong(lambda: ops.embedding([0.5], ones(3, 2)), DTypeError, "an index must be"),
      Wrong(lambda: ops.embedding([True], ones(3, 2)), DTypeError, "indices must be integers"))
def embedding(d: Draw) -> Trial:
    words, rows = d.int(1, 4), d.shape((0, 2))
    index = d.rng.integers(0, words, rows)
    given = d.pick(index, index.tolist() if index.size else index, Tensor(index),
                   index.astype("uint8"))
    return Trial(lambda w: ops.embedding(given, w), [d.normal((words, 2))],
                 lambda w: (np.arange(words) == index[..., None]).astype(float) @ w)


# -------------------------------------------------------------------------------- products


@case("matmul",
      Wrong(lambda: ops.matmul(ones(2, 3), ones(2, 3)), ShapeError, "MatMul: wants (..., m, k)"),
      Wrong(lambda: ops.matmul(ones(3), ones(3, 2)), ShapeError, "MatMul: wants (..., m, k)"),
      Wrong(lambda: ops.matmul(ones(2, 1, 3), ones(4, 3, 1)), ShapeError, "MatMul (batch axes)"),
      Wrong(lambda: ones(2, 2) @ np.ones((2, 2)), TypeError, "MatMul: wants Tensors"),
      Wrong(lambda: ops.matmul(ones(2, 3), ones(3, 2, dtype="float64")), DTypeError, "MatMul: op"),
      examples=30)
def matmul(d: Draw) -> Trial:
    a, b = d.draw(hnp.mutually_broadcastable_shapes(
        signature="(m,k),(k,n)->(m,n)", max_dims=2, min_side=0, max_side=3)).input_shapes
    return Trial(ops.matmul, [d.normal(a), d.normal(b)],
                 lambda a, b: (a[..., :, :, None] * b[..., None, :, :]).sum(-2))


@case("linear",
      Wrong(lambda: ops.linear(ones(2, 3), ones(2, 3)), ShapeError, "Linear: wants (..., in)"),
      Wrong(lambda: ops.linear(ones(2, 3), ones(3)), ShapeError, "Linear: wants (..., in)"),
      Wrong(lambda: ops.linear(ones(2, 3), ones(3, 4), ones(3)), ShapeError, "Linear: bias must"),
      Wrong(lambda: ops.linear(ones(2, 3), ones(3, 4), ones(2, 4)), ShapeError, "Linear: bias"),
      Wrong(lambda: ops.linear(ones(2, 3), ones(3, 4, dtype="float64")), DTypeError, "Linear: ope"),
      Wrong(lambda: ops.linear(ones(2, 3), ones(3, 4), ones(4, dtype="float64")), DTypeError,
            "Linear: operands"), examples=40)
def linear(d: Draw) -> Trial:
    lead, n, m = d.pick((), (3,), (0,), (2, 2), (2, 0), (1,)), d.int(0, 3), d.int(0, 3)
    arrays = [d.normal((*lead, n)), d.normal((n, m))]
    bias = d.pick(None, (m,), (1, m))
    if bias is not None:
        arrays.append(d.normal(bias))

    def oracle(x: Array, w: Array, b: Array | None = None) -> Array:
        y = (x[..., None] * w).sum(-2)
        return y if b is None else y + b.ravel()

    return Trial(ops.linear, arrays, oracle)


@case("linear",
      Wrong(lambda: ops.linear(ones(2, 3), ones(3, 2), slope=1.5), ValueError, "linear: slope"),
      Wrong(lambda: ops.linear(ones(2, 3), ones(2, 3), slope=0.2), ShapeError, "Linear: wants"))
def linear_with_slope(d: Draw) -> Trial:
    plain, slope = linear(d), d.pick(0, 0.2, 0.0, 1)
    before = plain.oracle(*plain.inputs)
    hypothesis.assume((np.abs(before) > 1e-3).all())
    return Trial(lambda *a: ops.linear(*a[:2], a[2] if len(a) > 2 else None, slope=slope),
                 plain.inputs,
                 lambda *a: np.where(plain.oracle(*a) > 0, 1.0, slope) * plain.oracle(*a))


# ---------------------------------------------------------------------------------- windows


def pool_oracle(a: Array, kernel: Any, stride: Any, reduce: Callable) -> Array:
    (kh, kw), (sh, sw) = np.broadcast_to(kernel, 2), np.broadcast_to(stride, 2)
    oh, ow = (a.shape[2] - kh) // sh + 1, (a.shape[3] - kw) // sw + 1
    out = np.zeros((*a.shape[:2], oh, ow))
    for i, j in itertools.product(range(oh), range(ow)):
        out[:, :, i, j] = reduce(a[:, :, i * sh:i * sh + kh, j * sw:j * sw + kw], axis=(2, 3))
    return out


def images(d: Draw, least: int = 1, most: int = 4) -> tuple[int, int, int, int]:
    return d.int(0, 2), d.int(0, 2), d.int(least, most), d.int(least, most)


def too_large(name: str, op: str) -> tuple[Wrong, ...]:
    function = getattr(ops, name)
    return (
        Wrong(lambda: function(ones(1, 1, 2, 3), 3), ShapeError, f"{op}: wants (n, c, h, w)"),
        Wrong(lambda: function(ones(1, 2, 3), 2), ShapeError, f"{op}: wants (n, c, h, w)"),
        Wrong(lambda: function(ones(1, 1, 2, 3), 0), ShapeError, f"{name}: sizes must be"),
        Wrong(lambda: function(ones(1, 1, 2, 3), (1, 2, 3)), ShapeError, f"{name}: sizes must be"),
        Wrong(lambda: function(ones(1, 1, 2, 3), 1, 0), ShapeError, f"{name}: sizes must be"),
    )


@case("windows", *too_large("windows", "Windows"))
def windows(d: Draw) -> Trial:
    shape = images(d)
    kernel = (d.int(1, min(2, shape[2])), d.int(1, min(3, shape[3])))
    stride = d.pick(1, 2, (1, 3), (3, 2))
    sh, sw = np.broadcast_to(stride, 2)
    return Trial(lambda a: ops.windows(a, kernel, stride), [d.normal(shape)],
                 lambda a: np.lib.stride_tricks.sliding_window_view(
                     a, kernel, (2, 3))[:, :, ::sh, ::sw])


@case("fold",
      Wrong(lambda: ops.fold(ones(1, 1, 2, 2, 2, 2), (2, 3)), ShapeError, "fold: windows of shape"),
      Wrong(lambda: ops.fold(ones(1, 1, 2, 2), (2, 3)), ShapeError, "fold: windows of shape"))
def fold(d: Draw) -> Trial:
    oh, ow, kh, kw = d.int(1, 2), d.int(1, 2), d.int(1, 2), d.int(1, 2)
    sh, sw = d.int(1, 3), d.int(1, 2)
    h, w = (oh - 1) * sh + kh + d.int(0, 3), (ow - 1) * sw + kw + d.int(0, 1)

    def oracle(a: Array) -> Array:
        out = np.zeros((*a.shape[:2], h, w))
        for i, j, p, q in itertools.product(range(oh), range(ow), range(kh), range(kw)):
            out[:, :, i * sh + p, j * sw + q] += a[:, :, i, j, p, q]
        return out

    return Trial(lambda a: ops.fold(a, (h, w), (sh, sw)),
                 [d.normal((d.int(0, 2), 1, oh, ow, kh, kw))], oracle)


@case("avg_pool", *too_large("avg_pool", "avg_pool"))
def avg_pool(d: Draw) -> Trial:
    shape = images(d)
    kernel = (d.int(1, min(3, shape[2])), d.int(1, min(3, shape[3])))
    stride = d.pick(None, 1, 2, (1, 3), (4, 3))
    return Trial(lambda a: ops.avg_pool(a, kernel, stride), [d.normal(shape)],
                 lambda a: pool_oracle(a, kernel, kernel if stride is None else stride, np.mean))


@case("max_pool", *too_large("max_pool", "max_pool"))
def max_pool(d: Draw) -> Trial:
    shape = images(d)
    kernel = (d.int(1, min(3, shape[2])), d.int(1, min(3, shape[3])))
    stride = d.pick(None, 1, 2, (1, 3), (4, 3))
    return Trial(lambda a: ops.max_pool(a, kernel, stride), [d.distinct(shape)],
                 lambda a: pool_oracle(a, kernel, kernel if stride is None else stride, np.max))


@case("upsample",
      Wrong(lambda: ops.upsample(ones(1, 2, 3), 2), ShapeError, "upsample: wants (n, c, h, w)"),
      Wrong(lambda: ops.upsample(ones(1, 1, 2, 3), 0), ShapeError, "upsample: scale must be"),
      Wrong(lambda: ops.upsample(ones(1, 1, 2, 3), 1.5), ShapeError, "upsample: scale must be"))
def upsample(d: Draw) -> Trial:
    scale = d.int(1, 3)
    return Trial(lambda a: ops.upsample(a, scale), [d.normal(images(d, 0, 2))],
                 lambda a: a.repeat(scale, 2).repeat(scale, 3))


def linear_interpolation(a: Array, scale: int, axis: int) -> Array:
    """Along one axis by np.interp: values stand in the middles of their cells."""
    size = a.shape[axis]
    at = (np.arange(size * scale) + 0.5) / scale - 0.5
    return np.apply_along_axis(lambda line: np.interp(at, np.arange(size), line), axis, a)


@case("upsample_bilinear",
      Wrong(lambda: ops.upsample_bilinear(ones(2, 3), 2), ShapeError, "upsample_bilinear: wants"),
      Wrong(lambda: ops.upsample_bilinear(ones(1, 1, 2, 3), 0), ShapeError, "bilinear: scale must"),
      Wrong(lambda: ops.upsample_bilinear(ones(1, 1, 2, 3), 2.0), ShapeError, "bilinear: scale"))
def upsample_bilinear(d: Draw) -> Trial:
    scale, shape = d.int(1, 4), (d.int(1, 2), d.int(1, 2), d.int(1, 4), d.int(1, 3))
    return Trial(
        lambda a: ops.upsample_bilinear(a, scale), [d.normal(shape)],
        lambda a: linear_interpolation(linear_interpolation(a, scale, 2), scale, 3))


@case("upsample_bilinear",
      Wrong(lambda: ops.upsample_bilinear(ones(1, 1, 2, 3), -2), ShapeError, "scale must be"))
def upsample_bilinear_of_nothing(d: Draw) -> Trial:
    scale, shape = d.int(1, 2), d.pick((0, 1, 2, 2), (1, 0, 2, 1), (1, 1, 0, 2), (1, 1, 2, 0))
    return Trial(lambda a: ops.upsample_bilinear(a, scale), [d.normal(shape)],
                 lambda a: a.repeat(scale, 2).repeat(scale, 3))


@case("pixel_shuffle",
      Wrong(lambda: ops.pixel_shuffle(ones(1, 3, 2, 2), 2), ShapeError, "pixel_shuffle: 3 chann"),
      Wrong(lambda: ops.pixel_shuffle(ones(4, 2, 2), 2), ShapeError, "pixel_shuffle: wants"))
def pixel_shuffle(d: Draw) -> Trial:
    f, (n, c, h, w) = d.int(1, 2), images(d, 0, 2)

    def oracle(a: Array) -> Array:
        out = np.zeros((n, c, h * f, w * f))
        for k, p, q in itertools.product(range(c), range(f), range(f)):
            out[:, k, p::f, q::f] = a[:, k * f * f + p * f + q]
        return out

    return Trial(lambda a: ops.pixel_shuffle(a, f), [d.normal((n, c * f * f, h, w))], oracle)


# ------------------------------------------------------------ convolution and normalisation


def correlate(a: Array, w: Array, stride: Any, padding: Any) -> Array:
    """The convolution by definition: a product with the weight at every place of the window."""
    (sh, sw), (ph, pw), (kh, kw) = np.broadcast_to(stride, 2), np.broadcast_to(padding, 2), (
        w.shape[2:])
    a = np.pad(a, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    oh, ow = (a.shape[2] - kh) // sh + 1, (a.shape[3] - kw) // sw + 1
    out = np.zeros((len(a), len(w), oh, ow))
    for i, j in itertools.product(range(oh), range(ow)):
        window = a[:, :, i * sh:i * sh + kh, j * sw:j * sw + kw]
        out[:, :, i, j] = np.tensordot(window, w, ([1, 2, 3], [1, 2, 3]))
    return out


def stamp(a: Array, w: Array, stride: Any, padding: Any, extra: Any) -> Array:
    """The transposed convolution by definition: every pixel adds its multiple of the weight."""
    (sh, sw), (ph, pw), (eh, ew) = (np.broadcast_to(s, 2) for s in (stride, padding, extra))
    kh, kw = w.shape[2:]
    high, wide = (a.shape[2] - 1) * sh + kh + eh, (a.shape[3] - 1) * sw + kw + ew
    out = np.zeros((len(a), w.shape[1], high, wide))
    for i, j in itertools.product(range(a.shape[2]), range(a.shape[3])):
        out[:, :, i * sh:i * sh + kh, j * sw:j * sw + kw] += np.tensordot(a[:, :, i, j], w, 1)
    return out[:, :, ph:high - ph, pw:wide - pw]


def windowed(d: Draw) -> tuple[tuple[int, int], tuple[int, int], Any, Any]:
    """Size, kernel, stride and padding of a convolution that is possible."""
    kernel = d.int(1, 3), d.int(1, 3)
    stride, padding = d.pick(1, 2, (1, 3), (3, 2)), d.pick(0, 1, (0, 2), (2, 1))
    least = [max(1, k - 2 * p) for k, p in zip(kernel, np.broadcast_to(padding, 2), strict=True)]
    return (d.int(least[0], least[0] + 3), d.int(least[1], least[1] + 3)), kernel, stride, padding


def impossible(name: str, op: str) -> tuple[Wrong, ...]:
    """What conv2d and conv_transpose2d both refuse."""
    f = getattr(ops, name)
    x, w = ones(1, 2, 4, 4), ones(2, 2, 3, 3)
    return (
        Wrong(lambda: f(ones(2, 4, 4), w), ShapeError, f"{op}: wants images (n, "),
        Wrong(lambda: f(x, ones(2, 2, 3)), ShapeError, "got (1, 2, 4, 4) and (2, 2, 3)"),
        Wrong(lambda: f(ones(1, 3, 4, 4), w), ShapeError, "have 3 channels"),
        Wrong(lambda: f(ones(0, 2, 4, 4), w), ShapeError, "(0, 2, 4, 4)"),
        Wrong(lambda: f(ones(1, 0, 4, 4), ones(0, 0, 3, 3)), ShapeError, "at least 1"),
        Wrong(lambda: f(x, w, 0), ShapeError, f"{name}: stride must be one or two integers"),
        Wrong(lambda: f(x, w, (1, 2, 3)), ShapeError, f"{name}: stride must be"),
        Wrong(lambda: f(x, w, 1, -1), ShapeError, f"{name}: padding must be one or two integers"),
        Wrong(lambda: f(x, w, 1, (1, 0.5)), ShapeError, f"{name}: padding must be"),
        Wrong(lambda: f(x, ones(2, 2, 3, 3, dtype="float64")), DTypeError, "float32 and float64"),
    )


@case("conv2d", *impossible("conv2d", "Conv2d"),
      Wrong(lambda: ops.conv2d(ones(1, 2, 2, 4), ones(2, 2, 3, 3)), ShapeError,
            "Conv2d: a kernel of (3, 3) does not fit images of (2, 4)"),
      Wrong(lambda: ops.conv2d(ones(1, 2, 4, 1), ones(2, 2, 3, 4), 1, (0, 1)), ShapeError,
            "Conv2d: a kernel of (3, 4) does not fit images of (4, 1) padded by (0, 1)"),
      examples=30)
def conv2d(d: Draw) -> Trial:
    size, kernel, stride, padding = windowed(d)
    n, c, o = d.int(1, 2), d.int(1, 2), d.int(1, 2)
    return Trial(lambda x, w: ops.conv2d(x, w, stride, padding),
                 [d.normal((n, c, *size)), d.normal((o, c, *kernel))],
                 lambda x, w: correlate(x, w, stride, padding))


@case("conv2d",
      Wrong(lambda: ops.conv2d(ones(1, 2, 2, 4), ones(2, 2, 3, 3), 1, 2, reflect=True), ShapeError,
            "conv2d: widths (2, 2) on axis 2 must be 0 to 1"),
      Wrong(lambda: ops.conv2d(ones(2, 4), ones(2, 2, 3, 3), 1, 1, reflect=True), ShapeError,
            "conv2d: wants 2 pairs of widths, got 4"),
      Wrong(lambda: ops.conv2d(ones(1, 3, 4, 4), ones(2, 2, 3, 3), 1, 1, reflect=True), ShapeError,
            "Conv2d: images of shape (1, 3, 6, 6) have 3 channels"))
def conv2d_of_mirror_images(d: Draw) -> Trial:
    kernel, padding = (d.int(1, 3), d.int(1, 3)), (d.int(0, 2), d.int(0, 2))
    size = [max(p + 1, k - 2 * p) + d.int(0, 2) for k, p in zip(kernel, padding, strict=True)]
    n, c, o = d.int(1, 2), d.int(1, 2), d.int(1, 2)
    stride, slope = d.pick(1, (2, 1)), d.pick(None, 1)
    sides = [(0, 0), (0, 0), *[(p, p) for p in padding]]
    return Trial(lambda x, w: ops.conv2d(x, w, stride, padding, slope, reflect=True),
                 [d.normal((n, c, *size)), d.normal((o, c, *kernel))],
                 lambda x, w: correlate(np.pad(x, sides, mode="reflect"), w, stride, 0))


def _instance_normal(x: Array, slope: float | None) -> Array:
    axes = tuple(range(2, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-2)
    return np.where(y > 0, y, (1 if slope is None else slope) * y)


@case("conv2d", examples=30)
def conv2d_of_normalised_images(d: Draw) -> Trial:
    n, c, o, slope = d.int(1, 2), d.int(1, 2), d.int(1, 2), d.pick(None, 0.2, 1)
    x, w = d.distinct((n, c, 2, 3)) * 4 + 0.1 * d.normal((n, c, 2, 3)), d.normal((o, c, 2, 2))
    hypothesis.assume(slope in (None, 1) or (np.abs(_instance_normal(x, slope)) > 1e-3).all())
    reflect, back = d.pick(True, False), d.pick(True, False)
    before = ops.InstanceNorm(1e-2, slope)
    if back:
        w = w.transpose(1, 0, 2, 3)
        return Trial(lambda x, w: ops.conv_transpose2d(x, w, 1, 1, before=before), [x, w],
                     lambda x, w: correlate(_instance_normal(x, slope),
                                            w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), 1, 0))
    sides = ((0, 0), (0, 0), (1, 1), (1, 1))
    return Trial(lambda x, w: ops.conv2d(x, w, 1, 1, reflect=reflect, before=before), [x, w],
                 lambda x, w: correlate(np.pad(_instance_normal(x, slope), sides,
                                               mode="reflect" if reflect else "constant"), w, 1, 0))


@case("conv2d")
def weight_gradient_of_conv2d(d: Draw) -> Trial:
    size, kernel, stride, padding = windowed(d)
    n, c, o = d.int(1, 2), d.int(1, 2), d.int(1, 2)
    stride, padding = (tuple(map(int, np.broadcast_to(s, 2))) for s in (stride, padding))
    out = correlate(np.zeros((n, c, *size)), np.zeros((o, c, *kernel)), stride, padding).shape

    def oracle(x: Array, g: Array) -> Array:
        """Linear in the weight: its gradient is the product with every unit weight's result."""
        units = np.eye(c * kernel[0] * kernel[1]).reshape(-1, c, *kernel)
        return np.einsum("nkij,noij->ok", correlate(x, units, stride, padding), g).reshape(
            o, c, *kernel)

    return Trial(ops.Conv2dWeightGradient(stride, padding, kernel),
                 [d.normal((n, c, *size)), d.normal(out)], oracle)


@case("conv_transpose2d", *impossible("conv_transpose2d", "conv_transpose2d"),
      Wrong(lambda: ops.conv_transpose2d(ones(1, 2, 4, 4), ones(2, 1, 3, 3), 2, 0, 2), ShapeError,
            "output_padding must be smaller than the stride (2, 2), got (2, 2)"),
      Wrong(lambda: ops.conv_transpose2d(ones(1, 2, 4, 4), ones(2, 1, 3, 3), 2, 0, -1), ShapeError,
            "conv_transpose2d: output_padding must be one or two integers of at least 0"),
      Wrong(lambda: ops.conv_transpose2d(ones(1, 2, 1, 4), ones(2, 1, 2, 3), 1, 1), ShapeError,
            "would come out as (0, 4)"),
      examples=30)
def conv_transpose2d(d: Draw) -> Trial:
    kernel, size = (d.int(1, 3), d.int(1, 3)), (d.int(1, 3), d.int(1, 3))
    stride = d.pick(1, 2, (1, 3), (3, 2))
    extra = d.pick(0, 1, (0, 1)) if stride in (2, (3, 2)) else d.pick(0, (0, 2)) if (
        stride == (1, 3)) else 0
    padding = d.pick(0, 1, (0, 1), (1, 0))
    out = [(n - 1) * s - 2 * p + k + e for n, s, p, k, e in zip(
        size, *(np.broadcast_to(a, 2) for a in (stride, padding, kernel, extra)), strict=True)]
    hypothesis.assume(min(out) >= 1)
    n, i, o = d.int(1, 2), d.int(1, 2), d.int(1, 2)
    return Trial(lambda x, w: ops.conv_transpose2d(x, w, stride, padding, extra),
                 [d.normal((n, i, *size)), d.normal((i, o, *kernel))],
                 lambda x, w: stamp(x, w, stride, padding, extra))


@case("conv",
      Wrong(lambda: ops.conv(ones(5, 5, 3), ones(3, 3, 3, 2)), ShapeError,
            "Conv: wants images (n, h, w, c) and a weight (k, k, c, o), got (5, 5, 3) and"),
      Wrong(lambda: ops.conv(ones(1, 5, 5, 3), ones(3, 3, 2)), ShapeError, "Conv: wants images"),
      Wrong(lambda: ops.conv(ones(1, 5, 5, 3), ones(3, 3, 2, 4)), ShapeError, "have 3 channels"),
      Wrong(lambda: ops.conv(ones(1, 2, 2, 3), ones(5, 5, 3, 4)), ShapeError, "padded by (1, 1)"),
      Wrong(lambda: ops.conv(ones(0, 5, 5, 3), ones(3, 3, 3, 4)), ShapeError, "at least 1"),
      Wrong(lambda: ops.conv(ones(1, 5, 5, 3), ones(3, 3, 3, 4), 0), ShapeError,
            "Conv: stride must be one or two integers of at least 1, got 0"),
      Wrong(lambda: ops.conv(ones(1, 5, 5, 3), ones(3, 3, 3, 4), 1, -1), ShapeError,
            "Conv: padding must be one or two integers of at least 0, got -1"),
      Wrong(lambda: ops.conv(ones(1, 5, 5, 3), ones(3, 3, 3, 4, dtype="float64")), DTypeError,
            "float32 and float64"))
def conv(d: Draw) -> Trial:
    k, stride, padding = d.int(1, 3), d.int(1, 2), d.int(0, 2)
    h, w = (d.int(max(1, k - 2 * padding), 4) for _ in range(2))
    n, c, o = d.int(1, 2), d.int(1, 2), d.int(1, 2)
    return Trial(lambda a, b: ops.conv(a, b, stride, padding),
                 [d.normal((n, h, w, c)), d.normal((k, k, c, o))],
                 lambda a, b: correlate(a.transpose(0, 3, 1, 2), b.transpose(3, 2, 0, 1), stride,
                                        padding).transpose(0, 2, 3, 1))


@case("batch_norm",
      Wrong(lambda: ops.batch_norm(ones(4, 3), ones(2), ones(3)), ShapeError,
            "batch_norm: wants (n, c, ...) and two tensors (c,), got (4, 3), (2,) and (3,)"),
      Wrong(lambda: ops.batch_norm(ones(4, 3), ones(3), ones(1, 3)), ShapeError, "batch_norm: wan"),
      Wrong(lambda: ops.batch_norm(ones(3), ones(3), ones(3)), ShapeError, "batch_norm: wants (n"),
      Wrong(lambda: ops.batch_norm(ones(1, 3), ones(3), ones(3)), ShapeError, "two or more values"),
      Wrong(lambda: ops.batch_norm(ones(1, 3, 1, 1), ones(3), ones(3)), ShapeError, "(1, 3, 1, 1)"),
      Wrong(lambda: ops.batch_norm(ones(0, 3), ones(3), ones(3)), ShapeError, "two or more values"),
      Wrong(lambda: ops.batch_norm(ones(4, 0), ones(0), ones(0)), ShapeError, "two or more values"),
      Wrong(lambda: ops.batch_norm(ones(4, 3), ones(3), ones(3, dtype="float64")), DTypeError,
            "batch_norm: wants one float dtype, got float32, float32 and float64"),
      Wrong(lambda: ops.batch_norm(*[ones(*s, dtype="int64") for s in ((4, 3), (3,), (3,))]),
            DTypeError, "batch_norm: wants one float dtype"),
      Wrong(lambda: ops.batch_norm(ones(4, 3), ones(3), ones(3), slope=1.5), ValueError,
            "batch_norm: slope must be between 0 and 1, got 1.5"),
      Wrong(lambda: ops.batch_norm(ones(4, 3), ones(3), ones(3), slope=-0.1), ValueError,
            "batch_norm: slope must be"), examples=40)
def batch_norm(d: Draw) -> Trial:
    shape = d.pick((3, 2), (4, 1), (2, 2, 1, 2), (1, 2, 3, 2), (2, 1, 3))
    eps, slope = d.pick(1e-5, 1e-2), d.pick(None, 0, 0.2, 1)
    axes = (0, *range(2, len(shape)))
    along = (1, -1) + (1,) * (len(shape) - 2)

    def before(x: Array, gamma: Array, beta: Array) -> Array:
        spread = np.sqrt(((x - x.mean(axes, keepdims=True)) ** 2).mean(axes, keepdims=True) + eps)
        return (x - x.mean(axes, keepdims=True)) / spread * gamma.reshape(along) + (
            beta.reshape(along))

    arrays = [d.distinct(shape) * 4 + 0.1 * d.normal(shape), d.normal(shape[1:2]),
              d.normal(shape[1:2])]
    hypothesis.assume(slope in (None, 1) or (np.abs(before(*arrays)) > 1e-3).all())
    return Trial(lambda *a: ops.batch_norm(*a, eps, slope), arrays,
                 lambda *a: np.where(before(*a) > 0, 1.0, 1 if slope is None else slope)
                 * before(*a))


@case("instance_norm",
      Wrong(lambda: ops.instance_norm(ones(4, 3)), ShapeError, "instance_norm: wants (n, c, ...)"),
      Wrong(lambda: ops.instance_norm(ones(4, 3, 1, 1)), ShapeError, "got shape (4, 3, 1, 1)"),
      Wrong(lambda: ops.instance_norm(ones(4, 3, 0, 2)), ShapeError, "two or more values"),
      Wrong(lambda: ops.instance_norm(ones(4, 3, 2, 2, dtype="int64")), DTypeError,
            "instance_norm: wants a float dtype, got int64"),
      Wrong(lambda: ops.instance_norm(ones(4, 3, 2), slope=1.5), ValueError,
            "instance_norm: slope must be between 0 and 1, got 1.5"),
      Wrong(lambda: ops.instance_norm(ones(4, 3, 2), slope=-0.1), ValueError,
            "instance_norm: slope must be"), examples=40)
def instance_norm(d: Draw) -> Trial:
    shape = d.pick((1, 2, 3), (2, 1, 2, 2), (1, 2, 1, 4), (2, 2, 3), (1, 1, 2, 1, 2))
    eps, slope = d.pick(1e-5, 1e-2), d.pick(None, 0, 0.2, 1)
    axes = tuple(range(2, len(shape)))

    def before(x: Array) -> Array:
        centred = x - x.mean(axes, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)

    x = d.distinct(shape) * 4 + 0.1 * d.normal(shape)
    hypothesis.assume(slope in (None, 1) or (np.abs(before(x)) > 1e-3).all())
    return Trial(lambda a: ops.instance_norm(a, eps, slope), [x],
                 lambda a: np.where(before(a) > 0, 1.0, 1 if slope is None else slope) * before(a))


# ---------------------------------------------------------------------------------- losses


@case("softmax_loss",
      Wrong(lambda: ops.softmax_loss(ones(2, 3), [0]), ShapeError, "SoftmaxLoss: wants logits"),
      Wrong(lambda: ops.softmax_loss(ones(3), [0, 1, 2]), ShapeError, "SoftmaxLoss: wants logits"),
      Wrong(lambda: ops.softmax_loss(ones(0, 3), []), ShapeError, "SoftmaxLoss: nothing"),
      Wrong(lambda: ops.softmax_loss(ones(1, 3), [3]), IndexError, "SoftmaxLoss: labels must lie"),
      Wrong(lambda: ops.softmax_loss(ones(1, 3), [-1]), IndexError, "SoftmaxLoss: labels must lie"),
      Wrong(lambda: ops.softmax_loss(ones(1, 3), [0.5]), DTypeError, "SoftmaxLoss: labels must"),
      Wrong(lambda: ops.softmax_loss(ones(1, 3, dtype="int64"), [0]), DTypeError, "SoftmaxLoss"))
def softmax_loss(d: Draw) -> Trial:
    n, k = d.int(1, 4), d.int(1, 4)
    labels = d.rng.integers(0, k, n)
    given = d.pick(labels, labels.tolist(), Tensor(labels), labels.astype("float32"),
                   labels.astype("uint8"), Tensor(labels.astype("float32")))
    return Trial(lambda a: ops.softmax_loss(a, given), [3 * d.normal((n, k))],
                 lambda a: -np.mean([scipy.special.log_softmax(row)[label]
                                     for row, label in zip(a, labels, strict=True)]))


def cross_entropy(a: Array, t: Array | float) -> Array:
    log_expit = scipy.special.log_expit
    return -np.mean(t * log_expit(a) + (1 - t) * log_expit(-a))


@case("bce_with_logits",
      Wrong(lambda: ops.bce_with_logits(ones(3, 1), ones(3)), ShapeError, "BCEWithLogits: logits"),
      Wrong(lambda: ops.bce_with_logits(ones(0, 3), 1.0), ShapeError, "BCEWithLogits: nothing"),
      Wrong(lambda: ops.bce_with_logits(ones(2), np.ones(2)), TypeError, "BCEWithLogits"),
      mixed_floats("bce_with_logits", "BCEWithLogits"))
def bce_with_logits(d: Draw) -> Trial:
    shape = d.shape((0, 2), (1, 3))
    return Trial(ops.bce_with_logits, [d.normal(shape), np.asarray(d.rng.random(shape))],
                 cross_entropy)


@case("bce_with_logits")
def bce_against_number(d: Draw) -> Trial:
    shape, target = d.shape((0, 2), (1, 3)), d.pick(0, 1.0, 0.9, np.float64(0.5))
    return Trial(lambda a: ops.bce_with_logits(a, target), [d.normal(shape)],
                 lambda a: cross_entropy(a, float(target)))
