"""What homework 6 asks and what is right: CycleGAN and WGAN-GP.

Norms are compared with sums over pairs of pixels, maps of patches with convolutions window by
window, what a pool shows with a walk through its slots, and steps of networks with the differences
of losses in NumPy: w - lr (J(w + e) - J(w - e)) / (2 e), one weight after the other.

Leaves out: everything of minigrad and gans.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy

from ..check import Check, Fault, Kind, Outcome, agrees
from ..runs import hw6 as runs
from .tools import (
    Arrays,
    bent_at_zero,
    normal,
    numeric_gradients,
    positive,
    well_conditioned,
)

__all__ = ["CHECKS"]

EXACT = 1e-9  # for values that only rounding in float64 can change
STEP = 1e-6  # for steps by differences
Suspects = dict[str, Callable[[Arrays], Arrays]]


def _filled(want: Callable[[Arrays], Arrays], suspects: Suspects) -> Suspects:
    """Suspects that name some outputs only, with what is right for all others."""

    def fill(suspect: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
        return lambda inputs: {**want(inputs), **suspect(inputs)}

    return {sentence: fill(suspect) for sentence, suspect in suspects.items()}


# -------------------------------------------------------------------------------- Q1: instance norm


def _leaky(y: numpy.ndarray, inputs: Arrays) -> numpy.ndarray:
    return numpy.where(y > 0, y, inputs["slope"] * y) if "slope" in inputs else y


def _images(rng: numpy.random.Generator, small: bool = False) -> Arrays:
    """Images whose channels differ in mean and width, and an eps that can be seen."""
    low, high = (1, 3) if small else (2, 4)
    n, c = int(rng.integers(low + 1, high + 1)), int(rng.integers(2, 4))
    h, w = (int(side) for side in rng.integers(2, 4 if small else 6, 2))
    x = normal(rng, n, c, h, w) * positive(rng, n, c, 1, 1) + 2 * normal(rng, n, c, 1, 1)
    return {"x": x, "eps": rng.uniform(0.05, 0.2)}


def _images_and_slope(rng: numpy.random.Generator) -> Arrays:
    return {**_images(rng), "slope": rng.uniform(0.1, 0.5) * rng.integers(0, 2)}


def _other_axes(rng: numpy.random.Generator) -> Arrays:
    """(n, c, length) or (n, c, d, h, w)."""
    shape = [(3, 2, 7), (2, 3, 2, 3, 2)][int(rng.integers(2))]
    return {"x": normal(rng, *shape) + normal(rng, *shape[:2], *(1,) * (len(shape) - 2)),
            "eps": rng.uniform(0.05, 0.2)}


def _with_moments(rng: numpy.random.Generator) -> Arrays:
    """Moments that are not those of x."""
    inputs = _images(rng)
    shape = inputs["x"].shape[:2]
    return {**inputs, "mean": normal(rng, *shape), "var": positive(rng, *shape)}


def _in_float32(rng: numpy.random.Generator) -> Arrays:
    inputs = _images_and_slope(rng)
    return {**inputs, "x": inputs["x"].astype("float32")}


def _normalised(inputs: Arrays, axes: str = "pixels", biased: bool = True) -> Arrays:
    """Means and variances from the differences of all pairs of pixels; other axes: a mistake."""
    x = inputs["x"].astype("float64")
    n, c = x.shape[:2]
    groups = {"pixels": x.reshape(n, c, -1), "batch": x.swapaxes(0, 1).reshape(1, c, -1),
              "channels": x.reshape(n, 1, -1)}[axes]
    pairs = groups[..., :, None] - groups[..., None, :]
    size = groups.shape[-1]
    var = (pairs ** 2).sum((-1, -2)) / (2 * size * (size if biased else size - 1))
    mean = groups[..., 0] - pairs[..., 0, :].sum(-1) / size
    if "mean" in inputs and axes == "pixels":
        mean, var = inputs["mean"], inputs["var"]
    shape = var.shape + (1,) * (x.ndim - 2)
    y = (x - mean.reshape(shape)) / numpy.sqrt(var.reshape(shape) + inputs["eps"])
    full = numpy.broadcast_to
    found = {"y": _leaky(y, inputs), "mean": full(mean, (n, c)), "var": full(var, (n, c))}
    return {name: numpy.asarray(value, inputs["x"].dtype) for name, value in found.items()}


def _only(suspect: Callable[[Arrays], Arrays], *names: str) -> Callable[[Arrays], Arrays]:
    return lambda inputs: {name: suspect(inputs)[name] for name in names}


def _unscaled(inputs: Arrays) -> numpy.ndarray:
    """x minus its mean."""
    found = _normalised({**inputs, "slope": numpy.asarray(1.0)})
    return found["y"] * _wide(inputs, numpy.sqrt(found["var"] + inputs["eps"]))


def _wide(inputs: Arrays, a: numpy.ndarray) -> numpy.ndarray:
    return a.reshape(a.shape + (1,) * (inputs["x"].ndim - 2))


def _eps_outside(inputs: Arrays) -> Arrays:
    return {"y": _leaky(_unscaled(inputs) / (_wide(inputs, numpy.sqrt(
        _normalised(inputs)["var"])) + inputs["eps"]), inputs)}


def _without_root(inputs: Arrays) -> Arrays:
    return {"y": _leaky(_unscaled(inputs) / _wide(
        inputs, _normalised(inputs)["var"] + inputs["eps"]), inputs)}


def _moments_ignored(inputs: Arrays) -> Arrays:
    return _normalised({name: a for name, a in inputs.items() if name not in ("mean", "var")})


NORM_SUSPECTS: Suspects = {
    "statistics over the batch, too: that is batch norm; each image has its own":
        lambda i: _normalised(i, "batch"),
    "statistics over the channels, too: that is layer norm; each channel has its own":
        lambda i: _normalised(i, "channels"),
    "the variance is divided by the number of pixels less 1; the biased one is asked for":
        lambda i: _normalised(i, biased=False),
    "eps is not used": lambda i: {"y": _normalised({**i, "eps": numpy.asarray(0.0)})["y"]},
    "eps stands outside of the root": _eps_outside,
    "divided by the variance; its root is asked for": _without_root,
    "the standard deviation; the variance is asked for":
        lambda i: {"var": numpy.sqrt(_normalised(i)["var"])},
    "the variance with eps in it; the variance itself is asked for":
        lambda i: {"var": _normalised(i)["var"] + i["eps"]},
    "the mean is not taken off": lambda i: {"y": _leaky(i["x"] / _wide(
        i, numpy.sqrt(_normalised(i)["var"] + i["eps"])), i)},
}

SLOPE_SUSPECTS: Suspects = {
    "the slope is not used: a leaky ReLU follows where one is given":
        lambda i: _normalised({**i, "slope": numpy.asarray(1.0)}),
    "a ReLU: where y is negative, slope y is asked for":
        lambda i: {"y": numpy.maximum(_normalised(i)["y"], 0.0)},
    "the leaky ReLU came before the norm; it follows": lambda i: _normalised(
        {**{k: v for k, v in i.items() if k != "slope"}, "x": _leaky(i["x"], i)}),
}


def _for_the_gradient(inputs: Arrays, rng: numpy.random.Generator) -> Arrays:
    return {**inputs, **_normalised(inputs), "upstream": normal(rng, *inputs["x"].shape)}


def _small(rng: numpy.random.Generator) -> Arrays:
    return _for_the_gradient(_images(rng, small=True), rng)


def _small_and_slope(rng: numpy.random.Generator) -> Arrays:
    """Without a result so near to 0 that a difference would cross the kink."""
    while True:
        inputs = {**_images(rng, small=True), "slope": rng.uniform(0.1, 0.5) * rng.integers(0, 2)}
        if abs(_normalised({**inputs, "slope": numpy.asarray(1.0)})["y"]).min() > 1e-3:
            return _for_the_gradient(inputs, rng)


def _small_on_other_axes(rng: numpy.random.Generator) -> Arrays:
    return _for_the_gradient(_other_axes(rng), rng)


def _small_in_float32(rng: numpy.random.Generator) -> Arrays:
    return {name: a if numpy.ndim(a) == 0 else a.astype("float32")
            for name, a in _small_and_slope(rng).items()}


def _norm_by_differences(inputs: Arrays) -> Arrays:
    dtype = inputs["x"].dtype
    exact = {name: numpy.asarray(a, "float64") for name, a in inputs.items()
             if name not in ("mean", "var", "y")}
    found = numeric_gradients(lambda x: _normalised({**exact, "x": x})["y"], exact, ["x"])
    return {"grad of x": found["grad of x"].astype(dtype)}


def _masked(inputs: Arrays) -> numpy.ndarray:
    slope = float(inputs.get("slope", 1.0))
    return inputs["upstream"] * numpy.where(inputs["y"] > 0, 1.0, slope)


def _gradient_parts(inputs: Arrays, mean: float = 1.0, var: float = 1.0) -> Arrays:
    """The gradient by its three ways: straight, through the mean, through the variance."""
    g, x = _masked(inputs), inputs["x"]
    m, v = _wide(inputs, inputs["mean"]), _wide(inputs, inputs["var"]) + inputs["eps"]
    axes, size = tuple(range(2, x.ndim)), x[0, 0].size
    straight = g / v ** 0.5
    through_mean = -straight.sum(axes, keepdims=True) / size
    through_var = -(g * (x - m)).sum(axes, keepdims=True) * (x - m) / (size * v ** 1.5)
    return {"grad of x": straight + mean * through_mean + var * through_var}


NORM_GRADIENT_SUSPECTS: Suspects = {
    "mean and variance are taken for constants; they depend on x":
        lambda i: _gradient_parts(i, 0, 0),
    "the way through the variance is missing": lambda i: _gradient_parts(i, 1, 0),
    "the way through the mean is missing": lambda i: _gradient_parts(i, 0, 1),
    "upstream ignored: out_grad is not used":
        lambda i: _norm_by_differences({**i, "upstream": numpy.ones_like(i["upstream"])}),
    "the scale 1 / sqrt(var + eps) is missing": lambda i: {
        "grad of x": _gradient_parts(i)["grad of x"]
        * numpy.sqrt(_wide(i, i["var"]) + i["eps"])},
    "the scale is used twice": lambda i: {
        "grad of x": _gradient_parts(i)["grad of x"]
        / numpy.sqrt(_wide(i, i["var"]) + i["eps"])},
    "the slope is not used: where y is negative, out_grad is multiplied by it first":
        lambda i: _gradient_parts({**i, "slope": numpy.asarray(1.0)}),
}

Q1 = (
    Check("hw6.Q1.norm.images", runs.instance_norm, _images, _normalised, tol=EXACT,
          suspects=NORM_SUSPECTS),
    Check("hw6.Q1.norm.slope", runs.instance_norm, _images_and_slope, _normalised, tol=EXACT,
          suspects={**SLOPE_SUSPECTS, **NORM_SUSPECTS}),
    Check("hw6.Q1.norm.moments", runs.instance_norm, _with_moments, _normalised, tol=EXACT,
          suspects={"the moments that were given are not used": _moments_ignored,
                    **NORM_SUSPECTS}),
    Check("hw6.Q1.norm.axes", runs.instance_norm, _other_axes, _normalised, tol=EXACT,
          suspects=NORM_SUSPECTS),
    Check("hw6.Q1.norm.float32", runs.instance_norm, _in_float32, _normalised, tol=2e-5),
    Check("hw6.Q1.gradient.differences", runs.instance_norm_gradient, _small,
          _norm_by_differences, tol=STEP, suspects=NORM_GRADIENT_SUSPECTS),
    Check("hw6.Q1.gradient.slope", runs.instance_norm_gradient, _small_and_slope,
          _norm_by_differences, tol=STEP, suspects=NORM_GRADIENT_SUSPECTS),
    Check("hw6.Q1.gradient.axes", runs.instance_norm_gradient, _small_on_other_axes,
          _norm_by_differences, tol=STEP, suspects=NORM_GRADIENT_SUSPECTS),
    Check("hw6.Q1.gradient.float32", runs.instance_norm_gradient, _small_in_float32,
          _norm_by_differences, tol=1e-4),
)


# -------------------------------------------------------------------- Q2: least squares and patches


def _maps(rng: numpy.random.Generator) -> Arrays:
    """Maps of logits of a real and a fake batch, which have different sizes."""
    n, h, w = (int(size) for size in rng.integers(2, 4, 3))
    return {"real": normal(rng, n, 1, h, w) + 0.5, "fake": normal(rng, n + 2, 1, h, w) - 0.5}


def _maps_and_labels(rng: numpy.random.Generator) -> Arrays:
    a, b, c = rng.uniform(0.3, 0.9, 3) * [-1, 1, 1]
    return {**_maps(rng), "a": a, "b": b, "c": c + 1.0}


def _single_maps(rng: numpy.random.Generator) -> Arrays:
    return {name: x.astype("float32") if x.ndim else x
            for name, x in {k: numpy.asarray(v) for k, v in _maps_and_labels(rng).items()}.items()}


def _label(inputs: Arrays, name: str) -> float:
    return float(inputs.get(name, {"a": 0.0, "b": 1.0, "c": 1.0}[name]))


def _by_differences(
    cost: Callable[..., numpy.ndarray], inputs: Arrays, names: Sequence[str]
) -> Arrays:
    """A cost of the named arrays, and its gradients by differences."""
    arrays = {name: inputs[name] for name in names}
    gradients = numeric_gradients(cost, {**arrays, "upstream": numpy.ones(())}, names)
    return {"loss": cost(*arrays.values()), **gradients}


def _squares_of_d(inputs: Arrays, real: str = "b", fake: str = "a", half: float = 0.5,
                  over: str = "mean") -> Arrays:
    b, a = _label(inputs, real), _label(inputs, fake)

    def cost(x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
        if over == "both":
            return half * numpy.append((x - b) ** 2, (y - a) ** 2).mean()
        total = {"mean": numpy.mean, "sum": numpy.sum}[over]
        return half * (total((x - b) ** 2) + total((y - a) ** 2))

    return _by_differences(cost, inputs, ["real", "fake"])


def _squares_of_g(inputs: Arrays, label: str = "c", half: float = 0.5, over: str = "mean",
                  ) -> Arrays:
    c, total = _label(inputs, label), {"mean": numpy.mean, "sum": numpy.sum}[over]
    return _by_differences(lambda y: half * total((y - c) ** 2), inputs, ["fake"])


LEAST_SQUARES_D: Suspects = {
    "the labels are exchanged: b is for real samples, a for fakes":
        lambda i: _squares_of_d(i, "a", "b"),
    "the factor 1/2 is missing": lambda i: _squares_of_d(i, half=1.0),
    "the factor 1/2 is there twice": lambda i: _squares_of_d(i, half=0.25),
    "the label of fakes is a; c is what G wants of D": lambda i: _squares_of_d(i, fake="c"),
    "sign: this falls where D gets worse": lambda i: _squares_of_d(i, half=-0.5),
    "sums instead of means": lambda i: _squares_of_d(i, over="sum"),
    "one mean over both batches; each batch has a mean of its own":
        lambda i: _squares_of_d(i, over="both"),
    "the labels of the objective are not used; these are 0 and 1": lambda i: _squares_of_d(
        {name: i[name] for name in ("real", "fake")}),
}

LEAST_SQUARES_G: Suspects = {
    "this draws fakes to the label that D gives them, a; G's is c":
        lambda i: _squares_of_g(i, "a"),
    "G's label is c; b is D's label of real samples": lambda i: _squares_of_g(i, "b"),
    "sign: this is minus what D pays for fakes; least squares is no zero-sum game":
        lambda i: _squares_of_g(i, "a", half=-0.5),
    "the factor 1/2 is missing": lambda i: _squares_of_g(i, half=1.0),
    "a sum instead of a mean": lambda i: _squares_of_g(i, over="sum"),
}


def _float32_squares(inputs: Arrays) -> Arrays:
    exact = {name: a.astype("float64") for name, a in inputs.items()}
    return {"d_loss": numpy.float32(_squares_of_d(exact)["loss"]),
            "g_loss": numpy.float32(_squares_of_g(exact)["loss"])}


def _sizes(rng: numpy.random.Generator) -> Arrays:
    """Below, at and above the side from which there are three halvings; not all are square."""
    c = int(rng.integers(1, 4))
    sizes = [(c, 16, int(rng.integers(17, 30))), (c, 32, 32), (c, 63, int(rng.integers(64, 72))),
             (c, 64, int(rng.integers(65, 72)))]
    return {"sizes": numpy.array(sizes), "features": int(rng.integers(2, 4))}


def _strides(height: int, width: int) -> list[int]:
    return [2, 2, 2, 1, 1] if min(height, width) >= 64 else [2, 2, 1, 1]


def _sizes_by_hand(inputs: Arrays, bias: bool = False, first: int = 1, last_stride: bool = True,
                   ) -> Arrays:
    """Sides halved, and two numbers less in the end; weights counted layer by layer."""
    found: Arrays = {}
    for c, h, w in inputs["sizes"].tolist():
        strides, f = _strides(h, w), int(inputs["features"])
        halvings = strides.count(2)
        map_shape = (2, 1, (h >> halvings) - 2, (w >> halvings) - 2)
        widths = [c] + [f << i for i in range(halvings + 1)]
        count = sum(16 * i * o for i, o in itertools.pairwise(widths))
        count += first * f + (sum(widths[2:]) if bias else 0)
        count += 16 * widths[-1] + int(last_stride)
        found[f"shape of the map of {h} x {w} pixels"] = numpy.array(map_shape)
        found[f"weights in D for {h} x {w} pixels"] = numpy.asarray(count)
    return found


def _weights_of_patches(rng: numpy.random.Generator) -> Arrays:
    c, f = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    h, w = 16, int(rng.integers(16, 21))
    return {"images": normal(rng, 2, c, h, w), "features": f, "W0": normal(rng, f, c, 4, 4),
            "b0": normal(rng, f), "W1": normal(rng, 2 * f, f, 4, 4),
            "W2": normal(rng, 4 * f, 2 * f, 4, 4), "W3": normal(rng, 1, 4 * f, 4, 4),
            "b3": normal(rng, 1)}


def _windowed(x: numpy.ndarray, weight: numpy.ndarray, stride: int) -> numpy.ndarray:
    """A convolution of 4 x 4 with padding 1, kernel place by kernel place."""
    padded = numpy.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    h, w = padded.shape[2] - 3, padded.shape[3] - 3
    return sum(numpy.einsum("nchw,oc->nohw", padded[:, :, p:p + h:stride, q:q + w:stride],
                            weight[:, :, p, q]) for p in range(4) for q in range(4))


def _map_of_logits(inputs: Arrays, slope: float = 0.2, norm_first: bool = False,
                   norm_last: bool = False, norms: bool = True, end: str = "") -> Arrays:
    def normed(x: numpy.ndarray) -> numpy.ndarray:
        deviation = numpy.sqrt(((x - x.mean((2, 3), keepdims=True)) ** 2).mean(
            (2, 3), keepdims=True) + 1e-5)
        return (x - x.mean((2, 3), keepdims=True)) / deviation

    def active(x: numpy.ndarray) -> numpy.ndarray:
        return numpy.maximum(x, 0) + slope * numpy.minimum(x, 0)

    x = _windowed(inputs["images"], inputs["W0"], 2) + inputs["b0"][:, None, None]
    x = active(normed(x) if norm_first else x)
    for name, stride in (("W1", 2), ("W2", 1)):
        x = _windowed(x, inputs[name], stride)
        x = active(normed(x) if norms else x)
    x = _windowed(x, inputs["W3"], 1) + inputs["b3"][:, None, None]
    x = normed(x) if norm_last else x
    return {"logits": {"": x, "sigmoid": 0.5 + 0.5 * numpy.tanh(x / 2),
                       "active": active(x)}[end]}


def _one_pixel(rng: numpy.random.Generator) -> Arrays:
    """An image, and a pixel in a corner, at a border or anywhere."""
    h, w = (int(side) for side in rng.integers(44, 56, 2))
    place = [(0, 0), (h - 1, int(rng.integers(w))), (int(rng.integers(h)), int(rng.integers(w)))]
    row, column = place[int(rng.integers(3))]
    return {"image": normal(rng, 1, h, w), "features": 2, "row": row, "column": column}


def _who_sees_it(inputs: Arrays) -> Arrays:
    """By the range of pixels that lead to a logit, from the last layer back to the first."""
    height, width = inputs["image"].shape[1:]
    along = []
    for side, place in ((height, inputs["row"]), (width, inputs["column"])):
        strides = _strides(height, width)
        low = numpy.arange((side >> strides.count(2)) - 2)
        high = low.copy()
        for stride in strides[::-1]:
            low, high = stride * low - 1, stride * high + 2
        along.append((low <= place) & (place <= high))
    return {"changed": along[0][:, None] & along[1][None, :]}


LSGAN = (
    Check("hw6.Q2.d_loss", runs.least_squares_d, _maps, _squares_of_d, tol=1e-7,
          suspects=LEAST_SQUARES_D),
    Check("hw6.Q2.d_loss.labels", runs.least_squares_d, _maps_and_labels, _squares_of_d, tol=1e-7,
          suspects=LEAST_SQUARES_D),
    Check("hw6.Q2.g_loss", runs.least_squares_g, _maps_and_labels, _squares_of_g, tol=1e-7,
          suspects=LEAST_SQUARES_G),
    Check("hw6.Q2.float32", runs.losses_in_float32, _single_maps, _float32_squares, tol=1e-5),
)

Q2 = (
    *LSGAN,
    Check("hw6.Q2.patches.sizes", runs.patch_sizes, _sizes, _sizes_by_hand, suspects={
        "biases before instance norm: it takes every constant away":
            lambda i: _sizes_by_hand(i, bias=True),
        "the first layer has no norm after it, so it needs its bias":
            lambda i: _sizes_by_hand(i, first=0),
        "the last layer needs its bias": lambda i: _sizes_by_hand(i, last_stride=False),
    }),
    Check("hw6.Q2.patches.logits", runs.patch_logits, _weights_of_patches, _map_of_logits,
          tol=1e-8, suspects={
              "the leaky ReLUs have the slope 0.2; these have 0.01":
                  lambda i: _map_of_logits(i, slope=0.01),
              "ReLU instead of leaky ReLU": lambda i: _map_of_logits(i, slope=0.0),
              "no activations": lambda i: _map_of_logits(i, slope=1.0),
              "instance norm in the first layer, too: it has none":
                  lambda i: _map_of_logits(i, norm_first=True),
              "instance norm in the last layer: logits are raw":
                  lambda i: _map_of_logits(i, norm_last=True),
              "no instance norm in the layers between the first and the last":
                  lambda i: _map_of_logits(i, norms=False),
              "a sigmoid at the end: objectives take logits":
                  lambda i: _map_of_logits(i, end="sigmoid"),
              "an activation at the end: logits are raw":
                  lambda i: _map_of_logits(i, end="active"),
          }),
    Check("hw6.Q2.patches.seen", runs.patch_sees, _one_pixel, _who_sees_it),
)


# --------------------------------------------------------------------------------------- Q3: a pool


def _fakes(rng: numpy.random.Generator, steps: int, n: int, shape: Sequence[int] = ()) -> Arrays:
    """Batches of samples that are full of their own number, which is drawn."""
    numbers = 1 + rng.choice(9999, steps * n, replace=False)
    fakes = numpy.broadcast_to(numbers.reshape(steps, n, *(1,) * len(shape)),
                               (steps, n, *shape)).astype("float32")
    return {"fakes": fakes.copy(), "seed": int(rng.integers(2**31))}


def _until_full(rng: numpy.random.Generator) -> Arrays:
    steps, n = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    return {**_fakes(rng, steps, n, (2, 3, 2)), "capacity": steps * n, "share": 1.0}


def _over_the_brim(rng: numpy.random.Generator) -> Arrays:
    """The pool is full in the middle of the second batch; nothing is swapped."""
    return {**_fakes(rng, 4, 4, (3,)), "capacity": int(rng.integers(5, 8)), "share": 0.0}


def _always(rng: numpy.random.Generator) -> Arrays:
    return {**_fakes(rng, 5, 4, (1, 2, 2)), "capacity": int(rng.integers(3, 8)), "share": 1.0}


def _by_chance(rng: numpy.random.Generator) -> Arrays:
    return {**_fakes(rng, 5, 500, (1,)), "capacity": int(rng.integers(3, 6)),
            "share": rng.uniform(0.2, 0.4) + 0.4 * rng.integers(2)}


def _one_by_one(rng: numpy.random.Generator) -> Arrays:
    return {**_fakes(rng, 60, 1, (2,)), "capacity": int(rng.integers(3, 6)), "share": 0.5}


def _pool_is_right(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Shape and dtype; nothing is written to later; then the walk through the slots."""
    fakes, shown = inputs["fakes"], outputs["shown"]
    if shown.shape != fakes.shape:
        return Fault(f"shown: shape of all batches got {shown.shape}, want {fakes.shape}",
                     "for every batch one of the same shape", Outcome.SHAPE)
    if shown.dtype != fakes.dtype:
        return Fault(f"shown: dtype got {shown.dtype}, want {fakes.dtype}",
                     "the result has the dtype of the fakes", Outcome.DTYPE)
    if not numpy.array_equal(outputs["fakes"], fakes):
        return Fault("the fakes were changed in place; want them as they came",
                     "input mutated: swap in a copy of the batch")
    if not numpy.array_equal(shown, outputs["shown, at the end"]):
        return Fault("a batch that was shown changed in a later call; want it to stay",
                     "what is shown and what is stored share memory: copy")
    numbers = [_numbers(a) for a in (fakes, shown, outputs["stored"])]
    if numbers[1] is None or numbers[2] is None:
        name = "shown" if numbers[1] is None else "stored"
        return Fault(f"a sample that is {name} is put together from several; want whole ones",
                     "swap whole samples: index the first axis only")
    return _walk(inputs, *numbers)


