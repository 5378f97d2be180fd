"""Convolution of images: three operations, each the gradient of the other two.

``conv2d`` maps images and a weight to images. It is linear in both, so its gradients are linear
maps again: with respect to the image the transposed convolution (``conv_transpose2d``), with
respect to the weight the correlation of image and gradient (``Conv2dWeightGradient``). The
gradients of those two lead back to the three, so that convolution can be differentiated any number
of times.

While nothing is recorded, one kernel computes both gradients, sharing what they have in common, and
uses the weight as the forward pass transformed it. Images come out with their channels last in
memory, under the shape (n, c, h, w): the order in which all kernels work.

Leaves out: groups, dilation, and convolution in one or three dimensions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import kernels
from ..autograd import Tensor, TensorOp, constant, is_recording
from ..backend import Array
from ..errors import ShapeError
from .broadcast import match
from .elementwise import masked, slopes_of
from .shape import ReflectionFold, check_reflection, permute, reflection_pad

__all__ = [
    "Conv",
    "Conv2d",
    "Conv2dWeightGradient",
    "ConvTranspose2d",
    "Recomputed",
    "conv",
    "conv2d",
    "conv_transpose2d",
]

Size = int | tuple[int, int]


def pair(name: str, what: str, value: Size, least: int) -> tuple[int, int]:
    """One or two integers as two, each at least ``least``.

    Raises
    ------
    ShapeError
        Naming the operation and the setting, if they are something else.
    """
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(isinstance(v, int) and v >= least for v in both):
        raise ShapeError(f"{name}: {what} must be one or two integers of at least {least}, got "
                         f"{value!r}")
    return both


class _Convolution(TensorOp):
    """What the three share: stride, padding, and the weight as the kernels transformed it."""

    reads_output = False

    def __init__(self, stride: tuple[int, int], padding: tuple[int, int]) -> None:
        self.stride, self.padding = stride, padding
        # Of the last call: the weight, how many images of which size, and the weight transformed.
        self.latest: tuple[Array, tuple, Array | None] | None = None

    def _transform(self, weight: Array, n: int, size: tuple[int, int]) -> Array | None:
        transform = kernels.active().conv2d_transform
        transformed = transform(weight, n, size, self.stride, self.padding)
        if is_recording():
            self.latest = weight, (n, size), transformed
        return transformed

    def _transformed(self, weight: Array, n: int, size: tuple[int, int]) -> Array | None:
        """The transformed weight of the forward pass, unless the op was called again since."""
        if self.latest is None or self.latest[0] is not weight or self.latest[1] != (n, size):
            return None
        return self.latest[2]

    def _operands(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Both with one dtype, on one device."""
        if a.dtype is b.dtype and type(a) is type(b):
            return a, b
        like_a, like_b = match(self, a[:0, :0, :0, :0], b[:0, :0, :0, :0])
        dtype = (like_a + like_b).dtype  # they may still differ in course mode
        return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


