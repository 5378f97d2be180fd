"""``python -m minigrad selfcheck``: is everything right on this machine, and on its GPU?

Every kernel and every operation runs on the chosen device in float32, forward and backward, and is
compared with NumPy in float64; a small DCGAN is trained on the device and on the CPU, and the two
loss curves are compared. The report is a table, and with ``--out`` a JSON file that says what it
was measured on: ``real_gpu`` is true for a card, false for the CPU and for the stand-in cupusim.

Exit codes: 0 all right, 1 something differs, 2 the device cannot be used.

Leaves out: speed comparisons (``tests/benchmarks``).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from . import __version__, autograd, data, init, kernels, nn, ops, optim, random
from .autograd import Tensor, grad, no_grad
from .backend import Array, Device, cpu, cuda, default_device, device_of, to_device, to_numpy
from .errors import DeviceError
from .serialize import CheckpointError, write_atomically

__all__ = ["KERNELS", "OPS", "SCHEMA", "Row", "main"]

SCHEMA = 1  # of the JSON file; raised when a key changes its meaning
TOLERANCE = 2e-5  # of |got - want| / (1 + |want|), float32 against float64
F43_TOLERANCE = 1e-4  # the same where Winograd's F(4,3) may run, which costs a digit
CURVE_TOLERANCE = 3e-2  # of a loss, device against CPU, both float32: rounding grows in training
REPEATS = 3


@dataclass
class Row:
    """One line of the report: what was compared, by how much it differs, and what it took."""

    group: str
    name: str
    passed: bool
    error: float | None = None
    tolerance: float | None = None
    milliseconds: float | None = None
    note: str = ""


# ---------------------------------------------------------------------------------------- kernels


def _numbers(seed: int, *shapes: tuple[int, ...]) -> list[numpy.ndarray]:
    g = numpy.random.default_rng(seed)
    return [g.standard_normal(shape) for shape in shapes]


def _labels(n: int, k: int) -> numpy.ndarray:
    return numpy.random.default_rng(1).integers(k, size=n)


def _softmax_arguments() -> list[Any]:
    (logits,) = _numbers(2, (64, 10))
    softmax = numpy.exp(logits) / numpy.exp(logits).sum(axis=1, keepdims=True)
    return [softmax, _labels(64, 10), numpy.asarray(0.7)]


def _normalised_arguments() -> list[Any]:
    x, gamma, beta, out_grad = _numbers(6, (8, 6, 5, 4), (6,), (6,), (8, 6, 5, 4))
    found = kernels.reference.batch_norm(x, gamma, beta, 1e-5, 0.2)
    return [x, found[0], gamma, *found[1:], out_grad, 1e-5, 0.2]


def _instance_normalised_arguments() -> list[Any]:
    x, out_grad = _numbers(6, (3, 6, 5, 4), (3, 6, 5, 4))
    return [x, *kernels.reference.instance_norm(x, 1e-5, 0.2), out_grad, 1e-5, 0.2]


# images, channels, outputs; size of the images, kernel, stride, padding
_ANY = (3, 6, 5, (7, 6), (3, 2), (2, 1), (1, 0))
_SHAPES = {  # where other ways of convolution may be faster
    "k4 s2": (16, 64, 64, (10, 12), (4, 4), (2, 2), (1, 1)),
    "k3 s1": (6, 32, 64, (9, 8), (3, 3), (1, 1), (1, 1)),
    "pictures": (3, 3, 16, (8, 9), (4, 4), (2, 2), (1, 1)),
    "gaps": (2, 3, 5, (9, 12), (2, 3), (3, 4), (0, 1)),
    "whole images": (4, 6, 5, (4, 3), (4, 3), (1, 1), (0, 0)),
}


def _convolution(kernel_name: str, shapes: tuple) -> tuple[Callable[[], list[Any]], tuple]:
    """A case of one kernel of convolution; nothing in it or in its results is large."""
    n, c, o, size, kernel, stride, padding = shapes
    out = [(a + 2 * p - k) // s + 1 for a, k, s, p in zip(size, kernel, stride, padding,
                                                          strict=True)]

    def make() -> list[Any]:
        x, w, g = _numbers(0, (n, c, *size), (o, c, *kernel), (n, o, *out))
        w /= math.sqrt(c * math.prod(kernel))
        g /= math.sqrt(n * math.prod(out))
        return {
            "conv2d": [x, w, stride, padding],
            "conv2d_input_gradient": [g, w, stride, padding, size],
            "conv2d_weight_gradient": [x, g, stride, padding, kernel],
            "conv2d_gradient": [x, w, g, stride, padding, (True, True)],
            "conv_transpose2d_gradient": [g, w, x, stride, padding, (True, True)],
            "conv2d_transform": [w, o, kernel, stride, padding],
        }[kernel_name]

    return make, ()


_CONVOLUTIONS = ("conv2d", "conv2d_input_gradient", "conv2d_weight_gradient", "conv2d_gradient",
                 "conv_transpose2d_gradient", "conv2d_transform")
_SIDES = ((0, 0), (0, 0), (1, 2), (3, 0))
FLAT = (100_003,)  # parameters of an optimizer: several blocks and an odd rest

# name: its arguments (floats become float32 on the device), and which of them it writes to
KERNELS: dict[str, tuple[Callable[[], list[Any]], tuple[int, ...]]] = {
    "linear_gradient": (
        lambda: [*_numbers(0, (64, 100), (100, 80), (64, 80)), (True, True, True)], ()),
    "softmax_loss": (lambda: [*_numbers(0, (64, 10)), _labels(64, 10)], ()),
    "softmax_loss_gradient": (_softmax_arguments, ()),
    "bce_with_logits": (lambda: [a * 10 for a in _numbers(0, (128, 1))] + [
        numpy.ones((128, 1))], ()),
    "bce_with_logits_gradient": (lambda: [a * 10 for a in _numbers(0, (128, 1))] + [
        numpy.ones((128, 1)), numpy.asarray(0.7)], ()),
    "ema": (lambda: [*_numbers(0, FLAT, FLAT), 0.9], (0,)),
    "sgd": (lambda: [*_numbers(0, FLAT, FLAT, FLAT), 0.1, 0.9, 0.01], (0, 2)),
    "adam": (lambda: [*_numbers(0, FLAT, FLAT, FLAT), *map(abs, _numbers(1, FLAT)), 7, 2e-4, 0.5,
                      0.999, 1e-8, 0.01], (0, 2, 3)),
    "rmsprop": (lambda: [*_numbers(0, FLAT, FLAT), *map(abs, _numbers(1, FLAT)), 0.01, 0.99, 1e-8,
                         0.01], (0, 2)),
    "leaky_relu": (lambda: [*_numbers(0, (7, 300, 90)), 0.2], ()),
    "leaky_relu_gradient": (lambda: [*_numbers(0, (7, 300, 90), (7, 300, 90)), 0.2], ()),
    "batch_norm": (lambda: [*_numbers(6, (8, 6, 5, 4), (6,), (6,)), 1e-5, 0.2], ()),
    "batch_norm_gradient": (_normalised_arguments, ()),
    "reflection_pad": (lambda: [*_numbers(0, (2, 3, 6, 7)), _SIDES], ()),
    "reflection_fold": (lambda: [*_numbers(0, (2, 3, 9, 10)), _SIDES], ()),
    "instance_norm": (lambda: [*_numbers(6, (3, 6, 5, 4)), 1e-5, 0.2], ()),
    "instance_norm_gradient": (_instance_normalised_arguments, ()),
    **{name: _convolution(name, _ANY) for name in _CONVOLUTIONS},
}
# further cases: the kernel's name, a space, and what is special
_MORE = {f"{name} {shape}": _convolution(name, shapes)
         for name in _CONVOLUTIONS for shape, shapes in _SHAPES.items()}
# What a kernel returns may be known to its module only; then it is judged by its use. The images
# here are the weight itself.
_BY_USE: dict[str, Callable] = {
    "conv2d_transform": lambda module, w, n, size, *geometry: module.conv2d(
        w, w, *geometry, module.conv2d_transform(w, n, size, *geometry)),
}


def _on(device: Device, arguments: list[Any], dtype: str) -> list[Any]:
    """Arguments with their float arrays as ``dtype`` on ``device``; index arrays keep theirs."""
    return [
        to_device(a.astype(dtype) if a.dtype.kind == "f" else a.copy(), device)
        if isinstance(a, numpy.ndarray) else a for a in arguments]


def _outputs(result: Any, arguments: list[Any], written: tuple[int, ...]) -> list[Array]:
    returned = result if isinstance(result, tuple) else (result,)
    return [r for r in returned if r is not None] + [arguments[i] for i in written]


def _call(module: Any, name: str, arguments: list[Any]) -> Any:
    if name in _BY_USE:
        return _BY_USE[name](module, *arguments)
    return getattr(module, name)(*arguments)


def check_kernels(device: Device) -> list[Row]:
    """Both kernel modules on the device against the reference kernels in float64."""
    rows = []
    for module in (kernels.fast, kernels.reference):
        group = "kernel " + module.__name__.rpartition(".")[2]
        for name in module.__all__:
            if name not in KERNELS:
                rows.append(Row(group, name, False, note="there is no case for this kernel"))
                continue
            cases = {name: KERNELS[name]} | {
                key: more for key, more in _MORE.items() if key.partition(" ")[0] == name}
            for key, (make, written) in cases.items():

                def measure(module=module, name=name, make=make, written=written):
                    exact = _on(cpu(), make(), "float64")
                    want = _outputs(_call(kernels.reference, name, exact), exact, written)
                    here = _on(device, make(), "float32")
                    got = _outputs(_call(module, name, here), here, written)
                    again = _on(device, make(), "float32")  # timed on arrays of its own
                    return got, want, lambda: _call(module, name, again)

                tolerance = F43_TOLERANCE if key.endswith("k3 s1") else TOLERANCE
                rows.append(_compared(group, key, device, measure, tolerance))
    return rows


# -------------------------------------------------------------------------------------------- ops

_X, _Y = (4, 6), (4, 6)
_IMAGE = (2, 4, 4, 6)
_PLACES = numpy.array([[2, 0], [2, 3]])


def _windows(a: numpy.ndarray, k: int) -> numpy.ndarray:
    n, c, h, w = a.shape
    return a.reshape(n, c, h // k, k, w // k, k).swapaxes(3, 4)


def _correlated(a: numpy.ndarray, w: numpy.ndarray, stride: int, padding: int) -> numpy.ndarray:
    """Images with a weight, at every ``stride``-th place."""
    a = numpy.pad(a, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    kh, kw = w.shape[2:]
    rows, columns = (range(0, size - k + 1, stride) for size, k in zip(a.shape[2:], w.shape[2:],
                                                                       strict=True))
    return numpy.stack([numpy.stack([numpy.tensordot(
        a[:, :, i:i + kh, j:j + kw], w, ([1, 2, 3], [1, 2, 3])) for j in columns], -1)
        for i in rows], -2)


def _stamped(a: numpy.ndarray, w: numpy.ndarray, stride: int) -> numpy.ndarray:
    """Every pixel's multiple of the weight, added up: the transposed convolution, not padded."""
    n, _, h, width = a.shape
    out = numpy.zeros((n, w.shape[1], (h - 1) * stride + w.shape[2],
                       (width - 1) * stride + w.shape[3]))
    for i, j in numpy.ndindex(h, width):
        top, left = i * stride, j * stride
        out[:, :, top:top + w.shape[2], left:left + w.shape[3]] += numpy.tensordot(
            a[:, :, i, j], w, 1)
    return out


