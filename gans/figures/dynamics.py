"""The figures of notebook 05_training_dynamics: Goodfellow's figure 1 and the four sicknesses.

Leaves out: mode collapse on eight modes, which is in ``gans.figures.collapse``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from gans.dynamics import (
    TWO_MODES,
    DiracGAN,
    Order,
    Recording,
    Snapshot,
    collapse,
    figure_one,
    flips,
    floor,
    frozen,
    healthy,
    mode_cycle,
    oscillation,
    snapshot,
    strong_discriminator,
    weak_discriminator,
)
from gans.objectives import Objective
from gans.plots import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    Drawing,
    curves,
    drawing,
    finish,
    level,
)

BALANCE = 2 * math.log(2)


def _state(axes: Axes, state: Snapshot, *, top: float, best: bool = True) -> None:
    """Data dotted, model green, D dashed and D* thin, over x; D's scale goes from 0 to ``top``."""
    axes.plot(state.x, state.data, color=BLACK, linestyle=":", linewidth=1.6, label="data")
    axes.fill_between(state.x, state.model, color=GREEN, alpha=0.18, linewidth=0)
    axes.plot(state.x, state.model, color=GREEN, linewidth=1.4, label="model")
    if best:
        axes.plot(state.x, top * state.best_D, color=ORANGE, linewidth=1.1, label="best D")
    axes.plot(state.x, top * state.D, color=BLUE, linestyle="--", linewidth=1.8, label="D")
    axes.axhline(top / 2, color=GREY, linewidth=0.6)


