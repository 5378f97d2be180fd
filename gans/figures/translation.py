"""The figures of notebook 13_cyclegan: translation between two collections.

Least squares (Mao et al. 2017), for densities p of the data and q of G, with D drawn to b for real
ones and to a for fakes, and G to c::

    D*                         =  (b p + a q) / (p + q)
    int (p + q) (D* - c)^2     =  int (q - p)^2 / (p + q)             for a = -1, b = 1, c = 0
                               =  1/2 + 1/4 int (q - p)^2 / (p + q)   for a = 0, b = c = 1

The integral on the right is Pearson's chi squared of p + q and 2 q: 0 for equal densities, 2 for
disjoint ones.

Two possible answers y = -1 and y = 1, equally probable and each with a little noise, for one
input: E |y - c| is least for the median c = 0, E (y - c)^2 for the mean c = 0, and an answer drawn
at random has twice the squared error of the mean, 10 log10 2 = 3.01 dB.

The small trainings that the figures show are functions here as well, from a fixed seed.

Leaves out: official runs, for which there is ``gans results``, and networks, which are those of
``gans.cyclegan``.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from gans import metrics, theory
from gans.classifier import load_classifier
from gans.cyclegan import CycleGAN, point_network
from gans.ganloss import GANLoss
from gans.notebook import steps as cut
from gans.objectives import LeastSquares, Minimax, NonSaturating
from gans.pix2pix import Pix2Pix
from gans.plots import (
    BLACK,
    GREEN,
    GREY,
    LINES,
    ORANGE,
    VERMILION,
    Drawing,
    curves,
    density,
    drawing,
    finish,
    level,
    pictures,
    points,
)
from gans.toys import TOYS
from gans.translation import between, open_collections, open_pairs
from gans.translation_data import TranslationData
from gans.translation_judge import distance, psnr
from gans.translator import Direction, Translator, as_network, translated
from minigrad import Tensor, grad, manual_seed
from minigrad.data import to_uint8
from minigrad.nn import Parameter
from minigrad.optim import Adam, LinearDecay

Array = np.ndarray
SHOWN = 10  # columns of a strip
JUDGED = 200  # held-back images that the small trainings are judged by


# -------------------------------------------------------------------------- the unit, by itself


def pull_points(steps: int, moments: Sequence[int], n: int = 500, seed: int = 0
                ) -> dict[int, Array]:
    """Points that are parameters, made to look like a ring by a ``GANLoss``; no G, no z.

    Returns the points, (n, 2), after each of the ``moments``.
    """
    manual_seed(seed)
    draws, seen = np.random.default_rng(seed), {}
    fake = Parameter(draws.standard_normal((n, 2)).astype(np.float32) * 0.3)
    D = point_network(2, 128, 1)
    unit = GANLoss(D, Adam(D.parameters(), lr=2e-3, beta1=0.5), LeastSquares())
    opt = Adam([fake], lr=2e-2, beta1=0.5)
    decay = LinearDecay.over_last(0.5, opt, total=steps)
    for step in range(steps + 1):
        if step in moments:
            seen[step] = fake.numpy().copy()
        real = Tensor(TOYS["ring8"].sample(256, draws), requires_grad=False)
        opt.minimize(unit.loss(fake=fake, real=real))
        decay.step()
    return seen


def least_squares_D(steps: int, seed: int = 0) -> tuple[Array, Array]:
    """A small D of the least squares loss between N(-1, 1) and N(1, 1): a grid, and its answers."""
    manual_seed(seed)
    draws = np.random.default_rng(seed)
    D = point_network(1, 32, 1)
    opt, objective = Adam(D.parameters(), lr=5e-3), LeastSquares()
    for _ in range(steps):
        real, fake = (D(Tensor(draws.standard_normal((512, 1)) + place, requires_grad=False))
                      for place in (-1.0, 1.0))
        opt.minimize(objective.d_loss(real, fake))
    x = np.linspace(-4, 4, 161)
    return x, D(Tensor(x[:, None])).numpy()[:, 0].astype(np.float64)


def slopes(logits: Array) -> dict[str, Array]:
    """The slope of G's loss in D's raw output, by the engine, for three objectives."""
    found = {}
    for name, objective in (("minimax", Minimax()), ("non-saturating", NonSaturating()),
                            ("least squares", LeastSquares())):
        a = Tensor(logits, dtype="float64")
        found[name] = len(logits) * grad(objective.g_loss(a), a).numpy()
    return found


# ------------------------------------------------------------------------------------- the plane

CORNERS = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
MOVE = np.array([0.3, 0.15])  # from A to B, the true map
BLOB = 0.15


def square(n: int, g: np.random.Generator) -> tuple[Array, Array]:
    """n points at the corners of a square, (n, 2), and the number of the corner of each, (n,)."""
    corner = g.integers(4, size=n)
    return (CORNERS[corner] + BLOB * g.standard_normal((n, 2))).astype(np.float32), corner


def square_task() -> tuple[TranslationData, Array]:
    """A: the square. B: the square, a little further. And the corners of A's test points."""
    (a, _), (b, _), (test, corner) = (square(n, np.random.default_rng((13, k)))
                                      for k, n in enumerate((4000, 4000, 1000)))
    a, b, test, true = (x.astype(np.float32) for x in (a, b + MOVE, test, test + MOVE))
    return between("square", a, b, test_a=test, test_b=true, partners=True, mirrored=False,
                   keeps_colours=False), corner


