"""The figures of notebook 08_convolution_and_its_transpose.

All numbers come from the engine's own operations: the matrix of a convolution is found by pushing
unit images through it, counts of overlaps by convolving ones with ones, fields by gradients.

Leaves out: how the kernels are made fast, which the guide "How the kernels work" shows.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np

from gans.dcgan import DCGAN
from gans.plots import VERMILION, Drawing, bars, drawing, finish, pictures, table
from gans.pretrained import load_generator
from minigrad import Tensor, grad, no_grad, ops, random
from minigrad.data import load
from minigrad.nn import Module, Sequential

Array = np.ndarray


def plane(values: Array) -> Tensor:
    """A matrix as one image of one channel, (1, 1, h, w), in float64."""
    values = np.asarray(values, dtype=np.float64)
    return Tensor(values.reshape(1, 1, *values.shape), dtype="float64")


# ------------------------------------------------------------------------------- filters, matrices


EDGES = {
    "vertical edges": np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "horizontal edges": np.array([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "mean of 3 x 3": np.full((3, 3), 1 / 9),
}


def filters_on_a_digit() -> Drawing:
    """A digit and what three filters make of it."""
    digit = load("digits").test_images[3] / 255.0
    figure, axes = drawing(1, 4, width=8.0, height=2.1, title="A filter asks the same question at "
                           "every place of the image")
    axes[0, 0].imshow(digit, cmap="gray")
    axes[0, 0].set_title("image", fontsize=10)
    for ax, (name, kernel) in zip(axes[0, 1:], EDGES.items(), strict=True):
        y = ops.conv2d(plane(digit), plane(kernel), 1, 1).numpy()[0, 0]
        reach = np.abs(y).max()
        ax.imshow(y, cmap="PuOr" if (kernel < 0).any() else "gray",
                  vmin=-reach if (kernel < 0).any() else 0, vmax=reach)
        ax.set_title(name, fontsize=10)
    for ax in axes[0]:
        ax.set_axis_off()
    return figure


def matrix_of(f: Callable[[Tensor], Tensor], shape: tuple[int, int]) -> Array:
    """The matrix of a linear map of images (h, w): column j is what becomes of unit image j."""
    size = shape[0] * shape[1]
    units = Tensor(np.eye(size).reshape(size, 1, *shape), dtype="float64")
    return f(units).numpy().reshape(size, -1).T


def convolution_matrix() -> Drawing:
    """The matrix of a 3x3 convolution, stride 2, of a 5x5 image, and that of its transpose."""
    weight = plane(np.arange(1.0, 10).reshape(3, 3))
    A = matrix_of(lambda x: ops.conv2d(x, weight, 2), (5, 5))
    B = matrix_of(lambda y: ops.conv_transpose2d(y, weight, 2), (2, 2))
    figure, axes = drawing(1, 2, width=8.4, height=3.6, title="Convolution is a sparse matrix with "
                           "few different numbers; the transposed convolution is its transpose")
    for ax, matrix, name in zip(axes[0], (A, B), ("A: 25 pixels to 4", "its transpose: 4 to 25"),
                                strict=True):
        shown = np.where(matrix == 0, np.nan, matrix)
        table(ax, shown, form="{:.0f}", highest=12)
        for text in ax.texts:
            text.set_fontsize(6)
        ax.set_facecolor("#F4F4F4")
        ax.set_aspect("equal")
        ax.set_title(f"{name}, {matrix.shape[0]} x {matrix.shape[1]}", fontsize=10)
    return figure


# ----------------------------------------------------------------------------------- one pixel


def stamps() -> Drawing:
    """What a transposed convolution (4x4, stride 2) makes of one pixel, of two, and of many."""
    ramp = np.array([1.0, 3, 3, 1])
    weight = plane(np.outer(ramp, ramp) / 9)
    figure, axes = drawing(1, 4, width=8.4, height=2.3, title="A transposed convolution paints a "
                           "stamp for every pixel; where stamps overlap they add up")
    one, two, many = np.zeros((3, 4, 4))
    one[1, 1] = two[1, 1] = 1.0
    two[1, 2] = 0.5
    many[:] = np.add.outer(np.arange(4), np.arange(4)) / 6
    shown = {"one pixel of 4 x 4": one, "its stamp, 8 x 8": None, "two pixels": two,
             "a ramp of 16": many}
    for ax, (name, values) in zip(axes[0], shown.items(), strict=True):
        y = values if name.startswith("one") else ops.conv_transpose2d(
            plane(one if values is None else values), weight, 2, 1).numpy()[0, 0]
        ax.imshow(y, cmap="Blues", vmin=0, vmax=max(1.0, y.max()))
        ax.set_title(name, fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
    return figure


# -------------------------------------------------------------------------------- checkerboards


def upsampling(kernel: int, size: int = 6) -> Callable[[Tensor, Tensor], Tensor]:
    """Doubling by a transposed convolution with the middle 2 size x 2 size pixels kept."""
    def apply(x: Tensor, weight: Tensor) -> Tensor:
        y = ops.conv_transpose2d(x, weight, 2)
        skip = (kernel - 1) // 2
        return y[:, :, skip:skip + 2 * size, skip:skip + 2 * size]
    return apply


def resize_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Doubling by repeating every pixel, then a 3x3 convolution."""
    return ops.conv2d(ops.upsample(x, 2), weight, 1, 1)


