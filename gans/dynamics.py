"""Training in motion: GANs on a line, so small that the whole state of both players can be drawn.

A sample is one number, z is uniform on [-1, 1], so G is a curve z -> x and D a curve x -> [0, 1].
Everything that a GAN in many dimensions hides is known here, without sampling::

    p_g(x)   =  sum over z with G(z) = x of  1 / (2 |G'(z)|)
    D*(x)    =  p(x) / (p(x) + p_g(x))                 Goodfellow et al. 2014, proposition 1
    TV       =  1 - int min(p, p_g)                    0: the same distribution, 1: disjoint
    W        =  int |P - P_g|                          of distribution functions

Every demonstration of the four training problems of STAT 453 L18 ("GAN Training Problems") is a
function with its seed pinned. ``figure_one``: the pair of Goodfellow et al. 2014, figure 1.
``mode_cycle``: the game of two modes in five steps (Oslo INF5860, "Mode-collapse - example").
``oscillation``, ``strong_discriminator``, ``weak_discriminator`` and ``collapse``: sick trainings
beside ``healthy`` ones; ``diagnose`` says what ``gans.monitor`` finds in their numbers.

``DiracGAN`` is why they oscillate (Mescheder, Geiger, Nowozin 2018, "Which training methods for
GANs do actually converge?"). Data are the point 0, G is the point theta, D(x) = psi x::

    d theta / dt  =  s(psi theta) psi         d psi / dt  =  - s(psi theta) theta
    at (0, 0):     J = [[0, 1/2], [-1/2, 0]],  eigenvalues +-i/2: rotation, no pull to the centre

A step of size h multiplies by 1 + h lambda, longer than 1 for an imaginary lambda: both players
who step at once spiral outwards. What makes the real part of lambda negative is a cure: noise of
deviation sigma on everything that D sees gives -sigma^2/4 +- sqrt(sigma^4/16 - 1/4), a penalty
gamma/2 |D'|^2 gives -gamma/2 +- sqrt(gamma^2/4 - 1/4).

Leaves out: mode collapse on many modes and unrolling (``gans.unrolled``), critics (``gans.wgan``),
momentum, and proofs of convergence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist
from typing import Any

import numpy as np

from minigrad import Tensor, grad, no_grad, random
from minigrad.nn import Linear, Module, Parameter, Sequential, Tanh
from minigrad.optim import SGD, Adam, Optimizer

from .ganloss import GANLoss
from .metrics import mean_pairwise_distance
from .monitor import Diagnosis, Monitor
from .objectives import OBJECTIVES, Objective
from .replay import ReplayPool
from .theory import normal_pdf, optimal_discriminator, wasserstein_1d

__all__ = [
    "BELL",
    "FAR_BELL",
    "FIVE_STEPS",
    "TWO_MODES",
    "DiracGAN",
    "InstanceNoise",
    "LineData",
    "LineGAN",
    "Order",
    "Place",
    "Recording",
    "ReplayPool",
    "Rule",
    "Snapshot",
    "collapse",
    "density_of",
    "diagnose",
    "figure_one",
    "flips",
    "floor",
    "frozen",
    "healthy",
    "mode_cycle",
    "oscillation",
    "record",
    "seeded",
    "snapshot",
    "strong_discriminator",
    "weak_discriminator",
]

Array = np.ndarray

# Where G is read: the midpoints of 2,000 equal parts of the prior's interval, each of mass 1/2000.
_Z = (np.arange(2000) + 0.5) / 1000 - 1


# -------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class LineData:
    """Equally likely narrow Gaussians on a line.

    Attributes
    ----------
    centres : tuple of numbers
    sigma : float
        The standard deviation of each; above 0.
    """

    centres: tuple[float, ...] = (0.0,)
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not self.centres or not np.isfinite(self.centres).all():
            raise ValueError(f"LineData: centres must be finite numbers, got {self.centres}")
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"LineData: sigma must be above 0 and finite, got {self.sigma}")

    def sample(self, n: int, g: np.random.Generator) -> Array:
        """n independent numbers, (n, 1) float32, from the NumPy generator ``g``."""
        which = g.integers(len(self.centres), size=n)
        x = np.array(self.centres)[which] + self.sigma * g.standard_normal(n)
        return x[:, None].astype(np.float32)

    def density(self, x: Array) -> Array:
        """The density at ``x``, of any shape."""
        return np.mean([normal_pdf(x, centre, self.sigma) for centre in self.centres], axis=0)

    def batches(self, batch_size: int, g: np.random.Generator) -> Iterator[Tensor]:
        """An endless stream of batches, (batch_size, 1), for ``train_step``."""
        while True:
            yield Tensor(self.sample(batch_size, g), requires_grad=False)

    def grid(self) -> Array:
        """801 points from 3 below the lowest centre to 3 above the highest."""
        return np.linspace(min(self.centres) - 3, max(self.centres) + 3, 801)


BELL = LineData((1.0,), 1.0)
"""One Gaussian, for figure 1."""
FAR_BELL = LineData((4.0,), 0.5)
"""One Gaussian that is out of reach of an untrained G."""
TWO_MODES = LineData((-2.0, 2.0), 0.1)
"""The modes A = -2 and B = 2 of the lecture's example."""


