"""The checks of hw3: convolution, its gradients, transposed convolution and batch norm.

What is right is computed window by window, or by differences, in float64: an image's window times
the weight is an output pixel; an output pixel's gradient times the weight is added to the window.

    y[:, :, i, j]        =  sum of window(i, j) w
    dx[window(i, j)]    +=  g[:, :, i, j] w
    dw                  +=  g[:, :, i, j] window(i, j)

Leaves out: sizes that do not fit and wrong arguments: refusing those is no student's task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy

from ..check import Check, Fault, Kind, Outcome
from ..runs import hw3 as runs
from .tools import Arrays, away_from_zero, normal, numeric_gradients, positive, twice

__all__ = ["CHECKS"]

Rng = numpy.random.Generator
Array = numpy.ndarray

FLOAT32 = 2e-5  # allowed where the arithmetic is that of float32
# kernel, stride, padding: oblong, unlike strides, unlike paddings; windows overlap
OVERLAPPING = (
    ((3, 2), (2, 1), (1, 0)),
    ((2, 3), (1, 2), (0, 2)),
    ((3, 4), (2, 3), (2, 1)),
    ((4, 3), (3, 2), (1, 2)),
)
# strides larger than the kernel: there are pixels between the windows as well
APART = (((2, 1), (3, 2), (1, 0)), ((1, 2), (3, 3), (0, 1)), ((2, 3), (3, 4), (0, 1)))


# -------------------------------------------------------------------------- geometry and oracles


def _pairs(inputs: Arrays, *names: str) -> Iterator[tuple[int, int]]:
    for name in names:
        first, second = inputs[name].tolist()
        yield first, second


def _drawn(rng: Rng, settings: tuple, spare: bool = False, small: bool = False,
           counts: tuple[int, int, int] = (2, 3, 4)) -> Arrays:
    """Images, weight, out_grad and all sizes for one of these settings.

    With ``spare`` the image is longer, in a direction whose stride allows it, than its windows
    reach. The ``counts`` of images, channels and filters differ, so that axes cannot be confused.
    """
    kernel, stride, padding = settings[rng.integers(len(settings))]
    count = rng.permutation([2, 3]) if not small else numpy.array([2, 2])
    left = [int(rng.integers(1, s)) if spare and s > 1 else 0 for s in stride]
    size = [(m - 1) * s + k - 2 * p + e for m, s, k, p, e in zip(
        count, stride, kernel, padding, left, strict=True)]
    n, c, o = counts
    return {"x": normal(rng, n, c, *size), "weight": normal(rng, o, c, *kernel),
            "out_grad": normal(rng, n, o, *count), "kernel": numpy.array(kernel),
            "stride": numpy.array(stride), "padding": numpy.array(padding),
            "size": numpy.array(size)}


def _only(inputs: Arrays, *names: str) -> Arrays:
    return {name: inputs[name] for name in names}


def _plain(rng: Rng) -> Arrays:
    """Stride 1 and no padding, an oblong kernel on an oblong image."""
    kernel, count = rng.permutation([2, 3]), rng.permutation([3, 4])
    return {"x": normal(rng, 2, 3, *(kernel + count - 1)), "weight": normal(rng, 4, 3, *kernel),
            "kernel": kernel, "stride": numpy.array([1, 1]), "padding": numpy.array([0, 0])}


def _windows(x: Array, kernel: tuple, stride: tuple, padding: tuple
             ) -> Iterator[tuple[int, int, tuple]]:
    """For each window: its number down, its number across, and its index in padded images."""
    for i, top in enumerate(range(0, x.shape[2] + 2 * padding[0] - kernel[0] + 1, stride[0])):
        for j, left in enumerate(range(0, x.shape[3] + 2 * padding[1] - kernel[1] + 1, stride[1])):
            yield i, j, (..., slice(top, top + kernel[0]), slice(left, left + kernel[1]))


def _pad(x: Array, padding: tuple, **how: str) -> Array:
    return numpy.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], **how)


def _conv(x: Array, weight: Array, stride: tuple, padding: tuple, **how: str) -> Array:
    """Convolution, window by window."""
    padded = _pad(x, padding, **how)
    found = {(i, j): numpy.tensordot(padded[window], weight, ([1, 2, 3], [1, 2, 3]))
             for i, j, window in _windows(x, weight.shape[2:], stride, padding)}
    rows, cols = (max(index) + 1 for index in zip(*found, strict=True))
    y = numpy.empty((len(x), len(weight), rows, cols))
    for (i, j), value in found.items():
        y[:, :, i, j] = value
    return y


def _conv_t(g: Array, weight: Array, stride: tuple, padding: tuple, size: tuple,
            assign: bool = False, cut: bool = True) -> Array:
    """The adjoint: each pixel of g puts the weight, times its value, where its window is.

    With ``assign`` the last window is left; without ``cut`` the border is not cut off above.
    """
    n, c = len(g), weight.shape[1]
    image = numpy.zeros((n, c, *size))
    padded = _pad(image, padding)
    for i, j, window in _windows(image, weight.shape[2:], stride, padding):
        if i < g.shape[2] and j < g.shape[3]:
            stamp = numpy.tensordot(g[:, :, i, j], weight, (1, 0))
            padded[window] = stamp if assign else padded[window] + stamp
    top, left = padding if cut else (0, 0)
    return padded[:, :, top:top + size[0], left:left + size[1]]


def _offsets_assigned(g: Array, weight: Array, stride: tuple, padding: tuple, size: tuple
                      ) -> Array:
    """The adjoint as it comes out of a loop over the places in a window that does not add."""
    (top, left), (down, across) = padding, stride
    padded = _pad(numpy.zeros((len(g), weight.shape[1], *size)), padding)
    for p, q in numpy.ndindex(weight.shape[2:]):
        for i, j in numpy.ndindex(g.shape[2:]):
            padded[:, :, i * down + p, j * across + q] = g[:, :, i, j] @ weight[:, :, p, q]
    return padded[:, :, top:top + size[0], left:left + size[1]]


def _conv_w(x: Array, g: Array, stride: tuple, padding: tuple, kernel: tuple) -> Array:
    """The weight's gradient: each window times the gradient of the pixel made from it."""
    padded = _pad(x, padding)
    return sum(numpy.tensordot(g[:, :, i, j], padded[window], (0, 0))
               for i, j, window in _windows(x, kernel, stride, padding)
               if i < g.shape[2] and j < g.shape[3])


