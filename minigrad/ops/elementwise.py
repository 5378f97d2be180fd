"""Elementwise operations: arithmetic with broadcasting, powers, exponentials, activations.

Where a function has a kink (relu, abs, maximum ...) its gradient is the upstream gradient times a
mask. The mask is a constant array, so ``masked`` is a linear operation and its own derivative.

Leaves out: comparisons (compare ``.cached_data`` or ``.numpy()``), in-place forms, complex numbers.
"""

from __future__ import annotations

import math
from typing import Any

from .. import kernels
from ..autograd import Tensor, TensorOp, constant, default_dtype, is_recording
from ..backend import Array, array_module, to_device
from ..errors import DTypeError, ShapeError
from .broadcast import BroadcastOp, as_scalar, broadcast_shape, match

__all__ = [
    "ELU",
    "AddScalar",
    "Clip",
    "DivScalar",
    "EWiseAbs",
    "EWiseAdd",
    "EWiseDiv",
    "EWiseMaximum",
    "EWiseMinimum",
    "EWiseMul",
    "EWisePow",
    "EWiseSqrt",
    "EWiseSub",
    "Exp",
    "LeakyReLU",
    "Log",
    "Masked",
    "MulScalar",
    "Negate",
    "PowerScalar",
    "ReLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Where",
    "abs",
    "add",
    "add_scalar",
    "clip",
    "div",
    "divide",
    "divide_scalar",
    "elu",
    "exp",
    "gelu",
    "leaky_relu",
    "log",
    "masked",
    "maximum",
    "minimum",
    "mul_scalar",
    "multiply",
    "negate",
    "power",
    "power_scalar",
    "relu",
    "sigmoid",
    "softplus",
    "sqrt",
    "sub",
    "tanh",
    "where",
]


# ------------------------------------------------------------------------- arithmetic, two operands


class EWiseAdd(BroadcastOp):
    """y = a + b."""

    reads_inputs = reads_output = False

    def compute(self, a: Array, b: Array) -> Array:
        a, b = match(self, a, b)
        return a + b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple:
        return out_grad, out_grad


class EWiseSub(BroadcastOp):
    """y = a - b."""

    reads_inputs = reads_output = False

    def compute(self, a: Array, b: Array) -> Array:
        a, b = match(self, a, b)
        return a - b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple:
        return out_grad, -out_grad


class EWiseMul(BroadcastOp):
    """y = a * b."""

    reads_output = False

    def compute(self, a: Array, b: Array) -> Array:
        a, b = match(self, a, b)
        return a * b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple:
        a, b = node.inputs
        wants_a, wants_b = node.wanted
        return out_grad * b if wants_a else None, out_grad * a if wants_b else None


class EWiseDiv(BroadcastOp):
    """y = a / b."""

    reads_output = False

    def compute(self, a: Array, b: Array) -> Array:
        a, b = match(self, a, b)
        return a / b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple:
        a, b = node.inputs
        wants_a, wants_b = node.wanted
        grad_a = out_grad / b
        return grad_a if wants_a else None, -grad_a * a / b if wants_b else None


class EWisePow(BroadcastOp):
    """y = a ** b; the gradient with respect to b needs a > 0."""

    def compute(self, a: Array, b: Array) -> Array:
        a, b = match(self, a, b)
        return a**b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple:
        # b - 1 and log(a) must not be computed in an integer type
        a, b = (x if x.dtype.kind == "f" else x.astype(node.dtype) for x in node.inputs)
        wants_a, wants_b = node.wanted
        grad_a = out_grad * b * power(a, b - 1) if wants_a else None
        grad_b = out_grad * node * log(a) if wants_b else None
        return grad_a, grad_b


class _Extremum(BroadcastOp):
    """What maximum and minimum share: the gradient goes to the operand that was taken.

    At a tie it goes to both in halves.
    """

    reads_output = False

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple:
        a, b = (x.cached_data for x in node.inputs)
        xp = array_module(a)
        tie = xp.multiply(a == b, 0.5, dtype=node.dtype)
        first = xp.add(self.takes_first(a, b), tie, dtype=node.dtype)
        second = 1 - first
        return masked(out_grad, first), masked(out_grad, second)

    def takes_first(self, a: Array, b: Array) -> Array:
        raise NotImplementedError