# ----------------------------------------------------------------------------------------- players


class Rule(Enum):
    """How both players step."""

    ADAM = "adam"
    SGD = "sgd"


class Place(Module):
    """A generator that owns one number: x = place + width z, a bump that can only move.

    Attributes
    ----------
    width : float
        Half the length of the interval that its samples fill. 0.17 has the deviation of a mode of
        ``TWO_MODES``: 0.1 sqrt(3).
    """

    def __init__(self, width: float = 0.17) -> None:
        self.width = width
        self.place = Parameter(np.zeros((1, 1), dtype="float32"))

    def forward(self, z: Tensor) -> Tensor:
        return z * self.width + self.place


class InstanceNoise(Module):
    """x + sigma N(0, 1) while training, x in eval mode: stands before D, so both sides are blurred.

    Source: Sønderby et al. 2017, "Amortised MAP inference for image super-resolution"; a tip of the
    ganhacks collection.
    """

    def __init__(self, sigma: float) -> None:
        if not 0 <= sigma < math.inf:
            raise ValueError(f"InstanceNoise: sigma must be finite and at least 0, got {sigma}")
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.sigma):
            return x
        noise = random.generator().standard_normal(x.shape, dtype="float32")
        return x + Tensor(self.sigma * noise, requires_grad=False)


def curve(hidden: tuple[int, ...]) -> Module:
    """A smooth function of one number, (n, 1) to (n, 1): tanh layers, so that p_g has no steps."""
    layers: list[Module] = []
    width = 1
    for size in hidden:
        layers += [Linear(width, size), Tanh()]
        width = size
    return Sequential(*layers, Linear(width, 1))