class Conv2d(_Convolution):
    """y[n, o, i, j] = sum of padded x[n, c, i s + p, j s + q] weight[o, c, p, q] over c, p, q.

    With a ``slope`` in [0, 1] a leaky ReLU of that slope follows (0: a ReLU), in the same memory.
    With ``reflect`` the mirror image of x is padded instead of zeros, and is not kept.
    """

    def __init__(self, stride: tuple[int, int], padding: tuple[int, int],
                 slope: float | None = None, reflect: bool = False) -> None:
        super().__init__(stride, (0, 0) if reflect else padding)
        side_h, side_w = ((p, p) for p in padding)
        self.mirror = ((0, 0), (0, 0), side_h, side_w) if reflect else None
        if slope is not None and not 0 <= slope <= 1:
            raise ValueError(f"conv2d: slope must be between 0 and 1, got {slope}")
        self.slope = slope
        self.reads_output = slope is not None

    def compute(self, x: Array, weight: Array) -> Array:
        x, weight = self._operands(x, weight)
        k = kernels.active()
        if self.mirror is not None:
            check_reflection("conv2d", x, self.mirror)
            x = k.reflection_pad(x, self.mirror)
        _check("Conv2d", x, weight, self.stride, self.padding)
        transformed = self._transform(weight, len(x), x.shape[2:])
        y = k.conv2d(x, weight, self.stride, self.padding, transformed)
        return y if self.slope is None else k.leaky_relu(y, self.slope, out=y)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = node.inputs
        wanted, settings = node.wanted, (self.stride, self.padding)
        if is_recording():
            if self.slope is not None:
                out_grad = masked(out_grad, slopes_of(node.cached_data, self.slope))
            seen = x if self.mirror is None else reflection_pad(x, self.mirror)
            grad_x = grad_weight = None
            if wanted[0]:
                grad_x = ConvTranspose2d(*settings, seen.shape[2:])(out_grad, weight)
                grad_x = grad_x if self.mirror is None else ReflectionFold(self.mirror)(grad_x)
            if wanted[1]:
                grad_weight = Conv2dWeightGradient(*settings, weight.shape[2:])(seen, out_grad)
            return grad_x, grad_weight
        a, w = self._operands(x.cached_data, weight.cached_data)
        k, g = kernels.active(), out_grad.cached_data
        if self.mirror is not None:
            a = k.reflection_pad(a, self.mirror)
        if self.slope is not None:
            g = k.leaky_relu_gradient(g, node.cached_data, self.slope)
        kept = self._transformed(w, len(a), a.shape[2:])
        grad_x, grad_weight = k.conv2d_gradient(a, w, g, *settings, wanted, kept)
        if self.mirror is not None and grad_x is not None:
            grad_x = k.reflection_fold(grad_x, self.mirror)
        return _constants((grad_x, grad_weight))


