"""The checks of hw5: the two networks of DCGAN, their weights, one step, and a sheet of samples.

What is right comes from a second DCGAN, in NumPy and float64, that shares no formula with the
library's: a convolution is a sum over the kernel's cells and not over windows, batch norm goes back
through variance and mean one after the other, and Adam sums all gradients so far:

    y  =  sum over (i, j) of w[:, :, i, j] x[i::s, j::s]        (transposed: y[i::s, j::s] += w x)

Leaves out: other sides than the paper's, and refusing nonsense, which only first_map has to do.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy

from ..check import Check, Fault, Kind, Outcome
from ..runs import hw5 as runs
from .tools import Arrays, normal

__all__ = ["CHECKS"]

Rng = numpy.random.Generator
Array = numpy.ndarray
Weights = dict[str, Array]
Suspects = dict[str, Callable[[Arrays], Arrays]]

EXACT = 1e-12
STEPS = 1e-8
EPS = 1e-5  # of batch norm
SIDES = {16: (4, 8, 16), 28: (7, 14, 28), 32: (4, 8, 16, 32), 64: (4, 8, 16, 32, 64),
         128: (4, 8, 16, 32, 64, 128)}  # of the maps in G
LINE = 128  # grey between images


# ---------------------------------------------------------------------- Q1: sides and margins


def _possible(rng: Rng) -> Arrays:
    sides = rng.permutation(list(SIDES))
    return {"shapes": numpy.stack([rng.integers(1, 4, len(sides)), sides, sides], axis=1)}


def _paths(inputs: Arrays, maps: bool = False) -> Arrays:
    paths = [SIDES[int(side)] for side in inputs["shapes"][:, 1]]
    return {"side of the first map": [path[0] for path in paths],
            "doublings": [len(path) - (not maps) for path in paths]}


SIZE_SUSPECTS: Suspects = {
    "this counts the maps; asked for are the doublings between them": lambda i: {
        "doublings": _paths(i, maps=True)["doublings"]},
    "the map begins with 4 pixels everywhere; from 4 no doubling leads to 28": lambda i: {
        "side of the first map": numpy.full(len(i["shapes"]), 4)},
    "the factor between both sides; asked for is how many doublings make it": lambda i: {
        "doublings": [2 ** n for n in _paths(i)["doublings"]]},
}


def _impossible(rng: Rng) -> Arrays:
    """Sides between the right ones, oblong images, too few or too many axes; and right shapes."""
    sides = rng.permutation([17, 20, 24, 30, 36, 40, 48, 50, 60, 96, 100])[:4]
    oblong = rng.permutation([16, 28, 32, 64])[:2]
    rows = [[1, s, s, 0] for s in sides] + [[3, *oblong, 0], [*oblong, 0, 0],
                                            [2, 3, oblong[0], oblong[0]]]
    rows += [[rng.integers(1, 4), s, s, 0] for s in rng.permutation(list(SIDES))[:4]]
    return {"shapes": rng.permutation(rows)}


def _which_refused(inputs: Arrays) -> Arrays:
    shapes = [tuple(int(n) for n in row[row > 0]) for row in inputs["shapes"]]
    return {f"ShapeError for {s}": len(s) != 3 or s[1] != s[2] or s[1] not in SIDES
            for s in shapes}


def _framed_images(rng: Rng) -> Arrays:
    """Images of unlike sides, one with room for the margin and one to which it is added."""
    m, n, c = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(1, 4))
    h, w = rng.permutation([4, 5])
    inside, outside = (n, c, h, w), (n, c, h + 2 * m, w + 2 * m)
    return {"margin": m, "x with a margin": normal(rng, *inside),
            "upstream with a margin": normal(rng, *outside),
            "x without it": normal(rng, *outside), "upstream without it": normal(rng, *inside)}


def _framed(inputs: Arrays, background: float = -1.0) -> Arrays:
    """Each pixel by its place: in the frame or not."""
    m = int(inputs["margin"])
    small, large = inputs["x with a margin"], inputs["upstream with a margin"]
    put, cut = numpy.full(large.shape, background), numpy.empty_like(small)
    by_put, by_cut = numpy.empty_like(small), numpy.zeros_like(large)
    for i in range(small.shape[2]):
        for j in range(small.shape[3]):
            at = (..., i + m, j + m)
            put[at], by_put[..., i, j] = small[..., i, j], large[at]
            cut[..., i, j] = inputs["x without it"][at]
            by_cut[at] = inputs["upstream without it"][..., i, j]
    return {"images with a margin": put, "gradient with a margin": by_put,
            "images without it": cut, "gradient without it": by_cut,
            "float32 images with a margin": put.astype("float32")}


MARGIN_SUSPECTS: Suspects = {
    "the margin is 0, which is grey; the background of images in [-1, 1] is -1":
        lambda i: _framed(i, 0.0),
    "the margin is 1, which is white; the background of images in [-1, 1] is -1":
        lambda i: _framed(i, 1.0),
    "the images themselves were moved by 1: what is added before the margin has to be taken away":
        lambda i: {"images with a margin": _framed(i, 0.0)["images with a margin"] - 1.0},
}

Q1 = (
    Check("hw5.Q1.sizes", runs.sizes, _possible, _paths, suspects=SIZE_SUSPECTS),
    Check("hw5.Q1.refused", runs.refused, _impossible, _which_refused),
    Check("hw5.Q1.margin", runs.margins, _framed_images, _framed, tol=1e-6,
          suspects=MARGIN_SUSPECTS),
)


# ----------------------------------------------------- the second DCGAN: layers, there and back


@dataclass(frozen=True)
class Layer:
    """One layer: what it is, the name of its weights, and its settings."""

    kind: str  # up, down, norm, slope, tanh, sigmoid, frame, cut, flat
    name: str = ""
    stride: int = 1
    padding: int = 0
    number: float = 0.0  # the slope of a leaky ReLU, or the width of a margin


def _convolution(kind: str, shape: tuple[int, ...], stride: int, padding: int) -> Layer:
    return Layer(kind, f"kernel {tuple(int(n) for n in shape)}", stride, padding)


def _down(x: Array, w: Array, stride: int, padding: int) -> Array:
    """Convolution of x (n, c, ...) with w (d, c, k, k), cell by cell of the kernel."""
    x = numpy.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    size = (x.shape[2] - w.shape[2]) // stride + 1
    return sum(numpy.tensordot(_cell(x, i, j, stride, size), w[:, :, i, j], (1, 1))
               for i, j in numpy.ndindex(w.shape[2:])).transpose(0, 3, 1, 2)


def _cell(x: Array, i: int, j: int, stride: int, size: int) -> Array:
    """The pixels that one cell of the kernel meets."""
    return x[:, :, i:i + stride * size:stride, j:j + stride * size:stride]


def _up(x: Array, w: Array, stride: int, padding: int) -> Array:
    """The adjoint: x (n, c, ...) with w (c, d, k, k)."""
    size = x.shape[2]
    side = (size - 1) * stride + w.shape[2]
    y = numpy.zeros((len(x), w.shape[1], side, side))
    for i, j in numpy.ndindex(w.shape[2:]):
        _cell(y, i, j, stride, size)[...] += numpy.tensordot(
            x, w[:, :, i, j], (1, 0)).transpose(0, 3, 1, 2)
    return y[:, :, padding:side - padding, padding:side - padding]


def _by_kernel(small: Array, large: Array, shape: tuple[int, ...], layer: Layer) -> Array:
    """The gradient by a kernel between a small map and a large one: (small's, large's channels)."""
    p = layer.padding
    large = numpy.pad(large, [(0, 0), (0, 0), (p, p), (p, p)])
    found = numpy.empty(shape)
    for i, j in numpy.ndindex(shape[2:]):
        cell = _cell(large, i, j, layer.stride, small.shape[2])
        found[:, :, i, j] = numpy.tensordot(small, cell, ([0, 2, 3], [0, 2, 3]))
    return found


def _of_channels(values: Array) -> Array:
    return values.reshape(1, -1, 1, 1)


def _through(layer: Layer, weights: Weights, x: Array, training: bool) -> Array:
    """What a layer makes of x."""
    w = weights.get(layer.name)
    match layer.kind:
        case "up":
            return _up(x, w, layer.stride, layer.padding)
        case "down":
            return _down(x, w, layer.stride, layer.padding)
        case "norm":
            mean, var = (x.mean((0, 2, 3)), x.var((0, 2, 3))) if training else w[2:]
            z = (x - _of_channels(mean)) / numpy.sqrt(_of_channels(var) + EPS)
            return _of_channels(w[0]) * z + _of_channels(w[1])
        case "slope":
            return numpy.maximum(x, 0) + layer.number * numpy.minimum(x, 0)
        case "tanh":
            return numpy.tanh(x)
        case "sigmoid":
            return _sigmoid(x)
        case "frame":
            m = int(layer.number)
            return numpy.pad(x, [(0, 0), (0, 0), (m, m), (m, m)], constant_values=-1.0)
        case "cut":
            m = int(layer.number)
            return x[:, :, m:-m, m:-m]
        case _:
            return x.reshape(len(x), -1)


def _forward(layers: Sequence[Layer], weights: Weights, x: Array, training: bool = True
             ) -> list[Array]:
    """x, and what each layer makes of what was before it."""
    values = [x]
    for layer in layers:
        values.append(_through(layer, weights, values[-1], training))
    return values


def _backward(layers: Sequence[Layer], weights: Weights, values: Sequence[Array], g: Array
              ) -> tuple[Weights, Array]:
    """The gradients by the weights and by x, from that by the output; in training."""
    gradients: Weights = {}
    for layer, x, y in zip(layers[::-1], values[-2::-1], values[:0:-1], strict=True):
        w = weights.get(layer.name)
        match layer.kind:
            case "up":
                gradients[layer.name] = _by_kernel(x, g, w.shape, layer)
                g = _down(g, w, layer.stride, layer.padding)
            case "down":
                gradients[layer.name] = _by_kernel(g, x, w.shape, layer)
                g = _up(g, w, layer.stride, layer.padding)
            case "norm":
                gradients[layer.name], g = _norm_back(w, x, g)
            case "slope":
                g = numpy.where(x > 0, g, layer.number * g)
            case "tanh":
                g = g * (1 - y) * (1 + y)
            case _:
                g = g.reshape(x.shape)
    return gradients, g


def _norm_back(w: Array, x: Array, g: Array) -> tuple[Array, Array]:
    """Batch norm, the chain rule step by step: through z, the variance, the mean."""
    every = (0, 2, 3)
    m = x.size // x.shape[1]
    off = x - x.mean(every, keepdims=True)
    var = (off**2).mean(every, keepdims=True) + EPS
    by_z = g * _of_channels(w[0])
    by_var = (by_z * off).sum(every, keepdims=True) * -0.5 * var**-1.5
    by_mean = -(by_z / numpy.sqrt(var)).sum(every, keepdims=True)
    return (numpy.stack([(g * off / numpy.sqrt(var)).sum(every), g.sum(every)]),
            by_z / numpy.sqrt(var) + by_var * 2 * off / m + by_mean / m)


def _sigmoid(a: Array) -> Array:
    return numpy.exp(-numpy.logaddexp(0.0, -a))


# ------------------------------------------------------------------------ Q2, Q3: the networks


def _widths(side: int, features: int) -> list[int]:
    """Channels of the maps in G before the image, from the first on."""
    return [features * 2**i for i in range(len(SIDES[side]) - 1)][::-1]


@dataclass(frozen=True)
class Plan:
    """A network to build; ``slip`` is a usual mistake, by name."""

    latent_dim: int
    features: int
    channels: int
    side: int  # with the margin
    margin: int = 0
    slip: str = ""

    @property
    def G(self) -> list[Layer]:
        """The generator, layer by layer."""
        widths = _widths(self.side, self.features)
        first = SIDES[self.side][0]
        layers = [_convolution("up", (self.latent_dim, widths[0], first, first), 1, 0)]
        slope = Layer("slope", number=0.2 if self.slip == "leaky" else 0.0)
        for width, after in zip(widths, [*widths[1:], self.channels], strict=True):
            between = [Layer("norm", f"batch norm {width}"), slope]
            if self.slip == "before norm":
                between.reverse()
            layers += between[:1] if self.slip == "linear" else between
            layers.append(_convolution("up", (width, after, 4, 4), 2, 1))
        end = {"no tanh": [], "sigmoid": [Layer("sigmoid")],
               "end": [slope, Layer("tanh")]}.get(self.slip, [Layer("tanh")])
        return layers + end + ([Layer("cut", number=self.margin)] if self.margin else [])

    @property
    def D(self) -> list[Layer]:
        """The discriminator, layer by layer."""
        widths = _widths(self.side, self.features)[::-1]
        last = SIDES[self.side][0]
        slope = Layer("slope", number={"ReLU": 0.0, "0.01": 0.01}.get(self.slip, 0.2))
        layers = [Layer("frame", number=self.margin)] if self.margin else []
        layers.append(_convolution("down", (widths[0], self.channels, 4, 4), 2, 1))
        layers += [] if self.slip == "linear" else [slope]
        for before, width in itertools.pairwise(widths):
            layers.append(_convolution("down", (width, before, 4, 4), 2, 1))
            between = [Layer("norm", f"batch norm {width}"), slope]
            layers += between[::-1] if self.slip == "before norm" else between
        layers.append(_convolution("down", (1, widths[-1], last, last), 1, 0))
        end = {"sigmoid": [Layer("sigmoid")], "end": [slope]}.get(self.slip, [])
        return [*layers, *end, Layer("flat")]


def _kernel_shape(layer: Layer) -> tuple[int, ...]:
    return tuple(int(n) for n in layer.name.removeprefix("kernel (").rstrip(")").split(","))


def _weights(rng: Rng, layers: Sequence[Layer], statistics: bool = False) -> Weights:
    """Weights that keep the size of what passes, and batch norms that do something."""
    found: Weights = {}
    for layer in layers:
        if layer.kind in ("up", "down"):
            shape = _kernel_shape(layer)
            inputs = shape[0 if layer.kind == "up" else 1]
            cells = shape[2] * shape[3]  # that reach a pixel; in the first of G it is one
            if layer.kind == "up":
                cells = 1 if layer.stride == 1 else cells // layer.stride**2
            found[layer.name] = normal(rng, *shape) / numpy.sqrt(inputs * cells)
        elif layer.kind == "norm":
            width = int(layer.name.split()[-1])
            rows = [rng.uniform(0.6, 1.6, width), 0.4 * normal(rng, width)]
            if statistics:
                rows += [0.5 * normal(rng, width), rng.uniform(0.5, 2.0, width)]
            found[layer.name] = numpy.stack(rows)
    return found


def _several(rng: Rng, of_G: bool = True) -> Arrays:
    """Shapes of images, 16 to 64 pixels, and the settings of narrow networks for them."""
    sides = [16, 28, 32, 64]
    return {"shapes": numpy.array([[rng.choice([1, 3]), s, s] for s in sides]),
            "n": rng.integers(2, 7, len(sides)), "latent_dim": int(rng.choice([3, 5, 7])),
            "features": int(rng.integers(2, 4)), "margin": 0,
            "seed": int(rng.integers(2**31)), "of G": of_G}


def _plan(inputs: Arrays, shape: Array, slip: str = "") -> Plan:
    margin = int(inputs["margin"])
    return Plan(int(inputs["latent_dim"]), int(inputs["features"]), int(shape[0]),
                int(shape[1]) + 2 * margin, margin, slip)


def _are_images(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Shape and dtype, and values that a tanh may have made."""
    for n, shape in zip(inputs["n"].tolist(), inputs["shapes"].tolist(), strict=True):
        what = f"images of {shape[1]} x {shape[1]}"
        fault = _likeness(what, f"side {shape[1]}", outputs, (n, *shape),
                          "as many channels as data_shape says, and a side that is doubled by "
                          "every transposed convolution but the first")
        if fault is not None:
            return fault
        lowest, largest = (float(outputs[f"side {shape[1]}: {name}"])
                           for name in ("lowest", "largest"))
        if not largest <= 1:
            return Fault(f"{what}: the largest pixel is {largest:.3f}, want at most 1",
                         "tanh is the last layer of G")
        if not lowest < 0:
            return Fault(f"{what}: the lowest pixel is {lowest:.3f}, want pixels below 0 as well",
                         "images are in [-1, 1]: tanh at the end, no sigmoid, no ReLU before it")
    return None


