"""The figures of notebook 11_evaluation: likelihood, scores, floors, copies.

Real digits are the perfect generator here: what such a generator scores is known by drawing one
part of the data and calling it samples. Corrupted real digits are generators with one known fault.

Leaves out: the metrics themselves, which are in ``gans.metrics``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from gans import metrics, plots, theory
from gans.classifier import load_classifier
from gans.evaluation import judge, open_data
from gans.latent import nearest_neighbours
from gans.plots import Drawing
from gans.pretrained import load_generator
from gans.toys import TOYS
from minigrad.data import load, to_uint8

__all__ = [
    "FIGURES",
    "CorruptionScores",
    "blurred",
    "corruption_scores",
    "draw_parzen",
    "junk_log_density",
    "noise_for_sharpness",
    "noisy",
    "one_nn_accuracy",
    "parzen_log_likelihood",
    "pretrained_digits",
]

Array = np.ndarray

DIM = 28 * 28
WIDTHS = np.geomspace(0.02, 0.5, 25)  # of Parzen windows, for pixels from 0 to 1
BEST_WIDTH = 0.177  # of WIDTHS, where unseen digits are most likely


# ----------------------------------------------------------------------------- generators to judge


@functools.cache
def pretrained_digits(n: int = 2000, seed: int = 0) -> Array:
    """``n`` samples of the DCGAN that comes with the library, uint8 (n, 28, 28)."""
    samples = load_generator("dcgan-digits").model.sample(n, np.random.default_rng(seed))
    return to_uint8(samples.numpy())


def blurred(images: Array, times: int) -> Array:
    """uint8 images (n, h, w) after ``times`` passes of the window (1, 2, 1) / 4 along both axes.

    Each pass adds 1/2 to the variance of the blur along each axis, in square pixels.
    """
    x = images.astype(np.float64)
    for _ in range(times):
        for axis in (1, 2):
            pad = [(1, 1) if i == axis else (0, 0) for i in range(3)]
            wide = np.moveaxis(np.pad(x, pad), axis, 0)
            x = np.moveaxis((wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4, 0, axis)
    return np.rint(x).astype(np.uint8)


def noisy(images: Array, deviation: float, generator: np.random.Generator) -> Array:
    """uint8 images with Gaussian noise of ``deviation`` on every pixel, which counts from 0 to 1.

    Values beyond black and white are cut.
    """
    noise = 255 * deviation * generator.standard_normal(images.shape)
    return np.rint(np.clip(images + noise, 0, 255)).astype(np.uint8)


def draw_parzen(kernels: Array, width: float, n: int, generator: np.random.Generator) -> Array:
    """``n`` samples of a Parzen model on uint8 images (m, h, w): one of them, plus noise."""
    return noisy(kernels[generator.integers(len(kernels), size=n)], width, generator)


def parzen_log_likelihood(queries: Array, kernels: Array, width: float) -> Array:
    """log density of a Parzen model at every query, in nats, (n,).

    The model has a Gaussian of deviation ``width`` on each of the kernels: it is the training set
    itself, and the limit of small widths only repeats it.

    Parameters
    ----------
    queries, kernels : array, (n, ...) and (m, ...)
        uint8 pixels count from 0 to 1.
    width : float
        Deviation along each axis; ValueError unless above 0.
    """
    if not width > 0:
        raise ValueError(f"parzen_log_likelihood: width must be above 0, got {width}")
    return _parzen(_squared(queries, kernels), queries[0].size, width)


def _log_axis(axes: Axes, places: Sequence[float], names: Sequence[str] = ()) -> None:
    """Logarithmic, with these ticks only."""
    axes.set_xscale("log")
    axes.set_xticks(places, names or [f"{place:g}" for place in places])
    axes.minorticks_off()


def _squared(queries: Array, kernels: Array) -> Array:
    a, b = (x.reshape(len(x), -1) / (255.0 if x.dtype == np.uint8 else 1.0)
            for x in (queries, kernels))
    return np.maximum((a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T, 0.0)


def _parzen(squared: Array, d: int, width: float) -> Array:
    exponent = -squared / (2 * width**2)
    highest = exponent.max(axis=1, keepdims=True)
    mean = np.exp(exponent - highest).mean(axis=1)
    return highest[:, 0] + np.log(mean) - d / 2 * np.log(2 * np.pi * width**2)


# ------------------------------------------------------------------------------------- likelihood


def junk_log_density(images: Array) -> Array:
    """log density of noise at every uint8 image, in nats: every pixel from N(1/2, 1)."""
    x = images.reshape(len(images), -1) / 255.0
    return theory.log_normal_pdf(x, 0.5, 1.0).sum(axis=1)


def likelihood_and_samples() -> Drawing:
    """Theis et al.'s mixture: .01 p + .99 noise is as likely as p, and nearly all of it is junk."""
    digits, g = load("digits"), np.random.default_rng(6)
    kernels, unseen = digits.train_images[:4000], digits.test_images[:300]
    good, junk = parzen_log_likelihood(unseen, kernels, BEST_WIDTH), junk_log_density(unseen)
    share = np.geomspace(1e-6, 1.0 - 1e-9, 60)
    mixed = [np.logaddexp(np.log(s) + good, np.log1p(-s) + junk).mean() for s in share]
    figure, axes = plots.drawing(1, 2, width=8.4, height=2.9,
                                 title="99 % junk costs 4.6 nats: likelihood does not see samples")
    ax = axes[0, 0]
    plots.curves(ax, share, {"s p + (1 - s) noise": np.array(mixed)})
    _log_axis(ax, (1e-6, 1e-4, 1e-2, 1.0), ("one in\na million", "0.01 %", "1 %", "100 %"))
    ax.set_ylim(0, 1.15 * good.mean())
    plots.level(ax, good.mean(), f"p alone: {good.mean():.1f} nats")
    plots.level(ax, 0.01, vertical=True)
    plots.finish(ax, title="unseen digits under the mixture", x="share s of good samples",
                 y="log likelihood, nats", legend="lower left")
    n = 24
    is_good = g.random(n) < 0.01
    images = noisy(np.full((n, 28, 28), 127.5), 1.0, g)
    images[is_good] = draw_parzen(kernels, BEST_WIDTH, int(is_good.sum()), g)
    plots.pictures(axes[0, 1], images, 8)
    axes[0, 1].set_title(f"{n} samples with s = 1 %: {is_good.sum()} of p, {n - is_good.sum()} of "
                         "noise", fontsize=10)
    return figure