def _normal(x: numpy.ndarray, axes: tuple[int, ...]) -> numpy.ndarray:
    mean, var = (f(x, axis=axes, keepdims=True) for f in (numpy.mean, numpy.var))
    return (x - mean) / numpy.sqrt(var + 1e-5)


def _normalised(x: numpy.ndarray, gamma: numpy.ndarray, beta: numpy.ndarray) -> numpy.ndarray:
    y = _normal(x, (0, 2, 3)) * gamma[:, None, None] + beta[:, None, None]
    return numpy.where(y > 0, y, 0.2 * y)


def _instance_normalised(x: numpy.ndarray) -> numpy.ndarray:
    y = _normal(x, (2, 3))
    return numpy.where(y > 0, y, 0.2 * y)


def _interpolated(a: numpy.ndarray, scale: int) -> numpy.ndarray:
    for axis in (2, 3):
        size = a.shape[axis]
        at = (numpy.arange(size * scale) + 0.5) / scale - 0.5
        a = numpy.apply_along_axis(
            lambda line, at=at, size=size: numpy.interp(at, numpy.arange(size), line), axis, a)
    return a


def _log_sum_exp(a: numpy.ndarray, axis: int | None = None) -> numpy.ndarray:
    return numpy.log(numpy.exp(a).sum(axis=axis, keepdims=axis is not None))


