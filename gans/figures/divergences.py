"""The figures of notebook 03_optimal_discriminator_and_js: D*, KL, JS and what a trained D sees.

With p the data, q the model and logarithms natural::

    D*(x)     =  p(x) / (p(x) + q(x))
    V(D*)     =  2 JS(p, q) - 2 log 2
    V(D)      <= V(D*), so (V(D) + 2 log 2) / 2 <= JS for every D that can be trained

Discriminators are trained here on two Gaussians in one dimension, where p and q are known, so that
V of any D is an integral and no estimate.

Leaves out: Wasserstein distances, which are in ``gans.figures.wasserstein``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gans import theory
from gans.gan import discriminator
from gans.ganloss import GANLoss
from gans.objectives import Minimax
from gans.plots import (
    BLACK,
    BLUE,
    LINES,
    VERMILION,
    Drawing,
    curves,
    density,
    drawing,
    finish,
    level,
)
from minigrad import Tensor, manual_seed, no_grad
from minigrad.optim import Adam

Array = np.ndarray
X = np.linspace(-8.0, 9.0, 1701)
"""The grid on which densities are compared."""


# -------------------------------------------------------------------------------- small trainings


@dataclass(frozen=True)
class TrainedDiscriminator:
    """What a discriminator learned of N(0, 1) as data and N(mu, 1) as model.

    Attributes
    ----------
    p, q, D : array, like X
        The densities and D's answers on the grid ``X``.
    step, value, seen : array, (n,)
        V(D) by integration over p and q, and over the samples that D was trained on, at some steps.
    """

    p: Array
    q: Array
    D: Array
    step: Array
    value: Array
    seen: Array


def train_discriminator(
    steps: int = 1500,
    *,
    mu: float = 1.0,
    samples: int | None = None,
    hidden: tuple[int, ...] = (32, 32),
    real_label: float = 1.0,
    lr: float = 2e-3,
    seed: int = 0,
) -> TrainedDiscriminator:
    """Train the library's discriminator to tell N(0, 1) from N(mu, 1).

    Parameters
    ----------
    steps : int
        Of Adam, on batches of 512 of either side.
    mu : float
        Mean of the model.
    samples : int, optional
        Train on so many numbers of either side again and again, instead of fresh ones.
    hidden, real_label, lr, seed
        Layers of D, its label for real samples, its rate, and the seed of everything.
    """
    manual_seed(seed)
    g = np.random.default_rng(seed)
    D = discriminator((1,), hidden)
    loss = GANLoss(D, Adam(D.parameters(), lr=lr, beta1=0.5), Minimax(real_label=real_label))
    p, q = theory.normal_pdf(X), theory.normal_pdf(X, mu)
    kept = None if samples is None else g.standard_normal((2, samples, 1))
    grid = Tensor(X[:, None].astype(np.float32), requires_grad=False)

    def logits() -> Array:
        with no_grad():
            return D(grid).numpy()[:, 0].astype(np.float64)

    rows = []
    for step in range(steps + 1):
        real, fake = g.standard_normal((2, 512, 1)) if kept is None else kept
        real, fake = real.astype(np.float32), (fake + mu).astype(np.float32)
        if step % 25 == 0:
            with no_grad():
                seen = -Minimax().d_loss(D(Tensor(real)), D(Tensor(fake))).item()
            rows.append((step, theory.value_of_logits(logits(), p, q, X), seen))
        if step < steps:
            loss.d_step(real=Tensor(real, requires_grad=False),
                        fake=Tensor(fake, requires_grad=False))
    D_on_grid = np.exp(-np.logaddexp(0, -logits()))
    return TrainedDiscriminator(p, q, D_on_grid, *np.array(rows).T)


def mean_error(trained: TrainedDiscriminator, real_label: float = 1.0) -> float:
    """Mean of |D - D*| over draws of which one half are data and one half the model's."""
    best = theory.optimal_discriminator(trained.p, trained.q, real_label=real_label)
    return float(np.trapezoid(np.abs(trained.D - best) * (trained.p + trained.q) / 2, X))


# ------------------------------------------------------------------------------ one mode of two


