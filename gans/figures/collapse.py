"""The figures of notebook 06_mode_collapse: modes lost, and the cures.

A collapsed generator makes good samples, but only of a few kinds. Two ideas are small enough to be
computed without training a network. Looking ahead, in the game V = x y (x goes down, y goes up)::

    y_K     =  y + K eta x                          D's answer of K steps of rate eta
    f_K     =  x y_K  =  x y + K eta x^2            what x goes down on: the game plus a bowl
    steps   x <- x - a (y + 2 K eta x),  y <- y + b x
    det     =  1 - 2 a K eta + a b                  of one step; below 1 the spiral goes inwards

Packing, for a model q of data p, with TV the total variation of packs of m (Lin et al. 2018)::

    TV_m  =  1/2 sum |p(x_1)...p(x_m) - q(x_1)...q(x_m)|
    q = p / (1 - t) where q > 0, 0 on a share t of the data:    TV_m = 1 - (1 - t)^m
    q = (1 + 2t) p on one half of the data, (1 - 2t) p on the other:  TV_1 = t too, TV_m smaller

The trainings that the figures show are functions here as well, from a fixed seed.

Leaves out: the causes of the cycle, which are in ``gans.dynamics``; official runs, for which there
is ``gans results``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.patches import Circle

from gans import theory
from gans.evaluation import open_data
from gans.metrics import ModeReport, modes_and_quality
from gans.minibatch import MinibatchDiscrimination
from gans.notebook import steps as cut
from gans.plots import (
    BLACK,
    BLUE,
    VERMILION,
    Drawing,
    bars,
    curves,
    drawing,
    finish,
    level,
    points,
)
from gans.toys import TOYS
from gans.unrolled import UnrolledGAN
from minigrad import Tensor, grad, manual_seed

Array = np.ndarray


# -------------------------------------------------------------------------------- small trainings


@dataclass(frozen=True)
class Snapshots:
    """What a generator made at a few moments of its training.

    Attributes
    ----------
    steps : tuple of int
    samples : tuple of array, (n, 2)
        Always of the same noise.
    reports : tuple of ModeReport
        Of these samples.
    """

    steps: tuple[int, ...]
    samples: tuple[Array, ...]
    reports: tuple[ModeReport, ...]

    def visited(self) -> list[set[int]]:
        """The modes that are nearest to at least 1 % of the samples, moment by moment."""
        return [{i for i, count in enumerate(r.histogram) if 100 * count >= sum(r.histogram)}
                for r in self.reports]


def watch_unrolled(unroll: int, steps: int, looks: int = 5, seed: int = 0) -> Snapshots:
    """Train ``UnrolledGAN`` on the ring of 8 for so many steps, looking at 2,500 samples.

    The settings are those of ``UnrolledGAN.laptop``, but batches are of 128 and z has 16 numbers:
    half the time of a step, and the same picture.
    """
    toy, data = TOYS["ring8"], open_data("ring8")
    manual_seed(seed)
    gan = dataclasses.replace(UnrolledGAN.laptop(data), unroll=unroll, batch_size=128,
                              latent_dim=16)
    gan.set_total_steps(steps)
    draws = np.random.default_rng(seed)

    def batches():
        while True:
            yield Tensor(toy.sample(gan.batch_size, draws), requires_grad=False)

    stream, seen = batches(), []
    moments = [max(1, round(steps * (i + 1) / looks)) for i in range(looks)]
    for step in range(1, steps + 1):
        gan.train_step(stream)
        if step in moments:
            seen.append(gan.sample(2500, np.random.default_rng(1)).numpy().astype(np.float64))
    reports = [modes_and_quality(x, toy.centres, toy.sigma) for x in seen]
    return Snapshots(tuple(dict.fromkeys(moments)), tuple(seen), tuple(reports))


# ------------------------------------------------------------------------------ games without nets

START, RATE = (1.0, 0.0), 0.1  # of the game V = x y


def look_ahead_slope(x: float, y: float, unroll: int, rate: float) -> float:
    """d f_K / dx of V = x y, by the engine: y steps ``unroll`` times inside the graph."""
    place, answer = (Tensor(v, dtype="float64") for v in (x, y))
    for _ in range(unroll):
        answer = answer + rate * grad(place * answer, answer, create_graph=True)
    return grad(place * answer, place).item()


def look_ahead_path(unroll: int, steps: int = 100, rate: float = RATE) -> Array:
    """(steps + 1, 2): x and y step at once, both at ``rate``; x looks ahead as far as it may."""
    path = [START]
    for _ in range(steps):
        x, y = path[-1]
        path.append((x - rate * look_ahead_slope(x, y, unroll, rate), y + rate * x))
    return np.array(path)


MISSED = 0.2  # the total variation of both models from the data


def pack_distance(p: Array, q: Array, m: int) -> float:
    """The total variation of packs of m outcomes of p and of q, by listing all packs."""
    return theory.total_variation(*(functools.reduce(np.kron, [w] * m) for w in (p, q)))


def two_models(missed: float = MISSED) -> tuple[Array, Array, Array]:
    """Data of 10 equal outcomes; a model that misses some; one that only weighs them unevenly."""
    p = np.full(10, 0.1)
    lost = np.arange(10) >= round(10 * (1 - missed))
    return p, np.where(lost, 0.0, 0.1 / (1 - missed)), p * np.repeat(
        [1 + 2 * missed, 1 - 2 * missed], 5)


def closeness(samples: Array, kernels: int = 64, seed: int = 0) -> Array:
    """What an untrained minibatch discrimination says of points (n, 2): (n,), from 0 to n - 1.

    The mean over the kernels of o: how many of the others are close.
    """
    manual_seed(seed)
    layer = MinibatchDiscrimination(samples.shape[1], kernels, dims=3)
    return layer.statistics(Tensor(samples)).numpy().mean(axis=1)


def one_mode(n: int, seed: int = 0) -> Array:
    """n perfect samples of the first mode of the ring: what a collapsed generator makes."""
    toy = TOYS["ring8"]
    return (toy.centres[0] + toy.sigma * np.random.default_rng(seed).standard_normal((n, 2))) \
        .astype(np.float32)


# ---------------------------------------------------------------------------------------- figures


def ceiling_of_quality() -> Drawing:
    """Ring and grid, and the share of a plane Gaussian within r sigma of its centre."""
    figure, axes = drawing(1, 3, title="A perfect sampler puts 98.9 % of its points within 3 sigma "
                                       "of a mode, not 100 %", width=9.0, height=3.0)
    for place, name in zip(axes[0], ("ring8", "grid25"), strict=False):
        toy = TOYS[name]
        real = toy.sample(2500, np.random.default_rng(0))
        report = modes_and_quality(real, toy.centres, toy.sigma)
        place.scatter(*real.T, s=2, c=BLUE, linewidths=0)
        for centre in toy.centres:
            place.add_patch(Circle(tuple(centre), 3 * toy.sigma, fill=False, color=VERMILION,
                                   linewidth=0.8))
        place.set_aspect("equal")
        finish(place, title=f"{name}: 2,500 data, {100 * report.high_quality:.1f} % inside")
    place, toy = axes[0, 2], TOYS["grid25"]
    real = toy.sample(2500, np.random.default_rng(0)).astype(np.float64)
    distance = np.sort(np.linalg.norm(real[:, None] - toy.centres, axis=2).min(axis=1)) / toy.sigma
    r = np.linspace(0, 4, 200)
    curves(place, r, {"plane: 1 - exp(-r²/2)": 1 - np.exp(-r**2 / 2),
                      "line: erf(r/√2)": np.array([math.erf(v / math.sqrt(2)) for v in r])})
    place.plot(distance, np.arange(1, 2501) / 2500, color=BLACK, linewidth=0.9, linestyle=":",
               label="the grid's data")
    level(place, 3.0, vertical=True)
    place.set_ylim(0, 1.4)
    place.set_yticks(np.linspace(0, 1, 6))
    finish(place, title="share within r sigma of the centre", x="r", legend="upper left")
    return figure


def mode_hopping(
    plain: Snapshots | None = None, unrolled: Snapshots | None = None, unroll: int = 5
) -> Drawing:
    """Samples of a plain and of an unrolled GAN over training, as in Metz et al. 2017, figure 2."""
    short = cut(700, 10)
    plain = watch_unrolled(0, short) if plain is None else plain
    unrolled = watch_unrolled(unroll, short) if unrolled is None else unrolled
    toy = TOYS["ring8"]
    figure, axes = drawing(2, len(plain.steps), width=9.0, height=2.1, sharex=True, sharey=True,
                           title="A plain GAN sits on a mode or two at a time; one that looks "
                                 f"{unroll} steps ahead goes to all")
    for row, (label, run) in zip(axes, (("K = 0", plain), (f"K = {unroll}", unrolled)),
                                 strict=True):
        for place, step, samples, visited in zip(row, run.steps, run.samples, run.visited(),
                                                 strict=True):
            points(place, samples, centres=toy.centres, size=2.0)
            finish(place, title=f"step {step:,}: near {len(visited)}")
            place.set_xlim(-2.1, 2.1)
            place.set_ylim(-2.1, 2.1)
        row[0].set_ylabel(label, fontsize=10)
    return figure


def looking_ahead(steps: int = 100) -> Drawing:
    """The game V = x y, played by an x that looks K steps ahead."""
    figure, axes = drawing(1, 2, title="Who looks ahead sees a bowl where there is a saddle: the "
                                       "spiral turns inwards", width=8.0, height=3.2)
    plane, radius = axes[0]
    for i, unroll in enumerate((0, 1, 5)):
        path = look_ahead_path(unroll, steps)
        curves(plane, path[:, 0], {f"K = {unroll}": path[:, 1]}, start=i)
        curves(radius, np.arange(steps + 1), {f"K = {unroll}": np.hypot(*path.T)}, start=i)
    plane.plot(*START, "o", color=BLACK, markersize=5)
    plane.plot(0, 0, "+", color=BLACK, markersize=9)
    plane.set_aspect("equal")
    finish(plane, title=f"V = x y, {steps} steps at rate {RATE:g}", x="x: goes down",
           y="y: goes up")
    finish(radius, title="distance from the equilibrium", x="step", legend="upper left")
    return figure


def seen_in_a_batch(n: int = 64) -> Drawing:
    """Real and collapsed samples one by one, and what minibatch discrimination sees of both."""
    toy = TOYS["ring8"]
    real, fake = toy.sample(n, np.random.default_rng(1)), one_mode(n)
    figure, axes = drawing(1, 2, title="Every fake is a perfect sample; only the batch shows that "
                                       "all are alike", width=8.0, height=3.0)
    cloud, together = axes[0]
    points(cloud, fake, real, toy.centres, size=9.0)
    finish(cloud, title=f"{n} real samples and {n} of a collapsed G", legend="center")
    bins = np.linspace(0, n, 33)
    for samples, colour, label in ((real, BLACK, "real"), (fake, BLUE, "collapsed G")):
        together.hist(closeness(samples), bins, color=colour, alpha=0.6, label=label)
    finish(together, title="how many of the others are close (mean o)",
           x=f"o, of at most {n - 1}", y="samples", legend="upper center")
    return figure


def packs_of_samples(most: int = 5) -> Drawing:
    """The total variation of packs, for a model that lost modes and one that only weighs them."""
    p, lost, uneven = two_models()
    m = np.arange(1, most + 1)
    figure, axes = drawing(1, 2, title="Packs set lost modes apart: one by one both models are "
                                       "equally far from the data", width=8.0, height=2.9)
    weights, distance = axes[0]
    places = np.arange(len(p))
    for shift, model, colour, label in ((-0.2, lost, VERMILION, "two modes lost"),
                                        (0.2, uneven, BLUE, "all there, uneven")):
        weights.bar(places + shift, model, width=0.38, color=colour, label=label)
    level(weights, 0.1, "data")
    weights.set_xticks(places)
    weights.set_ylim(0, 0.2)
    finish(weights, title="probabilities of ten modes", x="mode", legend="upper right")
    curves(distance, m, {
        "all there, uneven": np.array([pack_distance(p, uneven, k) for k in m]),
        "two modes lost": np.array([pack_distance(p, lost, k) for k in m])})
    distance.set_xticks(m)
    finish(distance, title="total variation of packs of m", x="m", legend="upper left")
    return figure


CURES_SHORT = 300  # steps of the trainings when the figure is drawn without rows


def cures(
    modes: Mapping[str, Sequence[float]] | None = None,
    quality: Mapping[str, Sequence[float]] | None = None,
) -> Drawing:
    """Modes found and high-quality share (per cent) of every cure, one number for each seed.

    Without numbers a plain and an unrolled GAN are trained for a moment.
    """
    if modes is None or quality is None:
        short = cut(CURES_SHORT, 10)
        runs = {f"K = {unroll}": watch_unrolled(unroll, short, 1).reports[-1]
                for unroll in (0, 5)}
        modes = {name: [float(r.modes)] for name, r in runs.items()}
        quality = {name: [100 * r.high_quality] for name, r in runs.items()}
    found = sum(min(numbers) == 8 for numbers in modes.values())
    figure, axes = drawing(1, 2, width=9.0, height=0.6 + 0.36 * len(modes), sharey=True,
                           title=f"{found} of {len(modes)} GANs find all eight modes of the ring")
    for place, numbers, top, title in ((axes[0, 0], modes, 8.0, "modes found, of 8"),
                                       (axes[0, 1], quality, 98.9, "% within 3 sigma of a mode")):
        means = {name: float(np.mean(v)) for name, v in numbers.items()}
        errors = {name: float(np.std(v, ddof=1)) if len(v) > 1 else 0.0
                  for name, v in numbers.items()}
        bars(place, means, errors)
        level(place, top, vertical=True)
        place.set_xlim(0, 1.06 * top)
        finish(place, title=title)
    return figure


FIGURES: dict[str, Callable[[], Drawing]] = {
    "ceiling-of-quality": ceiling_of_quality,
    "mode-hopping": mode_hopping,
    "looking-ahead": looking_ahead,
    "seen-in-a-batch": seen_in_a_batch,
    "packs-of-samples": packs_of_samples,
    "cures-of-collapse": cures,
}
