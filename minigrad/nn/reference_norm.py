"""Batch normalisation that does not depend on the other samples: reference and virtual batch norm.

Batch norm makes each sample of a generator depend on its neighbours in the batch. Salimans et al.
2016 (section 3.5, "Improved techniques for training GANs") fix a reference batch once, when
training starts, and take the statistics from there. With m and v the mean and the biased variance
of one channel over the images of the reference batch and their pixels, m_i and v_i those over the
pixels of sample i alone, and r reference images of as many pixels as the sample::

    reference batch norm    mean = m                        var = v
    virtual batch norm      mean = (r m + m_i) / (r + 1)
                            var  = (r v + v_i) / (r + 1) + r (m_i - m)^2 / (r + 1)^2

The second pair are the statistics of the reference batch and sample i together. The mean is plain
counting. The variance is the mean of the variances within the two groups, weighted by r and 1, and
that of the squared distances of the group means from the common mean, which are (m_i - m) / (r + 1)
for the r images and r (m_i - m) / (r + 1) for the one::

    r / (r + 1) * 1 / (r + 1)^2  +  1 / (r + 1) * r^2 / (r + 1)^2  =  r / (r + 1)^2

The layers keep no state: the first ``reference`` rows of what comes in are the reference batch, as
it looks at this depth of the network, and are normalised by their own statistics in both kinds.
``WithReference`` puts the batch in front and takes its rows away again. Gradients flow through the
statistics too. Training and evaluation compute the same; the price is that the reference batch goes
through the network every time.

Leaves out: keeping the reference's statistics between calls, and inputs other than images.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .. import init, ops
from ..autograd import Tensor
from ..backend import Device
from ..errors import ShapeError
from .module import Buffer, Module, Parameter
from .norm import BatchNorm2d, check_eps

__all__ = ["ReferenceBatchNorm2d", "VirtualBatchNorm2d", "WithReference", "replace_batch_norm"]


class ReferenceBatchNorm2d(Module):
    """Each channel normalised by mean and variance of the first ``reference`` images, then scaled.

    From (n, features, h, w) to the same shape, n > reference. Source: Salimans et al. 2016, section
    3.5; Oslo INF5860, "Batch norm". The reference batch is overfitted: nothing else shapes the
    statistics. ``VirtualBatchNorm2d`` was made against that.

    Raises
    ------
    ShapeError
        If a size is below 1; if the input has another shape, or holds no image besides the
        reference batch; if that has a single value in a channel, whose variance is 0.
    ValueError
        If eps is above 0.01.
    """

    def __init__(self, features: int, reference: int, *, eps: float = 1e-5,
                 device: Device | None = None, dtype: Any = None) -> None:
        name = type(self).__name__
        if features < 1 or reference < 1:
            raise ShapeError(f"{name}: features and reference must be at least 1, got {features} "
                             f"and {reference}")
        self.features, self.reference, self.eps = features, reference, check_eps(name, eps)
        self.weight = Parameter(init.ones(features, device=device, dtype=dtype))
        self.bias = Parameter(init.zeros(features, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        first, rest = x[:self.reference], x[self.reference:]
        mean, var = _statistics(first, (0, 2, 3))
        own_mean, own_var = self._of_the_rest(rest, mean, var)
        y = ops.concat([(first - mean) * (var + self.eps) ** -0.5,
                        (rest - own_mean) * (own_var + self.eps) ** -0.5])
        beside = (self.features, 1, 1)
        return y * self.weight.reshape(beside) + self.bias.reshape(beside)

    def _of_the_rest(self, rest: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance for the images behind the reference batch, from those of the batch."""
        return mean, var

    def _check(self, x: Tensor) -> None:
        name = type(self).__name__
        if x.ndim != 4 or x.shape[1] != self.features:
            raise ShapeError(f"{name}: wants (n, {self.features}, h, w), got shape {x.shape}")
        if len(x) <= self.reference:
            raise ShapeError(f"{name}: wants more than the {self.reference} images of the reference"
                             f" batch, got shape {x.shape}; WithReference puts it in front")
        if self.reference * x.shape[2] * x.shape[3] < 2:
            raise ShapeError(f"{name}: wants two or more values in each channel of the reference "
                             f"batch, got {self.reference} of {x.shape[2]} x {x.shape[3]} pixels")

    def extra_repr(self) -> str:
        return f"{self.features}, {self.reference}, eps={self.eps}"