def goodfellow_figure_1(panels: Sequence[Snapshot] | None = None) -> Drawing:
    """Four states of a pair on a line: densities, D, D*, and the map from z to x below."""
    panels = panels or figure_one()
    names = ("(a) both half right", "(b) D learns alone", "(c) G follows D's slope",
             "(d) in the end")
    figure, axes = drawing(2, 4, title="G's samples flow to where D is high, until D stays near "
                           "1/2 (after Goodfellow et al. 2014, figure 1)",
                           width=8.2, height=2.0)
    low, high, top = -2.5, 4.5, 0.9
    for i, (name, state) in enumerate(zip(names, panels, strict=True)):
        _state(axes[0, i], state, top=top)
        finish(axes[0, i], title=f"{name}\nTV {state.tv:.2f}, |D - D*| {state.d_error:.2f}")
        axes[0, i].set_xlim(low, high)
        axes[0, i].set_ylim(0, top * 1.02)
        axes[0, i].set_yticks([0, top / 2, top], ["0", "½", "1"] if i == 0 else ["", "", ""])
        # z stands on its own line below x, stretched to the width of the picture.
        middle, reach = (low + high) / 2, (high - low) / 2 * 0.9
        for z in np.linspace(-0.98, 0.98, 15):
            x = float(np.interp(z, state.z, state.G))
            axes[1, i].annotate("", (x, 1.0), (middle + reach * z, 0.0), annotation_clip=False,
                                arrowprops={"arrowstyle": "-|>", "color": GREEN, "linewidth": 0.7,
                                            "mutation_scale": 6, "shrinkA": 0, "shrinkB": 0})
        axes[1, i].set_xlim(low, high)
        axes[1, i].set_ylim(0, 1)
        axes[1, i].set_xticks([])
        axes[1, i].set_yticks([0, 1], ["z", "x"] if i == 0 else ["", ""])
        axes[1, i].tick_params(length=0)
        axes[1, i].spines[["left", "right"]].set_visible(False)
        axes[1, i].spines[["top", "bottom"]].set_color(BLACK)
    axes[0, 0].set_ylabel("D", fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def two_mode_cycle(recording: Recording | None = None) -> Drawing:
    """The lecture's five steps, and G's mean over three hundred steps around them."""
    recording = recording or mode_cycle(400, every=2)
    texts = ("1  G is at A", "2  D: B is real", "3  G runs to B", "4  D: A is real", "5  and back")
    figure = Drawing(figsize=(8.2, 4.0), layout="constrained")
    figure.suptitle("A generator that can make one mode only runs from A to B and back without end",
                    fontsize=11, x=0.01, ha="left")
    places = figure.add_gridspec(2, 5, height_ratios=(1.25, 1.0))
    for i, (text, state) in enumerate(zip(texts, recording.snapshots, strict=True)):
        axes = figure.add_subplot(places[0, i])
        _state(axes, state, top=4.0, best=False)
        at_A, at_B = np.interp([-2.0, 2.0], state.x, state.D)
        finish(axes, title=f"{text}\nD(A) {at_A:.2f}  D(B) {at_B:.2f}", x=f"step {state.step}")
        axes.set_xlim(-3.6, 3.6)
        axes.set_ylim(0, 4.1)
        axes.set_xticks([-2, 2], ["A", "B"])
        axes.set_yticks([0, 2, 4], ["0", "½", "1"] if i == 0 else ["", "", ""])
        if i == 0:
            axes.set_ylabel("D (dashed)", fontsize=9)
    axes = figure.add_subplot(places[1, :])
    shown = recording["step"] <= 400
    curves(axes, recording["step"][shown], {"mean of G": recording["mean"][shown]})
    for i, state in enumerate(recording.snapshots):
        level(axes, state.step, vertical=True)
        axes.annotate(str(i + 1), (state.step, 2.75), fontsize=8, ha="left", xytext=(2, 0),
                      textcoords="offset points")
    finish(axes, x="step", y="mean of G")
    axes.set_yticks([-2, 0, 2], ["A", "0", "B"])
    axes.set_ylim(-3.2, 3.8)
    return figure


def replay_pool(plain: Recording | None = None, pooled: Recording | None = None) -> Drawing:
    """The mean of G in the two-mode game, without and with older samples for D."""
    return _two_means(plain or mode_cycle(), pooled or mode_cycle(pool=True),
                      ("D sees new samples only", "half of what D sees are older samples"),
                      (-3.6, 3.6), "A memory for D calms the cycle: it knows where G has been")


def oscillation_cured(plain: Recording | None = None, cured: Recording | None = None) -> Drawing:
    """The mean of G of two networks on two modes, without and with instance noise."""
    return _two_means(plain or oscillation(), cured or oscillation(instance_noise=0.5),
                      ("plain gradient steps", "noise of 0.5 on all that D sees"), (-16, 16),
                      "Noise on D's inputs cures the oscillation: the same two networks and rates")


def _two_means(above: Recording, below: Recording, names: tuple[str, str],
               limits: tuple[float, float], title: str) -> Drawing:
    figure, axes = drawing(2, 1, title=title, width=7.6, height=1.5, sharex=True)
    for place, recording, name, style in zip(axes[:, 0], (above, below), names, (1, 0),
                                             strict=True):
        curves(place, recording["step"], {name: recording["mean"]}, start=style)
        for mode in TWO_MODES.centres:
            level(place, mode)
        finish(place, title=f"{name}: {flips(recording['mean'])} flips", y="mean of G")
        place.set_ylim(limits)
    axes[1, 0].set_xlabel("step", fontsize=9)
    return figure


def discriminator_too_strong(minimax: Recording | None = None,
                             other: Recording | None = None) -> Drawing:
    """G's slope under both losses at the same weights, and where trainings with each of them go."""
    minimax = minimax or strong_discriminator(Objective.MINIMAX)
    other = other or strong_discriminator(Objective.NON_SATURATING)
    figure, axes = drawing(1, 3, title="D too strong: the minimax loss leaves G nothing to learn "
                           "from; -log D does", width=8.2, height=2.7)
    left, middle, right = axes[0]
    curves(left, minimax["step"], {"log(1 - D)": minimax["minimax_slope"],
                                   "-log D": minimax["non_saturating_slope"]})
    left.set_yscale("log")
    finish(left, title="slope of G at the same weights", x="step", legend="center right")
    left.set_ylabel("2-norm of G's gradient", fontsize=9)
    curves(middle, minimax["step"], {"log(1 - D)": minimax["d_fake"], "-log D": other["d_fake"]})
    finish(middle, title="what D thinks of G's samples", x="step", y="D(G(z))",
           legend="center right")
    middle.set_ylim(-0.03, 0.75)
    curves(right, minimax["step"], {"log(1 - D)": minimax["mean"], "-log D": other["mean"]})
    level(right, 4.0, "mean of the data")
    finish(right, title="where G's samples are", x="step", y="mean of G", legend="center right")
    return figure


def discriminator_too_weak(weak: Recording | None = None,
                           well: Recording | None = None) -> Drawing:
    """Two units against sixteen: both D say 1/2, one G is far from the data."""
    weak, well = weak or weak_discriminator(), well or healthy()
    figure, axes = drawing(1, 3, title="D too weak: it says 1/2 and is content, but the samples "
                           "are not in the modes", width=8.2, height=2.7)
    for place, recording, name in ((axes[0, 0], weak, "D of 2 units"),
                                   (axes[0, 1], well, "D of 16 units")):
        state = snapshot(recording.gan, TWO_MODES)
        _state(place, state, top=2.2, best=False)
        finish(place, title=f"{name}: TV {state.tv:.2f}", x="x", legend="upper center")
        place.set_xlim(-4, 4)
        place.set_ylim(0, 2.9)
        place.set_yticks([0, 1.1, 2.2], ["0", "½", "1"])
    axes[0, 0].set_ylabel("D (dashed)", fontsize=9)
    curves(axes[0, 2], weak["step"], {"D of 2 units": weak["w"], "D of 16 units": well["w"]},
           start=0)
    level(axes[0, 2], floor(TWO_MODES), "two real sets")
    axes[0, 2].set_yscale("log")
    finish(axes[0, 2], title="distance W to the data", x="step", legend="lower left")
    return figure


def losses_look_alike(recordings: Mapping[str, Recording] | None = None) -> Drawing:
    """Losses above, distance below: of four trainings whose losses rest, one is well.

    ``recordings`` by title; the first is the healthy one.
    """
    recordings = recordings or {"healthy": healthy(), "D too weak": weak_discriminator(),
                                "D frozen": frozen(), "collapsed": collapse()}
    figure, axes = drawing(2, len(recordings), title="Four pairs of losses at rest, and only "
                           "the first G has learned: watch a distance, not a loss", width=8.2,
                           height=1.9, sharey="row")
    for i, (name, recording) in enumerate(recordings.items()):
        curves(axes[0, i], recording["step"], {"d_loss": recording["d_loss"],
                                               "g_loss": recording["g_loss"]})
        level(axes[0, i], BALANCE)
        finish(axes[0, i], title=name, legend="upper right" if i == 0 else "")
        axes[0, i].set_ylim(0, 3)
        curves(axes[1, i], recording["step"], {"W": recording["w"], "TV": recording["tv"]}, start=2)
        level(axes[1, i], floor(TWO_MODES))
        finish(axes[1, i], x="step", legend="upper right" if i == 0 else "")
        axes[1, i].set_ylim(0, 3)
    axes[0, 0].set_ylabel("losses", fontsize=9)
    axes[1, 0].set_ylabel("distance to the data", fontsize=9)
    return figure


_CURES = {
    "both step at once": (DiracGAN(), Order.SIMULTANEOUS),
    "D answers G": (DiracGAN(), Order.ALTERNATING),
    "instance noise, σ = 1": (DiracGAN(noise=1.0), Order.SIMULTANEOUS),
    "gradient penalty, γ = 0.8": (DiracGAN(penalty=0.8), Order.SIMULTANEOUS),
}


def dirac_paths() -> Drawing:
    """The vector field of two players with one number each, and 150 steps of 0.2 in it."""
    figure, axes = drawing(1, 4, title="Two players turn around their equilibrium; a cure bends "
                           "the field inwards", width=8.6, height=2.7, sharey=True)
    grid = np.linspace(-1.75, 1.75, 7)
    for place, (name, (game, order)) in zip(axes[0], _CURES.items(), strict=True):
        field = np.array([[game.velocity(theta, psi) for theta in grid] for psi in grid])
        place.quiver(grid, grid, field[..., 0], field[..., 1], color=GREY, width=0.006, scale=11)
        path = game.path(1.0, 0.0, 0.2, 150, order)
        place.plot(*path.T, color=BLUE, linewidth=1.3)
        place.plot(*path[0], "o", color=VERMILION, markersize=5)
        place.plot(0, 0, "+", color=BLACK, markersize=9)
        radius = float(np.hypot(*path[-1]))
        finish(place, title=f"{name}\nradius 1 → {radius:.2g}", x="θ: where G's samples are")
        place.set_xlim(-2.1, 2.1)
        place.set_ylim(-2.1, 2.1)
        place.set_aspect("equal")
    axes[0, 0].set_ylabel("ψ: slope of D", fontsize=9)
    return figure


def dirac_eigenvalues() -> Drawing:
    """Eigenvalues of the velocity's Jacobian, and of one step for rates from 0 to 1."""
    figure, axes = drawing(1, 2, title="Why it circles: imaginary eigenvalues never lead inside "
                           "the unit circle, a negative real part does",
                           width=7.8, height=3.4)
    left, right = axes[0]
    styles = zip((VERMILION, ORANGE, BLUE, GREEN), ("o", "s", "^", "D"), strict=True)
    turn = np.linspace(0, 2 * math.pi, 200)
    right.plot(np.cos(turn), np.sin(turn), color=BLACK, linewidth=0.9, linestyle=(0, (1, 2)),
               label="length 1")
    for (name, (game, order)), (colour, mark) in zip(_CURES.items(), styles, strict=True):
        if order is Order.SIMULTANEOUS:
            values = np.linalg.eigvals(game.jacobian())
            left.plot(values.real, values.imag, mark, color=colour, markersize=8,
                      label="nothing" if name == "both step at once" else name)
        steps = np.array([np.sort_complex(np.linalg.eigvals(game.step_matrix(rate, order)))
                          for rate in np.linspace(0.0, 1.0, 21)])
        for values, label in ((steps[:, 0], ""), (steps[:, 1], name)):
            right.plot(values.real, values.imag, "-", color=colour, linewidth=1.3,
                       label=label or None)
            right.plot(values.real[-1], values.imag[-1], mark, color=colour, markersize=6)
    level(left, 0.0, vertical=True)
    finish(left, title="of the velocity: left of the line is stable", x="real part",
           y="imaginary part", legend="center left")
    left.set_xlim(-0.6, 0.15)
    left.set_ylim(-0.65, 0.65)
    finish(right, title="of one step, rates 0 to 1 (mark)", x="real part", legend="center left")
    right.set_xlim(-0.75, 1.25)
    right.set_ylim(-1.0, 1.0)
    right.set_aspect("equal")
    return figure


FIGURES: dict[str, Callable[[], Drawing]] = {
    "goodfellow-figure-1": goodfellow_figure_1,
    "two-mode-cycle": two_mode_cycle,
    "replay-pool": replay_pool,
    "oscillation-cured": oscillation_cured,
    "discriminator-too-strong": discriminator_too_strong,
    "discriminator-too-weak": discriminator_too_weak,
    "losses-look-alike": losses_look_alike,
    "dirac-paths": dirac_paths,
    "dirac-eigenvalues": dirac_eigenvalues,
}