def _numbers(samples: numpy.ndarray) -> numpy.ndarray | None:
    """The number of each sample; None if one is full of different ones."""
    flat = samples.reshape(*samples.shape[:2], -1)
    return flat[..., 0].astype(int) if (flat == flat[..., :1]).all() else None


def _walk(inputs: Arrays, given: numpy.ndarray, shown: numpy.ndarray, stored: numpy.ndarray,
          ) -> Fault | None:
    """Sample by sample: is what was shown new, or in a slot at that time?"""
    capacity, share = int(inputs["capacity"]), float(inputs["share"])
    slots: list[int] = []
    swaps, late, of_slots = 0, 0, [0] * capacity
    for step, batch in enumerate(given.tolist()):
        for new, seen in zip(batch, shown[step].tolist(), strict=True):
            if len(slots) < capacity:
                slots.append(new)
                if seen != new:
                    return Fault(f"sample {new} came when {len(slots) - 1} of {capacity} were "
                                 f"stored: shown is {seen}, want {new} itself",
                                 "until the pool is full, each sample is stored and shown")
                continue
            late += 1
            if seen == new:
                continue
            if seen not in slots:
                return Fault(f"in place of sample {new} the pool showed {seen}, and stored are "
                             f"{slots}; want one of these, or {new}", _why_not(seen, given))
            swaps += 1
            place = slots.index(seen)
            of_slots[place] += 1
            slots[place] = new
        kept = stored[step][stored[step] >= 0].tolist()
        if sorted(kept) != sorted(slots):
            return Fault(f"after batch {step + 1} stored are {sorted(kept)}, want "
                         f"{sorted(slots)}",
                         "each sample is stored until the pool is full; from then on just where "
                         "an old one was shown in its place, and instead of that one")
    return _chances(share, swaps, late, of_slots)