# name: (with the engine, with NumPy, shapes, whether operands must be positive)
OPS: dict[str, tuple[Callable, Callable, list[tuple[int, ...]], bool]] = {
    "add": (ops.add, lambda a, b: a + b, [_X, (6,)], False),
    "sub": (ops.sub, lambda a, b: a - b, [_X, (4, 1)], False),
    "multiply": (ops.multiply, lambda a, b: a * b, [_X, (1, 6)], False),
    "divide": (ops.divide, lambda a, b: a / b, [_X, _Y], True),
    "div": (ops.div, lambda a, b: a / b, [_X, (6,)], True),
    "power": (ops.power, lambda a, b: a**b, [_X, _Y], True),
    "maximum": (ops.maximum, numpy.maximum, [_X, _Y], False),
    "minimum": (ops.minimum, numpy.minimum, [_X, _Y], False),
    "where": (lambda a, b: ops.where(to_device(_MASK, a.device), a, b),
              lambda a, b: numpy.where(_MASK, a, b), [_X, _Y], False),
    "add_scalar": (lambda a: ops.add_scalar(a, 1.5), lambda a: a + 1.5, [_X], False),
    "mul_scalar": (lambda a: ops.mul_scalar(a, -1.5), lambda a: a * -1.5, [_X], False),
    "divide_scalar": (lambda a: ops.divide_scalar(a, 3), lambda a: a / 3, [_X], False),
    "power_scalar": (lambda a: ops.power_scalar(a, -1.5), lambda a: a**-1.5, [_X], True),
    "negate": (ops.negate, numpy.negative, [_X], False),
    "log": (ops.log, numpy.log, [_X], True),
    "exp": (ops.exp, numpy.exp, [_X], False),
    "sqrt": (ops.sqrt, numpy.sqrt, [_X], True),
    "tanh": (ops.tanh, numpy.tanh, [_X], False),
    "sigmoid": (ops.sigmoid, lambda a: 1 / (1 + numpy.exp(-a)), [_X], False),
    "softplus": (ops.softplus, lambda a: numpy.logaddexp(0, a), [_X], False),
    "relu": (ops.relu, lambda a: numpy.maximum(a, 0), [_X], False),
    "leaky_relu": (lambda a: ops.leaky_relu(a, 0.2), lambda a: numpy.where(a > 0, a, 0.2 * a),
                   [_X], False),
    "elu": (ops.elu, lambda a: numpy.where(a > 0, a, numpy.expm1(a)), [_X], False),
    "gelu": (ops.gelu, lambda a: 0.5 * a * (1 + numpy.tanh(math.sqrt(2 / math.pi) * (
        a + 0.044715 * a**3))), [_X], False),
    "abs": (ops.abs, numpy.abs, [_X], False),
    "clip": (lambda a: ops.clip(a, -0.5, 0.8), lambda a: numpy.clip(a, -0.5, 0.8), [_X], False),
    "masked": (lambda a: ops.masked(a, to_device(_MASK, a.device)), lambda a: a * _MASK, [_X],
               False),
    "summation": (lambda a: ops.summation(a, 1), lambda a: a.sum(1), [_X], False),
    "mean": (lambda a: ops.mean(a, (0, 1)), numpy.mean, [_X], False),
    "var": (lambda a: ops.var(a, 0), lambda a: a.var(0), [_X], False),
    "max": (lambda a: ops.max(a, 1), lambda a: a.max(1), [_X], False),
    "logsumexp": (lambda a: ops.logsumexp(a, 1, True), lambda a: _log_sum_exp(a, 1), [_X], False),
    "logsoftmax": (ops.logsoftmax, lambda a: a - _log_sum_exp(a, 1), [_X], False),
    "matmul": (ops.matmul, numpy.matmul, [(3, 4, 6), (6, 5)], False),
    "linear": (ops.linear, lambda x, w, b: x @ w + b, [(8, 6), (6, 5), (1, 5)], False),
    "transpose": (lambda a: ops.transpose(a, (0, 2)), lambda a: a.swapaxes(0, 2), [_IMAGE], False),
    "permute": (lambda a: ops.permute(a, (2, 0, 3, 1)), lambda a: a.transpose(2, 0, 3, 1),
                [_IMAGE], False),
    "reshape": (lambda a: ops.reshape(a, (8, -1)), lambda a: a.reshape(8, -1), [_IMAGE], False),
    "broadcast_to": (lambda a: ops.broadcast_to(a, (3, 4, 6)),
                     lambda a: numpy.broadcast_to(a, (3, 4, 6)), [(4, 1)], False),
    "flip": (lambda a: ops.flip(a, (0,)), lambda a: a[::-1], [_X], False),
    "pad": (lambda a: ops.pad(a, ((1, 0), (0, 2))),
            lambda a: numpy.pad(a, ((1, 0), (0, 2))), [_X], False),
    "reflection_pad": (lambda a: ops.reflection_pad(a, ((1, 2), (3, 0))),
                       lambda a: numpy.pad(a, ((1, 2), (3, 0)), "reflect"), [_X], False),
    "dilate": (lambda a: ops.dilate(a, (1,), 1),
               lambda a: numpy.stack([a, 0 * a], 2).reshape(4, 12), [_X], False),
    "undilate": (lambda a: ops.undilate(a, (1,), 1), lambda a: a[:, ::2], [_X], False),
    "stack": (lambda a, b: ops.stack([a, b], 1), lambda a, b: numpy.stack([a, b], 1), [_X, _Y],
              False),
    "concat": (lambda a, b: ops.concat([a, b], 1), lambda a, b: numpy.concatenate([a, b], 1),
               [_X, (4, 2)], False),
    "split": (lambda a: ops.split(a, 0)[2] * ops.split(a, 0)[1], lambda a: a[2] * a[1], [_X],
              False),
    "make_tuple": (lambda a, b: (ops.make_tuple(a, b) + ops.make_tuple(b, b))[0],
                   lambda a, b: a + b, [_X, _Y], False),
    "tuple_get_item": (lambda a: ops.tuple_get_item(ops.split(a, 1), -1), lambda a: a[:, -1],
                       [_X], False),
    "getitem": (lambda a: a[:, 4:0:-2], lambda a: a[:, 4:0:-2], [_X], False),
    "getitem by an array": (lambda a: a[_PLACES], lambda a: a[_PLACES], [_X], False),
    "embedding": (lambda w: ops.embedding(_PLACES, w), lambda w: w[_PLACES], [_X], False),
    "windows": (lambda a: ops.windows(a, 2, 2), lambda a: _windows(a, 2), [_IMAGE], False),
    "fold": (lambda a: ops.fold(a, (4, 6), 2), lambda a: a.swapaxes(3, 4).reshape(_IMAGE),
             [(2, 4, 2, 3, 2, 2)], False),
    "avg_pool": (lambda a: ops.avg_pool(a, 2), lambda a: _windows(a, 2).mean((4, 5)), [_IMAGE],
                 False),
    "max_pool": (lambda a: ops.max_pool(a, 2), lambda a: _windows(a, 2).max((4, 5)), [_IMAGE],
                 False),
    "upsample": (lambda a: ops.upsample(a, 2), lambda a: a.repeat(2, 2).repeat(2, 3), [_IMAGE],
                 False),
    "upsample_bilinear": (lambda a: ops.upsample_bilinear(a, 2), lambda a: _interpolated(a, 2),
                          [_IMAGE], False),
    "pixel_shuffle": (
        lambda a: ops.pixel_shuffle(a, 2),
        lambda a: a.reshape(2, 1, 2, 2, 4, 6).transpose(0, 1, 4, 2, 5, 3).reshape(2, 1, 8, 12),
        [_IMAGE], False),
    "conv2d": (lambda x, w: ops.conv2d(x, w, 2, 1), lambda x, w: _correlated(x, w, 2, 1),
               [(2, 3, 4, 5), (2, 3, 3, 2)], False),
    "conv_transpose2d": (lambda x, w: ops.conv_transpose2d(x, w, 2, 1),
                         lambda x, w: _stamped(x, w, 2)[:, :, 1:-1, 1:-1],
                         [(2, 3, 4, 5), (3, 2, 3, 2)], False),
    "conv": (lambda x, w: ops.conv(x, w, 1, 1),
             lambda x, w: _correlated(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), 1, 1)
             .transpose(0, 2, 3, 1), [(2, 4, 5, 3), (3, 3, 3, 1)], False),
    "batch_norm": (lambda *a: ops.batch_norm(*a, slope=0.2), _normalised, [_IMAGE, (4,), (4,)],
                   False),
    "instance_norm": (lambda a: ops.instance_norm(a, slope=0.2), _instance_normalised, [_IMAGE],
                      False),
    "softmax_loss": (lambda a: ops.softmax_loss(a, [5, 0, 3, 3]),
                     lambda a: numpy.mean(_log_sum_exp(a, 1)[:, 0] - a[range(4), [5, 0, 3, 3]]),
                     [_X], False),
    "bce_with_logits": (lambda a: ops.bce_with_logits(a, 0.9),
                        lambda a: numpy.mean(numpy.logaddexp(0, a) - 0.9 * a), [_X], False),
}
_MASK = numpy.random.default_rng(3).random(_X) < 0.5


