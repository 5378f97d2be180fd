"""The figures of notebook 02_minimax_game: two players, saddle points, min-max against max-min.

The game, with p the data and q the model (Goodfellow et al. 2014, equation 1)::

    min over G of max over D of  V(D, G) = E_p log D(x) + E_q log(1 - D(x))

The small trainings that the figures show are functions here as well, each from a fixed seed, so
that a notebook can run one, check its numbers and hand the result to the figure.

Leaves out: real data sets, for which there is ``gans train``, and sick games, which are in
``gans.figures.dynamics`` and ``gans.figures.collapse``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.patches import Rectangle

from gans import theory
from gans.gan import GAN, generator
from gans.notebook import steps as cut
from gans.objectives import NonSaturating
from gans.plots import (
    BLACK,
    BLUE,
    GREY,
    VERMILION,
    Drawing,
    curves,
    density,
    drawing,
    finish,
    level,
    points,
    table,
)
from gans.toys import TOYS, Gaussian
from minigrad import Tensor, manual_seed, no_grad, random
from minigrad.optim import Adam

Array = np.ndarray


# -------------------------------------------------------------------------------- small trainings


def toy_batches(batch_size: int, seed: int, toy: Gaussian | None = None) -> Iterator[Tensor]:
    """An endless stream of batches (batch_size, 2) of a toy, the lecture's Gaussian by default."""
    toy = TOYS["gaussian"] if toy is None else toy
    g = np.random.default_rng(seed)
    while True:
        yield Tensor(toy.sample(batch_size, g), requires_grad=False)


def moments(gan: GAN) -> tuple[Array, Array]:
    """Mean (2,) and covariance (2, 2) of what a linear generator makes, read off its weights.

    G(z) = z W + b with z standard normal, so the mean is b and the covariance W^T W: no samples,
    no sampling error. ValueError if G has more than one layer.
    """
    if len(gan.G.layers) != 1:
        raise ValueError(f"moments: wants a generator of one linear layer, got {gan.G}")
    weight, bias = (p.numpy().astype(np.float64) for p in gan.G.parameters())
    return bias.ravel(), weight.T @ weight


def distance_to_toy(gan: GAN, toy: Gaussian | None = None) -> float:
    """The Wasserstein-2 distance of a linear generator's Gaussian from that of the toy.

    sqrt(|m - mu|^2 + tr S + tr C - 2 tr (S C)^(1/2)) of both means and covariances: exact. Source:
    Dowson and Landau 1982.
    """
    toy = TOYS["gaussian"] if toy is None else toy
    mean, cov = moments(gan)
    # The eigenvalues of S C are those of S^(1/2) C S^(1/2): real and not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(cov @ toy.cov).real, 0.0)).sum()
    squared = np.square(mean - toy.mean).sum() + np.trace(cov) + np.trace(toy.cov) - 2 * roots
    return float(np.sqrt(max(squared, 0.0)))


@dataclass(frozen=True)
class Course:
    """What a short training of a GAN on the Gaussian went through.

    Attributes
    ----------
    updates : array, (n,)
        Parameter updates of both players together, at which was looked.
    g_steps : array, (n,)
        Those of G alone.
    d_loss, g_loss, distance : array, (n,)
        The losses of the last step, and ``distance_to_toy``.
    """

    updates: Array
    g_steps: Array
    d_loss: Array
    g_loss: Array
    distance: Array


def play(gan: GAN, g_steps: int, seed: int, every: int = 10) -> Course:
    """Let a GAN with a linear generator play for ``g_steps`` passes of Algorithm 1."""
    batches = toy_batches(gan.batch_size, seed)
    rows = []
    for step in range(1, g_steps + 1):
        losses = gan.train_step(batches)
        if step % every == 0:
            rows.append((step * (1 + gan.k), step, losses["d_loss"].item(),
                         losses["g_loss"].item(), distance_to_toy(gan)))
    return Course(*np.array(rows, dtype=np.float64).T)


def lecture_gan(seed: int, *, k: int = 1, lr_D: float = 1e-2) -> GAN:
    """The lecture's networks for its Gaussian: G is 2-2, D 2-20-10-1; Adam at 1e-2, batch 64."""
    manual_seed(seed)
    return GAN((2,), latent_dim=2, hidden_G=(), hidden_D=(20, 10), batch_size=64, k=k, lr_G=1e-2,
               lr_D=lr_D)


SLOW, FAST = 5e-4, 1e-2  # rates of D; that of G is 1e-2