class VirtualBatchNorm2d(ReferenceBatchNorm2d):
    """Each image normalised by statistics of the reference batch and of itself, then scaled.

    From (n, features, h, w) to the same shape, n > reference; the first ``reference`` images are
    normalised by their own statistics. Source: Salimans et al. 2016, section 3.5; Oslo INF5860,
    "Batch norm". Errors are those of ``ReferenceBatchNorm2d``.
    """

    def _of_the_rest(self, rest: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        own_mean, own_var = _statistics(rest, (2, 3))
        r = self.reference
        apart = own_mean - mean
        return (mean + apart / (r + 1),
                (r * var + own_var) / (r + 1) + r / (r + 1) ** 2 * (apart * apart))


def _statistics(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over ``axes``, which stay with size 1."""
    mean = ops.mean(x, axes, True)
    centred = x - mean
    return mean, ops.mean(centred * centred, axes, True)


class WithReference(Module):
    """A network that sees a fixed reference batch in front of every batch, and gives no rows of it.

    Parameters
    ----------
    net : Module
        (r + n, ...) to (r + n, ...) of any other shape; its reference layers expect r images.
    reference : Tensor, (r, ...)
        Inputs of the network: latent vectors for a generator, real images for a discriminator.
        They are kept as a buffer, so they are saved with the weights.

    Raises
    ------
    ShapeError
        If the reference batch is empty, or rows of an input have another shape than its rows.
    """

    def __init__(self, net: Module, reference: Tensor) -> None:
        if reference.ndim == 0 or len(reference) == 0:
            raise ShapeError(f"WithReference: wants one or more reference inputs, got shape "
                             f"{reference.shape}")
        self.net = net
        self.reference = Buffer(reference.cached_data, dtype=reference.dtype)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.reference.shape[1:] or x.ndim == 0:
            raise ShapeError(f"WithReference: wants rows of shape {self.reference.shape[1:]} as in "
                             f"the reference batch, got shape {x.shape}")
        return self.net(ops.concat([self.reference, x]))[len(self.reference):]

    def extra_repr(self) -> str:
        return f"reference={self.reference.shape}"


def replace_batch_norm(net: Module, make: Callable[[int], Module]) -> Module:
    """A copy of ``net`` in which every BatchNorm2d is ``make(its features)`` with its affine map.

    Scale and shift are copied into the new layer's ``weight`` and ``bias``, running statistics are
    dropped. Layers are found as attributes of modules and in lists among these (``Sequential``).

    >>> from minigrad.nn import BatchNorm2d, Sequential
    >>> replace_batch_norm(Sequential(BatchNorm2d(4)), lambda c: VirtualBatchNorm2d(c, 8))
    Sequential(
      (layers.0): VirtualBatchNorm2d(4, 8, eps=1e-05)
    )
    """
    net = copy.deepcopy(net)
    for _, module in list(net.named_modules()):
        for name, value in list(vars(module).items()):
            if isinstance(value, list):
                value[:] = [_replaced(item, make) for item in value]
            else:
                setattr(module, name, _replaced(value, make))
    return _replaced(net, make)


def _replaced(value: Any, make: Callable[[int], Module]) -> Any:
    if not isinstance(value, BatchNorm2d):
        return value
    layer = make(value.dim)
    layer.weight.data, layer.bias.data = value.weight, value.bias
    return layer