def memoriser() -> Drawing:
    """A model that is its training set: likelihood of seen and unseen digits, and its samples."""
    digits = load("digits")
    kernels = digits.train_images[:4000]
    seen, unseen = (_squared(x, kernels) for x in (kernels[:300], digits.test_images[:300]))
    lines = {"training digits": np.array([_parzen(seen, DIM, h).mean() for h in WIDTHS]),
             "unseen digits": np.array([_parzen(unseen, DIM, h).mean() for h in WIDTHS])}
    figure, axes = plots.drawing(
        1, 2, width=8.4, height=2.9,
        title="A memoriser: the best samples are copies, the best likelihood draws noise")
    plots.curves(axes[0, 0], WIDTHS, lines)
    _log_axis(axes[0, 0], (0.02, 0.05, 0.1, 0.2, 0.5))
    axes[0, 0].set_ylim(-1500, 3000)
    best = WIDTHS[lines["unseen digits"].argmax()]
    plots.level(axes[0, 0], best, f"best for unseen: {best:.2f}", vertical=True)
    plots.finish(axes[0, 0], title="Parzen windows on 4,000 digits", x="width of a window",
                 y="log likelihood, nats", legend="lower right")
    shown = {"narrow, 0.02": 0.02, f"best, {best:.2f}": best, "wide, 0.35": 0.35}
    drawn = [draw_parzen(kernels, h, 6, np.random.default_rng(1)) for h in shown.values()]
    plots.pictures(axes[0, 1], np.concatenate(drawn), 6, rows=list(shown))
    axes[0, 1].set_title("samples for three widths", fontsize=10)
    return figure


# ------------------------------------------------------------------------------- classifier's score


def _entropies(probabilities: Array) -> tuple[float, float]:
    """The mean entropy of the answers, and the entropy of the mean answer, in nats."""
    p = np.clip(probabilities, 1e-300, 1.0)
    mean = p.mean(axis=0)
    return float(-(p * np.log(p)).sum(axis=1).mean()), float(-(mean * np.log(mean)).sum())


