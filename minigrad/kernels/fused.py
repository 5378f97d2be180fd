"""Kernels for a GPU: what elsewhere takes many launches, in one to three.

Each is the body of a loop over elements, in CUDA C++, which CuPy compiles when it is first called.
They stand beside the kernels of ``reference``, which give the same numbers on any array library;
tests hold the two against each other. No thread writes where another does: windows are gathered,
never scattered. Sums over many elements are in float64, in two launches: some thousand partial
sums, then theirs.

Images are (n, h, w, c) and weights (kh, kw, c, o), as in ``direct``.

Leaves out: products of matrices, which are cuBLAS's; dtypes other than float32 and float64.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from ..backend import Array, array_module, cpu
from .geometry import Geometry

__all__ = [
    "adam",
    "batch_norm",
    "batch_norm_gradient",
    "bce_with_logits",
    "bce_with_logits_gradient",
    "conv_backward",
    "conv_forward",
    "ema",
    "instance_norm",
    "instance_norm_gradient",
    "leaky_relu",
    "leaky_relu_gradient",
    "reflection_fold",
    "reflection_pad",
    "runs",
]

INT = 1 << 30  # elements up to which indices are 32 bits wide: they divide several times faster
PARTS = 1 << 15  # partial sums, over all channels: as many threads as keep a GPU busy


def runs(*arrays: Array) -> bool:
    """Whether the kernels of this file can take these arrays."""
    if array_module(arrays[0]) is cpu().module:
        return False
    return all(a.dtype.char in "fd" for a in arrays)


class _Loop:
    """A kernel that computes each element of its outputs, the last arguments of a call.

    ``inputs``, ``outputs`` and ``body`` are those of ``cupy.ElementwiseKernel``, but for the type
    ``Index``, which holds the number of an element.
    """

    def __init__(self, name: str, inputs: str, outputs: str, body: str) -> None:
        self.name, self.inputs, self.outputs, self.body = f"minigrad_{name}", inputs, outputs, body

    def __call__(self, *arguments: Any) -> None:
        is_large = max([a.size for a in arguments if hasattr(a, "size")]) > INT
        _compiled(self, array_module(arguments[-1]), is_large)(*arguments)


@functools.cache
def _compiled(loop: _Loop, xp: ModuleType, is_large: bool) -> Any:
    index = "long long" if is_large else "int"
    return xp.ElementwiseKernel(loop.inputs, loop.outputs, loop.body, loop.name,
                                preamble=f"typedef {index} Index;")


# ------------------------------------------------------------------------------------- convolution

_SIZES = ("int32 c, int32 h, int32 w, int32 kh, int32 kw, int32 sh, int32 sw, int32 ph, int32 pw, "
          "int32 oh, int32 ow")

_WINDOWS = _Loop("windows", f"raw T image, {_SIZES}", "T y", """
    Index rest = i;
    const int channel = rest % c;  rest /= c;
    const int q = rest % kw;  rest /= kw;
    const int p = rest % kh;  rest /= kh;
    const int column = int(rest % ow) * sw + q - pw;  rest /= ow;
    const int row = int(rest % oh) * sh + p - ph;  rest /= oh;
    if (row < 0 || row >= h || column < 0 || column >= w) {
        y = 0;
    } else {
        const Index at[] = {rest, row, column, channel};
        y = image[at];
    }
""")

_FOLD = _Loop("fold", f"raw T columns, {_SIZES}", "T y", """
    Index rest = i;
    const int channel = rest % c;  rest /= c;
    const int column = int(rest % w) + pw;  rest /= w;
    const int row = int(rest % h) + ph;  rest /= h;
    T total = 0;
    for (int p = row % sh; p < kh && p <= row; p += sh) {
        const int top = (row - p) / sh;
        if (top >= oh) continue;
        for (int q = column % sw; q < kw && q <= column; q += sw) {
            const int left = (column - q) / sw;
            if (left >= ow) continue;
            const Index window = (rest * oh + top) * ow + left;
            total += columns[((window * kh + p) * kw + q) * c + channel];
        }
    }
    y = total;