def two_modes(x: Array) -> Array:
    """Half N(-2, 0.5^2) and half N(2, 0.5^2): a density with two modes at ``x``."""
    return (theory.normal_pdf(x, -2.0, 0.5) + theory.normal_pdf(x, 2.0, 0.5)) / 2


def best_gaussians() -> tuple[tuple[float, float], tuple[float, float]]:
    """(mean, sd) of the Gaussian nearest to ``two_modes`` by KL(p, q), and by KL(q, p).

    A search over means from 0 to 3 and deviations from 0.3 to 3 in steps of 0.05.
    """
    x = np.linspace(-12, 12, 1201)
    p = two_modes(x)
    found = []
    for forward in (True, False):
        best = (np.inf, 0.0, 0.0)
        for mu in np.arange(0, 3.01, 0.05):
            for sigma in np.arange(0.3, 3.01, 0.05):
                q = theory.normal_pdf(x, mu, sigma)
                cost = theory.kl(p, q, x) if forward else theory.kl(q, p, x)
                best = min(best, (cost, float(mu), float(sigma)))
        found.append(best[1:])
    return found[0], found[1]


# ---------------------------------------------------------------------------------------- figures


def optimal_discriminator() -> Drawing:
    """Two densities with D*, and what D is paid at three places for every answer."""
    p, q = theory.normal_pdf(X), theory.normal_pdf(X, 1.0)
    figure, axes = drawing(1, 2, title="Place by place, the best answer is the share of the data: "
                                       "D* = p / (p + q)")
    left, right = axes[0]
    density(left, X, p, "data p", style=6)
    density(left, X, q, "model q", style=2)
    left.plot(X, theory.optimal_discriminator(p, q), color=BLUE, linewidth=1.8, linestyle="--",
              label="D*")
    level(left, 0.5)
    left.set_xlim(-4, 5)
    finish(left, x="x", legend="upper right")
    answers = np.linspace(0.005, 0.995, 400)
    for i, place in enumerate((-0.5, 0.5, 1.5)):
        at_p, at_q = float(theory.normal_pdf(place)), float(theory.normal_pdf(place, 1.0))
        paid = at_p * np.log(answers) + at_q * np.log(1 - answers)
        curves(right, answers, {f"x = {place:g}": paid}, start=i)
        best = at_p / (at_p + at_q)
        right.plot([best], [at_p * np.log(best) + at_q * np.log(1 - best)], "o", color=BLACK,
                   markersize=5, zorder=3)
    right.set_ylim(-1.2, 0)
    finish(right, title="p log D + q log(1 - D); the dot is D*", x="answer D",
           legend="lower center")
    return figure


def trained_discriminator(trained: TrainedDiscriminator | None = None) -> Drawing:
    """A trained discriminator over D*, and its value while it learned."""
    trained = train_discriminator() if trained is None else trained
    best = theory.optimal_discriminator(trained.p, trained.q)
    figure, axes = drawing(1, 2, title="A small network finds D* from samples alone, and its value "
                                       "rises to 2 JS - 2 log 2")
    left, right = axes[0]
    density(left, X, trained.p, "data", style=6)
    density(left, X, trained.q, "model", style=2)
    curves(left, X, {"D trained": trained.D, "D*": best})
    left.set_xlim(-4, 5)
    finish(left, title=f"mean |D - D*| = {mean_error(trained):.4f}", x="x", legend="center right")
    curves(right, trained.step, {"V(D)": trained.value})
    exact = 2 * theory.js(trained.p, trained.q, X) - 2 * np.log(2)
    level(right, exact, f"2 JS - 2 log 2 = {exact:.4f}")
    level(right, -2 * np.log(2), "-2 log 2: cannot tell")
    right.set_ylim(-1.45, -1.12)
    finish(right, title="value, by integration", x="step of D", legend="lower right")
    return figure


