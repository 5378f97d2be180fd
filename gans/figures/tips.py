"""The figures of notebook 12_ganhacks: what five of the tips do, and the verdicts on all.

The trainings are runs of ``gans.tips``; those that a notebook wants to check as well are functions
here, which return what the figure shows.

Leaves out: the runs over several seeds, which ``gans results ganhacks`` makes.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from gans.objectives import Objective
from gans.plots import (
    BLACK,
    BLUE,
    GREY,
    VERMILION,
    Drawing,
    bars,
    curves,
    drawing,
    finish,
    level,
    pictures,
    points,
)
from gans.theory import normal_pdf, optimal_discriminator
from gans.tips import (
    TIPS,
    Batches,
    Belief,
    Column,
    Digits,
    FastRing,
    Network,
    Targets,
    TwoModes,
    Verdict,
    digits,
)
from gans.toys import TOYS
from minigrad import Tensor, no_grad, ops

__all__ = ["FIGURES", "BatchTrial", "batch_trials", "first_gradients", "mixed_batches",
           "older_samples", "saturated_gradient", "soft_labels", "spread_points", "verdicts",
           "whole_batches"]

COLOURS = {Verdict.HELPED: BLUE, Verdict.NO_EFFECT: GREY, Verdict.HURT: VERMILION}


# --------------------------------------------------------------------------------- small trainings


def first_gradients(head_starts: tuple[int, ...] = (0, 10, 25, 50, 100, 200), seed: int = 0,
                    ) -> dict[Objective, np.ndarray]:
    """The length of G's first gradient on digits after D has had so many steps, for both costs.

    Weights and batches are the same for both: only what G minimizes differs.
    """
    return {objective: np.array([Digits(objective=objective, head_start=n, steps=1).train(seed)
                                 .gradient for n in head_starts])
            for objective in (Objective.MINIMAX, Objective.NON_SATURATING)}


@dataclass(frozen=True, eq=False)
class BatchTrial:
    """A trained DCGAN: uint8 samples (24, 28, 28), and D's mean belief in 64 fakes.

    Once with the fakes in a batch of their own, once beside 64 real digits.
    """

    samples: np.ndarray
    alone: float
    beside_real: float


def batch_trials(steps: int = 200, seed: int = 0) -> dict[Batches, BatchTrial]:
    """The run of tip 4, shortened, with separate and with mixed batches where D learns."""
    trials = {}
    for batches in (Batches.SEPARATE, Batches.MIXED_IN_D):
        arm = Digits(Network.DCGAN, steps, batches=batches)
        trained = arm.train(seed)
        g = np.random.default_rng(seed)
        z = g.standard_normal((64, arm.latent_dim), dtype="float32")
        real = Tensor(digits()[0][g.integers(8000, size=64)], requires_grad=False)
        with no_grad():
            fake = trained.G(Tensor(z, requires_grad=False))
            alone = ops.sigmoid(trained.D(fake)).numpy().mean()
            beside = ops.sigmoid(trained.D(ops.concat([real, fake]))).numpy()[64:].mean()
        samples = arm.pictures(trained.G, z[:24], np.zeros(24, dtype=int))
        trials[batches] = BatchTrial(samples, float(alone), float(beside))
    return trials


def spread_points(steps: int = 500, seed: int = 0) -> dict[str, np.ndarray]:
    """1,000 points of every run of tip 15 by the run's name, (1000, 2) each."""
    found = {}
    for name, arm in TIPS[14].arms.items():
        short = FastRing(steps, arm.statistic)
        found[name.removeprefix("15 ")] = short.points(seed)
    return found


# ----------------------------------------------------------------------------------------- figures