class EWiseMaximum(_Extremum):
    """y = max(a, b), element by element."""

    def compute(self, a: Array, b: Array) -> Array:
        a, b = match(self, a, b)
        return array_module(a).maximum(a, b)

    def takes_first(self, a: Array, b: Array) -> Array:
        return a > b


class EWiseMinimum(_Extremum):
    """y = min(a, b), element by element."""

    def compute(self, a: Array, b: Array) -> Array:
        a, b = match(self, a, b)
        return array_module(a).minimum(a, b)

    def takes_first(self, a: Array, b: Array) -> Array:
        return a < b


class Where(BroadcastOp):
    """y = a where the condition holds, else b; the condition is a constant bool array."""

    reads_inputs = reads_output = False

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def compute(self, a: Array, b: Array) -> Array:
        a, b = match(self, a, b)
        broadcast_shape("Where", self.condition.shape, a.shape, b.shape)
        return array_module(a).where(self.condition, a, b)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple:
        return masked(out_grad, self.condition), masked(out_grad, ~self.condition)


# ------------------------------------------------------------------------- arithmetic with a number


class AddScalar(TensorOp):
    """y = a + scalar."""

    reads_inputs = reads_output = False

    def __init__(self, scalar: float) -> None:
        self.scalar = as_scalar("AddScalar", scalar)

    def compute(self, a: Array) -> Array:
        return a + self.scalar

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad


class MulScalar(TensorOp):
    """y = a * scalar."""

    reads_inputs = reads_output = False

    def __init__(self, scalar: float) -> None:
        self.scalar = as_scalar("MulScalar", scalar)

    def compute(self, a: Array) -> Array:
        return a * self.scalar

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad * self.scalar


class DivScalar(TensorOp):
    """y = a / scalar."""

    reads_inputs = reads_output = False

    def __init__(self, scalar: float) -> None:
        self.scalar = as_scalar("DivScalar", scalar)

    def compute(self, a: Array) -> Array:
        return a / self.scalar

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad / self.scalar


class PowerScalar(TensorOp):
    """y = a ** scalar."""

    reads_output = False

    def __init__(self, scalar: float) -> None:
        self.scalar = as_scalar("PowerScalar", scalar)

    def compute(self, a: Array) -> Array:
        if self.scalar < 0 and a.dtype.kind != "f":
            a = a.astype(default_dtype())  # NumPy has no negative powers of integers
        return a**self.scalar

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        if self.scalar == 0:
            return out_grad * 0.0
        (a,) = node.inputs
        return out_grad * (self.scalar * power_scalar(a, self.scalar - 1))


class Negate(TensorOp):
    """y = -a."""

    reads_inputs = reads_output = False

    def compute(self, a: Array) -> Array:
        return -a

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return -out_grad


# ------------------------------------------------------------------------------ smooth functions


class Log(TensorOp):
    """y = log(a), the natural logarithm."""

    reads_output = False

    def compute(self, a: Array) -> Array:
        return array_module(a).log(a)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (a,) = node.inputs
        return out_grad / a


class Exp(TensorOp):
    """y = exp(a)."""

    reads_inputs = False

    def compute(self, a: Array) -> Array:
        return array_module(a).exp(a)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad * node


class EWiseSqrt(TensorOp):
    """y = sqrt(a); the slope at 0 is infinite."""

    reads_inputs = False

    def compute(self, a: Array) -> Array:
        return array_module(a).sqrt(a)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad / (2 * node)


class Tanh(TensorOp):
    """y = tanh(a)."""

    reads_inputs = False

    def compute(self, a: Array) -> Array:
        return array_module(a).tanh(a)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad * (1 - node * node)


class Sigmoid(TensorOp):
    """y = 1 / (1 + exp(-a)), computed as tanh(a / 2) / 2 + 1 / 2, which never overflows."""

    reads_inputs = False

    def compute(self, a: Array) -> Array:
        return 0.5 * array_module(a).tanh(0.5 * a) + 0.5

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad * (node * (1 - node))


class Softplus(TensorOp):
    """y = log(1 + exp(a)), computed as max(a, 0) + log(1 + exp(-|a|))."""

    reads_output = False

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        return xp.maximum(a, 0) + xp.log1p(xp.exp(-xp.abs(a)))

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (a,) = node.inputs
        return out_grad * sigmoid(a)


# -------------------------------------------------------------------------- functions with a kink