def _permuted(x: Array, order: Sequence[int]) -> Array:
    """Every corner with all its points goes to another corner, and is moved to B."""
    corner = ((x[:, None] - CORNERS) ** 2).sum(axis=2).argmin(axis=1)
    return x - CORNERS[corner] + CORNERS[list(order)][corner] + MOVE


HAND_MADE: dict[str, Sequence[int]] = {
    "the true map": (0, 1, 2, 3),
    "a quarter turn": (1, 2, 3, 0),
    "a mirror": (1, 0, 3, 2),
    "two corners swapped": (1, 0, 2, 3),
}


def hand_made(name: str, x: Array) -> Array:
    """Points of A to points of B by one of the maps of ``HAND_MADE``: all have the same image."""
    return _permuted(x, HAND_MADE[name])


def corner_of(x: Array) -> Array:
    """The corner of B that is nearest to each point."""
    return ((x[:, None] - CORNERS - MOVE) ** 2).sum(axis=2).argmin(axis=1)


# ----------------------------------------------------------------------------------- trainings


def train(data: TranslationData, steps: int, seed: int = 0, **settings: float) -> CycleGAN:
    """``CycleGAN.laptop(data)`` with some settings changed, after so many steps from a seed."""
    return _trained(lambda: dataclasses.replace(CycleGAN.laptop(data), **settings), data, steps,
                    seed)


def train_points(data: TranslationData, steps: int, seed: int = 0, **settings: float) -> CycleGAN:
    """The same for points: small networks, batches of 128, a pool of 500, otherwise the paper's."""
    return _trained(lambda: CycleGAN(data.shape, batch_size=128, pool_size=500, flip=False,
                                     **settings), data, steps, seed)


def _trained(make: Callable[[], CycleGAN], data: TranslationData, steps: int, seed: int
             ) -> CycleGAN:
    manual_seed(seed)
    model = make()
    model.set_total_steps(steps)
    stream = _batches(model, data, np.random.default_rng(seed))
    for _ in range(steps):
        model.train_step(stream)
    return model