@dataclass(eq=False)
class LineGAN:
    """Algorithm 1 of Goodfellow et al. 2014 for samples that are single numbers.

    Attributes
    ----------
    hidden_G, hidden_D : tuple of int
        Sizes of tanh layers. ``hidden_G`` of None: G is a ``Place``, one number.
    k : int
        Discriminator steps to one generator step.
    rule, lr_G, lr_D, beta1
        The optimizers; beta1 is Adam's.
    forgetting : float
        Weight decay of D: what it is not shown again, it forgets.
    instance_noise : float
        Deviation of the noise on all that D sees in training.
    pool_share, pool_capacity : float, int
        Of a ``ReplayPool``; a share of 0 is no pool.
    """

    hidden_G: tuple[int, ...] | None = (16,)
    hidden_D: tuple[int, ...] = (16,)
    batch_size: int = 64
    k: int = 1
    rule: Rule = Rule.ADAM
    lr_G: float = 1e-2
    lr_D: float = 1e-2
    beta1: float = 0.5
    forgetting: float = 0.0
    instance_noise: float = 0.0
    pool_share: float = 0.0
    pool_capacity: int = 4096
    objective: Objective = Objective.NON_SATURATING

    def __post_init__(self) -> None:
        if self.k < 1 or self.batch_size < 1:
            raise ValueError(f"LineGAN: k and batch_size must be at least 1, got k = {self.k}, "
                             f"batch_size = {self.batch_size}")
        self.G = Place() if self.hidden_G is None else curve(self.hidden_G)
        self.opt_G = self._optimizer(self.G, self.lr_G)
        D = Sequential(InstanceNoise(self.instance_noise), curve(self.hidden_D))
        opt_D = self._optimizer(D, self.lr_D, self.forgetting)
        pool = ReplayPool(self.pool_capacity, self.pool_share) if self.pool_share else None
        self.loss = GANLoss(D, opt_D, OBJECTIVES[self.objective], pool)

    def _optimizer(self, net: Module, lr: float, decay: float = 0.0) -> Optimizer:
        if self.rule is Rule.SGD:
            return SGD(net.parameters(), lr=lr, weight_decay=decay)
        return Adam(net.parameters(), lr=lr, beta1=self.beta1, weight_decay=decay)

    @property
    def D(self) -> Module:
        """The discriminator, which belongs to the loss."""
        return self.loss.D

    def noise(self, n: int, g: Any = None) -> Tensor:
        """n draws of z, uniform on [-1, 1], from ``g`` or minigrad's generator; (n, 1)."""
        g = random.generator() if g is None else g
        return Tensor(2 * g.random((n, 1), dtype="float32") - 1, requires_grad=False)

    def d_step(self, batches: Iterator[Tensor]) -> Tensor:
        """One step of D against new fakes; returns the d_loss before it."""
        real = next(batches)
        with no_grad():
            fake = self.G(self.noise(len(real)))
        return self.loss.d_step(real=real, fake=fake)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        """k steps of D, then one of G on noise of its own."""
        for _ in range(self.k):
            d_loss = self.d_step(batches)
        g_loss = self.loss.g_loss(fake=self.G(self.noise(self.batch_size)))
        self.opt_G.minimize(g_loss)
        return {"d_loss": d_loss, "g_loss": g_loss,
                "d_real": self.loss.d_real, "d_fake": self.loss.d_fake}

    def sample(self, n: int, g: np.random.Generator) -> Tensor:
        """n samples, (n, 1), decoded from noise of ``g``."""
        with no_grad():
            return self.G(self.noise(n, g))

    # what a picture needs ---------------------------------------------------------------------

    def curve_of_G(self, z: Array) -> Array:
        """G at the points ``z`` (n,), (n,) float64."""
        with no_grad():
            return self.G(_column(z)).numpy()[:, 0].astype(np.float64)

    def curve_of_D(self, x: Array) -> Array:
        """D's belief in "real" at the points ``x`` (n,), without instance noise; (n,) float64."""
        with no_grad(), _eval_mode(self.D):
            belief = self.loss.objective.belief(self.D(_column(x)))
        return belief.numpy()[:, 0].astype(np.float64)

    def slope(self, objective: Objective) -> float:
        """The 2-norm of G's gradient at its present weights if it minimized ``objective``.

        Over the whole prior, so nothing random is drawn; no ``.grad`` is touched.
        """
        params = self.G.parameters()
        with _eval_mode(self.D):
            g_loss = OBJECTIVES[objective].g_loss(self.D(self.G(_column(_Z[::8]))))
            return _norm(grad(g_loss, params))


def _column(values: Array) -> Tensor:
    return Tensor(np.asarray(values, dtype="float32")[:, None], requires_grad=False)


@contextmanager
def _eval_mode(module: Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _norm(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float((t.numpy().astype(np.float64) ** 2).sum()) for t in tensors))


# --------------------------------------------------------------------------------------- recording