class Masked(TensorOp):
    """y = a * mask, where the mask is a constant array that broadcasts to a's shape."""

    reads_inputs = reads_output = False

    def __init__(self, mask: Array) -> None:
        self.mask = mask

    def compute(self, a: Array) -> Array:
        mask = self.mask
        if mask.shape != a.shape and broadcast_shape("Masked", a.shape, mask.shape) != a.shape:
            raise ShapeError(f"Masked: a mask of shape {mask.shape} does not fit {a.shape}")
        if mask.dtype is not a.dtype and mask.dtype.kind != "b" and a.dtype.kind == "f":
            mask = mask.astype(a.dtype)
        return a * mask

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return masked(out_grad, self.mask)


class ReLU(TensorOp):
    """y = max(a, 0); the slope at 0 is 0."""

    reads_inputs = False

    def compute(self, a: Array) -> Array:
        return array_module(a).maximum(a, 0)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return masked(out_grad, node.cached_data > 0)


def slopes_of(a: Array, slope: float) -> Array:
    """The derivative of a leaky ReLU at a: 1 where a > 0, else slope (a bool array for slope 0)."""
    positive = a > 0
    if slope == 0:
        return positive
    slopes = array_module(a).multiply(positive, 1 - slope, dtype=a.dtype)
    slopes += slope
    return slopes


class LeakyReLU(TensorOp):
    """y = a where a > 0, else slope * a."""

    reads_output = False

    def __init__(self, slope: float) -> None:
        self.slope = as_scalar("LeakyReLU", slope)

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        if 0 <= self.slope <= 1 and a.dtype.kind == "f":
            return kernels.active().leaky_relu(a, self.slope)
        return xp.where(a > 0, a, a * self.slope)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        if not is_recording():
            kernel = kernels.active().leaky_relu_gradient
            return constant(kernel(out_grad.cached_data, node.inputs[0].cached_data, self.slope))
        return masked(out_grad, slopes_of(node.inputs[0].cached_data, self.slope))


class ELU(TensorOp):
    """y = a where a > 0, else alpha * (exp(a) - 1) (Clevert et al. 2016)."""

    reads_output = False

    def __init__(self, alpha: float) -> None:
        self.alpha = as_scalar("ELU", alpha)

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        return xp.where(a > 0, a, self.alpha * xp.expm1(xp.minimum(a, 0)))

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (a,) = node.inputs
        positive = a.cached_data > 0
        slope_below = exp(minimum(a, 0.0)) * self.alpha
        return masked(out_grad, positive) + masked(out_grad * slope_below, ~positive)


class EWiseAbs(TensorOp):
    """y = |a|; the slope at 0 is 0."""

    reads_output = False

    def compute(self, a: Array) -> Array:
        return array_module(a).abs(a)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0].cached_data
        return masked(out_grad, array_module(a).sign(a))


class Clip(TensorOp):
    """y = a limited to [low, high]; the slope is 1 from low to high inclusive, else 0."""

    reads_output = False

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = as_scalar("Clip", low), as_scalar("Clip", high)

    def compute(self, a: Array) -> Array:
        return array_module(a).clip(a, self.low, self.high)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0].cached_data
        return masked(out_grad, (a >= self.low) & (a <= self.high))


# ------------------------------------------------------------------------------------ functions

_ADD, _SUB, _MUL, _DIV, _POW = EWiseAdd(), EWiseSub(), EWiseMul(), EWiseDiv(), EWisePow()
_MAXIMUM, _MINIMUM = EWiseMaximum(), EWiseMinimum()
_NEGATE, _LOG, _EXP, _SQRT, _TANH = Negate(), Log(), Exp(), EWiseSqrt(), Tanh()
_SIGMOID, _SOFTPLUS, _RELU, _ABS = Sigmoid(), Softplus(), ReLU(), EWiseAbs()


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b, broadcast."""
    return _ADD(a, b)


def add_scalar(a: Tensor, scalar: float) -> Tensor:
    """a + scalar."""
    return AddScalar(scalar)(a)


def sub(a: Tensor, b: Tensor) -> Tensor:
    """a - b, broadcast."""
    return _SUB(a, b)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a * b, broadcast."""
    return _MUL(a, b)


def mul_scalar(a: Tensor, scalar: float) -> Tensor:
    """a * scalar."""
    return MulScalar(scalar)(a)


def divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b, broadcast."""
    return _DIV(a, b)


def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b, broadcast: a shorter name of ``divide``."""
    return _DIV(a, b)


