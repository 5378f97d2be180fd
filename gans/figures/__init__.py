"""The figures of the notebooks by name: what ``gans figure NAME`` draws.

Every module holds the figures of one notebook. A figure is a function that computes what it shows,
with ``gans.theory``, the engine or a short training from a fixed seed, and draws it with the parts
of ``gans.plots``; it can be called without arguments. A notebook that has the numbers already hands
them over.

Leaves out: pictures of runs, which the trainer draws.
"""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

from . import (
    autoencoders,
    batch_norm,
    collapse,
    convolution,
    divergences,
    dynamics,
    evaluation,
    game,
    losses,
    tips,
    tour,
    translation,
    wasserstein,
)

__all__ = ["FIGURES"]

_MODULES = (tour, game, divergences, losses, dynamics, collapse, wasserstein, convolution,
            batch_norm, autoencoders, evaluation, tips, translation)
FIGURES: dict[str, Callable[[], Drawing]] = {
    name: make for module in _MODULES for name, make in module.FIGURES.items()}
"""Every figure by its name, in the order of the notebooks."""