@dataclass(frozen=True)
class Snapshot:
    """The whole state of a GAN on a line at one step: two curves, and what follows from them.

    Attributes
    ----------
    step : int
    z, G : array, (2000,)
        Points of the prior, and what G makes of them.
    x, D, data, model : array, (m,)
        A grid, D's belief there, and both densities.
    """

    step: int
    z: Array
    G: Array
    x: Array
    D: Array
    data: Array
    model: Array

    @property
    def best_D(self) -> Array:
        """D* = p / (p + p_g) on the grid; NaN where neither has mass."""
        return optimal_discriminator(self.data, self.model)

    @property
    def tv(self) -> float:
        """The total variation distance; what G makes beyond the grid counts as missing the data."""
        return float(1 - np.trapezoid(np.minimum(self.data, self.model), self.x))

    @property
    def d_error(self) -> float:
        """The mean of |D - D*| over real and fake samples, that is weighted with (p + p_g) / 2."""
        weight = self.data + self.model
        error = np.where(weight > 0, abs(self.D - np.nan_to_num(self.best_D)), 0.0)
        return float(np.trapezoid(error * weight, self.x) / np.trapezoid(weight, self.x))


def snapshot(gan: LineGAN, data: LineData, step: int = 0) -> Snapshot:
    """Both curves and both densities now; draws no random number and changes nothing."""
    x, made = data.grid(), gan.curve_of_G(_Z)
    return Snapshot(step, _Z, made, x, gan.curve_of_D(x), data.density(x), density_of(made, x))


def density_of(curve_of_G: Array, x: Array) -> Array:
    """The density on the equally spaced grid ``x`` of samples that lie on G's curve.

    The curve (n,) is read as straight between its points, each piece of mass 1/(n - 1): every piece
    is cut in 20, and the parts are counted in bins around the points of ``x``. What falls outside
    of the grid is not counted.
    """
    n = 20 * (len(curve_of_G) - 1)
    places = (np.arange(n) + 0.5) / n
    fine = np.interp(places, np.linspace(0, 1, len(curve_of_G)), curve_of_G)
    width = x[1] - x[0]
    edges = np.append(x - width / 2, x[-1] + width / 2)
    return np.histogram(fine, edges)[0] / (n * width)


@dataclass(frozen=True)
class Recording:
    """A training as numbers over steps, and the snapshots that were asked for.

    Attributes
    ----------
    columns : dict of str to array
        By name: ``step``, the four numbers of ``train_step``, ``d_grad_norm`` and ``g_grad_norm``,
        ``mean`` of G, ``fake_spread`` and ``real_spread`` as the monitor wants them, ``tv`` and
        ``w`` (the distances TV and W of the module's head), and G's slope under both losses,
        ``minimax_slope`` and ``non_saturating_slope``.
    snapshots : tuple of Snapshot
    gan : LineGAN
        The players at the end.
    """

    columns: dict[str, Array]
    snapshots: tuple[Snapshot, ...]
    gan: LineGAN

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]


def record(gan: LineGAN, data: LineData, steps: int, *, seed: int = 0, every: int = 10,
           keep: Sequence[int] = ()) -> Recording:
    """Train for ``steps`` steps, read the numbers at every ``every``-th and keep snapshots.

    Parameters
    ----------
    seed : int
        Of the data; the noise comes from minigrad's generator (see ``seeded``).
    keep : sequence of int
        The steps, from 0 to ``steps``, after which a snapshot is kept.

    Reading draws no random number: the training is the same whatever is read.

    Raises
    ------
    ValueError
        For fewer than one step or a snapshot after the end.
    """
    if steps < 1 or every < 1:
        raise ValueError(f"record: steps and every must be at least 1, got {steps} and {every}")
    if any(not 0 <= step <= steps for step in keep):
        raise ValueError(f"record: snapshots must lie in steps 0 to {steps}, got {list(keep)}")
    g = np.random.default_rng(seed)
    batches = data.batches(gan.batch_size, g)
    # A set of its own, so that the distance of two real sets can be read too.
    real = data.sample(len(_Z), np.random.default_rng([seed, 1]))
    real_spread = mean_pairwise_distance(real[:200])
    kept, rows = [], []
    if 0 in keep:
        kept.append(snapshot(gan, data, 0))
    for step in range(1, steps + 1):
        report = gan.train_step(batches)
        if step in keep:
            kept.append(snapshot(gan, data, step))
        if step % every == 0:
            now = snapshot(gan, data, step)
            rows.append({
                "step": step, **{name: value.item() for name, value in report.items()},
                "d_grad_norm": _norm([p.grad for p in gan.D.parameters()]),
                "g_grad_norm": _norm([p.grad for p in gan.G.parameters()]),
                "mean": now.G.mean(),
                "fake_spread": mean_pairwise_distance(now.G[5::10, None].astype("float32")),
                "real_spread": real_spread,
                "tv": now.tv, "w": wasserstein_1d(now.G, real[:, 0]),
                "minimax_slope": gan.slope(Objective.MINIMAX),
                "non_saturating_slope": gan.slope(Objective.NON_SATURATING),
            })
    names = rows[0] if rows else {}
    return Recording({name: np.array([row[name] for row in rows]) for name in names},
                     tuple(kept), gan)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """minigrad's generator started at ``seed`` inside, and the one from before put back after."""
    before = random.set_generator(np.random.default_rng(seed))
    try:
        yield
    finally:
        random.set_generator(before)