def _operands(name: str) -> list[numpy.ndarray]:
    _, _, shapes, positive = OPS[name]
    arrays = _numbers(5, *shapes)
    return [numpy.abs(a) + 0.5 for a in arrays] if positive else arrays


@dataclass
class _Derivatives:
    """An output, its gradients, a number made of these, and the gradients of that number."""

    value: Array
    first: list[Array]
    number: float
    second: list[Array]


def _derivatives(
    name: str, device: Device, dtype: str, arrays: list[numpy.ndarray], read: bool = True
) -> _Derivatives:
    inputs = [Tensor(a, device=device, dtype=dtype) for a in arrays]
    y = OPS[name][0](*inputs)
    first = grad(y, inputs, _cotangent(y, 7), create_graph=True)
    total = None
    for g in first:
        part = (g * _cotangent(g, 8) * g).sum()
        total = part if total is None else total + part
    second: list[Tensor | None] = [None] * len(inputs)
    if total.requires_grad:
        second = grad(total, inputs)
    return _Derivatives(
        y.cached_data, [g.cached_data for g in first], total.item() if read else math.nan,
        [init.zeros_like(x).cached_data if g is None else g.cached_data
         for g, x in zip(second, inputs, strict=True)])


def _cotangent(like: Tensor, seed: int) -> Tensor:
    (values,) = _numbers(seed, like.shape)
    return Tensor(values, device=like.device, dtype=like.dtype, requires_grad=False)


