"""The figures of notebook 01_autograd_tour: gradients, graphs, second order.

``graph_of`` draws the graph of any small expression with its values and gradients, as the engine
holds them. The others show one expression each.

Leaves out: graphs of networks, which would be too large to read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from gans import theory
from gans.plots import (
    BLACK,
    BLUE,
    GREY,
    VERMILION,
    Drawing,
    curves,
    drawing,
    finish,
    level,
    table,
)
from minigrad import Tensor, grad, ops, random
from minigrad.autograd import find_topo_sort
from minigrad.nn import Linear, Module, Sequential, Tanh
from minigrad.optim import Adam

Array = np.ndarray


# ------------------------------------------------------------------------------------------ graphs


def depths(output: Tensor) -> dict[int, int]:
    """How many operations lie between a value and the leaves, at most; by id."""
    found: dict[int, int] = {}
    for node in find_topo_sort([output]):
        found[id(node)] = 1 + max((found[id(x)] for x in node.inputs), default=-1)
    return found


def graph_of(output: Tensor, names: Mapping[int, str], title: str) -> Drawing:
    """The graph behind a 0-d tensor: every value with its number and its gradient.

    Parameters
    ----------
    output : Tensor
        One number; made of numbers.
    names : mapping from id to str
        What values are called; operations not named go by their class.
    title : str
        What the picture shall show.
    """
    order, depth = find_topo_sort([output]), depths(output)
    gradients = grad(output, order)
    columns: dict[int, list[Tensor]] = {}
    for node in order:
        columns.setdefault(depth[id(node)], []).append(node)
    place = {}
    for x, column in columns.items():
        for i, node in enumerate(column):
            place[id(node)] = (x, (len(column) - 1) / 2 - i)
    height = max(len(column) for column in columns.values())
    figure, axes = drawing(height=0.95 * height + 0.4, title=title)
    ax = axes[0, 0]
    boxes = {id(node): _box(ax, place[id(node)], names.get(id(node), type(node.op).__name__), node,
                            gradient) for node, gradient in zip(order, gradients, strict=True)}
    for node, gradient in zip(order, gradients, strict=True):
        pieces = node.op.gradient_as_tuple(gradient, node) if node.op else ()
        for x, piece in zip(node.inputs, pieces, strict=True):
            start, end = np.array(place[id(x)]), np.array(place[id(node)])
            ax.annotate("", xy=end, xytext=start, arrowprops={
                "arrowstyle": "-|>", "color": GREY, "linewidth": 1.2,
                "patchA": boxes[id(x)], "patchB": boxes[id(node)], "shrinkA": 1, "shrinkB": 1})
            ax.text(*(0.53 * start + 0.47 * end), f"{piece.item():+.2f}", color=VERMILION,
                    fontsize=8, ha="center", va="center",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    foot = -height / 2 - 0.05
    ax.text(-0.4, foot, "value, computed from left to right", color=BLUE, fontsize=9)
    ax.text(len(columns) - 0.6, foot, "gradient, from right to left; on an edge: its part",
            color=VERMILION, fontsize=9, ha="right")
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(-height / 2 - 0.15, height / 2)
    ax.axis("off")
    return figure


def _box(
    ax: Axes, place: tuple[float, float], name: str, node: Tensor, gradient: Tensor
) -> FancyBboxPatch:
    x, y = place
    box = FancyBboxPatch((x - 0.22, y - 0.26), 0.44, 0.52, facecolor="white", zorder=2,
                         edgecolor=GREY if node.inputs else BLUE, boxstyle="round,pad=0.06")
    ax.add_patch(box)
    lines = ((0.2, name, BLACK), (0.0, f"{node.item():.4f}", BLUE),
             (-0.2, f"{gradient.item():+.4f}", VERMILION))
    for up, text, colour in lines:
        ax.text(x, y + up, text, ha="center", va="center", fontsize=9, color=colour, zorder=3)
    return box


def computation_graph() -> Drawing:
    """The graph of log(a) + a b - tanh(b) at a = 3, b = 0.5."""
    a, b = (Tensor(value, dtype="float64") for value in (3.0, 0.5))
    return graph_of(ops.log(a) + a * b - ops.tanh(b), {id(a): "a", id(b): "b"},
                    "The graph of log(a) + a b - tanh(b): values go right, gradients come back")


def broadcast_adjoint() -> Drawing:
    """A column broadcast to a matrix, the gradient of the matrix, and its sum over the copies."""
    x = Tensor([[1.0], [2.0], [3.0]])
    copies = ops.broadcast_to(x, (3, 4))
    out_grad = np.arange(12.0).reshape(3, 4) / 10
    figure, axes = drawing(1, 4, width=7.6, height=1.9, title="Broadcasting copies, so its "
                           "gradient adds up what comes back to the copies")
    shown = {"x": x, "copies of x": copies, "out_grad": Tensor(out_grad),
             "gradient of x": grad(copies, x, Tensor(out_grad))}
    for ax, (name, values), highest in zip(axes[0], shown.items(), (4, 4, 2.5, 5), strict=True):
        table(ax, values.numpy(), form="{:.1f}", highest=highest)
        ax.set_title(f"{name} {values.shape}", fontsize=9)
    return figure


# ----------------------------------------------------------------------------- numeric gradients


STEPS = 10.0 ** np.arange(-14, 0.01, 0.25)


def difference_errors(dtype: str) -> dict[str, Array]:
    """Relative errors of one-sided and central differences of exp(sin x) at 1, at ``STEPS``."""
    x, h = np.asarray(1.0, dtype), STEPS.astype(dtype)

    def f(x: Array) -> Array:
        return np.exp(np.sin(x))

    truth = float(np.cos(1.0) * np.exp(np.sin(1.0)))
    slopes = {"one-sided": (f(x + h) - f(x)) / h, "central": (f(x + h) - f(x - h)) / (2 * h)}
    return {name: np.maximum(np.abs(slope.astype("float64") / truth - 1), 1e-13)
            for name, slope in slopes.items()}


def difference_error() -> Drawing:
    """The error of numeric gradients over their step, in both precisions."""
    figure, axes = drawing(1, 2, width=8.0, height=2.9, sharey=True, title="A numeric gradient has "
                           "a best step: below it rounding, above it curvature")
    for ax, dtype in zip(axes[0], ("float64", "float32"), strict=True):
        curves(ax, STEPS, difference_errors(dtype))
        ax.set_xscale("log")
        ax.set_yscale("log")
        finish(ax, title=dtype, x="step h", legend="lower left" if dtype == "float32" else "")
    axes[0, 0].set_ylabel("relative error", fontsize=9)
    level(axes[0, 0], 1e-5, vertical=True)
    axes[0, 0].text(1.5e-5, 0.1, "gradcheck's step", fontsize=8)
    axes[0, 0].set_ylim(1e-13, 10)
    return figure


# ---------------------------------------------------------------------------------- second order


def softplus_derivatives() -> Drawing:
    """Softplus of -a, the loss of a D that should say real, and its two derivatives."""
    a = Tensor(np.linspace(-6, 6, 241), dtype="float64")
    loss = ops.softplus(-a)
    first = grad(loss, a, create_graph=True)
    second = grad(first, a)
    figure, axes = drawing(height=2.9, title="The gradient of a gradient: the loss -log D, its "
                           "slope and its curvature, all by the engine")
    curves(axes[0, 0], a.numpy(), {"loss: softplus(-a)": loss.numpy(), "slope": first.numpy(),
                                   "curvature": second.numpy()})
    finish(axes[0, 0], x="logit a of a real sample", legend="upper right")
    return figure


# -------------------------------------------------------------------------------------- training


def fit_of_a_sine(steps: int = 300) -> tuple[Module, list[float]]:
    """A network of 16 hidden units after ``steps`` of training on sin, and its losses.

    minigrad's random numbers go on afterwards as if nothing had happened.
    """
    previous = random.set_generator(np.random.default_rng(0))
    try:
        net = Sequential(Linear(1, 16), Tanh(), Linear(16, 1))
    finally:
        random.set_generator(previous)
    x = Tensor(np.linspace(-3, 3, 64).reshape(64, 1), requires_grad=False)
    y, losses = Tensor(np.sin(x.numpy()), requires_grad=False), []
    opt = Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        loss = ops.mean((net(x) - y) ** 2)
        opt.minimize(loss)
        losses.append(loss.item())
    return net, losses


def sine_fit(net: Module | None = None, losses: Sequence[float] | None = None) -> Drawing:
    """What the two lines of training lead to; ``fit_of_a_sine`` gives the network."""
    if net is None or losses is None:
        net, losses = fit_of_a_sine()
    figure, axes = drawing(1, 2, width=7.6, height=2.6, title="Two lines in a loop are a training: "
                           "the loss falls, the network follows the sine")
    left, right = axes[0]
    left.semilogy(losses, color=BLUE, linewidth=1.8)
    finish(left, title="loss", x="step")
    x = np.linspace(-3, 3, 64)
    curves(right, x, {"sin x": np.sin(x),
                      "network": net(Tensor(x.reshape(64, 1))).numpy()[:, 0]})
    finish(right, title="fit", x="x", legend="upper left")
    return figure


def two_players() -> Drawing:
    """Gradient descent by one player on x^2 + y^2, and by two against each other on x y."""
    figure, axes = drawing(1, 2, width=7.2, height=3.1, title="One loss leads downhill; two "
                           "players with opposite losses spiral outwards")
    side = np.linspace(-2, 2, 81)
    x, y = np.meshgrid(side, side)
    downhill = np.array([[1.2 * 0.9 ** t, 1.2 * 0.9 ** t] for t in range(60)])
    spiral = np.asarray(theory.simultaneous_descent(1.0, 0.0, 0.1, 100))
    shown = (("one player: x² + y²", x * x + y * y, downhill),
             ("x minimizes, y maximizes: x y", x * y, spiral))
    for ax, (title, height, path) in zip(axes[0], shown, strict=True):
        ax.contour(x, y, height, levels=11, colors=GREY, linewidths=0.6)
        ax.plot(path[:, 0], path[:, 1], color=BLUE, linewidth=1.6)
        ax.plot(*path[0], "o", color=BLUE, markersize=5)
        ax.plot(*path[-1], "s", color=VERMILION, markersize=5)
        ax.set_aspect("equal")
        finish(ax, title=title, x="x", y="y")
    return figure


FIGURES: dict[str, Callable[[], Drawing]] = {
    "computation-graph": computation_graph,
    "broadcast-adjoint": broadcast_adjoint,
    "difference-error": difference_error,
    "softplus-derivatives": softplus_derivatives,
    "sine-fit": sine_fit,
    "two-players": two_players,
}