DOUBLINGS: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "3 x 3, stride 2": (3, upsampling(3)),
    "4 x 4, stride 2": (4, upsampling(4)),
    "5 x 5, stride 2": (5, upsampling(5)),
    "repeat, then 3 x 3": (3, resize_convolution),
}
"""Ways to double an image of 6x6 pixels: the size of the kernel, and the map of (x, weight)."""


def overlaps() -> dict[str, Array]:
    """How many products every pixel is the sum of, for each of ``DOUBLINGS``: ones with ones."""
    return {name: double(plane(np.ones((6, 6))), plane(np.ones((k, k)))).numpy()[0, 0]
            for name, (k, double) in DOUBLINGS.items()}


def flat_responses(draws: int = 1000) -> dict[str, Array]:
    """What becomes of a flat image of ones for ``draws`` random kernels N(0, 1): (draws, 2, 2).

    The 2x2 pixels in the middle, one of each phase; they repeat over the whole inside.
    """
    rng, found = np.random.default_rng(0), {}
    for name, (k, double) in DOUBLINGS.items():
        weights = rng.standard_normal((draws, 1, k, k))
        weights = weights if double is resize_convolution else weights.transpose(1, 0, 2, 3)
        y = double(plane(np.ones((6, 6))), Tensor(weights, dtype="float64")).numpy()[0]
        found[name] = y[:, 4:6, 4:6]
    return found


def checkerboards() -> Drawing:
    """Counts of overlaps for four ways to double, and a flat image through random kernels."""
    figure, axes = drawing(2, 4, width=8.6, height=2.1, title="Where the stride does not divide "
                           "the kernel, overlaps form a checkerboard before anything is learned")
    rng = np.random.default_rng(3)
    for i, (name, counts) in enumerate(overlaps().items()):
        top, bottom = axes[:, i]
        table(top, counts, form="{:.0f}", highest=1.6 * counts.max())
        for text in top.texts:
            text.set_fontsize(6)
        k, double = DOUBLINGS[name]
        y = double(plane(np.ones((6, 6))), plane(rng.standard_normal((k, k)))).numpy()[0, 0]
        bottom.imshow(y, cmap="gray", vmin=-4, vmax=4)
        bottom.set_xticks([])
        bottom.set_yticks([])
        top.set_title(name, fontsize=10)
        top.set_aspect("equal")
    axes[0, 0].set_ylabel("products per pixel", fontsize=9)
    axes[1, 0].set_ylabel("flat image, random kernel", fontsize=9)
    return figure