def _likeness(what: str, side: str, outputs: Arrays, want: tuple[int, ...], cause: str,
              ) -> Fault | None:
    """What is wrong with the shape and dtype that were found for a side."""
    got = tuple(outputs[f"{side}: shape"].tolist())
    if got != want:
        return Fault(f"{what}: shape got {got}, want {want}", cause, Outcome.SHAPE)
    if not outputs[f"{side}: is float32"]:
        return Fault(f"{what}: another dtype, want float32",
                     "layers are made in the default dtype", Outcome.DTYPE)
    return None


def _form(what: str, got: Array, want: tuple[int, ...], cause: str) -> Fault | None:
    if got.shape != want:
        return Fault(f"{what}: shape got {got.shape}, want {want}", cause, Outcome.SHAPE)
    if got.dtype != numpy.float32:
        return Fault(f"{what}: dtype got {got.dtype}, want float32",
                     "layers are made in the default dtype", Outcome.DTYPE)
    return None


def _are_logits(inputs: Arrays, outputs: Arrays) -> Fault | None:
    for n, (_, side, _) in zip(inputs["n"].tolist(), inputs["shapes"], strict=True):
        fault = _likeness(f"logits for {side} x {side}", f"side {side}", outputs, (n, 1),
                          "one number for an image: the last kernel is as large as the map that "
                          "is left, and Flatten makes (n, 1, 1, 1) to (n, 1)")
        if fault is not None:
            return fault
    return None