def _as(dtype: str, arrays: Arrays) -> Arrays:
    """The same with all floats of that dtype."""
    return {name: numpy.asarray(a).astype(dtype) if numpy.asarray(a).dtype.kind == "f" else a
            for name, a in arrays.items()}


def _exchanged_pair(want: Callable[[Arrays], Arrays], name: str) -> Callable[[Arrays], Arrays]:
    """What comes out with the two numbers of a pair exchanged; nothing where that is impossible."""
    def suspect(inputs: Arrays) -> Arrays:
        try:
            return want({**inputs, name: inputs[name][..., ::-1]})
        except ValueError:
            return {}

    return suspect


def _exchanged_pairs(want: Callable[[Arrays], Arrays], *names: str
                     ) -> dict[str, Callable[[Arrays], Arrays]]:
    return {f"the two numbers of {name} are exchanged: the first is for the height, the second for "
            "the width": _exchanged_pair(want, name) for name in names}


def _suspects_of_both(one: dict[str, Callable[[Arrays], Arrays]],
                      other: dict[str, Callable[[Arrays], Arrays]]
                      ) -> dict[str, Callable[[Arrays], Arrays]]:
    """The suspects of two functions whose outputs one check looks at."""
    def joined(text: str) -> Callable[[Arrays], Arrays]:
        return lambda inputs: {name: a for suspects in (one, other) if text in suspects
                               for name, a in suspects[text](inputs).items()}

    return {text: joined(text) for text in (*one, *other)}


# ------------------------------------------------------------------------- Q1: im2col convolution


def _columns(inputs: Arrays, **how: str) -> Arrays:
    kernel, stride, padding = _pairs(inputs, "kernel", "stride", "padding")
    padded = _pad(inputs["x"], padding, **how)
    rows: dict[int, list[Array]] = {}
    for i, _, window in _windows(inputs["x"], kernel, stride, padding):
        rows.setdefault(i, []).append(padded[window])
    return {"columns": numpy.stack([numpy.stack(row, 1) for row in rows.values()], 1)}


def _relabelled(inputs: Arrays) -> Arrays:
    right = _columns(inputs)["columns"]
    return {"columns": right.transpose(0, 3, 1, 2, 4, 5).reshape(right.shape)}


def _not_centred(inputs: Arrays) -> Arrays:
    """The same with all of the padding below the image and right of it."""
    ph, pw = inputs["padding"].tolist()
    moved = numpy.pad(inputs["x"], [(0, 0), (0, 0), (0, 2 * ph), (0, 2 * pw)])
    return {**inputs, "x": moved, "padding": numpy.array([0, 0])}


COLUMNS = {
    "reshape does not move axes: transpose them, so that the channels come after the windows":
        _relabelled,
    "the border repeats the image; it has to be 0": lambda inputs: _columns(inputs, mode="edge"),
    "the padding is on one side only: half of it belongs before the image":
        lambda inputs: _columns(_not_centred(inputs)),
    **_exchanged_pairs(_columns, "stride", "padding", "kernel"),
}


def _convolved(inputs: Arrays, **how: str) -> Arrays:
    stride, padding = _pairs(inputs, "stride", "padding")
    return {"y": _conv(inputs["x"], inputs["weight"], stride, padding, **how)}


def _wrong_reshape(inputs: Arrays) -> Arrays:
    y = _convolved(inputs)["y"]
    return {"y": y.transpose(0, 2, 3, 1).reshape(y.shape)}


def _weight_reshaped(inputs: Arrays) -> Arrays:
    w = inputs["weight"]
    filters = w.reshape(-1, len(w)).T.reshape(w.shape)
    return _convolved({**inputs, "weight": filters})


CONVOLUTION = {
    "the filters are turned by 180 degrees; no flip is asked for": lambda inputs: _convolved(
        {**inputs, "weight": inputs["weight"][:, :, ::-1, ::-1]}),
    "reshape does not move axes: the product has the filters last, transpose them to axis 1":
        _wrong_reshape,
    "reshape does not move axes: weight.reshape(-1, o) mixes filters; reshape to (o, -1) and "
    "transpose": _weight_reshaped,
    "the border repeats the image; it has to be 0": lambda inputs: _convolved(inputs, mode="edge"),
    **_exchanged_pairs(_convolved, "stride", "padding"),
}

_FORWARD = ("x", "weight", "kernel", "stride", "padding")


def _whole_image(rng: Rng) -> Arrays:
    """One image, with a kernel as large as the padded image: one window."""
    padding = rng.permutation([0, 1])
    size = rng.permutation([3, 4])
    return {"x": normal(rng, 1, 2, *size), "weight": normal(rng, 3, 2, *(size + 2 * padding)),
            "stride": rng.permutation([1, 2]), "padding": padding}


def _of_one(rng: Rng) -> Arrays:
    """Images of one channel, and several channels with one filter."""
    drawn = _drawn(rng, OVERLAPPING, counts=(2, 1, 3))
    x, weight = drawn["x"], drawn["weight"]
    return {"x of one channel": x, "weight of one channel": weight,
            "x of one filter": normal(rng, 2, 3, *x.shape[2:]),
            "weight of one filter": normal(rng, 1, 3, *weight.shape[2:]),
            **_only(drawn, "stride", "padding")}


