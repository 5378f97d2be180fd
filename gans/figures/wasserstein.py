"""The figures of notebook 07_wasserstein: earth movers, W against JS, clipping against penalty.

The trainings here are of seconds: judges of two fixed distributions (``train_judge``), and a cloud
on a line that learns to go where the data are (``approach``), where the true Wasserstein distance
is known at every step.

Leaves out: linear programs, which the notebook solves with SciPy, and trainings of minutes
(``gans results``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from gans import notebook, plots, theory
from gans.gan import GAN
from gans.objectives import GameObjective, Minimax, Wasserstein
from gans.plots import Drawing
from gans.toys import TOYS
from gans.wgan import WGAN, clip_weights, critic
from gans.wgan_gp import WGANGP, gradient_penalty, slopes
from minigrad import Tensor, manual_seed, no_grad
from minigrad.nn import Module
from minigrad.optim import Adam, RMSprop

__all__ = ["FIGURES", "PILES", "Approach", "approach", "cost_of_pairing", "evaluate",
           "line_judges", "lipschitz_1d", "noisy_ring", "ring_critics", "slopes_at", "train_judge",
           "weights"]

Array = np.ndarray
Draw = Callable[[int, np.random.Generator], Array]

PILES = (np.array([0.0, 1.0, 2.0, 3.0, 4.0]),  # places
         np.array([0.30, 0.20, 0.00, 0.20, 0.30]),  # earth that is there
         np.array([0.10, 0.30, 0.40, 0.10, 0.10]))  # earth that is wanted
"""Two distributions on five places: what the notebook moves by hand, by order and by program."""


# ------------------------------------------------------------------------------------- trainings


def train_judge(
    real: Draw,
    fake: Draw,
    *,
    objective: GameObjective | None = None,
    clip: float = 0.0,
    gp_weight: float = 0.0,
    hidden: tuple[int, ...] = (64, 64),
    steps: int = 300,
    lr: float = 1e-3,
    seed: int = 0,
) -> Module:
    """A discriminator or critic that learns to tell two fixed distributions.

    Parameters
    ----------
    real, fake : callable
        ``draw(n, generator)`` gives float32 (n, d).
    objective : GameObjective, optional
        Whose ``d_loss`` goes down; ``Wasserstein`` by default.
    clip, gp_weight : float
        Bound of the weights (then RMSprop, as in ``gans.wgan``) and weight of the gradient penalty
        (Adam with beta1 = 0); 0 leaves it out.
    """
    objective = Wasserstein() if objective is None else objective
    manual_seed(seed)
    g = np.random.default_rng(seed)
    D = critic(real(1, g).shape[1:], hidden)
    opt = RMSprop(D.parameters(), lr=lr) if clip else Adam(D.parameters(), lr=lr, beta1=0.0,
                                                           beta2=0.9)
    for _ in range(steps):
        x, y = (Tensor(draw(256, g), requires_grad=False) for draw in (real, fake))
        loss = objective.d_loss(D(x), D(y))
        if gp_weight:
            loss = loss + gp_weight * gradient_penalty(D, x, y)[0]
        opt.minimize(loss)
        if clip:
            clip_weights(D, clip)
    return D


def evaluate(D: Module, x: Array) -> Array:
    """Values of D at the points x, (n,) for a line or (n, d); float64 (n,)."""
    points = np.asarray(x, dtype=np.float32).reshape(len(x), -1)
    with no_grad():
        return D(Tensor(points, requires_grad=False)).numpy()[:, 0].astype(np.float64)


def slopes_at(D: Module, x: Array) -> Array:
    """|grad D| at the points x, (n,) for a line or (n, d); float64 (n,)."""
    points = np.asarray(x, dtype=np.float32).reshape(len(x), -1)
    return slopes(D, Tensor(points)).numpy().astype(np.float64)


def weights(D: Module) -> Array:
    """All entries of the weight matrices of D, without biases, in one list."""
    return np.concatenate([p.numpy().ravel() for p in D.parameters() if min(p.shape) > 1])


@dataclass(frozen=True, eq=False)
class Approach:
    """A cloud that learns to reach the data, measured after equal numbers of steps.

    Attributes
    ----------
    distance : array, (m,)
        The true Wasserstein-1 distance of 2,000 samples and 2,000 data.
    estimate : array, (m,)
        What D says of it: E f(x) - E f(G(z)) of a critic, and log 2 - d_loss / 2 of a
        discriminator, which for the best D is the Jensen-Shannon divergence.
    g_loss : array, (m,)
        The generator's loss.
    """

    distance: Array
    estimate: Array
    g_loss: Array

    @property
    def apart(self) -> Array:
        """Where the clouds, each of deviation 0.1, do not touch: distance above 0.6."""
        return self.distance > 0.6


def _cloud(n: int, g: np.random.Generator) -> Array:
    """Data of ``approach``: N(0, 0.1^2)."""
    return (0.1 * g.standard_normal((n, 1))).astype(np.float32)


@functools.cache
def approach(kind: str, steps: int = 400, points: int = 100, seed: int = 0) -> Approach:
    """Train G(z) = a z + b on data N(0, 0.1^2) from a = 0.1, b = 4: it has to come nearer by 4.

    Parameters
    ----------
    kind : str
        "gan", "wgan" (clip 0.1) or "wgan-gp" (lambda 10); each with five steps of D, of two hidden
        layers of 64, to one of G.
    steps, points : int
        Steps of G, and how often the distance is measured.

    Raises
    ------
    ValueError
        For another kind.
    """
    settings = {"data_shape": (1,), "latent_dim": 1, "hidden_G": (), "hidden_D": (64, 64),
                "batch_size": 128, "lr_G": 1e-2, "lr_D": 1e-3}
    makers: dict[str, Callable[[], GAN]] = {
        "gan": lambda: GAN(**settings, k=5),
        "wgan": lambda: WGAN(**settings, n_critic=5, clip=0.1),
        "wgan-gp": lambda: WGANGP(**settings, n_critic=5, gp_weight=10.0),
    }
    if kind not in makers:
        raise ValueError(f"approach: kind must be one of {', '.join(makers)}, got {kind!r}")
    manual_seed(seed)
    model = makers[kind]()
    a, b = model.G.parameters()
    a.copy_(np.full(a.shape, 0.1, dtype=np.float32))
    b.copy_(np.full(b.shape, 4.0, dtype=np.float32))
    g = np.random.default_rng(seed)

    def batches() -> Iterator[Tensor]:
        while True:
            yield Tensor(_cloud(model.batch_size, g), requires_grad=False)

    stream, rows = batches(), []
    true = Tensor(_cloud(2000, np.random.default_rng(9)), requires_grad=False)
    for i in range(steps):
        model.train_step(stream)
        if (i + 1) % max(1, steps // points) == 0:
            rows.append(_measured(model, true))
    return Approach(*np.array(rows).T)


def _measured(model: GAN, true: Tensor) -> tuple[float, float, float]:
    samples = model.sample(len(true), np.random.default_rng(1))
    with no_grad():
        real, fake = model.D(true), model.D(samples)
        d_loss = float(model.loss.objective.d_loss(real, fake).item())
        g_loss = float(model.loss.objective.g_loss(fake).item())
    is_critic = isinstance(model.loss.objective, Wasserstein)
    estimate = -d_loss if is_critic else float(np.log(2)) - d_loss / 2
    return theory.wasserstein_1d(samples.numpy()[:, 0], true.numpy()[:, 0]), estimate, g_loss


# ------------------------------------------------------------------------------------ earth movers


def earth_moving() -> Drawing:
    """Two piles on five places; a wasteful plan and the cheapest one, with their costs."""
    x, p, q = PILES
    way = np.abs(x[:, None] - x)
    plans = {"everything everywhere": np.outer(p, q), "keep the order": theory.monotone_plan(p, q)}
    figure, axes = plots.drawing(1, 3, width=9.0, height=2.7,
                                 title="A plan says how much goes where; W is the work of the "
                                       "cheapest plan")
    for shift, height, i, label in ((-0.2, p, 0, "earth p"), (0.2, q, 1, "wanted q")):
        axes[0, 0].bar(x + shift, height, width=0.38, color=plots.LINES[i][0], label=label)
    plots.finish(axes[0, 0], title="two piles", x="place", y="mass", legend="upper center")
    axes[0, 0].set_ylim(0, 0.6)
    for ax, (name, plan) in zip(axes[0, 1:], plans.items(), strict=True):
        plots.table(ax, plan, rows=[f"{m:.2f}" for m in p], columns=[f"{m:.2f}" for m in q],
                    form="{:.2f}", highest=0.4)
        ax.set_title(f"{name}: work {(plan * way).sum():.2f}", fontsize=10)
        ax.set_xlabel("to (sums of columns: q)", fontsize=9)
        ax.tick_params(labelsize=8)
    axes[0, 1].set_ylabel("from (sums of rows: p)", fontsize=9)
    return figure


def area_between() -> Drawing:
    """On a line W is the area between distribution functions, read across or along."""
    x = np.linspace(-3, 5, 801)
    p, q = theory.normal_pdf(x, 0, 0.7), theory.normal_pdf(x, 2, 0.9)
    P, Q = (np.concatenate([[0], np.cumsum((d[1:] + d[:-1]) / 2)]) * (x[1] - x[0]) for d in (p, q))
    figure, axes = plots.drawing(1, 2, width=8.4, height=2.8,
                                 title=f"On a line W is an area: "
                                       f"{theory.wasserstein_1d_of_densities(p, q, x):.2f} here")
    for i, (label, d) in enumerate({"p": p, "q": q}.items()):
        plots.density(axes[0, 0], x, d, label, i)
    plots.finish(axes[0, 0], title="two densities", x="x", legend="upper right")
    ax = axes[0, 1]
    ax.fill_between(x, P, Q, color=plots.GREEN, alpha=0.2, linewidth=0)
    plots.curves(ax, x, {"P": P, "Q": Q})
    for height in (0.1, 0.3, 0.5, 0.7, 0.9):
        ends = np.interp(height, P, x), np.interp(height, Q, x)
        ax.annotate("", (ends[1], height), (ends[0], height),
                    arrowprops={"arrowstyle": "->", "color": plots.BLACK, "linewidth": 0.8})
    plots.finish(ax, title="distribution functions; arrows: who goes where", x="x",
                 legend="upper left")
    return figure


def cost_of_pairing(a: Array, b: Array, pairing: Array) -> float:
    """The mean way when row i of a (n, d) goes to row ``pairing[i]`` of b."""
    return float(np.linalg.norm(a - b[np.asarray(pairing)], axis=1).mean())


def transport_in_the_plane(
    a: Array | None = None, b: Array | None = None, best: Array | None = None
) -> Drawing:
    """Points in the plane: sorted by x and paired, and paired with the least work.

    Parameters
    ----------
    a, b : array, (n, 2)
        Points and places; seven of each by default.
    best : array of int, (n,)
        The cheapest pairing; without it all are tried, which is for small n only.
    """
    if a is None or b is None:
        g = np.random.default_rng(4)
        a, b = g.standard_normal((7, 2)), np.array([1.0, 0.0]) + g.standard_normal((7, 2))
    if best is None:
        way = np.linalg.norm(a[:, None] - b, axis=2)
        tried = np.array(list(permutations(range(len(a)))))
        best = tried[way[np.arange(len(a)), tried].mean(axis=1).argmin()]
    by_x = np.empty(len(a), dtype=int)
    by_x[a[:, 0].argsort()] = b[:, 0].argsort()
    figure, axes = plots.drawing(1, 2, width=7.6, height=3.0, sharex=True, sharey=True,
                                 title="In the plane there is no order to keep: a plan must be "
                                       "searched")
    for ax, (name, pairing) in zip(axes[0], {"sorted by x": by_x, "cheapest": best}.items(),
                                   strict=True):
        for start, end in zip(a, b[pairing], strict=True):
            ax.plot(*np.stack([start, end]).T, color=plots.GREY, linewidth=1.0, zorder=1)
        ax.scatter(*a.T, s=32, color=plots.BLUE, label="from", zorder=2)
        ax.scatter(*b.T, s=32, color=plots.VERMILION, marker="s", label="to", zorder=2)
        ax.set_aspect("equal")
        plots.finish(ax, title=f"{name}: mean way {cost_of_pairing(a, b, pairing):.2f}")
    axes[0, 0].legend(loc="lower left", frameon=False, fontsize=8)
    return figure


# ----------------------------------------------------------------------------------------- duality


def lipschitz_1d(p: Array, q: Array, x: Array) -> Array:
    """The best critic of two densities on the grid x: slope +1 where P < Q, -1 where P > Q.

    Kantorovich's potential on a line. E_p f - E_q f = int f' (Q - P), which no f with slopes up to
    1 can make larger than int |P - Q| = W. (n,), 0 at the left end.
    """
    masses = np.diff(x) * (p[1:] + p[:-1] - q[1:] - q[:-1]) / 2
    between = np.cumsum(masses)  # P - Q at the right end of every step
    middle = (between + np.concatenate([[0.0], between[:-1]])) / 2
    return np.concatenate([[0.0], np.cumsum(-np.sign(middle) * np.diff(x))])


def potential() -> Drawing:
    """Two densities, the plan's gain and the critic that attains it."""
    x = np.linspace(-4, 4, 1601)
    p = theory.normal_pdf(x, 0, 0.5)
    q = (theory.normal_pdf(x, -2, 0.4) + theory.normal_pdf(x, 2, 0.4)) / 2
    f = lipschitz_1d(p, q, x)
    gain = float(np.trapezoid(f * (p - q), x))
    figure, axes = plots.drawing(2, 1, width=6.2, height=1.9, sharex=True,
                                 title=f"The best critic climbs with slope 1: E f(x) - E f(G(z)) = "
                                       f"{gain:.2f} = W")
    for i, (label, d) in enumerate({"data p": p, "model q": q}.items()):
        plots.density(axes[0, 0], x, d, label, i)
    plots.finish(axes[0, 0], legend="upper right")
    plots.curves(axes[1, 0], x, {"f": f - f.min()}, start=2)
    plots.finish(axes[1, 0], x="x", y="critic f", legend="upper right")
    return figure