def diagnose(recording: Recording) -> list[Diagnosis]:
    """What a ``Monitor`` with its usual limits says about a recorded training, in order."""
    names = ("d_loss", "g_loss", "d_real", "d_fake", "fake_spread", "real_spread", "d_grad_norm",
             "g_grad_norm")
    monitor, found = Monitor(), []
    for i, step in enumerate(recording["step"]):
        found += monitor.update(int(step), {name: float(recording[name][i]) for name in names})
    return found


def flips(values: Array, least: float = 1.0) -> int:
    """How often a series goes from above ``least`` to below -``least`` or back.

    What wavers between them counts for nothing, so that noise around 0 is no flip. Raises
    ValueError unless ``least`` is above 0.
    """
    if not least > 0:
        raise ValueError(f"flips: least must be above 0, got {least}")
    sides = np.sign(values)[abs(np.asarray(values)) > least]
    return int((sides[1:] != sides[:-1]).sum())


# ------------------------------------------------------------------------------ the demonstrations


def figure_one(steps: int = 1500, *, seed: int = 5) -> tuple[Snapshot, ...]:
    """The four panels (a) to (d) of Goodfellow et al. 2014, figure 1, on one Gaussian.

    (a) After 15 steps both players are half right. (b) D alone takes 500 steps, as in the inner
    loop: it comes near to D*. (c) G alone takes 20 steps against this D: samples move to where D is
    high. (d) Both go on for ``steps`` steps. Measured: TV .58, .58, .53, .10, and the mean of
    |D - D*| .19, .06, .28, .02.
    """
    batches = BELL.batches(256, np.random.default_rng(seed))
    with seeded(seed):
        gan = LineGAN(hidden_D=(16, 16), batch_size=256, k=2, lr_G=3e-3)
        for _ in range(15):
            gan.train_step(batches)
        panels = [snapshot(gan, BELL, 15)]
        for _ in range(500):
            gan.d_step(batches)
        panels.append(snapshot(gan, BELL, 15))
        for _ in range(20):
            gan.opt_G.minimize(gan.loss.g_loss(fake=gan.G(gan.noise(gan.batch_size))))
        panels.append(snapshot(gan, BELL, 35))
        for _ in range(steps):
            gan.train_step(batches)
        panels.append(snapshot(gan, BELL, 35 + steps))
    return tuple(panels)


FIVE_STEPS = (164, 178, 188, 198, 222)
"""The steps of ``mode_cycle`` at which the lecture's five steps are seen."""


def mode_cycle(steps: int = 2000, *, pool: bool = False, seed: int = 1,
               every: int = 10) -> Recording:
    """G owns one number and D forgets: G runs from mode A to mode B and back without end.

    Such a G cannot make both modes, and D cannot remember the mode that G has left: its weights
    decay. So D's answer to G at A is "B is real", and there is no state in which both would stay.
    With ``pool`` half of what D sees are older samples; D then knows both places, and G turns
    back less often. Measured in 2,000 steps: 58 flips of G's mean, 13 with the pool. Keeps
    snapshots at ``FIVE_STEPS`` as far as they are reached.
    """
    with seeded(seed):
        gan = LineGAN(hidden_G=None, rule=Rule.SGD, lr_G=1.0, lr_D=0.3, forgetting=0.05,
                      pool_share=0.5 if pool else 0.0, pool_capacity=2048)
        return record(gan, TWO_MODES, steps, seed=seed, every=every,
                      keep=[step for step in FIVE_STEPS if step <= steps])


