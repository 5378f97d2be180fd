"""Layers without convolution: linear maps, activations, containers, dropout, embedding.

Leaves out: convolutions (a file of their own), recurrent and attention layers.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator
from typing import Any

from .. import init, kernels, ops
from ..autograd import Tensor
from ..backend import Device
from ..errors import ShapeError
from .conv import Conv2d, ConvTranspose2d
from .image_norm import InstanceNorm2d
from .module import Module, Parameter
from .norm import BatchNorm1d, BatchNorm2d

__all__ = [
    "ELU",
    "GELU",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "PixelShuffle",
    "ReLU",
    "ReflectionPad2d",
    "Reshape",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Upsample",
    "UpsampleMode",
]


class Identity(Module):
    """y = x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Linear(Module):
    """y = x W + b, x of shape (..., in_features); W is (in, out) and b (1, out), as in the course.

    W and b are drawn by ``init.kaiming_uniform`` with fan in_features and out_features.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True,
                 device: Device | None = None, dtype: Any = None) -> None:
        self.in_features, self.out_features = in_features, out_features
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.kaiming_uniform(in_features, out_features, **options))
        self.bias = None
        if bias:
            b = init.kaiming_uniform(out_features, 1, **options)
            self.bias = Parameter(b.reshape((1, out_features)))

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.weight, self.bias)

    def activated(self, x: Tensor, slope: float) -> Tensor:
        """The layer with a leaky ReLU of that slope after it, as one operation."""
        return ops.linear(x, self.weight, self.bias, slope)

    def extra_repr(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}"


class Flatten(Module):
    """(n, ...) to (n, all the rest)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 1:
            raise ShapeError(f"Flatten: wants a batch, got shape {x.shape}")
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class Reshape(Module):
    """(n, ...) to (n, *shape): the way from a vector to an image."""

    def __init__(self, *shape: int) -> None:
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (x.shape[0], *self.shape))

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.shape))


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Module):
    """x where positive, else negative_slope * x (Maas et al. 2013)."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return str(self.negative_slope)


class ELU(Module):
    """x where positive, else alpha * (exp(x) - 1) (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return ops.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return str(self.alpha)


class GELU(Module):
    """x times the normal distribution function of x, in its tanh form."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.gelu(x)


class Tanh(Module):
    """tanh(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)); losses here take logits, so a network rarely ends in it."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class Softplus(Module):
    """log(1 + exp(x))."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.softplus(x)


class Sequential(Module):
    """Modules applied one after the other; indexing gives a module, a slice a Sequential."""

    def __init__(self, *modules: Module) -> None:
        for i, m in enumerate(modules):
            if not isinstance(m, Module):
                raise TypeError(f"Sequential: argument {i} is no Module but {type(m).__name__}")
        self.layers = list(modules)

    @property
    def modules(self) -> tuple[Module, ...]:
        """The layers, by the course's name (``named_modules`` walks the whole tree)."""
        return tuple(self.layers)

    def forward(self, x: Any) -> Any:
        """Apply the layers; some run as one operation with their neighbours.

        A (leaky) ReLU joins the layer before it, if that can take it along. A convolution that
        pads no zeros takes a ReflectionPad2d along, and any convolution an InstanceNorm2d, with
        its activation, that comes before: what these make is made again in the backward pass, and
        not kept until then. On the reference kernels every layer runs by itself.
        """
        if kernels.active() is not kernels.fast:
            for layer in self.layers:
                x = layer(x)
            return x
        i = 0
        while i < len(self.layers):
            layer, slope, i = self._with_slope(i)
            before, reflected = None, 0
            if type(layer) is InstanceNorm2d and not layer.affine and self._convolves(i):
                before = layer.operation(x, slope)
                layer, slope, i = self._with_slope(i)
            if type(layer) is ReflectionPad2d and self._convolves(i, padded=True):
                layer.check(x)
                reflected = layer.padding
                layer, slope, i = self._with_slope(i)
            if type(layer) is Conv2d and (before or reflected):
                x = layer.joined(x, before, reflected, slope)
            elif before:
                x = layer.joined(x, before)
            else:
                x = layer(x) if slope is None else layer.activated(x, slope)
        return x

    def _with_slope(self, i: int) -> tuple[Module, float | None, int]:
        """Layer i, the slope of the activation that it takes along, and the number of the next."""
        layer, slope = self.layers[i], None
        if type(layer) in _JOINED and i + 1 < len(self.layers):
            slope = _slope(self.layers[i + 1])
        return layer, slope, i + 1 + (slope is not None)

    def _convolves(self, i: int, padded: bool = False) -> bool:
        """Whether a convolution comes at i, or after a ReflectionPad2d there.

        ``padded`` says that the ReflectionPad2d was before. After one, no zeros may be padded.
        """
        if not padded and self._is_at(i, ReflectionPad2d):
            return self._convolves(i + 1, padded=True)
        if padded:
            return self._is_at(i, Conv2d) and self.layers[i].padding == (0, 0)
        return self._is_at(i, Conv2d) or self._is_at(i, ConvTranspose2d)

    def _is_at(self, i: int, kind: type[Module]) -> bool:
        return i < len(self.layers) and type(self.layers[i]) is kind

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Module:
        chosen = self.layers[index]
        return Sequential(*chosen) if isinstance(index, slice) else chosen