""")


def _sizes(g: Geometry) -> tuple[int, ...]:
    return g.c, g.h, g.w, g.kh, g.kw, g.sh, g.sw, g.ph, g.pw, g.oh, g.ow


def _are_rows(g: Geometry) -> bool:
    """Whether every window is a row of a contiguous image's memory, and every pixel in one."""
    whole = (g.kh, g.kw) == (g.h, g.w) or g.kh == g.kw == g.sh == g.sw == 1
    return whole and not g.ph and not g.pw


def _columns(image: Array, g: Geometry) -> Array:
    """Every window as a row, (n * oh * ow, kh * kw * c), "im2col"; images may lie anyhow."""
    xp = array_module(image)
    if _are_rows(g):
        columns = xp.ascontiguousarray(image)
    else:
        columns = xp.empty((g.n, g.oh, g.ow, g.kh, g.kw, g.c), dtype=image.dtype)
        _WINDOWS(image, *_sizes(g), columns)
    return columns.reshape(g.n * g.oh * g.ow, g.kh * g.kw * g.c)


def _folded(columns: Array, g: Geometry) -> Array:
    """The sum, for every pixel, of what rows of windows have at its places: "col2im"."""
    if _are_rows(g):
        return columns.reshape(g.n, g.h, g.w, g.c)
    y = array_module(columns).empty((g.n, g.h, g.w, g.c), dtype=columns.dtype)
    _FOLD(columns, *_sizes(g), y)
    return y


def conv_forward(
    g: Geometry, x: Array, weight: Array | None, out_grad: Array | None = None
) -> tuple[Array | None, Array | None]:
    """The convolution of x, if a weight is given, and its weight gradient, if out_grad is given.

    All but x are contiguous. Results are (n, oh, ow, o) and (kh, kw, c, o).
    """
    columns, y, grad_weight = _columns(x, g), None, None
    if weight is not None:
        y = (columns @ weight.reshape(-1, g.o)).reshape(g.n, g.oh, g.ow, g.o)
    if out_grad is not None:
        product = columns.T @ out_grad.reshape(-1, g.o)
        grad_weight = product.reshape(g.kh, g.kw, g.c, g.o)
    return y, grad_weight


def conv_backward(
    g: Geometry, out_grad: Array, weight: Array | None, x: Array | None = None
) -> tuple[Array | None, Array | None]:
    """The gradient of the image, if a weight is given, and of the weight, if x is given."""
    grad_x = None
    if weight is not None:
        grad_x = _folded(out_grad.reshape(-1, g.o) @ weight.reshape(-1, g.o).T, g)
    return grad_x, None if x is None else conv_forward(g, x, None, out_grad)[1]


# ------------------------------------------------------------------------------- normalisation

# Statistics are taken over the pixels of an image, in batch normalisation of all images as one.
# Thread i looks at some elements of one image, ``step`` apart from each other, of which there are
# ``size``; c divides the step, so that they are all of one channel; unrolled, it asks for eight of
# them at a time. What is summed is measured from the channel's first value, or its mean: squares of
# numbers far from 0 would lose their digits.

_MOMENTS = _Loop("moments", "raw T x, int32 c, int64 size, int64 step",
                 "float64 sums, float64 squares", """
    const Index first = i / step * size, end = first + size;
    const double centre = x[first + i % c];
    double total = 0, square = 0;
    #pragma unroll 8
    for (Index at = first + i % step; at < end; at += step) {
        const double value = x[at] - centre;
        total += value;
        square += value * value;
    }
    sums = total;
    squares = square;
""")

_MEAN_AND_VAR = _Loop("mean_and_var", "raw float64 sums, raw float64 squares, raw T x, int32 c, "
                      "int64 size, int32 parts", "T mean, T var", """
    const Index image = i / c, channel = i % c;
    const double count = size / c;
    double total = 0, square = 0;
    #pragma unroll 8
    for (int part = 0; part < parts; part++) {
        total += sums[(image * parts + part) * c + channel];
        square += squares[(image * parts + part) * c + channel];
    }
    total /= count;
    mean = x[image * size + channel] + total;
    var = max(square / count - total * total, 0.0);
""")