def oscillation(steps: int = 2000, *, instance_noise: float = 0.0, seed: int = 0) -> Recording:
    """Two networks and plain gradient steps of 0.3: G's mean swings beyond both modes, ever wider.

    G could make both modes here, and does at first. With ``instance_noise`` of 0.5 it keeps
    them. Measured in 2,000 steps: 18 flips of G's mean, 0 with the noise.
    """
    with seeded(seed):
        gan = LineGAN(rule=Rule.SGD, lr_G=0.3, lr_D=0.3, instance_noise=instance_noise)
        return record(gan, TWO_MODES, steps, seed=seed)


def strong_discriminator(objective: Objective, steps: int = 300, *, seed: int = 0) -> Recording:
    """Data far from G's first samples, and twenty steps of D to one of G.

    With ``Objective.MINIMAX`` G never arrives: its gradient is 750 to 5,500 times shorter than the
    non-saturating loss would give at the same weights. With ``Objective.NON_SATURATING`` it does.
    """
    with seeded(seed):
        gan = LineGAN(k=20, rule=Rule.SGD, lr_G=0.1, lr_D=0.1, objective=objective)
        return record(gan, FAR_BELL, steps, seed=seed)


def weak_discriminator(steps: int = 1500, *, seed: int = 0) -> Recording:
    """D has two hidden units: it cannot tell samples spread between the modes from samples in them.

    Both losses rest where they would rest in a perfect game, and most samples lie where no data
    are. Measured: d_loss 1.386, D(x) = D(G(z)) = .50, TV .91, W 1.38, 24 times the ``floor``.
    """
    with seeded(seed):
        gan = LineGAN(hidden_D=(2,), rule=Rule.SGD, lr_G=0.1, lr_D=0.1)
        return record(gan, TWO_MODES, steps, seed=seed)


def collapse(steps: int = 1200, *, seed: int = 0) -> Recording:
    """G falls into one mode and stays: from there D's slope leads nowhere else.

    D is low between the modes, and no sample is there any more that could teach it better.
    Measured: mean 1.9, spread of samples .06 times that of data.
    """
    with seeded(seed):
        gan = LineGAN(hidden_G=(8,), hidden_D=(8,), rule=Rule.SGD, lr_G=0.2, lr_D=0.2)
        return record(gan, TWO_MODES, steps, seed=seed)


def frozen(steps: int = 2000, *, seed: int = 0) -> Recording:
    """D forgets faster than it learns: its weights decay to 0 and it says 1/2 everywhere."""
    with seeded(seed):
        gan = LineGAN(hidden_G=None, rule=Rule.SGD, lr_G=0.3, lr_D=0.3, forgetting=0.1)
        return record(gan, TWO_MODES, steps, seed=seed)


def healthy(steps: int = 1500, *, seed: int = 0) -> Recording:
    """Sixteen units in each network and Adam: G covers both modes. Measured: TV .47, W .19."""
    with seeded(seed):
        return record(LineGAN(), TWO_MODES, steps, seed=seed)


def floor(data: LineData, pairs: int = 20) -> float:
    """The mean distance W of two independent sets of 2,000 real numbers: what a perfect G gets."""
    g = np.random.default_rng(0)
    sets = [data.sample(len(_Z), g)[:, 0] for _ in range(2 * pairs)]
    return float(np.mean([wasserstein_1d(a, b)
                          for a, b in zip(sets[::2], sets[1::2], strict=True)]))


# ----------------------------------------------------------------------------------- the Dirac GAN


class Order(Enum):
    """Who sees whose step."""

    SIMULTANEOUS = "simultaneous"  # both step from the same point
    ALTERNATING = "alternating"  # D answers the place to which G has just moved