def _slope(
    function: Callable, arrays: list[numpy.ndarray], directions: list[numpy.ndarray]
) -> float:
    """The slope of a function of arrays along a direction, by a central difference in float64."""
    h = 1e-5
    high, low = (
        function([a + s * h * d for a, d in zip(arrays, directions, strict=True)])
        for s in (1, -1))
    return float(high - low) / (2 * h)


def _dot(gradients: list[Array], directions: list[numpy.ndarray]) -> numpy.ndarray:
    pairs = zip(gradients, directions, strict=True)
    return numpy.asarray(sum(float(numpy.sum(to_numpy(g).astype("float64") * d))
                             for g, d in pairs), dtype="float32")


def check_ops(device: Device) -> list[Row]:
    """Every operation against NumPy in float64.

    The output and the slope along a direction are compared with the NumPy form, the slope of the
    gradients with a difference of gradients, and all derivatives with those on the CPU in float64.
    """
    rows = []
    for name in OPS:

        def measure(name=name):
            arrays, numpy_form = _operands(name), OPS[name][1]
            directions = _numbers(9, *[a.shape for a in arrays])
            (c,) = _numbers(7, numpy.shape(numpy_form(*arrays)))
            with kernels.reference_kernels():
                exact = _derivatives(name, cpu(), "float64", arrays)
                curvature = _slope(lambda moved: _derivatives(name, cpu(), "float64", moved).number,
                                   arrays, directions)
            slope = _slope(lambda moved: numpy.sum(c * numpy_form(*moved)), arrays, directions)
            here = _derivatives(name, device, "float32", arrays)
            got = [here.value, *here.first, *here.second, _dot(here.first, directions),
                   _dot(here.second, directions)]
            want = [numpy_form(*arrays), *exact.first, *exact.second, slope, curvature]
            return got, want, lambda: _derivatives(name, device, "float32", arrays, read=False)

        rows.append(_compared("op", name, device, measure))
    return rows