def saturated_gradient(measured: Mapping[Objective, np.ndarray] | None = None,
                       head_starts: tuple[int, ...] = (0, 10, 25, 50, 100, 200)) -> Drawing:
    """Tip 2: the slope of both costs by D's belief, and G's gradient while D runs ahead."""
    measured = first_gradients(head_starts) if measured is None else measured
    figure, ((theory, trained),) = drawing(
        1, 2, title="The surer D is that samples are fake, the less minimax teaches G")
    belief = np.logspace(-4, np.log10(0.999), 200)
    curves(theory, belief, {"minimax": belief, "non-saturating": 1 - belief})
    theory.set_xscale("log")
    theory.set_yscale("log")
    finish(theory, title="slope of the cost by D's logit", x="D(G(z))", y="length",
           legend="lower right")
    curves(trained, np.array(head_starts), {
        "minimax": measured[Objective.MINIMAX],
        "non-saturating": measured[Objective.NON_SATURATING]})
    trained.set_yscale("log")
    finish(trained, title="G's first gradient on digits", x="steps that D is ahead",
           y="length", legend="center right")
    return figure


def mixed_batches(trials: Mapping[Batches, BatchTrial] | None = None) -> Drawing:
    """Tip 4: samples of both runs, and what D believes of fakes in either kind of batch."""
    trials = batch_trials() if trials is None else trials
    separate, mixed = trials[Batches.SEPARATE], trials[Batches.MIXED_IN_D]
    figure, axes = drawing(
        2, 2, title="A D that learned on mixed batches takes a batch of fakes alone for real",
        height=1.7)
    for row, (name, trial) in zip(axes, (("separate", separate), ("mixed", mixed)), strict=True):
        pictures(row[0], trial.samples, 8)
        row[0].set_title(f"{name} batches: samples", fontsize=10)
        bars(row[1], {"fakes alone": trial.alone, "beside real ones": trial.beside_real})
        row[1].set_xlim(0, 1)
        level(row[1], 0.5, vertical=True)
        finish(row[1], title=f"{name} batches: D's belief in fakes")
    return figure


def soft_labels(steps: int = 1500, seed: int = 0) -> Drawing:
    """Tip 6: what a discriminator between two Gaussians answers after four kinds of labels."""
    titles = {Targets.HARD: "1 and 0", Targets.ONE_SIDED: "0.9 and 0",
              Targets.TWO_SIDED: "0.7 to 1.2 and 0 to 0.3", Targets.FLIPPED: "5 % exchanged"}
    figure, axes = drawing(
        2, 2, title="One-sided smoothing lowers D's answers; smoothing the fakes lifts them, too",
        height=2.1, sharex=True, sharey=True)
    for ax, (targets, words) in zip(axes.flat, titles.items(), strict=True):
        run = Belief(steps, targets)
        x, answers = run.curve(seed)
        honest = optimal_discriminator(normal_pdf(x, -1.0), normal_pdf(x, 1.0))
        curves(ax, x, {"D after training": answers, "(a p + b q) / (p + q)": run.best(x),
                       "p / (p + q)": honest})
        a, b = targets.means
        first = ax is axes.flat[0]
        finish(ax, title=f"labels {words}: a = {a:g}, b = {b:g}", y="D(x)",
               legend="upper right" if first else "")
    for ax in axes[1]:
        ax.set_xlabel("x", fontsize=9)
    return figure


def older_samples(means: Mapping[str, np.ndarray] | None = None) -> Drawing:
    """Tip 8: where a generator of one number is, every ten steps, with and without a pool for D."""
    if means is None:
        means = {"new fakes only": TwoModes().recording(1)["mean"],
                 "half old fakes": TwoModes(pool=True).recording(1)["mean"]}
    figure, axes = drawing(
        len(means), 1, title="G runs from mode to mode, less often if D is shown older samples",
        height=1.7, sharex=True, sharey=True)
    for i, (ax, (name, path)) in enumerate(zip(axes[:, 0], means.items(), strict=True)):
        curves(ax, 10 * np.arange(1, len(path) + 1), {name: path}, start=i)
        for mode in (-2.0, 2.0):
            level(ax, mode, "modes" if mode > 0 else "")
        finish(ax, y="place of G", x="step" if i == len(means) - 1 else "", legend="upper right")
    return figure