def _batches(model: CycleGAN, data: TranslationData, draws: np.random.Generator
             ) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of batches, each of a collection, drawn with replacement."""
    sets = model.datasets(data)
    while True:
        yield tuple(Tensor(x[draws.integers(len(x), size=model.batch_size)][0],
                           requires_grad=False) for x in sets)


def train_on_square(steps: int, seed: int = 0, **settings: float) -> CycleGAN:
    """A CycleGAN of points on ``square_task``, at a high rate and with averaged weights."""
    return train_points(square_task()[0], steps, seed, lr=4e-3, ema_decay=0.99, **settings)


@dataclass(frozen=True)
class RoundTrip:
    """Items, what a model makes of them, what it makes of that on the way back, and the truth.

    Attributes
    ----------
    x, fake, back, true : array, (n, ...)
        As networks see them.
    """

    x: Array
    fake: Array
    back: Array
    true: Array

    @property
    def error(self) -> float:
        """The mean distance to the true partners."""
        return distance(self.fake, self.true)

    @property
    def cycle(self) -> float:
        """The mean distance of what comes back to what went in."""
        return distance(self.back, self.x)

    def worst(self, n: int = SHOWN) -> Array:
        """The numbers of the n items furthest from their true partners, the worst first."""
        error = np.abs(self.fake - self.true).reshape(len(self.x), -1).mean(axis=1)
        return np.argsort(-error, kind="stable")[:n]


def round_trip(model: Translator, data: TranslationData, direction: Direction = Direction.A_TO_B,
               n: int = JUDGED) -> RoundTrip:
    """The first n held-back items of a collection, there and back."""
    x, true = (as_network(data.sources[way][:n]) for way in (direction, direction.back))
    fake = translated(model, x, direction)
    return RoundTrip(x, fake, translated(model, fake, direction.back), true)


def class_kept(images: Array, labels: Array) -> float:
    """The share of digits, white on black, in which the classifier sees the class of the label."""
    return load_classifier().accuracy(to_uint8(np.clip(images, -1, 1)), labels[:len(images)])


@dataclass(frozen=True)
class Renaming:
    """A translator by table: the true translation of *another* item, and back by the same table.

    Attributes
    ----------
    data : TranslationData
        Its test parts are the table; partners are known.
    order : array of int, (n,)
        Item i of A becomes item order[i] of B.
    """

    data: TranslationData
    order: Array
    directions = tuple(Direction)

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Of one item."""
        return self.data.shape

    def translate(self, x: Tensor, direction: Direction) -> Tensor:
        """Each item is looked up in the test part of its collection.

        Raises
        ------
        KeyError
            For items that are not there.
        """
        sources = {way: as_network(items) for way, items in self.data.sources.items()}
        row = {item.tobytes(): i for i, item in enumerate(sources[direction])}
        order = self.order if direction is Direction.A_TO_B else np.argsort(self.order)
        found = [row[item.tobytes()] for item in np.ascontiguousarray(x.numpy())]
        return Tensor(sources[direction.back][order[found]], requires_grad=False)


def next_class(labels: Array) -> Array:
    """An order in which every item meets one of another class, mostly class k one of k + 1.

    The items are sorted by class and all moved on by the size of the largest class: so each leaves
    its own.
    """
    by_class = np.argsort(labels, kind="stable")
    largest = int(np.bincount(labels).max())
    order = np.empty(len(labels), dtype=np.int64)
    order[by_class] = np.roll(by_class, -largest)
    return order


# -------------------------------------------------------------------------------- hidden messages

THICKNESS = 0.05  # of the line, a standard deviation


def line_task() -> TranslationData:
    """A: a filled square. B: a line with a little thickness. No map is the true one."""
    a, test_a = (np.random.default_rng((14, k)).uniform(-1, 1, (n, 2)).astype(np.float32)
                 for k, n in enumerate((4000, 1000)))
    b, test_b = (_line(n, np.random.default_rng((15, k))) for k, n in enumerate((4000, 1000)))
    return between("line", a, b, test_a=test_a, test_b=test_b, mirrored=False, keeps_colours=False)


def _line(n: int, g: np.random.Generator) -> Array:
    return np.stack([g.uniform(-1, 1, n), THICKNESS * g.standard_normal(n)], 1).astype(np.float32)


def train_on_line(steps: int, seed: int = 0) -> CycleGAN:
    """A CycleGAN of points on ``line_task``, without identity loss."""
    return train_points(line_task(), steps, seed, lr=2e-3, ema_decay=0.99, cycle_weight=3.0,
                        identity_weight=0.0)


def way_back(model: CycleGAN, items: Array) -> Array:
    """What G_ba makes of items of B."""
    return translated(model, items.astype(np.float32), Direction.B_TO_A)


NOISE = (0.0, 0.01, 0.02, 0.05, 0.1)  # standard deviations


def noisy_way_back(model: CycleGAN, trip: RoundTrip, seed: int = 0) -> Array:
    """The cycle error after noise of each deviation in ``NOISE`` was added to the fakes."""
    g = np.random.default_rng(seed)
    return np.array([distance(way_back(model, trip.fake + s * g.standard_normal(trip.fake.shape)),
                              trip.x) for s in NOISE])


# ------------------------------------------------------------------------- two possible answers

SIZE, STROKE = 28, 3  # pixels of a picture, and of the width of its stroke
PLACES = range(8, 18)  # of the left side of the stroke


def possible_strokes() -> Array:
    """(10, 28, 28) float64 in [-1, 1]: a vertical stroke at each of ten places, all as probable."""
    strokes = np.full((len(PLACES), SIZE, SIZE), -1.0)
    for picture, place in zip(strokes, PLACES, strict=True):
        picture[4:24, place:place + STROKE] = 1.0
    return strokes