# -------------------------------------------------------------------------------------------- GAN


@dataclass
class Training:
    """What one run of the small DCGAN gave: losses step by step, and milliseconds a step."""

    d_loss: list[float]
    g_loss: list[float]
    milliseconds: float


def _generator(device: Device) -> nn.Module:
    """Noise (n, 32, 1, 1) to pictures (n, 1, 8, 8), as DCGAN does in large."""
    options = {"stride": 2, "padding": 1, "device": device}
    return nn.Sequential(
        nn.ConvTranspose2d(32, 16, 2, bias=False, device=device),
        nn.BatchNorm2d(16, device=device), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, bias=False, **options),
        nn.BatchNorm2d(8, device=device), nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, **options), nn.Tanh())


def _discriminator(device: Device) -> nn.Module:
    """Pictures (n, 1, 8, 8) to scores (n, 1)."""
    options = {"stride": 2, "padding": 1, "device": device}
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, **options), nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 4, bias=False, **options), nn.BatchNorm2d(16, device=device),
        nn.LeakyReLU(0.2), nn.Conv2d(16, 1, 2, device=device), nn.Flatten())


def train_gan(device: Device, steps: int) -> Training:
    """A DCGAN on 8 x 8 digits; the losses stay on the device and are read once, at the end."""
    images = data.load("optdigits").train_images.reshape(-1, 1, 8, 8).astype("float32") / 8 - 1
    before = random.set_generator(numpy.random.default_rng(0))
    try:
        G, D = _generator(device), _discriminator(device)
        opt_G = optim.Adam(G.parameters(), lr=5e-4, beta1=0.5)
        opt_D = optim.Adam(D.parameters(), lr=5e-4, beta1=0.5)
        losses, clock = [], _Clock(device)
        for step in range(steps):
            if step == min(5, steps - 1):
                clock.start()
            first = step * 64 % (len(images) - 64)
            real = Tensor(images[first:first + 64], device=device, requires_grad=False)
            fake = G(init.randn(64, 32, 1, 1, device=device))
            d_loss = ops.bce_with_logits(D(real), 1.0) + ops.bce_with_logits(D(fake.detach()), 0.0)
            d_loss.backward()
            opt_D.step()
            g_loss = ops.bce_with_logits(D(fake), 1.0)
            opt_G.minimize(g_loss)
            losses += [d_loss.detach(), g_loss.detach()]
        milliseconds = clock.stop() / max(steps - 5, 1)
        with no_grad():
            curve = ops.stack(losses).numpy().astype("float64").reshape(-1, 2)
    finally:
        random.set_generator(before)
    return Training(curve[:, 0].tolist(), curve[:, 1].tolist(), milliseconds)