def whole_batches(found: Mapping[str, np.ndarray] | None = None) -> Drawing:
    """Tip 15: 1,000 points of a G that is too fast, by what D is told about the batch."""
    found = spread_points() if found is None else found
    toy = TOYS["ring8"]
    figure, axes = drawing(
        1, len(found),
        title="With minibatch discrimination even a G that is too fast finds the whole ring",
        width=1.9 * len(found) + 0.4, height=2.2, sharex=True, sharey=True)
    for ax, (name, samples) in zip(axes[0], found.items(), strict=True):
        points(ax, samples, centres=toy.centres, size=3.0)
        ax.set_xlim(-3.2, 3.2)
        ax.set_ylim(-3.2, 3.2)
        finish(ax, title=name)
    return figure


def verdicts(column: Column | None = None) -> Drawing:
    """All tips: the gain in units of the smallest that matters, with two standard errors.

    ``column`` gives the values of a metric and an arm by seed, such as ``Rows.values`` of
    ``gans.notebook.results("ganhacks", ...)``. Without it tips 8 and 13 alone are tried, on two
    seeds each, which takes seconds.
    """
    tips = TIPS
    if column is None:
        tips = (TIPS[7], TIPS[12])
        column = _small_sweep
    figure, ((ax,),) = drawing(
        1, 1, title=_story([tip.verdict(column) for tip in tips]),
        height=0.55 + 0.29 * len(tips))
    places = np.arange(len(tips))[::-1]
    for place, tip in zip(places, tips, strict=True):
        _effect(ax, place, np.array(tip.gains(column)) / tip.least, tip.verdict(column))
    ax.axvspan(-1, 1, color="#EEEEEE", zorder=0)
    ax.axvline(0, color=BLACK, linewidth=0.8)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_yticks(places, [f"{tip.number}  {tip.name}" for tip in tips])
    ax.set_ylim(-0.7, len(tips) - 0.3)
    finish(ax, x="gain, in units of the smallest that matters (grey: less than that)")
    for verdict, colour in COLOURS.items():
        ax.plot([], [], "o", color=colour, label=verdict.value)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16 if len(tips) < 5 else -0.09), ncols=3,
              frameon=False, fontsize=9)
    return figure


def _effect(ax: Axes, place: float, gains: np.ndarray, verdict: Verdict) -> None:
    """A dot at the mean gain, a whisker of two standard errors, and a mark for every seed."""
    colour = COLOURS[verdict]
    error = 2 * statistics.stdev(gains.tolist()) / np.sqrt(len(gains))
    ax.plot(gains, np.full(len(gains), place), "|", color=colour, alpha=0.5, markersize=7)
    ax.errorbar(gains.mean(), place, xerr=error, fmt="o", color=colour, capsize=2.5, markersize=5)


def _story(found: list[Verdict]) -> str:
    """The title: how many of the tips did what."""
    count = {verdict: found.count(verdict) for verdict in Verdict}
    return (f"Of {len(found)} tips {count[Verdict.HELPED]} helped, {count[Verdict.HURT]} hurt, "
            f"{count[Verdict.NO_EFFECT]} had no effect, here")


@functools.cache
def _small_sweep(metric: str, arm: str) -> list[float]:
    """A metric of an arm of tip 8 or 13 on the seeds 0 and 1."""
    run = {**TIPS[7].arms, **TIPS[12].arms}[arm]
    return [run(seed)[metric] for seed in (0, 1)]


FIGURES: dict[str, Callable[[], Drawing]] = {
    "tips-gradient": saturated_gradient,
    "tips-batches": mixed_batches,
    "tips-labels": soft_labels,
    "tips-replay": older_samples,
    "tips-minibatch": whole_batches,
    "tips-verdicts": verdicts,
}