def play_with_k(
    g_steps: int, seeds: Sequence[int] = (0, 1)
) -> dict[float, dict[int, list[Course]]]:
    """``lecture_gan`` with a slow and a fast D, each with k = 1 and k = 5: [lr_D][k][seed]."""
    return {lr_D: {k: [play(lecture_gan(seed, k=k, lr_D=lr_D), g_steps, seed) for seed in seeds]
                   for k in (1, 5)} for lr_D in (SLOW, FAST)}


def late_distance(courses: Sequence[Course], updates: float = np.inf) -> float:
    """Mean distance over the last quarter of ``updates`` updates, and over all seeds."""
    late = []
    for course in courses:
        end = min(updates, course.updates[-1])
        chosen = (course.updates >= 0.75 * end) & (course.updates <= end)
        late.append(course.distance[chosen].mean())
    return float(np.mean(late))


@dataclass(frozen=True)
class OracleGame:
    """A generator against a discriminator that never moves.

    Attributes
    ----------
    before, after : array, (n,)
        What the same noise becomes before and after.
    mean, sd : array, (steps + 1,)
        Of the samples after every step.
    """

    before: Array
    after: Array
    mean: Array
    sd: Array


ORACLE_DATA = (2.0, 0.5)  # mean and standard deviation; the first model is N(0, 1)


def oracle_logit(x: Array | Tensor) -> Array | Tensor:
    """log p(x) / p0(x): the best discriminator of N(2, 0.5^2) from N(0, 1), a parabola in x.

    For an array or a tensor. Its top is at 2 / (1 - 0.5^2) = 2.667: where data are likeliest in
    proportion, not where they are likeliest.
    """
    mu, sigma = ORACLE_DATA
    return -0.5 * ((x - mu) * (1 / sigma)) ** 2 + 0.5 * x**2 - float(np.log(sigma))


def play_against_oracle(steps: int = 600, seed: int = 0) -> OracleGame:
    """Train a generator of one number against ``oracle_logit``, which stays as it is.

    Two hidden layers of 16, Adam at 1e-2, batches of 128, the non-saturating loss; any other loss
    that falls with D(x) has the same end.
    """
    manual_seed(seed)
    G = generator(1, (16, 16), (1,), batch_norm=False)
    opt_G = Adam(G.parameters(), lr=1e-2)
    z = Tensor(random.generator().standard_normal((2000, 1), dtype="float32"), requires_grad=False)

    def look() -> Array:
        with no_grad():
            return G(z).numpy()[:, 0].astype(np.float64)

    samples = [look()]
    for _ in range(steps):
        noise = random.generator().standard_normal((128, 1), dtype="float32")
        opt_G.minimize(NonSaturating().g_loss(oracle_logit(G(Tensor(noise)))))
        samples.append(look())
    return OracleGame(samples[0], samples[-1], np.array([s.mean() for s in samples]),
                      np.array([s.std() for s in samples]))


# ---------------------------------------------------------------------------------- payoff tables

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the model's mass that G puts on A; the rest on B
ANSWERS = (0.3, 0.4, 0.5, 0.6, 0.7)  # D(A); D(B) = 1 - D(A)


def two_mode_payoff(shares: Sequence[float] = SHARES, answers: Sequence[float] = ANSWERS) -> Array:
    """V where data are A or B with probability 1/2 each: (len(shares), len(answers)).

    Row: the share of A among what G makes. Column: D(A), with D(B) = 1 - D(A). Source: slide S4
    "Mode-collapse"; the two places are its A and B.
    """
    data = np.array([0.5, 0.5])
    return np.array([[theory.value(np.array([d, 1 - d]), data, np.array([a, 1 - a]))
                      for d in answers] for a in shares])


# ---------------------------------------------------------------------------------------- figures


def gan_on_gaussian(course: Course | None = None, samples: Array | None = None) -> Drawing:
    """Losses and samples of a GAN on the lecture's Gaussian, from ``play`` and ``GAN.sample``."""
    if course is None or samples is None:
        gan = lecture_gan(seed=0)
        course = play(gan, cut(2000, 200), seed=0)
        samples = gan.sample(1000, np.random.default_rng(1)).numpy()
    figure, axes = drawing(1, 3, title="A draw, not a victory: losses end where D cannot tell, and "
                                       "samples lie on the data", height=2.7, width=9.0)
    losses, distance, cloud = axes[0]
    curves(losses, course.g_steps, {"d_loss": course.d_loss, "g_loss": course.g_loss})
    level(losses, 2 * np.log(2), "2 log 2 = 1.386")
    level(losses, np.log(2), "log 2 = 0.693")
    finish(losses, title="losses of both players", x="step", legend="upper right")
    curves(distance, course.g_steps, {"W2": course.distance})
    finish(distance, title="distance of model and data", x="step")
    real = TOYS["gaussian"].sample(1000, np.random.default_rng(2))
    points(cloud, samples, real)
    finish(cloud, title="after training", legend="lower right")
    return figure