def best_answers(possible: Array) -> dict[str, Array]:
    """The one picture with the least mean L1 error, the one with the least L2 error, and a draw."""
    return {"L1: the median": np.median(possible, axis=0),
            "L2: the mean": possible.mean(axis=0), "one of them": possible[len(possible) // 2]}


def expected_psnr(answer: Array, possible: Array) -> float:
    """10 log10 (4 / E (answer - y)^2) over the possible y, for values on [-1, 1], in decibels."""
    return float(10 * np.log10(4 / ((answer - possible) ** 2).mean()))


@dataclass(frozen=True)
class Halves:
    """Held-back digits whose right half was hidden, (n, 1, 28, 28) each.

    Attributes
    ----------
    x, fake, true : array
        What was shown, what a model made of it, and the whole digit.
    """

    x: Array
    fake: Array
    true: Array

    def _hidden(self, images: Array) -> Array:
        return to_uint8(images[..., images.shape[-1] // 2:])

    @property
    def sharpness(self) -> float:
        """Of the hidden half, as a share of that of real ones."""
        return metrics.sharpness(self._hidden(self.fake), self._hidden(self.true))

    @property
    def psnr(self) -> float:
        """Of the hidden half, in decibels."""
        half = self.x.shape[-1] // 2
        return psnr(self.fake[..., half:], self.true[..., half:])


GAN_AGAINST_L1 = 10.0  # lambda of the short trainings; in the paper 100


def train_halves(steps: int, gan: bool, seed: int = 0) -> Halves:
    """pix2pix on digits whose right half is hidden, with its GAN or with the distance alone."""
    data = open_pairs("digits-halves")
    manual_seed(seed)
    model = dataclasses.replace(Pix2Pix.laptop(data), l1_weight=GAN_AGAINST_L1,
                                gan_weight=1.0 if gan else 0.0)
    model.set_total_steps(steps)
    (pairs,), draws = model.datasets(data), np.random.default_rng(seed)
    rows = (draws.integers(len(pairs), size=model.batch_size) for _ in itertools.count())
    stream = (tuple(Tensor(x, requires_grad=False) for x in pairs[chosen]) for chosen in rows)
    for _ in range(steps):
        model.train_step(stream)
    x, true = as_network(data.test_a[:JUDGED]), as_network(data.test_b[:JUDGED])
    return Halves(x, translated(model, x, Direction.A_TO_B), true)


# ---------------------------------------------------------------------------------------- figures


def points_that_learn(moments: Mapping[int, Array] | None = None) -> Drawing:
    """Free points on their way to a ring of eight blobs, pulled by nothing but a GANLoss."""
    if moments is None:
        moments = pull_points(cut(1000, 100), (0, cut(100, 20), cut(1000, 100)))
    real = TOYS["ring8"].sample(1000, np.random.default_rng(1))
    figure, axes = drawing(1, len(moments), width=8.4, height=2.7, sharex=True, sharey=True,
                           title="Points without a generator: a GANLoss makes them look like the "
                                 "grey collection")
    for ax, (step, seen) in zip(axes[0], moments.items(), strict=True):
        points(ax, seen, real)
        finish(ax, title=f"step {step:,}")
    axes[0, 0].legend(loc="upper left", frameon=False, fontsize=8)
    return figure


def least_squares(answers: tuple[Array, Array] | None = None) -> Drawing:
    """D of the least squares loss beside its formula, and what G feels of three objectives."""
    x, D = least_squares_D(cut(1500, 300)) if answers is None else answers
    p, q = theory.normal_pdf(x, -1.0), theory.normal_pdf(x, 1.0)
    figure, ((best, slope),) = drawing(
        1, 2, width=8.4, title="Least squares: the same best D, and a pull on fakes that D takes "
                               "for real")
    density(best, x, p, "p", 0)
    density(best, x, q, "q", 1)
    curves(best, x, {"p / (p + q)": theory.optimal_discriminator(p, q), "D after training": D},
           start=2)
    finish(best, title="densities, and D", x="x", legend="center right")
    best.set_ylim(-0.15, 1.15)
    a = np.linspace(-3, 4, 141)
    curves(slope, a, slopes(a))
    level(slope, 0.0)
    slope.plot([1], [0], "o", color=BLACK, markersize=5)
    slope.set_ylim(-3, 3)
    finish(slope, title="slope of G's loss", x="D's raw output a for a fake", legend="upper left")
    return figure


def _corners(ax: Axes, x: Array, corner: Array) -> None:
    """Points of B, each in the colour and with the mark of the corner of A that it came from."""
    for i, marker in enumerate("os^D"):
        ax.scatter(*x[corner == i].T, s=7, c=LINES[i][0], marker=marker, linewidths=0, alpha=0.7)
    ax.set_aspect("equal")
    ax.set_xlim(-1.9, 2.4)
    ax.set_ylim(-2.0, 2.2)


def marginals_match() -> Drawing:
    """Four maps from A to B: each makes exactly B, one is right."""
    data, corner = square_task()
    x = data.test_a.astype(np.float64)
    figure, axes = drawing(1, 1 + len(HAND_MADE), width=9.4, height=2.0, sharex=True, sharey=True,
                           title="Four maps of the square, one B: no discriminator can tell them "
                                 "apart")
    _corners(axes[0, 0], x, corner)
    finish(axes[0, 0], title="A")
    for ax, name in zip(axes[0, 1:], HAND_MADE, strict=True):
        _corners(ax, hand_made(name, x), corner)
        finish(ax, title=name)
    return figure


ARMS: dict[str, dict[str, float]] = {
    "two GANs alone": {"cycle_weight": 0.0, "identity_weight": 0.0},
    "and the way back": {"cycle_weight": 3.0, "identity_weight": 0.0},
    "and identity": {"cycle_weight": 3.0, "identity_weight": 3.0},
}


def plane_translations(models: Mapping[str, Sequence[CycleGAN]] | None = None) -> Drawing:
    """What trained networks make of the square: rows of losses, columns of seeds."""
    if models is None:
        models = {name: [train_on_square(cut(500, 30), seed, **settings) for seed in (0, 1)]
                  for name, settings in ARMS.items()}
    data, corner = square_task()
    runs = len(next(iter(models.values())))
    figure, axes = drawing(len(models), runs, width=2.7 * runs, height=2.3, sharex=True,
                           sharey=True, title="The way back keeps corners apart; identity says "
                                              "which is which")
    for row, (name, trained) in zip(axes, models.items(), strict=True):
        for seed, (ax, model) in enumerate(zip(row, trained, strict=True)):
            trip = round_trip(model, data, n=1000)
            _corners(ax, trip.fake, corner)
            right = (corner_of(trip.fake) == corner).mean()
            finish(ax, title=f"seed {seed}: {100 * right:.0f} % right, cycle {trip.cycle:.2f}")
        row[0].set_ylabel(name, fontsize=9)
    return figure


def _box(ax: Axes, x: float, y: float, words: str, colour: str, wide: float = 0.9) -> None:
    ax.add_patch(FancyBboxPatch((x - wide / 2, y - 0.22), wide, 0.44, facecolor=colour,
                                boxstyle="round,pad=0.03", edgecolor=BLACK, linewidth=0.9))
    ax.text(x, y, words, ha="center", va="center", fontsize=9)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], *, bend: float = 0.0,
           colour: str = BLACK, style: str = "-|>") -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=11, color=colour,
                                 linewidth=1.3, shrinkA=0, shrinkB=0,
                                 connectionstyle=f"arc3,rad={bend}"))