# Layers that can take an activation along.
_JOINED = (Linear, Conv2d, BatchNorm1d, BatchNorm2d, InstanceNorm2d)


def _slope(layer: Module) -> float | None:
    """The slope of an activation that a layer can take along, else None."""
    if type(layer) is ReLU:
        return 0.0
    if type(layer) is LeakyReLU and 0 <= layer.negative_slope <= 1:
        return layer.negative_slope
    return None


class Residual(Module):
    """y = fn(x) + x (He et al. 2016)."""

    def __init__(self, fn: Module | Callable[[Tensor], Tensor]) -> None:
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x) + x


class Dropout(Module):
    """In training, zero each element with probability p and divide the others by 1 - p."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p must be in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        keep = init.randb(*x.shape, p=1 - self.p, dtype=x.dtype, device=x.device)
        return ops.masked(x, keep.cached_data / (1 - self.p))

    def extra_repr(self) -> str:
        return str(self.p)


class Embedding(Module):
    """A table of vectors: integer indices of any shape to (..., embedding_dim)."""

    def __init__(self, num_embeddings: int, embedding_dim: int, *, device: Device | None = None,
                 dtype: Any = None) -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(init.randn(num_embeddings, embedding_dim, device=device,
                                           dtype=dtype))

    def forward(self, indices: Any) -> Tensor:
        return ops.embedding(indices, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class UpsampleMode(enum.Enum):
    """How ``Upsample`` fills in pixels."""

    NEAREST = enum.auto()
    BILINEAR = enum.auto()


class Upsample(Module):
    """Images (n, c, h, w) enlarged by a whole factor in both directions.

    ``UpsampleMode.NEAREST`` repeats every pixel; ``UpsampleMode.BILINEAR`` interpolates between
    the middles of pixels (PyTorch's ``align_corners=False``).

    Raises
    ------
    TypeError
        If ``mode`` is no UpsampleMode.
    ShapeError
        If the factor is no positive integer, or the input has not four axes.
    """

    def __init__(self, scale_factor: int, *, mode: UpsampleMode = UpsampleMode.NEAREST) -> None:
        if not isinstance(mode, UpsampleMode):
            raise TypeError(f"Upsample: mode must be UpsampleMode.NEAREST or "
                            f"UpsampleMode.BILINEAR, got {mode!r}")
        self.scale_factor, self.mode = scale_factor, mode

    def forward(self, x: Tensor) -> Tensor:
        nearest = self.mode is UpsampleMode.NEAREST
        return (ops.upsample if nearest else ops.upsample_bilinear)(x, self.scale_factor)

    def extra_repr(self) -> str:
        nearest = self.mode is UpsampleMode.NEAREST
        return str(self.scale_factor) + ("" if nearest else f", mode={self.mode}")


class PixelShuffle(Module):
    """(n, c f f, h, w) to (n, c, h f, w f) (Shi et al. 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return ops.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return str(self.upscale_factor)


class ReflectionPad2d(Module):
    """Images (n, c, h, w) continued by ``padding`` pixels of their mirror image on all four sides.

    Raises
    ------
    ShapeError
        If the padding is negative, the input has not four axes, or its height or width is not
        greater than the padding: the border itself is not repeated.
    """

    def __init__(self, padding: int) -> None:
        if padding < 0:
            raise ShapeError(f"ReflectionPad2d: padding must be at least 0, got {padding}")
        self.padding = padding

    def check(self, x: Tensor) -> None:
        """Refuse what cannot be padded so."""
        if x.ndim != 4 or min(x.shape[2:]) <= self.padding:
            raise ShapeError(f"ReflectionPad2d: wants (n, c, h, w) with h and w greater than the "
                             f"padding {self.padding}, got shape {x.shape}")

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        side = (self.padding, self.padding)
        return ops.reflection_pad(x, ((0, 0), (0, 0), side, side))

    def extra_repr(self) -> str:
        return str(self.padding)