# ---------------------------------------------------------------------------------------- W and JS


def wasserstein_against_js() -> Drawing:
    """Two boxes that come closer, overlap and part: W, JS, and the slopes of both."""
    shifts = np.linspace(-2.5, 2.5, 501)
    js = np.array([theory.js_of_shifted_boxes(s) for s in shifts])
    figure, axes = plots.drawing(2, 2, width=8.0, height=1.9, sharex=True,
                                 title="W falls all the way; JS says nothing until the boxes "
                                       "touch")
    inside = np.abs(shifts) < 1
    lines = {(0, 0): ("W", np.abs(shifts)), (0, 1): ("JS", js),
             (1, 0): ("slope of W", np.sign(shifts)),
             (1, 1): ("slope of JS", np.where(inside, np.log(2) * np.sign(shifts), 0.0))}
    for place, (label, y) in lines.items():
        ax = axes[place]
        plots.curves(ax, shifts, {label: y}, start=place[1])
        plots.finish(ax, y=label, x="shift of the second box" if place[0] else "")
        ax.axvspan(-1, 1, color=plots.GREY, alpha=0.12, linewidth=0)
    plots.level(axes[0, 1], float(np.log(2)), "log 2")
    axes[0, 1].legend(loc="lower right", frameon=False, fontsize=8)
    axes[0, 0].text(0, 2.2, "boxes overlap", ha="center", fontsize=8)
    for place in ((0, 0), (0, 1)):
        axes[place].set_ylim(0, None)
    return figure