def two_entropies() -> Drawing:
    """Image sets in the plane of the two entropies, with lines of equal classifier score."""
    digits, g, judge = load("digits"), np.random.default_rng(0), load_classifier()
    real, labels = digits.test_images, digits.test_labels
    sets = {
        "unseen digits": real,
        "samples of the DCGAN": pretrained_digits(),
        "only ones": real[labels == 1],
        "ten images, repeated": _one_of_each(digits.train_images, digits.train_labels)[
            np.arange(1000) % 10],
        "blurred digits": blurred(real, 10),
        "noisy digits": noisy(real, 0.6, g),
        "noise alone": g.integers(0, 256, (1000, 28, 28), dtype=np.uint8),
    }
    figure, axes = plots.drawing(1, 1, width=6.4, height=4.2,
                                 title="The score is a difference of two entropies, and ten images "
                                       "win it")
    ax = axes[0, 0]
    top = np.log(10)
    x = np.linspace(0, top, 50)
    ax.fill_between(x, 0, x, color="#EDEDED", linewidth=0)
    for score in (1, 2, 4, 8):
        y = x + np.log(score)
        inside = y <= top
        ax.plot(x[inside], y[inside], color=plots.GREY, linewidth=0.9)
        place = 0.03 if score == 8 else 0.45
        ax.text(place, place + np.log(score) - 0.05, f"score {score}", fontsize=8,
                color=plots.GREY, va="top")
    plots.level(ax, top, "10 classes, equally often")
    markers = "osD^vXP"
    for i, (name, images) in enumerate(sets.items()):
        answers = judge.probabilities(images)
        inner, outer = _entropies(answers)
        ax.scatter(inner, outer, s=46, marker=markers[i], color=plots.LINES[i][0], zorder=3,
                   label=f"{name}: {metrics.classifier_score(answers):.2f}", clip_on=False)
    ax.set_xlim(-0.03, 2.4)
    ax.set_ylim(0, 2.42)
    plots.finish(ax, x="mean entropy of the answers, H(y | x), nats",
                 y="entropy of the mean answer, H(y), nats", legend="lower right")
    return figure


def _one_of_each(images: Array, labels: Array) -> Array:
    """Of every class the image about which the classifier is surest, (10, 28, 28)."""
    answers = load_classifier().probabilities(images)
    return np.stack([images[labels == k][answers[labels == k, k].argmax()] for k in range(10)])


# ------------------------------------------------------------------------------- Frechet and KID


def frechet_plane() -> Drawing:
    """The Frechet distance of Gaussians on a line, and three densities that it takes for one."""
    figure, axes = plots.drawing(1, 2, width=8.4, height=2.9,
                                 title="Frechet distance knows mean and variance, and nothing else")
    mu, sigma = np.meshgrid(np.linspace(-2, 2, 81), np.linspace(0.05, 2.5, 81))
    left = axes[0, 0].contour(mu, sigma, mu**2 + (sigma - 1) ** 2, levels=[0.25, 1, 2.25],
                              colors=plots.BLUE, linewidths=1.2)
    axes[0, 0].clabel(left, fmt="%g", fontsize=8)
    axes[0, 0].plot([0], [1], marker="o", color=plots.VERMILION, label="N(0, 1)", linestyle="")
    axes[0, 0].set_aspect("equal")
    plots.finish(axes[0, 0], title="squared distance of N(m, s²) from N(0, 1): circles",
                 x="mean m", y="deviation s", legend="upper right")
    x = np.linspace(-4, 4, 801)
    two = (theory.normal_pdf(x, -0.9, 0.19**0.5) + theory.normal_pdf(x, 0.9, 0.19**0.5)) / 2
    t = (x + 2).clip(0)  # of a gamma distribution of shape 4 and scale 1/2: mean 2, variance 1
    plots.curves(axes[0, 1], x, {"normal": theory.normal_pdf(x), "two modes": two,
                                 "skewed": 16 / 6 * t**3 * np.exp(-2 * t)})
    plots.finish(axes[0, 1], title="all three: mean 0, variance 1, distance 0", x="x",
                 y="density", legend="upper right")
    return figure