def nash_equilibrium() -> Drawing:
    """Each player's own loss as a function of its own choice, the other one at the equilibrium."""
    x = np.linspace(-12, 12, 4001)
    own = np.linspace(-2, 2, 81)
    data = theory.normal_pdf(x)
    j_d = [-theory.value(1 / (1 + np.exp(-w * x)), data, data, x) for w in own]
    j_g = [theory.value(np.full_like(x, 0.5), data, theory.normal_pdf(x, t), x) for t in own]
    beaten = 1 / (1 + np.exp(0.5 * x))  # D of slope -0.5: it believes that small x are real
    j_g_beaten = [theory.value(beaten, data, theory.normal_pdf(x, t), x) for t in own]
    figure, axes = drawing(1, 2, title="At the equilibrium no player gains by moving alone")
    left, right = axes[0]
    curves(left, own, {"J_D(w)": np.array(j_d)})
    left.plot([0], [2 * np.log(2)], "o", color=BLACK, label="D = 1/2: 1.386")
    finish(left, title="D(x) = s(w x) against a model that is the data", x="w, the choice of D",
           y="J_D", legend="upper center")
    curves(right, own, {"D = 1/2 everywhere": np.array(j_g),
                        "D of slope w = -0.5": np.array(j_g_beaten)})
    right.plot([0], [-2 * np.log(2)], "o", color=BLACK)
    finish(right, title="model N(t, 1) against two discriminators", x="t, the choice of G",
           y="J_G = -J_D", legend="lower right")
    return figure


def discriminator_steps(courses: dict[float, dict[int, list[Course]]] | None = None) -> Drawing:
    """k = 1 against k = 5 for a slow and a fast D, by generator steps and by all updates.

    ``courses`` is what ``play_with_k`` returns; without it one seed plays 600 generator steps.
    """
    courses = play_with_k(cut(600, 60), seeds=(0,)) if courses is None else courses
    figure, axes = drawing(2, 2, title="More steps of D help where D is slow and hurt where it is "
                                       "fast: there is no best k", height=2.4, sharey=True)
    for row, (lr_D, by_k) in zip(axes, courses.items(), strict=True):
        shortest = min(course.updates[-1] for runs in by_k.values() for course in runs)
        for place, name, label in ((row[0], "g_steps", "generator steps"),
                                   (row[1], "updates", "updates of D and G together")):
            for i, (k, runs) in enumerate(by_k.items()):
                at = getattr(runs[0], name)
                each = np.array([run.distance for run in runs])
                for run in each:
                    place.plot(at, run, color=(BLUE, VERMILION)[i], linewidth=0.6, alpha=0.4)
                curves(place, at, {f"k = {k}": np.exp(np.log(each).mean(axis=0))}, start=i)
            place.set_yscale("log")
            place.set_yticks([0.1, 1.0], ["0.1", "1"])
            place.set_yticks([], minor=True)
            finish(place, title=f"rate of D {lr_D:g}, of G 0.01", x=label, legend="lower left")
        row[1].set_xlim(0, shortest)
        row[0].set_ylabel("distance to the data", fontsize=9)
    return figure


def saddle_point(rate: float = 0.1, steps: int = 100) -> Drawing:
    """V = x y as a surface, and the paths of simultaneous and alternating descent on it."""
    together = theory.simultaneous_descent(1.0, 0.0, rate, steps)
    in_turn = theory.alternating_descent(1.0, 0.0, rate, steps)
    figure, axes = drawing(1, 3, title="Both roll towards a saddle: who step at once spiral away, "
                                       "who take turns circle it", width=9.0)
    surface, plane, radius = axes[0]
    surface.remove()
    solid = figure.add_subplot(1, 3, 1, projection="3d")
    side = np.linspace(-1.8, 1.8, 41)
    x, y = np.meshgrid(side, side)
    solid.plot_surface(x, y, x * y, cmap="PuOr", alpha=0.75, linewidth=0)
    solid.plot(*together.T, together.prod(axis=1), color=VERMILION, linewidth=1.5)
    solid.set_xlabel("x: goes down", fontsize=8, labelpad=-8)
    solid.set_ylabel("y: goes up", fontsize=8, labelpad=-8)
    solid.set_title("V = x y", fontsize=10)
    solid.tick_params(labelsize=6, pad=-3)
    plane.contour(x, y, x * y, levels=11, cmap="PuOr", linewidths=0.7, alpha=0.8)
    curves(plane, together[:, 0], {"at once": together[:, 1]}, start=1)
    curves(plane, in_turn[:, 0], {"in turn": in_turn[:, 1]}, start=0)
    plane.plot([1], [0], "o", color=BLACK, markersize=5)
    plane.set_aspect("equal")
    finish(plane, title=f"{steps} steps at rate {rate:g}", x="x", y="y")
    curves(radius, np.arange(steps + 1), {"in turn": np.hypot(*in_turn.T),
                                          "at once": np.hypot(*together.T)})
    finish(radius, title=f"radius: × {np.hypot(*together[-1]):.3f}, × {np.hypot(*in_turn[-1]):.3f}",
           x="step", legend="upper left")
    return figure