def value_and_js(shifts: Sequence[float] = tuple(np.linspace(0, 6, 61))) -> Drawing:
    """V of D*, and V of a D that is left behind, as the model moves away from the data."""
    x = np.linspace(-9, 15, 2401)
    p = theory.normal_pdf(x)
    log_p = theory.log_normal_pdf(x)
    behind = log_p - theory.log_normal_pdf(x, 1.0)
    best, js, left_behind = [], [], []
    for shift in shifts:
        q = theory.normal_pdf(x, shift)
        best.append(theory.value_of_logits(log_p - theory.log_normal_pdf(x, shift), p, q, x))
        left_behind.append(theory.value_of_logits(behind, p, q, x))
        js.append(2 * theory.js(p, q, x) - 2 * np.log(2))
    figure, axes = drawing(title="With the best D, the value is twice JS less 2 log 2: G minimizes "
                                 "a distance", height=3.0)
    curves(axes[0, 0], np.array(shifts), {"V(D*)": np.array(best), "2 JS - 2 log 2": np.array(js),
                                          "V of the D* for shift 1": np.array(left_behind)})
    level(axes[0, 0], -2 * np.log(2), "-2 log 2 = -1.3863")
    level(axes[0, 0], 0.0)
    finish(axes[0, 0], x="shift of the model N(shift, 1) from the data N(0, 1)",
           legend="upper left")
    return figure


def kl_and_js_curves() -> Drawing:
    """The lecture's comparison: q moves through p, mean and variance at once."""
    t = np.linspace(-1, 1, 81)  # the mean; the variance goes from 0.5 to 1.5 with it
    x = np.linspace(-12, 12, 2401)
    p = theory.normal_pdf(x)
    names = ("KL(p, q)", "KL(q, p)", "JS")
    rows = []
    for mu in t:
        q = theory.normal_pdf(x, mu, np.sqrt(1 + mu / 2))
        rows.append((theory.kl(p, q, x), theory.kl(q, p, x), theory.js(p, q, x)))
    figure, axes = drawing(1, 2, title="KL depends on the order, JS does not; all are 0 only where "
                                       "both are equal")
    left, right = axes[0]
    density(left, x, p, "p = N(0, 1)", style=6)
    for i, mu in enumerate((-1.0, 1.0)):
        curves(left, x, {f"q = N({mu:g}, {1 + mu / 2:g})":
                         theory.normal_pdf(x, mu, np.sqrt(1 + mu / 2))}, start=i)
    left.set_xlim(-4.5, 5.5)
    left.set_ylim(0, 0.78)
    finish(left, title="first and last q", x="x", legend="upper right")
    curves(right, t, dict(zip(names, np.array(rows).T, strict=True)))
    ticks = np.arange(-1, 1.1, 0.5)
    right.set_xticks(ticks, [f"{mu:g}, {1 + mu / 2:g}" for mu in ticks])
    finish(right, x="mean and variance of q", legend="upper center")
    return figure


def js_by_sampling(sizes: Sequence[int] = (10, 30, 100, 300, 1000, 3000, 10000)) -> Drawing:
    """Monte Carlo estimates of JS with their standard errors, against quadrature."""
    g = np.random.default_rng(0)
    exact = theory.js(theory.normal_pdf(X), theory.normal_pdf(X, 1.0), X)
    figure, axes = drawing(1, 2, title="Samples find the integral too: the error falls with the "
                                       "root of their number")
    left, right = axes[0]
    found = np.array([theory.js_monte_carlo(
        g.standard_normal(n), 1 + g.standard_normal(n), theory.log_normal_pdf,
        lambda x: theory.log_normal_pdf(x, 1.0)) for n in sizes])
    left.errorbar(sizes, found[:, 0], yerr=2 * found[:, 1], fmt="o", color=BLUE, capsize=3,
                  markersize=4, label="estimate, 2 standard errors")
    level(left, exact, f"quadrature: {exact:.4f}")
    left.set_xscale("log")
    finish(left, title="JS of N(0, 1) and N(1, 1)", x="samples of either", legend="lower right")
    falling = found[0, 1] * np.sqrt(sizes[0] / np.array(sizes))
    curves(right, np.array(sizes), {"reported error": found[:, 1], "slope -1/2": falling})
    right.set_xscale("log")
    right.set_yscale("log")
    finish(right, title="standard error", x="samples of either", legend="lower left")
    return figure