def frechet_floor() -> Drawing:
    """Frechet distance and KID of two sets of real digits, for many sizes and widths."""
    features = load_classifier().features(load("digits").train_images)
    g = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(np.cov(features, rowvar=False))
    main = (features - features.mean(axis=0)) @ vectors[:, ::-1] / np.sqrt(values[::-1])
    sizes = np.array([128, 250, 500, 1000, 2000, 4000])
    figure, axes = plots.drawing(1, 2, width=8.4, height=3.0,
                                 title="Two real sets: Frechet distance has a floor, KID only "
                                       "scatter")
    for i, d in enumerate((4, 16, 64)):
        floors = [np.mean([metrics.frechet_floor(main[:, :d], int(n), g) for _ in range(4)])
                  for n in sizes]
        colour = plots.LINES[i][0]
        axes[0, 0].plot(sizes, floors, color=colour, marker="os^"[i], linestyle="", markersize=5,
                        label=f"{d} features, measured")
        axes[0, 0].plot(sizes, (d * (d + 1) / 2 + 2 * d) / sizes, color=colour, linewidth=1.2)
    _log_axis(axes[0, 0], (125, 500, 2000))
    axes[0, 0].set_yscale("log")
    plots.finish(axes[0, 0], title="lines: (d (d + 1) / 2 + 2 d) / n", x="rows n of each set",
                 y="whitened Frechet distance", legend="lower left")
    for i, n in enumerate(sizes[:-1]):
        found = []
        for _ in range(8):
            order = g.permutation(len(main))
            found.append(metrics.kid(main[order[:n]], main[order[n:2 * n]]))
        axes[0, 1].plot(np.full(8, n), found, color=plots.BLUE, marker="o", markersize=3.5,
                        alpha=0.6, linestyle="", label="two real sets" if i == 0 else None)
    plots.level(axes[0, 1], 0.0, "expected: 0")
    _log_axis(axes[0, 1], (125, 500, 2000))
    plots.finish(axes[0, 1], title="KID, 64 features: unbiased", x="rows n of each set", y="KID",
                 legend="upper right")
    return figure


# ------------------------------------------------------------------------------- two-sample tests


def one_nn_accuracy(p: Array, q: Array, x: Array) -> float:
    """What a nearest neighbour gets right with many samples of two densities on the grid ``x``.

    int (p^2 + q^2) / (2 (p + q)): a point belongs to p with probability D* = p / (p + q), and so
    does its neighbour, independently. 1/2 for equal densities, 1 for disjoint ones. Source: Cover
    and Hart 1967, on the error 2 D* (1 - D*).
    """
    total = np.where(p + q > 0, p + q, 1.0)
    return float(np.trapezoid((p**2 + q**2) / (2 * total), x))


def two_sample_test() -> Drawing:
    """Two normals that part: accuracy of the best discriminator and of one neighbour."""
    x, g = np.linspace(-8, 12, 4001), np.random.default_rng(0)
    shifts = np.linspace(0, 4, 41)
    p = theory.normal_pdf(x)
    pairs = [(p, theory.normal_pdf(x, s)) for s in shifts]
    lines = {"the best D: 1/2 + TV/2": np.array([0.5 + theory.total_variation(a, b, x) / 2
                                                 for a, b in pairs]),
             "one neighbour, many samples": np.array([one_nn_accuracy(a, b, x) for a, b in pairs])}
    measured = [metrics.two_sample_accuracy(g.standard_normal((600, 1)) + s,
                                            g.standard_normal((600, 1))).overall
                for s in shifts[::5]]
    figure, axes = plots.drawing(1, 1, width=5.6, height=2.9,
                                 title="A GAN is a two-sample test; one neighbour runs it without "
                                       "training")
    plots.curves(axes[0, 0], shifts, lines)
    axes[0, 0].plot(shifts[::5], measured, color=plots.VERMILION, marker="o", linestyle="",
                    markersize=5, label="measured, 600 of each")
    plots.level(axes[0, 0], 0.5)
    axes[0, 0].set_ylim(0.45, 1.02)
    plots.finish(axes[0, 0], x="distance of N(0, 1) and N(s, 1), s", y="told apart, share",
                 legend="lower right")
    return figure


def halves_of_the_test() -> Drawing:
    """Digits with known faults, told from unseen ones by one neighbour, and both halves of it."""
    digits, n = load("digits"), 1000
    real, samples = digits.test_images, digits.train_images[:n]
    sets = {
        "unseen digits": samples,
        "the DCGAN's samples": pretrained_digits()[:n],
        "blurred a little": blurred(samples, 1),
        "five classes missing": digits.train_images[digits.train_labels < 5][:n],
        "one class": np.resize(digits.train_images[digits.train_labels == 3], (n, 28, 28)),
        "the real digits again": real,
    }
    found = [metrics.two_sample_accuracy(x, real) for x in sets.values()]
    figure, axes = plots.drawing(1, 1, width=6.4, height=2.7,
                                 title="Read both halves: the mean hides what goes wrong")
    plots.table(axes[0, 0], np.array([[f.overall, f.on_samples, f.on_real] for f in found]),
                rows=list(sets), columns=["mean of both", "samples whose\nneighbour is a sample",
                                          "real digits whose\nneighbour is real"],
                form="{:.2f}", highest=1.0)
    axes[0, 0].tick_params(labelsize=8)
    return figure


