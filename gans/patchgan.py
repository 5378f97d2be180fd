"""PatchGAN: a discriminator that judges patches of an image instead of the whole.

Source: Isola et al. 2017, section 3.2.2; also Li and Wand 2016. Convolutions all the way: the
output is a map of logits, each of which sees one patch, and objectives take the mean of them. So D
judges texture and style, has few weights, and works on images of any size. What an image shows as a
whole is left to the other losses.

With f = ``features``, s for stride 2, and instance norm but in the first and last layer::

    32 pixels   f s - 2f s - 4f - 1         maps of 16, 8, 7, 6: a logit sees 34 pixels
    64 and up   f s - 2f s - 4f s - 8f - 1  256 pixels: the paper's 70 x 70 patches

The depth follows the size: the third halving would leave maps of 4 pixels of a 32-pixel image, and
3 after the next layer, for instance norm to take its statistics of. In the paper's program kernels
are 4x4 as here; it has batch norm for pix2pix and instance norm for CycleGAN.

Leaves out: discriminators of several sizes of patches.
"""

from __future__ import annotations

from minigrad.errors import ShapeError
from minigrad.nn import Conv2d, InstanceNorm2d, LeakyReLU, Module, Sequential

__all__ = ["patch_discriminator"]

LEAST_SIDE = 16
DEEP_SIDE = 64  # from which on there are three halvings
MOST_WIDENING = 8  # channels of the widest layer, in features


def patch_discriminator(data_shape: tuple[int, ...], features: int) -> Module:
    """Images (n, *data_shape) to a map of logits (n, 1, h', w').

    ``data_shape`` is (c, h, w). Layers as above, by the shorter side: two halvings below 64 pixels,
    three from 64 on. Every kernel is 4x4 with padding 1, leaky ReLUs have slope 0.2, and layers
    with instance norm no bias, which it would take away.

    Raises
    ------
    ShapeError
        If the images are smaller than 16 pixels.
    """
    channels, h, w = data_shape
    if min(h, w) < LEAST_SIDE:
        raise ShapeError(f"patch_discriminator: wants images of at least {LEAST_SIDE} x "
                         f"{LEAST_SIDE} pixels, got {h} x {w}")
    halvings = 3 if min(h, w) >= DEEP_SIDE else 2
    layers: list[Module] = [Conv2d(channels, features, 4, stride=2, padding=1), LeakyReLU(0.2)]
    width = features
    for layer in range(1, halvings + 1):
        wider = min(2 * width, MOST_WIDENING * features)
        stride = 2 if layer < halvings else 1
        layers += [Conv2d(width, wider, 4, stride=stride, padding=1, bias=False),
                   InstanceNorm2d(wider), LeakyReLU(0.2)]
        width = wider
    return Sequential(*layers, Conv2d(width, 1, 4, padding=1))
