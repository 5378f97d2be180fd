"""The figures of notebook 04_generator_losses: saturation and the three costs of a generator.

With a the logit of D for a sample and s the sigmoid, D = s(a)::

    minimax             log(1 - D)      slope in a: -s(a)        gone where D is sure of "fake"
    non-saturating      -log D          slope in a: -(1 - s(a))  gone where D is sure of "real"
    maximum likelihood  -D / (1 - D)    slope in a: -exp(a)

Leaves out: least squares and Wasserstein losses, which have figures of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gans import theory
from gans.gan import GAN
from gans.objectives import Minimax, NonSaturating
from gans.plots import BLACK, VERMILION, Drawing, curves, drawing, finish, level
from gans.theory import GENERATOR_COSTS, GeneratorCost
from minigrad import Tensor, grad, manual_seed, ops
from minigrad.data import load

Array = np.ndarray


def logit(D: Array) -> Array:
    """The logit a of a probability D: log D - log(1 - D)."""
    return np.log(D) - np.log1p(-np.asarray(D))


# -------------------------------------------------------------------------- gradients of a network


@dataclass(frozen=True)
class Saturation:
    """Gradients of a generator that waits while its discriminator learns.

    Attributes
    ----------
    step : array, (n,)
        Steps that D has made.
    d_fake : array, (n,)
        Mean of D(G(z)).
    minimax, non_saturating : array, (n,)
        Norms of the gradient of either loss with respect to all parameters of G, for the same
        weights and the same z.
    """

    step: Array
    d_fake: Array
    minimax: Array
    non_saturating: Array


def let_d_run_ahead(d_steps: int = 100, seed: int = 0) -> Saturation:
    """Train D alone on 8,000 real digits against an untrained G, and watch G's gradients.

    A third of the widths of ``gans train gan --data digits``; its batch, and its rate of D.
    """
    manual_seed(seed)
    gan = GAN((1, 28, 28), latent_dim=64, hidden_G=(128, 128), hidden_D=(128, 128), batch_size=64,
              lr_D=1e-3)
    images = load("digits").train_images
    g = np.random.default_rng(seed)
    z = gan.noise(256)
    params = gan.G.parameters()

    def norm(g_loss: Callable[[Tensor], Tensor]) -> float:
        slopes = grad(g_loss(gan.D(gan.G(z))), params)
        return float(np.sqrt(sum(np.square(s.numpy().astype(np.float64)).sum() for s in slopes)))

    rows = []
    for step in range(d_steps + 1):
        if step % 5 == 0:
            d_fake = ops.mean(ops.sigmoid(gan.D(gan.G(z)))).item()
            rows.append((step, d_fake, norm(Minimax().g_loss), norm(NonSaturating().g_loss)))
        if step < d_steps:
            real = images[g.integers(len(images), size=gan.batch_size)] / np.float32(127.5) - 1
            gan.loss.d_step(real=Tensor(real.reshape(-1, 1, 28, 28), requires_grad=False),
                            fake=gan.G(gan.noise(gan.batch_size)))
    return Saturation(*np.array(rows).T)


# ------------------------------------------------------------- one parameter against the best D


def expected_slope(cost: GeneratorCost, theta: float) -> float:
    """d J_G / d theta for the model N(theta, 1) and data N(0, 1), with D = D* held still.

    A sample is x = theta + z, so the slope is the mean over the model of cost'(a(x)) a'(x), where
    a = log p - log q is the logit of D* and a' = -theta.
    """
    x = np.linspace(min(theta, 0.0) - 10, max(theta, 0.0) + 10, 4001)
    a = theory.log_normal_pdf(x) - theory.log_normal_pdf(x, theta)
    return float(np.trapezoid(theory.normal_pdf(x, theta) * cost.slope(a) * -theta, x))


def descent(cost: GeneratorCost, theta: float = 4.0, rate: float = 0.3, steps: int = 80) -> Array:
    """The path of theta, (steps + 1,), that goes down ``expected_slope``: D* anew at each step."""
    path = [theta]
    for _ in range(steps):
        path.append(path[-1] - rate * expected_slope(cost, path[-1]))
    return np.array(path)


# ------------------------------------------------------------------------------ computed naively


def naive_minimax(a: Tensor) -> Tensor:
    """log(1 - sigmoid(a)), as written on the slides; the exact form is -softplus(a)."""
    return ops.log(1.0 - ops.sigmoid(a))


def naive_non_saturating(a: Tensor) -> Tensor:
    """-log(sigmoid(a)), as written on the slides; the exact form is softplus(-a)."""
    return -ops.log(ops.sigmoid(a))


# ---------------------------------------------------------------------------------------- figures


def generator_costs() -> Drawing:
    """The three costs over D(G(z)), halved as in Goodfellow 2016, and their slopes in the logit."""
    D = np.linspace(0.002, 0.998, 1000)
    figure, axes = drawing(1, 2, title="Where D is sure that a sample is fake, only the "
                                       "non-saturating cost still pulls", height=3.1)
    left, right = axes[0]
    curves(left, D, {f"{c.name}: {c.formula}": c.cost(logit(D)) / 2 for c in GENERATOR_COSTS})
    left.set_ylim(-20, 5)
    finish(left, title="J_G, halved as in the paper's figure", x="D(G(z))", legend="lower left")
    curves(right, D, {c.name: -c.slope(logit(D)) for c in GENERATOR_COSTS})
    for place in (0.01, 0.5, 0.99):
        for c in GENERATOR_COSTS:
            right.plot([place], [-c.slope(logit(place))], "o", color=BLACK, markersize=3.5)
    right.set_yscale("log")
    right.set_ylim(2e-3, 500)
    finish(right, title="size of the slope in the logit", x="D(G(z))")
    return figure


def saturating_cost() -> Drawing:
    """log(1 - D) and -log D over D, and over the logit, which is what G's network moves."""
    D, a = np.linspace(0.003, 0.997, 700), np.linspace(-8, 8, 321)
    minimax, non_saturating = GENERATOR_COSTS[:2]
    figure, axes = drawing(1, 2, title="log(1 - D) is flat for bad samples and steep for good "
                                       "ones; -log D the other way round", height=3.0)
    for place, x, logits, label in ((axes[0, 0], D, logit(D), "D(G(z))"),
                                    (axes[0, 1], a, a, "logit of D(G(z))")):
        curves(place, x, {"log(1 - D)": minimax.cost(logits),
                          "-log D": non_saturating.cost(logits)})
        middle = 0.5 if place is axes[0, 0] else 0.0
        level(place, middle, vertical=True)
        place.set_ylim(-6.5, 6.5)
        place.text(0.03, 0.03, "bad sample", transform=place.transAxes, fontsize=8)
        place.text(0.97, 0.93, "good sample", transform=place.transAxes, fontsize=8, ha="right")
        finish(place, x=label)
    axes[0, 0].set_title("over D's answer: slope -1 against -1/D at the left", fontsize=10)
    axes[0, 1].set_title("over the logit: slope -D against -(1 - D)", fontsize=10)
    axes[0, 0].legend(loc="lower left", bbox_to_anchor=(0.0, 0.1), frameon=False, fontsize=8)
    return figure