def _for_each_one(want: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
    return lambda inputs: {f"y of {case}": want(
        {**inputs, "x": inputs[f"x of {case}"], "weight": inputs[f"weight of {case}"]})["y"]
        for case in ("one channel", "one filter")}


Q1 = (
    Check("hw3.Q1.columns.plain", runs.columns,
          lambda rng: _only(_plain(rng), "x", "kernel", "stride", "padding"), _columns,
          suspects=COLUMNS),
    Check("hw3.Q1.columns.padded_and_strided", runs.columns,
          lambda rng: _only(_drawn(rng, OVERLAPPING, spare=bool(rng.integers(2))),
                            "x", "kernel", "stride", "padding"), _columns, suspects=COLUMNS),
    Check("hw3.Q1.conv2d.plain", runs.conv2d, lambda rng: _only(_plain(rng), *_FORWARD),
          _convolved, suspects=CONVOLUTION),
    Check("hw3.Q1.conv2d.padded_and_strided", runs.conv2d,
          lambda rng: _only(_drawn(rng, OVERLAPPING, spare=bool(rng.integers(2))), *_FORWARD),
          _convolved, suspects=CONVOLUTION),
    Check("hw3.Q1.conv2d.one_image", runs.conv2d_op, _whole_image, _convolved,
          suspects=CONVOLUTION),
    Check("hw3.Q1.conv2d.one_channel", runs.conv2d_of_one, _of_one, _for_each_one(_convolved),
          suspects={text: _for_each_one(want) for text, want in CONVOLUTION.items()}),
    Check("hw3.Q1.conv2d.float32", runs.float32_forward,
          lambda rng: _as("float32", _only(_drawn(rng, OVERLAPPING), *_FORWARD)),
          lambda inputs: _as("float32", {**_columns(inputs), **_convolved(inputs)}),
          tol=FLOAT32, suspects=_suspects_of_both(COLUMNS, CONVOLUTION),
          blames={"columns": "_columns", "y": "conv2d"}),
)


# ----------------------------------------------------------------------- Q2: the two gradients


def _by_image(inputs: Arrays, **how: bool) -> Arrays:
    stride, padding, size = _pairs(inputs, "stride", "padding", "size")
    return {"grad of x": _conv_t(inputs["out_grad"], inputs["weight"], stride, padding, size,
                                 **how)}


def _by_offsets(inputs: Arrays) -> Arrays:
    stride, padding, size = _pairs(inputs, "stride", "padding", "size")
    return {"grad of x": _offsets_assigned(inputs["out_grad"], inputs["weight"], stride, padding,
                                           size)}


def _channels_last(inputs: Arrays) -> Arrays:
    """With the channels of the result last, and reshaped to where they belong."""
    right = _by_image(inputs)["grad of x"]
    return {"grad of x": right.transpose(0, 2, 3, 1).reshape(right.shape)}


def _by_weight(inputs: Arrays) -> Arrays:
    stride, padding, kernel = _pairs(inputs, "stride", "padding", "kernel")
    return {"grad of weight": _conv_w(inputs["x"], inputs["out_grad"], stride, padding, kernel)}


def _mixed(inputs: Arrays) -> Arrays:
    """With an out_grad whose axes were relabelled by reshape, as rows of o numbers."""
    g = inputs["out_grad"]
    n, o, rows, cols = g.shape
    return {**inputs, "out_grad": g.reshape(n, rows, cols, o).transpose(0, 3, 1, 2)}


def _turned(right: Arrays) -> Arrays:
    w = right["grad of weight"]
    return {"grad of weight": w.reshape(len(w), -1).T.reshape(w.shape)}


BY_IMAGE = {
    "where windows overlap only the last one is left: add to what is there":
        lambda inputs: _by_image(inputs, assign=True),
    "where windows overlap only one share is left: add to what is there, += and not =":
        _by_offsets,
    "the border is cut off on one side only: the image begins after the padding":
        lambda inputs: _by_image(inputs, cut=False),
    "reshape does not move axes: transpose out_grad so that the filters are last":
        lambda inputs: _by_image(_mixed(inputs)),
    "reshape does not move axes: transpose the image so that its channels come to axis 1":
        _channels_last,
    "the filters are turned by 180 degrees": lambda inputs: _by_image(
        {**inputs, "weight": inputs["weight"][:, :, ::-1, ::-1]}),
    "upstream ignored: out_grad is not used": lambda inputs: _by_image(
        {**inputs, "out_grad": numpy.ones_like(inputs["out_grad"])}),
    **_exchanged_pairs(_by_image, "padding"),
}
BY_WEIGHT = {
    "reshape does not move axes: transpose out_grad so that the filters are last":
        lambda inputs: _by_weight(_mixed(inputs)),
    "upstream ignored: out_grad is not used": lambda inputs: _by_weight(
        {**inputs, "out_grad": numpy.ones_like(inputs["out_grad"])}),
    "reshape does not move axes: the product has the windows' numbers first, transpose it":
        lambda inputs: _turned(_by_weight(inputs)),
    "only the first image counts: add over the batch": lambda inputs: _by_weight(
        {**inputs, "x": inputs["x"][:1], "out_grad": inputs["out_grad"][:1]}),
}
_TO_IMAGE = ("out_grad", "weight", "stride", "padding", "size")
_TO_WEIGHT = ("x", "out_grad", "kernel", "stride", "padding")


def _is_adjoint(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """<conv(x, w), g> = <x, input gradient> = <w, weight gradient>; conv is the check's own."""
    x, w, g = inputs["x"], inputs["weight"], inputs["out_grad"]
    stride, padding = _pairs(inputs, "stride", "padding")
    y = _conv(x, w, stride, padding)
    right, largest = float((y * g).sum()), float(numpy.abs(y * g).sum())
    for text, name, other in (
        ("<x, conv2d_input_gradient(g, w)>", "grad of x", x),
        ("<w, conv2d_weight_gradient(x, g)>", "grad of weight", w),
    ):
        got = outputs[name]
        if got.shape != other.shape:
            return Fault(f"{name}: shape got {got.shape}, want {other.shape}",
                         outcome=Outcome.SHAPE)
        value = float((got * other).sum())
        if not abs(value - right) <= 1e-9 * largest:
            return Fault(f"{text}: yours {value:+.6g}, want {right:+.6g}, that of "
                         "<conv2d(x, w), g>",
                         "not the adjoint: each number has to go back the way it came, times the "
                         "same weight")
    return None


def _conv_differences(inputs: Arrays) -> Arrays:
    stride, padding = _pairs(inputs, "stride", "padding")
    return twice(numeric_gradients(lambda x, weight: _conv(x, weight, stride, padding), inputs,
                                   ("x", "weight")))


def _small_convolution(rng: Rng) -> Arrays:
    """One image and one filter."""
    drawn = _drawn(rng, OVERLAPPING, spare=bool(rng.integers(2)), small=True, counts=(1, 2, 1))
    return {"upstream": drawn["out_grad"], **_only(drawn, "x", "weight", "stride", "padding")}


def _all_float32(rng: Rng) -> Arrays:
    return _as("float32", _drawn(rng, OVERLAPPING))


def _untouched(rng: Rng) -> Arrays:
    """Pixels in no window; images of one channel."""
    return _drawn(rng, (APART, OVERLAPPING)[rng.integers(2)], spare=True, counts=(2, 1, 4))


BLAMES = {"grad of x": "conv2d_input_gradient", "grad of weight": "conv2d_weight_gradient"}

Q2 = (
    Check("hw3.Q2.input_gradient.overlapping", runs.input_gradient,
          lambda rng: _only(_drawn(rng, OVERLAPPING), *_TO_IMAGE), _by_image, suspects=BY_IMAGE),
    Check("hw3.Q2.input_gradient.untouched", runs.input_gradient,
          lambda rng: _only(_untouched(rng), *_TO_IMAGE), _by_image, suspects=BY_IMAGE),
    Check("hw3.Q2.weight_gradient.values", runs.weight_gradient,
          lambda rng: _only(_drawn(rng, OVERLAPPING), *_TO_WEIGHT), _by_weight,
          suspects=BY_WEIGHT),
    Check("hw3.Q2.weight_gradient.untouched", runs.weight_gradient,
          lambda rng: _only(_untouched(rng), *_TO_WEIGHT), _by_weight, suspects=BY_WEIGHT),
    Check("hw3.Q2.adjoint", runs.adjoint,
          lambda rng: _drawn(rng, OVERLAPPING + APART, spare=True), _is_adjoint,
          kind=Kind.PROPERTY, blames={**BLAMES, "<x": "conv2d_input_gradient",
                                      "<w": "conv2d_weight_gradient"}),
    Check("hw3.Q2.differences", runs.conv2d_gradients, _small_convolution, _conv_differences,
          kind=Kind.GRADIENT, blames=BLAMES),
    Check("hw3.Q2.float32", runs.float32_gradients, _all_float32,
          lambda inputs: _as("float32", {**_by_image(inputs), **_by_weight(inputs)}),
          tol=FLOAT32, suspects=_suspects_of_both(BY_IMAGE, BY_WEIGHT), blames=BLAMES),
)


# -------------------------------------------------------------------- Q3: transposed convolution


def _geometries(rng: Rng) -> Arrays:
    """Twelve settings of sizes, a row each, with results of at least 1."""
    rows: list[tuple[Array, ...]] = []
    while len(rows) < 12:
        size, stride = rng.integers(1, 8, 2), rng.integers(1, 5, 2)
        kernel, padding = rng.integers(1, 6, 2), rng.integers(0, 3, 2)
        extra = rng.integers(0, stride)
        if ((size - 1) * stride + kernel > 2 * padding).all():
            rows.append((size, kernel, stride, padding, extra))
    names = ("size", "kernel", "stride", "padding", "output_padding")
    return {name: numpy.stack(column) for name, column in zip(
        names, zip(*rows, strict=True), strict=True)}


def _sizes(inputs: Arrays, name: str = "", instead: Callable[[Array], Array] = numpy.zeros_like
           ) -> Arrays:
    """By trying: the first side that has as many windows as asked for, plus output_padding."""
    if name:
        inputs = {**inputs, name: instead(inputs[name])}
    found = numpy.empty_like(inputs["size"])
    for index, m in numpy.ndenumerate(inputs["size"]):
        k, s, p, e = (int(inputs[key][index]) for key in (
            "kernel", "stride", "padding", "output_padding"))
        side = -2 * p  # with nothing but the padding
        while len(range(0, side + 2 * p - k + 1, s)) < m:
            side += 1
        found[index] = side + e
    return {"sizes": found, "integers": numpy.array(True)}


def _no_last_window(inputs: Arrays) -> Arrays:
    return _sizes(inputs, "size", lambda size: size + 1)


def _forward_sizes(inputs: Arrays) -> Arrays:
    size, kernel, stride, padding = (inputs[name] for name in (
        "size", "kernel", "stride", "padding"))
    return {"sizes": (size + 2 * padding - kernel) // stride + 1 + inputs["output_padding"]}


SIZES = {
    "output_padding is not used": lambda inputs: _sizes(inputs, "output_padding"),
    "output_padding is counted on both sides; it is added once":
        lambda inputs: _sizes(inputs, "output_padding", lambda e: 2 * e),
    "padding is not used": lambda inputs: _sizes(inputs, "padding"),
    "padding is counted on one side only": lambda inputs: {
        "sizes": _sizes(inputs)["sizes"] + inputs["padding"]},
    "padding makes the result of conv2d larger, so it makes this one smaller": lambda inputs:
        _sizes(inputs, "padding", lambda p: -p),
    "the first window needs no step: m windows are m - 1 steps apart": _no_last_window,
    "height and width are exchanged": lambda inputs: {"sizes": _sizes(inputs)["sizes"][:, ::-1]},
    "this is the size that conv2d makes; the way back is asked for": _forward_sizes,
    **_exchanged_pairs(_sizes, "stride", "padding", "kernel", "output_padding"),
    "a size is an integer: 5.0 is none, and / makes no integers": lambda inputs: {
        "integers": numpy.array(False)},
}


def _with_output_padding(rng: Rng) -> Arrays:
    drawn = _drawn(rng, OVERLAPPING + APART)
    extra = rng.integers(0, drawn["stride"])
    return {"x": drawn["out_grad"], "weight": drawn["weight"], "output_padding": extra,
            **_only(drawn, "stride", "padding")}


def _transposed(inputs: Arrays) -> Arrays:
    stride, padding = _pairs(inputs, "stride", "padding")
    kernel, m = inputs["weight"].shape[2:], inputs["x"].shape[2:]
    settings = {"size": m, "kernel": kernel, "stride": stride, "padding": padding,
                "output_padding": inputs["output_padding"]}
    size = _sizes({name: numpy.array([value]) for name, value in settings.items()})["sizes"][0]
    return {"y": _conv_t(inputs["x"], inputs["weight"], stride, padding, tuple(size.tolist()))}


def _around_transposed(rng: Rng, small: bool = False) -> Arrays:
    """The same geometry seen from the other side: x is small, out_grad has the image's size."""
    drawn = _drawn(rng, OVERLAPPING + APART, spare=True, small=small,
                   counts=(1, 2, 2) if small else (2, 3, 4))
    return {"x": drawn["out_grad"], "out_grad": drawn["x"],
            **_only(drawn, "weight", "stride", "padding", "size")}


def _of_transposed(inputs: Arrays) -> Arrays:
    stride, padding = _pairs(inputs, "stride", "padding")
    x, weight, g = (inputs[name] for name in ("x", "weight", "out_grad"))
    return {"grad of x": _conv(g, weight, stride, padding),
            "grad of weight": _conv_w(g, x, stride, padding, weight.shape[2:])}


OF_TRANSPOSED = {
    "upstream ignored: out_grad is not used": lambda inputs: _of_transposed(
        {**inputs, "out_grad": numpy.ones_like(inputs["out_grad"])}),
    "the filters are turned by 180 degrees": lambda inputs: {
        name: a if name == "grad of x" else a[:, :, ::-1, ::-1] for name, a in _of_transposed(
            {**inputs, "weight": inputs["weight"][:, :, ::-1, ::-1]}).items()},
}


def _small_transposed(rng: Rng) -> Arrays:
    drawn = _around_transposed(rng, small=True)
    return {"upstream": drawn["out_grad"], **_only(drawn, "x", "weight", "stride", "padding",
                                                   "size")}


def _transposed_differences(inputs: Arrays) -> Arrays:
    stride, padding, size = _pairs(inputs, "stride", "padding", "size")
    return twice(numeric_gradients(lambda x, weight: _conv_t(x, weight, stride, padding, size),
                                   inputs, ("x", "weight")))


def _for_second_order(rng: Rng) -> Arrays:
    drawn = _small_transposed(rng)
    return {**drawn, "v": normal(rng, *drawn["x"].shape), "u": normal(rng, *drawn["weight"].shape)}


def _second_order(inputs: Arrays) -> Arrays:
    """g T(x, w) is linear in each of three, so its two slopes contracted with v and u give this."""
    stride, padding, size = _pairs(inputs, "stride", "padding", "size")
    x, w, g, v, u = (inputs[name] for name in ("x", "weight", "upstream", "v", "u"))
    return {"second order, by x": _conv(g, u, stride, padding),
            "second order, by weight": _conv_w(g, v, stride, padding, w.shape[2:]),
            "second order, by upstream": _conv_t(v, w, stride, padding, size)
            + _conv_t(x, u, stride, padding, size)}


Q3 = (
    Check("hw3.Q3.transposed_size.sizes", runs.transposed_sizes, _geometries, _sizes,
          suspects=SIZES),
    Check("hw3.Q3.transposed_size.images", runs.conv_transpose2d, _with_output_padding,
          _transposed),
    Check("hw3.Q3.conv_transpose2d_gradient.values", runs.conv_transpose2d_gradient,
          _around_transposed, _of_transposed, suspects=OF_TRANSPOSED),
    Check("hw3.Q3.conv_transpose2d_gradient.float32", runs.conv_transpose2d_gradient,
          lambda rng: _as("float32", _around_transposed(rng)),
          lambda inputs: _as("float32", _of_transposed(inputs)), tol=FLOAT32),
    Check("hw3.Q3.recorded_gradient.differences", runs.transposed_gradients, _small_transposed,
          _transposed_differences, kind=Kind.GRADIENT),
    Check("hw3.Q3.recorded_gradient.second_order", runs.second_order, _for_second_order,
          _second_order, kind=Kind.GRADIENT),
)


# ---------------------------------------------------------------------------------- Q4: batch norm


def _normalised(x: Array, gamma: Array, beta: Array, eps: float, slope: float | None,
                unbiased: bool = False, outside: bool = False, before: bool = False,
                root: bool = True, centred: bool = True) -> tuple[Array, Array, Array]:
    """Channel by channel, with the variance as mean of squares minus square of the mean.

    In float64 that keeps enough digits; of one value it is 0, since both squares are products (a
    power may round otherwise). The flags make the usual mistakes.
    """
    y, means, variances = numpy.empty_like(x, dtype="float64"), [], []
    for c in range(x.shape[1]):
        values = x[:, c].astype("float64")
        mean = values.sum() / values.size
        var = (values * values).sum() / values.size - mean * mean
        var *= numpy.float64(values.size) / (values.size - 1) if unbiased else 1.0
        std = var**0.5 + eps if outside else (var + eps) ** (0.5 if root else 1.0)
        normal_ = (values - mean if centred else values) / std
        normal_ = _leaky(normal_, slope) if before else normal_
        y[:, c] = gamma[c] * normal_ + beta[c]
        means.append(mean)
        variances.append(var)
    return y if before else _leaky(y, slope), numpy.array(means), numpy.array(variances)


def _leaky(y: Array, slope: float | None) -> Array:
    return y if slope is None else y * numpy.where(y > 0, 1.0, slope)


def _slope(inputs: Arrays) -> float | None:
    return float(inputs["slope"]) if "slope" in inputs else None


def _norm(inputs: Arrays, **how: bool) -> Arrays:
    y, mean, var = _normalised(*(inputs[name] for name in ("x", "gamma", "beta")),
                               float(inputs["eps"]), _slope(inputs), **how)
    return {"mean": mean, "var": var, "y": y}


NORM = {
    "the variance is divided by one less than the count; the biased one is asked for":
        lambda inputs: _norm(inputs, unbiased=True),
    "eps is added to the standard deviation; it belongs to the variance, inside the root":
        lambda inputs: _norm(inputs, outside=True),
    "eps is not used": lambda inputs: _norm({**inputs, "eps": 0.0}),
    "slope is not used": lambda inputs: _norm({**inputs, "slope": 1.0}),
    "the slope is applied before gamma and beta; it comes last":
        lambda inputs: _norm(inputs, before=True),
    "the negative part is 0: multiply it by slope": lambda inputs: _norm({**inputs, "slope": 0.0}),
    "gamma and beta are exchanged": lambda inputs: _norm(
        {**inputs, "gamma": inputs["beta"], "beta": inputs["gamma"]}),
    "gamma is not used": lambda inputs: _norm(
        {**inputs, "gamma": numpy.ones_like(inputs["gamma"])}),
    "beta is not used": lambda inputs: _norm(
        {**inputs, "beta": numpy.zeros_like(inputs["beta"])}),
    "divided by the variance: divide by its root, sqrt(var + eps)":
        lambda inputs: _norm(inputs, root=False),
    "the mean is not subtracted": lambda inputs: _norm(inputs, centred=False),
    "the standard deviation is returned; the variance is asked for":
        lambda inputs: {"var": _norm(inputs)["var"] ** 0.5},
    "sqrt(var + eps) is returned; the variance is asked for":
        lambda inputs: {"var": (_norm(inputs)["var"] + inputs["eps"]) ** 0.5},
    "eps is in the variance that is returned; it is added for the root only":
        lambda inputs: {"var": _norm(inputs)["var"] + inputs["eps"]},
}
RELU = "slope 0 is a ReLU: only None means that there is none, so ask `slope is None`"


def _to_normalise(rng: Rng, rows: bool = False, slope: bool | float = False,
                  shape: tuple[int, ...] = ()) -> Arrays:
    """Images or rows, not centred, with an eps that can be seen; no output near the kink.

    The slope is drawn if ``slope`` is True; a float is the slope.
    """
    shape = shape or (5, 3) if rows or shape else (
        (2, 3, 2, 3), (3, 2, 1, 3), (2, 2, 3, 2))[rng.integers(3)]
    c, sloped = shape[1], slope is not False
    while True:
        inputs = {"x": 1 + 1.5 * normal(rng, *shape), "gamma": away_from_zero(rng, c),
                  "beta": normal(rng, c), "eps": numpy.array(rng.uniform(0.05, 0.2))}
        y = _norm(inputs)["y"]
        if sloped:
            drawn = rng.uniform(0.1, 0.4)
            inputs["slope"] = numpy.array(drawn if slope is True else slope)
        if not sloped or (numpy.abs(y).min() > 1e-3 and y.min() < 0 < y.max()):
            return inputs


def _to_differentiate(rng: Rng, rows: bool = False, slope: bool | float = False,
                      shape: tuple[int, ...] = ()) -> Arrays:
    inputs = _to_normalise(rng, rows, slope, shape)
    return {**inputs, **_norm(inputs), "upstream": normal(rng, *inputs["x"].shape)}


SLOPES = {f"slope {slope:g}": {"slope": slope, "shape": (3, 2, 1, 3)} for slope in (0.0, 1.0)}
SHAPES = {
    "(n, c, l)": {"shape": (2, 3, 3)}, "(n, c, d, h, w)": {"shape": (2, 2, 1, 2, 2)},
    "one image": {"shape": (1, 2, 2, 3)}, "one row": {"shape": (1, 3)},
}


def _together(draw: Callable[..., Arrays], situations: dict[str, dict]) -> Callable[[Rng], Arrays]:
    """One draw of each situation, under the names "x, SITUATION" and so on."""
    return lambda rng: {f"{name}, {situation}": a for situation, how in situations.items()
                        for name, a in draw(rng, **how).items()}


def _in_each(want: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
    """What is wanted, or got by a mistake, in each of the situations."""
    def of_all(inputs: Arrays) -> Arrays:
        found: Arrays = {}
        for ending in [name[1:] for name in inputs if name.startswith("x, ")]:
            here = {name.removesuffix(ending): a for name, a in inputs.items()
                    if name.endswith(ending)}
            found |= {name + ending: value for name, value in want(here).items()}
        return found

    return of_all


def _each_suspect(suspects: dict[str, Callable[[Arrays], Arrays]]
                  ) -> dict[str, Callable[[Arrays], Arrays]]:
    return {text: _in_each(suspect) for text, suspect in suspects.items()}


def _without_slope(inputs: Arrays) -> Arrays:
    return {name: a for name, a in inputs.items() if name != "slope"}


def _far_from_zero(rng: Rng) -> Arrays:
    """Float32 images with mean 1000 and standard deviation 1."""
    x = 1000 + normal(rng, 4, 5, 2, 2)
    return _as("float32", {"x": x, "gamma": away_from_zero(rng, 5), "beta": normal(rng, 5),
                           "eps": numpy.array(rng.uniform(0.05, 0.2))})


def _keeps_its_digits(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Whether mean, variance and y are right to three digits, where x**2 in float32 has none left.

    Two ways that are both right differ by 1e-4 here, by rounding.
    """
    for name, want in _norm(inputs).items():
        got = outputs[name]
        if got.shape != want.shape:
            return Fault(f"{name}: shape got {got.shape}, want {want.shape}",
                         outcome=Outcome.SHAPE)
        wrong = ~(numpy.abs(got - want) <= 3e-3 * numpy.abs(want).max())
        if wrong.any():
            worst = tuple(int(i) for i in numpy.argwhere(wrong)[0])
            usual = [text for text, suspect in NORM.items() if numpy.allclose(
                got, suspect(inputs).get(name, numpy.nan), rtol=3e-3)]
            digits = ["float32 loses its digits: the mean of x^2 minus the square of the mean is a "
                      "small difference of large numbers; subtract the mean first, then square"]
            cause = (usual or (digits if name == "var" else [""]))[0]
            return Fault(f"{name}: at x of mean 1000 and variance 1, element {worst}: yours "
                         f"{got[worst]:+.6g}, want {want[worst]:+.6g}", cause)
    return None


def _norm_differences(inputs: Arrays, names: tuple[str, ...] = ("x", "gamma", "beta")) -> Arrays:
    def f(*given: Array) -> Array:
        return _norm({**inputs, **dict(zip(names, given, strict=True))})["y"]

    return numeric_gradients(f, inputs, names)


def _parameter_differences(inputs: Arrays) -> Arrays:
    return _norm_differences(inputs, ("gamma", "beta"))


def _with(inputs: Arrays, **changed: Array) -> Arrays:
    return _norm_differences({**inputs, **changed})


def _std(inputs: Arrays) -> Array:
    """The root that x is divided by, in a shape that broadcasts beside x."""
    beside = (1, -1) + (1,) * (inputs["x"].ndim - 2)
    return numpy.sqrt(inputs["var"] + inputs["eps"]).reshape(beside)


def _simplified(inputs: Arrays, mean: float = 1.0, var: float = 1.0, images: bool = False
                ) -> Arrays:
    """With a gradient of x that takes mean or variance as a number, or averages over images only.

    The part of the mean is what keeps the gradients of a channel at the sum 0, that of the variance
    what keeps their correlation with x near 0. Each is taken ``mean`` or ``var`` times: 0 leaves it
    out, -1 turns its sign.
    """
    right = _norm_differences(inputs)
    axes = (0, *range(2, inputs["x"].ndim))
    beside = (1, -1) + (1,) * (inputs["x"].ndim - 2)
    scale = (inputs["gamma"] / numpy.sqrt(inputs["var"] + inputs["eps"])).reshape(beside)
    slopes = numpy.where(inputs["y"] > 0, 1.0, _slope(inputs)) if "slope" in inputs else 1.0
    alone = scale * slopes * inputs["upstream"]
    by_mean = -alone.mean(axis=axes, keepdims=True)
    by_var = right["grad of x"] - alone - by_mean
    if images:
        by_mean, by_var = (part * (alone[:, 0].size / len(alone)) for part in (by_mean, by_var))
    return {**right, "grad of x": alone + mean * by_mean + var * by_var}


def _by_variance(inputs: Arrays) -> Arrays:
    """With var + eps where its root belongs, in z and in front of all."""
    right, std = _norm_differences(inputs), _std(inputs)
    without = _simplified(inputs, var=0.0)["grad of x"]
    return {"grad of gamma": right["grad of gamma"] / std.reshape(-1),
            "grad of x": without / std + (right["grad of x"] - without) / std**3}


def _by_unscaled(inputs: Arrays, centred: bool) -> Arrays:
    """The gradient of gamma from x, or x minus its mean, in place of the normalised x."""
    right, std = _norm_differences(inputs), _std(inputs).reshape(-1)
    centred_one = right["grad of gamma"] * std
    return {"grad of gamma": centred_one if centred else
            centred_one + inputs["mean"] * right["grad of beta"]}


def _exchanged(inputs: Arrays) -> Arrays:
    found = _norm_differences(inputs)
    return {"grad of gamma": found["grad of beta"], "grad of beta": found["grad of gamma"]}


NORM_GRADIENT = {
    "gamma's and beta's gradients are exchanged: the order is x, gamma, beta": _exchanged,
    "mean and variance are taken as constants; they depend on every x of the channel":
        lambda inputs: _simplified(inputs, mean=0.0, var=0.0),
    "the variance is taken as a constant; it depends on every x of the channel":
        lambda inputs: _simplified(inputs, var=0.0),
    "the mean is taken as a constant; it depends on every x of the channel":
        lambda inputs: _simplified(inputs, mean=0.0),
    "divide by the number of all the values of a channel, not by that of the images":
        lambda inputs: _simplified(inputs, images=True),
    "the sign of the part with z: like the mean of g, it is taken away": lambda inputs:
        _simplified(inputs, var=-1.0),
    "the sign of the part with the mean of g: it is taken away": lambda inputs: _simplified(
        inputs, mean=-1.0),
    "the sign of both parts: they are taken away": lambda inputs: _simplified(
        inputs, mean=-1.0, var=-1.0),
    "x's gradient is not divided by sqrt(var + eps)": lambda inputs: {
        "grad of x": _norm_differences(inputs)["grad of x"] * _std(inputs)},
    "divided by the variance: divide by its root, sqrt(var + eps)": _by_variance,
    "gamma's gradient is the sum of g times z, the normalised x: divide by sqrt(var + eps)":
        lambda inputs: _by_unscaled(inputs, centred=True),
    "gamma's gradient is the sum of g times z, the normalised x, not times x":
        lambda inputs: _by_unscaled(inputs, centred=False),
    "upstream ignored: out_grad is not used": lambda inputs: _with(
        inputs, upstream=numpy.ones_like(inputs["upstream"])),
    "the slope is not used: where y < 0, out_grad is to be multiplied by it": lambda inputs:
        _with(inputs, slope=numpy.array(1.0)),
    "where y < 0 nothing comes back: out_grad is to be multiplied by slope, not by 0":
        lambda inputs: _with(inputs, slope=numpy.array(0.0)),
    "gamma is not used": lambda inputs: {"grad of x": _norm_differences(inputs)["grad of x"]
                                         / inputs["gamma"].reshape(_std(inputs).shape)},
    "eps is not used": lambda inputs: _with(inputs, eps=numpy.array(0.0)),
}


RELU_GRADIENT = ("at slope 0 nothing comes back where y is 0: ask `slope is None`, and y > 0, not "
                 "y >= 0")


def _float32_norm(rng: Rng) -> Arrays:
    return _as("float32", _to_differentiate(rng, slope=True))


def _want_float32_norm(inputs: Arrays) -> Arrays:
    exact = _as("float64", inputs)
    return _as("float32", {**_norm(exact), **_norm_differences(exact)})


def _layers(rng: Rng) -> Arrays:
    """A layer of one or two dimensions, with everything that it keeps."""
    inputs = _to_normalise(rng, rows=bool(rng.integers(2)), slope=True)
    c = inputs["x"].shape[1]
    inputs["eps"] = numpy.array(0.01)  # the largest that a layer takes
    return {**inputs, "running_mean": normal(rng, c), "running_var": 0.2 * positive(rng, c),
            "momentum": numpy.array(rng.uniform(0.05, 0.4))}


def _evaluated(inputs: Arrays, root: bool = True, inside: bool = True, own: bool = False
               ) -> Arrays:
    """By the running statistics; the flags make the usual mistakes."""
    x, eps = inputs["x"], float(inputs["eps"])
    y = numpy.empty_like(x, dtype="float64")
    own_mean, own_var = _norm(inputs)["mean"], _norm(inputs)["var"]
    for c in range(x.shape[1]):
        mean, var = ((own_mean, own_var) if own else (
            inputs["running_mean"], inputs["running_var"]))
        std = (numpy.sqrt(var[c] + eps) if inside else numpy.sqrt(var[c]) + eps) if root \
            else var[c] + eps
        y[:, c] = inputs["gamma"][c] * (x[:, c] - mean[c]) / std + inputs["beta"][c]
    return {"y": y, "y with slope": _leaky(y, _slope(inputs)), "y with slope 0": _leaky(y, 0.0),
            "running_mean afterwards": inputs["running_mean"],
            "running_var afterwards": inputs["running_var"]}


EVALUATION = {
    "these are the batch's own statistics; in evaluation the running ones are used":
        lambda inputs: _evaluated(inputs, own=True),
    "running_var is a variance: divide by its root": lambda inputs: _evaluated(inputs, root=False),
    "eps is added to the standard deviation; it belongs to the variance, inside the root":
        lambda inputs: _evaluated(inputs, inside=False),
    "eps is not used": lambda inputs: _evaluated({**inputs, "eps": numpy.array(0.0)}),
    "slope is not used": lambda inputs: _evaluated({**inputs, "slope": numpy.array(1.0)}),
    RELU: lambda inputs: {"y with slope 0": _evaluated(inputs)["y"]},
    "gamma is not used": lambda inputs: _evaluated(
        {**inputs, "gamma": numpy.ones_like(inputs["gamma"])}),
    "beta is not used": lambda inputs: _evaluated(
        {**inputs, "beta": numpy.zeros_like(inputs["beta"])}),
    "running_mean is not used": lambda inputs: _evaluated(
        {**inputs, "running_mean": numpy.zeros_like(inputs["running_mean"])}),
}


def _layers_with_upstream(rng: Rng) -> Arrays:
    inputs = _layers(rng)
    return {**inputs, "upstream": normal(rng, *inputs["x"].shape)}


def _evaluation_differences(inputs: Arrays) -> Arrays:
    names = ("x", "gamma", "beta")
    return numeric_gradients(
        lambda *given: _evaluated({**inputs, **dict(zip(names, given, strict=True))})["y"],
        inputs, names)


def _with_batch(rng: Rng) -> Arrays:
    """In float32, which a Buffer is by default; a layer of another dtype is no subject here."""
    inputs = _layers(rng)
    return _as("float32", {**inputs, "batch": normal(rng, inputs["x"].shape[1])})


def _moved(inputs: Arrays, share: Callable[[float], float] = lambda m: m) -> Arrays:
    m, old = share(float(inputs["momentum"])), inputs["running_mean"].astype("float64")
    return {"moved": old + m * (inputs["batch"] - old), "the old buffer afterwards": old,
            "is a Buffer": numpy.array(True)}


MOVED = {
    "momentum is the share of the batch; the old value keeps the rest":
        lambda inputs: _moved(inputs, lambda m: 1 - m),
    "these are the batch's statistics alone; they move the old ones by momentum":
        lambda inputs: _moved(inputs, lambda m: 1.0),
    "the old value is not made smaller: it keeps the share 1 - momentum": lambda inputs: {
        **_moved(inputs), "moved": inputs["running_mean"] + inputs["momentum"] * inputs["batch"]},
    "the batch is not used": lambda inputs: {
        **_moved(inputs), "moved": (1 - inputs["momentum"]) * inputs["running_mean"]},
    "input mutated: the old buffer was written to; a graph may still read it": lambda inputs: {
        **_moved(inputs), "the old buffer afterwards": _moved(inputs)["moved"]},
    "a Tensor that is no Buffer is lost to the module: return Buffer(...)": lambda inputs: {
        **_moved(inputs), "is a Buffer": numpy.array(False)},
}


def _two_steps(rng: Rng) -> Arrays:
    inputs = _layers(rng)
    return _as("float32", {**inputs, "x of the second step": normal(rng, *inputs["x"].shape)})


def _after_two_steps(inputs: Arrays, share: Callable[[float], float] = lambda m: m,
                     unbiased: bool = False) -> Arrays:
    m = share(float(inputs["momentum"]))
    running = {"mean": inputs["running_mean"], "var": inputs["running_var"]}
    first = _norm(inputs, unbiased=unbiased)
    for name in ("x", "x of the second step"):
        batch = _norm({**inputs, "x": inputs[name]}, unbiased=unbiased)
        running = {key: (1 - m) * old + m * batch[key] for key, old in running.items()}
    return {"batch mean": first["mean"], "batch var": first["var"],
            **{f"running_{key}": value for key, value in running.items()}}


TWO_STEPS = {
    "momentum is the share of the batch; the old value keeps the rest":
        lambda inputs: _after_two_steps(inputs, lambda m: 1 - m),
    "these are the last batch's statistics alone": lambda inputs: _after_two_steps(
        inputs, lambda m: 1.0),
    "the variance is divided by one less than the count; the biased one is asked for":
        lambda inputs: _after_two_steps(inputs, unbiased=True),
}


Q4 = (
    Check("hw3.Q4.batch_norm.images", runs.norm, _to_normalise, _norm, suspects=NORM),
    Check("hw3.Q4.batch_norm.rows", runs.norm, lambda rng: _to_normalise(rng, rows=True), _norm,
          suspects=NORM),
    Check("hw3.Q4.batch_norm.slope", runs.norm, lambda rng: _to_normalise(rng, slope=True), _norm,
          suspects=NORM),
    Check("hw3.Q4.batch_norm.relu", runs.norm_in_each, _together(_to_normalise, SLOPES),
          _in_each(_norm), suspects=_each_suspect(
              {RELU: lambda inputs: _norm(_without_slope(inputs)), **NORM})),
    Check("hw3.Q4.batch_norm.shapes", runs.norm_in_each, _together(_to_normalise, SHAPES),
          _in_each(_norm), suspects=_each_suspect(NORM)),
    Check("hw3.Q4.batch_norm.far_from_zero", runs.norm, _far_from_zero, _keeps_its_digits,
          kind=Kind.PROPERTY),
    Check("hw3.Q4.batch_norm_gradient.gamma_and_beta", runs.norm_gradient_of_parameters,
          _to_differentiate, _parameter_differences, suspects=NORM_GRADIENT),
    Check("hw3.Q4.batch_norm_gradient.images", runs.norm_gradient, _to_differentiate,
          _norm_differences, suspects=NORM_GRADIENT),
    Check("hw3.Q4.batch_norm_gradient.rows", runs.norm_gradient,
          lambda rng: _to_differentiate(rng, rows=True), _norm_differences,
          suspects=NORM_GRADIENT),
    Check("hw3.Q4.batch_norm_gradient.slope", runs.norm_gradient,
          lambda rng: _to_differentiate(rng, slope=True), _norm_differences,
          suspects=NORM_GRADIENT),
    Check("hw3.Q4.batch_norm_gradient.relu", runs.norm_gradient_in_each,
          _together(_to_differentiate, SLOPES), _in_each(_norm_differences),
          suspects=_each_suspect({RELU_GRADIENT: lambda inputs: _norm_differences(
              _without_slope(inputs)), **NORM_GRADIENT})),
    Check("hw3.Q4.batch_norm_gradient.shapes", runs.norm_gradient_in_each,
          _together(_to_differentiate, SHAPES), _in_each(_norm_differences),
          suspects=_each_suspect(NORM_GRADIENT)),
    Check("hw3.Q4.float32", runs.float32_norm, _float32_norm, _want_float32_norm, tol=1e-4,
          suspects=_suspects_of_both(NORM, NORM_GRADIENT),
          blames={"mean": "batch_norm", "var": "batch_norm", "y": "batch_norm",
                  "grad of": "batch_norm_gradient", "upstream": "batch_norm_gradient"}),
    Check("hw3.Q4.evaluation.values", runs.evaluation, _layers, _evaluated, suspects=EVALUATION),
    Check("hw3.Q4.evaluation.gradients", runs.evaluation_gradients, _layers_with_upstream,
          _evaluation_differences, kind=Kind.GRADIENT),
    Check("hw3.Q4.evaluation.float32", runs.evaluation, lambda rng: _as("float32", _layers(rng)),
          lambda inputs: _as("float32", _evaluated(inputs)), tol=1e-4, suspects=EVALUATION),
    Check("hw3.Q4.moved.once", runs.moved, _with_batch,
          lambda inputs: _as("float32", _moved(inputs)), tol=FLOAT32, suspects=MOVED),
    Check("hw3.Q4.moved.training", runs.norm_training, _two_steps,
          lambda inputs: _as("float32", _after_two_steps(inputs)), tol=FLOAT32,
          suspects=TWO_STEPS, blames={"batch": "batch_norm", "running": "_BatchNorm._moved"}),
)

CHECKS: tuple[Check, ...] = Q1 + Q2 + Q3 + Q4