def forward_and_reverse_kl(
    fits: tuple[tuple[float, float], tuple[float, float]] | None = None,
) -> Drawing:
    """One Gaussian fitted to two modes by either KL; ``fits`` is what ``best_gaussians`` finds."""
    fits = best_gaussians() if fits is None else fits
    x = np.linspace(-7, 7, 1401)
    p = two_modes(x)
    figure, axes = drawing(1, 2, title="KL(p, q) covers both modes and what lies between; KL(q, p) "
                                       "picks one", sharey=True)
    for place, (mu, sigma), name in zip(axes[0], fits, ("KL(p, q): forward", "KL(q, p): reverse"),
                                        strict=True):
        density(place, x, p, "data p", style=6)
        density(place, x, theory.normal_pdf(x, mu, sigma), "best Gaussian q", style=2)
        finish(place, title=f"{name}: mean {mu:.2f}, sd {sigma:.2f}", x="x", legend="upper left")
    return figure


def label_smoothing() -> Drawing:
    """D* and the slope of its logit for plain labels, smooth real ones, and both smooth."""
    x = np.linspace(-4, 6, 1001)
    p, q = theory.normal_pdf(x, 0.0), theory.normal_pdf(x, 3.0)
    figure, axes = drawing(1, 2, title="Smooth real labels cap D; smooth fake ones remove "
                                       "the slope that corrects bad samples")
    left, right = axes[0]
    left.fill_between(x, p, color=BLACK, alpha=0.12, linewidth=0, label="data")
    left.fill_between(x, q, color=LINES[2][0], alpha=0.2, linewidth=0, label="model")
    for i, (name, real, fake) in enumerate((("1 and 0", 1.0, 0.0), ("0.9 and 0", 0.9, 0.0),
                                            ("0.9 and 0.1", 0.9, 0.1))):
        D = theory.optimal_discriminator(p, q, real_label=real, fake_label=fake)
        curves(left, x, {name: D}, start=i)
        inside = (D > 1e-9) & (D < 1 - 1e-9)
        logit = np.log(D[inside] / (1 - D[inside]))
        curves(right, x[inside], {name: np.gradient(logit, x[inside])}, start=i)
    finish(left, title="D*, by labels for real and fake", x="x", legend="center right")
    right.set_ylim(-3.4, 0.3)
    finish(right, title="slope of D*'s logit: what G is told", x="x", legend="center left")
    return figure


def js_lower_bound(
    fresh: TrainedDiscriminator | None = None, few: TrainedDiscriminator | None = None
) -> Drawing:
    """JS as trained discriminators see it: ``fresh`` samples at every step, or the same ``few``."""
    fresh = train_discriminator() if fresh is None else fresh
    few = train_on_few() if few is None else few
    exact = theory.js(fresh.p, fresh.q, X)
    figure, axes = drawing(1, 2, title="No D sees more than JS; a D that learns its samples by "
                                       "heart only believes so", sharey=True)
    for place, trained, title in ((axes[0, 0], fresh, "fresh samples at every step"),
                                  (axes[0, 1], few, "the same 100 samples at every step")):
        place.plot(trained.step, trained.seen / 2 + np.log(2), color=VERMILION, linewidth=1.0,
                   linestyle="--", label="on the samples it is trained on")
        place.plot(trained.step, trained.value / 2 + np.log(2), color=BLUE, linewidth=1.8,
                   label="on the distributions")
        level(place, exact, f"JS = {exact:.4f}")
        level(place, np.log(2), "log 2: the largest JS there is")
        place.set_ylim(-0.05, 0.75)
        finish(place, title=title, x="step of D")
    axes[0, 0].set_ylabel("(V(D) + 2 log 2) / 2", fontsize=9)
    axes[0, 0].legend(loc="center right", frameon=False, fontsize=8)
    return figure


def train_on_few(steps: int = 1500) -> TrainedDiscriminator:
    """A wider D than ``train_discriminator``'s, on the same 50 numbers of either side."""
    return train_discriminator(steps, samples=50, hidden=(64, 64))


FIGURES: dict[str, Callable[[], Drawing]] = {
    "optimal-discriminator": optimal_discriminator,
    "trained-discriminator": trained_discriminator,
    "value-and-js": value_and_js,
    "kl-and-js-curves": kl_and_js_curves,
    "js-by-sampling": js_by_sampling,
    "forward-and-reverse-kl": forward_and_reverse_kl,
    "label-smoothing": label_smoothing,
    "js-lower-bound": js_lower_bound,
}