_NORMALISE = _Loop("normalise", "T x, T mean, T var, T gamma, T beta, T eps, T slope", "T y", """
    const T value = (x - mean) / sqrt(var + eps) * gamma + beta;
    y = value > 0 ? value : value * slope;
""")

_PULLS = _Loop("pulls", "raw T x, raw T y, raw T out_grad, raw T mean, T slope, int32 c, "
               "int64 size, int64 step", "float64 sums, float64 products", """
    const Index first = i / step * size, end = first + size;
    const T centre = mean[i / step * c + i % c];
    double total = 0, product = 0;
    #pragma unroll 8
    for (Index at = first + i % step; at < end; at += step) {
        const double g = y[at] > 0 ? out_grad[at] : out_grad[at] * slope;
        total += g;
        product += g * (x[at] - centre);
    }
    sums = total;
    products = product;
""")

_GRAD_GAMMA_AND_BETA = _Loop("grad_gamma_and_beta", "raw float64 sums, raw float64 products, "
                             "T var, T eps, int32 c, int32 parts", "T grad_gamma, T grad_beta", """
    const Index image = i / c, channel = i % c;
    double total = 0, product = 0;
    #pragma unroll 8
    for (int part = 0; part < parts; part++) {
        total += sums[(image * parts + part) * c + channel];
        product += products[(image * parts + part) * c + channel];
    }
    grad_gamma = product / sqrt(var + eps);
    grad_beta = total;
""")

_UNNORMALISE = _Loop("unnormalise", "T x, T y, T out_grad, T mean, T var, T gamma, T grad_gamma, "
                     "T grad_beta, T eps, T slope, T share", "T grad_x", """
    const T scale = 1 / sqrt(var + eps);
    const T g = y > 0 ? out_grad : out_grad * slope;
    grad_x = gamma * scale * (g - share * (grad_beta + (x - mean) * scale * grad_gamma));
""")