def _parameters_are_right(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """The same shapes, as often; their order does not matter."""
    for shape in inputs["shapes"]:
        plan = _plan(inputs, shape)
        want: Counter = Counter()
        for layer in plan.G if inputs["of G"] else plan.D:
            if layer.kind in ("up", "down"):
                want[_kernel_shape(layer)] += 1
            elif layer.kind == "norm":
                want[(int(layer.name.split()[-1]),)] += 2
        got = Counter(tuple(int(n) for n in row[row > 0]) for row in outputs[f"side {shape[1]}"])
        if got != want:
            counts = [sum(int(numpy.prod(s)) * times for s, times in shapes.items())
                      for shapes in (got, want)]
            missing, extra = want - got, got - want
            return Fault(f"side {shape[1]}: {counts[0]} parameters, want {counts[1]}; missing "
                         f"shapes: {_listed(missing)}; too many: {_listed(extra)}",
                         _why_other(missing, extra))
    return None


def _listed(shapes: Counter) -> str:
    names = [f"{times} of {shape}" if times > 1 else str(shape)
             for shape, times in sorted(shapes.items(), key=str)]
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") or "none"


def _why_other(missing: Counter, extra: Counter) -> str:
    vectors = all(len(shape) == 1 for shape in (*missing, *extra))
    if vectors and not missing and any(times % 2 for times in extra.values()):
        return "a bias: no convolution has one"
    if vectors and not missing:
        return "batch norm where none belongs (not at G's output, not at D's input), or biases"
    if vectors and not extra:
        return "a batch norm is missing: it is in all hidden layers but the first of D"
    if any(len(shape) == 2 for shape in extra):
        return "a fully connected layer: DCGAN has none, not even at its ends"
    if any(len(shape) == 4 and shape[2] != shape[3] for shape in extra):
        return "kernels are square"
    kernels = [Counter(shape[2:] for shape in shapes.elements() if len(shape) == 4)
               for shapes in (missing, extra)]
    if kernels[0] != kernels[1]:
        return ("sides of kernels: 4, but the first of G and the last of D are as large as their "
                "map; or a layer too few or too many")
    return ("channels: `features` beside the image, and in every layer away from it twice as many; "
            "in a transposed convolution the input's come first")


def _one_network(rng: Rng, of_G: bool, margin: bool = False) -> Arrays:
    """A network for small images with given weights, and what goes into it."""
    side = 28 if margin else int(rng.choice([16, 28, 32]))
    shape = numpy.array([rng.choice([1, 3]), side, side])
    inputs = {"data_shape": shape, "latent_dim": int(rng.choice([3, 5, 7])),
              "features": int(rng.integers(1, 3)), "margin": 2 if margin else 0}
    plan = _plan(inputs, shape)
    if of_G:
        return {**inputs, **_weights(rng, plan.G), "z": normal(rng, 3, int(inputs["latent_dim"]))}
    return {**inputs, **_weights(rng, plan.D), "x": rng.uniform(-1, 1, (3, *shape))}


def _generated(slip: str = "") -> Callable[[Arrays], Arrays]:
    def images(inputs: Arrays) -> Arrays:
        layers = _plan(inputs, inputs["data_shape"], slip).G
        return {"images": _forward(layers, inputs, inputs["z"][:, :, None, None])[-1]}

    return images


def _judged(slip: str = "") -> Callable[[Arrays], Arrays]:
    def logits(inputs: Arrays) -> Arrays:
        layers = _plan(inputs, inputs["data_shape"], slip).D
        return {"logits": _forward(layers, inputs, inputs["x"])[-1]}

    return logits


G_SUSPECTS: Suspects = {
    "G has ReLU, not leaky ReLU": _generated("leaky"),
    "there is no tanh at the end": _generated("no tanh"),
    "a sigmoid at the end; tanh makes pixels from -1 to 1": _generated("sigmoid"),
    "ReLU stands before batch norm; it follows batch norm": _generated("before norm"),
    "a ReLU before tanh makes all pixels 0 or more: none after the last convolution":
        _generated("end"),
    "there is no ReLU after batch norm": _generated("linear"),
}

D_SUSPECTS: Suspects = {
    "D has leaky ReLU, not ReLU": _judged("ReLU"),
    "the slope of the leaky ReLU is 0.2, not 0.01": _judged("0.01"),
    "a sigmoid at the end; D answers with logits": _judged("sigmoid"),
    "the leaky ReLU stands before batch norm; it follows batch norm": _judged("before norm"),
    "a leaky ReLU at the end; the last convolution makes the logit": _judged("end"),
    "there is no leaky ReLU after the first convolution": _judged("linear"),
}

Q2 = (
    Check("hw5.Q2.shapes", runs.generator_shapes, _several, _are_images, kind=Kind.PROPERTY),
    Check("hw5.Q2.parameters", runs.parameter_shapes, _several, _parameters_are_right,
          kind=Kind.PROPERTY),
    Check("hw5.Q2.values", runs.generator_values, lambda rng: _one_network(rng, of_G=True),
          _generated(), tol=STEPS, suspects=G_SUSPECTS),
    Check("hw5.Q2.margin", runs.generator_values,
          lambda rng: _one_network(rng, of_G=True, margin=True), _generated(), tol=STEPS,
          suspects=G_SUSPECTS),
)
Q3 = (
    Check("hw5.Q3.shapes", runs.discriminator_shapes, lambda rng: _several(rng, of_G=False),
          _are_logits, kind=Kind.PROPERTY),
    Check("hw5.Q3.parameters", runs.parameter_shapes, lambda rng: _several(rng, of_G=False),
          _parameters_are_right, kind=Kind.PROPERTY),
    Check("hw5.Q3.values", runs.discriminator_values, lambda rng: _one_network(rng, of_G=False),
          _judged(), tol=STEPS, suspects=D_SUSPECTS),
    Check("hw5.Q3.margin", runs.discriminator_values,
          lambda rng: _one_network(rng, of_G=False, margin=True), _judged(), tol=STEPS,
          suspects=D_SUSPECTS),
)


# -------------------------------------------------------------------------- Q4: how weights begin

SPREAD = 0.02


def _is_drawn(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Mean, deviation, fourth moment and independence, all within 6 standard errors.

    And each weight comes from one of the numbers that the generator drew.
    """
    c = int(inputs["channels"])
    shapes = {"Conv2d": (2 * c, c, 4, 4), "ConvTranspose2d": (2 * c, c, 4, 4),
              "BatchNorm2d": (32 * c * c,), "the next Conv2d": (2 * c, c, 4, 4)}
    for name, shape in shapes.items():
        middle, got = (1.0 if name == "BatchNorm2d" else 0.0), outputs[f"weight of {name}"]
        if got.shape != shape:
            return Fault(f"weight of {name}: shape got {got.shape}, want {shape}",
                         "the weight keeps its shape", Outcome.SHAPE)
        fault = _is_normal(f"weight of {name}", outputs[f"weight of {name}"], middle)
        if fault is not None:
            return fault
        bias = outputs[f"bias of {name}"]
        if bias.any():
            worst = float(bias.reshape(-1)[abs(bias).argmax()])
            return Fault(f"bias of {name}: yours {worst:.4g}, want 0",
                         "biases and shifts become 0")
    one, other = (outputs[f"weight of {name}"].reshape(-1) for name in (
        "Conv2d", "the next Conv2d"))
    both = float((one * other).mean() / (one.std() * other.std()))
    if abs(both) > 6 / numpy.sqrt(one.size):
        return Fault(f"correlation between the weights of two layers: yours {both:.3f}, want 0",
                     "two layers got the same numbers: each draws its own")
    for name in ("Conv2d", "ConvTranspose2d", "BatchNorm2d", "the next Conv2d"):
        middle, rounding = (1.0, 2e-5) if name == "BatchNorm2d" else (0.0, 4e-6)
        numbers = (outputs[f"weight of {name}"] - middle) / SPREAD
        foreign = _not_among(numbers, inputs["numbers"], rounding)
        if foreign:
            return Fault(f"weight of {name}: {foreign} of {numbers.size} were not drawn by "
                         "minigrad's generator; want all from there",
                         "not repeatable: init.randn draws from minigrad's generator")
    return None


def _weights_to_draw(rng: Rng) -> Arrays:
    """Numbers of channels, and twice as many normal numbers as there are weights."""
    channels = int(rng.integers(11, 14))
    return {"channels": channels, "numbers": normal(rng, 256 * channels**2)}


def _not_among(got: Array, numbers: Array, rounding: float) -> int:
    """How many of ``got`` are none of the numbers, up to sign and rounding."""
    listed, wanted = numpy.sort(abs(numbers.reshape(-1))), abs(got.astype("float64").reshape(-1))
    places = numpy.searchsorted(listed, wanted).clip(1, listed.size - 1)
    near = numpy.minimum(abs(listed[places - 1] - wanted), abs(listed[places] - wanted))
    return int((~(near <= rounding)).sum())


def _is_normal(name: str, got: Array, middle: float) -> Fault | None:
    n, mean, spread = got.size, float(got.mean()), float(got.std())
    if spread == 0:
        return Fault(f"{name}: all are {mean:.4g}, want N({middle:g}, 0.02^2)",
                     "the layer was not reached, or all its weights are one number")
    if abs(mean - middle) > 6 * max(spread, SPREAD) / numpy.sqrt(n):
        return Fault(f"{name}: mean {mean:.4f}, want {middle:g}",
                     "the scale of batch norm lies around 1, kernels around 0")
    if abs(spread / SPREAD - 1) > 6 / numpy.sqrt(2 * n):
        cause = {round(SPREAD**2, 5): "0.02 is the deviation; this is its square",
                 round(SPREAD**0.5, 2): "0.02 is the deviation; this is its root",
                 }.get(round(spread, 5 if spread < 0.01 else 2),
                       "the deviation is 0.02 in every layer, however large")
        return Fault(f"{name}: deviation {spread:.5f}, want {SPREAD}", cause)
    fourth = float((((got - mean) / spread) ** 4).mean())
    if abs(fourth - 3) > 6 * numpy.sqrt(96 / n):
        return Fault(f"{name}: mean fourth power {fourth:.3f} deviations^4, want about 3",
                     "the weights are not normal")
    return None


def _other_layers(rng: Rng) -> Arrays:
    return {"weight": normal(rng, 3, 2), "bias": normal(rng, 1, 2),
            "running_mean": normal(rng, 3), "running_var": rng.uniform(0.5, 2.0, 3)}


def _as_before(inputs: Arrays) -> Arrays:
    return {"returns the module": True, "a layer without bias has none": True,
            "float64 stays float64": True, "is learned": True,
            "weight of Linear": inputs["weight"], "bias of Linear": inputs["bias"],
            "running_mean": inputs["running_mean"], "running_var": inputs["running_var"]}


Q4 = (
    Check("hw5.Q4.spread", runs.initial_spread,
          _weights_to_draw, _is_drawn, kind=Kind.PROPERTY),
    Check("hw5.Q4.alone", runs.left_alone, _other_layers, _as_before, tol=EXACT, suspects={
        "only convolutions and batch norms are drawn; this layer was changed, too": lambda i: {
            "bias of Linear": numpy.zeros_like(i["bias"])}}),
)


# -------------------------------------------------------------------------- Q5: noise and one step


def _prior(rng: Rng, is_normal: bool) -> Arrays:
    n, latent = int(rng.integers(700, 900)), int(rng.integers(6, 9))
    return {"n": n, "latent_dim": latent, "seed": int(rng.integers(2**31)), "normal": is_normal,
            "numbers": normal(rng, 2 * n * latent), "from 0 to 1": rng.random(2 * n * latent)}


def _is_noise(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Form, repeatable, newly drawn each time; then the moments, within 6 standard errors.

    And each number is one that the generator drew.
    """
    z, want = outputs["z"], (int(inputs["n"]), int(inputs["latent_dim"]))
    fault = _form("z", z, want, "(n, latent_dim)")
    if fault is not None:
        return fault
    if bool(outputs["is learned"]):
        return Fault("z asks for gradients; want requires_grad False", "noise is not learned")
    own = "z without a generator"
    for first, second in (("z", "z of an equal generator"), (own, f"{own}, seeded again")):
        if not numpy.array_equal(outputs[first], outputs[second]):
            return Fault(f"{first}: equal generators gave different noise; want equal",
                         "not repeatable: draw from g, and without one from minigrad's generator")
    if numpy.array_equal(outputs[own], outputs["the next z without a generator"]):
        return Fault(f"{own}: two calls gave the same noise; want new noise",
                     "minigrad's generator goes on from call to call")
    z = z.astype("float64")
    # the prior by its largest number, its variance and its fourth moment
    most, variance, fourth = (numpy.inf, 1.0, 3.0) if inputs["normal"] else (1.0, 1 / 3, 1 / 5)
    name = "N(0, 1)" if inputs["normal"] else "uniform in [-1, 1]"
    moments = {"mean": (z.mean(), 0.0, numpy.sqrt(variance)),
               "variance": ((z**2).mean(), variance, numpy.sqrt(fourth - variance**2)),
               "mean fourth power": ((z**4).mean(), fourth, 10.0 if inputs["normal"] else 0.27)}
    for what, (got, right, spread) in moments.items():
        if not abs(got - right) <= 6 * spread / numpy.sqrt(z.size):
            return Fault(f"z: {what} {got:.4f}, want {right:.4f} ({name})", _why_noise(z, inputs))
    if abs(z).max() > most:
        return Fault(f"z: the largest number is {abs(z).max():.4f}, want at most 1",
                     "the uniform prior fills the cube [-1, 1]^d")
    for axis in (0, 1):
        across = float((z * numpy.roll(z, 1, axis)).mean() / variance)
        if abs(across) > 6 / numpy.sqrt(z.size):
            return Fault(f"z: correlation of neighbours along axis {axis} {across:.3f}, want 0",
                         "every number is drawn by itself")
    numbers = inputs["numbers"] if inputs["normal"] else 2 * inputs["from 0 to 1"] - 1
    foreign = _not_among(z, numbers, 2e-6)
    if foreign:
        return Fault(f"z: {foreign} of {z.size} numbers were not drawn by g; want all from there",
                     "not repeatable: draw from g, and without one from minigrad's generator")
    return None


def _why_noise(z: Array, inputs: Arrays) -> str:
    if z.min() >= 0:
        return "no number is below 0: [0, 1) has to be stretched to [-1, 1)"
    if inputs["normal"] and abs(z).max() <= 1:
        return "this is the uniform prior; self.prior asks for the normal one"
    if not inputs["normal"] and abs(z).max() > 1.5:
        return "this is not the uniform prior, which self.prior asks for"
    return f"another interval or scale: from {z.min():.2f} to {z.max():.2f}"


def _small(inputs: Arrays) -> tuple[list[Layer], list[Layer]]:
    """The small networks of the run, for images of 8 x 8."""
    latent, width = (int(n) for n in inputs["G width"])
    f = int(inputs["D width"])
    return ([_convolution("up", (latent, width, 4, 4), 1, 0), Layer("norm", f"batch norm {width}"),
             Layer("slope"), _convolution("up", (width, 1, 4, 4), 2, 1), Layer("tanh")],
            [_convolution("down", (f, 1, 4, 4), 2, 1), Layer("slope", number=0.2),
             _convolution("down", (2 * f, f, 4, 4), 2, 1), Layer("norm", f"batch norm {2 * f}"),
             Layer("slope", number=0.2), _convolution("down", (1, 2 * f, 2, 2), 1, 0),
             Layer("flat")])


def _prefixed(prefix: str, weights: Weights) -> Arrays:
    return {prefix + name: value for name, value in weights.items()}


def _under(prefix: str, inputs: Arrays) -> Weights:
    return {name[len(prefix):]: value for name, value in inputs.items()
            if name.startswith(prefix) and name[len(prefix):].startswith(("kernel", "batch norm"))}


def _game(rng: Rng, *, steps: int = 1, average: bool = False, planned: bool = False) -> Arrays:
    """The small networks, batches and noise for some steps of plain descent."""
    latent, n = int(rng.integers(2, 4)), int(rng.integers(3, 6))
    inputs: Arrays = {"G width": numpy.array([latent, int(rng.integers(4, 6))]),
                      "D width": int(rng.integers(2, 4))}
    G, D = _small(inputs)
    inputs |= {**_prefixed("G ", _weights(rng, G)), **_prefixed("D ", _weights(rng, D)),
               "real": numpy.tanh(normal(rng, steps, n, 1, 8, 8)),
               "z": normal(rng, steps, n, latent), "lr_G": rng.uniform(0.1, 0.2),
               "lr_D": rng.uniform(0.05, 0.1),
               "ema_decay": rng.uniform(0.3, 0.8) if average else 0.0}
    if average:
        inputs |= _prefixed("average ", _weights(rng, G))
    if planned:
        inputs["total"] = int(rng.integers(steps + 1, steps + 4))
    return inputs


@dataclass
class _Adam:
    """Kingma and Ba 2015, algorithm 1, with the sums over all gradients so far written out."""

    lr: float
    beta1: float | None = None  # None: plain descent
    seen: list[Weights] = field(default_factory=list)

    def step(self, weights: Weights, gradients: Weights) -> Weights:
        if self.beta1 is None:
            return {name: w - self.lr * gradients[name] for name, w in weights.items()}
        self.seen.append(gradients)
        age = numpy.arange(len(self.seen))[::-1]
        first, second = self.beta1**age, 0.999**age
        moved = {}
        for name, w in weights.items():
            past = numpy.stack([g[name] for g in self.seen], axis=-1)
            mean, square = past @ first / first.sum(), past**2 @ second / second.sum()
            moved[name] = w - self.lr * mean / (numpy.sqrt(square) + 1e-8)
        return moved


def _added(one: Weights, other: Weights) -> Weights:
    return {name: value + other[name] for name, value in one.items()}


def _of_d(layers: list[Layer], D: Weights, real: Array, fake: Array) -> tuple[Weights, Arrays]:
    """D's gradients of J_D, and what is reported; each batch goes through D by itself."""
    values = [_forward(layers, D, x) for x in (real, fake)]
    a, b = (v[-1] for v in values)
    of_real, _ = _backward(layers, D, values[0], -_sigmoid(-a) / len(a))
    of_fake, _ = _backward(layers, D, values[1], _sigmoid(b) / len(b))
    return _added(of_real, of_fake), {
        "d_loss": numpy.logaddexp(0, -a).mean() + numpy.logaddexp(0, b).mean(),
        "d_real": _sigmoid(a).mean(), "d_fake": _sigmoid(b).mean()}


def _of_g(layers_G: list[Layer], layers_D: list[Layer], made: list[Array], G: Weights, D: Weights
          ) -> tuple[Weights, Array]:
    """G's gradients of -log D of the fakes it made, and that loss."""
    values = _forward(layers_D, D, made[-1])
    a = values[-1]
    _, g = _backward(layers_D, D, values, -_sigmoid(-a) / len(a))
    gradients, _ = _backward(layers_G, G, made, g)
    return gradients, numpy.logaddexp(0, -a).mean()


def _played(inputs: Arrays, slip: str = "") -> tuple[Arrays, Arrays]:
    """All weights and rates after the game, and the last report; ``slip`` is a usual mistake."""
    if "data_shape" in inputs:
        plan = _plan({**inputs, "margin": numpy.array(0)}, inputs["data_shape"])
        layers_G, layers_D = plan.G, plan.D
    else:
        layers_G, layers_D = _small(inputs)
    G, D, mean = (_under(prefix, inputs) for prefix in ("G ", "D ", "average "))
    beta1 = float(inputs["beta1"]) if "beta1" in inputs else None
    opt_G, opt_D = (_Adam(float(inputs[name]), beta1) for name in ("lr_G", "lr_D"))
    decay, report = float(inputs.get("ema_decay", 0.0)), {}
    for t, (real, z) in enumerate(zip(inputs["real"], inputs["z"], strict=True)):
        if "total" in inputs:
            late = {"never planned": 0, "planned early": t + 1}.get(slip, t)
            for opt, name in ((opt_G, "lr_G"), (opt_D, "lr_D")):
                opt.lr = float(inputs[name]) * (1 - late / int(inputs["total"]))
        made = _forward(layers_G, G, z[:, :, None, None])
        if slip == "evaluation":
            made = _forward(layers_G, _with_new_statistics(G), z[:, :, None, None], False)
        if slip == "average early":
            mean = _mixed(mean, G, decay)
        gradients, report = _of_d(layers_D, D, real, made[-1])
        before, D = D, (D if slip == "D stays" else opt_D.step(D, gradients))
        judge = before if slip == "old D" else D
        gradients, report["g_loss"] = _of_g(layers_G, layers_D, made, G, judge)
        if slip != "G stays":
            G = opt_G.step(G, gradients)
        if slip not in ("average early", "no average"):
            mean = _mixed(mean, G, decay)
    found = {**_prefixed("D ", D), **_prefixed("G ", G), **_prefixed("average ", mean)}
    if "total" in inputs:
        left = 1 - (0 if slip == "never planned" else len(inputs["z"])) / int(inputs["total"])
        found |= {"rate of D": inputs["lr_D"] * left, "rate of G": inputs["lr_G"] * left}
    return found, report


def _with_new_statistics(weights: Weights) -> Weights:
    """Batch norms as they are before the first batch: running means of 0 and variances of 1."""
    return {name: numpy.vstack([w, numpy.zeros(w.shape[1]), numpy.ones(w.shape[1])])
            if name.startswith("batch norm") else w for name, w in weights.items()}


def _mixed(mean: Weights, G: Weights, decay: float) -> Weights:
    return {name: decay * value + (1 - decay) * G[name] for name, value in mean.items()}


def _after(slip: str = "") -> Callable[[Arrays], Arrays]:
    return lambda inputs: _played(inputs, slip)[0]


def _reported(slip: str = "") -> Callable[[Arrays], Arrays]:
    def report(inputs: Arrays) -> Arrays:
        return {**_played(inputs, slip)[1], "number of fakes": len(inputs["z"][0])}

    return report


def _exchanged(one: str, other: str) -> Callable[[Arrays], Arrays]:
    def report(inputs: Arrays) -> Arrays:
        right = _reported()(inputs)
        return {one: right[other], other: right[one]}

    return report


STEP_SUSPECTS: Suspects = {
    "D was not moved: call loss.d_step": lambda i: {
        name: value for name, value in i.items() if name in _prefixed("D ", _under("D ", i))},
    "the fakes were made in evaluation mode, or by the average; G learns in training mode": _after(
        "evaluation"),
    "G was not moved: opt_G has to minimize g_loss": _after("G stays"),
    "G moved first, under the old D; D moves first, and G follows the new one": _after("old D"),
}
AVERAGE_SUSPECTS: Suspects = {
    "the average of G was not updated": _after("no average"),
    "the average of G was updated before G moved": _after("average early"),
    **STEP_SUSPECTS,
}
PLAN_SUSPECTS: Suspects = {
    "the schedules were not asked: each one makes one step after the players": _after(
        "never planned"),
    "the schedules went on before the players moved; they follow": _after("planned early"),
    **STEP_SUSPECTS,
}
REPORT_SUSPECTS: Suspects = {
    "the generator's loss under D before its step; g_loss has to see the new D":
        lambda i: {"g_loss": _reported("old D")(i)["g_loss"]},
    "d_loss and g_loss are exchanged": _exchanged("d_loss", "g_loss"),
    "d_real and d_fake are exchanged": _exchanged("d_real", "d_fake"),
    "self.batch_size; the last batch may be smaller, and there are as many fakes as real images":
        lambda i: {"number of fakes": len(i["z"][0]) + 2},
}


def _whole(rng: Rng) -> Arrays:
    """A DCGAN for 16 pixels, two steps of Adam."""
    shape, n = numpy.array([1, 16, 16]), 3
    inputs = {"data_shape": shape, "latent_dim": int(rng.choice([3, 5])), "features": 1,
              "margin": 0}
    plan = _plan(inputs, shape)
    del inputs["margin"]
    return {**inputs, **_prefixed("G ", _weights(rng, plan.G)),
            **_prefixed("D ", _weights(rng, plan.D)),
            "real": numpy.tanh(normal(rng, 2, n, *shape)),
            "z": normal(rng, 2, n, int(inputs["latent_dim"])), "lr_G": rng.uniform(0.005, 0.01),
            "lr_D": rng.uniform(0.002, 0.004), "beta1": rng.uniform(0.4, 0.6)}


Q5 = (
    Check("hw5.Q5.noise.uniform", runs.noise, lambda rng: _prior(rng, False), _is_noise,
          kind=Kind.PROPERTY),
    Check("hw5.Q5.noise.normal", runs.noise, lambda rng: _prior(rng, True), _is_noise,
          kind=Kind.PROPERTY),
    Check("hw5.Q5.step", runs.train_step, _game, _after(), tol=STEPS, suspects=STEP_SUSPECTS),
    Check("hw5.Q5.average", runs.train_step, lambda rng: _game(rng, average=True), _after(),
          tol=STEPS, suspects=AVERAGE_SUSPECTS),
    Check("hw5.Q5.schedules", runs.train_step, lambda rng: _game(rng, steps=2, planned=True),
          _after(), tol=STEPS, suspects=PLAN_SUSPECTS),
    Check("hw5.Q5.report", runs.train_step_report, _game, _reported(), tol=STEPS,
          suspects=REPORT_SUSPECTS),
    Check("hw5.Q5.model", runs.train_step_of_the_model, _whole, _after(), tol=1e-6,
          suspects=STEP_SUSPECTS),
)


# --------------------------------------------------------------------------- Q6: a sheet of samples


def _to_decode(rng: Rng) -> Arrays:
    inputs: Arrays = {"G width": numpy.array([int(rng.integers(2, 4)), int(rng.integers(3, 6))]),
                      "D width": 1}
    G, _ = _small(inputs)
    return {**inputs, "z": normal(rng, 4, int(inputs["G width"][0])),
            **_prefixed("G ", _weights(rng, G, statistics=True)),
            **_prefixed("average ", _weights(rng, G, statistics=True))}


def _decoded(inputs: Arrays, *, training: bool = False, always: str = "") -> Arrays:
    """Images by the running statistics, from either network, and an unchanged network."""
    layers, _ = _small(inputs)
    norm = f"batch norm {int(inputs['G width'][1])}"
    found: Arrays = {}
    for mode in ("training", "evaluation"):
        for who in ("G", "average"):
            weights = _under(f"{always or who} ", inputs)
            images = _forward(layers, weights, inputs["z"][:, :, None, None],
                              training and mode == "training")[-1]
            state = f"{who} in {mode}"
            found |= {f"images, {state}": images, f"recorded, {state}": False,
                      f"training afterwards, {state}": mode == "training",
                      f"running_mean afterwards, {state}": inputs[f"{who} {norm}"][2]}
    return found


def _only(kind: str, found: Arrays) -> Arrays:
    return {name: value for name, value in found.items() if name.startswith(kind)}


DECODE_SUSPECTS: Suspects = {
    "by the statistics of the batch: decode in evaluation mode": lambda i: _only(
        "images", _decoded(i, training=True)),
    "by G itself; the averaged generator samples if there is one": lambda i: _only(
        "images", _decoded(i, always="G")),
    "the network was left in evaluation; its mode has to be put back": lambda i: dict.fromkeys(
        _only("training", _decoded(i)), False),
    "the network was left in training; its mode has to be put back, whatever it was":
        lambda i: dict.fromkeys(_only("training", _decoded(i)), True),
    "a graph was recorded; nothing is learned from samples": lambda i: dict.fromkeys(
        _only("recorded", _decoded(i)), True),
}


def _to_lay_out(rng: Rng) -> Arrays:
    """A number of images that leaves places free, of unlike sides, and one column."""
    columns = int(rng.integers(3, 5))
    n, (h, w) = columns * 2 - int(rng.integers(1, columns)), rng.permutation([3, 4])
    return {"grey": rng.integers(0, 256, (n, h, w), dtype="uint8"),
            "coloured": rng.integers(0, 256, (n, h, w, 3), dtype="uint8"),
            "columns": numpy.array([columns, 1])}


def _laid_out(images: Array, columns: int, line: int = LINE, free: int = LINE, down: bool = False
              ) -> Array:
    """Pixel by pixel: which image is here, and which of its pixels?"""
    n, h, w = images.shape[:3]
    rows = -(-n // columns)
    sheet = numpy.full((rows * (h + 1) + 1, columns * (w + 1) + 1, *images.shape[3:]), line,
                       dtype="uint8")
    for y, x in numpy.ndindex(sheet.shape[:2]):
        (row, i), (column, j) = divmod(y, h + 1), divmod(x, w + 1)
        k = column * rows + row if down else row * columns + column
        if i and j:
            sheet[y, x] = images[k, i - 1, j - 1] if k < n else free
    return sheet


def _grids(**options: int | bool) -> Callable[[Arrays], Arrays]:
    def grids(inputs: Arrays) -> Arrays:
        found: Arrays = {}
        for kind, columns in itertools.product(("grey", "coloured"), inputs["columns"]):
            name = f"{kind} images in {columns} columns"
            found[name] = _laid_out(inputs[kind], int(columns), **options)
            found[f"uint8, {name}"] = True
        return found

    return grids


GRID_SUSPECTS: Suspects = {
    "column by column; images are laid out row by row": _grids(down=True),
    "the lines are black; they are grey (_SEPARATOR)": _grids(line=0, free=LINE),
    "lines and free places are black; they are grey (_SEPARATOR)": _grids(line=0, free=0),
    "lines and free places are white; they are grey (_SEPARATOR)": _grids(line=255, free=255),
    "free places of the last row are black; they are grey (_SEPARATOR)": _grids(free=0),
    "free places of the last row are white; they are grey (_SEPARATOR)": _grids(free=255),
}


def _sheet(rng: Rng) -> Arrays:
    return {"n": int(rng.integers(5, 8)), "columns": int(rng.integers(2, 5)),
            "data_shape": numpy.array([rng.choice([1, 3]), 16, 16]),
            "seed": int(rng.integers(2**31))}


def _is_a_sheet(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Images of n different samples, repeatable, in their places."""
    images, c = outputs["images"], int(inputs["data_shape"][0])
    want = (int(inputs["n"]), 16, 16) + ((3,) if c == 3 else ())
    if images.shape != want:
        return Fault(f"images: shape got {images.shape}, want {want}", "n samples of the model",
                     Outcome.SHAPE)
    if not numpy.array_equal(images, outputs["images of an equal generator"]):
        return Fault("equal generators gave different samples; want equal ones",
                     "not repeatable: noise comes from the generator given, and decode draws none")
    if len(numpy.unique(images.reshape(len(images), -1), axis=0)) < len(images):
        return Fault(f"{len(images)} samples: some are the same image; want all different",
                     "each has noise of its own")
    right = _laid_out(images, int(inputs["columns"]))
    sheet = outputs["sheet"]
    if sheet.shape != right.shape:
        return Fault(f"sheet: shape got {sheet.shape}, want {right.shape}",
                     "a line between and around the images", Outcome.SHAPE)
    wrong = int((sheet != right).sum())
    return Fault(f"sheet: {wrong} of {sheet.size} values are not those of the images; want 0",
                 "see hw5.Q6.grid") if wrong else None


Q6 = (
    Check("hw5.Q6.decode", runs.decoded, _to_decode, _decoded, tol=STEPS,
          suspects=DECODE_SUSPECTS),
    Check("hw5.Q6.grid", runs.grid, _to_lay_out, _grids(), suspects=GRID_SUSPECTS),
    Check("hw5.Q6.sheet", runs.sample_sheet, _sheet, _is_a_sheet, kind=Kind.PROPERTY),
)

CHECKS: tuple[Check, ...] = Q1 + Q2 + Q3 + Q4 + Q5 + Q6
