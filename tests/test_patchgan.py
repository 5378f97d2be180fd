"""PatchGAN: its layers at every size, what one logit sees, and the largest patches of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from gans.patchgan import patch_discriminator
from minigrad import Tensor, no_grad
from minigrad.errors import ShapeError
from minigrad.nn import Conv2d, InstanceNorm2d


def convolutions(D):
    return [m for m in D.modules if isinstance(m, Conv2d)]


def maps(D, x):
    """The sides of every map, layer by layer of convolution."""
    sides = []
    with no_grad():
        for m in D.modules:
            x = m(x)
            if isinstance(m, Conv2d):
                sides.append(x.shape[2:])
    return sides, x


def images(n, c, side, seed=0):
    return np.random.default_rng(seed).standard_normal((n, c, side, side)).astype("float32")


@pytest.mark.parametrize("side, expected", [
    (16, [8, 4, 3, 2]),
    (28, [14, 7, 6, 5]),
    (32, [16, 8, 7, 6]),
    (64, [32, 16, 8, 7, 6]),
    (128, [64, 32, 16, 15, 14]),
    (256, [128, 64, 32, 31, 30]),  # 30 x 30 logits, as the paper's 70 x 70 discriminator has them
])
def test_the_depth_follows_the_size(side, expected):
    D = patch_discriminator((3, side, side), 2)
    sides, out = maps(D, Tensor(images(1, 3, side)))
    assert sides == [(s, s) for s in expected]
    assert out.shape == (1, 1, expected[-1], expected[-1])


@pytest.mark.parametrize("side, widths", [(32, [64, 128, 256, 1]), (64, [64, 128, 256, 512, 1]),
                                          (256, [64, 128, 256, 512, 1])])
def test_widths_biases_and_norms(side, widths):
    """64-128-256-512 at the paper's size; no norm in the first layer and in the last."""
    D = patch_discriminator((3, side, side), 64)
    layers = convolutions(D)
    assert [c.out_channels for c in layers] == widths
    assert [c.bias is not None for c in layers] == [True, *[False] * (len(layers) - 2), True]
    assert all(c.kernel_size in (4, (4, 4)) for c in layers)
    norms = [m for m in D.modules if isinstance(m, InstanceNorm2d)]
    assert len(norms) == len(layers) - 2
    assert not isinstance(D.modules[1], InstanceNorm2d)


@pytest.mark.parametrize("side", [16, 28, 32, 64])
def test_instance_norm_never_stands_below_three_pixels(side):
    """Of a map of one pixel it makes 0 (the paper's depth on 32 pixels comes near)."""
    D = patch_discriminator((1, side, side), 2)
    x, least = Tensor(images(1, 1, side)), []
    with no_grad():
        for m in D.modules:
            if isinstance(m, InstanceNorm2d):
                least.append(min(x.shape[2:]))
            x = m(x)
    assert min(least) >= 3


def without_norm(D):
    """The layers that see patches only: instance norm looks at the whole map."""
    return [m for m in D.modules if not isinstance(m, InstanceNorm2d)]


@pytest.mark.parametrize("side, patch", [(32, 34), (64, 70), (256, 70)])
def test_a_logit_sees_one_patch(side, patch):
    """Of an image of 128 pixels, so that no border cuts it off."""
    D = without_norm(patch_discriminator((1, side, side), 1))
    for m in D:
        if isinstance(m, Conv2d):
            m.weight.copy_(np.ones(m.weight.shape, "float32"))
    x = Tensor(np.ones((1, 1, 128, 128), "float32"))
    out = x
    for m in D:
        out = m(out)
    middle = out.shape[2] // 2
    out[0, 0, middle, middle].backward()
    for axis in (0, 1):
        seen = np.flatnonzero(x.grad.numpy()[0, 0].any(axis=axis))
        assert len(seen) == patch == seen[-1] - seen[0] + 1


def test_images_do_not_disturb_each_other():
    """Instance norm keeps samples apart, so D may see a batch of anything."""
    D, x = patch_discriminator((3, 32, 32), 4), images(3, 3, 32)
    with no_grad():
        together = D(Tensor(x)).numpy()
        alone = np.concatenate([D(Tensor(row[None])).numpy() for row in x])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_images_of_other_sizes_and_shapes_work():
    D = patch_discriminator((3, 32, 32), 2)
    with no_grad():
        assert D(Tensor(images(1, 3, 48))).shape == (1, 1, 10, 10)
    assert patch_discriminator((1, 32, 64), 2)(
        Tensor(np.zeros((1, 1, 32, 64), "float32"))).shape == (1, 1, 6, 14)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 64, 12)])
def test_images_that_are_too_small(shape):
    with pytest.raises(ShapeError, match=r"at least 16 x 16 pixels, got"):
        patch_discriminator(shape, 4)
