"""What hw3 asks of a student's tree: convolution, its transpose, and batch norm.

The kernels of ``minigrad.kernels.reference`` are called with arrays, layers and operations with
Tensors. Geometry comes in arrays of two integers: height and width.

Leaves out: what is right, which ``checks/hw3.py`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from .tools import Arrays, gradients, tensor, tensors

__all__ = [
    "adjoint",
    "columns",
    "conv2d",
    "conv2d_gradients",
    "conv2d_of_one",
    "conv2d_op",
    "conv_transpose2d",
    "conv_transpose2d_gradient",
    "evaluation",
    "evaluation_gradients",
    "float32_forward",
    "float32_gradients",
    "float32_norm",
    "input_gradient",
    "moved",
    "norm",
    "norm_gradient",
    "norm_gradient_in_each",
    "norm_gradient_of_parameters",
    "norm_in_each",
    "norm_training",
    "second_order",
    "transposed_gradients",
    "transposed_sizes",
    "weight_gradient",
]


def _pair(inputs: Arrays, name: str) -> tuple[int, int]:
    first, second = inputs[name].tolist()
    return first, second


def _kernels(lib: Callable) -> Any:
    return lib("minigrad.kernels.reference")


# ------------------------------------------------------------------------------------ convolution


def columns(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The windows of images."""
    kernel, stride, padding = (_pair(inputs, name) for name in ("kernel", "stride", "padding"))
    return {"columns": _kernels(lib)._columns(inputs["x"], kernel, stride, padding)}