def parallel_lines() -> Drawing:
    """Arjovsky et al.'s example 1: a line that has to learn how far to go."""
    g = np.random.default_rng(0)
    theta = np.linspace(-1, 1, 401)
    figure, axes = plots.drawing(1, 3, width=9.0, height=2.5,
                                 title="Two parallel lines never overlap: W leads home, JS is a "
                                       "plateau with a hole")
    height = g.random(60)
    for place, colour, label in ((0.0, plots.BLUE, "data: (0, u)"),
                                 (0.7, plots.VERMILION, "model: (θ, u)")):
        axes[0, 0].scatter(np.full(60, place), height, s=8, color=colour, label=label)
    axes[0, 0].annotate("", (0.08, 0.5), (0.62, 0.5), arrowprops={"arrowstyle": "->"})
    axes[0, 0].set_xlim(-0.5, 1.2)
    axes[0, 0].set_xticks([0.0, 0.7], ["0", "θ"])
    axes[0, 0].set_ylim(-0.05, 1.6)
    plots.finish(axes[0, 0], title="u uniform on [0, 1]", legend="upper center")
    js = np.full(theta.shape, np.log(2))
    js[len(theta) // 2] = 0.0
    for ax, (label, y, slope) in zip(axes[0, 1:], (("W = |θ|", np.abs(theta), np.sign(theta)),
                                                   ("JS", js, np.zeros(theta.shape))), strict=True):
        plots.curves(ax, theta, {label: y, "its gradient": slope})
        plots.finish(ax, x="θ", legend="lower right")
        ax.set_ylim(-1.1, 1.1)
    return figure


def _normal(mean: float, deviation: float) -> Draw:
    return lambda n, g: (mean + deviation * g.standard_normal((n, 1))).astype(np.float32)


@functools.cache
def line_judges(steps: int = 400) -> tuple[Module, Module]:
    """A discriminator and a critic (penalty 10): data N(-1.5, 0.3^2), samples N(1.5, 0.3^2)."""
    real, fake = _normal(-1.5, 0.3), _normal(1.5, 0.3)
    return (train_judge(real, fake, objective=Minimax(), steps=steps),
            train_judge(real, fake, gp_weight=10.0, steps=steps))


def discriminator_and_critic(steps: int = 400) -> Drawing:
    """``line_judges``: what they answer, and their slopes."""
    D, f = line_judges(steps)
    x = np.linspace(-3, 3, 301)
    logits, value = evaluate(D, x), evaluate(f, x)
    answer = 1 / (1 + np.exp(-logits))
    figure, axes = plots.drawing(1, 2, width=8.4, height=2.8,
                                 title="Where the samples are, D is flat; a critic still points to "
                                       "the data")
    for ax in axes[0]:
        for mean, colour in ((-1.5, plots.GREY), (1.5, plots.ORANGE)):
            y = theory.normal_pdf(x, mean, 0.3)
            ax.fill_between(x, y, color=colour, alpha=0.35, linewidth=0)
        ax.text(-1.5, 1.4, "data", ha="center", fontsize=8)
        ax.text(1.5, 1.4, "samples", ha="center", fontsize=8)
    plots.curves(axes[0, 0], x, {"D(x)": answer, "f(x), critic": value - value[150]})
    plots.finish(axes[0, 0], title="what they say", x="x", legend="lower left")
    axes[0, 0].set_ylim(-3, 3)
    steepness = np.abs(np.gradient(logits, x))
    plots.curves(axes[0, 1], x, {"of log(1 - D), minimax": answer * steepness,
                                 "of f": slopes_at(f, x)})
    axes[0, 1].set_ylim(-0.05, 2.6)
    plots.finish(axes[0, 1], title="slope that a sample feels", x="x", legend="upper left")
    return figure


# ------------------------------------------------------------------------- clipping and penalty


def noisy_ring(n: int, g: np.random.Generator) -> Array:
    """Points of the ring of eight with noise of deviation 0.5: a generator that is held fixed."""
    ring = TOYS["ring8"].sample(n, g)
    return ring + 0.5 * g.standard_normal((n, 2)).astype(np.float32)


@functools.cache
def ring_critics(steps: int = 400) -> tuple[Module, Module]:
    """Critics of the ring and ``noisy_ring``, of three layers of 64: clipped at 0.1, penalized."""
    settings = {"hidden": (64, 64, 64), "steps": steps}
    return (train_judge(TOYS["ring8"].sample, noisy_ring, clip=0.1, lr=5e-4, **settings),
            train_judge(TOYS["ring8"].sample, noisy_ring, gp_weight=10.0, **settings))


def clipping_and_penalty(steps: int = 400) -> Drawing:
    """``ring_critics``: their contours, weights and slopes.

    After figure 1 of Gulrajani et al. 2017.
    """
    g = np.random.default_rng(1)
    real, fake = TOYS["ring8"].sample(1000, g), noisy_ring(1000, g)
    between = g.random((1000, 1)) * (real - fake) + fake
    names = ("clipped at 0.1", "gradient penalty")
    figure, axes = plots.drawing(1, 4, width=9.5, height=2.4,
                                 title="Clipping drives weights to the bounds and gives a blunt "
                                       "critic; the penalty asks for slope 1")
    line = np.linspace(-2.4, 2.4, 81)
    plane = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    for ax, name, D in zip(axes[0], names, ring_critics(steps), strict=False):
        values = evaluate(D, plane).reshape(81, 81)
        ax.contourf(line, line, values, levels=9, cmap="Blues")
        ax.contour(line, line, values, levels=9, colors=plots.GREY, linewidths=0.5)
        ax.scatter(*real[:200].T, s=3, color=plots.VERMILION, linewidths=0)
        ax.set_aspect("equal")
        plots.finish(ax, title=f"critic, {name}")
    for i, (name, D) in enumerate(zip(names, ring_critics(steps), strict=True)):
        colour, dash = plots.LINES[i]
        style = {"histtype": "step", "color": colour, "linestyle": dash, "linewidth": 1.6,
                 "density": True, "label": name}
        axes[0, 2].hist(weights(D), bins=np.linspace(-0.42, 0.42, 43), **style)
        axes[0, 3].hist(slopes_at(D, between), bins=np.linspace(0, 2, 41), **style)
    plots.finish(axes[0, 2], title="weights", legend="upper right")
    plots.finish(axes[0, 3], title="slopes between real and fake", legend="upper right")
    axes[0, 2].set_ylim(0, 1.5 * axes[0, 2].get_ylim()[1])
    axes[0, 3].set_ylim(0, 1.4 * axes[0, 3].get_ylim()[1])
    for ax in axes[0, 2:]:
        ax.set_yticks([])
    return figure


def loss_is_a_distance(runs: Mapping[str, Approach] | None = None) -> Drawing:
    """What D says along three trainings, against the distance that is really left.

    ``runs`` are those of ``approach`` by kind; without them they are made here.
    """
    names = {"wgan-gp": "WGAN-GP: E f(x) - E f(G(z))", "wgan": "WGAN: E f(x) - E f(G(z))",
             "gan": "GAN: log 2 - d_loss / 2"}
    figure, axes = plots.drawing(1, 3, width=9.4, height=2.7,
                                 title="A critic's loss tells the distance; a discriminator's only "
                                       "whether it can tell")
    for i, (ax, (kind, label)) in enumerate(zip(axes[0], names.items(), strict=True)):
        run = approach(kind, notebook.steps(400, 60)) if runs is None else runs[kind]
        ax.plot(run.distance, run.estimate, marker="o", markersize=3, linewidth=0.6,
                color=plots.LINES[i][0])
        plots.finish(ax, title=label, x="true distance W (training goes right)")
        ax.set_xlim(4.2, -0.1)
    w = np.linspace(0, 4, 81)
    plots.curves(axes[0, 0], w, {"W itself": w, "W (1 + W / 2λ)": w * (1 + w / 20)}, start=5)
    axes[0, 0].legend(loc="upper right", frameon=False, fontsize=8)
    shift = np.linspace(0, 4, 161)
    x = np.linspace(-1, 5, 3001)
    js = [theory.js(theory.normal_pdf(x, 0, 0.1), theory.normal_pdf(x, s, 0.1), x) for s in shift]
    plots.curves(axes[0, 2], shift, {"JS itself": np.array(js)}, start=6)
    axes[0, 2].legend(loc="lower left", frameon=False, fontsize=8)
    return figure


def ring_in_seconds(steps: int | None = None) -> Drawing:
    """A WGAN-GP on the ring of eight: samples before, early in and after a training of seconds."""
    steps = notebook.steps(400, 40) if steps is None else steps
    toy = TOYS["ring8"]
    manual_seed(0)
    model = WGANGP((2,), latent_dim=2, hidden_G=(128, 128), hidden_D=(128, 128), batch_size=256,
                   n_critic=3, gp_weight=0.1, lr_G=2e-3, lr_D=2e-3, beta1=0.5, cool_down=0.5)
    model.set_total_steps(steps)
    g = np.random.default_rng(0)

    def batches() -> Iterator[Tensor]:
        while True:
            yield Tensor(toy.sample(model.batch_size, g), requires_grad=False)

    stream, real = batches(), toy.sample(1000, np.random.default_rng(2))
    shown = {}
    for i in range(steps + 1):
        if i in (0, steps // 8, steps):
            shown[i] = model.sample(1000, np.random.default_rng(1)).numpy()
        if i < steps:
            model.train_step(stream)
    figure, axes = plots.drawing(1, 3, width=8.4, height=2.9, sharex=True, sharey=True,
                                 title="WGAN-GP, some seconds of training: samples spread over all "
                                       "modes first, then gather")
    for ax, (i, samples) in zip(axes[0], shown.items(), strict=True):
        plots.points(ax, samples, real=real, centres=toy.centres)
        plots.finish(ax, title=f"after {i} steps")
        ax.set_xlim(-2.3, 2.3)
        ax.set_ylim(-2.3, 2.3)
    return figure


FIGURES: dict[str, Callable[[], Drawing]] = {
    "earth-moving": earth_moving,
    "area-between": area_between,
    "transport-in-the-plane": transport_in_the_plane,
    "potential": potential,
    "wasserstein-against-js": wasserstein_against_js,
    "parallel-lines": parallel_lines,
    "discriminator-and-critic": discriminator_and_critic,
    "clipping-and-penalty": clipping_and_penalty,
    "loss-is-a-distance": loss_is_a_distance,
    "ring-in-seconds": ring_in_seconds,
}