def divide_scalar(a: Tensor, scalar: float) -> Tensor:
    """a / scalar."""
    return DivScalar(scalar)(a)


def power(a: Tensor, b: Tensor) -> Tensor:
    """a ** b, broadcast; give a number as exponent to ``power_scalar``."""
    return _POW(a, b)


def power_scalar(a: Tensor, scalar: float) -> Tensor:
    """a ** scalar."""
    return PowerScalar(scalar)(a)


def negate(a: Tensor) -> Tensor:
    """-a."""
    return _NEGATE(a)


def log(a: Tensor) -> Tensor:
    """The natural logarithm of a."""
    return _LOG(a)


def exp(a: Tensor) -> Tensor:
    """e to the power of a."""
    return _EXP(a)


def sqrt(a: Tensor) -> Tensor:
    """The square root of a."""
    return _SQRT(a)


def abs(a: Tensor) -> Tensor:
    """The absolute value of a."""
    return _ABS(a)


def maximum(a: Tensor, b: Tensor | float) -> Tensor:
    """The larger of a and b, element by element; b may be a number."""
    return _MAXIMUM(a, _operand(a, b))


def minimum(a: Tensor, b: Tensor | float) -> Tensor:
    """The smaller of a and b, element by element; b may be a number."""
    return _MINIMUM(a, _operand(a, b))


def clip(a: Tensor, low: float, high: float) -> Tensor:
    """a limited to [low, high]; infinite limits are allowed.

    Raises
    ------
    ValueError
        If ``low > high`` or one of them is NaN.
    """
    if not low <= high:
        raise ValueError(f"clip: wants low <= high, got low={low} and high={high}")
    return Clip(low, high)(a)


def where(condition: Any, a: Tensor, b: Tensor | float) -> Tensor:
    """a where ``condition`` (a bool Tensor or array) holds, else b; all three broadcast.

    Raises
    ------
    DTypeError
        If the condition is not bool.
    """
    condition = condition.cached_data if isinstance(condition, Tensor) else condition
    dtype = getattr(condition, "dtype", type(condition).__name__)
    if dtype != "bool":
        raise DTypeError(f"where: the condition must be a bool tensor or array, got {dtype}")
    a, b = _operand(b, a), _operand(a, b)
    return Where(to_device(condition.copy(), a.device))(a, b)  # the caller may write to theirs


def masked(a: Tensor, mask: Array) -> Tensor:
    """a times a constant array that broadcasts to a's shape: the derivative of every kink.

    The array is bool or of a's dtype. While nothing is recorded no op object is made.
    """
    if is_recording() or not a.shape:  # (NumPy would make a scalar of a 0-d product)
        return Masked(mask)(a)
    return constant(a.cached_data * mask)


def relu(a: Tensor) -> Tensor:
    """max(a, 0)."""
    return _RELU(a)


def leaky_relu(a: Tensor, negative_slope: float = 0.01) -> Tensor:
    """a where positive, else ``negative_slope`` * a."""
    return LeakyReLU(negative_slope)(a)


def elu(a: Tensor, alpha: float = 1.0) -> Tensor:
    """a where positive, else alpha * (exp(a) - 1)."""
    return ELU(alpha)(a)


def gelu(a: Tensor) -> Tensor:
    """a times the normal distribution function of a, in the tanh form of Hendrycks and Gimpel."""
    inner = math.sqrt(2 / math.pi) * (a + 0.044715 * (a * a * a))
    return 0.5 * a * (1 + tanh(inner))


def tanh(a: Tensor) -> Tensor:
    """The hyperbolic tangent of a."""
    return _TANH(a)


def sigmoid(a: Tensor) -> Tensor:
    """1 / (1 + exp(-a))."""
    return _SIGMOID(a)


def softplus(a: Tensor) -> Tensor:
    """log(1 + exp(a)), without overflow."""
    return _SOFTPLUS(a)


def _operand(like: Any, value: Any) -> Tensor:
    """``value`` as a Tensor: a number becomes a constant of ``like``'s dtype and device.

    Beside integers a float takes the default dtype: it is not cut to an integer.
    """
    if isinstance(value, Tensor):
        return value
    value = as_scalar("operand", value)
    if not isinstance(like, Tensor):
        raise TypeError("where: one of the two branches must be a Tensor")
    xp = array_module(like.cached_data)
    cut = isinstance(value, float) and like.dtype.kind != "f"
    return constant(xp.full((), value, dtype=default_dtype() if cut else like.dtype))