IMAGE, NETWORK, UNIT = "#FFFFFF", "#CFE4F3", "#FBE3C8"  # fills of the boxes


def _one_way(ax: Axes, y: float, start: str, end: str) -> None:
    """One row of the structure: an image, its translation, and the way back."""
    there, back = f"G_{start}{end}", f"G_{end}{start}"
    for x, words, colour, wide in (
            (0.5, start, IMAGE, 0.5), (1.75, there, NETWORK, 0.8),
            (3.15, f"fake_{end}", IMAGE, 0.9), (4.55, back, NETWORK, 0.8),
            (5.95, f"{start} again?", IMAGE, 1.0)):
        _box(ax, x, y, words, colour, wide)
    for left, right in ((0.78, 1.32), (2.18, 2.67), (3.63, 4.12), (4.98, 5.42)):
        _arrow(ax, (left, y), (right, y))
    _arrow(ax, (0.5, y + 0.27), (5.95, y + 0.27), bend=-0.12, colour=GREEN, style="<|-|>")
    ax.text(3.15, y + 0.76, f"cycle: mean |{back}(fake_{end}) - {start}|", color=GREEN, fontsize=9,
            ha="center", va="center")
    _arrow(ax, (3.15, y - 0.25), (3.15, y - 0.69))
    _box(ax, 3.15, y - 0.95, f"D_{end}", UNIT, 0.7)
    _box(ax, 1.3, y - 0.95, f"{end}, all real ones", IMAGE, 1.5)
    _arrow(ax, (2.08, y - 0.95), (2.76, y - 0.95))
    _arrow(ax, (3.53, y - 0.95), (4.1, y - 0.95), colour=VERMILION)
    ax.text(4.17, y - 0.95, f"loss_{end}.g_loss(fake_{end})", color=VERMILION, fontsize=9,
            va="center")
    ax.text(4.17, y - 1.3, f"identity: mean |{there}({end}) - {end}|", color=BLACK, fontsize=9,
            va="center")
    ax.add_patch(FancyBboxPatch((0.4, y - 1.29), 3.27, 0.68, boxstyle="round,pad=0.04", zorder=0,
                                facecolor="none", edgecolor=ORANGE, linewidth=1.2, linestyle="--"))
    ax.text(0.42, y - 1.47, f"loss_{end}: a GANLoss", color=BLACK, fontsize=8, va="center")