# ----------------------------------------------------------------------------- copies, modes, blur


def nearest_neighbours_picture() -> Drawing:
    """Samples of the DCGAN beside the training digits nearest to them, and the ratio's verdicts."""
    digits, g = load("digits"), np.random.default_rng(0)
    train, held_out = digits.train_images, digits.test_images
    samples = pretrained_digits()[:400]
    index, _ = nearest_neighbours(samples[:8], train, 4)
    rows = np.concatenate([np.concatenate([samples[i:i + 1], train[index[i]]]) for i in range(8)])
    copies = train[g.integers(len(train), size=400)]
    half = np.where(np.arange(400)[:, None, None] % 2 == 0, copies, samples)
    ratios = {name: metrics.nearest_neighbour_ratio(x, train, held_out[500:]) for name, x in {
        "unseen digits": held_out[:400], "the DCGAN's samples": samples,
        "half of them copies": half, "copies, blurred": blurred(copies, 2), "copies": copies,
    }.items()}
    figure, axes = plots.drawing(1, 2, width=8.4, height=3.1,
                                 title="This generator does not copy: its ratio is that of "
                                       "unseen digits")
    order = np.arange(40).reshape(8, 5).T.ravel()
    plots.pictures(axes[0, 0], rows[order], 8,
                   rows=["sample", "nearest", "second", "third", "fourth"])
    axes[0, 0].set_title("samples, and their neighbours in the training set", fontsize=10)
    plots.bars(axes[0, 1], ratios, colours={name: plots.VERMILION for name in
                                            ("half of them copies", "copies, blurred", "copies")})
    plots.level(axes[0, 1], 1.0, vertical=True)
    for i, value in enumerate(ratios.values()):
        axes[0, 1].text(value + 0.02, len(ratios) - 1 - i, f"{value:.2f}", va="center", fontsize=8)
    axes[0, 1].set_xlim(0, 1.25)
    plots.finish(axes[0, 1], title="nearest-neighbour ratio, train / unseen", x="1: no copying")
    return figure


def quality_ceiling() -> Drawing:
    """A perfect sampler of a ring of eight, and the share of it that counts as good."""
    toy, g = TOYS["ring8"], np.random.default_rng(0)
    x = toy.sample(2500, g)
    mode, distance = (found[:, 0] for found in nearest_neighbours(x, toy.centres, 1))
    away = (x - toy.centres[mode]) / toy.sigma
    bad = distance > 3 * toy.sigma
    radii = np.linspace(0, 4.5, 100)
    figure, axes = plots.drawing(1, 2, width=7.6, height=3.0,
                                 title="A perfect sampler scores 98.9 %, not 100 %")
    for mask, colour, label in ((~bad, plots.BLUE, "counted as good"), (bad, plots.VERMILION,
                                                                        "not")):
        axes[0, 0].scatter(*away[mask][:900].T, s=6, color=colour, linewidths=0, label=label)
    turn = np.linspace(0, 2 * np.pi, 200)
    axes[0, 0].plot(3 * np.cos(turn), 3 * np.sin(turn), color=plots.BLACK, linewidth=0.9)
    axes[0, 0].set_aspect("equal")
    plots.finish(axes[0, 0], title="all eight modes, laid over each other", legend="upper right")
    axes[0, 0].set_xlim(-4.6, 7.4)
    axes[0, 0].set_ylim(-4.6, 4.6)
    measured = [(distance <= r * toy.sigma).mean() for r in radii[::6]]
    plots.curves(axes[0, 1], radii, {"1 - exp(-r²/2)": 1 - np.exp(-radii**2 / 2)})
    axes[0, 1].plot(radii[::6], measured, color=plots.VERMILION, marker="o", linestyle="",
                    markersize=4, label="2,500 samples")
    plots.level(axes[0, 1], 3.0, vertical=True)
    plots.finish(axes[0, 1], title="share within r sigma of a mode", x="r", legend="lower right")
    return figure