def two_orders() -> Drawing:
    """The payoff table of two modes, with the best answer of either player framed."""
    payoff = two_mode_payoff()
    figure, axes = drawing(1, 2, title="Asked for the best D, G spreads its mass; answering a "
                                       "fixed D, it puts all on one place", width=9.0, height=3.0)
    rows = [f"{100 * share:.0f} % A" for share in SHARES]
    columns = [f"{d:.1f}, {1 - d:.1f}" for d in ANSWERS]
    for place, axis, title, colour in (
        (axes[0, 0], 1, f"min over G of max over D = {theory.min_max(payoff):.3f}", BLUE),
        (axes[0, 1], 0, f"max over D of min over G = {theory.max_min(payoff):.3f}", VERMILION),
    ):
        table(place, -payoff, rows=rows, columns=columns, form="", highest=float(-payoff.min()))
        best = payoff.max(axis=1, keepdims=True) if axis else payoff.min(axis=0, keepdims=True)
        for (i, j), number in np.ndenumerate(payoff):
            framed = np.isclose(number, best[i, 0] if axis else best[0, j])
            dark = -number > 0.85 * -payoff.min()
            place.text(j, i, f"{number:.2f}", ha="center", va="center", fontsize=9,
                       color="white" if dark else BLACK)
            if framed:
                place.add_patch(Rectangle((j - 0.46, i - 0.44), 0.92, 0.88, fill=False,
                                          edgecolor=colour, linewidth=2.2))
        place.set_title(title, fontsize=10)
        place.set_xlabel("D(A), D(B)", fontsize=9)
    axes[0, 0].set_ylabel("what G makes", fontsize=9)
    axes[0, 0].text(0.0, -0.3, "framed: the best answer of D to each row", fontsize=8, color=BLUE,
                    transform=axes[0, 0].transAxes)
    axes[0, 1].text(0.0, -0.3, "framed: the best answer of G to each column", fontsize=8,
                    color=VERMILION, transform=axes[0, 1].transAxes)
    return figure


def oracle_discriminator(game: OracleGame | None = None) -> Drawing:
    """A generator against a D that stays as it is: from a cloud to the one point D likes best."""
    game = play_against_oracle() if game is None else game
    x = np.linspace(-3.5, 5.5, 901)
    D = 1 / (1 + np.exp(-oracle_logit(x)))
    figure, axes = drawing(1, 2, title="Against a D that never moves, G runs to the point that D "
                                       "likes best, and its variety dies", width=9.0)
    left, right = axes[0]
    density(left, x, theory.normal_pdf(x, *ORACLE_DATA), "data", style=6)
    left.plot(x, D, color=BLUE, linewidth=1.8, linestyle="--", label="D(x), fixed")
    bins = np.arange(-3.5, 5.51, 0.1)
    for samples, colour, label in ((game.before, GREY, "G before"), (game.after, VERMILION,
                                                                     "G after")):
        height, _ = np.histogram(samples, bins=bins)
        left.stairs(height / height.max(), bins, fill=True, color=colour, alpha=0.55, label=label)
    level(left, float(x[D.argmax()]), "argmax D", vertical=True)
    finish(left, title="samples, scaled to height 1", x="x", legend="upper left")
    curves(right, np.arange(len(game.mean)), {"mean of G(z)": game.mean,
                                              "standard deviation": game.sd})
    level(right, float(x[D.argmax()]), "argmax D")
    finish(right, title="while G learns", x="step", legend="center right")
    return figure


FIGURES: dict[str, Callable[[], Drawing]] = {
    "gan-on-gaussian": gan_on_gaussian,
    "nash-equilibrium": nash_equilibrium,
    "discriminator-steps": discriminator_steps,
    "saddle-point": saddle_point,
    "two-orders": two_orders,
    "oracle-discriminator": oracle_discriminator,
}