# 64 equally likely values of mean 0 and variance 1: a normal distribution without chance.
_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 64) for i in range(64)])
_QUANTILES /= _QUANTILES.std()


@dataclass(frozen=True)
class DiracGAN:
    """A GAN of two numbers: all data are 0, all of G's samples theta, D's logit is psi x.

    Both losses and all their derivatives are the engine's: the velocity is a gradient, its
    Jacobian a gradient of gradients. In the minimax game theta^2 + psi^2 stays as it is while time
    is continuous; the non-saturating loss has the same Jacobian at (0, 0) and shrinks large circles
    only: with steps of any size it ends on a circle.

    Attributes
    ----------
    objective : Objective
        Minimax or non-saturating; others rest elsewhere or nowhere and are refused.
    noise : float
        Deviation of instance noise on data and samples.
    penalty : float
        Weight gamma of gamma/2 E |D'(x)|^2 in d_loss (R1). D' is psi everywhere.

    Source: Mescheder, Geiger, Nowozin 2018, definition 2.1.
    """

    objective: Objective = Objective.MINIMAX
    noise: float = 0.0
    penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.objective not in (Objective.MINIMAX, Objective.NON_SATURATING):
            raise ValueError(f"DiracGAN: objective must be minimax or non-saturating, got "
                             f"{self.objective.value}: its equilibrium is not at (0, 0)")
        if not (self.noise >= 0 and self.penalty >= 0):
            raise ValueError(f"DiracGAN: noise and penalty must be at least 0, got {self.noise} "
                             f"and {self.penalty}")

    def losses(self, theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
        """d_loss and g_loss at two float64 tensors of shape (1,)."""
        noise = Tensor(self.noise * _QUANTILES, dtype="float64", requires_grad=False)
        game = OBJECTIVES[self.objective]
        real, fake = psi * noise, psi * (theta + noise)
        d_loss = game.d_loss(real, fake) + 0.5 * self.penalty * (psi * psi).sum()
        return d_loss, game.g_loss(fake)

    def _velocity(self, theta: float, psi: float) -> tuple[list[Tensor], list[Tensor]]:
        players = [Tensor([value], dtype="float64") for value in (theta, psi)]
        d_loss, g_loss = self.losses(*players)
        return players, [-grad(g_loss, players[:1], create_graph=True)[0],
                         -grad(d_loss, players[1:], create_graph=True)[0]]

    def velocity(self, theta: float, psi: float) -> Array:
        """(- d g_loss / d theta, - d d_loss / d psi): where both players want to go; (2,)."""
        _, v = self._velocity(theta, psi)
        return np.array([component.item() for component in v])

    def jacobian(self, theta: float = 0.0, psi: float = 0.0) -> Array:
        """The derivatives of the velocity, (2, 2); row 0 is that of theta's velocity.

        By default at the equilibrium, where G is right and D is 1/2 everywhere.
        """
        players, v = self._velocity(theta, psi)
        return np.array([[slope.item() for slope in grad(component.sum(), players)]
                         for component in v])

    def step_matrix(self, rate: float, order: Order = Order.SIMULTANEOUS) -> Array:
        """What one step of size ``rate`` does to a small distance from the equilibrium, (2, 2).

        1 + rate J if both step at once; if D answers, the product of D's step and G's. The distance
        shrinks if both eigenvalues lie inside of the unit circle.
        """
        J = self.jacobian()
        if order is Order.SIMULTANEOUS:
            return np.eye(2) + rate * J
        of_G, of_D = np.eye(2), np.eye(2)
        of_G[0] += rate * J[0]
        of_D[1] += rate * J[1]
        return of_D @ of_G

    def path(self, theta: float, psi: float, rate: float, steps: int,
             order: Order = Order.SIMULTANEOUS) -> Array:
        """Both players from (theta, psi) on, (steps + 1, 2)."""
        points = np.empty((steps + 1, 2))
        points[0] = theta, psi
        for i in range(steps):
            v = self.velocity(theta, psi)
            theta += rate * v[0]
            if order is Order.ALTERNATING:
                v = self.velocity(theta, psi)
            psi += rate * v[1]
            points[i + 1] = theta, psi
        return points