def checkerboard_share(images: Array) -> float:
    """The part of fine detail in images (n, c, h, w) that is a checkerboard, from 0 to 1.

    Each block of 2x2 pixels a b / c d holds three kinds of detail of equal norm: left against
    right, top against bottom, and the diagonals, a + d - b - c. The share is that of the last in
    the sum of squares.
    """
    a, b = images[:, :, ::2, ::2], images[:, :, ::2, 1::2]
    c, d = images[:, :, 1::2, ::2], images[:, :, 1::2, 1::2]
    parts = [float(((part) ** 2).sum()) for part in (a + c - b - d, a + b - c - d, a + d - b - c)]
    return parts[2] / sum(parts)


def checkerboard_images(n: int = 200) -> dict[str, Array]:
    """n emoji of the shipped generator, as many real ones, and images of an untrained generator."""
    shipped = load_generator("dcgan-emoji")
    previous = random.set_generator(np.random.default_rng(0))
    try:
        untrained = DCGAN(shipped.model.data_shape, latent_dim=shipped.model.latent_dim,
                          features_G=32, features_D=8)
    finally:
        random.set_generator(previous)
    rng = np.random.default_rng(0)
    emoji = load("emoji")
    real = np.concatenate([emoji.a_images[:n // 2], emoji.b_images[:n - n // 2]])
    return {
        "real emoji": real.transpose(0, 3, 1, 2) / 127.5 - 1,
        "DCGAN, trained": shipped.model.sample(n, rng).numpy(),
        "DCGAN, untrained": untrained.sample(n, rng).numpy(),
    }


def checkerboards_in_images() -> Drawing:
    """How much of the fine detail of real, generated and untrained images is a checkerboard."""
    shown = {name: checkerboard_share(images) for name, images in checkerboard_images().items()}
    figure, axes = drawing(height=1.5, title="Kernels of 4 x 4 allow checkerboards; training "
                           "removes most of them, not all")
    bars(axes[0, 0], shown, colours={"real emoji": VERMILION})
    finish(axes[0, 0], x="share of 2 x 2 detail that is diagonal")
    return figure


# ----------------------------------------------------------------------------------------- fields


def receptive_field(layers: Sequence[tuple[int, int]]) -> list[int]:
    """Side of what one unit sees after each layer, for (kernel, stride) from the image on.

    Every layer adds kernel - 1 steps of the pixels it stands on, which are ``jump`` pixels apart.
    """
    side, jump, sides = 1, 1, []
    for kernel, stride in layers:
        side, jump = side + (kernel - 1) * jump, jump * stride
        sides.append(side)
    return sides


def strided_layers(D: Module) -> list[Module]:
    """The convolutions of D that have a stride."""
    return [m for _, m in D.named_modules() if getattr(m, "stride", (1, 1)) != (1, 1)]


def sensitivity(layers: Sequence[Module], side: int) -> Array:
    """|d unit / d pixel| of one unit in the middle of the last map, summed over channels (h, w).

    The layers are taken without activations, on which the field does not depend, and with the
    absolute values of their weights, so that no two ways through the network cancel.
    """
    layers = copy.deepcopy(list(layers))
    for layer in layers:
        layer.weight.data = ops.abs(layer.weight)
    x = Tensor(np.zeros((1, layers[0].weight.shape[1], side, side), "float32"))
    y = Sequential(*layers)(x)
    middle = y.shape[2] // 2
    return np.abs(grad(y[:, :, middle, middle].sum(), x).numpy()).sum((0, 1))


def extent(values: Array) -> int:
    """The side of the smallest square that holds all that is not 0."""
    rows, columns = np.nonzero(np.abs(values) > 1e-12 * np.abs(values).max())
    return int(max(np.ptp(rows), np.ptp(columns))) + 1


def discriminator_of(side: int) -> Module:
    """An untrained D of few channels for images of this side (28 with the margin of 2)."""
    previous = random.set_generator(np.random.default_rng(0))
    try:
        return DCGAN((1, side, side), features_G=4, features_D=16, margin=2 if side == 28 else 0).D
    finally:
        random.set_generator(previous)


def receptive_fields() -> Drawing:
    """What one unit of each strided layer of D sees, by gradients, of 64 pixels."""
    layers = strided_layers(discriminator_of(64))
    figure, axes = drawing(1, len(layers), width=8.4, height=2.4, title="Each layer of D sees "
                           "twice as far, and its middle best: 4, 10, 22, 46 of 64 pixels")
    for i, ax in enumerate(axes[0]):
        seen = sensitivity(layers[:i + 1], 64)
        ax.imshow(np.sqrt(seen / seen.max()), cmap="Blues")
        ax.set_title(f"layer {i + 1}: {extent(seen)} x {extent(seen)}", fontsize=10)
        ax.set_xticks([0, 31, 63])
        ax.set_yticks([0, 31, 63])
    return figure


def painted(n: int = 64) -> Array:
    """Mean change of the shipped digit generator's images by one pixel of its first map: (h, w).

    One unit of noise N(0, 1) is added to every channel of pixel (1, 1) of the 4x4 map.
    """
    shipped = load_generator("dcgan-digits")
    G = copy.deepcopy(shipped.model.ema.module).eval()
    start, rest = G[:2], G[2:-1]  # the last layer cuts the margin off
    rng = np.random.default_rng(0)
    with no_grad():
        maps = start(shipped.model.noise(n, rng)).numpy()
        moved = maps.copy()
        moved[:, :, 1, 1] += rng.standard_normal(moved.shape[:2])
        before, after = (rest(Tensor(m)).numpy() for m in (maps, moved))
    return np.abs(after - before).mean((0, 1))


def painted_by_a_pixel() -> Drawing:
    """What one pixel of the first map paints: by the stamps alone, and in the trained generator."""
    ones = np.ones((4, 4))
    y = plane(np.pad([[1.0]], ((1, 2), (1, 2))))
    for _ in range(3):
        y = ops.conv_transpose2d(y, plane(ones), 2, 1)
    shown = {"the first map": np.pad([[1.0]], ((1, 2), (1, 2))),
             "three stamps of ones": y.numpy()[0, 0], "trained generator": painted()}
    figure, axes = drawing(1, 3, width=7.6, height=2.5, title="One of 16 pixels paints 22 x 22 of "
                           "32 x 32: what D's unit sees, G's pixel paints")
    for ax, (name, values) in zip(axes[0], shown.items(), strict=True):
        ax.imshow(values, cmap="Blues")
        ax.set_title(f"{name}, {len(values)} x {len(values)}", fontsize=10)
        ax.set_xticks([])
        ax.set_yticks([])
    return figure


def learned_stamps() -> Drawing:
    """The 32 stamps of 4x4 pixels from which the shipped digit generator paints its images."""
    G = load_generator("dcgan-digits").model.ema.module
    weight = G[10].weight.numpy()[:, 0]
    reach = np.abs(weight).max((1, 2), keepdims=True)
    images = np.rint((weight / reach + 1) * 127.5).astype(np.uint8)
    figure, axes = drawing(height=1.3, width=7.2, title="The 32 stamps that draw every digit: "
                           "edges, bars and blobs, white for ink")
    pictures(axes[0, 0], images, 16)
    return figure


FIGURES: dict[str, Callable[[], Drawing]] = {
    "filters-on-a-digit": filters_on_a_digit,
    "convolution-matrix": convolution_matrix,
    "transposed-stamps": stamps,
    "checkerboards": checkerboards,
    "checkerboards-in-images": checkerboards_in_images,
    "receptive-fields": receptive_fields,
    "painted-by-a-pixel": painted_by_a_pixel,
    "learned-stamps": learned_stamps,
}
