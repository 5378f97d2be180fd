"""Differentiable operations, one file per family.

Importing this package also cuts the knot between Tensor and the ops: Tensor's operators are filled
in here, each from the function of the same meaning.

Leaves out: sparse, complex and integer arithmetic of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import Tensor, TensorTuple, in_course_mode
from . import elementwise
from .broadcast import as_scalar
from .conv import (
    Conv,
    Conv2d,
    Conv2dWeightGradient,
    ConvTranspose2d,
    Recomputed,
    conv,
    conv2d,
    conv_transpose2d,
)
from .elementwise import (
    ELU,
    AddScalar,
    Clip,
    DivScalar,
    EWiseAbs,
    EWiseAdd,
    EWiseDiv,
    EWiseMaximum,
    EWiseMinimum,
    EWiseMul,
    EWisePow,
    EWiseSqrt,
    EWiseSub,
    Exp,
    LeakyReLU,
    Log,
    Masked,
    MulScalar,
    Negate,
    PowerScalar,
    ReLU,
    Sigmoid,
    Softplus,
    Tanh,
    Where,
    abs,
    add,
    add_scalar,
    clip,
    div,
    divide,
    divide_scalar,
    elu,
    exp,
    gelu,
    leaky_relu,
    log,
    masked,
    maximum,
    minimum,
    mul_scalar,
    multiply,
    negate,
    power,
    power_scalar,
    relu,
    sigmoid,
    softplus,
    sqrt,
    sub,
    tanh,
    where,
)
from .index import (
    GetItem,
    Put,
    embedding,
    getitem,
)
from .loss import (
    BCEWithLogits,
    SoftmaxLoss,
    bce_with_logits,
    softmax_loss,
)
from .matmul import (
    Linear,
    MatMul,
    linear,
    matmul,
)
from .norm import (
    BatchNorm,
    InstanceNorm,
    batch_norm,
    instance_norm,
)
from .reduce import (
    LogSoftmax,
    LogSumExp,
    Max,
    Summation,
    logsoftmax,
    logsumexp,
    max,
    mean,
    summation,
    var,
)
from .shape import (
    BroadcastTo,
    Concat,
    Dilate,
    Flip,
    MakeTensorTuple,
    Pad,
    Permute,
    ReflectionFold,
    ReflectionPad,
    Reshape,
    Split,
    Stack,
    Transpose,
    TupleGetItem,
    UnDilate,
    add_tuples,
    broadcast_to,
    concat,
    dilate,
    flip,
    make_tuple,
    pad,
    permute,
    pixel_shuffle,
    reflection_pad,
    reshape,
    split,
    stack,
    transpose,
    tuple_get_item,
    undilate,
)
from .window import (
    Fold,
    MaxBlocks,
    SpreadWindows,
    SumWindows,
    Windows,
    avg_pool,
    fold,
    max_pool,
    upsample,
    upsample_bilinear,
    windows,
)

__all__ = [
    "ELU",
    "AddScalar",
    "BCEWithLogits",
    "BatchNorm",
    "BroadcastTo",
    "Clip",
    "Concat",
    "Conv",
    "Conv2d",
    "Conv2dWeightGradient",
    "ConvTranspose2d",
    "Dilate",
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
    "Flip",
    "Fold",
    "GetItem",
    "InstanceNorm",
    "LeakyReLU",
    "Linear",
    "Log",
    "LogSoftmax",
    "LogSumExp",
    "MakeTensorTuple",
    "Masked",
    "MatMul",
    "Max",
    "MaxBlocks",
    "MulScalar",
    "Negate",
    "Pad",
    "Permute",
    "PowerScalar",
    "Put",
    "ReLU",
    "Recomputed",
    "ReflectionFold",
    "ReflectionPad",
    "Reshape",
    "Sigmoid",
    "SoftmaxLoss",
    "Softplus",
    "Split",
    "SpreadWindows",
    "Stack",
    "SumWindows",
    "Summation",
    "Tanh",
    "Transpose",
    "TupleGetItem",
    "UnDilate",
    "Where",
    "Windows",
    "abs",
    "add",
    "add_scalar",
    "avg_pool",
    "batch_norm",
    "bce_with_logits",
    "broadcast_to",
    "clip",
    "concat",
    "conv",
    "conv2d",
    "conv_transpose2d",
    "dilate",
    "div",
    "divide",
    "divide_scalar",
    "elu",
    "embedding",
    "exp",
    "flip",
    "fold",
    "gelu",
    "getitem",
    "instance_norm",
    "leaky_relu",
    "linear",
    "log",
    "logsoftmax",
    "logsumexp",
    "make_tuple",
    "masked",
    "matmul",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "minimum",
    "mul_scalar",
    "multiply",
    "negate",
    "pad",
    "permute",
    "pixel_shuffle",
    "power",
    "power_scalar",
    "reflection_pad",
    "relu",
    "reshape",
    "sigmoid",
    "softmax_loss",
    "softplus",
    "split",
    "sqrt",
    "stack",
    "sub",
    "summation",
    "tanh",
    "transpose",
    "tuple_get_item",
    "undilate",
    "upsample",
    "upsample_bilinear",
    "var",
    "where",
    "windows",
]


def _either(with_tensor: Callable, with_scalar: Callable) -> Callable:
    """An operator that takes a Tensor or a number on its right."""

    def operator(self: Tensor, other: Any) -> Tensor:
        return with_tensor(self, other) if isinstance(other, Tensor) else with_scalar(self, other)

    return operator


def _subtract(a: Tensor, b: Tensor) -> Tensor:
    """a - b; the course makes two nodes of it, which its tests of the sorted graph count."""
    return add(a, negate(b)) if in_course_mode() else sub(a, b)


def _install_operators() -> None:
    """Give Tensor its operators and methods, TensorTuple its members.

    The two busiest operators hold the op itself, which saves a call on each use.
    """
    Tensor.__add__ = Tensor.__radd__ = _either(elementwise._ADD, add_scalar)
    Tensor.__mul__ = Tensor.__rmul__ = _either(elementwise._MUL, mul_scalar)
    Tensor.__sub__ = _either(_subtract, lambda a, number: add_scalar(a, -as_scalar("sub", number)))
    Tensor.__rsub__ = lambda a, number: add_scalar(negate(a), number)
    Tensor.__truediv__ = _either(divide, divide_scalar)
    Tensor.__rtruediv__ = lambda a, number: mul_scalar(power_scalar(a, -1), number)
    Tensor.__pow__ = _either(power, power_scalar)
    Tensor.__rpow__ = lambda a, number: power(elementwise._operand(a, number), a)
    Tensor.__neg__ = negate
    Tensor.__matmul__ = Tensor.matmul = matmul
    Tensor.__rmatmul__ = lambda a, other: matmul(other, a)  # no Tensor: refused by name
    Tensor.__getitem__ = getitem
    Tensor.sum = summation
    Tensor.mean = mean
    Tensor.max = max
    Tensor.reshape = reshape
    Tensor.broadcast_to = broadcast_to
    Tensor.transpose = transpose
    Tensor.permute = permute
    Tensor.T = property(transpose)
    TensorTuple.__getitem__ = tuple_get_item
    TensorTuple.__add__ = add_tuples


_install_operators()