def structure() -> Drawing:
    """The structure of CycleGAN, with the names that the code has."""
    figure, ((ax,),) = drawing(1, 1, width=7.6, height=5.2,
                               title="Two GANs, each with an image in place of noise, and two ways "
                                     "back")
    _one_way(ax, 4.6, "a", "b")
    _one_way(ax, 1.6, "b", "a")
    ax.set_xlim(0.0, 6.6)
    ax.set_ylim(-0.1, 5.65)
    ax.axis("off")
    return figure


def _strip(ax: Axes, rows: Mapping[str, Array]) -> None:
    """Rows of pictures as networks see them, (n, c, h, w), each with its name."""
    images = np.concatenate([to_uint8(np.clip(x, -1, 1)) for x in rows.values()])
    pictures(ax, images, len(next(iter(rows.values()))), rows=list(rows))


def there_and_back(trips: Mapping[str, RoundTrip], title: str, chosen: Array | None = None
                   ) -> Drawing:
    """Strips of items, translations, true partners and what comes back; the first ten, or others.

    Under each other for several models, whose names stand above.
    """
    figure, axes = drawing(len(trips), 1, width=7.6, height=2.9, title=title)
    rows = slice(SHOWN) if chosen is None else chosen
    for ax, (name, trip) in zip(axes[:, 0], trips.items(), strict=True):
        _strip(ax, {"input": trip.x[rows], "fake": trip.fake[rows], "truth": trip.true[rows],
                    "back": trip.back[rows]})
        ax.set_title(name, fontsize=10, loc="left")
    return figure


def _short_trip(task: str, steps: int, direction: Direction, **settings: float) -> RoundTrip:
    data = open_collections(task)
    return round_trip(train(data, steps, **settings), data, direction, 40)


def with_and_without(trips: Mapping[str, RoundTrip] | None = None) -> Drawing:
    """Digits inverted with and without the cycle loss, there and back."""
    if trips is None:
        steps = cut(120, 6)
        trips = {name: _short_trip("digits-inverted", steps, Direction.B_TO_A, **settings)
                 for name, settings in (("all losses", {}), ("lambda = 0", {"cycle_weight": 0.0}))}
    return there_and_back(trips, "Early in training a digit stays itself only where it has to "
                                 "come back")


def worst_translations(trip: RoundTrip | None = None) -> Drawing:
    """The ten translations that are furthest from the truth, the worst first."""
    if trip is None:
        trip = _short_trip("digits-inverted", cut(120, 6), Direction.B_TO_A)
    return there_and_back({f"the {SHOWN} worst of {len(trip.x)}": trip},
                          "Failures, chosen by number: furthest from the true partner",
                          trip.worst())


def renamed(trip: RoundTrip | None = None) -> Drawing:
    """A translator by table that gives every digit another name, and takes it back."""
    if trip is None:
        data = open_collections("digits-inverted")
        trip = round_trip(Renaming(data, next_class(data.test_labels)), data)
    return there_and_back({"a table in place of a network": trip},
                          "Cycle error 0, every fake a real member of B, and no digit is kept")