def saturated_gradients(run: Saturation | None = None) -> Drawing:
    """Norms of G's gradient under both losses while D runs ahead."""
    run = let_d_run_ahead() if run is None else run
    ratio = run.non_saturating / run.minimax
    figure, axes = drawing(1, 3, title="D runs ahead: the minimax gradient of G dies, the "
                                       "non-saturating one does not", width=9.0)
    curves(axes[0, 0], run.step, {"mean D(G(z))": run.d_fake})
    axes[0, 0].set_yscale("log")
    finish(axes[0, 0], title="mean D(G(z)), G untrained", x="steps of D")
    curves(axes[0, 1], run.step, {"minimax": run.minimax, "non-saturating": run.non_saturating})
    axes[0, 1].set_yscale("log")
    finish(axes[0, 1], title="norm of G's gradient", x="steps of D", legend="lower left")
    axes[0, 2].plot(run.step, ratio, color=VERMILION, linewidth=1.8)
    axes[0, 2].set_yscale("log")
    level(axes[0, 2], 1.0)
    finish(axes[0, 2], title=f"ratio: {ratio[-1]:.0f} in the end", x="steps of D")
    return figure


def same_point_other_paths() -> Drawing:
    """Slopes of the three costs for a model N(theta, 1) with the best D, and descents on them."""
    thetas = np.linspace(-6, 6, 121)
    figure, axes = drawing(1, 2, title="One fixed point, three paths: far away the minimax cost "
                                       "has no slope to go down", height=3.0)
    left, right = axes[0]
    curves(left, thetas, {c.name: np.array([expected_slope(c, t) for t in thetas])
                          for c in GENERATOR_COSTS})
    level(left, 0.0)
    left.plot([0], [0], "o", color=BLACK, markersize=5)
    finish(left, title="slope of J_G in theta, D = D*", x="theta: the model is N(theta, 1)",
           legend="upper left")
    paths = {c.name: descent(c) for c in GENERATOR_COSTS}
    curves(right, np.arange(len(paths["minimax"])), paths)
    level(right, 0.0)
    finish(right, title="descent from theta = 4 at rate 0.3", x="step of G, D* anew at each")
    return figure


def naive_logarithms() -> Drawing:
    """Both losses of G in float32, computed as written and from logits, and their slopes."""
    a = np.linspace(-120, 120, 481, dtype=np.float32)
    figure, axes = drawing(1, 2, title="As written, the losses break down in float32; from logits "
                                       "they never do", height=3.0)
    forms = {"log(1 - sigmoid(a))": (naive_minimax, -ops.softplus(Tensor(a))),
             "-log(sigmoid(a))": (naive_non_saturating, ops.softplus(-Tensor(a)))}
    for place, (name, (naive, exact)) in zip(axes[0], forms.items(), strict=True):
        with np.errstate(all="ignore"):  # of log 0, which is what is shown
            got = naive(Tensor(a)).numpy()
        place.plot(a, exact.numpy(), color=BLACK, linewidth=3.5, alpha=0.3, label="from logits")
        curves(place, a, {name: np.where(np.isfinite(got), got, np.nan)}, start=1)
        lost = a[~np.isfinite(got)]
        falls = bool(lost.mean() > 0)  # minimax breaks down above, non-saturating below
        edge = float(lost.min() if falls else lost.max())
        level(place, edge, vertical=True)
        finish(place, title=f"infinite {'from' if falls else 'up to'} a = {edge:g}", x="logit a",
               legend="lower left" if falls else "upper right")
    return figure


FIGURES: dict[str, Callable[[], Drawing]] = {
    "generator-costs": generator_costs,
    "saturating-cost": saturating_cost,
    "saturated-gradients": saturated_gradients,
    "same-point-other-paths": same_point_other_paths,
    "naive-logarithms": naive_logarithms,
}