def check_gan(device: Device, steps: int) -> tuple[list[Row], dict[str, Any]]:
    """The loss curve on the device against that of the simple kernels on the CPU."""
    with kernels.reference_kernels():
        want = train_gan(cpu(), steps)
    got = train_gan(device, steps)
    rows = []
    for name in ("d_loss", "g_loss"):
        a, b = numpy.asarray(getattr(got, name)), numpy.asarray(getattr(want, name))
        error = float(numpy.max(numpy.abs(a - b) / (1 + numpy.abs(b))))
        rows.append(Row("GAN", name, error <= CURVE_TOLERANCE, error, CURVE_TOLERANCE,
                        got.milliseconds, f"{steps} steps; milliseconds a step"))
    moved = abs(got.d_loss[-1] - got.d_loss[0])
    if steps >= 100:
        rows.append(Row("GAN", "it learns", moved > 0.1, note=f"d_loss moved by {moved:.2f}"))
    return rows, {"steps": steps, "device": asdict(got), "cpu": asdict(want)}


# ------------------------------------------------------------------------------- measuring, report


class _Clock:
    """Milliseconds between start and stop: CUDA events on a GPU, the processor's clock else."""

    def __init__(self, device: Device) -> None:
        self.cuda = device.module.cuda if device is cuda() else None

    def start(self) -> None:
        if self.cuda is None:
            self.begun = time.perf_counter()
        else:
            self.begun = self.cuda.Event()
            self.begun.record()

    def stop(self) -> float:
        if self.cuda is None:
            return (time.perf_counter() - self.begun) * 1e3
        end = self.cuda.Event()
        end.record()
        end.synchronize()
        return float(self.cuda.get_elapsed_time(self.begun, end))


def _compared(group: str, name: str, device: Device, measure: Callable,
              tolerance: float = TOLERANCE) -> Row:
    """Run one case; an exception is a failure of this row, not of the report."""
    try:
        got, want, again = measure()
        errors, note = [], ""
        if len(got) != len(want):
            note = f"{len(got)} results for {len(want)}"
        for g, w in zip(got, want, strict=False):
            if isinstance(g, numpy.ndarray) is not (device is cpu()) and g.shape:
                note = f"a result is on {device_of(g)}"
            elif g.dtype != "float32":
                note = f"a result is {g.dtype}"
            elif g.shape != numpy.shape(w):
                note = f"a result has shape {g.shape}, wanted {numpy.shape(w)}"
            else:
                w = numpy.asarray(w, dtype="float64")
                difference = numpy.abs(to_numpy(g).astype("float64") - w) / (1 + numpy.abs(w))
                errors.append(float(difference.max()) if difference.size else 0.0)
        error = max(errors) if errors else math.nan
        taken = []
        for _ in range(REPEATS):
            clock = _Clock(device)
            clock.start()
            again()
            taken.append(clock.stop())
        passed = not note and error <= tolerance
        return Row(group, name, passed, error, tolerance, min(taken), note)
    except Exception as problem:  # whatever it is, it belongs into the report
        return Row(group, name, False, note=f"{type(problem).__name__}: {problem}")