def _parts(images: Array) -> tuple[int, Array, Array]:
    """How many partial sums each channel of an image has, and two arrays for them."""
    xp, (n, count, c) = array_module(images), images.shape
    parts = max(1, min(PARTS // (n * c), count // 8))
    return parts, *(xp.empty((n, parts, c), dtype="float64") for _ in range(2))


def _moments(images: Array) -> tuple[Array, Array]:
    """The means and variances of contiguous images (n, pixels, c), (n, 1, c)."""
    xp, (n, count, c) = array_module(images), images.shape
    parts, sums, squares = _parts(images)
    mean, var = (xp.empty((n, 1, c), dtype=images.dtype) for _ in range(2))
    _MOMENTS(images, c, count * c, parts * c, sums, squares)
    _MEAN_AND_VAR(sums, squares, images, c, count * c, parts, mean, var)
    return mean, var


def _normalised(
    images: Array, gamma: Array | float, beta: Array | float, eps: float, slope: float | None,
    moments: tuple[Array, Array] | None = None,
) -> tuple[Array, Array, Array]:
    """Contiguous images (n, pixels, c) normalised, scaled, shifted; their moments (n, 1, c)."""
    mean, var = _moments(images) if moments is None else moments
    y = array_module(images).empty_like(images)
    _NORMALISE(images, mean, var, gamma, beta, eps, 1 if slope is None else slope, y)
    return y, mean, var


def _normalised_gradient(
    images: Array, y: Array, gamma: Array | float, mean: Array, var: Array, out_grad: Array,
    eps: float, slope: float | None,
) -> tuple[Array, Array, Array]:
    """The gradients of ``_normalised``, those of gamma and beta for each image, (n, 1, c)."""
    xp, (n, count, c) = array_module(images), images.shape
    slope = 1 if slope is None else slope
    parts, sums, products = _parts(images)
    grad_gamma, grad_beta = (xp.empty((n, 1, c), dtype=images.dtype) for _ in range(2))
    grad_x = xp.empty_like(images)
    _PULLS(images, y, out_grad, mean, slope, c, count * c, parts * c, sums, products)
    _GRAD_GAMMA_AND_BETA(sums, products, var, eps, c, parts, grad_gamma, grad_beta)
    _UNNORMALISE(images, y, out_grad, mean, var, gamma, grad_gamma, grad_beta, eps, slope,
                 1 / count, grad_x)
    return grad_x, grad_gamma, grad_beta


def batch_norm(
    rows: Array, gamma: Array, beta: Array, eps: float, slope: float | None
) -> tuple[Array, Array, Array]:
    """As ``reference.batch_norm``, of a contiguous matrix with a column for every channel."""
    y, mean, var = _normalised(rows[None], gamma, beta, eps, slope)
    return y[0], mean[0, 0], var[0, 0]


def batch_norm_gradient(
    rows: Array, y: Array, gamma: Array, mean: Array, var: Array, out_grad: Array, eps: float,
    slope: float | None,
) -> tuple[Array, Array, Array]:
    """As ``reference.batch_norm_gradient``, of contiguous matrices."""
    grad_x, grad_gamma, grad_beta = _normalised_gradient(
        rows[None], y[None], gamma, mean[None, None], var[None, None], out_grad[None], eps, slope)
    return grad_x[0], grad_gamma[0, 0], grad_beta[0, 0]


def instance_norm(
    images: Array, eps: float, slope: float | None, moments: tuple[Array, Array] | None
) -> tuple[Array, Array, Array]:
    """As ``reference.instance_norm``, of contiguous images (n, pixels, c)."""
    known = None if moments is None else (moments[0][:, None], moments[1][:, None])
    y, mean, var = _normalised(images, 1, 0, eps, slope, known)
    return y, mean[:, 0], var[:, 0]


def instance_norm_gradient(
    images: Array, y: Array, mean: Array, var: Array, out_grad: Array, eps: float,
    slope: float | None,
) -> Array:
    """As ``reference.instance_norm_gradient``, of contiguous images."""
    return _normalised_gradient(images, y, 1, mean[:, None], var[:, None], out_grad, eps, slope)[0]


# ------------------------------------------------------------------------------- mirror images

_FRAME = "int32 c, int32 h, int32 w, int32 top, int32 left, int32 high, int32 wide"

_REFLECT = _Loop("reflect", f"raw T image, {_FRAME}", "T y", """
    Index rest = i;
    const int channel = rest % c;  rest /= c;
    const int column = abs(int(rest % wide) - left);  rest /= wide;
    const int row = abs(int(rest % high) - top);  rest /= high;
    const Index at[] = {rest, h - 1 - abs(h - 1 - row), w - 1 - abs(w - 1 - column), channel};
    y = image[at];
""")

_REFLECTED = _Loop("reflected", f"raw T image, {_FRAME}", "T y", """
    Index rest = i;
    const int channel = rest % c;  rest /= c;
    const int column = rest % w;  rest /= w;
    const int row = rest % h;  rest /= h;
    const int rows[] = {top + row, row ? top - row : -1,
                        row < h - 1 ? top + 2 * (h - 1) - row : high};
    const int columns[] = {left + column, column ? left - column : -1,
                           column < w - 1 ? left + 2 * (w - 1) - column : wide};
    T total = 0;
    for (int p = 0; p < 3; p++) {
        if (rows[p] < 0 || rows[p] >= high) continue;
        for (int q = 0; q < 3; q++) {
            if (columns[q] < 0 || columns[q] >= wide) continue;
            const Index at[] = {rest, rows[p], columns[q], channel};
            total += image[at];
        }
    }
    y = total;
""")


def reflection_pad(a: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """Images (n, c, h, w) with their mirror image on the four sides; channels last in memory."""
    n, c, h, w = a.shape
    high, wide = h + sum(rows), w + sum(columns)
    y = array_module(a).empty((n, high, wide, c), dtype=a.dtype)
    _REFLECT(a.transpose(0, 2, 3, 1), c, h, w, rows[0], columns[0], high, wide, y)
    return y.transpose(0, 3, 1, 2)


def reflection_fold(a: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    """The adjoint of ``reflection_pad``."""
    n, c, high, wide = a.shape
    h, w = high - sum(rows), wide - sum(columns)
    y = array_module(a).empty((n, h, w, c), dtype=a.dtype)
    _REFLECTED(a.transpose(0, 2, 3, 1), c, h, w, rows[0], columns[0], high, wide, y)
    return y.transpose(0, 3, 1, 2)


# --------------------------------------------------------------------------- element by element

_LEAKY_RELU = _Loop("leaky_relu", "T a, T slope", "T y", "y = a > 0 ? a : a * slope;")

_LEAKY_RELU_GRADIENT = _Loop("leaky_relu_gradient", "T out_grad, T a, T slope", "T y",
                             "y = a > 0 ? out_grad : out_grad * slope;")

_BCE = _Loop("bce_with_logits", "T a, T target", "T y",
             "y = max(a, T(0)) + log1p(exp(-abs(a))) - a * target;")

_BCE_GRADIENT = _Loop("bce_with_logits_gradient", "T a, T target, T out_grad, T share", "T y", """
    y = out_grad * share * (tanh(a / 2) / 2 + T(0.5) - target);
""")

_ADAM = _Loop("adam", "T grad, T step, T beta1, T rest1, T beta2, T rest2, T scale, T eps, "
              "T weight_decay", "T p, T m, T v", """
    const T g = grad + weight_decay * p;
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * g * g;
    p -= step * m / (sqrt(v) * scale + eps);
""")

_EMA = _Loop("ema", "T value, T share", "T average", "average += share * (value - average);")


def _along_memory(*arrays: Array) -> list[Array]:
    """Arrays of one shape with their axes in the order in which those of the first lie in memory.

    A loop goes through the last axis first; where the first array and another have the same order
    and no gaps, it reads both from end to end.
    """
    first = arrays[0]
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    return [a.transpose(order) for a in arrays]


def leaky_relu(a: Array, slope: float, out: Array | None = None) -> Array:
    """As ``reference.leaky_relu``."""
    y = array_module(a).empty_like(a) if out is None else out
    source, target = _along_memory(a, y)
    _LEAKY_RELU(source, slope, target)
    return y


def leaky_relu_gradient(out_grad: Array, a: Array, slope: float) -> Array:
    """As ``reference.leaky_relu_gradient``."""
    y = array_module(a).empty_like(a)
    values, upstream, target = _along_memory(a, out_grad, y)
    _LEAKY_RELU_GRADIENT(upstream, values, slope, target)
    return y


def bce_with_logits(logits: Array, targets: Array) -> Array:
    """As ``reference.bce_with_logits``."""
    losses = array_module(logits).empty_like(logits)
    _BCE(logits, targets, losses)
    return losses.mean()


def bce_with_logits_gradient(logits: Array, targets: Array, out_grad: Array) -> Array:
    """As ``reference.bce_with_logits_gradient``."""
    y = array_module(logits).empty_like(logits)
    _BCE_GRADIENT(logits, targets, out_grad, 1 / logits.size, y)
    return y


def adam(
    p: Array, g: Array, m: Array, v: Array, step: float, scale: float,
    beta1: float, beta2: float, eps: float, weight_decay: float,
) -> None:
    """As ``fast.adam``, which knows the step and the scale that stand for bias correction."""
    _ADAM(g, step, beta1, 1 - beta1, beta2, 1 - beta2, scale, eps, weight_decay, p, m, v)


def ema(average: Array, values: Array, decay: float) -> None:
    """As ``reference.ema``."""
    _EMA(values, 1 - decay, average)