def conv2d(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The kernel of convolution, on arrays."""
    stride, padding = _pair(inputs, "stride"), _pair(inputs, "padding")
    return {"y": _kernels(lib).conv2d(inputs["x"], inputs["weight"], stride, padding)}


def conv2d_op(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The operation on Tensors, which calls the kernel."""
    stride, padding = _pair(inputs, "stride"), _pair(inputs, "padding")
    return {"y": lib("minigrad.ops").conv2d(*tensors(lib, inputs, ("x", "weight")), stride,
                                            padding)}


def conv2d_of_one(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The kernel on images of one channel, and with one filter."""
    return {f"y of {case}": conv2d(lib, {**inputs, "x": inputs[f"x of {case}"],
                                         "weight": inputs[f"weight of {case}"]})["y"]
            for case in ("one channel", "one filter")}


def float32_forward(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Columns and convolution of float32 arrays."""
    return {**columns(lib, inputs), **conv2d(lib, inputs)}


def input_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of convolution with respect to the images."""
    stride, padding, size = (_pair(inputs, name) for name in ("stride", "padding", "size"))
    return {"grad of x": _kernels(lib).conv2d_input_gradient(
        inputs["out_grad"], inputs["weight"], stride, padding, size)}


def weight_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of convolution with respect to the weight."""
    kernel, stride, padding = (_pair(inputs, name) for name in ("kernel", "stride", "padding"))
    return {"grad of weight": _kernels(lib).conv2d_weight_gradient(
        inputs["x"], inputs["out_grad"], stride, padding, kernel)}


def float32_gradients(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Both gradients from float32 arrays."""
    return {**input_gradient(lib, inputs), **weight_gradient(lib, inputs)}


def adjoint(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Both gradients of convolution at one place."""
    return {**input_gradient(lib, inputs), **weight_gradient(lib, inputs)}


def conv2d_gradients(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What the operation on Tensors makes of the kernels' gradients."""
    op = lib("minigrad.ops").Conv2d(_pair(inputs, "stride"), _pair(inputs, "padding"))
    return gradients(lib, op, inputs, ("x", "weight"))


# ------------------------------------------------------------------------- transposed convolution


def transposed_sizes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The sizes of transposed convolutions: each row of the inputs is one pair.

    Whether they are integers is told besides, since 5.0 equals 5 and is no size of an array.
    """
    names = ("size", "kernel", "stride", "padding", "output_padding")
    rows = zip(*(map(tuple, inputs[name].tolist()) for name in names), strict=True)
    size = lib("minigrad.ops.conv").transposed_size
    found = [list(size(*row)) for row in rows]
    return {"sizes": numpy.array(found), "integers": all(map(_whole, found))}


def _whole(size: Any) -> bool:
    return all(isinstance(side, int | numpy.integer) for side in size)


def conv_transpose2d(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The transposed convolution of Tensors, with an output padding.

    Its size is looked at first: what is called with an impossible one is not to blame.
    """
    settings = [_pair(inputs, name) for name in ("stride", "padding", "output_padding")]
    x, weight = tensors(lib, inputs, ("x", "weight"))
    size = lib("minigrad.ops.conv").transposed_size(x.shape[2:], weight.shape[2:], *settings)
    if not _whole(size):
        raise TypeError(f"transposed_size returned {size}: want a pair of integers")
    back = tuple((side + 2 * p - k) // s + 1 for side, k, s, p in zip(
        size, weight.shape[2:], *settings[:2], strict=True))
    if back != tuple(x.shape[2:]):
        raise ValueError(f"transposed_size returned {size} for {tuple(x.shape[2:])}, but conv2d "
                         f"makes {back} of that")
    return {"y": lib("minigrad.ops").conv_transpose2d(x, weight, *settings)}


def conv_transpose2d_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Both gradients of the transposed convolution, on arrays."""
    grad_x, grad_weight = _kernels(lib).conv_transpose2d_gradient(
        inputs["x"], inputs["weight"], inputs["out_grad"], _pair(inputs, "stride"),
        _pair(inputs, "padding"), (True, True))
    return {"grad of x": grad_x, "grad of weight": grad_weight}


def _transposed(lib: Callable, inputs: Arrays) -> Any:
    return lib("minigrad.ops").ConvTranspose2d(
        _pair(inputs, "stride"), _pair(inputs, "padding"), _pair(inputs, "size"))


def transposed_gradients(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Both gradients of the transposed convolution, as Tensors."""
    return gradients(lib, _transposed(lib, inputs), inputs, ("x", "weight"))


def second_order(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradients of sum(v grad of x) + sum(u grad of weight)."""
    grad = lib("minigrad").grad
    leaves = x, weight, upstream = tensors(lib, inputs, ("x", "weight", "upstream"))
    found = grad(_transposed(lib, inputs)(x, weight), [x, weight], upstream, create_graph=True)
    for name, gradient in zip(("x", "weight"), found, strict=True):
        if not gradient.requires_grad:
            raise ValueError(f"the gradient with respect to {name} has no history: it was not "
                             "made by operations on Tensors")
        if gradient.shape != inputs[name].shape:
            raise ValueError(f"the gradient with respect to {name} has shape {gradient.shape}, "
                             f"want {inputs[name].shape}")
    again = grad(found, list(leaves), [tensor(lib, inputs["v"]), tensor(lib, inputs["u"])])
    named = dict(zip(("x", "weight", "upstream"), again, strict=True))
    for name, gradient in named.items():
        if gradient is None:
            raise ValueError(f"the gradients have no history that leads to {name}: it was "
                             "detached, or not used")
    return {f"second order, by {name}": gradient for name, gradient in named.items()}


# -------------------------------------------------------------------------------------- batch norm


def _slope(inputs: Arrays) -> float | None:
    return float(inputs["slope"]) if "slope" in inputs else None


def norm(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Batch norm of arrays, with the statistics that it returns."""
    y, mean, var = _kernels(lib).batch_norm(
        inputs["x"], inputs["gamma"], inputs["beta"], float(inputs["eps"]), _slope(inputs))
    return {"mean": mean, "var": var, "y": y}


def norm_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The three gradients of batch norm, on arrays."""
    grad_x, grad_gamma, grad_beta = _kernels(lib).batch_norm_gradient(
        *(inputs[name] for name in ("x", "y", "gamma", "mean", "var", "upstream")),
        float(inputs["eps"]), _slope(inputs))
    return {"grad of gamma": grad_gamma, "grad of beta": grad_beta, "grad of x": grad_x}


def norm_gradient_of_parameters(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Those with respect to gamma and beta alone."""
    found = norm_gradient(lib, inputs)
    return {name: found[name] for name in ("grad of gamma", "grad of beta")}


def _in_each(run: Callable, lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What a run returns in each situation; the inputs are named "x, SITUATION" and so on."""
    found: dict[str, Any] = {}
    for situation in [name[3:] for name in inputs if name.startswith("x, ")]:
        ending = f", {situation}"
        here = {name.removesuffix(ending): a for name, a in inputs.items()
                if name.endswith(ending)}
        found |= {name + ending: value for name, value in run(lib, here).items()}
    return found


def norm_in_each(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Batch norm in several situations."""
    return _in_each(norm, lib, inputs)


def norm_gradient_in_each(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The three gradients of batch norm in several situations."""
    return _in_each(norm_gradient, lib, inputs)


def float32_norm(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Batch norm and its gradients of float32 arrays."""
    return {**norm(lib, inputs), **norm_gradient(lib, inputs)}


def _layer(lib: Callable, inputs: Arrays) -> Any:
    """A BatchNorm1d or 2d with the weights, statistics and momentum of the inputs."""
    nn, x = lib("minigrad.nn"), inputs["x"]
    kind = nn.BatchNorm1d if x.ndim == 2 else nn.BatchNorm2d
    layer = kind(x.shape[1], eps=float(inputs["eps"]), momentum=float(inputs["momentum"]),
                 dtype=x.dtype)
    layer.weight = nn.Parameter(inputs["gamma"], dtype=x.dtype)
    layer.bias = nn.Parameter(inputs["beta"], dtype=x.dtype)
    layer.running_mean = nn.Buffer(inputs["running_mean"], dtype=x.dtype)
    layer.running_var = nn.Buffer(inputs["running_var"], dtype=x.dtype)
    return layer


def evaluation(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The layer in evaluation, alone, with a leaky ReLU and a ReLU, and the statistics afterwards.
    """
    layer = _layer(lib, inputs).eval()
    x = tensor(lib, inputs["x"])
    return {"y": layer(x), "y with slope": layer.activated(x, float(inputs["slope"])),
            "y with slope 0": layer.activated(x, 0.0),
            "running_mean afterwards": layer.running_mean,
            "running_var afterwards": layer.running_var}


def evaluation_gradients(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradients of the layer in evaluation."""
    layer, x = _layer(lib, inputs).eval(), tensor(lib, inputs["x"])
    found = lib("minigrad").grad(layer(x), [x, layer.weight, layer.bias],
                                 tensor(lib, inputs["upstream"]))
    return {f"grad of {name}": gradient
            for name, gradient in zip(("x", "gamma", "beta"), found, strict=True)}


def moved(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """One running statistic after a step, what it was, and whether it is a Buffer."""
    layer = _layer(lib, inputs)
    before = layer.running_mean
    after = layer._moved(before, inputs["batch"])
    return {"moved": after, "the old buffer afterwards": before,
            "is a Buffer": isinstance(after, lib("minigrad.nn").Buffer)}


def norm_training(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The running statistics after two steps of training; before it, those of the first batch."""
    layer = _layer(lib, inputs)
    batch = norm(lib, {name: a for name, a in inputs.items() if name != "slope"})
    for name in ("x", "x of the second step"):
        layer(tensor(lib, inputs[name]))
    state = layer.state_dict()
    return {"batch mean": batch["mean"], "batch var": batch["var"],
            **{name: state[name] for name in ("running_mean", "running_var")}}