def noise_for_sharpness(images: Array, real: Array) -> float:
    """How much noise on blurred uint8 images brings their sharpness back to that of real ones.

    Found by halving the interval from 0 to 1 twelve times; the noise is the same each time.
    """
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        sharp = metrics.sharpness(noisy(images, middle, np.random.default_rng(0)), real)
        low, high = (middle, high) if sharp < 1 else (low, middle)
    return (low + high) / 2


def sharpness_is_fooled() -> Drawing:
    """Digits, blurred digits, and blurred digits with as much noise as sharpness wants."""
    real = load("digits").test_images[:500]
    blur = blurred(real, 3)
    both = noisy(blur, noise_for_sharpness(blur, real), np.random.default_rng(0))
    sets = {"unseen digits": real, "blurred": blur, "blurred, then noise": both}
    figure, axes = plots.drawing(1, 1, width=5.4, height=1.4,
                                 title="Blur and noise together pass for sharp: read no metric "
                                       "alone")
    rows = [f"{name}: {metrics.sharpness(x, real):.2f}" for name, x in sets.items()]
    plots.pictures(axes[0, 0], np.concatenate([x[:9] for x in sets.values()]), 9, rows=rows)
    return figure


# ------------------------------------------------------------------------------- which one notices


METRICS = ("score", "class error", "FCD", "KID", "told by\none neighbour", "neighbour\nratio",
           "sharpness")


@dataclass(frozen=True, eq=False)
class CorruptionScores:
    """What seven metrics say of generators with known faults.

    Attributes
    ----------
    faults : tuple of str
        Names of the r generators.
    values : array, (r, 7)
        In the order of ``METRICS``.
    perfect, scatter : array, (7,)
        Mean and deviation of a perfect generator, over ``repeats`` divisions of the data.
    """

    faults: tuple[str, ...]
    values: Array
    perfect: Array
    scatter: Array

    @property
    def noticed(self) -> Array:
        """How many of a perfect generator's deviations each value lies off, (r, 7)."""
        return (self.values - self.perfect) / self.scatter

    def __getitem__(self, key: tuple[str, str]) -> float:
        fault, metric = key
        return float(self.noticed[self.faults.index(fault), METRICS.index(metric)])