def _why_not(seen: int, given: numpy.ndarray) -> str:
    if seen not in given:
        return "this is no sample at all: rows that are not in use must not be shown"
    return ("a stored sample is shown once and leaves the pool: the new one is stored in its "
            "slot, before the next is drawn")


def _chances(share: float, swaps: int, late: int, of_slots: list[int]) -> Fault | None:
    spread = 6 * numpy.sqrt(late * share * (1 - share)) + 1e-9
    if abs(swaps - late * share) > spread:
        cause = f"each sample is swapped with probability share = {share:.2f}, one by one"
        if abs(swaps - late * (1 - share)) <= spread:
            cause = "share is the probability to swap; this is that to keep"
        return Fault(f"{swaps} of {late} samples were swapped, want about {late * share:.0f}",
                     cause)
    want = swaps / len(of_slots)
    worst = max(range(len(of_slots)), key=lambda i: abs(of_slots[i] - want))
    if late >= 1000 and abs(of_slots[worst] - want) > 6 * numpy.sqrt(want):
        return Fault(f"slot {worst} of {len(of_slots)} was swapped {of_slots[worst]} times, want "
                     f"about {want:.0f}", "all slots are equally likely")
    return None


def _flow(rng: numpy.random.Generator) -> Arrays:
    return {**_fakes(rng, 8, 4, (2,)), "capacity": 5}