def hidden_message(model: CycleGAN | None = None) -> Drawing:
    """A square on its way to a line and back: where its height is hidden, and what wipes it out."""
    data = line_task()
    if model is None:
        model = train_on_line(cut(800, 30))
    trip = round_trip(model, data, n=1000)
    flat = way_back(model, trip.fake * (1, 0))
    figure, axes = drawing(1, 4, width=9.4, height=2.5, title="The height of a point is not in B, "
                           "so it is hidden in the thickness of the line")
    for ax, x, name in zip(axes[0], (trip.x, trip.fake, trip.back, flat),
                           ("a, coloured by height", "fake_b, enlarged", "back",
                            "back from a flat fake_b"), strict=True):
        ax.scatter(*x.T, s=5, c=trip.x[:, 1], cmap="viridis", linewidths=0)
        finish(ax, title=name)
    for ax in axes[0, [0, 2, 3]]:
        ax.set_xlim(-1.3, 1.3)
        ax.set_ylim(-1.3, 1.3)
    axes[0, 1].set_xlim(-1.3, 1.3)
    axes[0, 1].set_ylim(-0.3, 0.3)
    return figure


def _wide_and_narrow(title: str) -> tuple[Drawing, tuple[Axes, Axes]]:
    figure, (axes,) = drawing(1, 2, width=9.0, height=3.6, title=title)
    axes[0].get_gridspec().set_width_ratios([1.5, 1.0])
    return figure, tuple(axes)


def halves(blurred: Halves | None = None, sharp: Halves | None = None) -> Drawing:
    """Digits whose right half was hidden, completed by a distance alone and by a GAN as well."""
    if blurred is None or sharp is None:
        blurred, sharp = (train_halves(cut(150, 10), gan) for gan in (False, True))
    figure, ((ax,),) = drawing(1, 1, width=7.6, height=3.1,
                               title="The distance alone leaves grey what it cannot know; with D "
                                     "somebody decides")
    _strip(ax, {"input": blurred.x[:SHOWN], "L1 alone": blurred.fake[:SHOWN],
                "with a GAN": sharp.fake[:SHOWN], "the truth": blurred.true[:SHOWN]})
    return figure


def two_answers() -> Drawing:
    """What single answers minimise when two are right, and when a stroke may be at ten places."""
    figure, (left, right) = _wide_and_narrow(
        "Two answers are right: the best single one, by L1 and by L2, is neither")
    possible = possible_strokes()
    answers = best_answers(possible)
    shown = np.concatenate([possible[[0, 4, 9]], np.stack(list(answers.values()))])
    images = to_uint8(shown[:, None].astype(np.float32))
    pictures(left, images, 3, rows=["three of ten\npossible truths", ""])
    for i, name in enumerate(answers):
        left.text(i * (SIZE + 1) + SIZE / 2, 2 * (SIZE + 1) + 3.5, name, fontsize=8, ha="center")
    left.set_ylim(2 * (SIZE + 1) + 6, -0.5)
    c = np.linspace(-1.6, 1.6, 161)
    y = two_modes()
    curves(right, c, {"E |y - c|": np.abs(y[:, None] - c).mean(axis=0),
                      "E (y - c)²": ((y[:, None] - c) ** 2).mean(axis=0)})
    right.hist(y, 60, density=True, color=GREY, alpha=0.35, label="y")
    right.set_ylim(0, 3.2)
    finish(right, title="one pixel with two possible values", x="c", legend="upper center")
    return figure


@functools.cache
def two_modes(n: int = 4001, spread: float = 0.25) -> Array:
    """Quantiles of half N(-1, spread²) and half N(1, spread²), (n,): a sample without chance."""
    grid = np.linspace(-3, 3, 60001)
    mass = np.cumsum(theory.normal_pdf(grid, -1, spread) + theory.normal_pdf(grid, 1, spread))
    return np.interp((np.arange(n) + 0.5) / n, mass / mass[-1], grid)


FIGURES: dict[str, Callable[[], Drawing]] = {
    "points-that-learn": points_that_learn,
    "least-squares": least_squares,
    "marginals-match": marginals_match,
    "plane-translations": plane_translations,
    "cyclegan-structure": structure,
    "cycle-consistency": with_and_without,
    "worst-translations": worst_translations,
    "renamed-digits": renamed,
    "hidden-message": hidden_message,
    "two-answers": two_answers,
    "completed-halves": halves,
}