@functools.cache
def corruption_scores(n: int = 800, repeats: int = 10, seed: int = 0) -> CorruptionScores:
    """Judge ``n`` digits with faults of known kind and size, and perfect ones ``repeats`` times.

    The data are divided into training digits, as many held-out ones as there are samples, and the
    samples themselves; every repeat divides anew. Faults are planted in the samples of the first
    division.
    """
    digits = load("digits")
    images = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    g = np.random.default_rng(seed)

    def judged(samples: Array, train: Array, held_out: Array) -> list[float]:
        judge = load_classifier()
        answers, real_answers = map(judge.probabilities, (samples, held_out))
        a, b = map(judge.features, (samples, held_out))
        a, b = metrics.whiten(judge.features(train), a, b)
        shares, real_shares = map(metrics.class_histogram, (answers, real_answers))
        return [metrics.classifier_score(answers),
                metrics.class_total_variation(shares, real_shares),
                metrics.frechet_distance(a, b), metrics.kid(a, b),
                metrics.two_sample_accuracy(a, b).overall,
                metrics.nearest_neighbour_ratio(samples, train, held_out),
                metrics.sharpness(samples, held_out)]

    perfect, first = [], None
    for _ in range(repeats):
        order = g.permutation(len(images))
        parts = order[:n], order[2 * n:5 * n], order[n:2 * n]
        first = parts if first is None else first
        perfect.append(judged(*(images[rows] for rows in parts)))
    chosen, train, held_out = first
    samples, kinds = images[chosen], labels[chosen]

    def without(classes: Sequence[int]) -> Array:
        kept = samples[~np.isin(kinds, classes)]
        return kept[np.arange(n) % len(kept)]

    copies = images[train][:n]
    faults = {
        "noise of 0.1": noisy(samples, 0.1, g),
        "noise of 0.3": noisy(samples, 0.3, g),
        "blurred once": blurred(samples, 1),
        "blurred 4 times": blurred(samples, 4),
        "one class missing": without([7]),
        "five classes missing": without([5, 6, 7, 8, 9]),
        "one sample in three": samples[np.arange(n) % (n // 3)],
        "one image per class": _one_of_each(samples, kinds)[np.arange(n) % 10],
        "half copies": np.where(np.arange(n)[:, None, None] % 2 == 0, copies, samples),
        "copies": copies,
    }
    values = [judged(x, images[train], images[held_out]) for x in faults.values()]
    return CorruptionScores(tuple(faults), np.array(values), np.mean(perfect, axis=0),
                            np.std(perfect, axis=0, ddof=1))


def corruptions(found: CorruptionScores | None = None) -> Drawing:
    """Which metric notices which fault: deviations of a perfect generator, for each pair."""
    found = corruption_scores() if found is None else found
    figure, axes = plots.drawing(1, 1, width=7.8, height=3.6,
                                 title="No metric sees every fault (in deviations of a perfect "
                                       "generator; beyond 4 it is noticed)")
    noticed = found.noticed
    plots.table(axes[0, 0], np.sign(noticed) * np.minimum(np.abs(noticed) / 8, 1),
                rows=found.faults, columns=METRICS, form="", highest=1.0)
    for (i, j), number in np.ndenumerate(noticed):
        axes[0, 0].text(j, i, f"{round(number):+,d}" if round(number) else "0", ha="center",
                        va="center", fontsize=8.5,
                        color="white" if abs(number) > 5 else plots.BLACK,
                        fontweight="bold" if abs(number) > 4 else "normal")
    axes[0, 0].tick_params(labelsize=8)
    return figure


def models_beside_real(values: Mapping[str, Mapping[str, float]] | None = None) -> Drawing:
    """Scores of models beside those of real digits: by default of the DCGAN that comes along.

    What a real digit scores is the best that a model can hope for: the Frechet distance of two real
    sets is not 0.

    Parameters
    ----------
    values : mapping of name to mapping, optional
        For every generator its ``score``, ``fcd``, ``class_tv`` and ``nn_ratio``, as in the tables
        of ``gans results``. The entry "real digits" is drawn grey.
    """
    values = _live_models() if values is None else values
    panels = {"score": "classifier score, of 10", "fcd": "Frechet distance",
              "class_tv": "% in the wrong class", "nn_ratio": "neighbours, train / unseen"}
    figure, axes = plots.drawing(1, 4, width=9.4, height=0.9 + 0.3 * len(values), sharey=True,
                                 title="What is left between models and real digits")
    for ax, (key, label) in zip(axes[0], panels.items(), strict=True):
        numbers = {name: row[key] for name, row in values.items()}
        plots.bars(ax, numbers, colours={"real digits": plots.GREY})
        for i, number in enumerate(numbers.values()):
            ax.text(number, len(numbers) - 1 - i, f" {number:.3g}", va="center", fontsize=8)
        ax.set_xlim(0, 1.3 * max(numbers.values()))
        plots.finish(ax, title=label)
    return figure


def _live_models() -> dict[str, dict[str, float]]:
    """The DCGAN that comes with the library, and real digits with noise, judged on the spot."""
    judges = judge(open_data("digits"))
    digits = load("digits").train_images[:2000]
    sets = {"DCGAN": pretrained_digits(),
            "digits with noise": noisy(digits, 0.05, np.random.default_rng(0))}
    reports = {name: judges.evaluate(x[:, None].astype(np.float32) / 127.5 - 1)
               for name, x in sets.items()}
    keys = ("score", "fcd", "class_tv", "nn_ratio")
    found = {name: {key: report[key].value for key in keys} for name, report in reports.items()}
    real = reports["DCGAN"]
    return {**found, "real digits": {key: real[key].floor if key == "class_tv" else real[key].real
                                     for key in keys}}


FIGURES: dict[str, Callable[[], Drawing]] = {
    "likelihood-and-samples": likelihood_and_samples,
    "memoriser": memoriser,
    "two-entropies": two_entropies,
    "frechet-plane": frechet_plane,
    "frechet-floor": frechet_floor,
    "two-sample-test": two_sample_test,
    "halves-of-the-test": halves_of_the_test,
    "nearest-neighbours": nearest_neighbours_picture,
    "quality-ceiling": quality_ceiling,
    "sharpness-is-fooled": sharpness_is_fooled,
    "corruptions": corruptions,
    "models-beside-real": models_beside_real,
}