def _no_graph_and_repeatable(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """No graph, the same samples for the same seed, and each of them is one that came by then."""
    if bool(outputs["shown has a graph"]):
        return Fault("what is shown has a graph that leads to the fakes; want none",
                     "not cut off: D's lesson would go on into G")
    if not numpy.array_equal(outputs["shown"], outputs["shown with the same seed"]):
        return Fault("after equal seeds the pool showed different samples; want equal ones",
                     "not repeatable: all chance has to come from minigrad's generator")
    fakes, shown, capacity = inputs["fakes"], outputs["shown"], int(inputs["capacity"])
    if shown.shape != fakes.shape:
        return Fault(f"shown: shape of all batches got {shown.shape}, want {fakes.shape}",
                     "for every batch one of the same shape", Outcome.SHAPE)
    came, seen = (a.reshape(-1, *a.shape[2:]) for a in (fakes, shown))
    for i, sample in enumerate(seen):
        known = came[i:i + 1] if i < capacity else came[:i + 1]
        if not (sample == known).all(axis=1).any():
            return Fault(f"sample {i + 1} of {len(came)}: shown is {sample}, want "
                         + (f"{came[i]} itself" if i < capacity else "one that came by then"),
                         "until the pool is full, each sample is stored and shown; from then on "
                         "a stored one may be shown in its place")
    if numpy.array_equal(came, seen):
        return Fault(f"no stored sample was shown in {len(came)}, want about half of those that "
                     "came when the pool was full", "from then on, swap with probability share")
    return None


Q3 = (
    Check("hw6.Q3.fill", runs.pool, _until_full, _pool_is_right, kind=Kind.PROPERTY),
    Check("hw6.Q3.brim", runs.pool, _over_the_brim, _pool_is_right, kind=Kind.PROPERTY),
    Check("hw6.Q3.swap", runs.pool, _always, _pool_is_right, kind=Kind.PROPERTY),
    Check("hw6.Q3.chance", runs.pool, _by_chance, _pool_is_right, kind=Kind.PROPERTY),
    Check("hw6.Q3.single", runs.pool, _one_by_one, _pool_is_right, kind=Kind.PROPERTY),
    Check("hw6.Q3.alone", runs.pool_flows, _flow, _no_graph_and_repeatable, kind=Kind.PROPERTY),
)


# ------------------------------------------------------- networks of linear layers in NumPy. One is
# the list of its weights and biases [W0, b0, W1, b1, ...]; slope is that of its leaky ReLUs.


def _network(rng: numpy.random.Generator, sizes: Sequence[int], name: str) -> Arrays:
    arrays = [a for i, o in itertools.pairwise(sizes)
              for a in (normal(rng, i, o) / numpy.sqrt(i), normal(rng, 1, o))]
    return dict(zip(runs.weights_of(name, len(sizes) - 1), arrays, strict=True))


def _of(weights: Mapping[str, numpy.ndarray], name: str) -> list[numpy.ndarray]:
    return [a for key, a in weights.items() if key.endswith(f" of {name}")]


def _through(network: Sequence[numpy.ndarray], x: numpy.ndarray, slope: float) -> numpy.ndarray:
    for i in range(0, len(network), 2):
        x = x @ network[i] + network[i + 1]
        if i + 2 < len(network):
            x = numpy.where(bent_at_zero(x) > 0, x, slope * x)
    return x


def _descended(weights: Arrays, names: Sequence[str], lr: float,
               cost: Callable[[Arrays], float]) -> Arrays:
    """All weights, the named ones after a step of plain descent, by differences of the cost."""
    def changed(*arrays: numpy.ndarray) -> numpy.ndarray:
        return numpy.asarray(cost({**weights, **dict(zip(names, arrays, strict=True))}))

    found = numeric_gradients(changed, {**weights, "upstream": numpy.ones(())}, names)
    return {**weights, **{name: weights[name] - lr * found[f"grad of {name}"] for name in names}}


# ------------------------------------------------------------------------------------- Q4: CycleGAN

SIDES = {"G_ab": "ab", "G_ba": "ba"}


def _cycle_game(rng: numpy.random.Generator, steps: int = 1, **settings: float) -> Arrays:
    """Four tiny networks of points, with batches and all settings."""
    width, n = int(rng.integers(2, 4)), int(rng.integers(3, 5))
    inputs: Arrays = {}
    for name in runs.NETWORKS:
        inputs |= _network(rng, (width, 3, 3, width if name in SIDES else 1), name)
    weights = {f"{name}_weight": rng.uniform(0.5, 2.0) for name in ("gan", "cycle", "identity")}
    return {**inputs, **weights, "a": normal(rng, steps, n, width) + 1,
            "b": normal(rng, steps, n, width) - 1, "lr_G": rng.uniform(0.01, 0.03),
            "lr_D": rng.uniform(0.05, 0.1), "ema_decay": 0.0, "cool_down": 0.0, **settings}


def _alone(name: str) -> Callable[[numpy.random.Generator], Arrays]:
    """A game in which G has one of its three losses only."""
    def game(rng: numpy.random.Generator) -> Arrays:
        others = {f"{k}_weight": 0.0 for k in ("gan", "cycle", "identity") if k != name}
        return _cycle_game(rng, **others)

    return game


def _two_steps(rng: numpy.random.Generator) -> Arrays:
    return _cycle_game(rng, steps=2)


def _with_pools(rng: numpy.random.Generator) -> Arrays:
    inputs = _cycle_game(rng)
    shape = inputs["a"].shape[1:]
    return {**inputs, "pooled a": normal(rng, *shape), "pooled b": normal(rng, *shape)}


def _with_averages(rng: numpy.random.Generator) -> Arrays:
    inputs = _cycle_game(rng, ema_decay=float(rng.uniform(0.02, 0.15)), cool_down=1.0)
    averages = [inputs[name.removeprefix("average ")] for name in runs.AVERAGED]
    return {**inputs, "total": int(rng.integers(4, 9)),
            **{name: normal(rng, *a.shape)
               for name, a in zip(runs.AVERAGED, averages, strict=True)}}


def _translations(w: Arrays, a: numpy.ndarray, b: numpy.ndarray) -> tuple[numpy.ndarray, ...]:
    return _through(_of(w, "G_ab"), a, 0.2), _through(_of(w, "G_ba"), b, 0.2)


def _d_cost(w: Arrays, real: Mapping[str, numpy.ndarray], fake: Mapping[str, numpy.ndarray],
            ) -> float:
    """Least squares, for both collections; ``real`` and ``fake`` by their letters."""
    return sum(float(((_through(_of(w, f"D_{s}"), real[s], 0.2) - 1) ** 2).mean()
                     + (_through(_of(w, f"D_{s}"), fake[s], 0.2) ** 2).mean()) / 2 for s in "ab")


def _g_costs(w: Arrays, judges: Arrays, a: numpy.ndarray, b: numpy.ndarray, slip: str,
             ) -> tuple[float, float, float]:
    """What G pays: to be judged, for the cycle, for the identity."""
    fake_b, fake_a = _translations(w, a, b)
    gan = sum(((_through(_of(judges, f"D_{s}"), fake, 0.2) - 1) ** 2).mean() / 2
              for s, fake in (("a", fake_a), ("b", fake_b)))
    back_b, back_a = _translations(w, fake_a, fake_b)
    same_b, same_a = _translations(w, b, a)

    def apart(x: numpy.ndarray, y: numpy.ndarray) -> float:
        return float(((x - y) ** 2 if slip == "squares" else abs(bent_at_zero(x - y))).mean())

    if slip == "not back":
        back_b, back_a = _translations(w, fake_b, fake_a)
    if slip == "wrong identity":
        same_a, same_b = fake_b, fake_a
    cycle = apart(back_a, a) + (0 if slip == "one way" else apart(back_b, b))
    if slip == "half":
        return gan / 2, cycle / 2, (apart(same_a, a) + apart(same_b, b)) / 2
    return gan, cycle, apart(same_a, a) + (0 if slip == "one way" else apart(same_b, b))


def _cycle(inputs: Arrays, slip: str = "") -> tuple[Arrays, Arrays]:
    """The weights and the report after a step for each batch; ``slip`` is a usual mistake."""
    w = {name: inputs[name] for network in runs.NETWORKS for name in runs.weights_of(network, 3)}
    of_d = [name for s in "ab" for name in runs.weights_of(f"D_{s}", 3)]
    of_g = [name for G in SIDES for name in runs.weights_of(G, 3)]
    kinds = {"gan": "no gan", "cycle": "no cycle", "identity": "no identity"}
    lambdas = [0.0 if slip == kinds[k] else 1.0 if slip == "no weights" else
               float(inputs[f"{k}_weight"]) for k in kinds]
    lr_G, lr_D = float(inputs["lr_G"]), float(inputs["lr_D"])
    report: Arrays = {}
    for a, b in zip(inputs["a"], inputs["b"], strict=True):
        real = {"a": a, "b": b}
        made = dict(zip("ba", _translations(w, a, b), strict=True))
        fake = {s: inputs.get(f"pooled {s}", made[s]) for s in "ab"}
        if slip == "wrong fakes":
            fake = {"a": made["b"], "b": made["a"]}
        if slip == "no pool":
            fake = made
        old, start = w, w
        if slip == "G first":
            w = _stepped_g(w, w, a, b, of_g, lr_G, lambdas, slip)
        before = w
        if slip != "D stays":
            w = _descended(w, of_d, lr_D,
                           lambda v, real=real, fake=fake: _d_cost(v, real, fake))
        judges = old if slip == "old D" else w
        costs = _g_costs(start, judges, a, b, slip)
        if slip not in ("G first", "G stays"):
            w = _stepped_g(w, judges, a, b, of_g, lr_G, lambdas, slip)
        beliefs = {name: numpy.mean([numpy.clip(_through(_of(before, f"D_{s}"), x[s], 0.2), 0, 1)
                                     .mean() for s in "ab"])
                   for name, x in (("d_real", real), ("d_fake", fake))}
        report = {"d_loss": _d_cost(before, real, fake), "g_loss": costs[0], "cycle": costs[1],
                  "identity": costs[2], **beliefs}
    return w, {**report, "batches taken": len(inputs["a"])}


def _stepped_g(w: Arrays, judges: Arrays, a: numpy.ndarray, b: numpy.ndarray,
               names: Sequence[str], lr: float, lambdas: Sequence[float], slip: str) -> Arrays:
    def cost(v: Arrays) -> float:
        return sum(weight * part for weight, part in
                   zip(lambdas, _g_costs(v, judges, a, b, slip), strict=True))

    return _descended(w, names, lr, cost)


def _cycle_weights(inputs: Arrays, slip: str = "") -> Arrays:
    w, _ = _cycle(inputs, slip)
    return {name: w[name] for network in ("D_a", "D_b", "G_ab", "G_ba")
            for name in runs.weights_of(network, 3)}


def _cycle_report(inputs: Arrays) -> Arrays:
    return _cycle(inputs)[1]


def _cycle_on(inputs: Arrays, when: str = "after") -> Arrays:
    """Averages of the new weights, and rates one step further on their way to 0."""
    w, decay = _cycle(inputs)[0], float(inputs["ema_decay"])
    w = inputs if when == "before" else w
    total = int(inputs["total"])
    rates = {f"rate of {name}": float(inputs[f"lr_{name[0]}"]) * (total - 1) / total
             for name in ("G", "D_a", "D_b")}
    # The warm-up of the first update is 2 / 11, which is more than decay here.
    return {**{name: decay * inputs[name] + (1 - decay) * w[name.removeprefix("average ")]
               for name in runs.AVERAGED}, **rates}


def _slips(after: Callable[[Arrays, str], Arrays], **sentences: str) -> Suspects:
    """Suspects: what is there after a game with each slip; underscores stand for spaces."""
    def one(slip: str) -> Callable[[Arrays], Arrays]:
        return lambda inputs: after(inputs, slip.replace("_", " "))

    return {sentence: one(slip) for slip, sentence in sentences.items()}


CYCLE_SUSPECTS = _slips(
    _cycle_weights,
    wrong_fakes="the fakes are exchanged: D_a compares a with what G_ba makes, D_b the other way",
    no_pool="the pools were not asked; d_step of the losses does that",
    G_first="the generators moved first; the discriminators do, and G is judged by the new ones",
    old_D="the generators were judged by the discriminators before their step",
    no_weights="gan_weight, cycle_weight and identity_weight are not used",
    no_gan="the generators do not learn from the discriminators: g_loss of both is missing",
    no_cycle="the cycle loss is missing",
    no_identity="the identity loss is missing",
    one_way="only one of both directions counts; add up both",
    D_stays="the discriminators were not moved: call d_step of loss_a and of loss_b",
    G_stays="the generators were not moved: opt_G has to minimize all losses together",
    half="means of both directions; want their sums",
    squares="squared distances; self.distance is the mean of absolute ones",
    not_back="the cycle goes on instead of back: G_ba takes a fake of B back to A",
    wrong_identity="identity: a generator is given what it should make, G_ba gets a; not G_ab",
)

REPORT_SUSPECTS: Suspects = {
    "the losses of G with their weights; the losses themselves are asked for": lambda i: {
        name: float(i[f"{key}_weight"]) * _cycle_report(i)[name]
        for name, key in (("g_loss", "gan"), ("cycle", "cycle"), ("identity", "identity"))},
    "all that G minimizes; g_loss is what the discriminators make it pay, without weight":
        lambda i: {"g_loss": sum(float(i[f"{key}_weight"]) * _cycle_report(i)[name]
                                 for name, key in (("g_loss", "gan"), ("cycle", "cycle"),
                                                   ("identity", "identity")))},
    "the sum over both; the mean belief is asked for":
        lambda i: {name: 2 * _cycle_report(i)[name] for name in ("d_real", "d_fake")},
    "cycle and identity are exchanged": lambda i: {
        "cycle": _cycle_report(i)["identity"], "identity": _cycle_report(i)["cycle"]},
    "the mean over both directions; their sum is asked for": lambda i: {
        name: _cycle_report(i)[name] / 2 for name in ("d_loss", "g_loss", "cycle", "identity")},
    "g_loss under the discriminators before their step":
        lambda i: {"g_loss": _cycle(i, "old D")[1]["g_loss"]},
}

ON_SUSPECTS: Suspects = {
    "the average was not updated": lambda i: {name: i[name] for name in runs.AVERAGED},
    "the average was updated before the generators moved":
        lambda i: {name: a for name, a in _cycle_on(i, "before").items() if name in runs.AVERAGED},
    "the schedules made no step": lambda i: {
        "rate of G": float(i["lr_G"]), "rate of D_a": float(i["lr_D"]),
        "rate of D_b": float(i["lr_D"])},
}

Q4 = (
    *(Check(f"hw6.Q4.{name}", runs.train_cyclegan, well_conditioned(game, _cycle), _cycle_weights,
            tol=STEP, suspects=CYCLE_SUSPECTS)
      for name, game in (("cycle", _alone("cycle")), ("identity", _alone("identity")),
                         ("gan", _alone("gan")), ("together", _two_steps),
                         ("pools", _with_pools))),
    Check("hw6.Q4.report", runs.train_cyclegan_report, well_conditioned(_cycle_game, _cycle),
          _cycle_report, tol=STEP, suspects=_filled(_cycle_report, REPORT_SUSPECTS)),
    Check("hw6.Q4.on", runs.train_cyclegan_on, well_conditioned(_with_averages, _cycle), _cycle_on,
          tol=STEP, suspects=_filled(_cycle_on, ON_SUSPECTS)),
)


# ------------------------------------------------------------------- Q5: slopes and their penalty


def _critic_values(rng: numpy.random.Generator) -> Arrays:
    n = int(rng.integers(3, 6))
    return {"real": normal(rng, n, 1) + 1, "fake": normal(rng, n + 2, 1) - 1}


def _earth_d(inputs: Arrays, sign: float = 1.0, over: Callable = numpy.mean) -> Arrays:
    return _by_differences(lambda x, y: sign * (over(y) - over(x)), inputs, ["real", "fake"])


def _earth_g(inputs: Arrays, sign: float = -1.0, over: Callable = numpy.mean) -> Arrays:
    return _by_differences(lambda y: sign * over(y), inputs, ["fake"])


def _log_d(inputs: Arrays) -> Arrays:
    return _by_differences(
        lambda x, y: numpy.logaddexp(0, -x).mean() + numpy.logaddexp(0, y).mean(), inputs,
        ["real", "fake"])


def _on_segments(rng: numpy.random.Generator) -> Arrays:
    shape = [(2,), (2, 3, 2), (5,)][int(rng.integers(3))]
    real, fake = normal(rng, 600, *shape) + 1, normal(rng, 600, *shape) - 1
    return {"real": real, "fake": fake, "seed": int(rng.integers(2**31))}


def _on_segments_in_float32(rng: numpy.random.Generator) -> Arrays:
    return {name: a.astype("float32") if numpy.ndim(a) else a
            for name, a in _on_segments(rng).items()}


def _lie_on_segments(inputs: Arrays, outputs: Arrays) -> Fault | None:
    real, fake = (inputs[name].astype("float64") for name in ("real", "fake"))
    for name in ("points", "points of minigrad's generator"):
        x = outputs[name]
        if x.shape != real.shape:
            return Fault(f"{name}: shape got {x.shape}, want {real.shape}",
                         "one point for every pair", Outcome.SHAPE)
        if x.dtype != inputs["real"].dtype:
            return Fault(f"{name}: dtype got {x.dtype}, want {inputs['real'].dtype}",
                         "the points have the dtype of the samples", Outcome.DTYPE)
        fault = _uniform_between(name, x, real, fake)
        if fault is not None:
            return fault
    for name, again, whose in (
            ("points", "points of an equal generator", "the generator that is given"),
            ("points of minigrad's generator", "points of minigrad's with the same seed",
             "minigrad's generator if none is given")):
        if not numpy.array_equal(outputs[name], outputs[again]):
            return Fault(f"{name} and {again} differ; want them equal",
                         f"not repeatable: the chance has to come from {whose}")
    if not outputs["can be differentiated by"]:
        return Fault("the points need no gradient (requires_grad is False); want True",
                     "the critic is differentiated by these points")
    if not outputs["is a leaf"]:
        return Fault("the points have a graph behind them; want a leaf",
                     "not cut off: the penalty would go on into G")
    return None


def _uniform_between(name: str, x: numpy.ndarray, real: numpy.ndarray, fake: numpy.ndarray,
                     ) -> Fault | None:
    n = len(x)
    if not numpy.isfinite(x).all():
        return Fault(f"{name}: {int((~numpy.isfinite(x)).sum())} of {x.size} numbers are NaN or "
                     "infinite; want none", "eps is uniform on [0, 1]")
    far, way = ((a - fake).reshape(n, -1) for a in (x.astype("float64"), real))
    eps = (far * way).sum(1) / (way * way).sum(1)
    off = abs(far - eps[:, None] * way).max(1)
    row = int(off.argmax())
    if not off[row] <= 1e-5 * abs(way).max():
        single = far / way
        cause = "x_hat = eps x + (1 - eps) G(z), with the same eps twice"
        if (single > -1e-3).all() and (single < 1 + 1e-3).all():
            cause = "every number of a sample has an eps of its own; want one for each row"
        return Fault(f"{name}: row {row} is {off[row]:.4f} off the segment, want 0", cause)
    low, high = float(eps.min()), float(eps.max())
    if high - low < 1e-6:
        return Fault(f"{name}: eps is {low:.4f} in all rows, want a different one in each",
                     "one eps for the whole batch: draw one for each row")
    if low < -1e-5 or high > 1 + 1e-5:
        return Fault(f"{name}: eps goes from {low:.4f} to {high:.4f}, want it from 0 to 1",
                     "points beyond the ends: eps is uniform on [0, 1]")
    for power, want, spread in ((1, 1 / 2, 1 / 12), (2, 1 / 3, 4 / 45)):
        mean = float((eps ** power).mean())
        if abs(mean - want) > 6 * numpy.sqrt(spread / n):
            return Fault(f"{name}: the mean of eps^{power} is {mean:.4f}, want about {want:.4f}",
                         "eps is not uniform on [0, 1]")
    return None


def _critic(rng: numpy.random.Generator, width: int) -> Arrays:
    hidden = int(rng.integers(3, 5))
    return {"W0": normal(rng, width, hidden) / numpy.sqrt(width), "b0": normal(rng, 1, hidden),
            "W1": 2 * normal(rng, hidden, 1)}


def _at_points(rng: numpy.random.Generator) -> Arrays:
    n, width = (int(size) for size in rng.integers(3, 6, 2))
    return {"x": normal(rng, n, width), **_critic(rng, width), "upstream": normal(rng, n)}


def _at_images(rng: numpy.random.Generator) -> Arrays:
    n, c, h, w = (int(size) for size in rng.integers(2, 4, 4))
    return {"x": normal(rng, n, c, h, w), **_critic(rng, c * h * w), "upstream": normal(rng, n)}


def _critic_at(x: numpy.ndarray, inputs: Mapping[str, numpy.ndarray]) -> numpy.ndarray:
    flat = x.reshape(len(x), -1)
    return numpy.tanh(flat @ inputs["W0"] + inputs["b0"]) @ inputs["W1"]


def _ascent(x: numpy.ndarray, W0: numpy.ndarray, b0: numpy.ndarray, W1: numpy.ndarray,
            ) -> numpy.ndarray:
    """The gradient of the smooth critic by every row of x, by the chain rule; flat."""
    inner = 1 / numpy.cosh(x.reshape(len(x), -1) @ W0 + b0) ** 2
    return (inner * W1.T) @ W0.T


def _steepness(inputs: Arrays) -> Arrays:
    """By differences of the critic itself."""
    ones = {**inputs, "upstream": numpy.ones((len(inputs["x"]), 1))}
    g = numeric_gradients(lambda x: _critic_at(x, inputs), ones, ["x"])["grad of x"]
    return {"slopes": numpy.linalg.norm(g.reshape(len(g), -1), axis=1)}


def _raw(inputs: Arrays) -> numpy.ndarray:
    return _ascent(inputs["x"], *(inputs[name] for name in runs.CRITIC)).reshape(
        inputs["x"].shape)


def _root_of_sum(g: numpy.ndarray, axes: int | tuple[int, ...]) -> Arrays:
    return {"slopes": numpy.sqrt((g ** 2).sum(axes))}


STEEPNESS_SUSPECTS: Suspects = {
    "the root is missing: these are squares of the norms":
        lambda i: {"slopes": _steepness(i)["slopes"] ** 2},
    "one norm over the whole batch; every row has its own":
        lambda i: {"slopes": numpy.linalg.norm(_steepness(i)["slopes"])},
    "the mean square instead of the sum of squares": lambda i: {
        "slopes": _steepness(i)["slopes"] / numpy.sqrt(i["x"][0].size)},
    "a sum of absolute values; the norm is the root of the sum of squares": lambda i: {
        "slopes": abs(_raw(i)).reshape(len(i["x"]), -1).sum(1)},
    "a norm over the batch; each row has its own": lambda i: _root_of_sum(_raw(i), 0),
    "the norm is over one axis only; it is over all features of a row":
        lambda i: _root_of_sum(_raw(i), 1),
    "the sum of the slopes; every row has its own":
        lambda i: {"slopes": _steepness(i)["slopes"].sum()},
}


def _numeric_of_weights(cost: Callable[..., numpy.ndarray], inputs: Arrays) -> Arrays:
    return numeric_gradients(cost, inputs, runs.CRITIC)


def _steepness_by_weights(inputs: Arrays) -> Arrays:
    """The slopes by formula; their gradients by differences."""
    return _numeric_of_weights(
        lambda *w: numpy.linalg.norm(_ascent(inputs["x"], *w), axis=1), inputs)


NOT_RECORDED = "zero: the first gradient was not recorded, so nothing leads back to the weights"


def _zeros_of_weights(inputs: Arrays) -> Arrays:
    return {f"grad of {name}": numpy.zeros_like(inputs[name]) for name in runs.CRITIC}


def _flat(rng: numpy.random.Generator) -> Arrays:
    """Eight critics, of which three to five are flat."""
    flat = rng.permutation(8) < rng.integers(3, 6)
    return {**_at_points(rng), "flat": flat}


def _flat_is_fine(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """All is finite; slopes are 0 where the critic is flat, and those of the others elsewhere."""
    for name in ("slopes", *(f"grad of {name}" for name in runs.CRITIC)):
        got = outputs[name]
        if not numpy.isfinite(got).all():
            worst = got[~numpy.isfinite(got)][0]
            return Fault(f"{name} of a flat critic: yours {worst}, want a finite number",
                         "NaN: the root has no slope at 0; 1e-12 is added under it")
    got, flat = outputs["slopes"], inputs["flat"]
    want = (len(flat), len(inputs["x"]))
    if got.shape != want:
        return Fault(f"slopes: shape got {got.shape[1:]}, want {want[1:]}",
                     "one slope for every row", Outcome.SHAPE)
    if not (abs(got[flat]) < 1e-3).all():
        return Fault(f"slopes of a flat critic: yours {abs(got[flat]).max():.6f}, want about 0",
                     "what is added under the root is 1e-12")
    steep = numpy.linalg.norm(_ascent(*(inputs[name] for name in ("x", *runs.CRITIC))), axis=1)
    off = abs(got[~flat] - steep)
    if not (off <= 1e-4).all():
        return Fault(f"slopes of a critic that is not flat: off by up to {off.max():.6f}, want "
                     "those of the same critic by itself", "the length of the gradient by x")
    return None


def _pairs(rng: numpy.random.Generator) -> Arrays:
    """Samples and a critic; at some of the points half way the slope is below 1, at others above.
    """
    while True:
        inputs = _at_images(rng) if rng.integers(2) else _at_points(rng)
        found = {**{name: inputs[name] for name in runs.CRITIC}, "real": inputs["x"] + 0.5,
                 "fake": normal(rng, *inputs["x"].shape) - 0.5}
        norms = _norms_half_way(found)
        if (norms < 0.9).any() and (norms > 1.1).any():
            return found


def _norms_half_way(inputs: Arrays, weights: Sequence[numpy.ndarray] = ()) -> numpy.ndarray:
    middle = (inputs["real"] + inputs["fake"]) / 2
    return numpy.linalg.norm(
        _ascent(middle, *(weights or [inputs[name] for name in runs.CRITIC])), axis=1)


def _penalised(inputs: Arrays, of: Callable = lambda s: ((s - 1) ** 2).mean()) -> Arrays:
    """A function of the slopes half way; its gradients by differences; the mean slope."""
    found = _numeric_of_weights(lambda *w: of(_norms_half_way(inputs, w)),
                                {**inputs, "upstream": numpy.ones(())})
    norms = _norms_half_way(inputs)
    return {"penalty": of(norms), "mean slope": norms.mean(), **found}


def _penalty_elsewhere(where: str) -> Callable[[Arrays], Arrays]:
    return lambda i: _penalised({**i, "real": i[where], "fake": i[where]})


PENALTY_SUSPECTS: Suspects = {
    "slopes above 1 only: the penalty is for those below, too":
        lambda i: _penalised(i, lambda s: (numpy.maximum(s - 1, 0) ** 2).mean()),
    "the slopes are asked to be 0; they shall be 1":
        lambda i: _penalised(i, lambda s: (s ** 2).mean()),
    "the squares of the slopes are compared with 1; the slopes are":
        lambda i: _penalised(i, lambda s: ((s ** 2 - 1) ** 2).mean()),
    "the square is missing": lambda i: _penalised(i, lambda s: (s - 1).mean()),
    "absolute values instead of squares": lambda i: _penalised(i, lambda s: abs(s - 1).mean()),
    "the mean slope is compared with 1; every single one is":
        lambda i: _penalised(i, lambda s: (s.mean() - 1) ** 2),
    "a sum over the batch instead of a mean":
        lambda i: _penalised(i, lambda s: ((s - 1) ** 2).sum()),
    "multiplied by lambda = 10; the training step does that":
        lambda i: _penalised(i, lambda s: 10 * ((s - 1) ** 2).mean()),
    "the slopes are taken at real samples; they are taken between real and fake":
        _penalty_elsewhere("real"),
    "the slopes are taken at the fakes; they are taken between real and fake":
        _penalty_elsewhere("fake"),
    NOT_RECORDED: _zeros_of_weights,
}


def _places(rng: numpy.random.Generator) -> Arrays:
    inputs = {**_critic(rng, 3), "seed": int(rng.integers(2**31))}
    return {**inputs, "real": normal(rng, 400, 3) + 1, "fake": normal(rng, 400, 3) - 1}


def _penalty_between(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Where the critic was asked, and the penalty at these points."""
    x = outputs["points"]
    if x.shape != inputs["real"].shape:
        return Fault(f"points that the critic was given: shape got {x.shape}, want "
                     f"{inputs['real'].shape}", "one point for every pair", Outcome.SHAPE)
    fault = _uniform_between("points that the critic was given", x, inputs["real"],
                             inputs["fake"])
    if fault is not None:
        return fault
    if not numpy.array_equal(x, outputs["points of an equal generator"]):
        return Fault("two equal generators gave different points; want equal ones",
                     "not repeatable: g has to be handed on to segment_points")
    norms = numpy.linalg.norm(_ascent(x, *(inputs[name] for name in runs.CRITIC)), axis=1)
    got, want = float(outputs["penalty"]), float(((norms - 1) ** 2).mean())
    if not abs(got - want) < 1e-7 * max(1.0, want):
        return Fault(f"penalty: yours {got:.6f}, want {want:.6f}",
                     "it is the mean of (slope - 1)^2 at these points")
    return None


def _made_fakes(rng: numpy.random.Generator) -> Arrays:
    inputs = _pairs(rng)
    return {**inputs, "factor": numpy.ones((1,) * inputs["fake"].ndim)}


def _g_feels_nothing(inputs: Arrays, outputs: Arrays) -> Fault | None:
    want = _penalised(inputs)
    if outputs["gradient in G"].any():
        return Fault(f"the gradient of the penalty in G is {outputs['gradient in G'].max():.6f}, "
                     "want 0", "the penalty went back into G; it changes D alone")
    for name in runs.CRITIC:
        got = outputs[f"grad of {name}"]
        if got.shape != want[f"grad of {name}"].shape:
            return Fault(f"grad of {name}: shape got {got.shape}, want "
                         f"{want[f'grad of {name}'].shape}", "", Outcome.SHAPE)
        if not agrees(got, want[f"grad of {name}"], STEP).all():
            zero = "" if got.any() else NOT_RECORDED
            return Fault(f"grad of {name} has the sum {got.sum():.6f}, want "
                         f"{want[f'grad of {name}'].sum():.6f}", zero)
    return None


Q5 = (
    Check("hw6.Q5.wasserstein.d_loss", runs.wasserstein_d, _critic_values, _earth_d, tol=1e-7,
          suspects={
              "sign: f should lie above on real samples, so -E f(x) is minimized":
                  lambda i: _earth_d(i, -1.0),
              "sums instead of means": lambda i: _earth_d(i, over=numpy.sum),
              "these are cross entropies; a critic is no judge, and there is no logarithm": _log_d,
              "half of it: a difference of two means": lambda i: _earth_d(i, 0.5),
          }),
    Check("hw6.Q5.wasserstein.g_loss", runs.wasserstein_g, _critic_values, _earth_g, tol=1e-7,
          suspects={
              "sign: G wants f to be high on its fakes, so it minimizes -f":
                  lambda i: _earth_g(i, 1.0),
              "a sum instead of a mean": lambda i: _earth_g(i, over=lambda y: y.sum()),
              "-log sigmoid(f) belongs to a judge; a critic's value is used as it is":
                  lambda i: _by_differences(lambda y: numpy.logaddexp(0, -y).mean(), i, ["fake"]),
          }),
    Check("hw6.Q5.segment", runs.segment, _on_segments, _lie_on_segments, kind=Kind.PROPERTY),
    Check("hw6.Q5.segment.float32", runs.segment, _on_segments_in_float32, _lie_on_segments,
          kind=Kind.PROPERTY),
    Check("hw6.Q5.slopes.points", runs.slopes, _at_points, _steepness, tol=STEP,
          kind=Kind.GRADIENT, suspects=STEEPNESS_SUSPECTS),
    Check("hw6.Q5.slopes.images", runs.slopes, _at_images, _steepness, tol=STEP,
          kind=Kind.GRADIENT, suspects=STEEPNESS_SUSPECTS),
    Check("hw6.Q5.slopes.second", runs.slopes_differentiated, _at_points, _steepness_by_weights,
          tol=STEP, kind=Kind.GRADIENT, suspects={NOT_RECORDED: _zeros_of_weights}),
    Check("hw6.Q5.slopes.flat", runs.slopes_of_flat, _flat, _flat_is_fine, kind=Kind.PROPERTY),
    Check("hw6.Q5.penalty", runs.penalty, _pairs, _penalised, tol=STEP, kind=Kind.GRADIENT,
          suspects={**PENALTY_SUSPECTS, "the sum of the slopes; their mean is asked for":
                    lambda i: {"mean slope": _norms_half_way(i).sum()}}),
    Check("hw6.Q5.penalty.where", runs.penalty_where, _places, _penalty_between,
          kind=Kind.PROPERTY),
    Check("hw6.Q5.penalty.alone", runs.penalty_flows, _made_fakes, _g_feels_nothing,
          kind=Kind.PROPERTY),
)


# -------------------------------------------------------------------------------------- Q6: WGAN-GP


def _wgan_game(rng: numpy.random.Generator, n_critic: int = 1, steps: int = 1,
               **settings: float) -> Arrays:
    """Weights, batches and noise of a tiny WGAN-GP: (steps, n_critic, n, ...)."""
    n, latent = int(rng.integers(4, 6)), int(rng.integers(2, 4))
    return {**_network(rng, (latent, 4, 2), "G"), **_network(rng, (2, 4, 3, 1), "D"),
            "real": normal(rng, steps, n_critic, n, 2) + 1,
            "z": normal(rng, steps, n_critic + 1, n, latent), "n_critic": n_critic,
            "gp_weight": rng.uniform(2.0, 5.0), "lr_G": rng.uniform(0.05, 0.1),
            "lr_D": rng.uniform(0.01, 0.03), "ema_decay": 0.0, "cool_down": 0.0, **settings}


def _several(rng: numpy.random.Generator) -> Arrays:
    return _wgan_game(rng, int(rng.integers(2, 4)))


def _wgan_with_average(rng: numpy.random.Generator) -> Arrays:
    inputs = _wgan_game(rng, ema_decay=float(rng.uniform(0.02, 0.15)), cool_down=1.0,
                        total=int(rng.integers(4, 9)))
    return {**inputs, **{f"average {name}": normal(rng, *inputs[name].shape)
                         for name in runs.weights_of("G", 2)}}


def _steep(network: Sequence[numpy.ndarray], x: numpy.ndarray) -> numpy.ndarray:
    """The slopes of a critic of three layers with ReLUs: products of its matrices and masks."""
    W0, b0, W1, b1, W2, _ = network
    first = bent_at_zero(x @ W0 + b0)
    second = bent_at_zero(numpy.maximum(first, 0) @ W1 + b1)
    gradient = ((((second > 0) * W2.T) @ W1.T) * (first > 0)) @ W0.T
    return numpy.sqrt((gradient ** 2).sum(1) + 1e-12)  # 0 where all ReLUs are off


def _critic_costs(D: Sequence[numpy.ndarray], real: numpy.ndarray, fake: numpy.ndarray,
                  ) -> tuple[float, float, float]:
    """The distance that the critic sees, the penalty half way, and the mean slope there."""
    steep = _steep(D, (real + fake) / 2)
    distance = _through(D, real, 0.0).mean() - _through(D, fake, 0.0).mean()
    return float(distance), float(((steep - 1) ** 2).mean()), float(steep.mean())


def _wgan(inputs: Arrays, slip: str = "") -> tuple[Arrays, Arrays]:
    """The weights and the report after all steps; ``slip`` is a usual mistake."""
    of_d, of_g = runs.weights_of("D", 3), runs.weights_of("G", 2)
    w = {name: inputs[name] for name in of_d + of_g}
    weight = {"no penalty": 0.0, "no weight": 1.0, "sign of penalty": -1.0,
              "default weight": 10.0}.get(slip, float(inputs["gp_weight"]))
    weight *= float(inputs["gp_weight"]) if slip == "sign of penalty" else 1.0
    sign = -1.0 if slip == "sign of D" else 1.0
    lr_G, lr_D = float(inputs["lr_G"]), float(inputs["lr_D"])
    report: Arrays = {}

    def g_cost(v: Arrays, judge: Arrays, z: numpy.ndarray) -> float:
        made = _through(_of(v, "G"), z, 0.0)
        value = _through(_of(judge, "D"), made, 0.0).mean()
        return float(value if slip == "sign of G" else -value)

    for reals, noise in zip(inputs["real"], inputs["z"], strict=True):
        rounds = 1 if slip == "one critic step" else len(reals)
        first = w
        for j in range(rounds):
            real = reals[0 if slip == "one batch" else j]
            fake = _through(_of(w, "G"), noise[0 if slip == "one noise" else j], 0.0)

            def cost(v: Arrays, real: numpy.ndarray = real, fake: numpy.ndarray = fake) -> float:
                distance, penalty, _ = _critic_costs(_of(v, "D"), real, fake)
                return -sign * distance + weight * penalty

            distance, penalty, steep = _critic_costs(_of(w, "D"), real, fake)
            report = {"wasserstein": distance, "slope": steep,
                      "d_loss": -sign * distance + weight * penalty}
            if slip != "D stays":
                w = _descended(w, of_d, lr_D, cost)
            if slip == "G every time" and j + 1 < rounds:
                w = _descended(w, of_g, lr_G, lambda v, w=w, z=noise[-1]: g_cost(v, w, z))
        judge = first if slip == "old D" else w
        z = noise[rounds - 1] if slip == "old noise" else noise[-1]
        report["g_loss"] = g_cost(w, judge, z)
        if slip != "G stays":
            w = _descended(w, of_g, lr_G, lambda v, judge=judge, z=z: g_cost(v, judge, z))
    return w, report


def _wgan_weights(inputs: Arrays, slip: str = "") -> Arrays:
    w, _ = _wgan(inputs, slip)
    return {name: w[name] for name in runs.weights_of("D", 3) + runs.weights_of("G", 2)}


def _wgan_report(inputs: Arrays) -> Arrays:
    return _wgan(inputs)[1]


def _wgan_on(inputs: Arrays, when: str = "after") -> Arrays:
    w = inputs if when == "before" else _wgan(inputs)[0]
    decay, total = float(inputs["ema_decay"]), int(inputs["total"])
    return {**{f"average {name}": decay * inputs[f"average {name}"] + (1 - decay) * w[name]
               for name in runs.weights_of("G", 2)},
            **{f"rate of {name}": float(inputs[f"lr_{name}"]) * (total - 1) / total
               for name in "GD"}}


WGAN_SUSPECTS = _slips(
    _wgan_weights,
    no_penalty="the penalty is missing",
    no_weight="the penalty is not multiplied by gp_weight",
    default_weight="the penalty is multiplied by 10; the weight is self.gp_weight",
    sign_of_penalty="sign: the penalty is added to what the critic minimizes",
    sign_of_D="sign: the critic minimizes E f(G(z)) - E f(x), plus the penalty",
    sign_of_G="sign: G minimizes -E f(G(z))",
    D_stays="the critic was not moved: loss.opt_D has to minimize d_loss",
    G_stays="G was not moved: opt_G has to minimize g_loss",
    one_critic_step="the critic made one step; n_critic are asked for",
    one_noise="the same noise in all steps of the critic; every step draws its own",
    one_batch="the same real batch in all steps of the critic; every step takes the next one",
    G_every_time="G moved after every step of the critic; it moves once, after all of them",
    old_D="G was judged by the critic before its steps",
    old_noise="G's step draws new noise",
)

WGAN_REPORT_SUSPECTS: Suspects = {
    "sign: E f(x) - E f(G(z)) is the distance": lambda i: {
        "wasserstein": -_wgan_report(i)["wasserstein"]},
    "the penalty is in it; wasserstein is the difference of the means alone":
        lambda i: {"wasserstein": -_wgan_report(i)["d_loss"]},
    "d_loss contains the penalty": lambda i: {"d_loss": -_wgan_report(i)["wasserstein"]},
    "the penalty; slope is the mean of |grad f|": lambda i: {
        "slope": (_wgan_report(i)["d_loss"] + _wgan_report(i)["wasserstein"])
        / float(i["gp_weight"])},
}

WGAN_ON_SUSPECTS: Suspects = {
    "the average was not updated": lambda i: {
        f"average {name}": i[f"average {name}"] for name in runs.weights_of("G", 2)},
    "the average was updated before G moved": lambda i: {
        name: a for name, a in _wgan_on(i, "before").items() if name.startswith("average")},
    "the schedules made no step": lambda i: {
        "rate of G": float(i["lr_G"]), "rate of D": float(i["lr_D"])},
}


def _ring(rng: numpy.random.Generator) -> Arrays:
    """Eight wide modes on a circle, turned by a random angle, and where its middle lies."""
    angles = 2 * numpy.pi * (numpy.arange(8) + rng.uniform(0, 1)) / 8
    return {"centres": numpy.sqrt(2) * numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1),
            "sigma": 0.2 / numpy.sqrt(2), "steps": 300, "n": 1000,
            "middle": rng.uniform(-20, 20, 2), "seed": int(rng.integers(2**31))}


LEAST_MODES, LEAST_SHARE = 6, 0.2


def _covers_the_ring(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Samples lie near centres, and near almost all of them."""
    got, n = outputs["samples"].astype("float64"), int(inputs["n"])
    if got.shape != (n, 2):
        return Fault(f"samples: shape got {got.shape}, want {(n, 2)}", "points in the plane",
                     Outcome.SHAPE)
    if not numpy.isfinite(got).all():
        return Fault(f"{int((~numpy.isfinite(got)).any(1).sum())} of {n} samples are NaN or "
                     "infinite; want none", "the training diverged")
    different = len(numpy.unique(got, axis=0))
    if different < 0.9 * n:
        return Fault(f"{different} of {n} samples are different; want all of them",
                     "every sample is made from noise of its own")
    far = numpy.linalg.norm(got[:, None] - inputs["middle"] - inputs["centres"], axis=2)
    good = far.min(1) <= 3 * inputs["sigma"]
    counts = numpy.bincount(far.argmin(1)[good], minlength=8)
    modes, share = int((100 * counts >= n).sum()), float(good.mean())
    if modes < LEAST_MODES or share < LEAST_SHARE:
        return Fault(f"modes with 1 % of the samples: {modes} of 8, want {LEAST_MODES}; share "
                     f"within 3 sigma: {share:.3f}, want {LEAST_SHARE}",
                     "a player learns wrongly: is the penalty in, and are the signs right?")
    return None


Q6 = (
    Check("hw6.Q6.step", runs.train_wgan_gp, well_conditioned(_wgan_game, _wgan), _wgan_weights,
          tol=STEP, suspects=WGAN_SUSPECTS),
    Check("hw6.Q6.n_critic", runs.train_wgan_gp, well_conditioned(_several, _wgan), _wgan_weights,
          tol=STEP, suspects=WGAN_SUSPECTS),
    Check("hw6.Q6.report", runs.train_wgan_gp_report, well_conditioned(_several, _wgan),
          _wgan_report, tol=STEP, suspects=_filled(_wgan_report, WGAN_REPORT_SUSPECTS)),
    Check("hw6.Q6.on", runs.train_wgan_gp_on, well_conditioned(_wgan_with_average, _wgan), _wgan_on,
          tol=STEP, suspects=_filled(_wgan_on, WGAN_ON_SUSPECTS)),
    Check("hw6.Q6.ring", runs.train_ring, _ring, _covers_the_ring, kind=Kind.PROPERTY),
)

CHECKS: tuple[Check, ...] = Q1 + Q2 + Q3 + Q4 + Q5 + Q6