class ConvTranspose2d(_Convolution):
    """The gradient of Conv2d with respect to its image, as an operation: its adjoint.

    ``size`` is the height and width of the result; several may fit one input.
    """

    def __init__(self, stride: tuple[int, int], padding: tuple[int, int],
                 size: tuple[int, int]) -> None:
        super().__init__(stride, padding)
        self.size = size

    def compute(self, x: Array, weight: Array) -> Array:
        x, weight = self._operands(x, weight)
        transformed = self._transform(weight, len(x), self.size)
        return kernels.active().conv2d_input_gradient(
            x, weight, self.stride, self.padding, self.size, transformed)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if is_recording():
            return self.recorded_gradient(out_grad, node)
        x, weight = node.inputs
        a, w = self._operands(x.cached_data, weight.cached_data)
        kept = self._transformed(w, len(a), self.size)
        return _constants(kernels.active().conv_transpose2d_gradient(
            a, w, out_grad.cached_data, self.stride, self.padding, node.wanted, kept))

    def recorded_gradient(
        self, out_grad: Tensor, node: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """The gradients with respect to image and weight, made by operations of this module.

        Both are Tensors with a history, so that they can be differentiated again. out_grad is
        (n, o, oh, ow); ``node.inputs`` are the image (n, i, h, w) and the weight (i, o, kh, kw).
        What is not in ``node.wanted`` may be None.
        """
        x, weight = node.inputs
        wanted, settings = node.wanted, (self.stride, self.padding)
        by_weight = Conv2dWeightGradient(*settings, weight.shape[2:])
        return (Conv2d(*settings)(out_grad, weight) if wanted[0] else None,
                by_weight(out_grad, x) if wanted[1] else None)


class Conv2dWeightGradient(_Convolution):
    """The gradient of Conv2d with respect to its weight, from its image and out_grad."""

    def __init__(self, stride: tuple[int, int], padding: tuple[int, int],
                 kernel: tuple[int, int]) -> None:
        super().__init__(stride, padding)
        self.kernel = kernel

    def compute(self, x: Array, out_grad: Array) -> Array:
        x, out_grad = self._operands(x, out_grad)
        return kernels.active().conv2d_weight_gradient(
            x, out_grad, self.stride, self.padding, self.kernel)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, upstream = node.inputs  # out_grad has the weight's shape
        wanted, settings = node.wanted, (self.stride, self.padding)
        grad_x = ConvTranspose2d(*settings, x.shape[2:])(upstream, out_grad) if wanted[0] else None
        return grad_x, Conv2d(*settings)(x, out_grad) if wanted[1] else None


class Recomputed(TensorOp):
    """y = second(first(x), weight); what ``first`` gives is made again backwards, and not kept.

    ``first`` is to be cheap beside ``second``: a normalisation before a convolution.
    """

    def __init__(self, first: TensorOp, second: TensorOp) -> None:
        self.first, self.second = first, second
        self.reads_output = second.reads_output

    def compute(self, x: Array, weight: Array) -> Array:
        return self.second.compute(self.first.compute(x), weight)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = node.inputs
        middle = self.first(x)
        grad_middle, grad_weight = self.second.gradient(
            out_grad, _Node(node.cached_data, (middle, weight), node.wanted))
        if grad_middle is None:
            return None, grad_weight
        inner = _Node(middle.cached_data, (x,), (True,))
        return self.first.gradient(grad_middle, inner), grad_weight


class _Node(NamedTuple):
    """What the gradient of an operation reads of its output."""

    cached_data: Array
    inputs: tuple[Tensor, ...]
    wanted: tuple[bool, ...]


class Conv(TensorOp):
    """The course's convolution: images (n, h, w, c) and weight (k, k, c, o), zeros around."""

    reads_output = False

    def __init__(self, stride: int | None = 1, padding: int | None = 0) -> None:
        self.stride = pair("Conv", "stride", 1 if stride is None else stride, 1)
        self.padding = pair("Conv", "padding", padding or 0, 0)

    def compute(self, a: Array, b: Array) -> Array:
        _check("Conv", a, b, self.stride, self.padding, channels_last=True)
        inner = Conv2d(self.stride, self.padding)
        y = inner.compute(a.transpose(0, 3, 1, 2), b.transpose(3, 2, 0, 1))
        return y.transpose(0, 2, 3, 1)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = node.inputs
        wants_a, wants_b = node.wanted
        image, weight = permute(a, (0, 3, 1, 2)), permute(b, (3, 2, 0, 1))
        upstream = permute(out_grad, (0, 3, 1, 2))
        grad_a = grad_b = None
        if wants_a:
            grad_a = permute(ConvTranspose2d(self.stride, self.padding, image.shape[2:])(
                upstream, weight), (0, 2, 3, 1))
        if wants_b:
            grad_b = permute(Conv2dWeightGradient(self.stride, self.padding, weight.shape[2:])(
                image, upstream), (2, 3, 1, 0))
        return grad_a, grad_b


def _constants(arrays: tuple[Array | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple([None if a is None else constant(a) for a in arrays])


def _check(name: str, x: Any, weight: Any, stride: tuple[int, int], padding: tuple[int, int],
           channels_last: bool = False) -> None:
    """Refuse images and weights that do not fit, with the shapes and what would."""
    if len(x.shape) != 4 or len(weight.shape) != 4:
        wanted = ("(n, h, w, c) and a weight (k, k, c, o)" if channels_last
                  else "(n, c, h, w) and a weight (o, c, kh, kw)")
        raise ShapeError(f"{name}: wants images {wanted}, got {x.shape} and {weight.shape}")
    if channels_last:
        (size, channels), (kernel, taken) = (x.shape[1:3], x.shape[3]), (weight.shape[:2],
                                                                         weight.shape[2])
    else:
        (size, channels), (kernel, taken) = (x.shape[2:], x.shape[1]), (weight.shape[2:],
                                                                        weight.shape[1])
    if channels != taken:
        raise ShapeError(f"{name}: images of shape {x.shape} have {channels} channels, the weight "
                         f"of shape {weight.shape} wants {taken}")
    _not_empty(name, x, weight)
    padded = tuple(side + 2 * p for side, p in zip(size, padding, strict=True))
    if padded[0] < kernel[0] or padded[1] < kernel[1]:
        raise ShapeError(f"{name}: a kernel of {kernel} does not fit images of {size} padded by "
                         f"{padding}, that is {padded}; it may be at most as large")


def _not_empty(name: str, x: Any, weight: Any) -> None:
    if 0 in x.shape or 0 in weight.shape:
        raise ShapeError(f"{name}: nothing to convolve in images of shape {x.shape} with a weight "
                         f"of shape {weight.shape}; every size must be at least 1")


def conv2d(
    x: Tensor, weight: Tensor, stride: Size = 1, padding: Size = 0, slope: float | None = None,
    reflect: bool = False, before: TensorOp | None = None,
) -> Tensor:
    """Images (n, c, h, w) correlated with a weight (o, c, kh, kw): (n, o, oh, ow).

    oh = (h + 2 padding - kh) // stride + 1, and ow alike; zeros are padded on all sides. With
    ``slope`` a leaky ReLU of that slope follows, 0 <= slope <= 1 (0: a ReLU): the same values and
    gradients as two operations, in less memory. With ``reflect`` the image is continued by its
    mirror image instead of zeros: as ``reflection_pad`` before it, whose result is not kept. Nor is
    that of ``before``, an operation such as ``InstanceNorm`` that is applied to x first and leaves
    its shape alone.

    Raises
    ------
    ShapeError
        If channels differ, the kernel is larger than the padded image, something is empty, or a
        side of an image is not larger than the padding that mirrors it.
    ValueError
        If the slope is out of range.
    """
    strides, paddings = pair("conv2d", "stride", stride, 1), pair("conv2d", "padding", padding, 0)
    op = Conv2d(strides, paddings, slope, reflect)
    return (op if before is None else Recomputed(before, op))(x, weight)


def transposed_size(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int], output_padding: tuple[int, int],
) -> tuple[int, int]:
    """Height and width of what ``conv_transpose2d`` makes of images of height and width ``size``.

    For each of the two: of all sides that ``conv2d``, with this kernel, stride and padding, maps to
    the given side, the smallest, plus ``output_padding``. All arguments are pairs of integers, for
    the height and the width. The result may be too small to exist; that is the caller's to refuse.
    """
    return tuple((n - 1) * s - 2 * p + k + e for n, k, s, p, e in zip(
        size, kernel, stride, padding, output_padding, strict=True))


def conv_transpose2d(
    x: Tensor, weight: Tensor, stride: Size = 1, padding: Size = 0, output_padding: Size = 0,
    before: TensorOp | None = None,
) -> Tensor:
    """The adjoint of ``conv2d``: images (n, i, h, w) and a weight (i, o, kh, kw) to (n, o, oh, ow).

    oh and ow are those of ``transposed_size``. ``output_padding`` chooses among the sizes that
    ``conv2d`` maps to h; it must be smaller than the stride. ``before`` is that of ``conv2d``.

    Raises
    ------
    ShapeError
        If channels differ, something is empty, or the result would have no positive size.
    """
    name = "conv_transpose2d"
    strides, paddings = pair(name, "stride", stride, 1), pair(name, "padding", padding, 0)
    extra = pair(name, "output_padding", output_padding, 0)
    if x.ndim != 4 or weight.ndim != 4:
        raise ShapeError(f"{name}: wants images (n, i, h, w) and a weight (i, o, kh, kw), got "
                         f"{x.shape} and {weight.shape}")
    if x.shape[1] != weight.shape[0]:
        raise ShapeError(f"{name}: images of shape {x.shape} have {x.shape[1]} channels, the "
                         f"weight of shape {weight.shape} wants {weight.shape[0]}")
    _not_empty(name, x, weight)
    if extra[0] >= strides[0] or extra[1] >= strides[1]:
        raise ShapeError(f"{name}: output_padding must be smaller than the stride {strides}, got "
                         f"{extra}")
    size = transposed_size(x.shape[2:], weight.shape[2:], strides, paddings, extra)
    if min(size) < 1:
        raise ShapeError(f"{name}: images of {x.shape[2:]} with kernel {weight.shape[2:]}, stride "
                         f"{strides} and padding {paddings} would come out as {size}; take a "
                         "smaller padding")
    op = ConvTranspose2d(strides, paddings, size)
    return (op if before is None else Recomputed(before, op))(x, weight)


def conv(a: Tensor, b: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    """The course's convolution: images (n, h, w, c) and weight (k, k, c, o) to (n, oh, ow, o)."""
    return Conv(stride, padding)(a, b)