def _versions(device: Device) -> dict[str, Any]:
    found = {"minigrad": __version__, "numpy": numpy.__version__,
             "python": platform.python_version(),
             "platform": f"{platform.system()} {platform.machine()}"}
    if device is cuda():
        runtime = device.module.cuda.runtime
        found |= {"cupy": device.module.__version__, "cuda runtime": runtime.runtimeGetVersion(),
                  "cuda driver": runtime.driverGetVersion()}
    return found


def _device_name(device: Device) -> str:
    if device is cpu():
        return platform.processor() or platform.machine()
    name = device.module.cuda.runtime.getDeviceProperties(0)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def _pool(device: Device) -> dict[str, int] | None:
    if device is cpu():
        return None
    pool = device.module.get_default_memory_pool()
    return {"used_bytes": int(pool.used_bytes()), "total_bytes": int(pool.total_bytes())}


def _table(rows: Sequence[Row]) -> str:
    lines = [f"{'':4s} {'what':50s} {'error':>9s} {'allowed':>9s} {'ms':>9s}"]
    for row in rows:
        numbers = [f"{x:9.1e}" if x is not None else " " * 9 for x in (row.error, row.tolerance)]
        taken = f"{row.milliseconds:9.3f}" if row.milliseconds is not None else " " * 9
        lines.append(f"{'ok' if row.passed else 'FAIL':4s} {row.group + ' ' + row.name:50s} "
                     f"{' '.join(numbers)} {taken}  {row.note}".rstrip())
    return "\n".join(lines)


def _finite(value: Any) -> Any:
    """``value`` with NaN and infinity, which JSON does not have, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list) else value


def main(argv: list[str] | None = None) -> int:
    """Run the self-check; returns the exit code.

    Parameters
    ----------
    argv : list of str, optional
        ``--device cpu|cuda``, ``--out FILE``, ``--steps N`` (of the GAN); the command line by
        default.
    """
    parser = argparse.ArgumentParser("python -m minigrad selfcheck",
                                     description="Compare this device with NumPy in float64.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default=None,
                        help="default: cpu, or what MINIGRAD_DEVICE names")
    parser.add_argument("--out", help="write the report to this JSON file too")
    parser.add_argument("--steps", type=int, default=200, help="training steps of the GAN")
    options = parser.parse_args(argv)
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    try:
        named = {"cpu": cpu, "cuda": cuda}.get(options.device, default_device)()
        named.array([0.0], dtype="float32")  # the device answers
        name = _device_name(named)
    except DeviceError as error:
        print(f"selfcheck: {error}", file=sys.stderr)
        return 2
    with autograd.course_mode(False), autograd.enable_grad():
        rows = check_kernels(named) + check_ops(named)
        try:
            gan_rows, gan = check_gan(named, options.steps)
        except Exception as problem:
            gan_rows, gan = [Row("GAN", "training", False, note=f"{type(problem).__name__}: "
                                 f"{problem}")], None
    rows += gan_rows
    failed = sum(not row.passed for row in rows)
    report = {
        "schema": SCHEMA,
        "device": named.name,
        "device_name": name,
        "real_gpu": named is cuda() and "cupusim" not in name.lower(),
        "clock": "cuda events" if named is cuda() else "perf_counter",
        "passed": not failed,
        "versions": _versions(named),
        "memory_pool": _pool(named),
        "rows": [asdict(row) for row in rows],
        "gan": gan,
    }
    print(_table(rows))
    where = "a real GPU" if report["real_gpu"] else "not a GPU"
    print(f"{len(rows) - failed} of {len(rows)} passed on {named.name}: {name} ({where})")
    if options.out:
        text = json.dumps(_finite(report), indent=1, allow_nan=False)
        try:
            write_atomically(options.out, lambda file: file.write(text.encode()))
        except CheckpointError as error:
            print(f"selfcheck: {error}", file=sys.stderr)
            return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
